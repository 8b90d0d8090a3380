//! `/login` and `/logout`: once there are people, they come in here.
//!
//! Whoever logs in gets a session of a new id, and the one that the browser brought ends. From here one goes
//! to a page of this workshop and nowhere else.

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::header::{RETRY_AFTER, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{Attempt, AuditRow, Secret, Shut};
use serde::Deserialize;

use super::{Frame, Problem};
use crate::AppState;
use crate::lang::Tongue;
use crate::visitor::Visitor;

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage {
    frame: Frame,
    name: String,
    next: String,
    error: Option<String>,
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

/// `GET /login`; where there is nobody, or somebody is in already, the first page.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    whither: Result<Query<Whither>, QueryRejection>,
) -> Response {
    let next = whither.map(|Query(it)| it.next).unwrap_or_default();
    if state.people.is_empty() || tongue.who.is_some() {
        return Redirect::to(within(&next)).into_response();
    }
    show(tongue, StatusCode::OK, String::new(), next, None)
}

/// `POST /login`.
pub(super) async fn log_in(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
    form: Result<Form<LoginForm>, FormRejection>,
) -> Response {
    let LoginForm {
        name,
        password,
        next,
    } = match form {
        Ok(Form(form)) => form,
        Err(rejection) => return rejection.into_response(),
    };
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
        Err(Shut::Wrong) => {
            let error = tongue.say.it("web.login.wrong");
            show(tongue, StatusCode::UNAUTHORIZED, name, next, Some(error))
        }
        Err(Shut::Braked(wait_s)) => {
            let minutes = wait_s.div_ceil(60);
            let error = tongue.say.of("web.login.braked", minutes);
            let status = StatusCode::TOO_MANY_REQUESTS;
            let mut response = show(tongue, status, name, next, Some(error));
            let wait = HeaderValue::from(wait_s);
            response.headers_mut().insert(RETRY_AFTER, wait);
            response
        }
        Err(Shut::Failed(error)) => Problem::from(error).page(tongue),
    }
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

fn show(
    tongue: Tongue,
    status: StatusCode,
    name: String,
    next: String,
    error: Option<String>,
) -> Response {
    let page = LoginPage {
        frame: Frame::new(tongue, "login"),
        name,
        next,
        error,
    };
    page.frame.answer(status, &page)
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
