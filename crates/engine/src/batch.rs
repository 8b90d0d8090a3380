//! What one forward and backward pass works on: packed sequences and what they
//! should say.
//!
//! Sequences lie one after the other without padding. A segment sees itself
//! causally, and wholly the one segment it names as its prefix, so a prompt shared
//! by many records is computed once. Nothing else is visible: packing never leaks.

use crate::config::Config;
use crate::error::EngineError;
use lathe_kernel::attention::Span;

/// A run of tokens that sees itself causally, and its prefix wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// First row in [`Batch::tokens`].
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Index of an earlier segment without a prefix of its own, wholly visible;
    /// positions continue after it.
    pub prefix: Option<usize>,
}

/// One supervised prediction: row `row` predicts `token`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Row in [`Batch::tokens`].
    pub row: u32,
    /// The token that should follow.
    pub token: u32,
    /// Weight of its negative log-likelihood.
    pub weight: f32,
}

/// Packed sequences of one step or part of a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// All tokens, segment after segment.
    pub tokens: Vec<u32>,
    /// The segments, in order, covering all rows.
    pub segments: Vec<Segment>,
    /// Where logits are computed and what they should say.
    pub targets: Vec<Target>,
}

impl Batch {
    /// Whether the batch is sound and fits a model.
    ///
    /// # Errors
    /// [`EngineError::Request`] when segments leave gaps or overlap, a prefix is not
    /// an earlier segment without a prefix, a sequence is longer than the model's
    /// context, or a token or row does not exist.
    pub fn check(&self, config: &Config) -> Result<(), EngineError> {
        let refuse = |reason: String| Err(EngineError::Request { reason });
        let mut next = 0;
        for (index, segment) in self.segments.iter().enumerate() {
            if segment.start != next || segment.len == 0 {
                return refuse(format!(
                    "segment {index} starts at row {} with {} rows, but row {next} comes next",
                    segment.start, segment.len
                ));
            }
            next += segment.len;
            let before = match segment.prefix {
                None => 0,
                Some(prefix) if prefix < index && self.segments[prefix].prefix.is_none() => {
                    self.segments[prefix].len
                }
                Some(prefix) => {
                    return refuse(format!(
                        "segment {index} names segment {prefix} as its prefix, \
                         which is not an earlier one without a prefix"
                    ));
                }
            };
            if before + segment.len > config.context {
                return refuse(format!(
                    "segment {index} ends at position {}, but the context is {} tokens",
                    before + segment.len,
                    config.context
                ));
            }
        }
        if next != self.tokens.len() {
            return refuse(format!(
                "segments cover {next} of {} rows",
                self.tokens.len()
            ));
        }
        self.check_tokens(config)
    }

    fn check_tokens(&self, config: &Config) -> Result<(), EngineError> {
        let refuse = |reason: String| Err(EngineError::Request { reason });
        let targets = self.targets.iter().map(|target| target.token);
        if let Some(token) = self
            .tokens
            .iter()
            .copied()
            .chain(targets)
            .find(|&token| token as usize >= config.vocab)
        {
            return refuse(format!(
                "token {token} is not among the {} known",
                config.vocab
            ));
        }
        match self
            .targets
            .iter()
            .find(|target| target.row as usize >= self.tokens.len())
        {
            Some(target) => refuse(format!(
                "a target names row {} of {}",
                target.row,
                self.tokens.len()
            )),
            None => Ok(()),
        }
    }

    /// The position of every row in its own sequence.
    pub(crate) fn positions(&self) -> impl Iterator<Item = u32> {
        self.segments.iter().flat_map(|segment| {
            let before = segment.prefix.map_or(0, |prefix| self.segments[prefix].len);
            (before..before + segment.len).map(|position| position as u32)
        })
    }

    /// What each segment attends to, as attention wants it.
    pub(crate) fn spans(&self, spans: &mut Vec<Span>) {
        spans.clear();
        spans.extend(self.segments.iter().map(|segment| Span {
            start: segment.start,
            len: segment.len,
            prefix: segment.prefix.map(|prefix| {
                let prefix = &self.segments[prefix];
                (prefix.start, prefix.len)
            }),
        }));
    }
}

/// A loss that can be added up over batches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossSum {
    /// Σ weight · negative log-likelihood, in nats.
    pub loss: f64,
    /// Σ weight.
    pub weight: f64,
}

impl LossSum {
    /// Weighted mean of the negative log-likelihood; 0 where nothing is supervised.
    pub fn mean(&self) -> f64 {
        if self.weight == 0.0 {
            0.0
        } else {
            self.loss / self.weight
        }
    }
}

impl std::ops::AddAssign for LossSum {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.weight += other.weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::architecture::{Activation, Architecture};

    fn config() -> Config {
        Config {
            architecture: Architecture::Llama,
            hidden: 8,
            layers: 1,
            heads: 1,
            kv_heads: 1,
            head_dim: 8,
            intermediate: 8,
            vocab: 10,
            rms_eps: 1e-5,
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: 0.5,
            rope_theta: 1e4,
            rope_divisors: Vec::new(),
            window: None,
            context: 6,
            tied_embeddings: true,
            bos: None,
            eos: Vec::new(),
        }
    }

    fn segment(start: usize, len: usize, prefix: Option<usize>) -> Segment {
        Segment { start, len, prefix }
    }

    fn batch(segments: &[Segment]) -> Batch {
        let rows = segments.iter().map(|segment| segment.len).sum();
        Batch {
            tokens: vec![1; rows],
            segments: segments.to_vec(),
            targets: Vec::new(),
        }
    }

    #[test]
    fn positions_continue_after_the_prefix() {
        let batch = batch(&[
            segment(0, 2, None),
            segment(2, 3, Some(0)),
            segment(5, 1, None),
        ]);
        batch.check(&config()).expect("it is sound");
        let mut spans = Vec::new();
        let positions: Vec<u32> = batch.positions().collect();
        batch.spans(&mut spans);
        assert_eq!(positions, [0, 1, 2, 3, 4, 0]);
        let prefixes: Vec<_> = spans.iter().map(|span| span.prefix).collect();
        assert_eq!(prefixes, [None, Some((0, 2)), None]);
    }

    #[test]
    fn what_does_not_fit_is_refused_by_name() {
        let target = |row, token| Target {
            row,
            token,
            weight: 1.0,
        };
        let sound = batch(&[segment(0, 3, None)]);
        let with = |change: fn(&mut Batch, Target), row, token| {
            let mut changed = sound.clone();
            change(&mut changed, target(row, token));
            changed
        };
        let cases = [
            (batch(&[segment(1, 2, None)]), "row 0 comes next"),
            (batch(&[segment(0, 0, None)]), "0 rows"),
            (batch(&[segment(0, 7, None)]), "context is 6"),
            (
                batch(&[segment(0, 4, None), segment(4, 3, Some(0))]),
                "position 7",
            ),
            (batch(&[segment(0, 2, Some(0))]), "as its prefix"),
            (
                batch(&[
                    segment(0, 1, None),
                    segment(1, 1, Some(0)),
                    segment(2, 1, Some(1)),
                ]),
                "as its prefix",
            ),
            (with(|batch, _| batch.tokens.push(1), 0, 0), "3 of 4 rows"),
            (with(|batch, _| batch.tokens[0] = 10, 0, 0), "token 10"),
            (with(|batch, it| batch.targets.push(it), 0, 11), "token 11"),
            (with(|batch, it| batch.targets.push(it), 3, 1), "row 3 of 3"),
        ];
        for (batch, words) in cases {
            let error = batch.check(&config()).expect_err(words).to_string();
            assert!(error.contains(words), "{error} should say {words}");
        }
    }
}
