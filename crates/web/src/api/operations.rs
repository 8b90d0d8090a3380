//! What people do to evidence, as JSON: the same operations as on the command line.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use lathe_workshop::people::Signed;
use lathe_workshop::{Caller, Operation};
use serde_json::Value;

use super::Problem;
use crate::AppState;

/// `POST /api/operations` with `{"do": "withdraw", …}`: what came of it. Files are read and written
/// where the daemon runs.
pub(super) async fn run(
    State(state): State<AppState>,
    caller: Option<Extension<Caller>>,
    who: Option<Extension<Signed>>,
    operation: Result<Json<Operation>, JsonRejection>,
) -> Result<Json<Value>, Problem> {
    let Json(operation) = operation?;
    // It is judged where it is done, over what it names: `Workshop::operate`.
    let signed = who
        .as_ref()
        .map(|Extension(who)| who.person.row.name.clone());
    // Where nobody is asked who they are, whoever asks is at this machine.
    let name = match (caller, who) {
        (Some(Extension(Caller(token))), _) => Some(token.name().to_owned()),
        (None, who) => who.map(|Extension(who)| who.person.row.name.clone()),
    };
    let operation = match &signed {
        Some(name) => operation.decided_by(name),
        None => operation,
    };
    let operation = operation.asked_by(name.as_deref().unwrap_or("local"));
    Ok(Json(state.desk.operate(operation).await?))
}
