//! The evidence as JSON: receipts, records, the register, filings, bills of materials, the ledger,
//! breakers; bundles on their way out. Reading only.

use std::path::Path;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use lathe_evidence::Digest;
use lathe_workshop::home::io_error;
use lathe_workshop::trace::{
    BreakerView, EntryTrace, FilingView, LedgerHead, RecordTrace, RegistrationView, TraceView,
};
use lathe_workshop::{ReceiptsFrom, WorkshopError};
use serde::Deserialize;
use serde_json::{Value, json};

use super::in_path::InPath;
use super::{Problem, Window, found, listed};
use crate::AppState;
use crate::doors::file;

/// `?limit=&offset=&before=` of the list of receipts.
#[derive(Debug, Deserialize)]
pub(super) struct Receipts {
    #[serde(default = "super::rows_default")]
    limit: u32,
    #[serde(default)]
    offset: u32,
    before: Option<String>,
}

/// Receipts that an offset passes over at most: each of them is looked at.
const OFFSET_MAX: u32 = 100_000;

/// `GET /api/receipts?limit=&offset=&before=`: `{"receipts": […], "limit", "offset", "more"}`, newest
/// first; with `before` those that were opened before this one, wherever it stands.
pub(super) async fn receipts(
    State(state): State<AppState>,
    asked: Result<Query<Receipts>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(asked) = asked?;
    let window = Window {
        limit: asked.limit,
        offset: asked.offset,
    };
    if window.offset > OFFSET_MAX {
        return Err(Problem::BadRequest {
            status: StatusCode::BAD_REQUEST,
            text: format!("cannot pass over more than {OFFSET_MAX} receipts"),
            next: "Give the last id of a page as `before` of the next one.",
        });
    }
    let (limit, desk) = (window.rows() + 1, &state.desk);
    let rows = match asked.before {
        Some(before) => {
            let from = ReceiptsFrom::Before(before);
            desk.receipts_from(&from, limit).await?
        }
        None => desk.receipts(None, limit, window.offset).await?,
    };
    window.page("receipts", rows)
}

/// `GET /api/receipts/{id}`: the answer with all it rests on and the records that say the same.
pub(super) async fn receipt(
    State(state): State<AppState>,
    InPath(id): InPath,
) -> Result<Json<TraceView>, Problem> {
    let missing = format!("this workshop has no closed receipt {id}");
    let next = "List the receipts with GET /api/receipts.";
    found(state.desk.trace(&id).await?, missing, next)
}

/// `GET /api/records/{leaf}`: the record with all that depends on it.
pub(super) async fn record(
    State(state): State<AppState>,
    InPath(leaf): InPath,
) -> Result<Json<RecordTrace>, Problem> {
    let trace = match leaf.parse::<Digest>() {
        Ok(digest) => state.desk.trace_record(&digest).await?,
        Err(_) => None,
    };
    let missing = format!("no dataset of this workshop has a record with the leaf {leaf}");
    let next = "Take a leaf from GET /api/receipts/{id}, or from a dataset's records.jsonl.";
    found(trace, missing, next)
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
    let read = |limit, offset| state.desk.registrations(limit, offset);
    listed(window, "register", read).await
}

/// How to find a registration.
const REGISTER: &str = "List the register with GET /api/register.";

/// `GET /api/register/{number}`: one registration with its life and what it rests on.
pub(super) async fn registration(
    State(state): State<AppState>,
    InPath(number): InPath,
) -> Result<Json<RegistrationView>, Problem> {
    let missing = format!("this workshop has no registration {number}");
    found(state.desk.registration(&number).await?, missing, REGISTER)
}

/// `GET /api/register/{number}/filing`: what an authority did about it; a deployment's name or an
/// order's id names it too.
pub(super) async fn filing(
    State(state): State<AppState>,
    InPath(number): InPath,
) -> Result<Json<FilingView>, Problem> {
    let missing = format!("the register has nothing that {number} names");
    found(state.desk.filing(&number).await?, missing, REGISTER)
}

/// What a bill of materials is sent as.
const CYCLONEDX: &str = "application/vnd.cyclonedx+json; version=1.6";

/// `GET /api/deployments/{name}/ml-bom`: its bill of materials, CycloneDX 1.6.
pub(super) async fn ml_bom(
    State(state): State<AppState>,
    InPath(name): InPath,
) -> Result<Response, Problem> {
    let missing = format!("nothing is deployed under the name {name}");
    let next = "List the deployments with GET /api/deployments.";
    let bom = found(state.desk.ml_bom(&name).await?, missing, next)?;
    Ok(([(CONTENT_TYPE, CYCLONEDX)], bom).into_response())
}

/// `POST /api/deployments/{name}/bundle`: it with all that it rests on, as a tar archive. It is written down that
/// somebody took it.
pub(super) async fn bundle(
    State(state): State<AppState>,
    InPath(name): InPath,
) -> Result<Response, Problem> {
    Ok(bundled(&state, &name).await?)
}

/// A deployment with all that it rests on, as an answer; 429 where too many files are on their way.
///
/// # Errors
/// `right-denied`, `deployment-unknown`, `bundle-broken`; the ledger's and the home's.
pub(crate) async fn bundled(state: &AppState, name: &str) -> Result<Response, WorkshopError> {
    let Ok(permit) = state.downloads.clone().try_acquire_owned() else {
        return Ok(file::too_many());
    };
    let archive = state.desk.bundle(name).await?;
    let length = archive.metadata();
    let bytes = length
        .map_err(|error| io_error("look at", Path::new("the archive of a bundle"), &error))?
        .len();
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || ".-_".contains(*letter);
    let plain: String = name.chars().filter(is_plain).collect();
    let headers = [
        (CONTENT_TYPE, "application/x-tar".to_owned()),
        (CONTENT_LENGTH, bytes.to_string()),
        (
            CONTENT_DISPOSITION,
            format!("attachment; filename=\"{plain}.bundle.tar\""),
        ),
    ];
    let body = file::body(tokio::fs::File::from_std(archive), bytes, permit);
    Ok((headers, body).into_response())
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
    let read = |limit, offset| state.desk.ledger_entries(None, limit, offset);
    listed(window, "entries", read).await
}

/// `GET /api/ledger/entries/{entry}`: one entry, by place or link, with its envelope and proof.
pub(super) async fn entry(
    State(state): State<AppState>,
    InPath(name): InPath,
) -> Result<Json<EntryTrace>, Problem> {
    let missing = format!("the ledger has no entry {name}");
    let next = "List the entries with GET /api/ledger/entries.";
    found(state.desk.ledger_entry(&name).await?, missing, next)
}

/// `GET /api/breakers/{name}`: how the breaker of a deployment stands and moved.
pub(super) async fn breaker(
    State(state): State<AppState>,
    InPath(name): InPath,
) -> Result<Json<BreakerView>, Problem> {
    Ok(Json(state.desk.breaker(&name).await?))
}
