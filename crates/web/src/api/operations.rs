//! What people do to evidence, as JSON: the same operations as on the command line.

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use lathe_workshop::Operation;
use serde_json::Value;

use super::Problem;
use crate::AppState;

/// `POST /api/operations` with `{"do": "withdraw", …}`: what came of it. Files are read and written
/// where the daemon runs.
pub(super) async fn run(
    State(state): State<AppState>,
    operation: Result<Json<Operation>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(operation) = operation?;
    Ok(Json(state.desk.operate(operation).await?))
}
