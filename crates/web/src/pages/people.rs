//! `/people`: who may come in, and do what. The first person is let in here or by `lathe people add`; from
//! then on the pages ask who one is.
//!
//! What was done is said on the page that one is led to, once, and a password that was made stands there and nowhere
//! else (`told`). Not here: one's own account.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{Person, PersonRequest, PersonRole, Right, Secret};
use lathe_workshop::{Operation, WorkshopError};
use serde_json::Value;

use super::alert::Alert;
use super::fields::Fields;
use super::in_path::InPath;
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, login};
use crate::lang::{Say, Tongue};
use crate::told::{Coming, Number, Told};
use crate::{AppState, api, format};

#[derive(Template)]
#[template(path = "people.html")]
struct PeoplePage {
    frame: Frame,
    people: Vec<Row>,
    /// Whether nobody was let in yet.
    is_first: bool,
    pager: Pager,
    /// What was written into the form that let nobody in.
    name: String,
    display: String,
    roles: Vec<Tick>,
    error: Option<Alert>,
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    frame: Frame,
    person: Row,
    roles: Vec<Tick>,
    denied: Vec<Tick>,
    /// What was done a moment ago.
    done: Option<String>,
    /// A password that was made, shown this once.
    made: Option<String>,
    error: Option<Alert>,
}

/// What is shown with somebody: what came of a form.
#[derive(Default)]
struct Came<'a> {
    told: Option<Told>,
    error: Option<&'a WorkshopError>,
}

impl<'a> Came<'a> {
    fn refused(error: &'a WorkshopError) -> Came<'a> {
        Came {
            told: None,
            error: Some(error),
        }
    }
}

struct Row {
    href: String,
    name: String,
    display: String,
    roles: String,
    denied: String,
    is_out: bool,
    /// Whence they are; empty for a person of the workshop.
    origin: String,
    /// Who they are there.
    subject: String,
    /// Their roles, as they are written.
    role_names: Vec<&'static str>,
    /// Whether they may log in and do nothing: they have neither a role nor a part in a project.
    is_idle: bool,
    /// At how many places they are logged in, in words.
    sessions: String,
    since: String,
    since_text: String,
}

/// A box that may be ticked.
pub(super) struct Tick {
    pub(super) value: &'static str,
    pub(super) text: String,
    pub(super) note: String,
    pub(super) is_set: bool,
}

/// `GET /people`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    page: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    show_all(&state, tongue, page, &Fields(Vec::new()), None)
}

/// `POST /people`: lets somebody in and goes to their page, which shows the password that was made. After the first
/// one everybody signs in: whoever let them in is led there.
pub(super) async fn add(State(state): State<AppState>, tongue: Tongue, fields: Fields) -> Response {
    let added = async {
        let (request, number) = (request(&fields)?, Number::new()?);
        let added = state.desk.operate(Operation::PersonAdd(request)).await?;
        Ok::<_, WorkshopError>((added, number))
    };
    let (added, number) = match added.await {
        Ok(added) => added,
        Err(error) => {
            return show_all(&state, tongue, PageNumber::default(), &fields, Some(&error));
        }
    };
    let name = added["name"].as_str().unwrap_or_default().to_owned();
    let (key, path) = match added.get("from_now_on") {
        Some(_) => (login::FIRST, "/login".to_owned()),
        None => ("web.people.told.added", path_of(&name)),
    };
    let told = Told {
        key,
        value: name.clone(),
        name,
        made: made(&added),
    };
    state.told.keep(&number, tongue.who.as_ref(), told);
    Redirect::to(&number.of(&path)).into_response()
}

/// `GET /people/{name}`.
pub(super) async fn one(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(name): InPath,
    coming: Result<Query<Coming>, QueryRejection>,
) -> Response {
    let coming = coming.map(|Query(coming)| coming).unwrap_or_default();
    let told = state.told.take(&coming, tongue.who.as_ref());
    show_one(&state, tongue, &name, Came { told, error: None })
}

/// `POST /people/{name}/roles`.
pub(super) async fn roles(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(name): InPath,
    fields: Fields,
) -> Response {
    let operation = fields.all("roles").and_then(|roles| {
        Ok(Operation::PersonRoles {
            name: name.clone(),
            roles,
            denied: fields.all("denied")?,
        })
    });
    match operation {
        Ok(operation) => operate(&state, tongue, &name, operation, "web.people.told.saved").await,
        Err(error) => show_one(&state, tongue, &name, Came::refused(&error)),
    }
}

/// `POST /people/{name}/password`: a new one is made and shown.
pub(super) async fn password(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(name): InPath,
) -> Response {
    let operation = Operation::PersonPassword {
        name: name.clone(),
        password: None,
    };
    operate(&state, tongue, &name, operation, "web.people.told.password").await
}

/// `POST /people/{name}/disable`.
pub(super) async fn disable(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(name): InPath,
) -> Response {
    let operation = Operation::PersonDisable { name: name.clone() };
    operate(&state, tongue, &name, operation, "web.people.told.disabled").await
}

/// `POST /people/{name}/enable`.
pub(super) async fn enable(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(name): InPath,
) -> Response {
    let operation = Operation::PersonEnable { name: name.clone() };
    operate(&state, tongue, &name, operation, "web.people.told.enabled").await
}

/// Does it and goes back to the person, where `key` says once that it is done.
async fn operate(
    state: &AppState,
    tongue: Tongue,
    name: &str,
    operation: Operation,
    key: &'static str,
) -> Response {
    let done = async {
        let number = Number::new()?;
        let done = state.desk.operate(operation).await?;
        Ok::<_, WorkshopError>((done, number))
    };
    match done.await {
        Ok((done, number)) => {
            let told = Told {
                key,
                value: called(state, name),
                name: name.to_owned(),
                made: made(&done),
            };
            // With a new password of their own their session has ended: they read it where they log in.
            let who = tongue.who.as_ref();
            let is_own = who.is_some_and(|who| who.person.row.name == name);
            let (who, path) = match is_own && told.made.is_some() {
                true => (None, "/login".to_owned()),
                false => (who, path_of(name)),
            };
            state.told.keep(&number, who, told);
            Redirect::to(&number.of(&path)).into_response()
        }
        Err(error) => show_one(state, tongue, name, Came::refused(&error)),
    }
}

/// The page of somebody.
fn path_of(name: &str) -> String {
    format!("/people/{}", encoded(name))
}

/// What people call them.
fn called(state: &AppState, name: &str) -> String {
    let person = state.people.find(name);
    person.map_or_else(|| name.to_owned(), |it| it.row.display.clone())
}

/// Who is to be let in, as the form tells it.
fn request(fields: &Fields) -> Result<PersonRequest, WorkshopError> {
    let password = fields.one("password");
    Ok(PersonRequest {
        name: fields.one("name").to_owned(),
        display: fields.one("display").to_owned(),
        roles: fields.all("roles")?,
        denied: Vec::new(),
        password: (!password.is_empty()).then(|| Secret(password.to_owned())),
    })
}

fn made(done: &Value) -> Option<Secret> {
    done["password"].as_str().map(|it| Secret(it.to_owned()))
}

fn show_all(
    state: &AppState,
    tongue: Tongue,
    page: PageNumber,
    fields: &Fields,
    error: Option<&WorkshopError>,
) -> Response {
    let say = tongue.say;
    let people = state.people.all();
    // Without anybody, the first one has to be an administrator.
    let first = people.is_empty().then_some(PersonRole::Administrator);
    let ticked = fields.all("roles").unwrap_or_default();
    let shown: Vec<_> = people.iter().skip(page.offset() as usize).collect();
    let page = PeoplePage {
        is_first: people.is_empty(),
        pager: page.pager("/people", shown.len()),
        people: shown
            .into_iter()
            .take(PAGE_ROWS as usize)
            .map(|it| row(state, say, it))
            .collect(),
        name: fields.one("name").to_owned(),
        display: fields.one("display").to_owned(),
        roles: role_ticks(say, |role| ticked.contains(&role) || first == Some(role)),
        error: error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "people"),
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

fn show_one(state: &AppState, tongue: Tongue, name: &str, came: Came<'_>) -> Response {
    let Some(person) = state.people.find(name) else {
        return Problem::Missing.page(tongue);
    };
    let say = tongue.say;
    let tick = |right: Right| Tick {
        value: right.name(),
        text: say.it_of("web.right", right.name()),
        note: String::new(),
        is_set: person.row.denied.contains(&right),
    };
    let page = PersonPage {
        person: row(state, say, &person),
        roles: role_ticks(say, |role| person.row.roles.contains(&role)),
        denied: Right::ALL.into_iter().map(tick).collect(),
        done: came.told.as_ref().map(|it| say.of(it.key, &it.value)),
        made: came.told.and_then(|it| it.made).map(|it| it.0),
        error: came.error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "people"),
    };
    let status = came.error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

pub(super) fn role_ticks(say: Say, is_set: impl Fn(PersonRole) -> bool) -> Vec<Tick> {
    let tick = |role: PersonRole| Tick {
        value: role.name(),
        text: say.it_of("web.duty", role.name()),
        note: say.it_of("web.duty.text", role.name()),
        is_set: is_set(role),
    };
    PersonRole::ALL.into_iter().map(tick).collect()
}

/// Whence somebody is, in words; empty for a person of the workshop.
pub(super) fn origin(say: Say, person: &Person) -> String {
    let Some(origin) = &person.row.origin else {
        return String::new();
    };
    let kind = say.it_of("web.people.kind", origin.kind.name());
    say.with("web.people.from", &[("way", &origin.way), ("kind", &kind)])
}

fn row(state: &AppState, say: Say, person: &Person) -> Row {
    let row = &person.row;
    let roles = row.roles.iter().map(|it| say.it_of("web.duty", it.name()));
    let denied = row
        .denied
        .iter()
        .map(|it| say.it_of("web.right", it.name()));
    let join = say.it("web.people.join");
    Row {
        href: path_of(&row.name),
        name: row.name.clone(),
        display: row.display.clone(),
        roles: roles.collect::<Vec<_>>().join(&join),
        denied: denied.collect::<Vec<_>>().join(&join),
        is_out: person.is_disabled(),
        origin: origin(say, person),
        subject: row.origin.as_ref().map_or("", |it| &it.subject).to_owned(),
        role_names: row.roles.iter().map(|it| it.name()).collect(),
        is_idle: row.roles.is_empty()
            && !person.is_disabled()
            && state.people.parts_of(person).is_empty(),
        sessions: places(say, state.people.sessions_of(&row.name).len()),
        since: format::moment(row.created_ms),
        since_text: format::moment_text(row.created_ms),
    }
}

/// At how many places somebody is logged in.
fn places(say: Say, sessions: usize) -> String {
    match sessions {
        0 => "–".to_owned(),
        1 => say.it("web.people.sessions.one"),
        many => say.of("web.people.sessions.many", many),
    }
}
