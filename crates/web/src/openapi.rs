//! `GET /openapi.json`: what answers here, for programs.
//!
//! The paths are written by hand beside this file (`openapi/*.yaml`), the schemas of what the
//! workshop's API sends are read from the types; `cargo xtask docs` makes one document of both. A
//! test holds it against the routes, in both directions.

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::AppState;

/// The document, made by `cargo xtask docs`.
const DOCUMENT: &str = include_str!("../../../docs/reference/openapi.json");

/// The route.
pub(crate) fn router() -> Router<AppState> {
    Router::new().route("/openapi.json", get(show))
}

async fn show() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT)
}
