//! Several answers to one prompt: the first reads it, the others wait and begin from what it read.
//!
//! What was read is handed on through the kept beginnings (`prefixes`). A first answer that ends
//! or is dropped early keeps nobody waiting.

use std::sync::{Arc, Weak};

/// A job's place among the answers to one prompt.
#[derive(Debug)]
pub(crate) enum Turn {
    /// It waits for nobody, and nobody for it.
    Free,
    /// Others wait for as long as this is held.
    Leads {
        /// Dropping it lets them go.
        _hold: Arc<()>,
    },
    /// Waits until the first has let go.
    Follows(Weak<()>),
}

impl Turn {
    /// The turns of so many answers to one prompt, in order.
    pub(crate) fn of(answers: usize) -> Vec<Turn> {
        if answers == 1 {
            return vec![Turn::Free];
        }
        let first = Arc::new(());
        let waiting = Arc::downgrade(&first);
        let others = (1..answers).map(|_| Turn::Follows(waiting.clone()));
        let first = Turn::Leads { _hold: first };
        std::iter::once(first).chain(others).collect()
    }

    /// Whether another still reads the prompt.
    pub(crate) fn must_wait(&self) -> bool {
        matches!(self, Turn::Follows(first) if first.strong_count() > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_wait_until_the_first_has_let_go() {
        assert!(!Turn::of(1).remove(0).must_wait());
        let mut turns = Turn::of(3);
        let first = turns.remove(0);
        assert!(!first.must_wait() && turns.iter().all(Turn::must_wait));
        drop(first);
        assert!(!turns.iter().any(Turn::must_wait));
    }
}
