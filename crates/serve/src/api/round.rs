//! One request's prompts and the answers to them, from the receipts to the scheduler.
//!
//! Every answer has a receipt, a place and a job of its own; all of them send into one channel. The
//! answers to one prompt differ by their seeds, and the prompt is computed once for all of them.

use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::sync::mpsc;

use super::answer::Answer;
use super::error::ApiError;
use super::form::Form;
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
    /// Its name.
    pub model: String,
    /// The prompts.
    pub asked: Vec<Asked>,
    /// Answers to each.
    pub answers: usize,
    /// How the answers look.
    pub form: Form,
    /// A place for each answer.
    pub places: Vec<Place>,
    /// Whose turn it is.
    pub caller: Caller,
    /// Who is charged: each prompt once, however many answers it has.
    pub asker: Asker,
}

impl Round {
    /// Charges the prompts, opens the receipts, then hands the jobs over.
    ///
    /// # Errors
    /// 429 where the key's tokens do not suffice, the breaker's refusal, or trouble with the book. Receipts that were opened already close as
    /// cancelled.
    pub(super) async fn begin(self, door: Arc<Inner>) -> Result<Answer, ApiError> {
        let Round {
            served,
            model,
            asked,
            answers,
            form,
            mut places,
            caller,
            asker,
        } = self;
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
        let answer = Answer::new(door.clone(), &model, (form, answers), received, receipts);
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
