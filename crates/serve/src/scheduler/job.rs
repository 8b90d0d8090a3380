//! What is asked of the scheduler, and what it sends back.

use std::sync::Arc;

use lathe_engine::Sampling;
use tokio::sync::mpsc;

use super::bias::Bias;
use super::caller::Caller;
use super::scores::{TokenScore, Wanted};
use super::{Grammar, Penalties};
use crate::place::Place;
use crate::served::Served;

/// One answer to be made.
pub(crate) struct Job {
    /// The model that answers.
    pub served: Arc<Served>,
    /// Whose request it is: slots are shared out among callers.
    pub caller: Caller,
    /// The prompt; at least one token, and room in the context for the answer.
    pub prompt: Vec<u32>,
    /// How the answer is made.
    pub plan: Plan,
    /// Where it goes.
    pub events: Outlet,
    /// The job's place among the requests the server holds.
    pub permit: Place,
}

impl Job {
    /// Ends it with an error. Nobody listening is none.
    pub(crate) fn fail(&self, reason: &str) {
        self.events.send(Event::Failed(reason.to_owned()));
    }
}

/// How an answer is made.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// What repeated tokens cost.
    pub penalties: Penalties,
    /// What is added to single tokens' logits.
    pub bias: Bias,
    /// Texts that end the answer and are not part of it.
    pub stop: Vec<String>,
    /// Longest answer in tokens, the end token included; with 0 the prompt is only read.
    pub answer_tokens_max: usize,
    /// Goes on past the model's end token.
    pub ignore_eos: bool,
    /// Who goes first where not all can: the smaller, 0 being what everybody has who says nothing.
    pub priority: u8,
    /// The shape that the answer must have.
    pub grammar: Option<Grammar>,
    /// The answer goes on with the prompt's own text, in the middle of a word perhaps, and does not
    /// begin a text of its own.
    pub continues: bool,
    /// Which log-probabilities are told.
    pub scores: Wanted,
}

/// Where the events of one of a request's answers go. Unbounded, but it never holds more than the
/// answers' tokens; all answers of a request share one channel, so that the order of what is sent is
/// the order of what is received.
pub(crate) struct Outlet {
    /// Which of the request's answers.
    pub answer: usize,
    /// The channel. Dropping its receiver ends the request's jobs.
    pub to: mpsc::UnboundedSender<(usize, Event)>,
}

impl Outlet {
    /// Sends an event; nobody listening is no error, the job ends either way.
    pub(crate) fn send(&self, event: Event) {
        let _ = self.to.send((self.answer, event));
    }

    /// Whether nobody listens any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.to.is_closed()
    }
}

/// What happens to an answer, in order: what the prompt was held for likely, if that was asked, any
/// number of texts, then one end.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The scores of all the prompt's tokens.
    Prompt(Vec<TokenScore>),
    /// The next piece of text, whole characters only.
    Text {
        /// The piece; empty where only scores are told.
        text: String,
        /// Tokens of the answer so far.
        answer_tokens: usize,
        /// Those of them that were not told before, where that was asked.
        scores: Vec<TokenScore>,
    },
    /// The answer is complete.
    Finished(Finished),
    /// The answer cannot be completed, for the reason given.
    Failed(String),
    /// The shape that was asked for cannot be kept to, or costs more than it may, for the reason given.
    Stuck(String),
    /// The answer was never begun: this many seconds went by without a free slot.
    Overdue(u64),
}

/// How an answer ended and what it took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Finished {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// How many of them were computed for an earlier request.
    pub cached_tokens: usize,
    /// Tokens generated, the end token included.
    pub answer_tokens: usize,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinishReason {
    /// The model's end token, or the end of the shape that was asked for.
    Stop,
    /// A stop sequence, wherever in the answer that stood.
    Sequence,
    /// The longest answer was reached.
    Length,
}

impl FinishReason {
    /// As OpenAI spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            FinishReason::Stop | FinishReason::Sequence => "stop",
            FinishReason::Length => "length",
        }
    }
}
