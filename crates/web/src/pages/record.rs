//! `/records/{leaf}`: one record with its terms, what was tuned on it, and how to take it back.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_workshop::trace::{DeploymentUse, RecordTrace};
use serde_json::Value;

use super::breaker::BreakerBadge;
use super::in_path::InPath;
use super::note;
use super::playground::encoded;
use super::receipts::ReceiptRow;
use super::{Frame, Problem, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    place: String,
    tuned_on: bool,
    withdrawn: Option<String>,
    prompt: String,
    answer: String,
    fields: Vec<(String, String)>,
    terms: Vec<(String, String)>,
    dataset_href: String,
    leaf: String,
    orders: Vec<(String, String)>,
    uses: Vec<Use>,
    /// That there are more uses than are listed.
    uses_more: Option<String>,
    receipts: Vec<ReceiptRow>,
    /// That only the newest receipts are listed.
    receipts_more: Option<String>,
}

/// A deployment that depends on the record.
struct Use {
    href: String,
    name: String,
    answers: String,
    earlier: bool,
    breaker: BreakerBadge,
    reason: String,
}

/// `GET /records/{leaf}`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(leaf): InPath,
    tongue: Tongue,
) -> Response {
    let Ok(leaf) = leaf.parse::<Digest>() else {
        return Problem::Missing.page(tongue);
    };
    match state.desk.trace_record(&leaf).await {
        Ok(Some(trace)) => show(tongue, trace),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show(tongue: Tongue, trace: RecordTrace) -> Response {
    let say = tongue.say;
    let record = &trace.record;
    let arguments = [
        ("dataset", record.dataset_name.as_str()),
        ("line", &record.line.to_string()),
        ("id", &record.id),
    ];
    let page = RecordPage {
        frame: Frame::new(tongue, "data"),
        place: say.with("web.record.line", &arguments),
        tuned_on: record.tuned_on,
        withdrawn: record.withdrawn.as_ref().map(|it| it.said.reason.clone()),
        prompt: record.prompt.clone(),
        answer: record.answer.clone(),
        fields: record.fields.iter().map(field).collect(),
        terms: terms(say, &trace),
        dataset_href: format!("/data/{}", record.dataset),
        leaf: record.leaf.to_string(),
        orders: trace
            .trainings
            .iter()
            .map(|it| {
                (
                    format!("/orders/{}", it.said.order),
                    short(&it.said.order).to_owned(),
                )
            })
            .collect(),
        uses: trace.deployments.iter().map(|it| usage(say, it)).collect(),
        uses_more: uses_more(say, trace.deployments_in_all, trace.deployments.len()),
        receipts_more: trace
            .receipts_more
            .then(|| say.of("web.record.receipts.more", trace.receipts.len())),
        receipts: trace
            .receipts
            .iter()
            .map(|it| ReceiptRow::new(say, &it.receipt))
            .collect(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn field((name, value): (&String, &Value)) -> (String, String) {
    let text = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    (name.clone(), text)
}

fn terms(say: Say, trace: &RecordTrace) -> Vec<(String, String)> {
    let record = &trace.record;
    let mut terms = vec![
        (say.it("web.data.licence"), record.licence.clone()),
        (say.it("web.dataset.owner"), record.owner.clone()),
        (say.it("web.dataset.source"), record.source.clone()),
    ];
    terms.extend(
        record
            .agreement
            .clone()
            .map(|it| (say.it("web.record.agreement"), it)),
    );
    terms.push((say.it("web.record.leaf"), record.leaf.to_string()));
    terms.push((say.it("web.data.root"), record.root.to_string()));
    terms
}

/// That there are more deployments than those that are listed.
pub(super) fn uses_more(say: Say, in_all: u64, listed: usize) -> Option<String> {
    let more = in_all.saturating_sub(listed as u64);
    (more > 0).then(|| say.of("web.record.uses.more", format::count(more)))
}

fn usage(say: Say, it: &DeploymentUse) -> Use {
    let breaker = it.breaker.as_ref();
    let name = &it.deployment.said.name;
    Use {
        href: format!("/deployments/{}", encoded(name)),
        name: name.clone(),
        answers: say.of(
            match it.receipts_more {
                true => "web.record.answers.more",
                false => "web.record.answers",
            },
            format::count(it.receipts),
        ),
        earlier: !it.current,
        breaker: BreakerBadge::new(say, breaker.map(|it| it.state).unwrap_or_default()),
        reason: breaker.map_or_else(String::new, |it| {
            note::of_breaker(say, it.cause, &it.reason)
        }),
    }
}
