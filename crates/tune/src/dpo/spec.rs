//! How an adapter is tuned on pairs.

use lathe_engine::LoraSpec;
use lathe_engine::adapter::TARGETS;
use serde::{Deserialize, Serialize};

use crate::TuneError;
use crate::adamw::AdamWSpec;
use crate::schedule::Shape;
use crate::spec::{BATCH_RECORDS_MAX, EPOCHS_MAX, RANK_MAX};

/// The constants of a run. Every key has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DpoSpec {
    /// Inner width of the adapter's matrices.
    pub rank: usize,
    /// The adapter's term is scaled by alpha / rank.
    pub alpha: f32,
    /// The linear layers that are adapted; all seven by default.
    pub targets: Vec<String>,
    /// β: how dear it is to leave the base model.
    pub beta: f64,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate after the warm-up.
    pub schedule: Shape,
    /// Share of the steps that warm up, 0 to 1.
    pub warmup_ratio: f64,
    /// Passes over the pairs; a fraction is allowed.
    pub epochs: f64,
    /// Pairs in one step of the optimizer.
    pub batch_pairs: usize,
    /// Pairs whose longer sequence has more tokens are left out.
    pub tokens_max: usize,
    /// Most token rows computed at once: bounds memory, not the result.
    pub rows_max: usize,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Fixes the adapter's initial values and the order of the pairs.
    pub seed: u64,
}

impl Default for DpoSpec {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            targets: TARGETS.map(str::to_owned).to_vec(),
            beta: 0.1,
            learning_rate: 5e-5,
            schedule: Shape::Cosine,
            warmup_ratio: 0.1,
            epochs: 1.0,
            batch_pairs: 8,
            tokens_max: 1024,
            rows_max: 2048,
            max_grad_norm: 1.0,
            seed: 1,
        }
    }
}

impl DpoSpec {
    /// Refuses values that no run can use. Target names are the engine's to check.
    ///
    /// # Errors
    /// [`TuneError::Spec`] that names the first bad key and its range.
    pub fn check(&self) -> Result<(), TuneError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let rules = [
            (
                "rank",
                (1..=RANK_MAX).contains(&self.rank),
                "must be 1 to 1024",
            ),
            ("alpha", positive(f64::from(self.alpha)), "must be positive"),
            ("beta", positive(self.beta), "must be positive"),
            (
                "learning_rate",
                positive(self.learning_rate),
                "must be positive",
            ),
            (
                "warmup_ratio",
                (0.0..=1.0).contains(&self.warmup_ratio),
                "must be 0 to 1",
            ),
            (
                "epochs",
                positive(self.epochs) && self.epochs <= EPOCHS_MAX,
                "must be above 0 and at most 1000",
            ),
            (
                "batch_pairs",
                (1..=BATCH_RECORDS_MAX).contains(&self.batch_pairs),
                "must be 1 to 65536",
            ),
            ("tokens_max", self.tokens_max >= 2, "must be at least 2"),
            ("rows_max", self.rows_max >= 1, "must be at least 1"),
            (
                "max_grad_norm",
                positive(self.max_grad_norm),
                "must be positive",
            ),
        ];
        match rules.into_iter().find(|(_, holds, _)| !holds) {
            Some((key, _, reason)) => Err(TuneError::Spec {
                stage: "dpo",
                key,
                reason: reason.to_owned(),
            }),
            None => Ok(()),
        }
    }

    /// The adapter this spec asks for.
    pub fn lora(&self) -> LoraSpec {
        LoraSpec {
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
        }
    }

    /// The optimizer's constants.
    pub fn adamw(&self) -> AdamWSpec {
        AdamWSpec::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_bad_values_are_named() {
        DpoSpec::default().check().expect("the default");
        type Change = fn(&mut DpoSpec);
        let bad: [(&str, Change); 4] = [
            ("beta", |spec| spec.beta = 0.0),
            ("learning_rate", |spec| spec.learning_rate = f64::NAN),
            ("batch_pairs", |spec| spec.batch_pairs = 0),
            ("rows_max", |spec| spec.rows_max = 0),
        ];
        for (key, change) in bad {
            let mut spec = DpoSpec::default();
            change(&mut spec);
            let error = spec.check().expect_err(key).to_string();
            assert!(
                error.starts_with(&format!("tune.dpo.{key}: must be")),
                "{error}"
            );
        }
    }
}
