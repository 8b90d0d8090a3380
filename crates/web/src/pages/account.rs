//! `/account`: whoever is logged in sees what they may, changes their password, and ends their sessions.
//! Nobody sees another's.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{
    Member, OwnSession, PasswordChange, Person, Project, Right, Secret, Signed,
};
use serde::Deserialize;

use super::alert::Alert;
use super::in_path::InPath;
use super::playground::encoded;
use super::{Frame, Problem, projects};
use crate::lang::{Say, Tongue};
use crate::visitor::Visitor;
use crate::{AppState, api, format};

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    frame: Frame,
    name: String,
    display: String,
    /// Whence they are; empty for a person of the workshop, who has a password here.
    origin: String,
    roles: Vec<String>,
    rights: Vec<String>,
    /// Rights that they never have, in no project.
    denied: Vec<String>,
    /// The projects in which they have a part of their own.
    projects: Vec<Part>,
    sessions: Vec<Row>,
    error: Option<Alert>,
}

/// What they do in a project.
struct Part {
    href: String,
    id: String,
    name: String,
    roles: Vec<String>,
    denied: Vec<String>,
}

/// A place where they are logged in.
struct Row {
    id: String,
    browser: String,
    /// The browser, as it calls itself.
    agent: String,
    is_this: bool,
    began: String,
    began_text: String,
    seen: String,
    seen_text: String,
}

/// The password now, and the next one twice.
#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    old: String,
    #[serde(default)]
    new: String,
    #[serde(default)]
    again: String,
}

/// `GET /account`.
pub(super) async fn page(State(state): State<AppState>, tongue: Tongue) -> Response {
    match tongue.who.clone() {
        Some(who) => show(&state, tongue, &who, None),
        None => Redirect::to("/people").into_response(),
    }
}

/// `POST /account/password`: they are logged out everywhere, and in again here.
pub(super) async fn password(
    State(state): State<AppState>,
    tongue: Tongue,
    visitor: Visitor,
    Form(form): Form<PasswordForm>,
) -> Response {
    let Some(who) = tongue.who.clone() else {
        return Problem::Missing.page(tongue);
    };
    if form.new != form.again {
        let told = Alert::own(&tongue.say.it("web.account.unequal"), "");
        return show(&state, tongue, &who, Some((StatusCode::BAD_REQUEST, told)));
    }
    let change = PasswordChange {
        old: Secret(form.old),
        new: Secret(form.new),
    };
    let name = &who.person.row.name;
    let changed = state
        .people
        .change_own_password(name, change, &visitor.agent);
    match changed.await {
        Ok(id) => {
            let to = Redirect::to("/account");
            ([(SET_COOKIE, visitor.keeps(&id))], to).into_response()
        }
        Err(error) => {
            let told = Alert::new(tongue.say, &error);
            show(&state, tongue, &who, Some((api::status_of(&error), told)))
        }
    }
}

/// `POST /account/sessions/{id}/end`: one of their own; of another's nothing is known here.
pub(super) async fn end_session(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let Some(who) = tongue.who.clone() else {
        return Problem::Missing.page(tongue);
    };
    match state.people.end_own_session(&who, &id).await {
        Ok(true) => Redirect::to("/account").into_response(),
        Ok(false) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// `POST /account/sessions/end`: all of their own but this one.
pub(super) async fn end_others(State(state): State<AppState>, tongue: Tongue) -> Response {
    let Some(who) = tongue.who.clone() else {
        return Problem::Missing.page(tongue);
    };
    match state.people.end_other_sessions(&who).await {
        Ok(_) => Redirect::to("/account").into_response(),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show(
    state: &AppState,
    tongue: Tongue,
    who: &Signed,
    refused: Option<(StatusCode, Alert)>,
) -> Response {
    let say = tongue.say;
    let (status, error) = match refused {
        Some((status, error)) => (status, Some(error)),
        None => (StatusCode::OK, None),
    };
    let person = &who.person;
    let sessions = state.people.own_sessions(who);
    let row = |session: OwnSession| Row {
        browser: browser(&session.agent),
        is_this: session.current,
        began: format::moment(session.created_ms),
        began_text: format::moment_text(session.created_ms),
        seen: format::moment(session.seen_ms),
        seen_text: format::moment_text(session.seen_ms),
        id: session.id,
        agent: session.agent,
    };
    let rights = Right::ALL.into_iter().filter(|right| person.may(*right));
    let page = AccountPage {
        name: person.row.name.clone(),
        display: person.row.display.clone(),
        origin: super::people::origin(say, person),
        roles: person
            .row
            .roles
            .iter()
            .map(|role| say.it_of("web.duty", role.name()))
            .collect(),
        rights: rights
            .map(|right| say.it_of("web.right", right.name()))
            .collect(),
        denied: denials(say, &person.row.denied),
        projects: parts(state, say, person),
        sessions: sessions.into_iter().map(row).collect(),
        error,
        frame: Frame::new(tongue, "account"),
    };
    page.frame.answer(status, &page)
}

fn denials(say: Say, denied: &[Right]) -> Vec<String> {
    let word = |it: &Right| say.it_of("web.right", it.name());
    denied.iter().map(word).collect()
}

/// Their part in each project.
fn parts(state: &AppState, say: Say, person: &Person) -> Vec<Part> {
    let part = |(project, member): (Arc<Project>, Member)| Part {
        href: format!("/projects/{}", encoded(&project.row.id)),
        name: projects::name_of(say, &project),
        roles: member
            .all_roles()
            .iter()
            .map(|role| say.it_of("web.duty", role.name()))
            .collect(),
        denied: denials(say, &member.denied),
        id: project.row.id.clone(),
    };
    let all = state.people.parts_of(person);
    all.into_iter().map(part).collect()
}

/// A browser and its system by the names that people know; what is none of them stands as it calls itself.
/// Several claim to be others too: those come first.
fn browser(agent: &str) -> String {
    let browsers = [
        ("Edg/", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    let systems = [
        ("HarmonyOS", "HarmonyOS"),
        ("Android", "Android"),
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Windows", "Windows"),
        ("Macintosh", "macOS"),
        ("Linux", "Linux"),
    ];
    let known = |names: &[(&str, &'static str)]| {
        let mut names = names.iter();
        names.find(|it| agent.contains(it.0)).map(|it| it.1)
    };
    match (known(&browsers), known(&systems)) {
        (Some(browser), Some(system)) => format!("{browser} · {system}"),
        (Some(browser), None) => browser.to_owned(),
        (None, _) => agent.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::browser;

    #[test]
    fn browsers_are_called_by_the_names_that_people_know() {
        for (agent, name) in [
            (
                "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
                "Chrome · Linux",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0",
                "Edge · Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1",
                "Safari · iPhone",
            ),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:145.0) Gecko/20100101 Firefox/145.0",
                "Firefox · Windows",
            ),
            ("curl/8.5.0", "curl/8.5.0"),
            ("", ""),
        ] {
            assert_eq!(browser(agent), name, "{agent}");
        }
    }
}
