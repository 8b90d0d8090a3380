//! One answer in the making: its cache, its place in the prompt, its text so far.

use std::sync::Arc;

use lathe_engine::{Chunk, KvCache, Sampler};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::job::{Event, FinishReason, Finished, Job};
use super::penalties::Repetition;
use super::text::{AnswerText, Piece};
use crate::served::Served;

/// A job that holds a slot.
pub(crate) struct Slot {
    served: Arc<Served>,
    prompt: Vec<u32>,
    cache: KvCache,
    /// Prompt tokens that are in the cache or in the current step.
    read: usize,
    /// What the current step computes for this slot.
    tokens: Vec<u32>,
    sampler: Sampler,
    repetition: Repetition,
    /// None once the answer has ended.
    text: Option<AnswerText>,
    ignore_eos: bool,
    answer_tokens: usize,
    answer_tokens_max: usize,
    /// Cache memory this answer takes at its longest.
    cache_bytes: usize,
    events: mpsc::UnboundedSender<Event>,
    /// Given back when the slot is dropped.
    _permit: OwnedSemaphorePermit,
}

impl Slot {
    /// Gives `job` a slot.
    pub(crate) fn new(job: Job) -> Slot {
        let cache_bytes = cache_bytes(&job);
        let model = job.served.model();
        Slot {
            cache: KvCache::new(&model.config),
            text: Some(AnswerText::new(model.tokenizer.stream(true), job.plan.stop)),
            read: 0,
            tokens: Vec::new(),
            sampler: Sampler::new(job.plan.sampling),
            repetition: Repetition::new(job.plan.penalties),
            ignore_eos: job.plan.ignore_eos,
            answer_tokens: 0,
            answer_tokens_max: job.plan.answer_tokens_max,
            cache_bytes,
            events: job.events,
            prompt: job.prompt,
            served: job.served,
            _permit: job.permit,
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

    /// Whether the slot can be given to another: the answer has ended or nobody
    /// listens any more.
    pub(crate) fn is_free(&self) -> bool {
        self.text.is_none() || self.events.is_closed()
    }

    /// Plans this step: the rest of the prompt as far as `prefill_room` allows, or
    /// the token chosen last. Returns the prompt tokens taken.
    pub(crate) fn plan(&mut self, prefill_room: usize) -> usize {
        let rest = &self.prompt[self.read..];
        if rest.is_empty() {
            return 0;
        }
        let taken = rest.len().min(prefill_room);
        self.tokens.clear();
        self.tokens.extend_from_slice(&rest[..taken]);
        self.read += taken;
        taken
    }

    /// Whether this step computes the logits of the next token.
    pub(crate) fn wants_logits(&self) -> bool {
        !self.tokens.is_empty() && self.read == self.prompt.len()
    }

    /// What this step computes, if anything.
    pub(crate) fn chunk(&mut self) -> Option<Chunk<'_>> {
        let logits = self.wants_logits();
        (!self.tokens.is_empty()).then_some(Chunk {
            cache: &mut self.cache,
            tokens: &self.tokens,
            logits,
        })
    }

    /// The step is done for a slot that wanted no logits.
    pub(crate) fn advance(&mut self) {
        self.tokens.clear();
    }

    /// The step is done: chooses the next token and gives out the text it completes.
    pub(crate) fn accept(&mut self, logits: &mut [f32]) {
        self.repetition.apply(logits);
        let token = self.sampler.next(logits);
        self.repetition.note(token);
        self.answer_tokens += 1;
        self.tokens.clear();
        self.tokens.push(token);
        if !self.ignore_eos && self.served.model().config.eos.contains(&token) {
            return self.finish(FinishReason::Stop);
        }
        let Some(text) = &mut self.text else { return };
        let Piece { text, stopped } = text.push(token);
        self.send_text(text);
        if stopped {
            self.end(FinishReason::Stop);
        } else if self.answer_tokens == self.answer_tokens_max {
            self.finish(FinishReason::Length);
        }
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
            let _ = self.events.send(Event::Text(text));
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.text = None;
        let _ = self.events.send(Event::Finished(Finished {
            reason,
            prompt_tokens: self.prompt.len(),
            answer_tokens: self.answer_tokens,
        }));
    }
}

/// Cache memory a job takes at its longest, keys and values counted as f32.
pub(crate) fn cache_bytes(job: &Job) -> usize {
    let config = &job.served.model().config;
    let token = 2 * config.layers * config.kv_heads * config.head_dim * size_of::<f32>();
    (job.prompt.len() + job.plan.answer_tokens_max) * token
}
