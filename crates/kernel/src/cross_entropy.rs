//! Cross entropy of logits against target tokens, with the gradient in the same pass.
//!
//! With `L = log Σ_j exp(z_j)`, computed as `max + log Σ_j exp(z_j - max)`, a row's loss is
//! `L - z_token` and its gradient `weight · (exp(z_j - L) - [j = token])`. Weighting and summing the
//! losses is the caller's.

use crate::Pool;
use crate::buffer::area;
use crate::parallel::{SharedMut, for_each_rows};
use crate::simd::{self, Kernel, Simd, map_vectors, sum_vectors};

/// For each row of `logits`, `[targets.len(), vocab]`, and its target `(token, weight)`:
/// `losses[row] = -log softmax(logits)[token]`, without the weight, and the row is overwritten with
/// the gradient `weight · (softmax(logits) - onehot(token))`.
///
/// # Panics
/// If the lengths do not fit, or a token is not below `vocab`.
pub fn forward_backward(
    pool: &Pool,
    logits: &mut [f32],
    vocab: usize,
    targets: &[(u32, f32)],
    losses: &mut [f32],
) {
    let rows = targets.len();
    assert!(
        rows == 0 || vocab > 0,
        "logits of a vocabulary were expected"
    );
    for_each_rows(
        pool,
        rows,
        [(logits, vocab), (losses, 1)],
        |run, [logits, losses]| {
            for ((row, loss), &(token, weight)) in logits
                .chunks_exact_mut(vocab.max(1))
                .zip(losses)
                .zip(&targets[run])
            {
                let token = check(token, vocab);
                let log_sum = simd::vectorize(pool.isa(), LogSum(row));
                *loss = log_sum - row[token];
                simd::vectorize(
                    pool.isa(),
                    Softmax {
                        row,
                        log_sum,
                        weight,
                    },
                );
                row[token] -= weight;
            }
        },
    );
}

/// The losses of [`forward_backward`] alone; `logits` stay as they are.
///
/// # Panics
/// If the lengths do not fit, or a token is not below `vocab`.
pub fn forward(pool: &Pool, logits: &[f32], vocab: usize, tokens: &[u32], losses: &mut [f32]) {
    assert_eq!(
        logits.len(),
        area(tokens.len(), vocab),
        "logits of [{}, {vocab}] were expected",
        tokens.len()
    );
    assert_eq!(
        losses.len(),
        tokens.len(),
        "one loss per token was expected"
    );
    let losses = SharedMut::new(losses);
    pool.run(tokens.len(), &|row| {
        let token = check(tokens[row], vocab);
        let logits = &logits[row * vocab..(row + 1) * vocab];
        let log_sum = simd::vectorize(pool.isa(), LogSum(logits));
        // SAFETY: each task writes the loss of its own row.
        let loss = unsafe { losses.slice(row..row + 1) };
        loss[0] = log_sum - logits[token];
    });
}

/// Replaces every row of `logits`, `[rows, vocab]`, by its log softmax.
///
/// # Panics
/// If `logits` is not whole rows of `vocab`.
pub fn log_softmax(pool: &Pool, logits: &mut [f32], vocab: usize) {
    assert!(
        vocab > 0 && logits.len().is_multiple_of(vocab),
        "logits are not rows of {vocab}"
    );
    for_each_rows(
        pool,
        logits.len() / vocab,
        [(logits, vocab)],
        |_, [logits]| {
            for row in logits.chunks_exact_mut(vocab) {
                let log_sum = simd::vectorize(pool.isa(), LogSum(row));
                row.iter_mut().for_each(|logit| *logit -= log_sum);
            }
        },
    );
}

fn check(token: u32, vocab: usize) -> usize {
    let token = token as usize;
    assert!(
        token < vocab,
        "token {token} is not below the vocabulary size {vocab}"
    );
    token
}

/// `log Σ exp(row)`
struct LogSum<'a>(&'a [f32]);

impl Kernel for LogSum<'_> {
    type Output = f32;

    #[inline(always)]
    fn run<S: Simd>(self, s: S) -> f32 {
        let max = simd::max(s, self.0);
        let shift = s.splat(max);
        // The last, partial vector is summed alone: its padding is no zero after exp.
        let (whole, rest) = self.0.split_at(self.0.len() - self.0.len() % S::LANES);
        let whole = sum_vectors!(s, [z in whole] => simd::exp(s, s.sub(z, shift)));
        let rest: f32 = rest.iter().map(|z| (z - max).exp()).sum();
        max + (whole + rest).ln()
    }
}

/// `row = weight · exp(row - log_sum)`
struct Softmax<'a> {
    row: &'a mut [f32],
    log_sum: f32,
    weight: f32,
}

impl Kernel for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (log_sum, weight) = (s.splat(self.log_sum), s.splat(self.weight));
        map_vectors!(s, z in self.row, [] => s.mul(weight, simd::exp(s, s.sub(z, log_sum))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, assert_is_gradient, assert_thread_count_is_invisible, for_each_isa, random,
        shapes,
    };

    /// Rows and words.
    const EDGES: [(usize, usize); 5] = [(0, 3), (1, 1), (1, 2), (3, 37), (2, 1000)];

    fn logits(rows: usize, vocab: usize) -> Vec<f32> {
        random(1, rows * vocab).iter().map(|z| z * 8.0).collect()
    }

    fn targets(rows: usize, vocab: usize) -> Vec<(u32, f32)> {
        (0..rows)
            .map(|row| ((row * 31 % vocab) as u32, 0.25 + row as f32))
            .collect()
    }

    fn reference(logits: &[f32], vocab: usize, targets: &[(u32, f32)]) -> Vec<f64> {
        let loss = |(row, target): (&[f32], &(u32, f32))| {
            let sum: f64 = row.iter().map(|z| f64::from(*z).exp()).sum();
            sum.ln() - f64::from(row[target.0 as usize])
        };
        logits.chunks_exact(vocab).zip(targets).map(loss).collect()
    }

    #[test]
    fn losses_agree_with_the_reference_and_the_rows_become_gradients() {
        for_each_isa(|pool| {
            for (rows, vocab) in shapes(&EDGES, 22, 8, [6, 200]) {
                let (z, targets) = (logits(rows, vocab), targets(rows, vocab));
                let expected: Vec<f32> = reference(&z, vocab, &targets)
                    .iter()
                    .map(|loss| *loss as f32)
                    .collect();
                let (mut gradient, mut losses) = (z.clone(), vec![f32::NAN; rows]);
                forward_backward(pool, &mut gradient, vocab, &targets, &mut losses);
                assert_close(&losses, &expected, 1e-6, "losses");
                let tokens: Vec<u32> = targets.iter().map(|target| target.0).collect();
                let mut alone = vec![f32::NAN; rows];
                forward(pool, &z, vocab, &tokens, &mut alone);
                assert_eq!(alone, losses);
                assert_is_gradient(&z, &gradient, 7, 3e-3, |z| {
                    reference(z, vocab, &targets)
                        .iter()
                        .zip(&targets)
                        .map(|(loss, (_, w))| loss * f64::from(*w))
                        .sum()
                });
            }
        });
    }

    #[test]
    fn log_softmax_agrees_with_the_reference_and_large_logits_do_no_harm() {
        for_each_isa(|pool| {
            for (rows, vocab) in shapes(&EDGES, 27, 8, [6, 200]) {
                // In steps of 2⁻⁸, which are floats up here too.
                let far = |z: &f32| (z * 256.0).round() / 256.0 + 1000.0;
                let near = logits(rows, vocab);
                for z in [near.iter().map(far).collect(), near] {
                    let log_sum = |row: &[f32]| {
                        let top = f64::from(row.iter().copied().fold(f32::MIN, f32::max));
                        let sum: f64 = row.iter().map(|z| (f64::from(*z) - top).exp()).sum();
                        top + sum.ln()
                    };
                    let expected = z.chunks_exact(vocab).flat_map(|row| {
                        let log_sum = log_sum(row);
                        row.iter().map(move |z| (f64::from(*z) - log_sum) as f32)
                    });
                    let expected: Vec<f32> = expected.collect();
                    let mut found = z;
                    log_softmax(pool, &mut found, vocab);
                    // A sum of a thousand is rounded to 6 · 10⁻⁵.
                    assert_close(&found, &expected, 1e-5, &format!("{rows}x{vocab}"));
                }
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        for (rows, vocab) in [(1, 40), (20, 3001)] {
            let targets = targets(rows, vocab);
            let tokens: Vec<u32> = targets.iter().map(|target| target.0).collect();
            assert_thread_count_is_invisible(|pool| {
                let z = logits(rows, vocab);
                let (mut gradient, mut losses) = (z.clone(), vec![0.0; rows]);
                forward_backward(pool, &mut gradient, vocab, &targets, &mut losses);
                let mut alone = vec![0.0; rows];
                forward(pool, &z, vocab, &tokens, &mut alone);
                let mut logarithms = z;
                log_softmax(pool, &mut logarithms, vocab);
                [gradient, losses, alone, logarithms].concat()
            });
        }
    }

    #[test]
    #[should_panic(expected = "token 5 is not below the vocabulary size 5")]
    fn a_token_past_the_vocabulary_is_refused() {
        forward_backward(&Pool::new(1), &mut [0.0; 5], 5, &[(5, 1.0)], &mut [0.0]);
    }
}
