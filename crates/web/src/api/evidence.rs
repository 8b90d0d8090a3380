//! The evidence as JSON: receipts, records, the register, the ledger, breakers. Reading only.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use lathe_evidence::Digest;
use lathe_workshop::trace::{
    BreakerView, EntryTrace, LedgerHead, RecordTrace, RegistrationView, TraceView,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Problem, Window};
use crate::AppState;

/// `GET /api/receipts?limit=&offset=`: `{"receipts": […], "limit", "offset", "more"}`, newest first.
pub(super) async fn receipts(
    State(state): State<AppState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(window) = window?;
    let rows = state
        .desk
        .receipts(None, window.rows() + 1, window.offset)
        .await?;
    window.page("receipts", rows)
}

/// `GET /api/receipts/{id}`: the answer with all it rests on and the records that say the same.
pub(super) async fn receipt(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Json<TraceView>, Problem> {
    let trace = state.desk.trace(&id).await?;
    trace.map(Json).ok_or_else(|| Problem::NotFound {
        text: format!("this workshop has no closed receipt {id}"),
        next: "List the receipts with GET /api/receipts.",
    })
}

/// `GET /api/records/{leaf}`: the record with all that depends on it.
pub(super) async fn record(
    State(state): State<AppState>,
    Path(leaf): Path<String>,
) -> Result<Json<RecordTrace>, Problem> {
    let missing = || Problem::NotFound {
        text: format!("no dataset of this workshop has a record with the leaf {leaf}"),
        next: "Take a leaf from GET /api/receipts/{id}, or from a dataset's records.jsonl.",
    };
    let digest = leaf.parse::<Digest>().map_err(|_| missing())?;
    let trace = state.desk.trace_record(&digest).await?;
    trace.map(Json).ok_or_else(missing)
}

/// `?q=` of a search for a passage.
#[derive(Debug, Deserialize)]
pub(super) struct Quoted {
    q: String,
}

/// `GET /api/trace?q=TEXT`: `{"answers": […]}`, those the passage may have come from, the likeliest
/// first.
pub(super) async fn quoted(
    State(state): State<AppState>,
    quoted: Result<Query<Quoted>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(quoted) = quoted?;
    let answers = state.desk.trace_text(&quoted.q).await?;
    Ok(Json(json!({ "answers": answers })))
}

/// `GET /api/register?limit=&offset=`: `{"register": […], "limit", "offset", "more"}`, newest first.
pub(super) async fn register(
    State(state): State<AppState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(window) = window?;
    let rows = state
        .desk
        .registrations(window.rows() + 1, window.offset)
        .await?;
    window.page("register", rows)
}

/// `GET /api/register/{number}`: one registration with its life and what it rests on.
pub(super) async fn registration(
    State(state): State<AppState>,
    Path(number): Path<String>,
) -> Result<Json<RegistrationView>, Problem> {
    let view = state.desk.registration(&number).await?;
    view.map(Json).ok_or_else(|| Problem::NotFound {
        text: format!("this workshop has no registration {number}"),
        next: "List the register with GET /api/register.",
    })
}

/// `GET /api/ledger`: the head of the ledger with its signed checkpoint and keys.
pub(super) async fn ledger(State(state): State<AppState>) -> Result<Json<LedgerHead>, Problem> {
    Ok(Json(state.desk.ledger_head().await?))
}

/// `GET /api/ledger/entries?limit=&offset=`: `{"entries": […], …}`, newest first.
pub(super) async fn entries(
    State(state): State<AppState>,
    window: Result<Query<Window>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(window) = window?;
    let rows = state
        .desk
        .ledger_entries(None, window.rows() + 1, window.offset)
        .await?;
    window.page("entries", rows)
}

/// `GET /api/ledger/entries/{entry}`: one entry, by place or link, with its envelope and proof.
pub(super) async fn entry(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<EntryTrace>, Problem> {
    let found = state.desk.ledger_entry(&name).await?;
    found.map(Json).ok_or_else(|| Problem::NotFound {
        text: format!("the ledger has no entry {name}"),
        next: "List the entries with GET /api/ledger/entries.",
    })
}

/// `GET /api/breakers/{name}`: how the breaker of a deployment stands and moved.
pub(super) async fn breaker(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<Json<BreakerView>, Problem> {
    Ok(Json(state.desk.breaker(&name).await?))
}
