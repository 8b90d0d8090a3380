//! `POST /v1/chat/completions`: from the request to a job and back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use uuid::Uuid;

use super::error::ApiError;
use super::form::{Form, Kind};
use super::format::Shape;
use super::request::{ChatRequest, Delivery};
use super::round::{self, Asked, Round};
use super::{bias, body, models, tools};
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::Question;
use crate::scheduler::{Caller, Plan, Wanted};
use crate::served::Served;

/// Answers one conversation.
pub(crate) async fn create(
    State(door): State<Arc<Inner>>,
    caller: Caller,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body::read(&door, &headers, body)?;
    let request = ChatRequest::parse(&body)?;
    asker.may_ask(&request.model)?;
    let served = models::find(&door.catalogue, &request.model)?;
    let places = body::reserve(&door, request.answers, "n")?;
    let (model, delivery) = (request.model.clone(), request.delivery);
    let (answers, scores) = (request.answers, request.scores.is_some());
    let accepts_restricted = body::accepts_restricted(&headers);
    let calls = tools::answered(request.tools.as_ref(), &served)?;
    let grammar = Shape::prepare(request.shape.clone(), &door, &served).await?;
    let mut asked = prepare(request, served.clone(), accepts_restricted).await?;
    asked.plan.grammar = grammar;
    let form = Form {
        served: served.clone(),
        scores,
        kind: Kind::Chat { calls },
    };
    let round = Round {
        served,
        model,
        asked: vec![asked],
        answers,
        form,
        caller,
        asker,
        places,
    };
    let answer = round.begin(door).await?;
    match delivery {
        Delivery::Whole => answer.whole().await,
        Delivery::Stream(usage) => Ok(answer.stream(usage)),
    }
}

/// Makes the prompt, away from the threads that move bytes: a long one takes a while.
async fn prepare(
    request: ChatRequest,
    served: Arc<Served>,
    accepts_restricted: bool,
) -> Result<Asked, ApiError> {
    let work = move || {
        let as_measured = is_as_measured(&request, served.files().system.as_deref());
        let tools = request.tools.as_ref();
        tools::check(&request.messages, tools, served.skills())?;
        bias::check(&request.bias, served.model().config.vocab)?;
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
        Ok(Asked {
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
        && request.penalties.frequency == 0.0
        && request.bias.is_idle();
    let plain = rest.len() == 1
        && request.tools.is_none()
        && request.shape.is_none()
        && request.answers == 1;
    first == system && plain && greedy && request.stop.is_empty() && !request.ignore_eos
}

/// How the first answer is made; prompt and answer must fit the context together.
fn plan(request: ChatRequest, prompt: usize, context: usize) -> Result<Plan, ApiError> {
    let asked = request.answer_tokens_max;
    let answer_tokens_max =
        round::answer_tokens_max("messages", asked, usize::MAX, (prompt, context))?;
    let mut sampling = request.sampling;
    if !request.seeded {
        // The low half of a version 7 identifier is random.
        sampling.seed = Uuid::now_v7().as_u64_pair().1;
    }
    Ok(Plan {
        sampling,
        penalties: request.penalties,
        bias: request.bias,
        stop: request.stop,
        answer_tokens_max,
        ignore_eos: request.ignore_eos,
        grammar: None,
        continues: false,
        scores: Wanted {
            prompt: None,
            answer: request.scores,
        },
    })
}
