//! `/login` and `/logout`: once there are people, they come in here, with a password or by a provider
//! (`/login/oidc/NAME` begins, `/login/oidc/NAME/back` ends).
//!
//! Whoever logs in gets a session of a new id, and the one that the browser brought ends. From here one goes
//! to a page of this workshop and nowhere else.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::outside::Back;
use lathe_workshop::people::{Attempt, AuditRow, Secret, Shut, Unmet};
use serde::Deserialize;

use super::in_path::InPath;
use super::playground::encoded;
use super::{Frame, Problem};
use crate::AppState;
use crate::lang::Tongue;
use crate::told::{Coming, Told};
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    name: String,
    next: String,
    error: Option<String>,
    ways: Vec<Button>,
    first: Option<First>,
}

/// The first account, which was made a moment ago: why one has to log in from now on.
struct First {
    text: String,
    /// Its password where one was made, shown this once.
    made: Option<String>,
    /// What to do with the password.
    keep: String,
}

/// A provider that one may sign in by.
struct Button {
    href: String,
    text: String,
}

/// `?next=`: where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Whither {
    #[serde(default)]
    next: String,
}

/// Who wants in.
#[derive(Deserialize)]
pub(super) struct LoginForm {
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    next: String,
}

/// What is told of the first account.
pub(super) const FIRST: &str = "web.login.first";

/// `GET /login`; where there is nobody, or somebody is in already, the first page.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    whither: Result<Query<Whither>, QueryRejection>,
    coming: Result<Query<Coming>, QueryRejection>,
) -> Response {
    let next = whither.map(|Query(it)| it.next).unwrap_or_default();
    if state.people.is_empty() || tongue.who.is_some() {
        return Redirect::to(within(&next)).into_response();
    }
    let coming = coming.map(|Query(coming)| coming).unwrap_or_default();
    match state.told.take(&coming, None) {
        Some(told) => after_first(&state, tongue, told),
        None => show(&state, tongue, StatusCode::OK, (String::new(), next), None),
    }
}

/// The page after the first account was made, or after one's own password was made anew: it says why one is asked
/// to log in, and with which password.
fn after_first(state: &AppState, tongue: Tongue, told: Told) -> Response {
    let (say, name) = (tongue.say, told.name);
    let keep = match told.made {
        Some(_) => "web.login.first.made",
        None => "web.login.first.given",
    };
    let first = First {
        text: say.of(told.key, &told.value),
        made: told.made.map(|it| it.0),
        keep: say.of(keep, &name),
    };
    // Whoever made the first account goes on letting people in.
    let next = match told.key {
        FIRST => "/people",
        _ => "",
    };
    let page = LoginPage {
        first: Some(first),
        ..filled(state, tongue, (name, next.to_owned()), None)
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// `POST /login`.
pub(super) async fn log_in(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
    Form(form): Form<LoginForm>,
) -> Response {
    let LoginForm {
        name,
        password,
        next,
    } = form;
    let attempt = Attempt {
        name: name.clone(),
        password: Secret(password),
        address: visitor.address,
        agent: visitor.agent.clone(),
        before: visitor.session.clone(),
    };
    match state.people.log_in(attempt).await {
        Ok(id) => {
            let to = Redirect::to(within(&next));
            ([(SET_COOKIE, visitor.keeps(&id))], to).into_response()
        }
        Err(shut) => stays_out(&state, tongue, (name, next), shut),
    }
}

/// `GET /login/oidc/{name}`: to the provider's page.
pub(super) async fn begin(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
    InPath(name): InPath,
    whither: Result<Query<Whither>, QueryRejection>,
) -> Response {
    let next = whither.map(|Query(it)| it.next).unwrap_or_default();
    if state.people.is_empty() || tongue.who.is_some() {
        return Redirect::to(within(&next)).into_response();
    }
    match state.people.begin_outside(&name, within(&next)).await {
        Ok(Some(begun)) => {
            let cookie = visitor.keeps_begun(Some(&begun.id));
            ([(SET_COOKIE, cookie)], Redirect::to(&begun.url)).into_response()
        }
        Ok(None) => Problem::Missing.page(tongue),
        Err(shut) => stays_out(&state, tongue, (String::new(), next), shut),
    }
}

/// What a provider sends with the browser.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Brought {
    #[serde(default)]
    state: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    error: String,
    iss: Option<String>,
}

/// `GET /login/oidc/{name}/back`: in, or to the page that says why not. The session is a new one, whatever the
/// browser brought.
pub(super) async fn end(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
    InPath(way): InPath,
    brought: Result<Query<Brought>, QueryRejection>,
) -> Response {
    let brought = brought.map(|Query(it)| it).unwrap_or_default();
    let is_refused = !brought.error.is_empty();
    let back = Back {
        way,
        id: visitor.begun.clone(),
        state: brought.state,
        code: if is_refused {
            String::new()
        } else {
            brought.code
        },
        issuer: brought.iss,
        address: visitor.address,
        agent: visitor.agent.clone(),
        before: visitor.session.clone(),
    };
    let forgets = visitor.keeps_begun(None);
    let mut response = match state.people.end_outside(back).await {
        Ok(Some(entered)) => {
            let to = Redirect::to(within(&entered.next));
            ([(SET_COOKIE, visitor.keeps(&entered.id))], to).into_response()
        }
        Ok(None) => return Problem::Missing.page(tongue),
        Err(shut) => stays_out(&state, tongue, Default::default(), shut),
    };
    response.headers_mut().append(SET_COOKIE, forgets);
    response
}

/// `POST /logout`.
pub(super) async fn log_out(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
) -> Response {
    if let Some(id) = &visitor.session
        && let Err(error) = state.people.log_out(id).await
    {
        return Problem::from(error).page(tongue);
    }
    if let Some(who) = &tongue.who {
        let by = who.person.told();
        let row = AuditRow::now("logout", &by, "log out", "done");
        state.people.note(row);
    }
    let to = Redirect::to("/login");
    ([(SET_COOKIE, visitor.forgets())], to).into_response()
}

/// The page again, with the reason; what was written stays, the password apart.
fn stays_out(state: &AppState, tongue: Tongue, written: (String, String), shut: Shut) -> Response {
    let say = tongue.say;
    let (status, error) = match shut {
        Shut::Wrong => (StatusCode::UNAUTHORIZED, say.it("web.login.wrong")),
        Shut::Unmet(unmet) => {
            let status = match unmet {
                Unmet::Unanswered => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::FORBIDDEN,
            };
            (status, say.it_of("web.login.unmet", unmet.name()))
        }
        Shut::Braked(wait_s) => {
            let error = say.of("web.login.braked", wait_s.div_ceil(60));
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = show(state, tongue, status, written, Some(error));
            let wait = HeaderValue::from(wait_s);
            response.headers_mut().insert(RETRY_AFTER, wait);
            return response;
        }
        Shut::Failed(error) => return Problem::from(error).page(tongue),
    };
    show(state, tongue, status, written, Some(error))
}

fn show(
    state: &AppState,
    tongue: Tongue,
    status: StatusCode,
    written: (String, String),
    error: Option<String>,
) -> Response {
    let page = filled(state, tongue, written, error);
    page.frame.answer(status, &page)
}

fn filled(
    state: &AppState,
    tongue: Tongue,
    (name, next): (String, String),
    error: Option<String>,
) -> LoginPage {
    let say = tongue.say;
    let ways = state.people.ways().into_iter().map(|way| Button {
        href: format!("/login/oidc/{}?next={}", way.name, encoded(within(&next))),
        text: say.of("web.login.by", way.title),
    });
    LoginPage {
        ways: ways.collect(),
        frame: Frame::new(tongue, "login"),
        name,
        next,
        error,
        first: None,
    }
}

/// `next` if it is a path of this workshop: browsers read `//x` and `/\x` as another host.
fn within(next: &str) -> &str {
    let rest = next.strip_prefix('/');
    let is_path = rest.is_some_and(|rest| !rest.starts_with(['/', '\\']));
    let is_plain = next.bytes().all(|byte| (0x21..0x7f).contains(&byte));
    if is_path && is_plain { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use super::within;

    #[test]
    fn from_here_one_goes_to_a_page_of_this_workshop() {
        for path in ["/", "/orders/7?page=2", "/data"] {
            assert_eq!(within(path), path);
        }
        for other in [
            "",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "javascript:alert(1)",
            "/a\r\nset-cookie: b",
            "/\t/evil.example",
            "data",
        ] {
            assert_eq!(within(other), "/", "{other}");
        }
    }
}
