//! `/keys`: the keys of the API, with their limits and what was asked with them today. A key is shown once, to
//! whoever had it issued (`told`), and nowhere else.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{COMMON, Right, Secret, reach};
use lathe_workshop::token::{Allowance, Scope, Token, TokenRequest};
use lathe_workshop::{Operation, WorkshopError};
use serde::Deserialize;

use super::alert::Alert;
use super::fields::Fields;
use super::in_path::InPath;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, projects};
use crate::lang::{Say, Tongue};
use crate::told::{Coming, Number, Told};
use crate::{AppState, api, format};

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    rows: Vec<Row>,
    scopes: Vec<Scoped>,
    /// The projects that a key can be for, where there is a choice.
    projects: Vec<projects::Choice>,
    /// Whether people log in here.
    has_people: bool,
    /// The key that was just issued.
    issued: Option<Issued>,
    /// The form as it was sent, where it was refused.
    written: Written,
    error: Option<Alert>,
    pager: Pager,
}

/// What stands in the form's fields.
#[derive(Default)]
struct Written {
    name: String,
    models: String,
    expires_days: String,
    requests_per_minute: String,
    tokens_per_minute: String,
    tokens_per_day: String,
}

impl Written {
    fn new(fields: &Fields) -> Written {
        let one = |key: &str| fields.one(key).to_owned();
        Written {
            name: one("name"),
            models: one("models"),
            expires_days: one("expires_days"),
            requests_per_minute: one("requests_per_minute"),
            tokens_per_minute: one("tokens_per_minute"),
            tokens_per_day: one("tokens_per_day"),
        }
    }
}

/// What there is to say beside the keys.
#[derive(Default)]
struct Came {
    issued: Option<Issued>,
    /// The form for a new key, as it was sent.
    fields: Option<Fields>,
    error: Option<WorkshopError>,
}

/// What a key may be for.
struct Scoped {
    name: &'static str,
    text: String,
    is_ticked: bool,
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
    /// When it was issued, and when it was last presented.
    when: String,
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
    coming: Result<Query<Coming>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    let coming = coming.map(|Query(coming)| coming).unwrap_or_default();
    let told = state.told.take(&coming, tongue.who.as_ref());
    let issued = told.and_then(|it| {
        Some(Issued {
            key: it.made?.0,
            unanswered: it.value,
        })
    });
    let came = Came {
        issued,
        ..Came::default()
    };
    show(&state, tongue, page, came)
}

/// `POST /keys`: issues the key and goes to the page that shows it once, or shows the form again with the reason.
pub(super) async fn issue(
    State(state): State<AppState>,
    tongue: Tongue,
    fields: Fields,
) -> Response {
    match issued(&state, &tongue, &fields).await {
        Ok(address) => Redirect::to(&address).into_response(),
        // The page asks for less than a key that opens everything, or one of another project.
        Err((error, Some(right))) if error.code() == "right-denied" => {
            Problem::Denied(right).page(tongue)
        }
        Err((error, _)) => {
            let came = Came {
                fields: Some(fields),
                error: Some(error),
                ..Came::default()
            };
            show(&state, tongue, PageNumber::default(), came)
        }
    }
}

/// Where the key that is asked for is shown; or why there is none, with the right that it takes.
async fn issued(
    state: &AppState,
    tongue: &Tongue,
    fields: &Fields,
) -> Result<String, (WorkshopError, Option<Right>)> {
    let number = Number::new().map_err(|error| (error, None))?;
    let request = request(fields).map_err(|error| (error, None))?;
    let models = request.models.clone();
    let operation = Operation::TokenCreate(request);
    let right = operation.right();
    let done = state.desk.operate(operation).await;
    let done = done.map_err(|error| (error, Some(right)))?;
    // The key is shown whatever becomes of looking for its models.
    let unanswered = unanswered(state, models).await.unwrap_or_default();
    let told = Told {
        key: "web.keys.issued",
        value: unanswered.join(&tongue.say.it("web.people.join")),
        name: String::new(),
        made: done["key"].as_str().map(|key| Secret(key.to_owned())),
    };
    state.told.keep(&number, tongue.who.as_ref(), told);
    Ok(number.of("/keys"))
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
        Err(error) => {
            let came = Came {
                error: Some(error),
                ..Came::default()
            };
            show(&state, tongue, PageNumber::default(), came)
        }
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

fn show(state: &AppState, tongue: Tongue, page: PageNumber, came: Came) -> Response {
    let say = tongue.say;
    let Came {
        issued,
        fields,
        error,
    } = came;
    // An answering key is what most want.
    let ticked = fields
        .as_ref()
        .map(|it| it.all::<String>("scopes").unwrap_or_default());
    let is_ticked = |name: &str| match &ticked {
        Some(ticked) => ticked.iter().any(|it| it == name),
        None => name == Scope::Answer.name(),
    };
    let project = fields.as_ref().map(project_of);
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
        projects: projects::choices(state, say, Right::Operate, project.as_deref()),
        scopes: scopes
            .map(|it| Scoped {
                name: it.name(),
                text: say.it_of("web.scope", it.name()),
                is_ticked: is_ticked(it.name()),
            })
            .collect(),
        has_people: !state.people.is_empty(),
        issued,
        written: fields.as_ref().map(Written::new).unwrap_or_default(),
        error: error.as_ref().map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "keys"),
    };
    let status = error.as_ref().map_or(StatusCode::OK, api::status_of);
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
    let moments = [
        ("web.keys.issued.at", Some(row.created_ms)),
        ("web.keys.used.at", row.last_used_ms),
    ];
    let when = moments.into_iter().filter_map(|(key, at_ms)| {
        let at = format::moment_text(at_ms?);
        Some(say.of(key, at))
    });
    Row {
        when: when.collect::<Vec<_>>().join(&join),
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
