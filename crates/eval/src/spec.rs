//! The `evaluate` section of a pack.

use serde::{Deserialize, Serialize};

use crate::EvalError;
use crate::challengers::{LinearNgramsSpec, PublishedSpec};

/// Most resamples accepted.
pub const RESAMPLES_MAX: usize = 100_000;
/// Longest answer accepted, in tokens.
pub const ANSWER_TOKENS_MAX: usize = 4096;

/// How an order is evaluated. Every key has a default.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateSpec {
    /// Records of the test split that the base model answers; a fixed subset.
    pub base_records: usize,
    /// Longest answer in tokens.
    pub tokens_max: usize,
    /// Answers computed together; does not change them.
    pub batch_max: usize,
    /// Record fields whose values slice the report.
    pub slices: Vec<String>,
    /// What the tuned model is held against, beside the base.
    pub challengers: Vec<ChallengerSpec>,
    /// How intervals are made.
    pub bootstrap: BootstrapSpec,
    /// Worst samples shown.
    pub worst: usize,
}

impl Default for EvaluateSpec {
    fn default() -> Self {
        Self {
            base_records: 200,
            tokens_max: 32,
            batch_max: 32,
            slices: Vec::new(),
            challengers: Vec::new(),
            bootstrap: BootstrapSpec::default(),
            worst: 20,
        }
    }
}

/// How bootstrap intervals are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BootstrapSpec {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the generator.
    pub seed: u64,
}

impl Default for BootstrapSpec {
    fn default() -> Self {
        Self {
            resamples: 2000,
            seed: 1,
        }
    }
}

/// One challenger of a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChallengerSpec {
    /// Ridge regression on word and character n-grams, fitted on the same training split.
    LinearNgrams(LinearNgramsSpec),
    /// A figure that someone else measured, with its source.
    Published(PublishedSpec),
}

impl ChallengerSpec {
    /// Its name in the report.
    pub fn name(&self) -> &str {
        match self {
            Self::LinearNgrams(spec) => &spec.name,
            Self::Published(spec) => &spec.name,
        }
    }
}

impl EvaluateSpec {
    /// Refuses values that no evaluation can use.
    ///
    /// # Errors
    /// [`EvalError::Spec`] that names the first bad key.
    pub fn check(&self) -> Result<(), EvalError> {
        let rules = [
            ("base_records", self.base_records >= 1, "must be at least 1"),
            (
                "tokens_max",
                (1..=ANSWER_TOKENS_MAX).contains(&self.tokens_max),
                "must be 1 to 4096",
            ),
            (
                "batch_max",
                (1..=1024).contains(&self.batch_max),
                "must be 1 to 1024",
            ),
            (
                "bootstrap.resamples",
                (100..=RESAMPLES_MAX).contains(&self.bootstrap.resamples),
                "must be 100 to 100000",
            ),
        ];
        if let Some((key, _, reason)) = rules.into_iter().find(|(_, holds, _)| !holds) {
            return Err(EvalError::spec(key, reason));
        }
        let mut names = vec!["base", "tuned"];
        for challenger in &self.challengers {
            if names.contains(&challenger.name()) {
                let reason = format!("the name {} is taken; give each its own", challenger.name());
                return Err(EvalError::spec("challengers", &reason));
            }
            names.push(challenger.name());
            match challenger {
                ChallengerSpec::LinearNgrams(spec) => spec.check()?,
                ChallengerSpec::Published(spec) => spec.check()?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pack_reads_and_is_checked() {
        let text = r#"{"slices": ["product"], "challengers": [
            {"linear_ngrams": {"text": "sentence"}},
            {"published": {"name": "lexicon", "metrics": {"pearson_r": 0.59}, "source": "a table"}}]}"#;
        let spec: EvaluateSpec = serde_json::from_str(text).expect("reads");
        spec.check().expect("sound");
        let names: Vec<_> = spec.challengers.iter().map(ChallengerSpec::name).collect();
        assert_eq!(names, ["linear_ngrams", "lexicon"]);
    }

    #[test]
    fn bad_values_are_named() {
        let twice = ChallengerSpec::LinearNgrams(LinearNgramsSpec::default());
        let bad = [
            (
                "base_records",
                EvaluateSpec {
                    base_records: 0,
                    ..EvaluateSpec::default()
                },
            ),
            (
                "tokens_max",
                EvaluateSpec {
                    tokens_max: 0,
                    ..EvaluateSpec::default()
                },
            ),
            (
                "challengers",
                EvaluateSpec {
                    challengers: vec![twice.clone(), twice],
                    ..EvaluateSpec::default()
                },
            ),
        ];
        for (key, spec) in bad {
            let error = spec.check().expect_err(key);
            assert!(
                error.to_string().starts_with(&format!("evaluate.{key}: ")),
                "{error}"
            );
        }
    }
}
