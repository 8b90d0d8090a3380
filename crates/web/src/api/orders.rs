//! Orders as JSON: list, place, one, several side by side, its settings, curve, log, report, verdict.

use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::StatusCode;
use lathe_evidence::report::Report;
use lathe_gate::Verdict;
use lathe_workshop::compare::Comparison;
use lathe_workshop::lesson::LESSON_RECORDS_MAX;
use lathe_workshop::preview::Preview;
use lathe_workshop::{
    Ending, OrderId, OrderRequest, OrderState, OrderView, OrdersAsked, OrdersSort,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::in_path::InPath;
use super::{LESSON_RECORDS, Problem, ROWS_MAX, Window};
use crate::AppState;

/// `?limit=&offset=&state=&ending=&pack=&q=&project=&sort=` of the list of orders.
#[derive(Debug, Deserialize)]
pub(super) struct Listing {
    #[serde(default = "super::rows_default")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    state: Option<OrderState>,
    ending: Option<Ending>,
    pack: Option<String>,
    q: Option<String>,
    project: Option<String>,
    #[serde(default)]
    sort: OrdersSort,
}

/// `GET /api/orders?limit=&offset=&state=&ending=&pack=&q=&project=&sort=`: `{"orders": […], "limit", "offset",
/// "more"}`, newest first unless it is asked otherwise.
pub(super) async fn list(
    State(state): State<AppState>,
    listing: Result<Query<Listing>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(listing) = listing?;
    let window = Window {
        limit: listing.limit,
        offset: listing.offset,
    };
    let asked = OrdersAsked {
        state: listing.state,
        ending: listing.ending,
        pack: listing.pack,
        text: listing.q,
        project: listing.project,
        sort: listing.sort,
    };
    let rows = state.desk.orders(&asked, window.rows() + 1, window.offset);
    window.page("orders", rows.await?)
}

/// `POST /api/orders` with `{"pack", "quick", "offline", "project"}`: 202 and `{"id", "url"}`.
pub(super) async fn submit(
    State(state): State<AppState>,
    request: Result<Json<OrderRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let Json(request) = request?;
    let id = state.desk.submit(request).await?;
    let url = format!("/orders/{id}");
    Ok((StatusCode::ACCEPTED, Json(json!({ "id": id, "url": url }))))
}

/// `GET /api/orders/{id}`: the order with its steps.
pub(super) async fn one(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<OrderView>, Problem> {
    order(&state, OrderId(id)).await.map(Json)
}

/// The orders that a query names: `?ids=A,B` or `?ids=A&ids=B`, as a form of ticked boxes sends it.
pub(crate) fn named(pairs: &[(String, String)]) -> Vec<OrderId> {
    pairs
        .iter()
        .filter(|(key, _)| key == "ids")
        .flat_map(|(_, ids)| ids.split(','))
        .map(|id| OrderId(id.trim().to_owned()))
        .filter(|id| !id.0.is_empty())
        .collect()
}

/// `GET /api/orders/compare?ids=`: the orders side by side, the others held against the first.
pub(super) async fn compare(
    State(state): State<AppState>,
    query: Result<Query<Vec<(String, String)>>, QueryRejection>,
) -> Result<Json<Comparison>, Problem> {
    let Query(pairs) = query?;
    let comparison = state.desk.compare(&named(&pairs)).await?;
    comparison.map(Json).ok_or(Problem::NotFound {
        text: "this workshop lacks one of these orders".to_owned(),
        next: "List the orders with GET /api/orders.",
    })
}

/// `GET /api/orders/{id}/settings`: its effective pack, flat, by the dotted paths that
/// `order-clone` takes.
pub(super) async fn settings(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<Value>, Problem> {
    let order = order(&state, OrderId(id)).await?;
    let settings = state.desk.settings(&order.id).await?.unwrap_or_default();
    Ok(Json(json!({ "settings": Map::from_iter(settings) })))
}

/// `?after=` of a growing list, with a bound on the rows of one answer.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

/// `GET /api/orders/{id}/curve?after=STEP`: `{"points": […]}`, so many as are read at once.
pub(super) async fn curve(
    State(state): State<AppState>,
    InPath(id): InPath,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(after) = after?;
    let order = order(&state, OrderId(id)).await?;
    let points = state.desk.curve(&order.id, after.after).await?;
    Ok(Json(json!({ "points": points })))
}

/// `GET /api/orders/{id}/log?after=SEQ&limit=`: `{"lines": […]}`.
pub(super) async fn log(
    State(state): State<AppState>,
    InPath(id): InPath,
    after: Result<Query<After>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(after) = after?;
    let order = order(&state, OrderId(id)).await?;
    let limit = after.limit.unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
    let lines = state.desk.log(&order.id, after.after, limit).await?;
    Ok(Json(json!({ "lines": lines })))
}

/// `?records=` of a lesson.
#[derive(Clone, Copy, Debug, Deserialize)]
pub(super) struct Records {
    #[serde(default = "records_default")]
    records: usize,
}

fn records_default() -> usize {
    LESSON_RECORDS
}

/// `GET /api/orders/{id}/lesson?records=`: the first records it learns from, token by token; 404
/// before its data are prepared.
pub(super) async fn lesson(
    State(state): State<AppState>,
    InPath(id): InPath,
    records: Result<Query<Records>, QueryRejection>,
) -> Result<Json<Preview>, Problem> {
    let Query(Records { records }) = records?;
    let order = order(&state, OrderId(id)).await?;
    let records = records.clamp(1, LESSON_RECORDS_MAX);
    let lesson = state.desk.lesson(&order.id, records).await?;
    lesson.map(Json).ok_or_else(|| Problem::NotFound {
        text: format!("order {} has no prepared data yet", order.id),
        next: "Wait until its step `prepare` is done.",
    })
}

/// `GET /api/orders/{id}/report`: the report; 404 before the evaluation is done.
pub(super) async fn report(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<Report>, Problem> {
    let order = order(&state, OrderId(id)).await?;
    let report = state.desk.report(&order.id).await?;
    report.map(Json).ok_or_else(|| not_evaluated(&order.id))
}

/// `GET /api/orders/{id}/verdict`: what the gate found, computed now; 404 without a report.
pub(super) async fn verdict(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<Verdict>, Problem> {
    let order = order(&state, OrderId(id)).await?;
    let verdict = state.desk.verdict(&order.id).await?;
    verdict.map(Json).ok_or_else(|| not_evaluated(&order.id))
}

/// The order, or 404.
pub(super) async fn order(state: &AppState, id: OrderId) -> Result<OrderView, Problem> {
    let order = state.desk.order(&id).await?;
    order.ok_or_else(|| {
        let text = format!("this workshop has no order {id}");
        Problem::NotFound {
            text,
            next: "List the orders with GET /api/orders.",
        }
    })
}

fn not_evaluated(id: &OrderId) -> Problem {
    let text = format!("order {id} has no report yet");
    Problem::NotFound {
        text,
        next: "Wait until its step `evaluate` is done.",
    }
}
