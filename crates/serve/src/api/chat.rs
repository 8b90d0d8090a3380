//! `POST /v1/chat/completions`: from the request to a job and back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::answer::Answer;
use super::error::ApiError;
use super::format::Shape;
use super::label::ACCEPT_RESTRICTED_HEADER;
use super::models;
use super::request::{ChatRequest, Delivery};
use super::tools;
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::{OpenReceipt, Question};
use crate::scheduler::{Caller, Job, Plan, Refusal};
use crate::served::Served;

/// Answers one conversation.
pub(crate) async fn create(
    State(door): State<Arc<Inner>>,
    caller: Caller,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = read_body(&door, &headers, body)?;
    let request = ChatRequest::parse(&body)?;
    asker.may_ask(&request.model)?;
    let served = models::find(&door.catalogue, &request.model)?;
    let mut permit = door.scheduler.reserve().map_err(|refusal| match refusal {
        Refusal::Full => ApiError::queue_full(door.limits.requests_max()),
        Refusal::Down(reason) => ApiError::unavailable(format!("No answer now: {reason}.")),
    })?;
    let (model, delivery) = (request.model.clone(), request.delivery);
    let accepts_restricted = accepts_restricted(&headers);
    let grammar = Shape::prepare(request.shape.clone(), &door, &served).await?;
    let mut prepared = prepare(request, served.clone(), accepts_restricted).await?;
    prepared.plan.grammar = grammar;
    asker.charge(&mut permit, prepared.prompt.len())?;
    let receipt = OpenReceipt::open(served.clone(), prepared.question, prepared.prompt.len())
        .await
        .map_err(|refused| ApiError::refused(&refused))?;
    let (events, received) = mpsc::unbounded_channel();
    let answer = Answer::new(door.clone(), &model, received, receipt);
    door.scheduler.submit(Job {
        served,
        caller,
        prompt: prepared.prompt,
        plan: prepared.plan,
        events,
        permit,
    });
    match delivery {
        Delivery::Whole => answer.whole().await,
        Delivery::Stream(usage) => Ok(answer.stream(usage)),
    }
}

/// The body, declared as JSON and within the bound. The declaration is insisted
/// on because a web page from elsewhere cannot send it without asking first.
fn read_body(
    door: &Inner,
    headers: &HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Bytes, ApiError> {
    let declared = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let kind = declared
        .and_then(|value| value.split(';').next())
        .map(str::trim);
    if !kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(ApiError::not_json());
    }
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::body_too_large(door.limits.body_bytes_max),
        _ => ApiError::invalid(
            None,
            format!("The request's body could not be read: {rejection}."),
        ),
    })
}

fn accepts_restricted(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT_RESTRICTED_HEADER)
        .is_some_and(|value| value == "1")
}

/// A request that can be answered.
struct Prepared {
    question: Question,
    prompt: Vec<u32>,
    plan: Plan,
}

/// Makes the prompt, away from the threads that move bytes: a long one takes a while.
async fn prepare(
    request: ChatRequest,
    served: Arc<Served>,
    accepts_restricted: bool,
) -> Result<Prepared, ApiError> {
    let work = move || {
        let as_measured = is_as_measured(&request, served.files().system.as_deref());
        let tools = request.tools.as_ref();
        tools::check(&request.messages, tools, served.skills())?;
        let question = Question::new(&request.messages, tools, as_measured, accepts_restricted);
        let messages = tools::for_template(&request.messages, served.skills());
        let prompt = served.prompt(&messages, tools).map_err(|error| {
            ApiError::invalid(
                Some("messages"),
                format!("The messages cannot be read: {error}."),
            )
        })?;
        let context = served.model().config.context;
        let plan = plan(request, prompt.len(), context)?;
        Ok(Prepared {
            question,
            prompt,
            plan,
        })
    };
    let prepared = tokio::task::spawn_blocking(work).await;
    prepared.unwrap_or_else(|panic| {
        Err(ApiError::internal(format!(
            "The prompt could not be made: {panic}."
        )))
    })
}

/// Whether the model is asked in the way it was measured: its own system message, one question,
/// greedy, free to end by itself. Only then does an invalid answer tell something about the model.
fn is_as_measured(request: &ChatRequest, system: Option<&str>) -> bool {
    let (first, rest) = match request.messages.as_slice() {
        [system, rest @ ..] if system.role == "system" => (Some(system.text()), rest),
        rest => (None, rest),
    };
    let greedy = request.sampling.temperature == 0.0
        && request.penalties.presence == 0.0
        && request.penalties.frequency == 0.0;
    let plain = rest.len() == 1 && request.tools.is_none() && request.shape.is_none();
    first == system && plain && greedy && request.stop.is_empty() && !request.ignore_eos
}

/// How the answer is made; prompt and answer must fit the context together.
fn plan(request: ChatRequest, prompt: usize, context: usize) -> Result<Plan, ApiError> {
    let room = context.saturating_sub(prompt);
    let answer_tokens_max = match request.answer_tokens_max {
        Some(tokens) if tokens > room => {
            return Err(ApiError::context_exceeded(prompt, Some(tokens), context));
        }
        None if room == 0 => return Err(ApiError::context_exceeded(prompt, None, context)),
        Some(tokens) => tokens,
        None => room,
    };
    let mut sampling = request.sampling;
    if !request.seeded {
        // The low half of a version 7 identifier is random.
        sampling.seed = Uuid::now_v7().as_u64_pair().1;
    }
    Ok(Plan {
        sampling,
        penalties: request.penalties,
        stop: request.stop,
        answer_tokens_max,
        ignore_eos: request.ignore_eos,
        grammar: None,
    })
}
