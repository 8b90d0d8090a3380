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

use super::job::{Event, Job};
use super::prefixes::Prefixes;
use super::slot::{Slot, cache_bytes};
use crate::limits::Limits;
use crate::served::Served;

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
        }
    }

    /// Whether a step would do nothing.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.slots.is_empty()
    }

    /// Puts a job at the end of the queue.
    pub(crate) fn enqueue(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Frees what nobody waits for, fills free slots, computes, gives out tokens.
    pub(crate) fn step(&mut self) {
        self.free();
        self.admit();
        let mut room = self.limits.prefill_tokens_max.max(1);
        for slot in &mut self.slots {
            room -= slot.plan(room);
        }
        for group in by_weights(&mut self.slots) {
            compute(group, &self.pool, &mut self.scratch);
        }
        for slot in self.slots.iter().filter(|slot| slot.is_worth_keeping()) {
            self.prefixes
                .keep(slot.served(), slot.tokens(), slot.cache());
        }
        self.free();
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
            let _ = job.events.send(Event::Failed(reason.to_owned()));
        }
        for mut slot in self.slots.drain(..) {
            slot.fail(reason);
        }
    }

    fn free(&mut self) {
        self.slots.retain(|slot| !slot.is_free());
        self.queue.retain(|job| !job.events.is_closed());
    }

    /// Strictly in order: a job that has to wait for memory lets nobody past.
    fn admit(&mut self) {
        while self.slots.len() < self.limits.slots_max.max(1)
            && let Some(job) = self.queue.front()
        {
            let held: usize = self.slots.iter().map(Slot::cache_bytes).sum();
            if !self.slots.is_empty() && held + cache_bytes(job) > self.limits.cache_bytes_max {
                return;
            }
            if let Some(job) = self.queue.pop_front() {
                let cache = self.prefixes.begin(&job.served, &job.prompt);
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
    let choosing = slots.into_iter().filter(|slot| slot.chooses());
    let rows = logits.chunks_exact_mut(served.model().config.vocab);
    // A lock each only to tell the compiler that every task has a slot of its own.
    let work: Vec<Mutex<_>> = choosing.zip(rows).map(Mutex::new).collect();
    pool.run(work.len(), &|index| {
        let mut held = work[index].lock().unwrap_or_else(PoisonError::into_inner);
        let (slot, row) = &mut *held;
        slot.accept(row);
    });
}
