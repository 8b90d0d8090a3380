//! `POST /v1/chat/completions`: from the request to a job and back.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;

use super::calls::Calls;
use super::error::ApiError;
use super::form::Kind;
use super::format::Shape;
use super::request::ChatRequest;
use super::round::{self, Asked, Round};
use super::{bias, body, models, tools};
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::Question;
use crate::relay::{self, Interface};
use crate::scheduler::Caller;
use crate::served::Served;
use lathe_workshop::people::reach;

/// Answers one conversation.
pub(crate) async fn create(
    State(door): State<Arc<Inner>>,
    caller: Caller,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let map = body::read(&door, &headers, body)?;
    let accepts_restricted = body::accepts_restricted(&headers);
    if let Some(relay) = models::relay(&door, &map) {
        let by = (asker, accepts_restricted);
        return relay::ask(relay, door, by, Interface::Chat, map).await;
    }
    let request = ChatRequest::read(&map)?;
    let terms = request.terms.clone();
    asker.may_ask(&terms.model)?;
    let served = models::find(&door, &asker, &terms.model)?;
    let places = body::reserve(&door, terms.answers, "n")?;
    let calls = match &request.forced {
        Some(forced) => Some(forced.calls()),
        None => tools::answered(request.tools.as_ref(), &served)?.map(Calls::Within),
    };
    let grammar = Shape::prepare(request.shape.clone(), &door, &served).await?;
    let mut asked = prepare(request, served.clone(), accepts_restricted).await?;
    asked.plan.grammar = grammar;
    let round = Round {
        served,
        terms,
        asked: vec![asked],
        kind: Kind::Chat { calls },
        places,
        caller,
        asker,
    };
    round.answer(door).await
}

/// Makes the prompt, away from the threads that move bytes: a long one takes a while.
async fn prepare(
    mut request: ChatRequest,
    served: Arc<Served>,
    accepts_restricted: bool,
) -> Result<Asked, ApiError> {
    let work = move || {
        request.terms.draw_seed();
        let as_measured = is_as_measured(&request, served.files().system.as_deref());
        let tools = request.tools.as_ref();
        tools::check(&request.messages, tools, served.skills())?;
        bias::check(&request.terms.bias, served.model().config.vocab)?;
        let question = Question::new(&request.messages, tools, as_measured, accepts_restricted);
        let messages = tools::for_template(&request.messages, served.skills());
        let prompt = served.prompt(&messages, tools).map_err(|error| {
            ApiError::invalid(
                Some("messages"),
                format!("The messages cannot be read: {error}."),
            )
        })?;
        let room = (prompt.len(), served.model().config.context);
        let asked = request.terms.answer_tokens_max;
        let tokens_max = round::answer_tokens_max("messages", asked, usize::MAX, room)?;
        let plan = request.terms.plan(tokens_max);
        Ok(Asked {
            question,
            prompt,
            plan,
        })
    };
    let prepared = reach::spawn_blocking(work).await;
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
    let terms = &request.terms;
    let greedy = terms.sampling.temperature == 0.0
        && terms.penalties.presence == 0.0
        && terms.penalties.frequency == 0.0
        && terms.bias.is_idle();
    let plain =
        rest.len() == 1 && request.tools.is_none() && request.shape.is_none() && terms.answers == 1;
    first == system && plain && greedy && terms.stop.is_empty() && !terms.ignore_eos
}
