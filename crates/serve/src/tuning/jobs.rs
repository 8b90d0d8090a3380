//! `/v1/fine_tuning/jobs`: place, list, look at, cancel, set aside and put back.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Query as Queried, State};
use axum::http::HeaderMap;
use lathe_workshop::tuning::JobView;
use lathe_workshop::{Operation, OrderId, Workshop, WorkshopError};
use serde_json::Value;

use super::page::{self, Query};
use super::{JOB_BYTES_MAX, ask, shape};
use crate::api::body;
use crate::api::error::ApiError;
use crate::api::in_path::InPath;
use crate::asker::Asker;

/// Entries of a page unless asked, and the most.
const LIST_USUAL: usize = 20;
const LIST_MAX: usize = 100;
/// Checkpoints of a page unless asked.
const CHECKPOINTS_USUAL: usize = 10;

/// Places a job.
pub(super) async fn create(
    State(shop): State<Workshop>,
    asker: Asker,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let bytes = body::declared(JOB_BYTES_MAX, &headers, bytes)?;
    let asked = ask::read(&body::members(&bytes)?, asker.name())?;
    let placed = shop.place_job(asked).await;
    let placed = placed.map_err(|it| ApiError::of_job(&it.error, it.of_validation))?;
    Ok(Json(shape::job(&placed)))
}

/// Jobs, the newest first.
pub(super) async fn list(
    State(shop): State<Workshop>,
    Queried(query): Queried<Query>,
) -> Result<Json<Value>, ApiError> {
    let limit = page::limit(&query, LIST_USUAL, LIST_MAX)?;
    if let Some(name) = query.keys().find(|name| name.starts_with("metadata")) {
        let why = "jobs are listed whole; filter them where you are";
        return Err(ApiError::unsupported(name, why));
    }
    let before = match query.get("after") {
        None => None,
        Some(id) => Some(order(id)?),
    };
    let wanted = u32::try_from(limit + 1).unwrap_or(u32::MAX);
    let jobs = shop.jobs(before.as_ref(), wanted).await.map_err(failed)?;
    let all: Vec<Value> = jobs.iter().map(shape::job).collect();
    Ok(Json(page::list(&all, limit)))
}

/// One job.
pub(super) async fn retrieve(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    Ok(Json(shape::job(&found(&shop, &id).await?)))
}

/// Gives a job up.
pub(super) async fn cancel(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    let order = found(&shop, &id).await?.order.id;
    shop.operate(Operation::OrderCancel { order })
        .await
        .map_err(failed)?;
    retrieve(State(shop), InPath(id)).await
}

/// Sets a job aside.
pub(super) async fn pause(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    let order = found(&shop, &id).await?.order.id;
    shop.operate(Operation::OrderPause { order })
        .await
        .map_err(failed)?;
    retrieve(State(shop), InPath(id)).await
}

/// Puts a job back that was set aside. One that failed or was cancelled stays so.
pub(super) async fn resume(
    State(shop): State<Workshop>,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    let job = found(&shop, &id).await?;
    if job.order.state != lathe_workshop::OrderState::Paused {
        let message = format!("The job {id} is not paused, so it cannot be resumed.");
        return Err(ApiError::invalid(None, message).with_code("order-state"));
    }
    let order = job.order.id;
    shop.operate(Operation::OrderResume { order })
        .await
        .map_err(failed)?;
    retrieve(State(shop), InPath(id)).await
}

/// What happened in a job, the newest first.
pub(super) async fn events(
    State(shop): State<Workshop>,
    InPath(id): InPath,
    Queried(query): Queried<Query>,
) -> Result<Json<Value>, ApiError> {
    let limit = page::limit(&query, LIST_USUAL, LIST_MAX)?;
    let job = found(&shop, &id).await?;
    let order = &job.order.id;
    let after = match query.get("after") {
        None => None,
        Some(id) => match shape::event_of(order, id) {
            None => return Ok(Json(page::list(&[], limit))),
            after => after,
        },
    };
    let events = shop.job_events(&job, after, limit + 1).await;
    let told: Vec<Value> = events
        .map_err(failed)?
        .iter()
        .map(|it| shape::event(order, it))
        .collect();
    Ok(Json(page::list(&told, limit)))
}

/// The checkpoints that answer.
pub(super) async fn checkpoints(
    State(shop): State<Workshop>,
    InPath(id): InPath,
    Queried(query): Queried<Query>,
) -> Result<Json<Value>, ApiError> {
    let limit = page::limit(&query, CHECKPOINTS_USUAL, LIST_MAX)?;
    let all = shape::checkpoints(&found(&shop, &id).await?);
    Ok(Json(page::list(page::after(&all, &query), limit)))
}

async fn found(shop: &Workshop, id: &str) -> Result<JobView, ApiError> {
    shop.job(&order(id)?).await.map_err(failed)
}

fn order(id: &str) -> Result<OrderId, ApiError> {
    shape::order_of(id).ok_or_else(|| ApiError::no_job(id))
}

fn failed(error: WorkshopError) -> ApiError {
    ApiError::of_workshop(&error, "fine_tuning_job_id")
}
