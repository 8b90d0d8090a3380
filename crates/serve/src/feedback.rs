//! `/v1/feedback`: what callers say of answers, tied to their receipts.
//!
//! Here it is read, bounded and told; what it is held against and what becomes of it is the workshop's
//! ([`lathe_workshop::feedback`]). A correction needs what was asked: where the workshop keeps no texts the
//! caller sends it again, and it is written as its receipt's digest was taken of it, by the same code.
//!
//! Whoever has a key sees what was given with that key, an administrator all of it. A key for some models
//! alone may speak of their answers alone; of the others' receipts it hears that there are none.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Query as Queried, State};
use axum::http::{HeaderMap, Method, Uri};
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use lathe_evidence::receipt::Receipt;
use lathe_workshop::feedback::{
    FROM_CHARS_MAX, FeedbackKind, FeedbackState, Given, PROMPT_BYTES_MAX, REASON_CHARS_MAX, Wanted,
    no_answer, unknown,
};
use lathe_workshop::{Workshop, WorkshopError};
use serde_json::{Map, Value};

use crate::api::error::ApiError;
use crate::api::fields::{Fields, is_absent};
use crate::api::in_path::InPath;
use crate::api::{body, messages, quota, tools};
use crate::asker::Asker;
use crate::receipt::Question;
use crate::relay::{self, Interface};
use crate::tuning::page::{self, Query};

/// The largest body: the longest question, and room for what is said about its answer.
const BODY_BYTES_MAX: usize = PROMPT_BYTES_MAX + (256 << 10);
/// Entries of a page unless asked, and the most.
const LIST_USUAL: usize = 20;
const LIST_MAX: usize = 100;
/// Members that are known.
const KNOWN: [&str; 7] = [
    "receipt",
    "kind",
    "correction",
    "reason",
    "from",
    "messages",
    "tools",
];

/// The routes over a workshop, state applied, to be merged with [`crate::Door::router`].
pub fn router(shop: Workshop) -> Router {
    Router::new()
        .route("/v1/feedback", only("GET, POST", get(list).post(create)))
        .route("/v1/feedback/{id}", only("GET", get(retrieve)))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(quota::hold))
        .with_state(shop)
}

/// Answers other methods in OpenAI's shape.
fn only(allowed: &'static str, methods: MethodRouter<Workshop>) -> MethodRouter<Workshop> {
    methods.fallback(async move |method: Method, uri: Uri| {
        ApiError::method_not_allowed(method.as_str(), uri.path(), allowed)
    })
}

/// Takes feedback in; the same is taken once.
async fn create(
    State(shop): State<Workshop>,
    asker: Asker,
    headers: HeaderMap,
    bytes: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let bytes = body::declared(BODY_BYTES_MAX, &headers, bytes)?;
    let map = body::members(&bytes)?;
    let said = read(&map)?;
    let receipt = shop.answered(&said.receipt).await.map_err(failed)?;
    if !asker.sees(&receipt.name) {
        return Err(failed(no_answer(&said.receipt)));
    }
    let given = Given {
        prompt: asked(&map, &receipt)?,
        ..said
    };
    let row = shop.give_feedback(given, &asker.giver()).await;
    Ok(Json(row.map_err(failed)?.told()))
}

/// What was given, the newest first.
async fn list(
    State(shop): State<Workshop>,
    asker: Asker,
    Queried(query): Queried<Query>,
) -> Result<Json<Value>, ApiError> {
    let limit = page::limit(&query, LIST_USUAL, LIST_MAX)?;
    let state = query.get("state").map(|name| state_of(name)).transpose()?;
    let wanted = Wanted {
        state,
        token: (!asker.sees_all()).then(|| asker.giver().token),
        before: query.get("after").cloned(),
        limit: u32::try_from(limit + 1).unwrap_or(u32::MAX),
    };
    let rows = shop.feedbacks(&wanted).await.map_err(failed)?;
    let all: Vec<Value> = rows.iter().map(|row| row.told()).collect();
    Ok(Json(page::list(&all, limit)))
}

/// One.
async fn retrieve(
    State(shop): State<Workshop>,
    asker: Asker,
    InPath(id): InPath,
) -> Result<Json<Value>, ApiError> {
    let row = shop.feedback(&id).await.map_err(failed)?;
    let own = row.token == asker.giver().token;
    if !(own || asker.sees_all() && asker.sees(&row.name)) {
        return Err(failed(unknown(&id)));
    }
    Ok(Json(row.told()))
}

/// What a body says, but for what was asked.
///
/// # Errors
/// 400 that names the member.
fn read(map: &Map<String, Value>) -> Result<Given, ApiError> {
    if let Some(unknown) = map.keys().find(|key| !KNOWN.contains(&key.as_str())) {
        let shown: String = unknown.chars().take(60).collect();
        let message = format!("Unrecognized request argument supplied: {shown}.");
        return Err(ApiError::invalid(Some(&shown), message));
    }
    let fields = Fields::new(map);
    let kind = match fields.required_text("kind")?.as_str() {
        "correction" => FeedbackKind::Correction,
        "complaint" => FeedbackKind::Complaint,
        _ => {
            let message = "'kind' must be 'correction' or 'complaint'.";
            return Err(ApiError::invalid(Some("kind"), message));
        }
    };
    let correction = map.get("correction").filter(|it| !it.is_null());
    let correction = correction.map(|it| messages::read_content("correction", Some(it)));
    Ok(Given {
        receipt: fields.required_text("receipt")?,
        kind,
        correction: correction.transpose()?,
        reason: text(&fields, map, "reason", REASON_CHARS_MAX)?,
        from: text(&fields, map, "from", FROM_CHARS_MAX)?,
        prompt: None,
    })
}

/// A text that may be left out, of so many characters at most.
fn text(
    fields: &Fields<'_>,
    map: &Map<String, Value>,
    name: &str,
    chars_max: usize,
) -> Result<Option<String>, ApiError> {
    if is_absent(map.get(name)) {
        return Ok(None);
    }
    let text = fields.required_text(name)?;
    if text.chars().count() > chars_max {
        let message = format!("'{name}' must have at most {chars_max} characters.");
        return Err(ApiError::invalid(Some(name), message));
    }
    Ok(Some(text))
}

/// What was asked, written as the receipt's digest was taken of it.
fn asked(map: &Map<String, Value>, receipt: &Receipt) -> Result<Option<String>, ApiError> {
    if is_absent(map.get("messages")) {
        return Ok(None);
    }
    let question = match receipt.upstream {
        // What an upstream is asked nobody here reads.
        Some(_) => relay::question_of(Interface::Chat, map),
        None => {
            let messages = messages::read(map.get("messages"))?;
            Question::new(&messages, tools::read(map)?.as_ref(), false, false)
        }
    };
    Ok(Some(question.messages().to_owned()))
}

fn state_of(name: &str) -> Result<FeedbackState, ApiError> {
    match name {
        "received" => Ok(FeedbackState::Received),
        "accepted" => Ok(FeedbackState::Accepted),
        "rejected" => Ok(FeedbackState::Rejected),
        _ => {
            let message = "'state' must be 'received', 'accepted' or 'rejected'.";
            Err(ApiError::invalid(Some("state"), message))
        }
    }
}

fn failed(error: WorkshopError) -> ApiError {
    let param = match error.code() {
        "feedback-receipt" => "receipt",
        "feedback-unknown" => "id",
        "feedback-prompt" => "messages",
        _ => "correction",
    };
    ApiError::of_workshop(&error, param)
}
