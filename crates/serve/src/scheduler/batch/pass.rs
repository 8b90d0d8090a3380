//! One forward pass of a step, over one base model.
//!
//! Answers that need the same weights lie side by side in it, in the order of their slots. Where all need
//! the same it is the pass of that one model; else the base's weights are read once for all of them, and
//! each row goes through its own adapter ([`forward_mixed`]).

use std::sync::{Arc, Mutex, PoisonError};

use lathe_engine::{AdapterRun, Chunk, Scratch, forward_mixed};
use lathe_kernel::Pool;

use crate::scheduler::slot::Slot;
use crate::served::Served;

/// Slots over one base model, those of the same weights together.
pub(super) struct Pass<'s> {
    groups: Vec<Vec<&'s mut Slot>>,
}

/// The passes of a step.
pub(super) fn passes(slots: &mut [Slot]) -> Vec<Pass<'_>> {
    let mut passes: Vec<Pass<'_>> = Vec::new();
    for slot in slots {
        let same = |pass: &&mut Pass<'_>| pass.groups[0][0].served().same_base(slot.served());
        match passes.iter_mut().find(same) {
            Some(pass) => pass.take(slot),
            None => passes.push(Pass {
                groups: vec![vec![slot]],
            }),
        }
    }
    passes
}

impl<'s> Pass<'s> {
    fn take(&mut self, slot: &'s mut Slot) {
        let same = |group: &&mut Vec<&mut Slot>| group[0].served().same_weights(slot.served());
        match self.groups.iter_mut().find(same) {
            Some(group) => group.push(slot),
            None => self.groups.push(vec![slot]),
        }
    }

    /// How many sets of weights it is for.
    #[cfg(test)]
    pub(super) fn weights(&self) -> usize {
        self.groups.len()
    }

    /// Computes what the slots have planned, and lets each take what follows from it.
    pub(super) fn compute(mut self, pool: &Pool, scratch: &mut Scratch) {
        let served = self.groups.iter().map(|group| group[0].served().clone());
        let served: Vec<Arc<Served>> = served.collect();
        let model = served[0].model();
        let (mut chunks, mut runs): (Vec<Chunk<'_>>, _) = (Vec::new(), Vec::new());
        for (group, served) in self.groups.iter_mut().zip(&served) {
            let before = chunks.len();
            chunks.extend(group.iter_mut().filter_map(|slot| slot.chunk()));
            if chunks.len() > before {
                runs.push(AdapterRun {
                    adapter: served.adapter().map(Arc::as_ref),
                    chunks: chunks.len() - before,
                });
            }
        }
        if chunks.is_empty() {
            return;
        }
        let mut logits = forward_mixed(model, pool, &runs, &mut chunks, scratch);
        let mut rest = &mut *logits;
        // A lock each only to tell the compiler that every task has a slot of its own.
        let mut work = Vec::with_capacity(self.groups.iter().map(Vec::len).sum());
        for slot in self.groups.into_iter().flatten() {
            let rows = slot.rows() * model.config.vocab;
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
        drop(work);
        scratch.give_back(logits);
    }
}
