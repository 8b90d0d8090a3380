//! `/tour`: from an answer to its training sentences and back, in four clicks from an order.
//!
//! One click asks and shows the sentences with their licence, one alters the model in a copy of the
//! home and shows how it is refused, two withdraw a record ([`super::withdraw`]). Nothing here is
//! played: the answer has a receipt, the refusal is admission's own.

use askama::Template;
use axum::extract::{Form, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::receipt::Part;
use lathe_workshop::trace::TraceView;
use lathe_workshop::{DeploymentView, Operation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::alert::Alert;
use super::playground::{self, Question, Told};
use super::receipt::{self, Sentence};
use super::{Frame, Problem, short};
use crate::AppState;
use crate::format;
use crate::lang::{Say, Tongue};

/// Sentences shown.
const SENTENCES_MAX: usize = 3;
/// Questions tried until the records say the same as one.
const QUESTIONS_MAX: usize = 5;

#[derive(Template)]
#[template(path = "tour.html")]
struct TourPage {
    frame: Frame,
    name: String,
    choices: Vec<String>,
    asked: Option<Asked>,
    flip: Option<Flip>,
}

/// An answer and where it comes from.
struct Asked {
    question: String,
    answer: String,
    receipt: String,
    short_receipt: String,
    demonstration: bool,
    /// Records that say the same: as the question, then as the answer.
    sides: Vec<Side>,
    /// What the deployment rests on, in a line each.
    rests: Vec<String>,
    self_approved: bool,
    withdraw_href: String,
}

/// Records that have a passage of the question, or of the answer.
struct Side {
    title: String,
    /// All of them have only the answer's form, which is JSON.
    is_form: bool,
    sentences: Vec<Sentence>,
}

/// How the altered model was refused.
struct Flip {
    file: String,
    code: String,
    told: Alert,
}

/// The form that asks.
#[derive(Debug, Deserialize)]
pub(super) struct Named {
    name: String,
}

/// The form that alters a copy, with what the page shows already.
#[derive(Debug, Deserialize)]
pub(super) struct Shown {
    name: String,
    receipt: String,
    #[serde(default)]
    question: String,
    #[serde(default)]
    answer: String,
}

/// `GET /tour`: what it shows, and a button for every model that answers.
pub(super) async fn page(State(state): State<AppState>, tongue: Tongue) -> Response {
    match state.desk.deployments().await {
        Ok(all) => show(tongue, String::new(), names(&all), None, None),
        Err(error) => Problem::from(error).page(tongue),
    }
}

fn names(all: &[DeploymentView]) -> Vec<String> {
    all.iter().map(|it| it.name.clone()).collect()
}

/// `POST /tour`: asks, and follows the answer back.
pub(super) async fn ask(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(Named { name }): Form<Named>,
) -> Response {
    let all = match state.desk.deployments().await {
        Ok(all) => all,
        Err(error) => return Problem::from(error).page(tongue),
    };
    let Some(model) = all.iter().find(|it| it.name == name) else {
        return Problem::Missing.page(tongue);
    };
    match asked(&state, tongue.say, model).await {
        Ok(asked) => show(tongue, name, names(&all), asked, None),
        Err(problem) => problem.page(tongue),
    }
}

/// Asks the examples until one shares a passage with a record; the last one in any case.
async fn asked(
    state: &AppState,
    say: Say,
    model: &DeploymentView,
) -> Result<Option<Asked>, Problem> {
    let mut last = None;
    for question in model.examples.iter().take(QUESTIONS_MAX) {
        let asked = Question {
            model: &model.name,
            user: question,
            system: model.system.as_deref().unwrap_or_default(),
            parameters: Map::from_iter([("temperature".to_owned(), 0.into())]),
            // The tour begins at a model that answers everyone.
            accepts: false,
        };
        let told = playground::complete(state, say, asked)
            .await
            .map_err(|(status, text)| Problem::Refused { status, text })?;
        let Told { text, receipt, .. } = told;
        let Some(trace) = state.desk.trace(&receipt).await? else {
            continue;
        };
        let in_question = trace.passages.iter().any(|it| it.part == Part::Prompt);
        last = Some(follow(say, &trace, question.clone(), text));
        if in_question {
            break;
        }
    }
    Ok(last)
}

/// `POST /tour/flip`: one bit of the model is flipped in a copy of the home.
pub(super) async fn flip(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(form): Form<Shown>,
) -> Response {
    match flipped(&state, tongue.say, form).await {
        Ok((name, asked, flip)) => show(tongue, name, Vec::new(), Some(asked), Some(flip)),
        Err(problem) => problem.page(tongue),
    }
}

async fn flipped(
    state: &AppState,
    say: Say,
    form: Shown,
) -> Result<(String, Asked, Flip), Problem> {
    let trace = state.desk.trace(&form.receipt).await?;
    let trace = trace.ok_or(Problem::Missing)?;
    let name = form.name;
    let operation = Operation::Flip { name: name.clone() };
    let said = state.desk.operate(operation).await?;
    let part = |value: &Value| format::short_digests(value.as_str().unwrap_or_default());
    let refused = &said["refused"];
    let code = part(&refused["code"]);
    let flip = Flip {
        file: part(&said["file"]),
        told: Alert::of(say, &code, &part(&refused["text"]), &part(&refused["next"])),
        code,
    };
    Ok((name, follow(say, &trace, form.question, form.answer), flip))
}

fn show(
    tongue: Tongue,
    name: String,
    choices: Vec<String>,
    asked: Option<Asked>,
    flip: Option<Flip>,
) -> Response {
    let page = TourPage {
        frame: Frame::new(tongue, "try"),
        name,
        choices,
        asked,
        flip,
    };
    page.frame.answer(StatusCode::OK, &page)
}

/// The records that share a passage with the question, then those that share one with the answer; none twice.
fn sides(say: Say, trace: &TraceView) -> Vec<Side> {
    let mut shown = Vec::new();
    let mut sentences: Vec<(Part, Sentence)> = Vec::new();
    for passage in receipt::ranked(&trace.passages) {
        for record in &trace.records {
            let fits = passage.leaves.contains(&record.leaf) && !shown.contains(&record.leaf);
            if fits && sentences.len() < SENTENCES_MAX {
                shown.push(record.leaf);
                sentences.push((passage.part, receipt::sentence(record, passage)));
            }
        }
    }
    let mut sides: Vec<Side> = Vec::new();
    for part in [Part::Prompt, Part::Answer] {
        let of = sentences.extract_if(.., |(of, _)| *of == part);
        let sentences: Vec<Sentence> = of.map(|(_, sentence)| sentence).collect();
        if !sentences.is_empty() {
            sides.push(Side {
                title: receipt::side_title(say, part),
                is_form: sentences.iter().all(|it| it.is_form),
                sentences,
            });
        }
    }
    sides
}

/// The answer with its sentences and what it rests on.
fn follow(say: Say, trace: &TraceView, question: String, answer: String) -> Asked {
    let sides = sides(say, trace);
    let mut sentences = sides.iter().flat_map(|it| &it.sentences);
    let standing = sentences.find(|it| !it.withdrawn);
    let chain = &trace.chain;
    Asked {
        withdraw_href: standing.map_or_else(String::new, |it| format!("{}/withdraw", it.href)),
        short_receipt: short(&trace.receipt.id).to_owned(),
        receipt: trace.receipt.id.clone(),
        demonstration: chain
            .deployment
            .as_ref()
            .is_some_and(|it| it.said.demonstration),
        rests: rests(say, trace),
        self_approved: chain.self_approved,
        question,
        answer,
        sides,
    }
}

/// Registration and data, in words.
fn rests(say: Say, trace: &TraceView) -> Vec<String> {
    let chain = &trace.chain;
    let approver = chain.approval.as_ref().map(|it| it.by());
    let registered = chain.registration.as_ref().map(|it| {
        let number = ("number", it.said.number.as_str());
        let by = ("by", approver.unwrap_or_default());
        say.with("tour.registered", &[number, by, ("self", "")])
    });
    let data = chain.datasets.iter().map(|it| {
        let records = format::count(it.said.train);
        let arguments = [
            ("name", it.said.name.as_str()),
            ("records", &records),
            ("licence", &it.said.licence),
            ("owner", &it.said.owner),
        ];
        say.with("tour.data", &arguments)
    });
    registered.into_iter().chain(data).collect()
}
