//! `GET /metrics`: the figures for Prometheus. What each means stands in [`crate::meters`].

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use crate::door::Inner;

/// The version of the text format.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// All figures.
pub(super) async fn show(State(door): State<Arc<Inner>>) -> Response {
    let open = door.catalogue.all();
    let tuned = open.iter().filter(|served| served.adapter().is_some());
    let adapters: Vec<String> = tuned.map(|served| served.files().name.clone()).collect();
    (
        [(CONTENT_TYPE, TEXT_FORMAT)],
        door.meters.text(&adapters, &door.relays.up()),
    )
        .into_response()
}
