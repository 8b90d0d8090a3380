//! Who asks, and the audit, as JSON. What is done to people is an operation.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::{Extension, Json};
use lathe_workshop::Operation;
use lathe_workshop::people::{Right, Signed};
use serde::Deserialize;
use serde_json::{Value, json};

use super::in_path::InPath;
use super::{Problem, ROWS_MAX, rows_default};
use crate::AppState;

/// `GET /api/me`: `{"person": {"name", "display", "roles", "rights"}}`, whoever is logged in; null for a key,
/// and where nobody is asked who they are.
pub(super) async fn me(who: Option<Extension<Signed>>) -> Json<Value> {
    let person = who.map(|Extension(who)| {
        let row = &who.person.row;
        let rights = Right::ALL
            .into_iter()
            .filter(|right| who.person.may(*right));
        json!({
            "name": row.name,
            "display": row.display,
            "roles": row.roles,
            "rights": rights.collect::<Vec<Right>>(),
        })
    });
    Json(json!({ "person": person }))
}

/// `GET /api/projects`: `{"projects": […]}`, those that whoever asks may see, by id.
pub(super) async fn projects(State(state): State<AppState>) -> Result<Json<Value>, Problem> {
    Ok(Json(state.desk.operate(Operation::Projects {}).await?))
}

/// `GET /api/projects/{id}`: one, with its members and how much belongs to it.
pub(super) async fn project(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<Value>, Problem> {
    let shown = state.desk.operate(Operation::ProjectShow { id }).await?;
    Ok(Json(shown))
}

/// `?before=&limit=` of the audit.
#[derive(Debug, Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
    #[serde(default = "rows_default")]
    limit: u32,
}

/// `GET /api/audit?before=&limit=`: `{"rows": […], "next"}`, newest first; `next` is the `before` of what
/// comes after.
pub(super) async fn audit(
    State(state): State<AppState>,
    query: Result<Query<Before>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.clamp(1, ROWS_MAX);
    let mut rows = state.people.audit(query.before, limit + 1).await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    Ok(Json(json!({ "rows": rows, "next": next })))
}
