//! `/records/{leaf}/withdraw`: a record is taken back, for good, after a second look.
//!
//! GET shows what will be restricted and asks for the reason; POST does it. The ledger keeps the
//! withdrawal and its reason; what was tuned on the record answers only restricted from then on.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_evidence::statement::Withdrawn;
use lathe_workshop::store::PendingRow;
use lathe_workshop::trace::{RecordTrace, TuneAgain, USES_MAX};
use lathe_workshop::words::{self, Lang};
use lathe_workshop::{Operation, WorkshopError};
use serde::Deserialize;
use serde_json::Value;

use super::alert::Alert;
use super::in_path::InPath;
use super::playground::encoded;
use super::record::uses_more;
use super::retune::{self, Retune};
use super::{Frame, Problem};
use crate::AppState;
use crate::api;
use crate::lang::Tongue;

#[derive(Template)]
#[template(path = "withdraw.html")]
struct WithdrawPage {
    frame: Frame,
    href: String,
    prompt: String,
    answer: String,
    terms: String,
    /// Name and page of what will be restricted.
    restricts: Vec<(String, String)>,
    /// That there are more than are named.
    restricts_more: Option<String>,
    /// Number and page of what waits for approval, and can be rejected only from then on.
    waiting: Vec<(String, String)>,
    reason: String,
    error: Option<Alert>,
}

#[derive(Template)]
#[template(path = "withdrawn.html")]
struct WithdrawnPage {
    frame: Frame,
    href: String,
    /// Name and page of what is restricted now.
    restricted: Vec<(String, String)>,
    /// That there are more than are named.
    restricted_more: Option<String>,
    /// The orders that tune again without it.
    again: Vec<Retune>,
    /// Number and page of what waited for approval, and can be rejected only.
    waiting: Vec<(String, String)>,
    entry_href: String,
}

/// What confirms it.
#[derive(Debug, Deserialize)]
pub(super) struct Confirmed {
    #[serde(default)]
    reason: String,
    /// Ticked by hand.
    sure: Option<String>,
}

/// `GET /records/{leaf}/withdraw`: the second look.
pub(super) async fn confirm(
    State(state): State<AppState>,
    InPath(leaf): InPath,
    tongue: Tongue,
) -> Response {
    match record(&state, &leaf).await {
        Ok(trace) => show(tongue, &trace, String::new(), None),
        Err(problem) => problem.page(tongue),
    }
}

/// `POST /records/{leaf}/withdraw`: does it, or shows the form again with the reason why not.
pub(super) async fn withdraw(
    State(state): State<AppState>,
    InPath(leaf): InPath,
    tongue: Tongue,
    Form(form): Form<Confirmed>,
) -> Response {
    let trace = match record(&state, &leaf).await {
        Ok(trace) => trace,
        Err(problem) => return problem.page(tongue),
    };
    if form.sure.is_none() {
        let text = words::problem(Lang::En, "withdraw-unconfirmed").unwrap_or_default();
        let error = WorkshopError::new("withdraw-unconfirmed", text, "");
        return show(tongue, &trace, form.reason, Some(&error));
    }
    let operation = Operation::Withdraw {
        what: Withdrawn::Leaf(trace.0.record.leaf),
        reason: form.reason.clone(),
    };
    match state.desk.operate(operation).await {
        Ok(done) => done_page(tongue, &leaf, &done),
        Err(error) => show(tongue, &trace, form.reason, Some(&error)),
    }
}

/// The record, if it is one that may still be withdrawn, and what waits for approval.
async fn record(state: &AppState, leaf: &str) -> Result<(RecordTrace, Vec<PendingRow>), Problem> {
    let leaf: Digest = leaf.parse().map_err(|_| Problem::Missing)?;
    let trace = state.desk.trace_record(&leaf).await?;
    let trace = trace.ok_or(Problem::Missing)?;
    Ok((trace, state.desk.pending().await?))
}

fn linked(name: &str) -> (String, String) {
    (name.to_owned(), format!("/deployments/{}", encoded(name)))
}

fn registered(number: &str) -> (String, String) {
    (number.to_owned(), format!("/register/{}", encoded(number)))
}

fn show(
    tongue: Tongue,
    (trace, pending): &(RecordTrace, Vec<PendingRow>),
    reason: String,
    error: Option<&WorkshopError>,
) -> Response {
    let record = &trace.record;
    let say = tongue.say;
    let current = trace.deployments.iter().filter(|it| it.current);
    let restricts: Vec<(String, String)> =
        current.map(|it| linked(&it.deployment.said.name)).collect();
    // What waits is the adapter of a training.
    let tuned = |row: &&PendingRow| trace.trainings.iter().any(|it| it.subject == row.model);
    let waits = pending.iter().filter(tuned);
    let page = WithdrawPage {
        frame: Frame::new(tongue, "data"),
        href: format!("/records/{}", record.leaf),
        prompt: match record.prompt.is_empty() {
            true => record.id.clone(),
            false => record.prompt.clone(),
        },
        answer: record.answer.clone(),
        terms: format!(
            "{} · {} · {}",
            record.dataset_name, record.id, record.licence
        ),
        restricts_more: uses_more(say, trace.deployments_current, restricts.len()),
        restricts,
        waiting: waits.map(|it| registered(&it.number)).collect(),
        reason,
        error: error.map(|it| Alert::new(say, it)),
    };
    let status = error.map_or(StatusCode::OK, api::status_of);
    page.frame.answer(status, &page)
}

fn done_page(tongue: Tongue, leaf: &str, done: &Value) -> Response {
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().into_iter().flatten();
        all.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let say = tongue.say;
    let restricted = texts(&done["restricted"]);
    let listed = &restricted[..restricted.len().min(USES_MAX)];
    let again: Vec<TuneAgain> = serde_json::from_value(done["again"].clone()).unwrap_or_default();
    let page = WithdrawnPage {
        frame: Frame::new(tongue, "data"),
        href: format!("/records/{}", encoded(leaf)),
        restricted: listed.iter().map(|name| linked(name)).collect(),
        restricted_more: uses_more(say, restricted.len() as u64, listed.len()),
        again: retune::offered(&again),
        waiting: texts(&done["waiting"])
            .iter()
            .map(|it| registered(it))
            .collect(),
        entry_href: format!(
            "/ledger/{}",
            encoded(done["withdrawal"].as_str().unwrap_or_default())
        ),
    };
    page.frame.answer(StatusCode::OK, &page)
}
