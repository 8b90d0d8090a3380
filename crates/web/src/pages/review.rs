//! `/review`: what people said of answers, decided about one by one, and what becomes of it.
//!
//! A card shows the question, the answer where its text is kept, the right answer as it was given, and what
//! others said of the same answer. Every decision is a plain form; keys are an addition of the script.

use askama::Template;
use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Form, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use lathe_workshop::feedback::{
    FeedbackDataset, FeedbackEdit, FeedbackList, FeedbackReview, FeedbackState, FeedbackTune,
    Review,
};
use lathe_workshop::people::Signed;
use lathe_workshop::trace::TextsView;
use lathe_workshop::{Caller, Operation, WorkshopError};
use serde::Deserialize;
use serde_json::Value;

use super::alert::Alert;
use super::{Frame, Problem};
use crate::format;
use crate::lang::{Say, Tongue};
use crate::{AppState, api};

/// Cards on one page.
const CARDS_MAX: u32 = 20;

#[derive(Template)]
#[template(path = "review.html")]
struct ReviewPage {
    frame: Frame,
    cards: Vec<Card>,
    states: Vec<(&'static str, String, bool)>,
    next: Option<String>,
    by: String,
    error: Option<Alert>,
    /// The card that the error is of; empty where it is of none.
    error_at: String,
    names: Vec<String>,
}

struct Card {
    id: String,
    short_id: String,
    is_correction: bool,
    pending: bool,
    kind: String,
    state: String,
    name: String,
    receipt: String,
    from: String,
    created: String,
    created_text: String,
    reason: String,
    /// Role and text of what was asked.
    asked: Vec<(String, String)>,
    answer: String,
    correction: String,
    agreement: String,
    others: Vec<(String, String, bool)>,
    decided: String,
}

/// `?state=&before=&by=`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wanted {
    state: String,
    before: String,
    by: String,
}

/// One decision.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Decision {
    #[serde(rename = "do")]
    does: String,
    id: String,
    by: String,
    reason: String,
    correction: String,
    state: String,
}

impl Decision {
    /// The right answer as it was written: browsers send lines with carriage returns.
    fn written(&self) -> String {
        self.correction.replace("\r\n", "\n")
    }
}

/// What is to become of accepted corrections.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Learning {
    #[serde(rename = "do")]
    does: String,
    deployment: String,
    dataset: String,
    licence: String,
    owner: String,
}

/// What is said again beside the page.
#[derive(Default)]
struct Told {
    error: Option<WorkshopError>,
    at: String,
    /// The correction as it was being edited.
    correction: Option<String>,
}

/// `GET /review`.
pub(super) async fn page(
    State(state): State<AppState>,
    tongue: Tongue,
    wanted: Result<Query<Wanted>, QueryRejection>,
) -> Response {
    let Query(wanted) = wanted.unwrap_or_default();
    show(&state, tongue, wanted, Told::default()).await
}

/// `POST /review`: decides, and goes to what is next.
pub(super) async fn act(
    State(state): State<AppState>,
    tongue: Tongue,
    caller: Option<Extension<Caller>>,
    signed: Option<Extension<Signed>>,
    Form(mut form): Form<Decision>,
) -> Response {
    // Who is logged in decides under their own name.
    if let Some(Extension(signed)) = signed {
        signed.person.row.name.clone_into(&mut form.by);
    }
    let name = caller.map(|Extension(Caller(token))| token.name().to_owned());
    let operation = match is_edited(&state, &form).await {
        Ok(edited) => operation_of(&form, edited),
        Err(error) => return Problem::from(error).page(tongue),
    };
    let operation = operation.asked_by(name.as_deref().unwrap_or("local"));
    let wanted = Wanted {
        state: form.state.clone(),
        by: form.by.clone(),
        ..Wanted::default()
    };
    match state.desk.operate(operation).await {
        Ok(_) => {
            let query = [("state", &form.state), ("by", &form.by)];
            let query = query.map(|(key, value)| format!("{key}={}", escaped(value)));
            Redirect::to(&format!("/review?{}", query.join("&"))).into_response()
        }
        Err(error) => {
            let told = Told {
                error: Some(error),
                at: form.id,
                correction: Some(form.correction),
            };
            show(&state, tongue, wanted, told).await
        }
    }
}

/// Whether another right answer is accepted than the one that was given.
async fn is_edited(state: &AppState, form: &Decision) -> Result<bool, WorkshopError> {
    if form.does != "accept" || form.correction.trim().is_empty() {
        return Ok(false);
    }
    let id = form.id.clone();
    let shown = state.desk.operate(Operation::FeedbackShow { id }).await?;
    let given = shown["correction"].as_str().unwrap_or_default();
    Ok(form.written().trim() != given.trim())
}

fn operation_of(form: &Decision, edited: bool) -> Operation {
    let reason = Some(form.reason.trim().to_owned()).filter(|it| !it.is_empty());
    let (id, by) = (form.id.clone(), form.by.trim().to_owned());
    let review = |review| {
        Operation::FeedbackReview(FeedbackReview {
            ids: vec![id.clone()],
            review,
            by: by.clone(),
            reason: reason.clone(),
        })
    };
    match &form.does[..] {
        "accept" if edited => Operation::FeedbackEdit(FeedbackEdit {
            id,
            correction: form.written(),
            by,
            reason,
        }),
        "accept" => review(Review::Accept),
        _ => review(Review::Reject),
    }
}

/// `POST /review/learn`: makes a dataset version of accepted corrections, or tunes on them.
pub(super) async fn learn(
    State(state): State<AppState>,
    tongue: Tongue,
    Form(form): Form<Learning>,
) -> Response {
    let said = |text: &str| Some(text.trim().to_owned()).filter(|text| !text.is_empty());
    let operation = match &form.does[..] {
        "tune" => Operation::FeedbackTune(FeedbackTune {
            deployment: form.deployment.clone(),
            dataset: None,
            set: Default::default(),
        }),
        _ => Operation::FeedbackDataset(FeedbackDataset {
            name: form.dataset.trim().to_owned(),
            of: said(&form.deployment),
            licence: said(&form.licence),
            owner: said(&form.owner),
        }),
    };
    let right = operation.right();
    match state.desk.operate(operation).await {
        Err(error) if error.code() == "right-denied" => Problem::Denied(right).page(tongue),
        Ok(done) => Redirect::to(&place_of(&done)).into_response(),
        Err(error) => {
            let told = Told {
                error: Some(error),
                ..Told::default()
            };
            show(&state, tongue, Wanted::default(), told).await
        }
    }
}

/// The page of what was made: an order, or a dataset version.
fn place_of(done: &Value) -> String {
    match (done["order"].as_str(), done["dataset"].as_str()) {
        (Some(order), _) => format!("/orders/{order}"),
        (None, Some(digest)) => format!("/data/{digest}"),
        (None, None) => "/data".to_owned(),
    }
}

async fn show(state: &AppState, tongue: Tongue, wanted: Wanted, told: Told) -> Response {
    let say = tongue.say;
    let kept = state_of(&wanted.state);
    let list = FeedbackList {
        state: kept,
        before: Some(wanted.before.clone()).filter(|it| !it.is_empty()),
        limit: Some(CARDS_MAX),
    };
    let read = async {
        let list = state.desk.operate(Operation::FeedbackList(list)).await?;
        let mut cards = Vec::new();
        for row in list["feedback"].as_array().into_iter().flatten() {
            let id = row["id"].as_str().unwrap_or_default().to_owned();
            let shown = state.desk.operate(Operation::FeedbackShow { id }).await?;
            let receipt = shown["receipt"].as_str().unwrap_or_default();
            let traced = state.desk.trace(receipt).await?;
            cards.push(card(say, &shown, traced.and_then(|it| it.texts)));
        }
        let names = state.desk.deployments().await?;
        let names = names.into_iter().map(|it| it.name).collect();
        Ok::<_, WorkshopError>((cards, names, list["next"].as_str().map(str::to_owned)))
    };
    let (mut cards, names, next) = match read.await {
        Ok(read) => read,
        Err(error) => return Problem::from(error).page(tongue),
    };
    if let Some((text, card)) = told
        .correction
        .zip(cards.iter_mut().find(|it| it.id == told.at))
    {
        card.correction = text;
    }
    let status = told.error.as_ref().map_or(StatusCode::OK, api::status_of);
    let by = escaped(&wanted.by);
    let page = ReviewPage {
        frame: Frame::new(tongue, "receipts"),
        cards,
        states: states(say, kept),
        next: next.map(|id| {
            let state = kept.map_or("all", word);
            format!("/review?state={state}&before={}&by={by}", escaped(&id))
        }),
        by: wanted.by,
        error: told.error.map(|error| Alert::new(say, &error)),
        error_at: told.at,
        names,
    };
    page.frame.answer(status, &page)
}

/// Which state a query means: what waits, unless it says otherwise.
fn state_of(text: &str) -> Option<FeedbackState> {
    match text {
        "all" => None,
        "accepted" => Some(FeedbackState::Accepted),
        "rejected" => Some(FeedbackState::Rejected),
        _ => Some(FeedbackState::Received),
    }
}

fn word(state: FeedbackState) -> &'static str {
    match state {
        FeedbackState::Received => "received",
        FeedbackState::Accepted => "accepted",
        FeedbackState::Rejected => "rejected",
    }
}

fn states(say: Say, kept: Option<FeedbackState>) -> Vec<(&'static str, String, bool)> {
    let chosen = kept.map_or("all", word);
    let state = |name| (name, say.it_of("web.review.state", name), name == chosen);
    ["received", "accepted", "rejected", "all"]
        .map(state)
        .into()
}

/// A card; what was asked stands in a correction, of a complaint in the texts that the workshop keeps.
fn card(say: Say, shown: &Value, texts: Option<TextsView>) -> Card {
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    let (id, kind, state) = (text("id"), text("kind"), text("state"));
    let created_ms = shown["created"].as_i64().unwrap_or_default() * 1000;
    let (prompt, answer) = texts.map_or_else(Default::default, |it| (it.prompt, it.answer));
    let asked = match shown["messages"].is_array() {
        true => messages(say, &shown["messages"]),
        false => messages(say, &serde_json::from_str(&prompt).unwrap_or_default()),
    };
    Card {
        // Its beginning is time, which many share.
        short_id: id
            .get(id.len().saturating_sub(8)..)
            .unwrap_or(&id)
            .to_owned(),
        is_correction: kind == "correction",
        pending: state == "received",
        kind: say.name_of("web.review.kind", &kind),
        state: say.name_of("web.review.state", &state),
        name: text("model"),
        receipt: text("receipt"),
        from: shown["from"]
            .as_str()
            .map_or_else(|| text("key"), str::to_owned),
        created: format::moment(created_ms),
        created_text: format::moment_text(created_ms),
        reason: text("reason"),
        asked,
        answer,
        correction: text("correction"),
        agreement: agreement(say, &shown["agreement"]),
        others: others(say, shown),
        decided: decided(say, &shown["review"]),
        id,
    }
}

/// Role and text of each message.
fn messages(say: Say, all: &Value) -> Vec<(String, String)> {
    let all = all.as_array().into_iter().flatten();
    let message = |message: &Value| {
        let content = match &message["content"] {
            Value::String(text) => text.clone(),
            Value::Null => message.to_string(),
            other => other.to_string(),
        };
        let role = message["role"].as_str().unwrap_or_default();
        (say.name_of("web.review.role", role), content)
    };
    all.map(message).collect()
}

/// How many of the corrections of one answer say the same; nothing where there is but one.
fn agreement(say: Say, counts: &Value) -> String {
    let (same, of) = (counts["same"].as_u64(), counts["of"].as_u64());
    match same.zip(of) {
        Some((same, of)) if of > 1 => {
            let numbers = [("same", same.to_string()), ("of", of.to_string())];
            let numbers = numbers.each_ref().map(|(name, it)| (*name, it.as_str()));
            say.with("web.review.agreement", &numbers)
        }
        _ => String::new(),
    }
}

/// Who else said what of the same answer, and whether it agrees.
fn others(say: Say, shown: &Value) -> Vec<(String, String, bool)> {
    let all = shown["others"].as_array().into_iter().flatten();
    let other = |it: &Value| {
        let text = |name: &str| it[name].as_str().unwrap_or_default();
        let said = match it["correction"].as_str() {
            Some(correction) => correction.to_owned(),
            None => say.name_of("web.review.kind", text("kind")),
        };
        let state = say.name_of("web.review.state", text("state"));
        let by = format!("{} · {state}", text("by"));
        (by, said, it["agrees"] == true)
    };
    all.map(other).collect()
}

fn decided(say: Say, review: &Value) -> String {
    let Some(by) = review["by"].as_str() else {
        return String::new();
    };
    let mut text = say.of("web.review.decided", by);
    if let Some(reason) = review["reason"].as_str() {
        text.push_str(" · ");
        text.push_str(reason);
    }
    text
}

/// A text as it stands in a query.
fn escaped(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let bytes = text.bytes().map(|byte| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    bytes.collect()
}
