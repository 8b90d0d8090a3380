//! `/keys`: the keys of the API, with their limits and what was asked with them today. A key is shown on the
//! page that answers its issue, and nowhere else.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{COMMON, Right, reach};
use lathe_workshop::token::{Allowance, Scope, Token, TokenRequest};
use lathe_workshop::{Operation, WorkshopError};
use serde::Deserialize;

use super::alert::Alert;
use super::fields::Fields;
use super::in_path::InPath;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, projects};
use crate::lang::{Say, Tongue};
use crate::{AppState, api, format};

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<Row>,
    scopes: Vec<(&'static str, String)>,
    /// The projects that a key can be for, where there is a choice.
    projects: Vec<projects::Choice>,
    /// The key that was just issued.
    issued: Option<Issued>,
    error: Option<Alert>,
    pager: Pager,
}

/// A key that was just issued.
struct Issued {
    key: String,
    /// The models it is limited to under whose names nothing answers now.
    unanswered: String,
}

struct Row {
    id: String,
    name: String,
    scopes: String,
    models: String,
    /// What its project is called; empty for the whole workshop.
    project: String,
    limits: String,
    today: String,
    state: String,
    is_open: bool,
}

/// Why a key is taken back.
#[derive(Debug, Deserialize)]
pub(super) struct RevokeForm {
    #[serde(default)]
    reason: String,
}

/// `GET /keys`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    page: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    show(&state, tongue, page, None, None)
}

/// `POST /keys`.
pub(super) async fn issue(
    State(state): State<AppState>,
    tongue: Tongue,
    fields: Fields,
) -> Response {
    let request = match request(&fields) {
        Ok(request) => request,
        Err(error) => return show(&state, tongue, PageNumber::default(), None, Some(&error)),
    };
    let models = request.models.clone();
    let operation = Operation::TokenCreate(request);
    // The page asks for less than a key that opens everything, or one of another project.
    let right = operation.right();
    match state.desk.operate(operation).await {
        Err(error) if error.code() == "right-denied" => Problem::Denied(right).page(tongue),
        Ok(done) => {
            // The key is shown whatever becomes of looking for its models.
            let unanswered = unanswered(&state, models).await.unwrap_or_default();
            let issued = done["key"].as_str().map(|key| Issued {
                key: key.to_owned(),
                unanswered: unanswered.join(&tongue.say.it("web.people.join")),
            });
            show(&state, tongue, PageNumber::default(), issued, None)
        }
        Err(error) => show(&state, tongue, PageNumber::default(), None, Some(&error)),
    }
}

/// The names of these under which nothing answers now.
async fn unanswered(
    state: &AppState,
    mut names: Vec<String>,
) -> Result<Vec<String>, WorkshopError> {
    if names.is_empty() {
        return Ok(names);
    }
    let own = state.desk.deployments().await?;
    let upstreams = state.desk.upstreams().await?;
    names.retain(|name| {
        let is_own = own.iter().any(|it| it.name == *name);
        !is_own && upstreams.iter().all(|it| it.name != *name)
    });
    Ok(names)
}

/// `POST /keys/{id}/revoke`.
pub(super) async fn revoke(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    Form(form): Form<RevokeForm>,
) -> Response {
    let reason = form.reason;
    let operation = Operation::TokenRevoke { id, reason };
    match state.desk.operate(operation).await {
        Ok(_) => Redirect::to("/keys").into_response(),
        Err(error) => show(&state, tongue, PageNumber::default(), None, Some(&error)),
    }
}

/// The project that the key is to be for.
fn project_of(fields: &Fields) -> String {
    match fields.one("project") {
        "" => COMMON.to_owned(),
        project => project.to_owned(),
    }
}

fn request(fields: &Fields) -> Result<TokenRequest, WorkshopError> {
    let models = fields.one("models").split([',', '，']).map(str::trim);
    let models = models.filter(|it| !it.is_empty()).map(str::to_owned);
    Ok(TokenRequest {
        name: fields.one("name").to_owned(),
        scopes: fields.all("scopes")?,
        models: models.collect(),
        project: project_of(fields),
        expires_days: fields.number("expires_days")?,
        allowance: Allowance {
            requests_per_minute: fields.number("requests_per_minute")?,
            tokens_per_minute: fields.number("tokens_per_minute")?,
            tokens_per_day: fields.number("tokens_per_day")?,
        },
    })
}

fn show(
    state: &AppState,
    tongue: Tongue,
    page: PageNumber,
    issued: Option<Issued>,
    error: Option<&WorkshopError>,
) -> Response {
    let say = tongue.say;
    let (all, seen) = (state.tokens.all(), reach::shown(Right::Operate));
    let own = all.iter().filter(|it| seen.has(it.project()));
    let newest = own.rev().skip(page.offset() as usize);
    let newest: Vec<_> = newest.take(PAGE_ROWS as usize + 1).collect();
    let scopes = Scope::ALL.into_iter();
    let page = KeysPage {
        pager: page.pager("/keys", newest.len()),
        rows: newest
            .iter()
            .take(PAGE_ROWS as usize)
            .map(|it| row(state, say, it))
            .collect(),
        projects: projects::choices(state, say, Right::Operate, None),
        scopes: scopes
            .map(|it| (it.name(), say.it_of("web.scope", it.name())))
            .collect(),
        issued,
        error: error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "keys"),
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

fn row(state: &AppState, say: Say, token: &Token) -> Row {
    let row = token.row();
    let today = token.today();
    let join = say.it("web.people.join");
    let scopes = row
        .scopes
        .iter()
        .map(|it| say.it_of("web.scope", it.name()));
    let limits = [
        (
            "minute.requests",
            row.allowance.requests_per_minute.map(u64::from),
        ),
        (
            "minute.tokens",
            row.allowance.tokens_per_minute.map(u64::from),
        ),
        ("day.tokens", row.allowance.tokens_per_day),
    ];
    let limits = limits.into_iter().filter_map(|(name, limit)| {
        let limit = format::count(limit?);
        Some(say.of(&format!("web.keys.limit.{name}"), limit))
    });
    let used = [
        ("requests", format::count(today.requests)),
        (
            "tokens",
            format::count(today.prompt_tokens + today.answer_tokens),
        ),
    ];
    let used = used.each_ref().map(|(name, count)| (*name, count.as_str()));
    let ended = match (row.revoked_ms, row.expires_ms) {
        (Some(at_ms), _) => Some(say.of("web.keys.revoked", format::moment_text(at_ms))),
        (None, Some(at_ms)) if at_ms <= super::now_ms() => {
            Some(say.of("web.keys.expired", format::moment_text(at_ms)))
        }
        _ => None,
    };
    let ends = row.expires_ms.map(format::moment_text);
    Row {
        scopes: scopes.collect::<Vec<_>>().join(&join),
        models: row.models.join(&join),
        project: projects::mark(state, &row.project),
        limits: limits.collect::<Vec<_>>().join(&join),
        today: say.with("web.keys.today", &used),
        is_open: ended.is_none(),
        state: ended
            .or_else(|| ends.map(|ends| say.of("web.keys.until", ends)))
            .unwrap_or_else(|| say.it("web.keys.open")),
        id: row.id,
        name: row.name,
    }
}
