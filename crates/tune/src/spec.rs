//! The `tune.sft` section of a pack.

use lathe_data::ends::Ends;
use lathe_engine::LoraSpec;
use lathe_engine::adapter::TARGETS;
use serde::{Deserialize, Serialize};

use crate::TuneError;
use crate::adamw::AdamWSpec;
use crate::schedule::Shape;
use crate::soft_number::SoftNumber;

/// Largest rank accepted.
pub const RANK_MAX: usize = 1024;
/// Most epochs accepted.
pub const EPOCHS_MAX: u64 = 1000;
/// Most records in a step.
pub const BATCH_RECORDS_MAX: usize = 65_536;

/// The keys that are numbers between two ends.
const BOUNDS: [(&str, Ends); 15] = [
    ("rank", Ends::from(1).to(RANK_MAX as u64)),
    ("alpha", Ends::above(0)),
    ("learning_rate", Ends::above(0)),
    ("warmup_ratio", Ends::from(0).to(1)),
    ("weight_decay", Ends::from(0)),
    ("adam_beta1", Ends::from(0).below(1)),
    ("adam_beta2", Ends::from(0).below(1)),
    ("adam_epsilon", Ends::above(0)),
    ("epochs", Ends::above(0).to(EPOCHS_MAX)),
    ("batch_records", Ends::from(1).to(BATCH_RECORDS_MAX as u64)),
    ("tokens_max", Ends::from(2)),
    ("rows_max", Ends::from(1)),
    ("max_grad_norm", Ends::above(0)),
    ("checkpoint_steps", Ends::from(1)),
    ("checkpoints_kept", Ends::from(1)),
];

/// How an adapter is tuned. Every key has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SftSpec {
    /// Inner width of the adapter's matrices, 1 to [`RANK_MAX`].
    pub rank: usize,
    /// The adapter's term is scaled by alpha / rank.
    pub alpha: f32,
    /// The linear layers that are adapted; all seven by default.
    pub targets: Vec<String>,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Shape of the learning rate after the warm-up.
    pub schedule: Shape,
    /// Share of the steps that warm up, 0 to 1.
    pub warmup_ratio: f64,
    /// Passes over the examples; a fraction is allowed.
    pub epochs: f64,
    /// Records in one step of the optimizer.
    pub batch_records: usize,
    /// Examples over this many tokens are kept out and named.
    pub tokens_max: usize,
    /// Most token rows computed at once: bounds memory, not the result.
    pub rows_max: usize,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Decay of the first moment.
    pub adam_beta1: f64,
    /// Decay of the second moment.
    pub adam_beta2: f64,
    /// Added to AdamW's denominator.
    pub adam_epsilon: f64,
    /// Gradients are scaled down to this global norm.
    pub max_grad_norm: f64,
    /// Fixes the adapter's initial values and the order of the records.
    pub seed: u64,
    /// Steps between checkpoints.
    pub checkpoint_steps: u64,
    /// Checkpoints kept, the newest ones.
    pub checkpoints_kept: usize,
    /// Whether what all prompts begin with is computed once per batch.
    pub prefix_sharing: bool,
    /// A number in the answer whose neighbours count as nearly right; none by default.
    pub soft_number: Option<SoftNumber>,
    /// Whether the lengths of the adapted matrices' rows are learnt apart from their directions
    /// (DoRA, Liu et al. 2024).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub dora: bool,
}

impl Default for SftSpec {
    fn default() -> Self {
        let adam = AdamWSpec::default();
        Self {
            rank: 16,
            alpha: 32.0,
            targets: TARGETS.map(str::to_owned).to_vec(),
            learning_rate: 5e-4,
            schedule: Shape::Cosine,
            warmup_ratio: 0.1,
            epochs: 1.0,
            batch_records: 16,
            tokens_max: 1024,
            rows_max: 1024,
            weight_decay: adam.weight_decay,
            adam_beta1: adam.beta1,
            adam_beta2: adam.beta2,
            adam_epsilon: adam.epsilon,
            max_grad_norm: 1.0,
            seed: 1,
            checkpoint_steps: 50,
            checkpoints_kept: 2,
            prefix_sharing: true,
            soft_number: None,
            dora: false,
        }
    }
}

impl SftSpec {
    /// Between which ends the number at `key` has to lie, where it is one that does.
    pub fn bounds(key: &str) -> Option<Ends> {
        let known = BOUNDS.iter().find(|(known, _)| *known == key);
        known.map(|(_, ends)| *ends)
    }

    /// Refuses values that no run can use. Target names are the engine's to check.
    ///
    /// # Errors
    /// [`TuneError::Spec`] that names the first bad key and what it must be.
    pub fn check(&self) -> Result<(), TuneError> {
        match self.mistakes().next() {
            Some((key, reason)) => Err(TuneError::Spec {
                stage: "sft",
                key,
                reason,
            }),
            None => Ok(()),
        }
    }

    /// All the values that no run can use: each key, and what it must be.
    pub fn mistakes(&self) -> impl Iterator<Item = (&'static str, String)> {
        let numbers = self.numbers();
        let beyond = BOUNDS.into_iter().zip(numbers);
        let beyond = beyond.filter(|((_, ends), number)| !ends.holds(*number));
        let beyond = beyond.map(|((key, ends), _)| (key, format!("must be {ends}")));
        let others = self.other_rules().into_iter();
        let others = others.filter_map(|(key, holds, reason)| (!holds).then_some((key, reason)));
        beyond.chain(others.map(|(key, reason)| (key, reason.to_owned())))
    }

    /// The numbers that have [`BOUNDS`], in their order.
    fn numbers(&self) -> [f64; BOUNDS.len()] {
        [
            self.rank as f64,
            f64::from(self.alpha),
            self.learning_rate,
            self.warmup_ratio,
            self.weight_decay,
            self.adam_beta1,
            self.adam_beta2,
            self.adam_epsilon,
            self.epochs,
            self.batch_records as f64,
            self.tokens_max as f64,
            self.rows_max as f64,
            self.max_grad_norm,
            self.checkpoint_steps as f64,
            self.checkpoints_kept as f64,
        ]
    }

    /// What is no number between two ends.
    fn other_rules(&self) -> [Rule; 2] {
        let soft_number = self.soft_number.as_ref();
        [
            (
                "targets",
                !self.targets.is_empty(),
                "must name at least one linear layer",
            ),
            (
                "soft_number",
                soft_number.is_none_or(SoftNumber::is_sound),
                "needs spread and step above 0, min below max, at most 10000 numbers",
            ),
        ]
    }

    /// The adapter this spec asks for.
    pub fn lora(&self) -> LoraSpec {
        LoraSpec {
            rank: self.rank,
            alpha: self.alpha,
            targets: self.targets.clone(),
            dora: self.dora,
        }
    }

    /// The optimizer's constants.
    pub fn adamw(&self) -> AdamWSpec {
        AdamWSpec {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            epsilon: self.adam_epsilon,
            weight_decay: self.weight_decay,
        }
    }
}

/// Key, whether it is sound, and what it must be.
type Rule = (&'static str, bool, &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_sound_and_bad_values_are_named() {
        SftSpec::default().check().expect("the default");
        let bad = [
            (
                "rank",
                SftSpec {
                    rank: 0,
                    ..SftSpec::default()
                },
            ),
            (
                "learning_rate",
                SftSpec {
                    learning_rate: f64::NAN,
                    ..SftSpec::default()
                },
            ),
            (
                "epochs",
                SftSpec {
                    epochs: 0.0,
                    ..SftSpec::default()
                },
            ),
            (
                "warmup_ratio",
                SftSpec {
                    warmup_ratio: 1.5,
                    ..SftSpec::default()
                },
            ),
            (
                "adam_beta2",
                SftSpec {
                    adam_beta2: 1.0,
                    ..SftSpec::default()
                },
            ),
        ];
        for (key, spec) in bad {
            let error = spec.check().expect_err(key);
            assert!(
                error
                    .to_string()
                    .starts_with(&format!("tune.sft.{key}: must be")),
                "{error}"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_json::from_str::<SftSpec>(r#"{"learning_rat": 1}"#).expect_err("typo");
        assert!(error.to_string().contains("learning_rate"), "{error}");
    }
}
