//! `/orders/{id}/pause`, `/resume` and `/clone`: what is done to an order, as plain forms. Each goes
//! back to the page of the order, a clone to its own. The form of a clone has the fields of a new order's,
//! filled with what the order says; what differs from that is what the clone changes.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::draft::SettingMistake;
use lathe_workshop::people::{Right, answers_as};
use lathe_workshop::{Operation, OrderId, WorkshopError};
use serde_json::Value;

use super::answering::{self, Taken};
use super::fields::Fields;
use super::in_path::InPath;
use super::new_order::fields::{Group, Stage, emptied, groups, request_of, rest, stages};
use super::projects::{self, Choice};
use super::{Frame, Problem, short};
use crate::AppState;
use crate::api;
use crate::lang::Tongue;

#[derive(Template)]
#[template(path = "clone.html")]
struct ClonePage {
    frame: Frame,
    id: String,
    short_id: String,
    title: String,
    groups: Vec<Group>,
    stages: Vec<Stage>,
    more: String,
    /// Mistakes that are at no field of the form.
    mistakes: Vec<SettingMistake>,
    settings: Vec<(String, String)>,
    /// The projects that it may go into.
    projects: Vec<Choice>,
    /// Who answers under the name that the clone's model would take.
    taken: Option<Taken>,
    error: Option<(String, String)>,
}

/// The form as it was sent, and what is to be told of it.
#[derive(Default)]
struct Written {
    set: BTreeMap<String, Value>,
    /// Lines of changes that could not be read.
    more: Option<String>,
    project: Option<String>,
    mistakes: Vec<SettingMistake>,
    error: Option<WorkshopError>,
}

/// `POST /orders/{id}/pause`.
pub(super) async fn pause(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let order = OrderId(id.clone());
    operate(&state, tongue, &id, Operation::OrderPause { order }).await
}

/// `POST /orders/{id}/resume`.
pub(super) async fn resume(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let order = OrderId(id.clone());
    operate(&state, tongue, &id, Operation::OrderResume { order }).await
}

/// Does it and goes back to the order's page.
async fn operate(state: &AppState, tongue: Tongue, id: &str, operation: Operation) -> Response {
    // An address without such an order is a page that is not there, as everywhere.
    match state.desk.order(&OrderId(id.to_owned())).await {
        Ok(Some(_)) => {}
        Ok(None) => return Problem::Missing.page(tongue),
        Err(error) => return Problem::from(error).page(tongue),
    }
    match state.desk.operate(operation).await {
        Ok(_) => Redirect::to(&format!("/orders/{id}")).into_response(),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// `GET /orders/{id}/clone`: the form.
pub(super) async fn form(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    show(&state, tongue, OrderId(id), Written::default()).await
}

/// `POST /orders/{id}/clone`: places the clone and goes to its page, or shows the form again with
/// the reason why not. A form without any field clones the order as it is.
pub(super) async fn clone(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    fields: Fields,
) -> Response {
    let order = OrderId(id);
    let own = match own(&state, &order).await {
        Ok(own) => own,
        Err(problem) => return problem.page(tongue),
    };
    let project = Some(fields.one("project").to_owned()).filter(|it| !it.is_empty());
    let mut written = Written {
        project,
        mistakes: emptied(tongue.say, &fields.0),
        ..Written::default()
    };
    match request_of(&fields.0, &own) {
        Ok(request) => written.set = request.set,
        Err(error) => {
            written.more = Some(fields.one("more").to_owned());
            written.error = Some(error);
        }
    }
    if written.error.is_some() || !written.mistakes.is_empty() {
        return show(&state, tongue, order, written).await;
    }
    let operation = Operation::OrderClone {
        order: order.clone(),
        set: written.set.clone(),
        project: written.project.clone(),
    };
    match state.desk.operate(operation).await {
        Ok(done) => {
            let id = done["order"].as_str().unwrap_or_default();
            Redirect::to(&format!("/orders/{id}")).into_response()
        }
        Err(error) => {
            written.mistakes = match state.desk.clone_mistakes(&order, &written.set).await {
                Ok(mistakes) => mistakes,
                Err(error) => return Problem::from(error).page(tongue),
            };
            written.error = Some(error);
            show(&state, tongue, order, written).await
        }
    }
}

/// The settings of an order by their dotted paths.
async fn own(state: &AppState, id: &OrderId) -> Result<BTreeMap<String, Value>, Problem> {
    let settings = state.desk.settings(id).await?;
    let settings = settings.ok_or(Problem::Missing)?;
    Ok(settings.into_iter().collect())
}

async fn show(state: &AppState, tongue: Tongue, id: OrderId, written: Written) -> Response {
    match page(state, tongue.clone(), id, written).await {
        Ok((status, page)) => page.frame.answer(status, &page),
        Err(problem) => problem.page(tongue),
    }
}

async fn page(
    state: &AppState,
    tongue: Tongue,
    id: OrderId,
    written: Written,
) -> Result<(StatusCode, ClonePage), Problem> {
    let say = tongue.say;
    let order = state.desk.order(&id).await?.ok_or(Problem::Missing)?;
    let own = own(state, &id).await?;
    let project = written.project.as_deref().unwrap_or(&order.project);
    let named = written.set.get("name").and_then(Value::as_str);
    let name = answers_as(project, named.unwrap_or(&order.pack), order.demonstration);
    let status = match (&written.error, written.mistakes.is_empty()) {
        (Some(error), _) => api::status_of(error),
        (None, true) => StatusCode::OK,
        (None, false) => StatusCode::BAD_REQUEST,
    };
    // What stands at its setting need not be said once more for all of them.
    let error = written.error.filter(|_| written.mistakes.is_empty());
    let mut mistakes = written.mistakes;
    let page = ClonePage {
        taken: answering::taken(state, say, &name).await?,
        projects: projects::choices(state, say, Right::Tune, Some(project)),
        frame: Frame::new(tongue, "orders"),
        short_id: short(&id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        groups: groups(say, &own, &written.set, &mut mistakes, "web.clone.own"),
        stages: stages(say, &own, &written.set),
        more: written.more.unwrap_or_else(|| rest(&own, &written.set)),
        mistakes,
        settings: own
            .iter()
            .map(|(key, value)| (key.clone(), setting_text(value)))
            .collect(),
        error: error.map(|error| (error.to_string(), error.next().to_owned())),
        id: id.0,
    };
    Ok((status, page))
}

/// A setting as it is written in the form: text without quotes, all else as JSON.
pub(super) fn setting_text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
