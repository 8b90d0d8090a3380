//! A figure that someone else measured: shown with its source, without interval, never resampled.

use std::collections::BTreeMap;

use lathe_evidence::report::{Interval, Role, Subject};
use serde::{Deserialize, Serialize};

use crate::EvalError;

/// A published figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedSpec {
    /// Its name in the report.
    pub name: String,
    /// Metric name → figure.
    pub metrics: BTreeMap<String, f64>,
    /// Where the figure comes from: title, table, address.
    pub source: String,
}

impl PublishedSpec {
    /// Refuses a figure without a source, and one that is not a number.
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        let refuse = |reason: &str| {
            let key = format!("challengers.{}", self.name);
            Err(EvalError::Spec {
                key,
                reason: reason.to_owned(),
            })
        };
        if self.source.trim().is_empty() {
            return refuse("a published figure needs its source");
        }
        if self.metrics.is_empty() || !self.metrics.values().all(|value| value.is_finite()) {
            return refuse("metrics must hold at least one finite figure");
        }
        Ok(())
    }

    /// As it stands in the report.
    pub(crate) fn subject(&self) -> Subject {
        let interval = |&value: &f64| Interval {
            value,
            low: None,
            high: None,
        };
        let metrics = self
            .metrics
            .iter()
            .map(|(name, value)| (name.clone(), interval(value)));
        Subject {
            role: Role::Challenger,
            name: self.name.clone(),
            note: self.source.clone(),
            records: 0,
            predictions_sha256: None,
            metrics: metrics.collect(),
            slices: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> PublishedSpec {
        PublishedSpec {
            name: "lexicon".into(),
            metrics: BTreeMap::from([("pearson_r".into(), 0.59)]),
            source: "a paper, table 4".into(),
        }
    }

    #[test]
    fn it_is_shown_as_such() {
        let subject = spec().subject();
        assert_eq!(subject.value("pearson_r"), Some(0.59));
        assert_eq!(subject.metrics["pearson_r"].low, None);
        assert_eq!((subject.records, subject.predictions_sha256), (0, None));
    }

    #[test]
    fn no_figure_without_a_source() {
        spec().check().expect("sound");
        assert!(
            PublishedSpec {
                source: " ".into(),
                ..spec()
            }
            .check()
            .is_err()
        );
        assert!(
            PublishedSpec {
                metrics: BTreeMap::new(),
                ..spec()
            }
            .check()
            .is_err()
        );
        let nan = BTreeMap::from([("pearson_r".into(), f64::NAN)]);
        assert!(
            PublishedSpec {
                metrics: nan,
                ..spec()
            }
            .check()
            .is_err()
        );
    }
}
