//! One answer in the making: its cache, its place in the prompt, its text so far.

use std::sync::Arc;

use lathe_engine::{Chunk, KvCache, Logits, Sampler};
use tokio::sync::mpsc;

use super::caller::Caller;
use super::grammar::Grammar;
use super::job::{Event, FinishReason, Finished, Job};
use super::memory;
use super::penalties::Repetition;
use super::text::{AnswerText, Piece};
use crate::place::Place;
use crate::served::Served;

/// A job that holds a slot, or held one and was interrupted.
pub(crate) struct Slot {
    /// The place of its request among all.
    serial: u64,
    caller: Caller,
    served: Arc<Served>,
    /// The prompt and the answer so far; the cache holds a beginning of it, and what
    /// it does not hold is to be computed.
    tokens: Vec<u32>,
    cache: KvCache,
    /// Another slot is computing what this one begins with.
    follows: Option<Follows>,
    prompt_tokens: usize,
    /// How many of them were in the cache from the start, once it has begun.
    cached_tokens: Option<usize>,
    answer_tokens_max: usize,
    step: Step,
    sampler: Sampler,
    repetition: Repetition,
    grammar: Option<Grammar>,
    /// None once the answer has ended.
    text: Option<AnswerText>,
    ignore_eos: bool,
    events: mpsc::UnboundedSender<Event>,
    /// Given back when the slot is dropped.
    place: Place,
}

/// What a slot waits for another to compute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Follows {
    /// The other's [`Slot::serial`].
    pub serial: u64,
    /// How many tokens both begin with.
    pub tokens: usize,
}

/// What a step computes for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: others read their prompts, or compute what this one begins with.
    Wait,
    /// This many tokens of the prompt, with more to come.
    Read(usize),
    /// This many tokens, all that are left, and the logits of the next.
    Choose(usize),
}

impl Slot {
    /// Gives `job` a slot, nothing of it computed.
    pub(crate) fn new(serial: u64, job: Job) -> Slot {
        let model = job.served.model();
        let mut decoder = model.tokenizer.stream(true);
        if job.plan.grammar.is_some() {
            // What the grammar accepts is what the caller reads.
            decoder = decoder.with_first_space();
        }
        Slot {
            serial,
            caller: job.caller,
            cache: KvCache::new(&model.config),
            follows: None,
            prompt_tokens: job.prompt.len(),
            cached_tokens: None,
            answer_tokens_max: job.plan.answer_tokens_max,
            step: Step::Wait,
            sampler: Sampler::new(job.plan.sampling),
            repetition: Repetition::new(job.plan.penalties),
            grammar: job.plan.grammar,
            text: Some(AnswerText::new(decoder, job.plan.stop)),
            ignore_eos: job.plan.ignore_eos,
            events: job.events,
            tokens: job.prompt,
            served: job.served,
            place: job.permit,
        }
    }

    /// The place of its request among all: the smaller came first.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// Whose request it is.
    pub(crate) fn caller(&self) -> Caller {
        self.caller
    }

    /// The model that answers.
    pub(crate) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// The prompt and the answer so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Keys and values of a beginning of [`Slot::tokens`].
    pub(crate) fn cache(&self) -> &KvCache {
        &self.cache
    }

    /// Goes on from `cache`, which holds a beginning of its tokens, without the last.
    pub(crate) fn begin_from(&mut self, cache: KvCache) {
        if self.cached_tokens.is_none() {
            self.cached_tokens = Some(cache.len());
            self.place.began(cache.len());
        }
        self.cache = cache;
        self.follows = None;
    }

    /// Waits until another slot has computed what both begin with.
    pub(crate) fn follow(&mut self, follows: Follows) {
        self.follows = Some(follows);
    }

    /// What it waits for.
    pub(crate) fn follows(&self) -> Option<Follows> {
        self.follows
    }

    /// Gives back the memory; what was computed is computed again later, to the same bits.
    pub(crate) fn pause(&mut self) {
        self.place.holds(0);
        self.cache = KvCache::new(&self.served.model().config);
        self.follows = None;
        self.step = Step::Wait;
    }

    /// Whether others may soon begin with what the cache holds: the prompt has just
    /// been read, or the answer has ended.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.text.is_none() || self.answer_tokens() == 1
    }

    /// Whether the slot can be given to another: the answer has ended or nobody
    /// listens any more.
    pub(crate) fn is_free(&self) -> bool {
        self.text.is_none() || self.events.is_closed()
    }

    /// Tokens to read before the next can be chosen; none where only the one chosen last is left, or
    /// where another reads.
    pub(crate) fn unread(&self) -> usize {
        match (self.follows, self.tokens.len() - self.cache.len()) {
            (Some(_), _) | (_, 1) => 0,
            (None, left) => left,
        }
    }

    /// Plans the next step: the token chosen last, or as much of what is unread as
    /// `granted` says.
    pub(crate) fn plan(&mut self, granted: usize) {
        self.place.holds(self.cache.bytes());
        let left = self.tokens.len() - self.cache.len();
        self.step = match granted.min(left) {
            _ if self.follows.is_some() => Step::Wait,
            _ if left == 1 => Step::Choose(1),
            0 => Step::Wait,
            taken if taken == left => Step::Choose(taken),
            taken => Step::Read(taken),
        };
    }

    /// Whether only the token chosen last is left to compute, so that the caller waits for the next.
    pub(crate) fn is_answering(&self) -> bool {
        self.answer_tokens() > 0 && self.unread() == 0
    }

    /// Tokens that the planned step computes.
    pub(crate) fn step_rows(&self) -> usize {
        match self.step {
            Step::Wait => 0,
            Step::Read(count) | Step::Choose(count) => count,
        }
    }

    /// Memory that the planned step may take.
    pub(crate) fn step_bytes(&self) -> usize {
        match (self.step_rows(), self.cache.len()) {
            (0, _) => 0,
            (rows, begin) => self.cache.span_bytes(begin..begin + rows),
        }
    }

    /// Memory that is yet to be taken for its tokens, and for some more.
    pub(crate) fn unread_bytes(&self) -> usize {
        let begin = self.follows.map_or(self.cache.len(), |it| it.tokens);
        memory::unread_bytes(&self.cache, begin, self.tokens.len())
    }

    /// Whether the step computes the logits of the next token.
    pub(crate) fn chooses(&self) -> bool {
        matches!(self.step, Step::Choose(_))
    }

    /// What the step computes, if anything.
    pub(crate) fn chunk(&mut self) -> Option<Chunk<'_>> {
        let (count, logits) = match self.step {
            Step::Wait => return None,
            Step::Read(count) => (count, Logits::None),
            Step::Choose(count) => (count, self.wanted()),
        };
        let begin = self.cache.len();
        Some(Chunk {
            cache: &mut self.cache,
            tokens: &self.tokens[begin..begin + count],
            logits,
        })
    }

    /// The logits that the choice of a token needs.
    fn wanted(&self) -> Logits {
        // The largest allowed by a grammar may be any of them.
        let plain = self.repetition.is_idle() && self.grammar.is_none();
        if self.sampler.is_greedy() && plain {
            Logits::Largest
        } else {
            Logits::All
        }
    }

    /// Chooses the next token and gives out the text it completes.
    pub(crate) fn accept(&mut self, logits: &mut [f32]) {
        self.repetition.apply(logits);
        if let Some(grammar) = &mut self.grammar
            && let Err(reason) = grammar.allow_only(logits)
        {
            return self.fail(&reason);
        }
        let token = self.sampler.next(logits);
        self.repetition.note(token);
        self.tokens.push(token);
        self.place.token();
        if !self.ignore_eos && self.served.model().config.eos.contains(&token) {
            return self.finish(FinishReason::Stop);
        }
        let whole = match self.grammar.as_mut().map(|grammar| grammar.take(token)) {
            None => false,
            Some(Ok(whole)) => whole,
            Some(Err(reason)) => return self.fail(&reason),
        };
        let Some(text) = &mut self.text else { return };
        let Piece { text, stopped } = text.push(token);
        self.send_text(text);
        if stopped {
            self.end(FinishReason::Stop);
        } else if whole {
            self.finish(FinishReason::Stop);
        } else if self.answer_tokens() == self.answer_tokens_max {
            self.finish(FinishReason::Length);
        }
    }

    fn answer_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Ends the answer with an error.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.text = None;
        // Nobody listening is no error: the slot is freed either way.
        let _ = self.events.send(Event::Failed(reason.to_owned()));
    }

    /// Gives out what was held back, then the end.
    fn finish(&mut self, reason: FinishReason) {
        let Some(text) = self.text.take() else { return };
        let Piece { text, stopped } = text.finish();
        self.send_text(text);
        self.end(if stopped { FinishReason::Stop } else { reason });
    }

    fn send_text(&self, text: String) {
        if !text.is_empty() {
            let _ = self.events.send(Event::Text {
                text,
                answer_tokens: self.answer_tokens(),
            });
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.text = None;
        self.place.ended(reason.as_str());
        let _ = self.events.send(Event::Finished(Finished {
            reason,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens.unwrap_or(0),
            answer_tokens: self.answer_tokens(),
        }));
    }
}
