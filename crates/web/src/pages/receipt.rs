//! `/receipts/{id}`: one answer, what it rests on, and the training records that say the same.
//!
//! The question and the answer are shown only where the workshop keeps them; a passage is shown as
//! its record tells it, since the receipt has only its digest. What the question shares with records stands
//! before what the answer does, and last what is the answer's form rather than what it says. Not here: whether the chain holds,
//! which admission and `lathe verify` decide.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::Digest;
use lathe_evidence::receipt::Part;
use lathe_evidence::statement::BreakerState;
use lathe_workshop::AnsweringNow;
use lathe_workshop::trace::{PassageView, RecordView, TraceView};

use super::breaker::BreakerBadge;
use super::chain::{self, ApprovedBadge, Link, word};
use super::in_path::InPath;
use super::{Frame, Problem, answering, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

#[derive(Template)]
#[template(path = "receipt.html")]
struct ReceiptPage {
    frame: Frame,
    id: String,
    short_id: String,
    name: String,
    facts: Vec<String>,
    at: String,
    at_text: String,
    demonstration: bool,
    /// How the breaker stood when it answered.
    breaker: BreakerBadge,
    /// How it stands now, where that is something else.
    now: Option<BreakerBadge>,
    question: String,
    answer: String,
    chain: Vec<Link>,
    approved: Option<ApprovedBadge>,
    sides: Vec<Side>,
    dataset_href: String,
    pairs: Vec<(String, String)>,
    batch: String,
    batch_href: String,
}

/// What the question, or the answer, shares with records.
struct Side {
    title: String,
    passages: Vec<Passage>,
}

struct Passage {
    text: String,
    /// It is JSON: the form of an answer, which many records have.
    is_form: bool,
    records: Vec<Sentence>,
}

/// A record that holds the passage, with the passage marked.
pub(super) struct Sentence {
    pub href: String,
    /// The passage stands in what the model was to answer, not in what it was shown.
    pub in_answer: bool,
    pub before: String,
    pub said: String,
    pub after: String,
    /// The side in which it does not stand.
    pub other: String,
    pub terms: String,
    pub withdrawn: bool,
    /// As of its passage.
    pub is_form: bool,
}

/// `GET /receipts/{id}`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(id): InPath,
    tongue: Tongue,
) -> Response {
    match state.desk.trace(&id).await {
        Ok(Some(trace)) => show(tongue, trace),
        Ok(None) => Problem::Missing.page(tongue),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn show(tongue: Tongue, trace: TraceView) -> Response {
    let say = tongue.say;
    let receipt = &trace.receipt;
    let tokens = [
        ("prompt", format::count(receipt.prompt_tokens)),
        ("answer", format::count(receipt.answer_tokens)),
    ];
    let tokens = tokens
        .each_ref()
        .map(|(name, count)| (*name, count.as_str()));
    let dataset = trace.chain.datasets.first();
    let (question, answer) = texts(&trace);
    let (batch, batch_href) = batch(say, &trace);
    let (breaker, now) = breakers(say, &trace);
    let page = ReceiptPage {
        frame: Frame::new(tongue, "receipts"),
        facts: vec![
            say.it_of("web.ended", word(receipt.ended)),
            say.with("web.receipt.tokens", &tokens),
        ],
        at: format::moment(receipt.closed_ms),
        at_text: format::moment_text(receipt.closed_ms),
        demonstration: trace
            .chain
            .deployment
            .as_ref()
            .is_some_and(|it| it.said.demonstration),
        breaker,
        now,
        question,
        answer,
        chain: chain::links(say, &trace.chain),
        approved: ApprovedBadge::of(say, &trace.chain),
        sides: sides(say, &trace.passages, &trace.records),
        dataset_href: dataset.map_or_else(String::new, |it| {
            // Its own terms and statistics stand a step further up.
            format!("/data/{}/records", it.subject)
        }),
        pairs: pairs(say, &trace),
        batch,
        batch_href,
        short_id: short(&receipt.id).to_owned(),
        id: receipt.id.clone(),
        name: receipt.name.clone(),
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// How the breaker stood when it answered, and how what answered stands now where that is something else.
fn breakers(say: Say, trace: &TraceView) -> (BreakerBadge, Option<BreakerBadge>) {
    let state = trace.receipt.breaker;
    let now = trace.breaker.as_ref().map(|it| it.state);
    let now = now.unwrap_or_default();
    let present = match trace.replaced {
        true => Some(BreakerBadge {
            class: answering::class(AnsweringNow::Replaced),
            text: answering::badge(say, AnsweringNow::Replaced),
        }),
        false if now != state => {
            let badge = BreakerBadge::new(say, now);
            Some(BreakerBadge {
                class: badge.class,
                text: say.of("web.receipt.now", badge.text),
            })
        }
        false => None,
    };
    let then = BreakerBadge {
        // What is past is not green beside what holds now.
        class: match present {
            Some(_) => "",
            None => BreakerBadge::new(say, state).class,
        },
        text: say.it(match state {
            BreakerState::Closed => "web.receipt.then.closed",
            BreakerState::Restricted => "web.receipt.then.restricted",
            BreakerState::Open => "web.receipt.then.open",
            BreakerState::ForcedOpen => "web.receipt.then.forced-open",
        }),
    };
    (then, present)
}

/// The last message and the answer, where they are kept.
fn texts(trace: &TraceView) -> (String, String) {
    let Some(texts) = &trace.texts else {
        return Default::default();
    };
    let messages = serde_json::from_str::<serde_json::Value>(&texts.prompt).unwrap_or_default();
    let last = messages.as_array().and_then(|all| all.last());
    let question = last.and_then(|it| it["content"].as_str());
    (
        question.unwrap_or_default().to_owned(),
        texts.answer.clone(),
    )
}

/// The passages as they are shown: those of the question, those of the answer, its form; each kind as it was.
pub(super) fn ranked(passages: &[PassageView]) -> Vec<&PassageView> {
    let mut ranked: Vec<&PassageView> = passages.iter().collect();
    ranked.sort_by_key(|it| (it.part, is_form(it)));
    ranked
}

/// Whether a passage is JSON: what the model was told to write its answers in, rather than what they say.
fn is_form(passage: &PassageView) -> bool {
    let marks = ["\":", "{\"", "\"}", "\",\""];
    let text: String = passage.text.split_whitespace().collect();
    passage.part == Part::Answer && marks.iter().any(|mark| text.contains(mark))
}

/// Of which side passages are, in words.
pub(super) fn side_title(say: Say, part: Part) -> String {
    say.it(match part {
        Part::Prompt => "web.receipt.in.prompt",
        Part::Answer => "web.receipt.in.answer",
    })
}

fn sides(say: Say, passages: &[PassageView], records: &[RecordView]) -> Vec<Side> {
    let records: HashMap<Digest, &RecordView> = records.iter().map(|it| (it.leaf, it)).collect();
    let view = |passage: &PassageView| {
        let records = passage.leaves.iter().filter_map(|leaf| records.get(leaf));
        Passage {
            text: if passage.text.is_empty() {
                say.it("web.receipt.gone")
            } else {
                passage.text.clone()
            },
            is_form: is_form(passage),
            records: records.map(|it| sentence(it, passage)).collect(),
        }
    };
    let ranked = ranked(passages);
    let sides = ranked.chunk_by(|a, b| a.part == b.part);
    sides
        .map(|side| Side {
            title: side_title(say, side[0].part),
            passages: side.iter().map(|it| view(it)).collect(),
        })
        .collect()
}

/// The record with the passage marked where it stands: in what the model was shown, or in what it
/// was to answer.
pub(super) fn sentence(record: &RecordView, passage: &PassageView) -> Sentence {
    let in_answer = !record.prompt.contains(&passage.text);
    let (text, other) = if in_answer {
        (&record.answer, &record.prompt)
    } else {
        (&record.prompt, &record.answer)
    };
    let (before, after) = match text.split_once(&passage.text) {
        Some((before, after)) if !passage.text.is_empty() => (before, after),
        _ => (text.as_str(), ""),
    };
    let said = &text[before.len()..text.len() - after.len()];
    Sentence {
        href: format!("/records/{}", record.leaf),
        in_answer,
        before: before.to_owned(),
        said: said.to_owned(),
        after: after.to_owned(),
        other: other.clone(),
        terms: format!(
            "{} · {} · {}",
            record.dataset_name, record.id, record.licence
        ),
        withdrawn: record.withdrawn.is_some(),
        is_form: is_form(passage),
    }
}

fn pairs(say: Say, trace: &TraceView) -> Vec<(String, String)> {
    let receipt = &trace.receipt;
    let rests_on = match &receipt.upstream {
        None => [
            ("web.receipt.model", receipt.model.to_string()),
            ("web.receipt.policy", receipt.policy.to_string()),
        ],
        Some(relayed) => [
            ("web.receipt.weights", say.it("web.receipt.weights.none")),
            (
                "web.receipt.called",
                relayed.model.clone().unwrap_or_default(),
            ),
        ],
    };
    let digests = [
        ("web.receipt.title", receipt.id.clone()),
        ("web.receipt.prompt", receipt.prompt.to_string()),
        ("web.receipt.answer", receipt.answer.to_string()),
    ];
    let entries = format::count(receipt.ledger_size);
    let places = [
        ("web.receipt.leaf", trace.leaf.to_string()),
        ("web.receipt.ledger", say.of("web.receipt.entries", entries)),
    ];
    let pairs = digests.into_iter().chain(rests_on).chain(places);
    pairs.map(|(word, value)| (say.it(word), value)).collect()
}

/// Where the receipt stands, and the page of its batch's statement.
fn batch(say: Say, trace: &TraceView) -> (String, String) {
    let Some(batch) = &trace.batch else {
        return (say.it("web.receipt.batch.none"), String::new());
    };
    let arguments = [
        ("number", batch.batch.to_string()),
        ("place", (batch.position + 1).to_string()),
        ("count", batch.count.to_string()),
    ];
    let arguments = arguments.each_ref().map(|(name, it)| (*name, it.as_str()));
    let place = say.with("web.receipt.batch.place", &arguments);
    (place, format!("/ledger/{}", batch.link))
}
