//! Presence and frequency penalties, as OpenAI defines them.
//!
//! Before a token is chosen, the logit of every token the answer already holds
//! is lowered by `presence + frequency · count`. The prompt does not count.

use std::collections::HashMap;

/// What repeated tokens cost, in logits; negative values favour them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Penalties {
    /// Once for every token that occurred.
    pub presence: f32,
    /// For each time it occurred.
    pub frequency: f32,
}

/// Counts one answer's tokens and lowers their logits.
#[derive(Debug)]
pub(crate) struct Repetition {
    penalties: Penalties,
    counts: HashMap<u32, u32>,
}

impl Repetition {
    /// Nothing said yet.
    pub(crate) fn new(penalties: Penalties) -> Self {
        Repetition {
            penalties,
            counts: HashMap::new(),
        }
    }

    /// Whether nothing is lowered, whatever was said.
    pub(crate) fn is_idle(&self) -> bool {
        self.penalties.presence == 0.0 && self.penalties.frequency == 0.0
    }

    /// Lowers the logits of what was said.
    pub(crate) fn apply(&self, logits: &mut [f32]) {
        let Penalties {
            presence,
            frequency,
        } = self.penalties;
        for (&token, &count) in &self.counts {
            logits[token as usize] -= presence + frequency * count as f32;
        }
    }

    /// Takes note of a chosen token.
    pub(crate) fn note(&mut self, token: u32) {
        if self.penalties != Penalties::default() {
            *self.counts.entry(token).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowers_by_presence_once_and_frequency_each_time() {
        let mut repetition = Repetition::new(Penalties {
            presence: 0.5,
            frequency: 0.25,
        });
        for token in [1, 2, 2, 2] {
            repetition.note(token);
        }
        let mut logits = [1.0; 4];
        repetition.apply(&mut logits);
        assert_eq!(logits, [1.0, 0.25, -0.25, 1.0]);
    }

    #[test]
    fn without_penalties_nothing_is_counted() {
        let mut repetition = Repetition::new(Penalties::default());
        repetition.note(3);
        assert!(repetition.counts.is_empty());
    }
}
