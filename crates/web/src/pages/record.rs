//! `/records/{leaf}`: one record with its terms, what the ledger says of it, what was tuned on it, and how to take it
//! back, or to tune again without it.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_evidence::statement::Training;
use lathe_workshop::trace::{DeploymentUse, RecordTrace, Said, USES_MAX};
use serde_json::Value;

use super::breaker::BreakerBadge;
use super::chain::{self, EntryLink};
use super::in_path::InPath;
use super::note;
use super::playground::encoded;
use super::receipts::ReceiptRow;
use super::retune::{self, Retune};
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
    withdrawn: Option<TakenBack>,
    prompt: String,
    answer: String,
    fields: Vec<(String, String)>,
    terms: Vec<(String, String)>,
    /// The entry that brought it.
    entry: EntryLink,
    dataset_href: String,
    leaf: String,
    orders: Vec<Tuned>,
    /// That there are more orders than are listed.
    orders_more: Option<String>,
    uses: Vec<Use>,
    /// That there are more uses than are listed.
    uses_more: Option<String>,
    receipts: Vec<ReceiptRow>,
    /// That only the newest receipts are listed.
    receipts_more: Option<String>,
    /// Where it was withdrawn: the orders that tune again without it.
    again: Vec<Retune>,
}

/// That, and why, the record was withdrawn.
struct TakenBack {
    reason: String,
    at: String,
    at_text: String,
    entry: EntryLink,
}

/// An order that tuned on the record, or goes on from what did.
struct Tuned {
    href: String,
    short_id: String,
    /// Its stages, each with what it says in the ledger.
    stages: Vec<(String, EntryLink)>,
}

/// A deployment that depends on the record.
struct Use {
    href: String,
    name: String,
    answers: String,
    /// How it stands; none of an earlier one, in whose place another answers now.
    breaker: Option<BreakerBadge>,
    reason: String,
    at: String,
    at_text: String,
    entry: EntryLink,
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
    let mut orders = tuned(say, &trace.trainings);
    let in_all = orders.len() as u64;
    orders.truncate(USES_MAX);
    let arguments = [
        ("dataset", record.dataset_name.as_str()),
        ("line", &record.line.to_string()),
        ("id", &record.id),
    ];
    let page = RecordPage {
        frame: Frame::new(tongue, "data"),
        place: say.with("web.record.line", &arguments),
        tuned_on: record.tuned_on,
        withdrawn: record.withdrawn.as_ref().map(|it| TakenBack {
            reason: it.said.reason.clone(),
            at: format::moment(it.at_ms),
            at_text: format::moment_text(it.at_ms),
            entry: chain::entry(say, it),
        }),
        prompt: record.prompt.clone(),
        answer: record.answer.clone(),
        fields: record.fields.iter().map(field).collect(),
        terms: terms(say, &trace),
        entry: chain::entry_at(say, record.entry),
        dataset_href: format!("/data/{}", record.dataset),
        leaf: record.leaf.to_string(),
        orders_more: more(say, "web.record.tuned.more", in_all, orders.len()),
        orders,
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
        again: retune::offered(&trace.again),
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

/// The orders of these trainings, each once, the newest first.
fn tuned(say: Say, trainings: &[Said<Training>]) -> Vec<Tuned> {
    let mut orders: Vec<(&str, Tuned)> = Vec::new();
    for it in trainings.iter().rev() {
        let order = &it.said.order[..];
        let stage = say.name_of("web.stage", &it.said.stage);
        let stage = (stage, chain::entry(say, it));
        match orders.iter_mut().find(|(known, _)| *known == order) {
            // The first stage stands first.
            Some((_, known)) => known.stages.insert(0, stage),
            None => {
                let tuned = Tuned {
                    href: format!("/orders/{order}"),
                    short_id: short(order).to_owned(),
                    stages: vec![stage],
                };
                orders.push((order, tuned));
            }
        }
    }
    orders.into_iter().map(|(_, tuned)| tuned).collect()
}

/// That there are more deployments than those that are listed.
pub(super) fn uses_more(say: Say, in_all: u64, listed: usize) -> Option<String> {
    more(say, "web.record.uses.more", in_all, listed)
}

/// How many are not listed, in the words of `key`.
fn more(say: Say, key: &str, in_all: u64, listed: usize) -> Option<String> {
    let more = in_all.saturating_sub(listed as u64);
    (more > 0).then(|| say.of(key, format::count(more)))
}

fn usage(say: Say, it: &DeploymentUse) -> Use {
    // It stands under the name, which is another's by now where this one is an earlier one.
    let breaker = it.breaker.as_ref().filter(|_| it.current);
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
        breaker: it
            .current
            .then(|| BreakerBadge::new(say, breaker.map(|it| it.state).unwrap_or_default())),
        reason: breaker.map_or_else(String::new, |it| note::of_state(say, it)),
        at: format::moment(it.deployment.at_ms),
        at_text: format::moment_text(it.deployment.at_ms),
        entry: chain::entry(say, &it.deployment),
    }
}
