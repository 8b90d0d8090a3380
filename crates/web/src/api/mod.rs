//! The workshop's API under `/api`: the views of [`crate::Desk`] as JSON.
//!
//! Documented for users in `docs/reference/api.md`; a test holds that page and these routes
//! together. The command line is a client of it. Not here: `/v1`, which the model server answers.

mod data;
mod events;
mod orders;

use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use lathe_workshop::WorkshopError;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::AppState;

/// Rows of one answer where the request names no number.
const ROWS_DEFAULT: u32 = 50;
/// Rows of one answer at most.
pub(crate) const ROWS_MAX: u32 = 500;

/// Path and handler of every endpoint.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/api", get(about))
        .route("/api/orders", get(orders::list).post(orders::submit))
        .route("/api/orders/{id}", get(orders::one))
        .route("/api/orders/{id}/curve", get(orders::curve))
        .route("/api/orders/{id}/log", get(orders::log))
        .route("/api/orders/{id}/report", get(orders::report))
        .route("/api/orders/{id}/verdict", get(orders::verdict))
        .route("/api/orders/{id}/events", get(events::stream))
        .route("/api/data", get(data::list).post(data::add))
        .route("/api/data/{digest}", get(data::one))
        .route("/api/models", get(data::models))
        .route("/api/deployments", get(data::deployments))
}

/// Says what answers here, so that a client can tell a workshop from another server.
async fn about() -> Json<Value> {
    Json(json!({ "name": "lathe", "version": env!("CARGO_PKG_VERSION") }))
}

/// `?limit=&offset=` of a list.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Window {
    #[serde(default = "rows_default")]
    limit: u32,
    #[serde(default)]
    offset: u32,
}

fn rows_default() -> u32 {
    ROWS_DEFAULT
}

impl Window {
    /// How many rows are answered.
    fn rows(self) -> u32 {
        self.limit.clamp(1, ROWS_MAX)
    }

    /// Wraps rows, of which one more than asked for was read, as `{NAME: […], limit, offset, more}`.
    fn page<T: Serialize>(self, name: &str, mut rows: Vec<T>) -> Result<Json<Value>, Problem> {
        let limit = self.rows() as usize;
        let more = rows.len() > limit;
        rows.truncate(limit);
        let rows = serde_json::to_value(rows)
            .map_err(|error| Problem::inside(format!("cannot write {name} as JSON: {error}")))?;
        Ok(Json(
            json!({ name: rows, "limit": limit, "offset": self.offset, "more": more }),
        ))
    }
}

/// An error as the API answers it: `{"error": {"code", "text", "next"}}`.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    code: String,
    text: String,
    next: String,
}

impl Problem {
    fn new(status: StatusCode, code: &str, text: impl Into<String>, next: &str) -> Problem {
        Problem {
            status,
            code: code.to_owned(),
            text: text.into(),
            next: next.to_owned(),
        }
    }

    fn missing(text: String, next: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", text, next)
    }

    fn inside(text: String) -> Problem {
        let next = "Look into the log of the process that runs the workshop.";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text, next)
    }
}

impl From<WorkshopError> for Problem {
    fn from(error: WorkshopError) -> Problem {
        Problem {
            status: status_of(error.code()),
            code: error.code().to_owned(),
            text: error.to_string(),
            next: error.next().to_owned(),
        }
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let next = "Send a JSON object as docs/reference/api.md describes it.";
        Problem::new(
            rejection.status(),
            "bad_request",
            rejection.body_text(),
            next,
        )
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        let next = "See docs/reference/api.md for what may stand after the question mark.";
        Problem::new(
            rejection.status(),
            "bad_request",
            rejection.body_text(),
            next,
        )
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.status, error_body(&self.code, &self.text, &self.next)).into_response()
    }
}

/// The status that goes with a workshop's error: what the asker sent is 400, what is wrong with
/// the machine or the store is 500.
pub(crate) fn status_of(code: &str) -> StatusCode {
    let area = code.split(['.', '_', '-']).next().unwrap_or(code);
    match area {
        "pack" | "order" | "data" | "source" | "request" => StatusCode::BAD_REQUEST,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The JSON body of an error.
pub(crate) fn error_body(code: &str, text: &str, next: &str) -> Json<Value> {
    Json(json!({ "error": { "code": code, "text": text, "next": next } }))
}

/// The answer to an address under `/api` or `/v1` that nobody serves.
pub(crate) fn no_such_endpoint(path: &str) -> Response {
    let text = format!("nothing answers at {path}");
    Problem::missing(text, "See docs/reference/api.md for the endpoints.").into_response()
}
