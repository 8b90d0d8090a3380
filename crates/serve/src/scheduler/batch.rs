//! The jobs at hand and the step that moves all of them forward.
//!
//! A step takes the next token of every running answer and a bounded number of
//! prompt tokens, first come first served, and runs one forward pass for each set
//! of weights among them. A row's result does not depend on what else is in the
//! pass, so an answer is the same alone and in company.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use lathe_engine::{Chunk, KvCache, Logits, Scratch, forward};
use lathe_kernel::Pool;

use super::embedding::{EmbeddingJob, Embeddings};
use super::job::{Event, Job};
use super::prefixes::Prefixes;
use super::slot::{Slot, cache_bytes};
use crate::limits::Limits;
use crate::served::Served;

/// Prompt tokens of a step after each of which logits are computed, which a vocabulary makes wide.
const SCORED_TOKENS_MAX: usize = 128;

/// Everything that waits or runs.
pub(crate) struct Batch {
    limits: Limits,
    pool: Pool,
    scratch: Scratch,
    prefixes: Prefixes,
    /// First come, first served.
    queue: VecDeque<Job>,
    /// In the order in which they got their slots.
    slots: Vec<Slot>,
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
            queue: VecDeque::new(),
            slots: Vec::new(),
            embeddings: Embeddings::default(),
        }
    }

    /// Whether a step would do nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.is_empty() && self.embeddings.is_empty()
    }

    /// Puts a job at the end of the queue.
    pub(crate) fn enqueue(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Puts texts that are to be embedded at the end of theirs.
    pub(crate) fn enqueue_embedding(&mut self, job: EmbeddingJob) {
        self.embeddings.enqueue(job);
    }

    /// Frees what nobody waits for, fills free slots, computes, gives out tokens.
    pub(crate) fn step(&mut self) {
        self.free();
        self.admit();
        let room = self.plan();
        for group in by_weights(&mut self.slots) {
            compute(group, &self.pool, &mut self.scratch);
        }
        for slot in &mut self.slots {
            if slot.is_worth_keeping() {
                self.prefixes
                    .keep(slot.served(), slot.tokens(), slot.cache());
                slot.let_go();
            }
        }
        // Never nothing, lest texts wait for as long as prompts come.
        let room = room.max(self.limits.prefill_tokens_max / 4).max(1);
        self.embeddings.step(&self.pool, &mut self.scratch, room);
        self.free();
    }

    /// Plans the slots' step; returns the prompt tokens that are left.
    fn plan(&mut self) -> usize {
        let mut room = self.limits.prefill_tokens_max.max(1);
        let mut scored = SCORED_TOKENS_MAX;
        for slot in &mut self.slots {
            if slot.is_to_score() {
                let taken = slot.plan(room.min(scored));
                room -= taken;
                scored -= taken;
            } else {
                room -= slot.plan(room);
            }
        }
        room
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
        for job in self.queue.drain(..) {
            job.events.send(Event::Failed(reason.to_owned()));
        }
        for mut slot in self.slots.drain(..) {
            slot.fail(reason);
        }
        self.embeddings.fail_all(reason);
    }

    fn free(&mut self) {
        self.slots.retain(|slot| !slot.is_free());
        self.queue.retain(|job| !job.events.is_closed());
        self.embeddings.free();
    }

    /// In order: a job that has to wait for memory lets nobody past; one that waits until another has
    /// read its prompt does.
    fn admit(&mut self) {
        while self.slots.len() < self.limits.slots_max.max(1)
            && let Some(next) = self.queue.iter().position(|job| !job.turn.must_wait())
        {
            let held: usize = self.slots.iter().map(Slot::cache_bytes).sum();
            let wanted = held + cache_bytes(&self.queue[next]);
            if !self.slots.is_empty() && wanted > self.limits.cache_bytes_max {
                return;
            }
            if let Some(job) = self.queue.remove(next) {
                // What is kept knows no logits: a prompt that is scored is read from its start.
                let cache = match job.plan.scores.prompt {
                    Some(_) => KvCache::new(&job.served.model().config),
                    None => self.prefixes.begin(&job.served, &job.prompt),
                };
                self.slots.push(Slot::new(job, cache));
            }
        }
    }
}

/// The slots grouped by the weights they need, their order kept.
fn by_weights(slots: &mut [Slot]) -> Vec<Vec<&mut Slot>> {
    let mut groups: Vec<Vec<&mut Slot>> = Vec::new();
    for slot in slots {
        let same = |group: &&mut Vec<&mut Slot>| group[0].served().same_weights(slot.served());
        match groups.iter_mut().find(same) {
            Some(group) => group.push(slot),
            None => groups.push(vec![slot]),
        }
    }
    groups
}

/// One forward pass for slots of the same weights, and what follows from it.
fn compute(mut slots: Vec<&mut Slot>, pool: &Pool, scratch: &mut Scratch) {
    let served = slots[0].served().clone();
    let mut chunks: Vec<Chunk<'_>> = slots.iter_mut().filter_map(|slot| slot.chunk()).collect();
    if chunks.is_empty() {
        return;
    }
    let adapter = served.adapter().map(Arc::as_ref);
    let mut logits = forward(served.model(), pool, adapter, &mut chunks, scratch);
    let mut rest = &mut *logits;
    // A lock each only to tell the compiler that every task has a slot of its own.
    let mut work = Vec::with_capacity(slots.len());
    for slot in slots {
        let rows = slot.rows() * served.model().config.vocab;
        let (rows, others) = std::mem::take(&mut rest).split_at_mut(rows);
        rest = others;
        let row = slot.score_prompt(pool, rows);
        if !row.is_empty() {
            work.push(Mutex::new((slot, row)));
        }
    }
    pool.run(work.len(), &|index| {
        let mut held = work[index].lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, row) = &mut *held;
        slot.accept(row);
    });
}
