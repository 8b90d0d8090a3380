//! What people do to evidence, as JSON: the same operations as on the command line.

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::{Extension, Json};
use lathe_workshop::people::{AuditRow, Signed};
use lathe_workshop::{Caller, Operation};
use serde_json::{Value, json};

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
    if let Some(Extension(who)) = &who
        && !who.person.may(operation.right())
    {
        let right = operation.right();
        let what = json!(&operation)["do"].take();
        let what = what.as_str().unwrap_or_default();
        let by = who.person.told();
        let row = AuditRow::now("refused", &by, what, "right-denied");
        state.people.note(row);
        return Err(Problem::Denied(right));
    }
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
