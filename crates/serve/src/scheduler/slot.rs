//! One answer in the making: its cache, its place in the prompt, its text so far.

use std::sync::Arc;

use lathe_engine::{Chunk, KvCache, Logits, Sampler};
use lathe_kernel::Pool;

use super::bias::Bias;
use super::caller::Caller;
use super::grammar::Grammar;
use super::guesses::Guesses;
use super::job::{Event, FinishReason, Finished, Job, Outlet};
use super::memory;
use super::penalties::Repetition;
use super::scores::{self, TokenScore, Wanted};
use super::text::{self, AnswerText, Piece};
use crate::place::Place;
use crate::served::Served;

/// A job that holds a slot, or held one and was interrupted.
pub(crate) struct Slot {
    /// The place of its request among all.
    serial: u64,
    caller: Caller,
    priority: u8,
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
    /// The token chosen last and what may follow it, where the step computes both.
    guess: Vec<u32>,
    guesses: Guesses,
    /// Tokens that the cache held before the step.
    begin: usize,
    sampler: Sampler,
    repetition: Repetition,
    grammar: Option<Grammar>,
    bias: Bias,
    wanted: Wanted,
    /// Scores of the prompt's tokens, until all of it is read.
    prompt_scores: Vec<TokenScore>,
    /// Scores of the answer's tokens that were not sent yet.
    scores: Vec<TokenScore>,
    /// None once the answer has ended.
    text: Option<AnswerText>,
    ignore_eos: bool,
    events: Outlet,
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
    /// The token chosen last and some that may follow it, with the logits after each.
    Guess,
}

impl Slot {
    /// Gives `job` a slot, nothing of it computed.
    pub(crate) fn new(serial: u64, job: Job) -> Slot {
        let model = job.served.model();
        let mut decoder = if job.plan.continues {
            text::continuing(&model.tokenizer, &job.prompt)
        } else {
            model.tokenizer.stream(true)
        };
        if job.plan.grammar.is_some() {
            // What the grammar accepts is what the caller reads.
            decoder = decoder.with_first_space();
        }
        Slot {
            serial,
            caller: job.caller,
            priority: job.plan.priority,
            cache: KvCache::new(&model.config),
            follows: None,
            prompt_tokens: job.prompt.len(),
            cached_tokens: None,
            answer_tokens_max: job.plan.answer_tokens_max,
            step: Step::Wait,
            guess: Vec::new(),
            guesses: Guesses::default(),
            begin: 0,
            sampler: Sampler::new(job.plan.sampling),
            repetition: Repetition::new(job.plan.penalties),
            grammar: job.plan.grammar,
            bias: job.plan.bias,
            wanted: job.plan.scores,
            prompt_scores: Vec::new(),
            scores: Vec::new(),
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

    /// Who goes first where not all can: the smaller.
    pub(crate) fn priority(&self) -> u8 {
        self.priority
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
        // What is scored is read from its start.
        self.prompt_scores.clear();
        self.cache = KvCache::new(&self.served.model().config);
        self.follows = None;
        self.step = Step::Wait;
    }

    /// Whether others may soon begin with what the cache holds: the prompt has just
    /// been read, or the answer has ended.
    pub(crate) fn is_worth_keeping(&self) -> bool {
        self.text.is_none() || self.answer_tokens() == 1
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
        self.begin = self.cache.len();
        let left = self.tokens.len() - self.cache.len();
        self.step = match granted.min(left) {
            _ if self.follows.is_some() => Step::Wait,
            _ if left == 1 => Step::Choose(1),
            0 => Step::Wait,
            taken if taken == left => Step::Choose(taken),
            taken => Step::Read(taken),
        };
    }

    /// Has the planned step compute, beside the token chosen last, up to `most` that may follow it.
    pub(crate) fn guess(&mut self, most: usize) {
        // After them there is still a token to choose.
        let most = most.min(
            self.answer_tokens_max
                .saturating_sub(self.answer_tokens() + 1),
        );
        if self.step != Step::Choose(1) || !self.is_answering() || most == 0 {
            return;
        }
        let guess = self.guesses.next(&self.tokens, most);
        if !guess.is_empty() {
            self.guess = [&self.tokens[self.begin..], &guess].concat();
            self.step = Step::Guess;
        }
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
            Step::Guess => self.guess.len(),
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

    /// Rows of logits that the step computes.
    pub(crate) fn rows(&self) -> usize {
        match self.step {
            Step::Read(count) | Step::Choose(count) if self.scores_prompt() => count,
            Step::Wait | Step::Read(_) => 0,
            Step::Choose(_) => 1,
            Step::Guess => self.guess.len(),
        }
    }

    /// What the step computes, if anything.
    pub(crate) fn chunk(&mut self) -> Option<Chunk<'_>> {
        let left = &self.tokens[self.begin..];
        let (tokens, logits) = match self.step {
            Step::Wait => return None,
            Step::Read(count) | Step::Choose(count) if self.scores_prompt() => {
                (&left[..count], Logits::Each)
            }
            Step::Read(count) => (&left[..count], Logits::None),
            Step::Choose(count) => (&left[..count], self.wanted()),
            Step::Guess => (&self.guess[..], Logits::Each),
        };
        Some(Chunk {
            cache: &mut self.cache,
            tokens,
            logits,
        })
    }

    /// The logits that the choice of a token needs.
    fn wanted(&self) -> Logits {
        // The largest allowed by a grammar may be any of them.
        let plain = self.repetition.is_idle() && self.bias.is_idle() && self.grammar.is_none();
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
            self.wanted.prompt = None;
        }
        after
    }

    /// Chooses the next token, and those after it for as long as what was guessed is what is chosen, and
    /// gives out the text they complete; `rows` are the logits after each token of the step.
    pub(crate) fn accept(&mut self, rows: &mut [f32]) {
        if self.step != Step::Guess {
            return self.accept_one(rows);
        }
        let guessed = self.guess.split_off(1);
        let mut right = 0;
        for row in rows.chunks_mut(self.served.model().config.vocab) {
            self.accept_one(row);
            if self.text.is_none() || guessed.get(right) != self.tokens.last() {
                break;
            }
            right += 1;
        }
        self.cache.truncate(self.tokens.len() - 1);
        self.guesses.were(right);
        self.place.guessed(guessed.len(), right);
    }

    /// Chooses the next token and gives out the text it completes.
    fn accept_one(&mut self, logits: &mut [f32]) {
        if self.answer_tokens_max == 0 {
            return self.finish(FinishReason::Length);
        }
        let token = match self.choose(logits) {
            Ok(token) => token,
            Err(reason) => return self.stick(reason),
        };
        self.tokens.push(token);
        self.place.token();
        if !self.ignore_eos && self.served.model().config.eos.contains(&token) {
            return self.finish(FinishReason::Stop);
        }
        let whole = match self.grammar.as_mut().map(|grammar| grammar.take(token)) {
            None => false,
            Some(Ok(whole)) => whole,
            Some(Err(reason)) => return self.stick(reason),
        };
        let Some(text) = &mut self.text else { return };
        let Piece { text, stopped } = text.push(token);
        self.send_text(text);
        if stopped {
            self.end(FinishReason::Sequence);
        } else if whole {
            self.finish(FinishReason::Stop);
        } else if self.answer_tokens() == self.answer_tokens_max {
            self.finish(FinishReason::Length);
        }
    }

    /// The next token; what is told of it is of the logits as the model gave them.
    ///
    /// # Errors
    /// Why the grammar cannot be kept to.
    fn choose(&mut self, logits: &mut [f32]) -> Result<u32, String> {
        let raw = self.wanted.answer.map(|count| (count, logits.to_vec()));
        self.repetition.apply(logits);
        self.bias.apply(logits);
        if let Some(grammar) = &mut self.grammar {
            grammar.allow_only(logits)?;
        }
        let token = self.sampler.next(logits);
        self.repetition.note(token);
        if let Some((count, raw)) = raw {
            let mut score = TokenScore::after(&raw, token, count);
            let text = self.text.as_ref();
            score.offset_chars = text.map_or(0, AnswerText::decoded_chars);
            self.scores.push(score);
        }
        Ok(token)
    }

    fn answer_tokens(&self) -> usize {
        self.tokens.len() - self.prompt_tokens
    }

    /// Ends the answer with an error.
    pub(crate) fn fail(&mut self, reason: &str) {
        self.text = None;
        self.events.send(Event::Failed(reason.to_owned()));
    }

    /// Ends the answer, which cannot have the shape that was asked for.
    fn stick(&mut self, reason: String) {
        self.text = None;
        self.events.send(Event::Stuck(reason));
    }

    /// Gives out what was held back, then the end.
    fn finish(&mut self, reason: FinishReason) {
        let Some(text) = self.text.take() else { return };
        let Piece { text, stopped } = text.finish();
        self.send_text(text);
        self.end(if stopped {
            FinishReason::Sequence
        } else {
            reason
        });
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
        self.place.ended(reason.as_str());
        self.events.send(Event::Finished(Finished {
            reason,
            prompt_tokens: self.prompt_tokens,
            cached_tokens: self.cached_tokens.unwrap_or(0),
            answer_tokens: self.answer_tokens(),
        }));
    }
}
