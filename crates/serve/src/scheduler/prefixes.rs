//! Caches of what was read lately, so that what requests begin with is computed once.
//!
//! Questions to one deployment share their system prompt, and every turn of a
//! conversation begins with the turns before it. A new request starts from the
//! longest beginning it shares with a kept one. What is shared is the same memory
//! until one side writes to it, and is counted once; since a row's result does not depend on how its
//! sequence was cut, an answer is the same bits with and without this.
//!
//! What was used longest ago goes first when the stated memory is full.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Weak};

use lathe_engine::KvCache;

use crate::served::Served;

/// A shorter beginning is not worth sharing.
pub(crate) const SHARED_TOKENS_MIN: usize = 8;

/// Beginnings kept, which bounds the search among them.
const KEPT_MAX: usize = 64;

/// The beginnings kept, the newest first.
pub(crate) struct Prefixes {
    kept: VecDeque<Kept>,
    bytes_max: usize,
}

struct Kept {
    /// Weak, so that a model that is no longer served leaves the memory.
    served: Weak<Served>,
    tokens: Vec<u32>,
    cache: KvCache,
}

/// A kept beginning that is also another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found {
    place: usize,
    /// How many tokens both begin with.
    pub tokens: usize,
}

impl Prefixes {
    /// Keeps nothing yet, and never more than `bytes_max` of keys and values.
    pub(crate) fn new(bytes_max: usize) -> Prefixes {
        Prefixes {
            kept: VecDeque::new(),
            bytes_max,
        }
    }

    /// The longest kept beginning of `tokens`, the last of them left out, since its logits are
    /// still to be computed.
    pub(crate) fn find(&self, served: &Served, tokens: &[u32]) -> Option<Found> {
        let before_last = &tokens[..tokens.len().saturating_sub(1)];
        let shared = |kept: &Kept| match kept.served.upgrade() {
            Some(other) if other.same_weights(served) => common(&kept.tokens, before_last),
            _ => 0,
        };
        let lengths = self.kept.iter().map(shared).enumerate();
        let (place, tokens) = lengths.max_by_key(|(_, tokens)| *tokens)?;
        (tokens >= SHARED_TOKENS_MIN).then_some(Found { place, tokens })
    }

    /// Keys and values that what was found shares its memory with.
    pub(crate) fn cache(&self, found: Found) -> &KvCache {
        &self.kept[found.place].cache
    }

    /// A cache that goes on from what was found, which now counts as used.
    pub(crate) fn begin(&mut self, found: Found) -> KvCache {
        let mut cache = self.kept[found.place].cache.clone();
        cache.truncate(found.tokens);
        if let Some(used) = self.kept.remove(found.place) {
            self.kept.push_front(used);
        }
        cache
    }

    /// Keeps what `cache` holds of `tokens`, in place of kept beginnings of it.
    pub(crate) fn keep(&mut self, served: &Arc<Served>, tokens: &[u32], cache: &KvCache) {
        let tokens = &tokens[..cache.len()];
        if tokens.len() < SHARED_TOKENS_MIN || cache.bytes() > self.bytes_max {
            return;
        }
        self.kept.retain(|kept| {
            let covered =
                |other: Arc<Served>| other.same_weights(served) && tokens.starts_with(&kept.tokens);
            kept.served.upgrade().is_some_and(|other| !covered(other))
        });
        self.kept.push_front(Kept {
            served: Arc::downgrade(served),
            tokens: tokens.to_vec(),
            cache: cache.clone(),
        });
        self.kept.truncate(KEPT_MAX);
        while self.count(&mut HashSet::new()) > self.bytes_max {
            self.kept.pop_back();
        }
    }

    /// Bytes of the kept beginnings that `counted` does not know yet.
    pub(crate) fn count(&self, counted: &mut HashSet<usize>) -> usize {
        self.kept.iter().map(|kept| kept.cache.count(counted)).sum()
    }

    /// Forgets what is of models that are no longer served: nobody can begin with it.
    pub(crate) fn forget_closed(&mut self) {
        self.kept.retain(|kept| kept.served.strong_count() > 0);
    }

    /// Forgets what was used longest ago; false where nothing is kept.
    pub(crate) fn forget_oldest(&mut self) -> bool {
        self.kept.pop_back().is_some()
    }
}

/// How many tokens both begin with.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
