//! Caches of what was read lately, so that what requests begin with is computed once.
//!
//! Questions to one deployment share their system prompt, and every turn of a
//! conversation begins with the turns before it. A new request starts from the
//! longest beginning it shares with a kept one. What is shared is the same memory
//! until one side writes to it, and since a row's result does not depend on how its
//! sequence was cut, an answer is the same bits with and without this.
//!
//! What was used longest ago goes first when the stated memory is full.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use lathe_engine::KvCache;

use crate::served::Served;

/// A shorter beginning is not worth sharing.
const SHARED_TOKENS_MIN: usize = 8;

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

impl Prefixes {
    /// Keeps nothing yet, and never more than `bytes_max` of keys and values.
    pub(crate) fn new(bytes_max: usize) -> Prefixes {
        Prefixes {
            kept: VecDeque::new(),
            bytes_max,
        }
    }

    /// A cache to begin `prompt` with: of the longest kept beginning, or empty. The
    /// prompt's last token is never in it, since its logits are still to be computed.
    pub(crate) fn begin(&mut self, served: &Arc<Served>, prompt: &[u32]) -> KvCache {
        let before_last = &prompt[..prompt.len().saturating_sub(1)];
        let shared = |kept: &Kept| match kept.served.upgrade() {
            Some(other) if other.same_weights(served) => common(&kept.tokens, before_last),
            _ => 0,
        };
        let lengths = self.kept.iter().map(shared).enumerate();
        let Some((index, len)) = lengths.max_by_key(|(_, len)| *len) else {
            return KvCache::new(&served.model().config);
        };
        if len < SHARED_TOKENS_MIN {
            return KvCache::new(&served.model().config);
        }
        let mut cache = self.kept[index].cache.clone();
        cache.truncate(len);
        if let Some(used) = self.kept.remove(index) {
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
        while self
            .kept
            .iter()
            .map(|kept| kept.cache.bytes())
            .sum::<usize>()
            > self.bytes_max
        {
            self.kept.pop_back();
        }
    }
}

/// How many tokens both begin with.
fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
