//! From logits to the next token.

use crate::random::Random;

/// How the next token is chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest, the lowest id on ties.
    pub temperature: f32,
    /// Keeps the fewest tokens whose probabilities sum to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps this many tokens; 0 keeps all.
    pub top_k: usize,
    /// Fixes the choice.
    pub seed: u64,
}

/// Chooses tokens for one answer.
#[derive(Debug, Clone)]
pub struct Sampler {
    _sampling: Sampling,
    _random: Random,
}

impl Sampler {
    /// A sampler at the start of its seed's sequence.
    pub fn new(sampling: Sampling) -> Self {
        Self {
            _random: Random::new(sampling.seed),
            _sampling: sampling,
        }
    }

    /// The next token; `logits` is used as scratch.
    pub fn next(&mut self, _logits: &mut [f32]) -> u32 {
        todo!()
    }
}
