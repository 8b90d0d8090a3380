//! The pages' own files: one style sheet, one script, one mark, compiled into the binary.
//!
//! Their addresses carry the digest of their bytes, so that browsers may keep them for good and a
//! new version is fetched at once. Nothing is ever loaded from elsewhere.

use std::sync::OnceLock;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::routing::get;
use sha2::{Digest as _, Sha256};

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/lathe.js");
const MARK: &str = include_str!("../assets/mark.svg");
const FOREVER: &str = "public, max-age=31536000, immutable";

/// Where the files stand.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// The style sheet.
    pub style: String,
    /// The script.
    pub script: String,
    /// The mark, as the browser's tab shows it.
    pub mark: String,
}

/// The addresses of this build's files.
pub(crate) fn addresses() -> &'static Addresses {
    static ADDRESSES: OnceLock<Addresses> = OnceLock::new();
    ADDRESSES.get_or_init(|| Addresses {
        style: address("style", "css", STYLE),
        script: address("lathe", "js", SCRIPT),
        mark: address("mark", "svg", MARK),
    })
}

/// Routes of the files.
pub(crate) fn router<S: Clone + Send + Sync + 'static>() -> Router<S> {
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(CONTENT_TYPE, kind), (CACHE_CONTROL, FOREVER)], text) })
    };
    let addresses = addresses();
    Router::new()
        .route(&addresses.style, file("text/css; charset=utf-8", STYLE))
        .route(
            &addresses.script,
            file("text/javascript; charset=utf-8", SCRIPT),
        )
        .route(&addresses.mark, file("image/svg+xml", MARK))
        .route("/favicon.ico", file("image/svg+xml", MARK))
}

fn address(name: &str, extension: &str, text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let short: String = digest
        .iter()
        .take(6)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("/assets/{name}.{short}.{extension}")
}
