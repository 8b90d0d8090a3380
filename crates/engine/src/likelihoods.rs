//! What another form of a model costs on text that is there: how likely it holds what stands there, and
//! how far its distributions are from the first form's.
//!
//! ```text
//! nll        −ln p(token)            its mean over the targets, by their weights, in nats
//! perplexity e^nll
//! mean_kl    Σ p·ln(p / q)           p the first form's, q the other's, likewise
//! ```
//! Beside [`crate::agreement`], which leads a model along its own answers, this needs no answers and
//! says what is lost on the very text a model is for.

use crate::adapter::Adapter;
use crate::agreement::{divergence, log_sum};
use crate::batch::Batch;
use crate::config::Config;
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::sampling::argmax;
use crate::train::Trainer;
use lathe_kernel::Pool;
use std::sync::OnceLock;

/// The logits that are kept at once, in bytes.
const LOGITS_BYTES_MAX: usize = 1 << 30;

/// What a model holds for likely at the targets of some batches.
pub struct Likelihoods {
    batches: Vec<Batch>,
    /// Of every batch, `[targets, vocab]`.
    logits: Vec<Vec<f32>>,
}

/// How a form of a model does at the targets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fidelity {
    /// Mean negative log-likelihood of the targets, in nats.
    pub nll: f64,
    /// Mean of KL(first‖this), in nats.
    pub mean_kl: f64,
    /// Largest of them.
    pub largest_kl: f64,
    /// Share of targets where both hold the same token for the likeliest.
    pub same_tokens: f64,
}

impl Likelihoods {
    /// How many targets may be asked for on a model's vocabulary.
    pub fn targets_max(config: &Config) -> usize {
        LOGITS_BYTES_MAX / (size_of::<f32>() * config.vocab.max(1))
    }

    /// Asks the first form.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse a batch, or the adapter was not made for the model's config.
    pub fn of(model: &Model, pool: &Pool, adapter: Option<&Adapter>, batches: Vec<Batch>) -> Self {
        let adapter = adapter.map(|it| PackedAdapter::new(model, it));
        let mut trainer = Trainer::new(model, pool);
        let logits = batches.iter();
        let logits = logits.map(|batch| trainer.logits(adapter.as_ref(), batch));
        Self {
            logits: logits.collect(),
            batches,
        }
    }

    /// How the first form itself does.
    pub fn own(&self, pool: &Pool) -> Fidelity {
        let mut sums = Sums::default();
        for (batch, logits) in self.batches.iter().zip(&self.logits) {
            sums.add(pool, batch, (logits, logits));
        }
        sums.means()
    }

    /// How another form does, which has the same tokens.
    ///
    /// # Panics
    /// If it has another vocabulary, or [`Batch::check`] would refuse a batch.
    pub fn of_other(&self, model: &Model, pool: &Pool) -> Fidelity {
        let (mut trainer, mut sums) = (Trainer::new(model, pool), Sums::default());
        for (batch, logits) in self.batches.iter().zip(&self.logits) {
            let other = trainer.logits(None, batch);
            assert_eq!(other.len(), logits.len(), "one vocabulary");
            sums.add(pool, batch, (logits, &other));
        }
        sums.means()
    }
}

/// Sums over targets, each times its weight.
#[derive(Default)]
struct Sums {
    weight: f64,
    nll: f64,
    kl: f64,
    largest_kl: f64,
    same: f64,
}

impl Sums {
    fn add(&mut self, pool: &Pool, batch: &Batch, (first, other): (&[f32], &[f32])) {
        let targets = &batch.targets;
        let vocab = first.len() / targets.len().max(1);
        let found: Vec<OnceLock<(f64, f64, bool)>> =
            targets.iter().map(|_| OnceLock::new()).collect();
        pool.run(targets.len(), &|at| {
            let [p, q] = [first, other].map(|it| &it[at * vocab..][..vocab]);
            let token = targets[at].token as usize;
            let nll = log_sum(q) - f64::from(q[token]);
            let measured = (nll, divergence(p, q), argmax(p) == argmax(q));
            found[at].set(measured).expect("a task runs once");
        });
        for (target, found) in targets.iter().zip(found) {
            let (nll, kl, same) = found.into_inner().expect("every task has run");
            let weight = f64::from(target.weight);
            self.weight += weight;
            self.nll += weight * nll;
            self.kl += weight * kl;
            // A NaN stays one.
            self.largest_kl = if kl > self.largest_kl || kl.is_nan() {
                kl
            } else {
                self.largest_kl
            };
            self.same += if same { weight } else { 0.0 };
        }
    }

    fn means(&self) -> Fidelity {
        let mean = |sum: f64| {
            if self.weight == 0.0 {
                0.0
            } else {
                sum / self.weight
            }
        };
        Fidelity {
            nll: mean(self.nll),
            mean_kl: mean(self.kl),
            largest_kl: self.largest_kl,
            same_tokens: mean(self.same),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LoadOptions;
    use crate::batch::{Segment, Target};
    use std::path::Path;

    fn load(name: &str) -> Model {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        Model::load(&path.join(name), LoadOptions::default()).expect("the fixture loads")
    }

    fn batch(tokens: &[u32]) -> Batch {
        let target = |(row, token): (usize, &u32)| Target {
            row: row as u32,
            token: *token,
            weight: 1.0 + row as f32,
        };
        Batch {
            tokens: tokens.to_vec(),
            segments: vec![Segment {
                start: 0,
                len: tokens.len(),
                prefix: None,
            }],
            targets: tokens[1..].iter().enumerate().map(target).collect(),
        }
    }

    #[test]
    fn a_form_loses_nothing_against_itself_and_its_likelihood_is_the_trainer_s() {
        let (model, pool) = (load("tiny-model"), Pool::new(2));
        let batches = vec![batch(&[5, 6, 7, 8]), batch(&[9, 4, 30])];
        let first = Likelihoods::of(&model, &pool, None, batches.clone());
        let own = first.own(&pool);
        assert_eq!(
            (own.mean_kl, own.largest_kl, own.same_tokens),
            (0.0, 0.0, 1.0)
        );
        assert_eq!(first.of_other(&model, &pool), own);
        let mut sum = crate::LossSum::default();
        let mut trainer = Trainer::new(&model, &pool);
        batches.iter().for_each(|it| sum += trainer.loss(None, it));
        assert!((own.nll - sum.mean()).abs() < 1e-5, "{own:?} {sum:?}");
    }

    #[test]
    fn another_form_is_some_way_off_whatever_the_threads() {
        let (model, other) = (load("tiny-model"), load("tiny-qwen3"));
        let first = Likelihoods::of(&model, &Pool::new(1), None, vec![batch(&[5, 6, 7, 8, 9])]);
        let found = first.of_other(&other, &Pool::new(1));
        assert!(
            found.mean_kl > 0.1 && found.largest_kl >= found.mean_kl,
            "{found:?}"
        );
        assert!(found.same_tokens < 1.0, "{found:?}");
        assert_eq!(first.of_other(&other, &Pool::new(3)), found);
    }
}
