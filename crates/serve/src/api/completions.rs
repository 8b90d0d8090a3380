//! `POST /v1/completions`: the model goes on with the caller's own text, without a chat template.
//!
//! Prompts are texts or token ids, several in one request if need be. With `echo` the prompt stands
//! in front of its answer, with `logprobs` it comes with what the model held for likely, and with
//! `max_tokens: 0` nothing is added: a text is only scored.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::Response;
use uuid::Uuid;

use super::error::ApiError;
use super::form::{Form, Kind};
use super::prompts::Prompt;
use super::request::Delivery;
use super::round::{self, Asked, Round};
use super::{bias, body, models};
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::Question;
use crate::scheduler::{Caller, Plan, Wanted};
use crate::served::Served;
use request::CompletionRequest;

mod request;

/// Longest answer where none is stated (OpenAI's).
const ANSWER_TOKENS_USUAL: usize = 16;

/// Goes on with every prompt.
pub(super) async fn create(
    State(door): State<Arc<Inner>>,
    caller: Caller,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body::read(&door, &headers, body)?;
    let request = CompletionRequest::parse(&body)?;
    asker.may_ask(&request.model)?;
    let served = models::find(&door.catalogue, &request.model)?;
    let places = request.prompts.len() * request.answers;
    let places = body::reserve(&door, places, "prompt")?;
    let (model, delivery, answers) = (request.model.clone(), request.delivery, request.answers);
    let (echo, scores) = (request.echo, request.scores.is_some());
    let accepts_restricted = body::accepts_restricted(&headers);
    let (asked, texts) = prepare(request, served.clone(), accepts_restricted).await?;
    let kind = Kind::Completion {
        echo: echo.then_some(texts),
        answers,
    };
    let form = Form {
        served: served.clone(),
        scores,
        kind,
    };
    let round = Round {
        served,
        model,
        asked,
        answers,
        form,
        places,
        caller,
        asker,
    };
    let answer = round.begin(door).await?;
    match delivery {
        Delivery::Whole => answer.whole().await,
        Delivery::Stream(usage) => Ok(answer.stream(usage)),
    }
}

/// Reads the prompts as the model does, away from the threads that move bytes. Returns their texts
/// too.
async fn prepare(
    mut request: CompletionRequest,
    served: Arc<Served>,
    accepts_restricted: bool,
) -> Result<(Vec<Asked>, Vec<String>), ApiError> {
    let work = move || {
        let model = served.model();
        bias::check(&request.bias, model.config.vocab)?;
        if !request.seeded {
            // The low half of a version 7 identifier is random.
            request.sampling.seed = Uuid::now_v7().as_u64_pair().1;
        }
        let (mut asked, mut texts) = (Vec::new(), Vec::new());
        for given in std::mem::take(&mut request.prompts) {
            let prompt = given.for_model(model, "prompt")?;
            let plan = plan(&request, prompt.tokens.len(), model.config.context)?;
            let prompts = [prompt];
            let question = Question::of_texts(&prompts, accepts_restricted, false);
            let [Prompt { text, tokens, .. }] = prompts;
            asked.push(Asked {
                question,
                prompt: tokens,
                plan,
            });
            texts.push(text);
        }
        Ok((asked, texts))
    };
    let prepared = tokio::task::spawn_blocking(work).await;
    prepared.unwrap_or_else(|panic| {
        Err(ApiError::internal(format!(
            "The prompts could not be read: {panic}."
        )))
    })
}

/// How a prompt's first answer is made.
fn plan(request: &CompletionRequest, prompt: usize, context: usize) -> Result<Plan, ApiError> {
    let asked = request.answer_tokens_max;
    let room = (prompt, context);
    Ok(Plan {
        sampling: request.sampling.clone(),
        penalties: request.penalties,
        bias: request.bias.clone(),
        stop: request.stop.clone(),
        answer_tokens_max: round::answer_tokens_max("prompt", asked, ANSWER_TOKENS_USUAL, room)?,
        ignore_eos: request.ignore_eos,
        grammar: None,
        continues: true,
        scores: Wanted {
            prompt: request.scores.filter(|_| request.echo),
            answer: request.scores,
        },
    })
}
