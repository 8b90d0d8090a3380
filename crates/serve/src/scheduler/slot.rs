//! One answer in the making: its cache, its place in the prompt, its text so far.

use std::sync::Arc;

use lathe_engine::{Chunk, KvCache, Logits, Sampler};
use tokio::sync::mpsc;

use super::job::{Event, FinishReason, Finished, Job};
use super::penalties::Repetition;
use super::text::{AnswerText, Piece};
use crate::place::Place;
use crate::served::Served;

/// A job that holds a slot.
pub(crate) struct Slot {
    served: Arc<Served>,
    /// The prompt and the answer so far; the cache holds a beginning of it, and what
    /// it does not hold is to be computed.
    tokens: Vec<u32>,
    cache: KvCache,
    prompt_tokens: usize,
    /// How many of them were in the cache from the start.
    cached_tokens: usize,
    answer_tokens_max: usize,
    step: Step,
    sampler: Sampler,
    repetition: Repetition,
    /// None once the answer has ended.
    text: Option<AnswerText>,
    ignore_eos: bool,
    /// Cache memory this answer takes at its longest.
    cache_bytes: usize,
    events: mpsc::UnboundedSender<Event>,
    /// Given back when the slot is dropped.
    place: Place,
}

/// What a step computes for a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Nothing: others before it read their prompts.
    Wait,
    /// This many tokens of the prompt, with more to come.
    Read(usize),
    /// This many tokens, all that are left, and the logits of the next.
    Choose(usize),
}

impl Slot {
    /// Gives `job` a slot; `cache` holds a beginning of its prompt, without the last
    /// token.
    pub(crate) fn new(job: Job, cache: KvCache) -> Slot {
        let cache_bytes = cache_bytes(&job);
        let mut place = job.permit;
        place.began(cache.len(), cache_bytes);
        let model = job.served.model();
        Slot {
            prompt_tokens: job.prompt.len(),
            cached_tokens: cache.len(),
            cache,
            answer_tokens_max: job.plan.answer_tokens_max,
            step: Step::Wait,
            sampler: Sampler::new(job.plan.sampling),
            repetition: Repetition::new(job.plan.penalties),
            text: Some(AnswerText::new(model.tokenizer.stream(true), job.plan.stop)),
            ignore_eos: job.plan.ignore_eos,
            cache_bytes,
            events: job.events,
            tokens: job.prompt,
            served: job.served,
            place,
        }
    }

    /// The model that answers.
    pub(crate) fn served(&self) -> &Arc<Served> {
        &self.served
    }

    /// Cache memory this answer takes at its longest.
    pub(crate) fn cache_bytes(&self) -> usize {
        self.cache_bytes
    }

    /// The prompt and the answer so far.
    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Keys and values of a beginning of [`Slot::tokens`].
    pub(crate) fn cache(&self) -> &KvCache {
        &self.cache
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

    /// Plans the next step: the token chosen last, or the rest of the prompt as far
    /// as `prefill_room` allows. Returns the prompt tokens taken.
    pub(crate) fn plan(&mut self, prefill_room: usize) -> usize {
        let left = self.tokens.len() - self.cache.len();
        if self.cache.len() >= self.prompt_tokens {
            self.step = Step::Choose(left);
            return 0;
        }
        let taken = left.min(prefill_room);
        self.step = match taken {
            0 => Step::Wait,
            _ if taken == left => Step::Choose(taken),
            _ => Step::Read(taken),
        };
        taken
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
        if self.sampler.is_greedy() && self.repetition.is_idle() {
            Logits::Largest
        } else {
            Logits::All
        }
    }

    /// Chooses the next token and gives out the text it completes.
    pub(crate) fn accept(&mut self, logits: &mut [f32]) {
        self.repetition.apply(logits);
        let token = self.sampler.next(logits);
        self.repetition.note(token);
        self.tokens.push(token);
        self.place.token();
        if !self.ignore_eos && self.served.model().config.eos.contains(&token) {
            return self.finish(FinishReason::Stop);
        }
        let Some(text) = &mut self.text else { return };
        let Piece { text, stopped } = text.push(token);
        self.send_text(text);
        if stopped {
            self.end(FinishReason::Stop);
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
            cached_tokens: self.cached_tokens,
            answer_tokens: self.answer_tokens(),
        }));
    }
}

/// Positions by which a cache grows.
const CACHE_BLOCK_TOKENS: usize = 64;

/// Cache memory a job takes at its longest: keys and values in bfloat16.
pub(crate) fn cache_bytes(job: &Job) -> usize {
    let config = &job.served.model().config;
    let token = 2 * config.layers * config.kv_heads * config.head_dim * size_of::<u16>();
    let tokens = job.prompt.len() + job.plan.answer_tokens_max;
    tokens.next_multiple_of(CACHE_BLOCK_TOKENS) * token
}
