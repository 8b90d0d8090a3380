//! OpenAI's fine-tuning over HTTP: `/v1/files` and `/v1/fine_tuning/jobs`.
//!
//! What a caller hands over and asks for goes to the workshop ([`lathe_workshop::tuning`]), where a job is
//! an order like any other; here it is read, bounded and told in OpenAI's shapes. A model that a job
//! makes answers under its name only after the gate, as every model does.
//!
//! Absent: `/v1/uploads` (files in parts), reinforcement, graders and integrations; checkpoints that
//! answer, since nothing answers ungated.

mod ask;
mod files;
mod jobs;
pub(crate) mod page;
mod shape;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get, post};
use lathe_workshop::Workshop;
use lathe_workshop::tuning::FILE_BYTES_MAX;

use crate::api::error::ApiError;
use crate::api::quota;

/// The largest body that asks for a job.
const JOB_BYTES_MAX: usize = 64 << 10;
/// What a multipart body may have beside its file.
const PARTS_BYTES_MAX: usize = 64 << 10;

/// The routes over a workshop, state applied, to be merged with [`crate::Door::router`].
pub fn router(shop: Workshop) -> Router {
    let file_bytes_max = usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX);
    let upload = DefaultBodyLimit::max(file_bytes_max.saturating_add(PARTS_BYTES_MAX));
    Router::new()
        .route(
            "/v1/files",
            only(
                "GET, POST",
                get(files::list).merge(post(files::create).layer(upload)),
            ),
        )
        .route(
            "/v1/files/{id}",
            only("GET, DELETE", get(files::retrieve).delete(files::delete)),
        )
        .route("/v1/files/{id}/content", only("GET", get(files::content)))
        .route(
            "/v1/fine_tuning/jobs",
            only("GET, POST", get(jobs::list).post(jobs::create)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}",
            only("GET", get(jobs::retrieve)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}/cancel",
            only("POST", post(jobs::cancel)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}/pause",
            only("POST", post(jobs::pause)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}/resume",
            only("POST", post(jobs::resume)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}/events",
            only("GET", get(jobs::events)),
        )
        .route(
            "/v1/fine_tuning/jobs/{id}/checkpoints",
            only("GET", get(jobs::checkpoints)),
        )
        .layer(DefaultBodyLimit::max(JOB_BYTES_MAX))
        .layer(from_fn(quota::hold))
        .with_state(shop)
}

/// Answers other methods in OpenAI's shape.
fn only(allowed: &'static str, methods: MethodRouter<Workshop>) -> MethodRouter<Workshop> {
    methods.fallback(async move |method: Method, uri: Uri| {
        ApiError::method_not_allowed(method.as_str(), uri.path(), allowed)
    })
}
