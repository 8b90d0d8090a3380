//! How likely the model held the tokens of a prompt and of its answer.
//!
//! Log-probabilities are of the distribution that the model gives, before temperature, penalties, biases
//! and constraints, as OpenAI and vLLM tell them. The arithmetic is the engine's ([`LogSoftmax`]).

use std::sync::OnceLock;

use lathe_engine::LogSoftmax;
use lathe_kernel::Pool;

/// Of which tokens the log-probabilities are told, and beside each how many of the likeliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wanted {
    /// Of the prompt's tokens but the first.
    pub prompt: Option<usize>,
    /// Of every token of the answer, the end token included.
    pub answer: Option<usize>,
}

/// One token and what the model held for likely in its place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TokenScore {
    /// The token that stands there.
    pub token: u32,
    /// Its log-probability; None for a prompt's first token, before which there is nothing.
    pub log_prob: Option<f32>,
    /// The likeliest tokens, the likeliest first.
    pub likeliest: Vec<(u32, f32)>,
    /// Characters of the answer's text before it; of a prompt's tokens it is 0.
    pub offset_chars: usize,
}

impl TokenScore {
    /// A token at the beginning of everything.
    pub(crate) fn first(token: u32) -> TokenScore {
        TokenScore {
            token,
            log_prob: None,
            likeliest: Vec::new(),
            offset_chars: 0,
        }
    }

    /// `token` after the logits of one row, with the `count` likeliest.
    pub(crate) fn after(logits: &[f32], token: u32, count: usize) -> TokenScore {
        let row = LogSoftmax::new(logits);
        TokenScore {
            token,
            log_prob: Some(row.of(token)),
            likeliest: row.likeliest(count),
            offset_chars: 0,
        }
    }
}

/// The scores of `tokens`, each after its row of `logits`, `[tokens.len(), vocab]`.
pub(crate) fn after_rows(
    pool: &Pool,
    logits: &[f32],
    tokens: &[u32],
    count: usize,
) -> Vec<TokenScore> {
    let vocab = logits.len() / tokens.len().max(1);
    let found: Vec<OnceLock<TokenScore>> = tokens.iter().map(|_| OnceLock::new()).collect();
    pool.run(tokens.len(), &|at| {
        let row = &logits[at * vocab..][..vocab];
        found[at].get_or_init(|| TokenScore::after(row, tokens[at], count));
    });
    let scores = found.into_iter().map(OnceLock::into_inner);
    scores.map(|it| it.expect("every task has run")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_the_scores_of_each_alone_at_any_number_of_threads() {
        let logits: Vec<f32> = (0..60).map(|at| (at % 7) as f32 / 2.0).collect();
        let tokens = [3, 0, 9, 1, 1, 4];
        let alone: Vec<TokenScore> = logits
            .chunks_exact(10)
            .zip(tokens)
            .map(|(row, token)| TokenScore::after(row, token, 2))
            .collect();
        for threads in [1, 3] {
            let found = after_rows(&Pool::new(threads), &logits, &tokens, 2);
            assert_eq!(found, alone);
        }
        assert_eq!(after_rows(&Pool::new(1), &[], &[], 2), []);
    }
}
