//! Datasets, models and deployments as JSON.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use lathe_workshop::{DatasetRequest, DatasetView};
use serde_json::{Value, json};

use super::in_path::InPath;
use super::{Problem, Window, found, listed};
use crate::AppState;

/// `GET /api/data?limit=&offset=`: `{"data": […], "limit", "offset", "more"}`, newest first.
pub(super) async fn list(
    State(state): State<AppState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let read = |limit, offset| state.desk.datasets(limit, offset);
    listed(window, "data", read).await
}

/// `POST /api/data` with `{"name", "file", "licence", "owner", "group", "dedupe"}`: 201 and the
/// dataset version. The file is read where the daemon runs.
pub(super) async fn add(
    State(state): State<AppState>,
    request: Result<Json<DatasetRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<DatasetView>), Problem> {
    let Json(request) = request?;
    let dataset = state.desk.add_dataset(request).await?;
    Ok((StatusCode::CREATED, Json(dataset)))
}

/// `GET /api/data/{digest}`: one dataset version with its card.
pub(super) async fn one(
    State(state): State<AppState>,
    InPath(digest): InPath,
) -> Result<Json<DatasetView>, Problem> {
    let missing = format!("this workshop has no dataset version {digest}");
    let next = "List the datasets with GET /api/data.";
    found(state.desk.dataset(&digest).await?, missing, next)
}

/// `GET /api/models?limit=&offset=`: `{"models": […], "limit", "offset", "more"}`, newest first.
pub(super) async fn models(
    State(state): State<AppState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let read = |limit, offset| state.desk.models(limit, offset);
    listed(window, "models", read).await
}

/// `GET /api/deployments`: `{"deployments": […], "upstreams": […]}`, the models that answer now, and the
/// other servers behind the same door, whose weights are not verified.
pub(super) async fn deployments(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    let deployments = state.desk.deployments().await?;
    let upstreams = state.desk.upstreams().await?;
    Ok(Json(
        json!({ "deployments": deployments, "upstreams": upstreams }),
    ))
}
