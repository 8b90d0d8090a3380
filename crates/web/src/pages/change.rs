//! `/orders/{id}/pause`, `/resume`, `/cancel` and `/clone`: what is done to an order, as plain forms. Each goes
//! back to the page of the order, a clone to its own. The form of a clone has the fields of a new order's,
//! filled with what the order says; what differs from that is what the clone changes.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::draft::OrderPlan;
use lathe_workshop::people::{Right, answers_as};
use lathe_workshop::{Operation, OrderId, WorkshopError};
use serde_json::Value;

use super::alert::{Alert, Mistake};
use super::answering::{self, Taken};
use super::fields::Fields;
use super::in_path::InPath;
use super::new_order::fields::{
    Group, Stage, emptied, groups, number_text, request_of, rest, stages, wrong,
};
use super::new_order::plan::{Planned, Settled};
use super::projects::{self, Choice};
use super::{Frame, Problem, asked, short};
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
    mistakes: Vec<Mistake>,
    settings: Vec<(String, String)>,
    /// The projects that it may go into.
    projects: Vec<Choice>,
    /// Who answers under the name that the clone's model would take.
    taken: Option<Taken>,
    error: Option<Alert>,
    planned: Planned,
    /// The clone as a line for a shell; empty where it would be refused.
    command: String,
}

impl ClonePage {
    /// Id and name of the inputs at which something is wrong.
    fn wrong(&self) -> Vec<(String, String)> {
        wrong(
            &self.groups,
            &self.mistakes,
            self.frame.say.it("web.new.more"),
        )
    }
}

/// The form as it was sent, and what is to be told of it.
#[derive(Default)]
struct Written {
    set: BTreeMap<String, Value>,
    /// Lines of changes that could not be read.
    more: Option<String>,
    project: Option<String>,
    /// Needed fields that were sent empty.
    emptied: Vec<Mistake>,
    /// Why it was refused as a whole.
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

/// `POST /orders/{id}/cancel`.
pub(super) async fn cancel(
    State(state): State<AppState>,
    tongue: Tongue,
    InPath(id): InPath,
) -> Response {
    let order = OrderId(id.clone());
    operate(&state, tongue, &id, Operation::OrderCancel { order }).await
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
/// the reason why not, as it does where it is only to be checked. A form without any field clones the order as it is.
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
        emptied: emptied(tongue.say, &fields.0),
        ..Written::default()
    };
    match request_of(&fields.0, &own) {
        Ok(request) => written.set = request.set,
        Err(error) => {
            written.more = Some(fields.one("more").to_owned());
            written.error = Some(error);
        }
    }
    let is_refused = written.error.is_some() || !written.emptied.is_empty();
    if is_refused || fields.one("do") == "check" {
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
    let plans = Operation::OrderClonePlan {
        order: id.clone(),
        set: written.set.clone(),
        project: written.project.clone(),
    };
    let (plan, error) = match asked::<OrderPlan>(state, plans).await {
        Ok(plan) => (Some(plan), written.error),
        // What the order itself is refused for explains everything else.
        Err(error) => (None, Some(error)),
    };
    let status = error.as_ref().map_or(StatusCode::OK, api::status_of);
    let Settled {
        planned,
        mut mistakes,
        error,
        status,
    } = Settled::new(
        say,
        plan.as_ref(),
        written.emptied,
        (status, error),
        "web.clone.do",
    );
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
        error,
        // What would be refused is not offered.
        command: plan
            .filter(|_| planned.is_sound)
            .map_or_else(String::new, |plan| plan.command),
        planned,
        id: id.0,
    };
    Ok((status, page))
}

/// A setting as it is written in the form: text without quotes, whole numbers without `.0`, all else as JSON. What
/// is not set is a dash; an empty text, which would be an empty cell, has its quotes.
pub(super) fn setting_text(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) if !text.is_empty() => text.clone(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn no_setting_is_an_empty_cell_or_has_digits_that_say_nothing() {
        for (value, text) in [
            (json!(null), "–"),
            (json!(""), "\"\""),
            (json!("MIT"), "MIT"),
            (json!(3.0), "3"),
            (json!(0.0005), "0.0005"),
            (json!([]), "[]"),
            (json!(true), "true"),
        ] {
            assert_eq!(setting_text(&value), text);
        }
    }
}
