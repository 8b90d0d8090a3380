//! `/register/{number}/filing`: which act of an authority (备案) applies, the package for it, and the
//! acts that are kept. Nothing here files anything, and nothing changes by it: the questionnaire's
//! answers stand in the address alone.

use askama::Template;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use lathe_evidence::statement::Filing;
use lathe_workshop::Operation;
use lathe_workshop::ops::{Answers, filing_check};
use lathe_workshop::trace::{RegistrationView, Said};
use serde_json::Value;

use super::chain::{self, EntryLink, word};
use super::in_path::InPath;
use super::playground::encoded;
use super::register::printed;
use super::{Frame, Problem};
use crate::AppState;
use crate::lang::{Say, Tongue};

/// An act of an authority. It has no form without number, date and document.
pub(super) struct Filed {
    pub kind: String,
    pub number: String,
    pub authority: String,
    pub date: String,
    pub document: String,
    pub entry: EntryLink,
}

impl Filed {
    /// The act as it is shown.
    pub(super) fn new(say: Say, it: &Said<Filing>) -> Filed {
        Filed {
            kind: say.it_of("web.filing.kind", word(it.said.kind)),
            number: it.said.number.clone(),
            authority: it.said.authority.clone(),
            date: it.said.date.clone(),
            document: it.subject.to_string(),
            entry: chain::entry(say, it),
        }
    }
}

#[derive(Template)]
#[template(path = "filing.html")]
struct FilingPage {
    frame: Frame,
    number: String,
    name: String,
    href: String,
    questions: Vec<Question>,
    open: usize,
    applies: Vec<Act>,
    package_href: String,
    package_command: String,
    record_command: String,
    filings: Vec<Filed>,
}

struct Question {
    id: String,
    text: String,
    answer: Option<bool>,
    /// The ledger's own answer, in words, which nobody can change.
    known: Option<String>,
}

/// An act that applies, or that none does.
struct Act {
    name: String,
    because: String,
    source: String,
    confidence: String,
}

/// `?public=yes&tuned=no`.
type Written = Result<Query<Vec<(String, String)>>, QueryRejection>;

/// `GET /register/{number}/filing`.
pub(super) async fn page(
    State(state): State<AppState>,
    InPath(number): InPath,
    tongue: Tongue,
    said: Written,
) -> Response {
    let view = match state.desk.registration(&number).await {
        Ok(Some(view)) => view,
        Ok(None) => return Problem::Missing.page(tongue),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let known = known(&view);
    let mut answers = answers(said);
    answers.extend(known.clone());
    match filing_check(&answers, tongue.say.lang()) {
        Ok(checked) => show(tongue, &view, &known, &answers, &checked),
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// `GET /register/{number}/filing/package`, to read and to print.
pub(super) async fn package(
    State(state): State<AppState>,
    InPath(number): InPath,
    tongue: Tongue,
    said: Written,
) -> Response {
    let operation = Operation::FilingPackage {
        of: number,
        answers: answers(said),
        folder: None,
        lang: tongue.say.lang().tag().to_owned(),
    };
    match state.desk.operate(operation).await {
        Ok(mut made) => match made["page"].take() {
            Value::String(page) => printed(page),
            _ => Problem::Missing.page(tongue),
        },
        Err(error) => Problem::from(error).page(tongue),
    }
}

/// The answers that the address gives; what is neither yes nor no, or no question, is left out.
fn answers(said: Written) -> Answers {
    let said = said.map(|Query(said)| said).unwrap_or_default();
    let answer = |(id, said): (String, String)| match said.as_str() {
        "yes" => Some((id, true)),
        "no" => Some((id, false)),
        _ => None,
    };
    said.into_iter().filter_map(answer).collect()
}

/// What the ledger answers itself: whether the model was tuned.
fn known(view: &RegistrationView) -> Answers {
    let chain = view.chain.as_ref().filter(|it| it.evaluation.is_some());
    let tuned = chain.map(|it| ("tuned".to_owned(), it.training.is_some()));
    tuned.into_iter().collect()
}

fn show(
    tongue: Tongue,
    view: &RegistrationView,
    known: &Answers,
    answers: &Answers,
    checked: &Value,
) -> Response {
    let say = tongue.say;
    let href = format!("/register/{}", encoded(&view.number));
    let applies: Vec<Act> = list(&checked["applies"]).map(|it| act(say, it)).collect();
    let decided = !applies.is_empty();
    let page = FilingPage {
        frame: Frame::new(tongue, "register"),
        questions: list(&checked["questions"])
            .map(|it| question(say, it, known))
            .collect(),
        open: list(&checked["open"]).count(),
        package_href: match decided {
            true => format!("{href}/filing/package?{}", query(answers)),
            false => String::new(),
        },
        package_command: command(&view.number, answers),
        record_command: format!(
            "lathe filing record {} --kind generative-service --authority … --number … --date YYYY-MM-DD --document FILE",
            view.number
        ),
        filings: view.filings.iter().map(|it| Filed::new(say, it)).collect(),
        number: view.number.clone(),
        name: view.name.clone(),
        href,
        applies,
    };
    page.frame.answer(StatusCode::OK, &page)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value, member: &str) -> String {
    value[member].as_str().unwrap_or_default().to_owned()
}

fn question(say: Say, it: &Value, known: &Answers) -> Question {
    let id = text(it, "id");
    let known = known.get(&id).map(|answer| match answer {
        true => say.it("web.filing.known.yes"),
        false => say.it("web.filing.known.no"),
    });
    Question {
        text: text(it, "text"),
        answer: it["answer"].as_bool(),
        id,
        known,
    }
}

fn act(say: Say, it: &Value) -> Act {
    let kind = it["kind"].as_str().unwrap_or("none");
    Act {
        name: say.it_of("web.filing.kind", kind),
        because: text(it, "because"),
        source: text(it, "source"),
        confidence: say.it_of("web.filing.read", text(it, "confidence")),
    }
}

fn yes_or_no(answer: bool) -> &'static str {
    if answer { "yes" } else { "no" }
}

fn query(answers: &Answers) -> String {
    let pairs = answers
        .iter()
        .map(|(id, answer)| format!("{}={}", encoded(id), yes_or_no(*answer)));
    pairs.collect::<Vec<_>>().join("&")
}

/// The same package on the command line.
fn command(number: &str, answers: &Answers) -> String {
    let answers = answers
        .iter()
        .map(|(id, answer)| format!(" --answer {id}={}", yes_or_no(*answer)));
    let answers: String = answers.collect();
    format!("lathe filing package {number} --out FOLDER{answers}")
}
