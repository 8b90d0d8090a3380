//! The OpenAI-shaped HTTP interface.
//!
//! A path is one file: [`chat`], [`completions`], [`embeddings`], [`models`], [`health`]. What a
//! caller may ask stands in the requests and in [`parameters`], every refusal in [`error`]. Everything under `/v1`
//! answers in OpenAI's shapes, errors too, so that its clients raise the classes
//! their users expect.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, any, get, post};

use crate::door::Inner;
use error::ApiError;

mod answer;
mod bias;
pub(crate) mod body;
mod caller;
mod calls;
mod chat;
mod completions;
pub(crate) mod embeddings;
pub(crate) mod error;
pub(crate) mod fields;
mod figures;
mod forced;
mod form;
mod format;
pub(crate) mod health;
pub(crate) mod in_path;
pub(crate) mod label;
mod logprobs;
pub(crate) mod messages;
mod models;
mod parameters;
mod prompts;
pub(crate) mod quota;
mod request;
mod round;
pub(crate) mod terms;
pub(crate) mod tools;

pub(crate) use prompts::Prompt;

/// All routes, state applied, without a fallback of the router's own.
pub(crate) fn router(door: Arc<Inner>) -> Router {
    let bytes_max = door.limits.body_bytes_max;
    Router::new()
        .route("/v1/models", only("GET", get(models::list)))
        .route("/v1/models/{*name}", only("GET", get(models::retrieve)))
        .route("/v1/chat/completions", only("POST", post(chat::create)))
        .route("/v1/completions", only("POST", post(completions::create)))
        .route("/v1/embeddings", only("POST", post(embeddings::create)))
        .route("/v1/{*path}", any(unknown_path))
        .route("/health", only("GET", get(health::check)))
        .route("/health/ready", only("GET", get(health::check)))
        .route("/health/live", only("GET", get(health::live)))
        .route("/metrics", only("GET", get(figures::show)))
        .layer(DefaultBodyLimit::max(bytes_max))
        .layer(from_fn(quota::hold))
        .with_state(door)
}

/// Answers other methods in OpenAI's shape.
fn only(allowed: &'static str, methods: MethodRouter<Arc<Inner>>) -> MethodRouter<Arc<Inner>> {
    methods.fallback(async move |method: Method, uri: Uri| {
        ApiError::method_not_allowed(method.as_str(), uri.path(), allowed)
    })
}

async fn unknown_path(method: Method, uri: Uri) -> ApiError {
    ApiError::unknown_path(method.as_str(), uri.path())
}
