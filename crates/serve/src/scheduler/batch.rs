//! The jobs at hand and the step that moves all of them forward.
//!
//! A step takes the next token of every running answer and a bounded number of
//! prompt tokens ([`super::turns`]), and runs one forward pass for each base model
//! among them, whatever adapters its rows go through ([`mod@pass`]). A row's result does not depend on
//! what else is in the pass, so an answer is the same alone and in company.
//!
//! What several requests begin with is computed once ([`admission`]). Memory is counted by the blocks
//! that are held ([`super::memory`]), and an answer that finds none is interrupted, not ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lathe_engine::{Chunk, KvCache, Logits, Scratch, forward};
use lathe_kernel::Pool;

use super::embedding::{EmbeddingJob, Embeddings};
use super::job::{Event, Job};
use super::memory;
use super::pace::Pace;
use super::prefixes::Prefixes;
use super::queue::Queue;
use super::slot::Slot;
use super::turns;
use crate::limits::Limits;
use crate::served::Served;
use pass::passes;

mod admission;
mod pass;

/// Answers under way at most for which tokens are guessed: with more, a step is bound by its rows.
const GUESSED_ANSWERS_MAX: usize = 2;

/// Everything that waits or runs.
pub(crate) struct Batch {
    limits: Limits,
    pool: Pool,
    scratch: Scratch,
    prefixes: Prefixes,
    queue: Queue,
    slots: Vec<Slot>,
    pace: Pace,
    embeddings: Embeddings,
}

impl Batch {
    /// Nothing to do yet.
    pub(crate) fn new(pool: Pool, limits: Limits) -> Batch {
        Batch {
            prefixes: Prefixes::new(limits.prefix_bytes_max),
            limits,
            pool,
            scratch: Scratch::default(),
            queue: Queue::default(),
            slots: Vec::new(),
            pace: Pace::default(),
            embeddings: Embeddings::default(),
        }
    }

    /// Whether a step would do nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.is_empty() && self.embeddings.is_empty()
    }

    /// Puts a job into the queue.
    pub(crate) fn enqueue(&mut self, job: Job) {
        self.queue.push(job);
    }

    /// Puts texts that are to be embedded at the end of theirs.
    pub(crate) fn enqueue_embedding(&mut self, job: EmbeddingJob) {
        self.embeddings.enqueue(job);
    }

    /// Frees what nobody waits for, fills free slots, computes, gives out tokens.
    pub(crate) fn step(&mut self) {
        self.free();
        self.admit();
        self.refuse_overdue();
        self.follow();
        let answers = self.slots.iter().filter(|slot| slot.is_answering()).count();
        let room = self.pace.prompt_tokens(&self.limits, answers);
        let room = turns::share_out(&mut self.slots, room);
        if answers <= GUESSED_ANSWERS_MAX {
            let most = self.limits.guessed_tokens_max;
            self.slots.iter_mut().for_each(|slot| slot.guess(most));
        }
        self.make_room();
        let (began, rows) = (Instant::now(), self.slots.iter().map(Slot::step_rows).sum());
        for pass in passes(&mut self.slots) {
            pass.compute(&self.pool, &mut self.scratch);
        }
        self.pace.note(rows, began.elapsed());
        for slot in self.slots.iter().filter(|slot| slot.is_worth_keeping()) {
            self.prefixes
                .keep(slot.served(), slot.tokens(), slot.cache());
        }
        // Never nothing, lest texts wait for as long as prompts come.
        self.embed(room.max(self.limits.prefill_tokens_max / 4).max(1));
        self.free();
    }

    /// Reads texts to be embedded in what memory the answers leave; what is kept for later makes room.
    /// Who is let in leaves some ([`admission`]), and where nothing is answered one text always runs.
    fn embed(&mut self, tokens_max: usize) {
        if self.embeddings.is_empty() {
            return;
        }
        let needed = self.embeddings.needed();
        let mut room = self.limits.cache_bytes_max.saturating_sub(self.held());
        while room < needed && self.prefixes.forget_oldest() {
            room = self.limits.cache_bytes_max.saturating_sub(self.held());
        }
        if room >= needed || self.slots.is_empty() {
            self.embeddings
                .step(&self.pool, &mut self.scratch, tokens_max, room);
        }
    }

    /// Decodes one token of `served`, next to the jobs and not in their order.
    ///
    /// # Errors
    /// When the logits are not numbers.
    pub(crate) fn probe(&mut self, served: &Served) -> Result<(), String> {
        let model = served.model();
        let token = model
            .config
            .bos
            .or(model.config.eos.first().copied())
            .unwrap_or(0);
        let mut cache = KvCache::new(&model.config);
        let chunk = Chunk {
            cache: &mut cache,
            tokens: &[token],
            logits: Logits::All,
        };
        let adapter = served.adapter().map(Arc::as_ref);
        let logits = forward(model, &self.pool, adapter, &mut [chunk], &mut self.scratch);
        if logits.iter().all(|logit| logit.is_finite()) {
            Ok(())
        } else {
            Err("the model computes values that are not numbers".to_owned())
        }
    }

    /// Ends everything that waits or runs with an error.
    pub(crate) fn fail_all(&mut self, reason: &str) {
        self.queue.fail_all(reason);
        for mut slot in self.slots.drain(..) {
            slot.fail(reason);
        }
        self.embeddings.fail_all(reason);
    }

    /// Drops what nobody waits for any more, and what is kept of models that are no longer served.
    pub(crate) fn free(&mut self) {
        self.slots.retain(|slot| !slot.is_free());
        self.prefixes.forget_closed();
        self.queue.forget_abandoned();
        self.embeddings.free();
    }

    fn refuse_overdue(&mut self) {
        let longest = Duration::from_millis(self.limits.wait_ms_max);
        for job in self.queue.take_overdue(longest) {
            job.events
                .send(Event::Overdue(self.limits.wait_ms_max.div_ceil(1000)));
        }
        self.embeddings.refuse_overdue(longest);
    }

    /// Keeps what the step takes within the stated memory: first kept beginnings go, then the newest
    /// of the least urgent answers wait. One alone always runs.
    fn make_room(&mut self) {
        loop {
            let step: usize = self.slots.iter().map(Slot::step_bytes).sum();
            let most = step
                + self.embeddings.held()
                + self
                    .slots
                    .iter()
                    .map(|it| it.cache().bytes())
                    .sum::<usize>();
            // What is kept has its own bound; most steps are done here.
            if most + self.limits.prefix_bytes_max <= self.limits.cache_bytes_max
                || step + self.held() <= self.limits.cache_bytes_max
            {
                return;
            }
            if self.prefixes.forget_oldest() {
                continue;
            }
            let slots = self.slots.iter();
            let newest = slots.max_by_key(|slot| (slot.priority(), slot.serial()));
            match newest.map(Slot::serial).filter(|_| self.slots.len() > 1) {
                Some(serial) => {
                    let slot = self.take_out(serial);
                    slot.into_iter().for_each(|slot| self.pause(slot));
                }
                None => return,
            }
        }
    }

    /// How many answers hold a slot.
    #[cfg(test)]
    pub(crate) fn under_way(&self) -> usize {
        self.slots.len()
    }

    /// How many sets of weights each of a step's passes is for.
    #[cfg(test)]
    pub(crate) fn weights_by_pass(&mut self) -> Vec<usize> {
        let passes = passes(&mut self.slots);
        passes.iter().map(pass::Pass::weights).collect()
    }

    /// Bytes of keys and values held in all.
    pub(crate) fn held(&self) -> usize {
        memory::held_with(&self.prefixes, self.slots.iter().map(Slot::cache))
            + self.embeddings.held()
    }
}
