//! Whether an upstream answers: `GET /health`, which vLLM, SGLang and llama.cpp have, and where there is
//! no such path `GET /v1/models`, which all have.
//!
//! It asks for no token: a server of somebody else is not to be kept busy. A request that finds it gone
//! says so at once, and does not wait for the next look.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{Method, StatusCode};
use lathe_workshop::Upstream;

use super::http::{self, Call};

/// How long a look may take.
const LOOK_MAX: Duration = Duration::from_secs(5);

/// Looks at it.
///
/// # Errors
/// Why it does not answer, for people.
pub(super) async fn look(upstream: &Upstream) -> Result<(), String> {
    let looked = tokio::time::timeout(LOOK_MAX, answers(upstream)).await;
    looked.unwrap_or_else(|_| Err(format!("no answer within {} s", LOOK_MAX.as_secs())))
}

async fn answers(upstream: &Upstream) -> Result<(), String> {
    let base = upstream.url.path();
    let above = base.strip_suffix("/v1").unwrap_or_default();
    let status = match status_of(upstream, &format!("{above}/health")).await? {
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            status_of(upstream, &format!("{base}/models")).await?
        }
        status => status,
    };
    // One that refuses the key answers; the caller then hears of the key.
    if status.is_server_error() {
        return Err(format!("its health has status {}", status.as_u16()));
    }
    Ok(())
}

async fn status_of(upstream: &Upstream, path: &str) -> Result<StatusCode, String> {
    let call = Call {
        method: Method::GET,
        path,
        body: Bytes::new(),
        streamed: false,
        request_id: "",
    };
    let sent = http::send(upstream, call).await;
    sent.map(|it| it.status)
        .map_err(|trouble| trouble.to_string())
}
