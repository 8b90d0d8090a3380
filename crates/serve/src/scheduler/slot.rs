//! One answer in the making: its cache, its place in the prompt, its text so far.

use std::sync::Arc;

use lathe_engine::{Chunk, KvCache, Logits, Sampler};
use lathe_kernel::Pool;
use tokio::sync::OwnedSemaphorePermit;

use super::bias::Bias;
use super::job::{Event, FinishReason, Finished, Job, Outlet};
use super::penalties::Repetition;
use super::scores::{self, TokenScore, Wanted};
use super::text::{self, AnswerText, Piece};
use super::turn::Turn;
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
    /// Tokens that the cache held before the step.
    begin: usize,
    sampler: Sampler,
    repetition: Repetition,
    bias: Bias,
    wanted: Wanted,
    /// Scores of the prompt's tokens, until all of it is read.
    prompt_scores: Vec<TokenScore>,
    /// Scores of the answer's tokens that were not sent yet.
    scores: Vec<TokenScore>,
    /// None once the answer has ended.
    text: Option<AnswerText>,
    ignore_eos: bool,
    /// Cache memory this answer takes at its longest.
    cache_bytes: usize,
    events: Outlet,
    turn: Turn,
    /// Given back when the slot is dropped.
    _permit: OwnedSemaphorePermit,
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
        let model = job.served.model();
        let decoder = if job.plan.continues {
            text::continuing(&model.tokenizer, &job.prompt)
        } else {
            model.tokenizer.stream(true)
        };
        Slot {
            prompt_tokens: job.prompt.len(),
            cached_tokens: cache.len(),
            cache,
            answer_tokens_max: job.plan.answer_tokens_max,
            step: Step::Wait,
            begin: 0,
            sampler: Sampler::new(job.plan.sampling),
            repetition: Repetition::new(job.plan.penalties),
            bias: job.plan.bias,
            wanted: job.plan.scores,
            prompt_scores: Vec::new(),
            scores: Vec::new(),
            text: Some(AnswerText::new(decoder, job.plan.stop)),
            ignore_eos: job.plan.ignore_eos,
            cache_bytes,
            events: job.events,
            turn: job.turn,
            tokens: job.prompt,
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

    /// What was read is kept: the other answers to the prompt need wait no longer.
    pub(crate) fn let_go(&mut self) {
        self.turn = Turn::Free;
    }

    /// Whether the prompt's tokens are to be scored and are not all read yet.
    pub(crate) fn is_to_score(&self) -> bool {
        self.wanted.prompt.is_some() && self.cache.len() < self.prompt_tokens
    }

    /// Whether the logits after each of the step's tokens are wanted, to tell how likely the next is.
    fn scores_prompt(&self) -> bool {
        self.wanted.prompt.is_some() && self.begin < self.prompt_tokens
    }

    /// Whether the slot can be given to another: the answer has ended or nobody
    /// listens any more.
    pub(crate) fn is_free(&self) -> bool {
        self.text.is_none() || self.events.is_closed()
    }

    /// Plans the next step: the token chosen last, or the rest of the prompt as far
    /// as `prefill_room` allows. Returns the prompt tokens taken.
    pub(crate) fn plan(&mut self, prefill_room: usize) -> usize {
        self.begin = self.cache.len();
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

    /// Rows of logits that the step computes.
    pub(crate) fn rows(&self) -> usize {
        match self.step {
            Step::Read(count) | Step::Choose(count) if self.scores_prompt() => count,
            Step::Wait | Step::Read(_) => 0,
            Step::Choose(_) => 1,
        }
    }

    /// What the step computes, if anything.
    pub(crate) fn chunk(&mut self) -> Option<Chunk<'_>> {
        let (count, logits) = match self.step {
            Step::Wait => return None,
            Step::Read(count) | Step::Choose(count) if self.scores_prompt() => {
                (count, Logits::Each)
            }
            Step::Read(count) => (count, Logits::None),
            Step::Choose(count) => (count, self.wanted()),
        };
        Some(Chunk {
            cache: &mut self.cache,
            tokens: &self.tokens[self.begin..self.begin + count],
            logits,
        })
    }

    /// The logits that the choice of a token needs.
    fn wanted(&self) -> Logits {
        let plain = self.repetition.is_idle() && self.bias.is_idle();
        if self.sampler.is_greedy() && plain && self.wanted.answer.is_none() {
            Logits::Largest
        } else {
            Logits::All
        }
    }

    /// Scores the prompt's tokens that follow the step's rows, where that was asked, and returns the
    /// row of the next token, if the step computed it.
    pub(crate) fn score_prompt<'l>(&mut self, pool: &Pool, rows: &'l mut [f32]) -> &'l mut [f32] {
        let Some(count) = self.wanted.prompt.filter(|_| self.scores_prompt()) else {
            return rows;
        };
        let end = self.cache.len();
        let known = &self.tokens[self.begin + 1..self.prompt_tokens.min(end + 1)];
        let (before, after) = rows.split_at_mut(known.len() * self.served.model().config.vocab);
        let scores = scores::after_rows(pool, before, known, count);
        self.prompt_scores.extend(scores);
        if end == self.prompt_tokens {
            let mut scores = vec![TokenScore::first(self.tokens[0])];
            scores.append(&mut self.prompt_scores);
            self.events.send(Event::Prompt(scores));
        }
        after
    }

    /// Chooses the next token and gives out the text it completes.
    pub(crate) fn accept(&mut self, logits: &mut [f32]) {
        if self.answer_tokens_max == 0 {
            return self.finish(FinishReason::Length);
        }
        let token = self.choose(logits);
        self.tokens.push(token);
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

    /// The next token; what is told of it is of the logits as the model gave them.
    fn choose(&mut self, logits: &mut [f32]) -> u32 {
        let raw = self.wanted.answer.map(|count| (count, logits.to_vec()));
        self.repetition.apply(logits);
        self.bias.apply(logits);
        let token = self.sampler.next(logits);
        self.repetition.note(token);
        if let Some((count, raw)) = raw {
            let mut score = TokenScore::after(&raw, token, count);
            let text = self.text.as_ref();
            score.offset_chars = text.map_or(0, AnswerText::decoded_chars);
            self.scores.push(score);
        }
        token
    }

    fn answer_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Ends the answer with an error.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.text = None;
        self.events.send(Event::Failed(reason.to_owned()));
    }

    /// Gives out what was held back, then the end.
    fn finish(&mut self, reason: FinishReason) {
        let Some(text) = self.text.take() else { return };
        let Piece { text, stopped } = text.finish();
        self.send_text(text);
        self.end(if stopped { FinishReason::Stop } else { reason });
    }

    /// Gives out a piece of text with the scores that were not told yet.
    fn send_text(&mut self, text: String) {
        let scores = std::mem::take(&mut self.scores);
        if !text.is_empty() || !scores.is_empty() {
            self.events.send(Event::Text {
                text,
                answer_tokens: self.answer_tokens(),
                scores,
            });
        }
    }

    fn end(&mut self, reason: FinishReason) {
        self.text = None;
        self.events.send(Event::Finished(Finished {
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
