//! What a pack demands of a report: its thresholds, read strictly.
//!
//! A threshold is either a floor (`at_least`) or a comparison (`above`); one that is neither or
//! both is refused while reading, so that `check` has no case to guess about.

use serde::{Deserialize, Serialize};

/// The thresholds of a pack, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The thresholds in the order of the pack. An empty list admits nothing.
    pub thresholds: Vec<Threshold>,
}

/// One demand on one metric of the tuned model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct Threshold {
    /// Metric name as in the report, for instance `pearson_r`.
    pub metric: String,
    /// What is demanded of it.
    pub rule: Rule,
    /// Which figure of the metric has to satisfy the rule.
    pub bound: Bound,
}

/// The two kinds of demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// The figure is this or more.
    AtLeast(f64),
    /// The figure is strictly above another subject's.
    Above(Reference),
}

/// Whom the tuned model is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// The challenger with the highest value of the metric.
    BestChallenger,
    /// The base model, on the records both were measured on where a paired comparison exists.
    Base,
}

/// Which figure is held against the rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// The value itself.
    #[default]
    Value,
    /// The lower end of the value's own interval.
    Lower,
    /// The lower end of the paired difference; only with `above`.
    PairedLower,
}

/// Why a threshold is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Neither or both of the two kinds.
    #[error("threshold on {metric}: give exactly one of at_least and above")]
    OneKind {
        /// The metric of the threshold.
        metric: String,
    },
    /// A floor that no figure can be compared with.
    #[error("threshold on {metric}: at_least must be a finite number")]
    NotFinite {
        /// The metric of the threshold.
        metric: String,
    },
    /// `paired_lower` compares two subjects, a floor has one.
    #[error(
        "threshold on {metric}: bound paired_lower goes with above, not with at_least; use bound: lower"
    )]
    PairedFloor {
        /// The metric of the threshold.
        metric: String,
    },
}

/// A threshold as it stands in pack.yaml.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    metric: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at_least: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    above: Option<Reference>,
    #[serde(default)]
    bound: Bound,
}

impl TryFrom<Written> for Threshold {
    type Error = PolicyError;

    fn try_from(written: Written) -> Result<Self, PolicyError> {
        let metric = written.metric;
        let rule = match (written.at_least, written.above) {
            (Some(floor), None) if !floor.is_finite() => {
                return Err(PolicyError::NotFinite { metric });
            }
            (Some(_), None) if written.bound == Bound::PairedLower => {
                return Err(PolicyError::PairedFloor { metric });
            }
            (Some(floor), None) => Rule::AtLeast(floor),
            (None, Some(reference)) => Rule::Above(reference),
            _ => return Err(PolicyError::OneKind { metric }),
        };
        Ok(Self {
            metric,
            rule,
            bound: written.bound,
        })
    }
}

impl From<Threshold> for Written {
    fn from(threshold: Threshold) -> Self {
        let (at_least, above) = match threshold.rule {
            Rule::AtLeast(floor) => (Some(floor), None),
            Rule::Above(reference) => (None, Some(reference)),
        };
        Self {
            metric: threshold.metric,
            at_least,
            above,
            bound: threshold.bound,
        }
    }
}
