//! A place among the requests that the server holds, and what is counted of whoever holds it.
//!
//! It goes with a request from the door through the queue into its slot and is dropped with that,
//! whatever ended it: an end, a caller who hung up, a scheduler that died. So everything that has to be
//! even in the end (places, requests that wait and run, memory held, tokens charged) is kept here, where
//! nothing can be forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::OwnedSemaphorePermit;

use crate::asker::Toll;
use crate::meters::{Meters, ModelMeters};
use crate::served::Served;

/// A place, given back when dropped.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    meters: Arc<Meters>,
    toll: Option<Toll>,
    request_id: String,
    story: Option<Story>,
}

/// A request that was handed to the scheduler.
struct Story {
    model: Arc<ModelMeters>,
    prompt_tokens: usize,
    /// Another server counted the prompt's tokens.
    counted: bool,
    answer_tokens: usize,
    ended: &'static str,
    asked: Instant,
    /// Set once it has a slot.
    running: Option<Running>,
}

struct Running {
    cached_tokens: usize,
    cache_bytes: usize,
    waited: Duration,
    first: Option<Duration>,
    last: Instant,
}

impl Place {
    /// The place that `permit` gives, counted in `meters`.
    pub(crate) fn new(permit: OwnedSemaphorePermit, meters: Arc<Meters>) -> Place {
        Place {
            _permit: permit,
            meters,
            toll: None,
            request_id: String::new(),
            story: None,
        }
    }

    /// Whose request it is, and what was taken for its prompt.
    pub(crate) fn charged(&mut self, toll: Option<Toll>, request_id: &str) {
        self.toll = toll;
        request_id.clone_into(&mut self.request_id);
    }

    /// It waits for a slot.
    pub(crate) fn submitted(&mut self, served: &Served, prompt_tokens: usize) {
        let model = self.meters.model(served);
        self.waits_for(model, prompt_tokens);
    }

    /// It is sent to another server, which says later how many tokens its prompt has.
    pub(crate) fn sent_to(&mut self, upstream: &str) {
        let model = self.meters.named(upstream, false);
        self.waits_for(model, 0);
    }

    fn waits_for(&mut self, model: Arc<ModelMeters>, prompt_tokens: usize) {
        model.waiting.fetch_add(1, Ordering::Relaxed);
        self.story = Some(Story {
            model,
            prompt_tokens,
            counted: false,
            answer_tokens: 0,
            ended: "abort",
            asked: Instant::now(),
            running: None,
        });
    }

    /// It is read, `cached_tokens` of its prompt computed before.
    pub(crate) fn began(&mut self, cached_tokens: usize) {
        let Some(story) = &mut self.story else { return };
        story.model.waiting.fetch_sub(1, Ordering::Relaxed);
        story.model.running.fetch_add(1, Ordering::Relaxed);
        story.model.read(story.prompt_tokens, cached_tokens);
        let now = Instant::now();
        story.running = Some(Running {
            cached_tokens,
            cache_bytes: 0,
            waited: now - story.asked,
            first: None,
            last: now,
        });
    }

    /// It holds so much memory for keys and values now, what it shares counted as its own.
    pub(crate) fn holds(&mut self, cache_bytes: usize) {
        let Some(running) = self.story.as_mut().and_then(|it| it.running.as_mut()) else {
            return;
        };
        self.meters.hold(cache_bytes);
        self.meters
            .let_go(std::mem::replace(&mut running.cache_bytes, cache_bytes));
    }

    /// A token of the answer was chosen.
    pub(crate) fn token(&mut self) {
        let Some(story) = &mut self.story else { return };
        story.answer_tokens += 1;
        let Some(running) = &mut story.running else {
            return;
        };
        let now = Instant::now();
        if running.first.is_none() {
            running.first = Some(now - story.asked);
            story.model.first_token(now - story.asked);
        } else {
            story.model.next_token(now - running.last);
        }
        running.last = now;
        self.meters.sampled();
    }

    /// So many tokens were guessed, of which the first `right` were then chosen.
    pub(crate) fn guessed(&self, tokens: usize, right: usize) {
        if let Some(story) = &self.story {
            story.model.guessed(tokens, right);
        }
    }

    /// Another server says how many tokens prompt and answer had; pieces of the answer were counted for
    /// tokens before.
    pub(crate) fn told(&mut self, prompt_tokens: usize, answer_tokens: usize) {
        let Some(story) = &mut self.story else { return };
        let more = answer_tokens.saturating_sub(story.answer_tokens);
        story.model.told(prompt_tokens, more);
        story.prompt_tokens = prompt_tokens;
        story.counted = true;
        story.answer_tokens = answer_tokens;
    }

    /// The answer is complete, for this reason.
    pub(crate) fn ended(&mut self, reason: &'static str) {
        if let Some(story) = &mut self.story {
            story.ended = reason;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let read = self.story.as_ref().is_some_and(|it| it.running.is_some());
        let answer_tokens = self.story.as_ref().map_or(0, |it| it.answer_tokens);
        let counted = self.story.as_ref().filter(|it| it.counted);
        let counted = counted.map(|it| it.prompt_tokens);
        if let Some(toll) = self.toll.take() {
            toll.settle(read, counted, answer_tokens);
        }
        let Some(story) = self.story.take() else {
            return;
        };
        match &story.running {
            Some(running) => {
                story.model.running.fetch_sub(1, Ordering::Relaxed);
                self.meters.let_go(running.cache_bytes);
            }
            None => {
                story.model.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        }
        // Last: whoever sees the end counted sees all else even.
        story.model.ended(story.ended, story.asked.elapsed());
        self.meters.sampled();
        story.log(&self.request_id);
    }
}

impl Story {
    /// What was done for the request, never what it said.
    fn log(&self, request_id: &str) {
        let ms = |it: Duration| it.as_secs_f64() * 1000.0;
        let running = self.running.as_ref();
        tracing::info!(
            request_id,
            model = self.model.name.as_str(),
            ended = self.ended,
            prompt_tokens = self.prompt_tokens,
            cached_tokens = running.map_or(0, |it| it.cached_tokens),
            answer_tokens = self.answer_tokens,
            waited_ms = running.map(|it| ms(it.waited)),
            first_token_ms = running.and_then(|it| it.first).map(ms),
            ms = ms(self.asked.elapsed()),
            "answer ended"
        );
    }
}
