//! Who gets a slot, and what it begins with.
//!
//! Turns are by urgency, then by caller (`queue`): where no slot is free, the least urgent answer gives its
//! own up for one more urgent, and among equals the caller who holds most for one who would still hold fewer. A slot begins with the longest beginning that is kept, or follows another
//! slot that is computing it: of many requests that come at the same instant one computes what all share.

use std::cmp::Reverse;

use lathe_engine::KvCache;

use super::Batch;
use crate::scheduler::caller::Caller;
use crate::scheduler::memory;
use crate::scheduler::prefixes::{Found, SHARED_TOKENS_MIN, common};
use crate::scheduler::queue::{Next, Running};
use crate::scheduler::slot::{Follows, Slot};
use crate::served::Served;

/// What a slot need not compute itself.
enum Beginning {
    Nothing,
    Kept(Found),
    Follows(Follows),
}

impl Batch {
    /// Fills free slots, strictly by turns: who has to wait for memory lets nobody past.
    pub(super) fn admit(&mut self) {
        loop {
            let running = self.running();
            let Some(next) = self.queue.next(&running) else {
                return;
            };
            if self.slots.len() >= self.limits.slots_max.max(1) {
                if self.take_slot_for(next, &running) {
                    continue;
                }
                return;
            }
            let (served, tokens, scored) = self.queue.look(next.place);
            // What is kept knows no logits: a prompt that is scored is read from its start.
            let beginning = if scored {
                Beginning::Nothing
            } else {
                self.beginning(served, tokens)
            };
            if !self.slots.is_empty() && !self.fits(served, tokens, &beginning) {
                return;
            }
            let slot = self.queue.take(next.place);
            self.begin(slot, beginning);
        }
    }

    /// How many answers of each caller hold a slot.
    fn running(&self) -> Running {
        let mut running = Running::new();
        for slot in &self.slots {
            *running.entry(slot.caller()).or_default() += 1;
        }
        running
    }

    /// Interrupts the newest of the least urgent answers, if `next` is more urgent, or else of the equally
    /// urgent ones of the caller who holds most, if `next`'s would not hold as many even then; its cache
    /// is kept, so that it goes on where it was.
    fn take_slot_for(&mut self, next: Next, running: &Running) -> bool {
        let Some(slot) = self.makes_way(next, running) else {
            return false;
        };
        let Some(slot) = self.take_out(slot) else {
            return false;
        };
        self.prefixes
            .keep(slot.served(), slot.tokens(), slot.cache());
        self.pause(slot);
        true
    }

    /// The serial of the slot that makes way for `next`.
    fn makes_way(&self, next: Next, running: &Running) -> Option<u64> {
        let least = self.slots.iter().map(Slot::priority).max()?;
        if least > next.priority {
            let least_urgent = self.slots.iter().filter(|slot| slot.priority() == least);
            return least_urgent.map(Slot::serial).max();
        }
        let holds = |caller: &Caller| running.get(caller).copied().unwrap_or(0);
        let equals = self
            .slots
            .iter()
            .filter(|slot| slot.priority() == next.priority);
        let newest = equals.max_by_key(|slot| (holds(&slot.caller()), slot.serial()))?;
        (holds(&newest.caller()) > holds(&next.caller) + 1).then(|| newest.serial())
    }

    /// Takes the slot of that number out.
    pub(super) fn take_out(&mut self, serial: u64) -> Option<Slot> {
        let at = self.slots.iter().position(|it| it.serial() == serial)?;
        Some(self.slots.remove(at))
    }

    /// Lets an answer wait for its turn, its memory given back.
    pub(super) fn pause(&mut self, mut slot: Slot) {
        slot.pause();
        self.queue.push_paused(slot);
    }

    /// The longest beginning that is kept, or that a slot holds or is about to.
    fn beginning(&self, served: &Served, tokens: &[u32]) -> Beginning {
        let kept = self.prefixes.find(served, tokens);
        let before_last = &tokens[..tokens.len().saturating_sub(1)];
        let shared = |other: &Slot| {
            if other.served().same_weights(served) {
                common(other.tokens(), before_last)
            } else {
                0
            }
        };
        let others = self.slots.iter().map(|other| Follows {
            serial: other.serial(),
            tokens: shared(other),
        });
        // Of equals, the one that came first.
        let longest = others.max_by_key(|it| (it.tokens, Reverse(it.serial)));
        let enough = kept.map_or(0, |it| it.tokens) + SHARED_TOKENS_MIN;
        match (longest, kept) {
            (Some(follows), _) if follows.tokens >= enough => Beginning::Follows(follows),
            (_, Some(kept)) => Beginning::Kept(kept),
            _ => Beginning::Nothing,
        }
    }

    /// Whether there is memory to compute `tokens`, beside what the slots are yet to compute; what is
    /// kept for later makes room when it has to.
    fn fits(&self, served: &Served, tokens: &[u32], beginning: &Beginning) -> bool {
        let (kept, shared) = match beginning {
            Beginning::Nothing => (None, 0),
            Beginning::Kept(found) => (Some(self.prefixes.cache(*found)), found.tokens),
            Beginning::Follows(follows) => (None, follows.tokens),
        };
        let held = memory::held(self.slots.iter().map(Slot::cache).chain(kept));
        let embedded = self.embeddings.held() + self.embeddings.needed();
        let unread: usize = self.slots.iter().map(Slot::unread_bytes).sum();
        let own = memory::unread_bytes(&KvCache::new(&served.model().config), shared, tokens.len());
        held + unread + own + embedded <= self.limits.cache_bytes_max
    }

    fn begin(&mut self, mut slot: Slot, beginning: Beginning) {
        match beginning {
            Beginning::Nothing => slot.begin_from(KvCache::new(&slot.served().model().config)),
            Beginning::Kept(found) => slot.begin_from(self.prefixes.begin(found)),
            Beginning::Follows(follows) => slot.follow(follows),
        }
        self.slots.push(slot);
    }

    /// Lets those begin who waited for what another has computed by now, or will not compute.
    pub(super) fn follow(&mut self) {
        for at in 0..self.slots.len() {
            let Some(follows) = self.slots[at].follows() else {
                continue;
            };
            let leader = self.slots.iter().find(|it| it.serial() == follows.serial);
            let cache = match leader.map(Slot::cache) {
                Some(cache) if cache.len() < follows.tokens => continue,
                Some(cache) => {
                    let mut cache = cache.clone();
                    cache.truncate(follows.tokens);
                    cache
                }
                None => self.kept_or_new(at),
            };
            self.slots[at].begin_from(cache);
        }
    }

    fn kept_or_new(&mut self, at: usize) -> KvCache {
        let slot = &self.slots[at];
        match self.prefixes.find(slot.served(), slot.tokens()) {
            Some(found) => self.prefixes.begin(found),
            None => KvCache::new(&slot.served().model().config),
        }
    }
}
