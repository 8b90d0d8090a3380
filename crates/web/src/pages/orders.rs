//! `/`: the orders, newest first, and the form that places one.

use askama::Template;
use axum::extract::rejection::{FormRejection, QueryRejection};
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::{OrderRequest, OrderSummary, StepName};
use serde::Deserialize;

use super::{Frame, PAGE_ROWS, PageNumber, Pager, Problem, order_took, short, steps};
use crate::format;
use crate::lang::{Say, Tongue};
use crate::{AppState, api};

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage {
    frame: Frame,
    orders: Vec<OrderRow>,
    offset: u32,
    pager: Pager,
    steps: Vec<&'static str>,
    placing: Placing,
}

struct OrderRow {
    id: String,
    short_id: String,
    title: String,
    pack: String,
    demonstration: bool,
    state: &'static str,
    state_text: String,
    took: String,
    created: String,
    created_text: String,
}

/// The form as it was filled in, with what was wrong with it.
struct Placing {
    pack: String,
    quick: bool,
    offline: bool,
    error: Option<PlacingError>,
}

struct PlacingError {
    text: String,
    next: String,
}

/// The form as a browser sends it: an unticked box is absent.
#[derive(Debug, Deserialize)]
pub(super) struct PlaceForm {
    pack: String,
    quick: Option<String>,
    offline: Option<String>,
}

/// `GET /`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    number: Result<Query<PageNumber>, QueryRejection>,
) -> Response {
    let placing = Placing {
        pack: "packs/customer-care".to_owned(),
        quick: true,
        offline: false,
        error: None,
    };
    let number = number.map(|Query(number)| number).unwrap_or_default();
    show(&state, tongue, number, placing, StatusCode::OK).await
}

/// `POST /orders`: places the order and goes to its page, or shows the form again with the reason.
pub(super) async fn place(
    State(state): State<AppState>,
    tongue: Tongue,
    form: Result<Form<PlaceForm>, FormRejection>,
) -> Response {
    let Form(form) = match form {
        Ok(form) => form,
        Err(rejection) => return rejection.into_response(),
    };
    let (quick, offline) = (form.quick.is_some(), form.offline.is_some());
    let request = OrderRequest {
        pack: form.pack.trim().into(),
        quick,
        offline,
        set: Default::default(),
    };
    let error = match state.desk.submit(request).await {
        Ok(id) => return Redirect::to(&format!("/orders/{id}")).into_response(),
        Err(error) => error,
    };
    let status = api::status_of(&error);
    let error = PlacingError {
        text: error.to_string(),
        next: error.next().to_owned(),
    };
    let placing = Placing {
        pack: form.pack,
        quick,
        offline,
        error: Some(error),
    };
    show(&state, tongue, PageNumber::default(), placing, status).await
}

async fn show(
    state: &AppState,
    tongue: Tongue,
    number: PageNumber,
    placing: Placing,
    status: StatusCode,
) -> Response {
    let offset = number.offset();
    let mut rows = match state.desk.orders(PAGE_ROWS + 1, offset).await {
        Ok(rows) => rows,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let pager = number.pager("/", rows.len());
    rows.truncate(PAGE_ROWS as usize);
    let say = tongue.say;
    let page = OrdersPage {
        frame: Frame::new(tongue, "orders"),
        orders: rows.into_iter().map(|order| row(say, order)).collect(),
        offset,
        pager,
        steps: StepName::ALL.iter().map(|step| step.as_str()).collect(),
        placing,
    };
    page.frame.answer(status, &page)
}

fn row(say: Say, order: OrderSummary) -> OrderRow {
    let id = order.id.0;
    OrderRow {
        short_id: short(&id).to_owned(),
        title: say.pick(&order.title.en, &order.title.zh).to_owned(),
        pack: order.pack,
        demonstration: order.demonstration,
        state: steps::order_state(order.state),
        state_text: steps::order_state_text(say, order.state, Some(order.step), order.position),
        took: order_took(say, order.state, order.created_ms, order.ended_ms),
        created: format::moment(order.created_ms),
        created_text: format::moment_text(order.created_ms),
        id,
    }
}
