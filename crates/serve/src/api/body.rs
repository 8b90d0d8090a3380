//! What every `POST` under `/v1` begins with: its body and its place among the requests held.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::label::ACCEPT_RESTRICTED_HEADER;
use crate::door::Inner;
use crate::place::Place;
use crate::scheduler::Refusal;

/// The members of the body, declared as JSON and within the bound. The declaration is insisted
/// on because a web page from elsewhere cannot send it without asking first.
///
/// # Errors
/// 415, 413, or 400 where the body breaks off or is no JSON object.
pub(super) fn read(
    door: &Inner,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Map<String, Value>, ApiError> {
    declared(door.limits.body_bytes_max, headers, body).and_then(|body| members(&body))
}

/// The bytes of a body declared as JSON, with a bound of one's own, which the router holds.
///
/// # Errors
/// 415 or 413.
pub(crate) fn declared(
    bytes_max: usize,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Bytes, ApiError> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = declared
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::not_json());
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(bytes_max),
        _ => ApiError::invalid(
            None,
            format!("The request's body could not be read: {rejection}."),
        ),
    })
}

/// The members of a body.
///
/// # Errors
/// 400 where it is no JSON object.
pub(crate) fn members(body: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let value: Value = serde_json::from_slice(body).map_err(|error| {
        ApiError::invalid(
            None,
            format!("The request's body is not valid JSON: {error}."),
        )
    })?;
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(ApiError::invalid(
            None,
            "The request's body must be a JSON object.",
        )),
    }
}

/// Whether the caller takes answers of a restricted deployment.
pub(super) fn accepts_restricted(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_RESTRICTED_HEADER)
        .is_some_and(|value| value == "1")
}

/// So many places among the answers that the server holds; `param` asks for them.
///
/// # Errors
/// 400 for more than there are at all, 429 for more than are free, 503 when the server goes down.
pub(super) fn reserve(door: &Inner, places: usize, param: &str) -> Result<Vec<Place>, ApiError> {
    let places_max = door.limits.requests_max();
    if places > places_max {
        let message = format!(
            "The request asks for {places} answers, but this server holds {places_max} at a time. \
             Ask for fewer at once."
        );
        return Err(ApiError::invalid(Some(param), message));
    }
    let reserved = door.scheduler.reserve(places);
    reserved.map_err(|refusal| match refusal {
        Refusal::Full => ApiError::queue_full(places_max),
        Refusal::Down(reason) => ApiError::unavailable(format!("No answer now: {reason}.")),
    })
}
