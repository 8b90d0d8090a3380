//! How likely a model holds answers that are there: the measure of free words.
//!
//! ```text
//! answer_logprob     Σ ln p(token) / tokens     over the answers' tokens of all records, in nats
//! preference_margin  mean of ln p(preferred) − ln p(other)   over pairs, in nats
//! ```
//! Both are the larger the better. e^(−answer_logprob) is the perplexity of an answer's token. The
//! difference of two models' margins is what DPO calls the margin of its implicit rewards, divided
//! by β (Rafailov et al. 2023, arXiv 2305.18290, section 4). Tokens go through the forward pass that
//! serves. Nothing is generated: whether an answer of the model's own would please is not measured.

use lathe_engine::{Chunk, KvCache, LogSoftmax, Logits, Model, PackedAdapter, Scratch, forward};
use lathe_kernel::Pool;
use serde::{Deserialize, Serialize};

/// Tokens whose logits are held at once; does not change them.
const CHUNK_TOKENS: usize = 128;

/// How likely the answers of one record are.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Likelihood {
    /// Sum of the logarithms of the answers' tokens, in nats, each times its weight.
    pub log_prob: f64,
    /// Sum of the weights: the number of tokens.
    pub tokens: f64,
    /// Of a pair: the preferred answer's sum minus the other's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub margin: Option<f64>,
}

/// A sequence of tokens, and how much each counts; as many weights as tokens.
#[derive(Clone, Copy, Debug)]
pub struct Weighed<'a> {
    /// The tokens.
    pub tokens: &'a [u32],
    /// 0 for a token that is only read; the first is never counted.
    pub weights: &'a [f32],
}

/// How likely a model, or an adapter over it, holds what counts in a sequence that its context holds.
///
/// # Panics
/// If a token is not the model's, or the sequence is longer than its context.
pub fn likelihood(
    (model, pool, adapter): (&Model, &Pool, Option<&PackedAdapter>),
    row: Weighed<'_>,
) -> Likelihood {
    let (mut cache, mut scratch) = (KvCache::new(&model.config), Scratch::default());
    let mut found = Likelihood {
        log_prob: 0.0,
        tokens: 0.0,
        margin: None,
    };
    // The last token predicts nothing that is there.
    let read = row.tokens.len().saturating_sub(1);
    for start in (0..read).step_by(CHUNK_TOKENS) {
        let end = read.min(start + CHUNK_TOKENS);
        let counts = |at: usize| row.weights[at + 1] != 0.0;
        let is_counted = (start..end).any(counts);
        let mut chunk = Chunk {
            cache: &mut cache,
            tokens: &row.tokens[start..end],
            logits: if is_counted {
                Logits::Each
            } else {
                Logits::None
            },
        };
        let chunks = std::slice::from_mut(&mut chunk);
        let logits = forward(model, pool, adapter, chunks, &mut scratch);
        let vocab = logits.len() / (end - start);
        for at in (start..end).filter(|at| counts(*at)) {
            let after = LogSoftmax::new(&logits[(at - start) * vocab..][..vocab]);
            let weight = f64::from(row.weights[at + 1]);
            found.log_prob += weight * f64::from(after.of(row.tokens[at + 1]));
            found.tokens += weight;
        }
    }
    found
}

impl Likelihood {
    /// Of a pair, from those of its preferred and its other answer.
    pub fn of_pair(preferred: Likelihood, other: Likelihood) -> Likelihood {
        Likelihood {
            margin: Some(preferred.log_prob - other.log_prob),
            ..preferred
        }
    }
}

/// Mean log-probability of a token; 0 without tokens.
pub(crate) fn answer_logprob<'a>(all: impl Iterator<Item = &'a Likelihood>) -> f64 {
    let (sum, tokens) = all.fold((0.0, 0.0), |(sum, tokens), it| {
        (sum + it.log_prob, tokens + it.tokens)
    });
    if tokens > 0.0 { sum / tokens } else { 0.0 }
}

/// Mean margin of pairs; 0 without pairs.
pub(crate) fn preference_margin<'a>(all: impl Iterator<Item = &'a Likelihood>) -> f64 {
    let (mut sum, mut pairs) = (0.0, 0usize);
    for margin in all.filter_map(|it| it.margin) {
        sum += margin;
        pairs += 1;
    }
    sum / pairs.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// Against the logits of the whole sequence at once, and the sum by hand.
    #[test]
    fn a_sequence_is_as_likely_however_it_is_cut() {
        let (model, pool) = (testing::model(), Pool::new(2));
        let text = "The camera is great, but the battery is poor. ".repeat(8);
        let mut tokens = model.tokenizer.encode(&text);
        tokens.truncate(model.config.context.min(CHUNK_TOKENS + 40));
        assert!(tokens.len() > CHUNK_TOKENS, "more than one chunk");
        let mut weights = vec![0.0; tokens.len()];
        weights[CHUNK_TOKENS - 3..].fill(1.0);
        weights[CHUNK_TOKENS + 5] = 0.5;
        let row = Weighed {
            tokens: &tokens,
            weights: &weights,
        };
        let found = likelihood((&model, &pool, None), row);

        let (mut cache, mut scratch) = (KvCache::new(&model.config), Scratch::default());
        let mut whole = [Chunk {
            cache: &mut cache,
            tokens: &tokens,
            logits: Logits::Each,
        }];
        let logits = forward(&model, &pool, None, &mut whole, &mut scratch);
        let vocab = logits.len() / tokens.len();
        let mut expected = 0.0;
        for at in 1..tokens.len() {
            let row = &logits[(at - 1) * vocab..][..vocab];
            let sum: f64 = row.iter().map(|it| f64::from(*it).exp()).sum();
            let log_prob = f64::from(row[tokens[at] as usize]) - sum.ln();
            expected += f64::from(weights[at]) * log_prob;
        }
        assert!(
            (found.log_prob - expected).abs() < 1e-3,
            "{found:?} and {expected}"
        );
        let counted: f64 = weights.iter().map(|it| f64::from(*it)).sum();
        assert!((found.tokens - counted).abs() < 1e-9);
    }

    #[test]
    fn means_are_over_tokens_and_over_pairs() {
        let of = |log_prob, tokens, margin| Likelihood {
            log_prob,
            tokens,
            margin,
        };
        let all = [of(-2.0, 1.0, Some(3.0)), of(-1.0, 2.0, Some(-1.0))];
        assert_eq!(answer_logprob(all.iter()), -1.0);
        assert_eq!(preference_margin(all.iter()), 1.0);
        assert_eq!(
            (answer_logprob([].iter()), preference_margin([].iter())),
            (0.0, 0.0)
        );
        let pair = Likelihood::of_pair(all[1], all[0]);
        assert_eq!((pair.margin, pair.tokens), (Some(1.0), 2.0));
    }
}
