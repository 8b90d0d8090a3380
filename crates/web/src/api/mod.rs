//! The workshop's API under `/api`: the views of [`crate::Desk`] as JSON.
//!
//! Documented for users in `docs/reference/api.md`; a test holds that page and these routes
//! together. The command line is a client of it. Not here: `/v1`, which the model server answers.

mod brought;
mod data;
mod events;
mod evidence;
mod in_path;
mod operations;
mod orders;
mod people;
mod problem;
mod settings;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Query};
use axum::middleware::from_fn;
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use lathe_workshop::bring::PIECE_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::AppState;
use crate::desk::Asked;

pub(crate) use evidence::bundled;
pub(crate) use orders::named;
pub(crate) use problem::{Problem, error_body, in_language, status_of};

/// Rows of one answer where the request names no number.
const ROWS_DEFAULT: u32 = 50;
/// Rows of one answer at most.
pub(crate) const ROWS_MAX: u32 = 500;

/// Records of a lesson where the request names no number.
pub(crate) const LESSON_RECORDS: usize = 5;

/// Path and handler of every endpoint.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/api", get(about))
        .route("/api/orders", get(orders::list).post(orders::submit))
        .route("/api/orders/compare", get(orders::compare))
        .route("/api/orders/{id}", get(orders::one))
        .route("/api/orders/{id}/settings", get(orders::settings))
        .route("/api/orders/{id}/curve", get(orders::curve))
        .route("/api/orders/{id}/log", get(orders::log))
        .route("/api/orders/{id}/lesson", get(orders::lesson))
        .route("/api/orders/{id}/report", get(orders::report))
        .route("/api/orders/{id}/verdict", get(orders::verdict))
        .route("/api/orders/{id}/events", get(events::stream))
        .route("/api/data", get(data::list).post(data::add))
        .route("/api/data/{digest}", get(data::one))
        .route("/api/data/{digest}/records", get(data::records))
        .route("/api/brought", get(brought::list))
        .route(
            "/api/brought/{id}",
            put(brought::piece).layer(DefaultBodyLimit::max(PIECE_BYTES_MAX)),
        )
        .route("/api/models", get(data::models))
        .route("/api/models/{digest}", get(data::model))
        .route("/api/deployments", get(data::deployments))
        .route("/api/deployments/{name}/ml-bom", get(evidence::ml_bom))
        .route("/api/deployments/{name}/bundle", post(evidence::bundle))
        .route("/api/receipts", get(evidence::receipts))
        .route("/api/receipts/{id}", get(evidence::receipt))
        .route("/api/records/{leaf}", get(evidence::record))
        .route("/api/trace", get(evidence::quoted))
        .route("/api/register", get(evidence::register))
        .route("/api/register/{number}", get(evidence::registration))
        .route("/api/register/{number}/filing", get(evidence::filing))
        .route("/api/ledger", get(evidence::ledger))
        .route("/api/ledger/entries", get(evidence::entries))
        .route("/api/ledger/entries/{entry}", get(evidence::entry))
        .route("/api/breakers/{name}", get(evidence::breaker))
        .route("/api/me", get(people::me))
        .route("/api/me/password", post(people::password))
        .route(
            "/api/me/sessions",
            get(people::sessions).delete(people::end_others),
        )
        .route("/api/me/sessions/{id}", delete(people::end_session))
        .route("/api/audit", get(people::audit))
        .route("/api/settings", get(settings::show))
        .route("/api/projects", get(people::projects))
        .route("/api/projects/{id}", get(people::project))
        .route("/api/operations", post(operations::run))
        .layer(from_fn(in_language))
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

/// A list, as every list is answered: `{NAME: […], "limit", "offset", "more"}`. `read` is given how
/// many rows to read, which is one more than is answered, and from where.
async fn listed<'a, T: Serialize>(
    window: Result<Query<Window>, QueryRejection>,
    name: &str,
    read: impl FnOnce(u32, u32) -> Asked<'a, Vec<T>>,
) -> Result<Json<Value>, Problem> {
    let Query(window) = window?;
    let rows = read(window.rows() + 1, window.offset).await?;
    window.page(name, rows)
}

/// One thing, or 404 with what is not there and how to find what is.
fn found<T>(found: Option<T>, missing: String, next: &'static str) -> Result<Json<T>, Problem> {
    found.map(Json).ok_or(Problem::NotFound {
        text: missing,
        next,
    })
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
        let rows = serde_json::to_value(rows).map_err(|error| Problem::Internal {
            text: format!("cannot write {name} as JSON: {error}"),
        })?;
        Ok(Json(
            json!({ name: rows, "limit": limit, "offset": self.offset, "more": more }),
        ))
    }
}
