//! `POST /v1/chat/completions`: from the request to a job and back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use uuid::Uuid;

use super::answer::Answer;
use super::error::ApiError;
use super::models;
use super::request::{ChatRequest, Delivery};
use crate::door::Inner;
use crate::scheduler::{Event, Job, Plan, Refusal};
use crate::served::Served;

/// Answers one conversation.
pub(crate) async fn create(
    State(door): State<Arc<Inner>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = read_body(&door, &headers, body)?;
    let request = ChatRequest::parse(&body)?;
    let served = models::find(&door.catalogue, &request.model)?;
    let permit = door.scheduler.reserve().map_err(|refusal| match refusal {
        Refusal::Full => ApiError::queue_full(door.limits.requests_max()),
        Refusal::Down(reason) => ApiError::unavailable(format!("No answer now: {reason}.")),
    })?;
    let (events, received) = mpsc::unbounded_channel();
    let delivery = request.delivery;
    let answer = Answer::new(door.clone(), &request.model, received);
    let job = prepare(request, served, events, permit).await?;
    door.scheduler.submit(job);
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

/// Makes the prompt, away from the threads that move bytes: a long one takes a while.
async fn prepare(
    request: ChatRequest,
    served: Arc<Served>,
    events: mpsc::UnboundedSender<Event>,
    permit: OwnedSemaphorePermit,
) -> Result<Job, ApiError> {
    let work = move || {
        let prompt = served.prompt(&request.messages).map_err(|error| {
            ApiError::invalid(
                Some("messages"),
                format!("The messages cannot be read: {error}."),
            )
        })?;
        let context = served.model().config.context;
        let plan = plan(request, prompt.len(), context)?;
        Ok(Job {
            served,
            prompt,
            plan,
            events,
            permit,
        })
    };
    let prepared = tokio::task::spawn_blocking(work).await;
    prepared.unwrap_or_else(|panic| {
        Err(ApiError::internal(format!(
            "The prompt could not be made: {panic}."
        )))
    })
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
    })
}
