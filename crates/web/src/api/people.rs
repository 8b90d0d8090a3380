//! Who asks, their own password and sessions, and the audit, as JSON. What is done to other people is an
//! operation.

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lathe_workshop::Operation;
use lathe_workshop::people::{AuditOutcome, AuditSought, PasswordChange, Right, Signed};
use serde::Deserialize;
use serde_json::{Value, json};

use super::in_path::InPath;
use super::{Problem, ROWS_MAX, rows_default};
use crate::AppState;
use crate::visitor::Visitor;

/// `GET /api/me`: `{"person": {"name", "display", "roles", "denied", "rights", "projects", "csrf"}}`, whoever is
/// logged in, their part in projects, and what their changes carry as `X-CSRF-Token`; null for a key, and where
/// nobody is asked who they are.
pub(super) async fn me(
    State(state): State<AppState>,
    who: Option<Extension<Signed>>,
) -> Json<Value> {
    let person = who.map(|Extension(who)| {
        let row = &who.person.row;
        let parts = state.people.parts_of(&who.person);
        let parts = parts.iter().map(|(project, member)| {
            let id = &project.row.id;
            let may = |right: &Right| state.people.may(&who.person, *right, id);
            json!({
                "id": id,
                "name": project.row.name,
                "roles": member.all_roles(),
                "denied": member.denied,
                "rights": Right::ALL.into_iter().filter(may).collect::<Vec<Right>>(),
            })
        });
        let rights = Right::ALL
            .into_iter()
            .filter(|right| who.person.may(*right));
        json!({
            "name": row.name,
            "display": row.display,
            "roles": row.roles,
            "denied": row.denied,
            "rights": rights.collect::<Vec<Right>>(),
            "projects": parts.collect::<Vec<Value>>(),
            "csrf": who.csrf,
        })
    });
    Json(json!({ "person": person }))
}

/// Whoever is logged in; what is their own is not here for a key, nor where nobody is asked who they are.
fn somebody(who: Option<Extension<Signed>>) -> Result<Signed, Problem> {
    let who = who.map(|Extension(who)| who);
    who.ok_or_else(|| Problem::NotFound {
        text: "nobody is logged in: a key has neither a password nor sessions".to_owned(),
        next: "Log in at /login, and send the cookie of that session and no key.",
    })
}

/// `POST /api/me/password` with `{"old", "new"}`: `{"session", "csrf"}`. They are logged out everywhere, and in
/// again here: the cookie of the new session goes with the answer.
pub(super) async fn password(
    State(state): State<AppState>,
    who: Option<Extension<Signed>>,
    visitor: Visitor,
    change: Result<Json<PasswordChange>, JsonRejection>,
) -> Result<Response, Problem> {
    let before = somebody(who)?;
    let Json(change) = change?;
    let name = &before.person.row.name;
    let changed = state
        .people
        .change_own_password(name, change, &visitor.agent);
    let id = changed.await?;
    // Nobody, where they were shut out in this moment.
    let now = somebody(state.people.signed(&id).map(Extension))?;
    let told = Json(json!({ "session": now.session.id(), "csrf": now.csrf }));
    Ok(([(SET_COOKIE, visitor.keeps(&id))], told).into_response())
}

/// `GET /api/me/sessions`: `{"sessions": […]}`, where they are logged in, the newest first.
pub(super) async fn sessions(
    State(state): State<AppState>,
    who: Option<Extension<Signed>>,
) -> Result<Json<Value>, Problem> {
    let sessions = state.people.own_sessions(&somebody(who)?);
    Ok(Json(json!({ "sessions": sessions })))
}

/// `DELETE /api/me/sessions`: `{"ended"}`, how many; the one that asks goes on.
pub(super) async fn end_others(
    State(state): State<AppState>,
    who: Option<Extension<Signed>>,
) -> Result<Json<Value>, Problem> {
    let ended = state.people.end_other_sessions(&somebody(who)?).await?;
    Ok(Json(json!({ "ended": ended })))
}

/// `DELETE /api/me/sessions/{id}`: `{"ended": 1}`; of another's nothing is known here.
pub(super) async fn end_session(
    State(state): State<AppState>,
    who: Option<Extension<Signed>>,
    InPath(id): InPath,
) -> Result<Json<Value>, Problem> {
    if !state.people.end_own_session(&somebody(who)?, &id).await? {
        return Err(Problem::NotFound {
            text: "none of your sessions is listed under this id".to_owned(),
            next: "List them with GET /api/me/sessions.",
        });
    }
    Ok(Json(json!({ "ended": 1 })))
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

/// `?before=&limit=&who=&outcome=` of the audit.
#[derive(Debug, Deserialize)]
pub(super) struct Before {
    before: Option<i64>,
    who: Option<String>,
    #[serde(default)]
    outcome: AuditOutcome,
    #[serde(default = "rows_default")]
    limit: u32,
}

/// `GET /api/audit?before=&limit=&who=&outcome=`: `{"rows": […], "next"}`, newest first; `next` is the `before` of
/// what comes after.
pub(super) async fn audit(
    State(state): State<AppState>,
    query: Result<Query<Before>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.clamp(1, ROWS_MAX);
    let sought = AuditSought::new(query.who.as_deref(), query.outcome);
    let rows = state.people.audit_of(&sought, query.before, limit + 1);
    let mut rows = rows.await?;
    let more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    Ok(Json(json!({ "rows": rows, "next": next })))
}
