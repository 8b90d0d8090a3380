//! How far one form of a model answers like another.
//!
//! The first form answers prompts greedily; the second is led along the same tokens. At each of them
//! both give a distribution over what comes next, and compared are
//! ```text
//! KL(p‖q) = Σ p·ln(p / q)   in nats, its mean over all places
//! the share of places where both hold the same token for the likeliest
//! the prompts along which that is so throughout: both would have given the same answer
//! ```
//! Only what follows the prompt is compared, because only that is ever asked for.

use crate::infer::{Chunk, KvCache, Logits, Scratch, forward};
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::sampling::argmax;
use lathe_kernel::Pool;

/// A model's answers, and what it held for likely at each of their tokens.
pub struct Trace {
    /// For every prompt the tokens of the answer, the one that ends it included.
    pub answers: Vec<Vec<u32>>,
    /// For every prompt the logits of all tokens at each of the answer's.
    logits: Vec<Vec<Vec<f32>>>,
}

/// How far two forms agree.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Mean of KL(first‖second), in nats.
    pub mean_kl: f64,
    /// Largest of them.
    pub largest_kl: f64,
    /// Share of places with the same likeliest token.
    pub same_tokens: f64,
    /// Prompts with the same greedy answer.
    pub same_answers: usize,
    /// Prompts in all.
    pub prompts: usize,
}

impl Trace {
    /// Answers every prompt with at most `tokens_max` tokens, or along `path`, the answers of another
    /// form. An answer ends at one of `stop` or where the context does.
    ///
    /// # Panics
    /// If a prompt is empty, longer than the context, or holds a token the model does not have.
    pub fn of(
        model: &Model,
        pool: &Pool,
        adapter: Option<&PackedAdapter>,
        prompts: &[Vec<u32>],
        tokens_max: usize,
        path: Option<&Trace>,
    ) -> Self {
        let mut walk = Walk {
            model,
            pool,
            adapter,
            tokens_max,
            scratch: Scratch::default(),
        };
        let (mut answers, mut logits) = (Vec::new(), Vec::new());
        for (index, prompt) in prompts.iter().enumerate() {
            let path = path.map(|path| &path.answers[index][..]);
            let (answer, rows) = walk.answer(prompt, path);
            answers.push(answer);
            logits.push(rows);
        }
        Self { answers, logits }
    }

    /// How far `other`, led along this one's answers, agrees.
    ///
    /// # Panics
    /// If `other` was led along other answers.
    pub fn agreement(&self, other: &Self) -> Agreement {
        assert_eq!(self.answers, other.answers, "one path");
        let (mut sum, mut largest, mut same, mut places) = (0.0, 0.0f64, 0usize, 0usize);
        let mut same_answers = 0;
        for (ours, theirs) in self.logits.iter().zip(&other.logits) {
            let before = same;
            for (ours, theirs) in ours.iter().zip(theirs) {
                let kl = divergence(ours, theirs);
                sum += kl;
                largest = largest.max(kl);
                same += usize::from(argmax(ours) == argmax(theirs));
            }
            places += ours.len();
            same_answers += usize::from(same - before == ours.len());
        }
        let places = places.max(1) as f64;
        Agreement {
            mean_kl: sum / places,
            largest_kl: largest,
            same_tokens: same as f64 / places,
            same_answers,
            prompts: self.answers.len(),
        }
    }
}

/// What answers one prompt after another.
struct Walk<'a> {
    model: &'a Model,
    pool: &'a Pool,
    adapter: Option<&'a PackedAdapter>,
    tokens_max: usize,
    scratch: Scratch,
}

impl Walk<'_> {
    /// The answer and the logits at each of its tokens.
    fn answer(&mut self, prompt: &[u32], path: Option<&[u32]>) -> (Vec<u32>, Vec<Vec<f32>>) {
        let config = &self.model.config;
        let room = config.context.saturating_sub(prompt.len()).max(1);
        let len_max = path.map_or(self.tokens_max.min(room), <[u32]>::len);
        let mut cache = KvCache::new(config);
        let (mut answer, mut rows) = (Vec::new(), Vec::new());
        let mut tokens = prompt.to_vec();
        loop {
            let chunk = Chunk {
                cache: &mut cache,
                tokens: &tokens,
                logits: Logits::All,
            };
            let (adapter, scratch) = (self.adapter, &mut self.scratch);
            let row = forward(self.model, self.pool, adapter, &mut [chunk], scratch);
            let token = path.map_or_else(|| argmax(&row), |path| path[answer.len()]);
            rows.push(row);
            answer.push(token);
            let ended = path.is_none() && config.eos.contains(&token);
            if ended || answer.len() >= len_max {
                return (answer, rows);
            }
            tokens = vec![token];
        }
    }
}

/// The logarithm of the sum of e to the power of every logit.
pub(crate) fn log_sum(row: &[f32]) -> f64 {
    let most = f64::from(row.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = row.iter().map(|it| (f64::from(*it) - most).exp()).sum();
    most + sum.ln()
}

/// KL of the distributions that two rows of logits stand for.
pub(crate) fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let (of_p, of_q) = (log_sum(p), log_sum(q));
    let terms = p.iter().zip(q).map(|(p, q)| {
        let (p, q) = (f64::from(*p) - of_p, f64::from(*q) - of_q);
        p.exp() * (p - q)
    });
    let sum: f64 = terms.sum();
    // A divergence is never negative; rounding may be. A NaN stays one.
    if sum < 0.0 { 0.0 } else { sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadOptions;
    use std::path::Path;

    #[test]
    fn a_divergence_is_that_of_the_definition() {
        let logits = |p: &[f64]| p.iter().map(|it| it.ln() as f32 + 3.0).collect::<Vec<_>>();
        let (p, q) = ([0.5, 0.25, 0.25], [0.25, 0.25, 0.5]);
        // 0.5·ln 2 + 0 − 0.25·ln 2
        let expected = 0.25 * std::f64::consts::LN_2;
        let found = divergence(&logits(&p), &logits(&q));
        assert!((found - expected).abs() < 1e-6, "{found}");
        assert!(divergence(&logits(&p), &logits(&p)) < 1e-12);
        assert!(divergence(&[f32::NAN, 0.0], &[0.0, 0.0]).is_nan());
    }

    #[test]
    fn a_model_agrees_with_itself_and_not_with_another() {
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        let load = |name: &str| Model::load(&fixture.join(name), LoadOptions::default());
        let (model, other) = (load("tiny-model"), load("tiny-qwen3"));
        let (model, other) = (model.expect("it loads"), other.expect("it loads"));
        let (pool, prompts) = (Pool::new(2), [vec![5, 6, 7], vec![9]]);
        let first = Trace::of(&model, &pool, None, &prompts, 6, None);
        let again = Trace::of(&model, &pool, None, &prompts, 6, Some(&first));
        let same = first.agreement(&again);
        assert_eq!((same.same_answers, same.same_tokens), (2, 1.0));
        assert_eq!(same.largest_kl, 0.0);
        let led = Trace::of(&other, &pool, None, &prompts, 6, Some(&first));
        let differs = first.agreement(&led);
        assert!(
            differs.same_answers < 2 && differs.mean_kl > 0.1,
            "{differs:?}"
        );
    }
}
