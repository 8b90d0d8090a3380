//! One request's prompts and the answers to them, from the receipts to the scheduler and back.
//!
//! Every answer has a receipt, a place and a job of its own; all of them send into one channel. The
//! answers to one prompt differ by their seeds, and the prompt is computed once for all of them.

use std::sync::Arc;

use axum::response::Response;
use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::error::ApiError;
use super::form::{Form, Kind};
use super::terms::{Delivery, Terms};
use crate::asker::Asker;
use crate::door::Inner;
use crate::place::Place;
use crate::receipt::{OpenReceipt, Question};
use crate::scheduler::{Caller, Job, Outlet, Plan, Wanted};
use crate::served::Served;

/// One prompt that is to be answered.
pub(super) struct Asked {
    /// What the receipts say of it.
    pub question: Question,
    /// Its tokens.
    pub prompt: Vec<u32>,
    /// How its first answer is made.
    pub plan: Plan,
}

/// What one request asks.
pub(super) struct Round {
    /// The model that answers.
    pub served: Arc<Served>,
    /// What any model is asked: of it the name, how many answers, and how they are sent.
    pub terms: Terms,
    /// The prompts.
    pub asked: Vec<Asked>,
    /// Of which interface the answers are.
    pub kind: Kind,
    /// A place for each answer.
    pub places: Vec<Place>,
    /// Whose turn it is.
    pub caller: Caller,
    /// Who is charged: each prompt once, however many answers it has.
    pub asker: Asker,
}

impl Round {
    /// Asks, and sends what is answered as the caller wants it.
    ///
    /// # Errors
    /// As [`Round::begin`] and [`Answer::whole`].
    pub(super) async fn answer(self, door: Arc<Inner>) -> Result<Response, ApiError> {
        let delivery = self.terms.delivery;
        let answer = self.begin(door).await?;
        match delivery {
            Delivery::Whole => answer.whole().await,
            Delivery::Stream(usage) => Ok(answer.stream(usage)),
        }
    }

    /// Charges the prompts, opens the receipts, then hands the jobs over.
    ///
    /// # Errors
    /// 429 where the key's tokens do not suffice, the breaker's refusal, or trouble with the book. Receipts that were opened already close as
    /// cancelled.
    async fn begin(self, door: Arc<Inner>) -> Result<Answer, ApiError> {
        let Round {
            served,
            terms,
            asked,
            kind,
            mut places,
            caller,
            asker,
        } = self;
        let answers = terms.answers;
        for (at, place) in places.iter_mut().enumerate() {
            let first = asked.get(at / answers).filter(|_| at % answers == 0);
            asker.charge(place, first.map_or(0, |asked| asked.prompt.len()))?;
        }
        let each = asked.iter().flat_map(|it| std::iter::repeat_n(it, answers));
        let openings =
            each.map(|it| OpenReceipt::open(served.clone(), it.question.clone(), it.prompt.len()));
        let receipts = try_join_all(openings).await;
        let receipts = receipts.map_err(|refused| ApiError::refused(&refused))?;
        let (to, received) = mpsc::unbounded_channel();
        let form = Form {
            served: served.clone(),
            scores: terms.scores.is_some(),
            kind,
        };
        let answer = Answer::new(
            door.clone(),
            &terms.model,
            (form, answers),
            received,
            receipts,
        );
        for (at, permit) in places.into_iter().enumerate() {
            let asked = &asked[at / answers];
            door.scheduler.submit(Job {
                served: served.clone(),
                caller,
                prompt: asked.prompt.clone(),
                plan: nth_plan(&asked.plan, at % answers),
                events: Outlet {
                    answer: at,
                    to: to.clone(),
                },
                permit,
            });
        }
        Ok(answer)
    }
}

/// The plan of the `nth` answer: a seed of its own, and the prompt's scores told once.
fn nth_plan(first: &Plan, nth: usize) -> Plan {
    let mut plan = first.clone();
    if nth > 0 {
        plan.sampling.seed = plan.sampling.seed.wrapping_add(nth as u64);
        plan.scores = Wanted {
            prompt: None,
            ..plan.scores
        };
    }
    plan
}

/// The longest answer that is asked for, or `usual` as far as the context has room. Prompt and answer
/// must fit the context together; `param` holds the prompt.
///
/// # Errors
/// 400 where they do not.
pub(super) fn answer_tokens_max(
    param: &str,
    asked: Option<usize>,
    usual: usize,
    (prompt, context): (usize, usize),
) -> Result<usize, ApiError> {
    let room = context.saturating_sub(prompt);
    match asked {
        Some(tokens) if prompt > context || tokens > room => {
            Err(ApiError::context_exceeded(param, prompt, asked, context))
        }
        Some(tokens) => Ok(tokens),
        None if room == 0 => Err(ApiError::context_exceeded(param, prompt, None, context)),
        None => Ok(usual.min(room)),
    }
}
