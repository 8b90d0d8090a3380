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

use super::error::ApiError;
use super::form::Kind;
use super::prompts::Prompt;
use super::round::{self, Asked, Round};
use super::{bias, body, models};
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::Question;
use crate::relay::{self, Interface};
use crate::scheduler::{Caller, Plan};
use crate::served::Served;
use lathe_workshop::people::reach;
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
    let map = body::read(&door, &headers, body)?;
    let accepts_restricted = body::accepts_restricted(&headers);
    if let Some(relay) = models::relay(&door, &map) {
        let by = (asker, accepts_restricted);
        return relay::ask(relay, door, by, Interface::Completions, map).await;
    }
    let request = CompletionRequest::read(&map)?;
    let (terms, echo) = (request.terms.clone(), request.echo);
    asker.may_ask(&terms.model)?;
    let served = models::find(&door, &asker, &terms.model)?;
    let places = request.prompts.len() * terms.answers;
    let places = body::reserve(&door, places, "prompt")?;
    let (asked, texts) = prepare(request, served.clone(), accepts_restricted).await?;
    let kind = Kind::Completion {
        echo: echo.then_some(texts),
        answers: terms.answers,
    };
    let round = Round {
        served,
        terms,
        asked,
        kind,
        places,
        caller,
        asker,
    };
    round.answer(door).await
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
        bias::check(&request.terms.bias, model.config.vocab)?;
        request.terms.draw_seed();
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
    let prepared = reach::spawn_blocking(work).await;
    prepared.unwrap_or_else(|panic| {
        Err(ApiError::internal(format!(
            "The prompts could not be read: {panic}."
        )))
    })
}

/// How a prompt's first answer is made.
fn plan(request: &CompletionRequest, prompt: usize, context: usize) -> Result<Plan, ApiError> {
    let (terms, room) = (&request.terms, (prompt, context));
    let asked = terms.answer_tokens_max;
    let tokens_max = round::answer_tokens_max("prompt", asked, ANSWER_TOKENS_USUAL, room)?;
    let mut plan = terms.plan(tokens_max);
    plan.continues = true;
    plan.scores.prompt = terms.scores.filter(|_| request.echo);
    Ok(plan)
}
