//! Datasets, models and deployments as JSON.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use lathe_evidence::Digest;
use lathe_workshop::{DatasetRequest, DatasetView, ModelDetail, ModelKind, ModelsAsked};
use serde::Deserialize;
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

/// `GET /api/data/{digest}/records?limit=&offset=`: `{"records": […], "limit", "offset", "more"}`, in the
/// dataset's order: what is tuned on first.
pub(super) async fn records(
    State(state): State<AppState>,
    InPath(digest): InPath,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(window) = window?;
    let (limit, offset) = (window.rows() + 1, window.offset);
    let rows = match digest.parse::<Digest>() {
        Ok(digest) => state.desk.dataset_records(&digest, limit, offset).await?,
        Err(_) => None,
    };
    let rows = rows.ok_or_else(|| Problem::NotFound {
        text: format!("the ledger of this workshop speaks of no dataset version {digest}"),
        next: "List the datasets with GET /api/data; an order that uses one enters it.",
    })?;
    window.page("records", rows)
}

/// `?limit=&offset=&kind=&q=` of the list of models.
#[derive(Debug, Deserialize)]
pub(super) struct Models {
    #[serde(default = "super::rows_default")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    kind: Option<ModelKind>,
    q: Option<String>,
}

/// `GET /api/models?limit=&offset=&kind=&q=`: `{"models": […], "limit", "offset", "more"}`, newest first.
pub(super) async fn models(
    State(state): State<AppState>,
    listing: Result<Query<Models>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(listing) = listing?;
    let window = Window {
        limit: listing.limit,
        offset: listing.offset,
    };
    let asked = ModelsAsked {
        kind: listing.kind,
        text: listing.q,
    };
    let read = state
        .desk
        .models_asked(&asked, window.rows() + 1, window.offset);
    window.page("models", read.await?)
}

/// `GET /api/models/{digest}`: one model with its lineage, files, deployments and exports.
pub(super) async fn model(
    State(state): State<AppState>,
    InPath(digest): InPath,
) -> Result<Json<ModelDetail>, Problem> {
    let missing = format!("this workshop has no model {digest}");
    let next = "List the models with GET /api/models.";
    found(state.desk.model(&digest).await?, missing, next)
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
