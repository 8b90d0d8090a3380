//! `/projects`: what belongs together, and who does what in each project. Here, too, is what other pages offer
//! of projects: the choice of one in a form, the mark of one in a list.
//!
//! A page shows the projects in which whoever reads may look. Not here: who may come in (`people`).

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::people::{COMMON, Member, Project, ProjectRequest, Right, reach};
use lathe_workshop::{Operation, WorkshopError};
use serde_json::Value;

use super::alert::Alert;
use super::fields::Fields;
use super::in_path::InPath;
use super::people::{Tick, role_ticks};
use super::playground::encoded;
use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem};
use crate::lang::{Say, Tongue};
use crate::{AppState, api, format};

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    projects: Vec<Row>,
    pager: Pager,
    /// Whether whoever reads may make one.
    makes: bool,
    /// What was written into the form that made none.
    id: String,
    name: String,
    error: Option<Alert>,
}

struct Row {
    href: String,
    id: String,
    name: String,
    members: String,
    since: String,
    since_text: String,
}

#[derive(Template)]
#[template(path = "project.html")]
struct ProjectPage {
    frame: Frame,
    href: String,
    id: String,
    name: String,
    is_common: bool,
    /// What belongs to it: a word, how many, where they are listed.
    holds: Vec<(String, String, Option<String>)>,
    members: Vec<MemberRow>,
    /// Whether whoever reads may change its members, and what it is called.
    changes: bool,
    /// Whether whoever reads may delete it, if nothing belongs to it.
    deletes: bool,
    /// The people who may be given a part.
    people: Vec<String>,
    roles: Vec<Tick>,
    denied: Vec<Tick>,
    error: Option<Alert>,
}

struct MemberRow {
    name: String,
    display: String,
    roles: String,
    /// What they do there by their groups.
    granted: String,
    denied: String,
    /// Whether there is something that can be taken away here.
    is_by_hand: bool,
}

/// A project of a list to choose from.
pub(super) struct Choice {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) is_chosen: bool,
}

/// The projects in which whoever reads may do something; none where there is nothing to choose.
pub(super) fn choices(
    state: &AppState,
    say: Say,
    right: Right,
    chosen: Option<&str>,
) -> Vec<Choice> {
    let shown = reach::shown(right);
    let all = state.people.projects();
    let open: Vec<_> = all.iter().filter(|it| shown.has(&it.row.id)).collect();
    if open.iter().all(|it| it.row.id == COMMON) {
        return Vec::new();
    }
    // What was asked for is kept; else the common one, where it is among them.
    let chosen = chosen.unwrap_or(COMMON);
    let choice = |it: &&std::sync::Arc<Project>| Choice {
        is_chosen: it.row.id == chosen,
        name: name_of(say, it),
        id: it.row.id.clone(),
    };
    open.iter().map(choice).collect()
}

/// The project that whoever reads makes something in where they name none: the common one, for which none is
/// named, or the first in which they may.
pub(super) fn usual(state: &AppState, right: Right) -> Option<String> {
    let shown = reach::shown(right);
    if shown.has(COMMON) {
        return None;
    }
    let all = state.people.projects();
    let mut open = all.iter().filter(|it| shown.has(&it.row.id));
    open.next().map(|it| it.row.id.clone())
}

/// The project that a form names; none for the common one, which needs no naming.
pub(super) fn named(field: Option<&str>) -> Option<String> {
    let named = field.map(str::trim).filter(|it| !it.is_empty());
    named.filter(|it| *it != COMMON).map(str::to_owned)
}

/// The mark of a project in a list: what it is called; nothing for the common one.
pub(super) fn mark(state: &AppState, id: &str) -> String {
    match state.people.project(id) {
        Some(project) if id != COMMON => project.row.name.clone(),
        _ => String::new(),
    }
}

/// The marks of the projects that each of these datasets or models belongs to, in their order: those that
/// whoever reads may see.
pub(super) async fn marks(
    state: &AppState,
    digests: &[&str],
) -> Result<Vec<Vec<String>>, WorkshopError> {
    let shown = reach::shown(Right::Look);
    let homes = state.people.homes_of(digests).await?;
    let marks = |homes: Vec<String>| {
        let seen = homes.iter().filter(|it| shown.has(it));
        let marks = seen.map(|it| mark(state, it));
        marks.filter(|it| !it.is_empty()).collect()
    };
    Ok(homes.into_iter().map(marks).collect())
}

/// What people call a project, the common one in the reader's language.
pub(super) fn name_of(say: Say, project: &Project) -> String {
    match &project.row.id[..] {
        COMMON => say.it("web.projects.common"),
        _ => project.row.name.clone(),
    }
}

/// `GET /projects`.
pub(super) async fn list(
    State(state): State<AppState>,
    tongue: Tongue,
    page: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let page = page.map(|Query(page)| page).unwrap_or_default();
    show_all(&state, tongue, page, &Fields(Vec::new()), None)
}

/// `POST /projects`: makes one and goes to its page.
pub(super) async fn create(
    State(state): State<AppState>,
    tongue: Tongue,
    fields: Fields,
) -> Response {
    let id = fields.one("id").trim().to_owned();
    let request = ProjectRequest {
        id: id.clone(),
        name: fields.one("name").to_owned(),
    };
    match state.desk.operate(Operation::ProjectCreate(request)).await {
        Ok(_) => Redirect::to(&format!("/projects/{}", encoded(&id))).into_response(),
        Err(error) => show_all(&state, tongue, PageNumber::default(), &fields, Some(&error)),
    }
}

/// `GET /projects/{id}`.
pub(super) async fn one(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    show_one(&state, tongue, &id, None).await
}

/// `POST /projects/{id}/members`: gives somebody a part, another one than before.
pub(super) async fn member(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    fields: Fields,
) -> Response {
    let operation = fields.all("roles").and_then(|roles| {
        Ok(Operation::ProjectMember {
            project: id.clone(),
            person: fields.one("person").trim().to_owned(),
            roles,
            denied: fields.all("denied")?,
        })
    });
    match operation {
        Ok(operation) => operate(&state, tongue, &id, operation).await,
        Err(error) => show_one(&state, tongue, &id, Some(&error)).await,
    }
}

/// `POST /projects/{id}/name`: calls it something else.
pub(super) async fn rename(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    fields: Fields,
) -> Response {
    let operation = Operation::ProjectRename {
        id: id.clone(),
        name: fields.one("name").to_owned(),
    };
    operate(&state, tongue, &id, operation).await
}

/// `POST /projects/{id}/delete`: deletes it, where nothing belongs to it.
pub(super) async fn delete(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let operation = Operation::ProjectDelete { id: id.clone() };
    match state.desk.operate(operation).await {
        Ok(_) => Redirect::to("/projects").into_response(),
        Err(error) => show_one(&state, tongue, &id, Some(&error)).await,
    }
}

/// `POST /projects/{id}/leave`: takes somebody's part away.
pub(super) async fn leave(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    fields: Fields,
) -> Response {
    let operation = Operation::ProjectLeave {
        project: id.clone(),
        person: fields.one("person").to_owned(),
    };
    operate(&state, tongue, &id, operation).await
}

/// Does it and goes back to the project; to all of them where whoever did it may see it no more.
async fn operate(state: &AppState, tongue: Tongue, id: &str, operation: Operation) -> Response {
    match state.desk.operate(operation).await {
        Ok(_) if reach::shown(Right::Look).has(id) => {
            Redirect::to(&format!("/projects/{}", encoded(id))).into_response()
        }
        Ok(_) => Redirect::to("/projects").into_response(),
        Err(error) => show_one(state, tongue, id, Some(&error)).await,
    }
}

fn show_all(
    state: &AppState,
    tongue: Tongue,
    page: PageNumber,
    fields: &Fields,
    error: Option<&WorkshopError>,
) -> Response {
    let say = tongue.say;
    let shown = reach::shown(Right::Look);
    let all = state.people.projects();
    let seen = all.iter().filter(|it| shown.has(&it.row.id));
    let rows: Vec<Row> = seen
        .skip(page.offset() as usize)
        .map(|it| row(say, it))
        .collect();
    let page = ProjectsPage {
        pager: page.pager("/projects", rows.len()),
        projects: rows.into_iter().take(PAGE_ROWS as usize).collect(),
        makes: reach::now().is_none_or(|it| it.may_here(Right::People)),
        id: fields.one("id").to_owned(),
        name: fields.one("name").to_owned(),
        error: error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "projects"),
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

async fn show_one(
    state: &AppState,
    tongue: Tongue,
    id: &str,
    error: Option<&WorkshopError>,
) -> Response {
    let Some(project) = state.people.project(id) else {
        return Problem::Missing.page(tongue);
    };
    let show = Operation::ProjectShow { id: id.to_owned() };
    let shown = match state.desk.operate(show).await {
        Ok(shown) => shown,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let members = project.members.iter();
    let denied = |right: Right| Tick {
        value: right.name(),
        text: say.it_of("web.right", right.name()),
        note: String::new(),
        is_set: false,
    };
    let page = ProjectPage {
        href: format!("/projects/{}", encoded(id)),
        id: id.to_owned(),
        name: name_of(say, &project),
        is_common: id == COMMON,
        holds: holds(say, id, &shown["holds"]),
        members: members
            .map(|(name, member)| member_row(state, say, name, member))
            .collect(),
        changes: reach::now().is_none_or(|it| it.may(Right::People, id)),
        deletes: reach::now().is_none_or(|it| it.may_here(Right::People)),
        people: state
            .people
            .all()
            .iter()
            .map(|it| it.row.name.clone())
            .collect(),
        roles: role_ticks(say, |_| false),
        denied: Right::ALL.into_iter().map(denied).collect(),
        error: error.map(|it| Alert::new(say, it)),
        frame: Frame::new(tongue, "projects"),
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

/// What belongs to a project, with where it is listed.
fn holds(say: Say, id: &str, counts: &Value) -> Vec<(String, String, Option<String>)> {
    let listed = |name: &str| match name {
        "orders" => Some(format!("/?project={}", encoded(id))),
        _ => None,
    };
    ["orders", "datasets", "models", "deployments"]
        .into_iter()
        .map(|name| {
            let count = counts[name].as_u64().unwrap_or_default();
            let word = say.it_of("web.projects.holds", name);
            (word, format::count(count), listed(name))
        })
        .collect()
}

fn row(say: Say, project: &Project) -> Row {
    let row = &project.row;
    Row {
        href: format!("/projects/{}", encoded(&row.id)),
        id: row.id.clone(),
        name: name_of(say, project),
        members: format::count(project.members.len() as u64),
        since: format::moment(row.created_ms),
        since_text: format::moment_text(row.created_ms),
    }
}

fn member_row(state: &AppState, say: Say, name: &str, member: &Member) -> MemberRow {
    let join = say.it("web.people.join");
    let roles = member.roles.iter();
    let roles = roles.map(|it| say.it_of("web.duty", it.name()));
    let granted = member.granted.iter();
    let granted = granted.map(|it| say.it_of("web.duty", it.name()));
    let denied = member.denied.iter();
    let denied = denied.map(|it| say.it_of("web.right", it.name()));
    MemberRow {
        name: name.to_owned(),
        display: state
            .people
            .find(name)
            .map_or_else(|| name.to_owned(), |it| it.row.display.clone()),
        roles: roles.collect::<Vec<_>>().join(&join),
        granted: granted.collect::<Vec<_>>().join(&join),
        is_by_hand: !(member.roles.is_empty() && member.denied.is_empty()),
        denied: denied.collect::<Vec<_>>().join(&join),
    }
}
