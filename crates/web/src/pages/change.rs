//! `/orders/{id}/pause`, `/resume` and `/clone`: what is done to an order, as plain forms. Each goes
//! back to the page of the order, a clone to its own.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::pack::change::parse_all;
use lathe_workshop::people::Right;
use lathe_workshop::{Operation, OrderId, WorkshopError};
use serde::Deserialize;
use serde_json::Value;

use super::in_path::InPath;
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
    set: String,
    settings: Vec<(String, String)>,
    /// The projects that it may go into.
    projects: Vec<Choice>,
    error: Option<(String, String)>,
}

/// What is to be changed, one `KEY=VALUE` a line.
#[derive(Debug, Deserialize)]
pub(super) struct CloneForm {
    #[serde(default)]
    set: String,
    /// The project that it goes into; the order's own where none is named.
    #[serde(default)]
    project: String,
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
    let written = (String::new(), None);
    show(&state, tongue, OrderId(id), written, None).await
}

/// `POST /orders/{id}/clone`: places the clone and goes to its page, or shows the form again with
/// the reason why not.
pub(super) async fn clone(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
    Form(form): Form<CloneForm>,
) -> Response {
    let order = OrderId(id);
    let project = Some(form.project).filter(|it| !it.is_empty());
    let placed = match parse_all(form.set.lines()) {
        Ok(set) => {
            let operation = Operation::OrderClone {
                order: order.clone(),
                set,
                project: project.clone(),
            };
            state.desk.operate(operation).await
        }
        Err(error) => Err(error),
    };
    match placed {
        Ok(done) => {
            let id = done["order"].as_str().unwrap_or_default();
            Redirect::to(&format!("/orders/{id}")).into_response()
        }
        Err(error) => {
            let written = (form.set, project);
            show(&state, tongue, order, written, Some(&error)).await
        }
    }
}

async fn show(
    state: &AppState,
    tongue: Tongue,
    id: OrderId,
    (set, project): (String, Option<String>),
    error: Option<&WorkshopError>,
) -> Response {
    let read = async {
        let order = state.desk.order(&id).await?;
        let settings = state.desk.settings(&id).await?;
        Ok::<_, WorkshopError>(order.zip(settings))
    };
    let (order, settings) = match read.await {
        Ok(Some(found)) => found,
        Ok(None) => return Problem::Missing.page(tongue),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let say = tongue.say;
    let page = ClonePage {
        frame: Frame::new(tongue, "orders"),
        short_id: short(&id.0).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        set,
        projects: {
            let chosen = project.as_deref().unwrap_or(&order.project);
            projects::choices(state, say, Right::Tune, Some(chosen))
        },
        settings: settings
            .into_iter()
            .map(|(key, value)| (key, setting_text(&value)))
            .collect(),
        error: error.map(|error| (error.to_string(), error.next().to_owned())),
        id: id.0,
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

/// A setting as it is written in the form: text without quotes, all else as JSON.
pub(super) fn setting_text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
