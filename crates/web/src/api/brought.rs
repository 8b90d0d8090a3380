//! Files that are brought, piece by piece. What is made of them are operations.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use lathe_workshop::Operation;
use lathe_workshop::bring::BroughtFile;
use serde::Deserialize;
use serde_json::Value;

use super::Problem;
use super::in_path::InPath;
use crate::AppState;

/// Where a piece begins.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct At {
    offset: u64,
}

/// `GET /api/brought`: `{"brought": […]}`, newest first.
pub(super) async fn list(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    Ok(Json(state.desk.operate(Operation::Brought {}).await?))
}

/// `PUT /api/brought/{id}?offset=N` with the bytes of a piece: the file, with how much of it is here.
pub(super) async fn piece(
    State(state): State<AppState>,
    InPath(id): InPath,
    at: Result<Query<At>, QueryRejection>,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<BroughtFile>, Problem> {
    let Query(At { offset }) = at?;
    let bytes = bytes.map_err(|rejection| Problem::BadRequest {
        status: rejection.status(),
        text: rejection.body_text(),
        next: "Send pieces of at most 4 MiB.",
    })?;
    Ok(Json(
        state.desk.bring_piece(&id, offset, bytes.to_vec()).await?,
    ))
}
