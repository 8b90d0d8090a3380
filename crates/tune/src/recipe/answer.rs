//! What an answer is: text as it stands, one or several of a set, or a number.
//!
//! A choice is one token ([`lathe_engine::Choices`]). Where several labels are right, each gets an
//! equal share of the target; where a number is meant, the numbers of its grid are the labels and
//! the target is spread over the neighbours of the right one:
//!
//! ```text
//! target(v) ∝ exp(−½ ((v − right) / spread)²)          the answer is read as Σ v · p(v)
//! ```

use std::path::PathBuf;

use lathe_engine::Choices;
use serde::{Deserialize, Serialize};

use crate::TuneError;
use crate::soft_number::{NUMBERS_MAX, Soft, SoftNumber};

/// Shares of a target below this are dropped.
const SHARE_MIN: f64 = 1e-3;
/// Name of [`Reading`]'s file in the output folder.
pub const READING: &str = "choices.json";

/// The `answer` section of a recipe.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum AnswerSpec {
    /// The text as it stands.
    #[default]
    Text,
    /// Labels.
    Choice(ChoiceSpec),
    /// A number on a grid.
    Number(NumberSpec),
}

/// Answers that are labels.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChoiceSpec {
    /// The labels, or a file in `dataset_dir` with one a line; what the training file has if absent.
    pub labels: Option<Labels>,
    /// Whether several may be right at once.
    pub multiple: bool,
    /// What stands between several labels of a cell.
    pub separator: Option<String>,
    /// Whether cells hold places in `labels`, counted from 0, instead of labels.
    pub ids: bool,
    /// The part of the target that all labels share alike, from 0 to below 1 (label smoothing,
    /// Szegedy et al. 2016, section 7): what keeps a model that has seen few records from being sure.
    #[serde(skip_serializing_if = "is_zero")]
    pub smoothing: f64,
}

fn is_zero(smoothing: &f64) -> bool {
    *smoothing == 0.0
}

/// Where labels are named.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Labels {
    /// Here.
    List(Vec<String>),
    /// In a file.
    File(PathBuf),
}

/// Answers that are numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberSpec {
    /// Smallest number.
    pub min: f64,
    /// Largest number.
    pub max: f64,
    /// Distance between numbers that are told apart.
    pub step: f64,
    /// Standard deviation of the target, in the number's unit.
    pub spread: f64,
}

impl NumberSpec {
    /// The numbers of the grid.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for a grid that is none or has more than [`NUMBERS_MAX`] numbers.
    pub fn grid(&self) -> Result<Vec<f64>, TuneError> {
        let soft = SoftNumber {
            pointer: String::new(),
            spread: self.spread,
            min: self.min,
            max: self.max,
            step: self.step,
        };
        if !soft.is_sound() {
            return Err(TuneError::Recipe {
                key: "answer".to_owned(),
                reason: format!(
                    "needs step and spread above 0, min below max, at most {NUMBERS_MAX} numbers"
                ),
            });
        }
        Ok(soft.numbers().collect())
    }
}

/// What the right answer to a question is.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// Places of the right labels.
    Labels(Vec<usize>),
    /// The right number.
    Number(f64),
}

/// How the output folder's model is asked and its answer read; its `choices.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// What an answer is.
    pub answer: AnswerSpec,
    /// The labels and their tokens.
    pub choices: Choices,
    /// What each label's probability must reach, where several may be right; set on the records
    /// that `val_size` or `eval_file` held back.
    #[serde(default)]
    pub thresholds: Option<Vec<f32>>,
    /// The probability from which an answer needs no person, set on the same records.
    #[serde(default)]
    pub assured: Option<Assured>,
    /// The system message.
    #[serde(default)]
    pub system: Option<String>,
    /// The template's name, where the base model has none of its own.
    #[serde(default)]
    pub template: Option<String>,
}

/// From which probability on answers are right as often as asked.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assured {
    /// The share of right answers asked for.
    pub accuracy: f64,
    /// The least probability.
    pub probability: f32,
}

impl Reading {
    /// The numbers that the labels stand for, where they are numbers.
    ///
    /// # Errors
    /// As [`NumberSpec::grid`].
    pub fn grid(&self) -> Result<Option<Vec<f64>>, TuneError> {
        match &self.answer {
            AnswerSpec::Number(spec) => spec.grid().map(Some),
            _ => Ok(None),
        }
    }

    /// The tokens of a right answer with their shares, which sum to 1.
    ///
    /// # Errors
    /// As [`NumberSpec::grid`].
    pub fn target(&self, truth: &Truth) -> Result<Soft, TuneError> {
        let tokens = &self.choices.tokens;
        match (truth, &self.answer) {
            (Truth::Number(right), AnswerSpec::Number(spec)) => {
                let likeness = |v: f64| (-0.5 * ((v - right) / spec.spread).powi(2)).exp();
                let shares: Vec<f64> = spec.grid()?.into_iter().map(likeness).collect();
                Ok(normalised(tokens, &shares, SHARE_MIN))
            }
            (Truth::Labels(places), _) => {
                let smoothing = match &self.answer {
                    AnswerSpec::Choice(spec) => spec.smoothing,
                    AnswerSpec::Number(_) | AnswerSpec::Text => 0.0,
                };
                let mut shares = vec![smoothing / tokens.len() as f64; tokens.len()];
                let right = (1.0 - smoothing) / places.len() as f64;
                places.iter().for_each(|&place| shares[place] += right);
                Ok(normalised(tokens, &shares, 0.0))
            }
            (Truth::Number(_), _) => unreachable!("a number's truth comes with a number's answer"),
        }
    }
}

/// Shares that sum to 1, without those that are nothing or below `least`.
fn normalised(tokens: &[u32], shares: &[f64], least: f64) -> Soft {
    let sum: f64 = shares.iter().sum();
    let kept = |share: &f64| *share > 0.0 && share / sum >= least;
    let kept_sum: f64 = shares.iter().filter(|share| kept(share)).sum();
    let pairs = tokens.iter().zip(shares);
    pairs
        .filter(|(_, share)| kept(share))
        .map(|(&token, share)| (token, (share / kept_sum) as f32))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(answer: AnswerSpec, labels: usize) -> Reading {
        Reading {
            answer,
            choices: Choices {
                labels: (0..labels).map(|at| at.to_string()).collect(),
                tokens: (0..labels as u32).map(|at| 100 + at).collect(),
            },
            thresholds: None,
            assured: None,
            system: None,
            template: None,
        }
    }

    #[test]
    fn several_right_labels_share_the_target() {
        let reading = reading(AnswerSpec::Choice(ChoiceSpec::default()), 3);
        let target = reading
            .target(&Truth::Labels(vec![0, 2]))
            .expect("a target");
        assert_eq!(target, [(100, 0.5), (102, 0.5)]);
        let smooth = ChoiceSpec {
            smoothing: 0.3,
            ..ChoiceSpec::default()
        };
        let reading = self::reading(AnswerSpec::Choice(smooth), 3);
        let target = reading.target(&Truth::Labels(vec![1])).expect("a target");
        let expected = [(100, 0.1), (101, 0.8), (102, 0.1)];
        for ((token, share), (right, wanted)) in target.into_iter().zip(expected) {
            assert!(token == right && (share - wanted).abs() < 1e-6, "{share}");
        }
    }

    #[test]
    fn a_numbers_target_is_spread_around_it_and_keeps_its_mean() {
        let spec = NumberSpec {
            min: -4.0,
            max: 4.0,
            step: 0.5,
            spread: 0.5,
        };
        let grid = spec.grid().expect("a grid");
        assert_eq!((grid.len(), grid[0], grid[16]), (17, -4.0, 4.0));
        let reading = reading(AnswerSpec::Number(spec), 17);
        let target = reading.target(&Truth::Number(1.3)).expect("a target");
        let sum: f32 = target.iter().map(|(_, share)| share).sum();
        assert!((sum - 1.0).abs() < 1e-6);
        let value = |token: u32| grid[token as usize - 100];
        let mean: f64 = target
            .iter()
            .map(|&(t, share)| value(t) * f64::from(share))
            .sum();
        assert!((mean - 1.3).abs() < 0.01, "{mean}");
    }

    #[test]
    fn a_grid_that_is_none_is_refused() {
        let spec = |min, max, step| NumberSpec {
            min,
            max,
            step,
            spread: 1.0,
        };
        for bad in [
            spec(1.0, 1.0, 0.1),
            spec(0.0, 1.0, 0.0),
            spec(0.0, 1e9, 1e-3),
        ] {
            assert!(bad.grid().is_err(), "{bad:?}");
        }
    }
}
