//! A threshold: one demand on one metric of the model.
//!
//! It is either a floor (`at_least`) or a comparison (`above`), on all records or on slices of them.
//! One that is neither or both is refused while reading, so that `check` has no case to guess about.

use serde::{Deserialize, Serialize};

use crate::policy::PolicyError;

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
    /// On which part of the records; on all if absent.
    pub slice: Option<SliceRule>,
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

/// A part of the records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SliceRule {
    /// The slicing key of the report.
    pub by: String,
    /// Which of its values.
    pub which: Slices,
    /// The fewest records a slice must have: a named one with fewer fails, and `each` passes over
    /// smaller ones but fails where none is left.
    pub records_min: u64,
}

/// Which slices of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slices {
    /// The one of this value.
    Value(String),
    /// Every one; the worst decides.
    Each,
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
    #[serde(default, skip_serializing_if = "Option::is_none")]
    slice: Option<WrittenSlice>,
}

/// A slice as it stands in pack.yaml.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSlice {
    by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    each: bool,
    #[serde(default = "one")]
    records_min: u64,
}

fn one() -> u64 {
    1
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
        let slice = match written.slice {
            None => None,
            Some(_) if written.bound != Bound::Value || rule == Rule::Above(Reference::Base) => {
                return Err(PolicyError::SliceKind { metric });
            }
            Some(slice) => Some(slice.read().ok_or_else(|| PolicyError::SliceValue {
                metric: metric.clone(),
            })?),
        };
        Ok(Self {
            metric,
            rule,
            bound: written.bound,
            slice,
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
            slice: threshold.slice.map(WrittenSlice::from),
        }
    }
}

impl WrittenSlice {
    fn read(self) -> Option<SliceRule> {
        let which = match (self.value, self.each) {
            (Some(value), false) => Slices::Value(value),
            (None, true) => Slices::Each,
            _ => return None,
        };
        Some(SliceRule {
            by: self.by,
            which,
            records_min: self.records_min,
        })
    }
}

impl From<SliceRule> for WrittenSlice {
    fn from(slice: SliceRule) -> Self {
        let (value, each) = match slice.which {
            Slices::Value(value) => (Some(value), false),
            Slices::Each => (None, true),
        };
        Self {
            by: slice.by,
            value,
            each,
            records_min: slice.records_min,
        }
    }
}
