//! What people do to evidence, as JSON: the same operations as on the command line.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use lathe_workshop::{Caller, Operation};
use serde_json::Value;

use super::Problem;
use crate::AppState;

/// `POST /api/operations` with `{"do": "withdraw", …}`: what came of it. Files are read and written
/// where the daemon runs.
pub(super) async fn run(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    operation: Result<Json<Operation>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(operation) = operation?;
    // Where no key is asked for, whoever asks is at this machine.
    let name = caller.map(|Extension(Caller(token))| token.name().to_owned());
    let operation = operation.asked_by(name.as_deref().unwrap_or("local"));
    Ok(Json(state.desk.operate(operation).await?))
}
