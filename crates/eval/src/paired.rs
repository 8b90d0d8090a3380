//! Two sets of predictions compared on the records that both are about: the paired bootstrap.
//!
//! Both are resampled alike, so what is hard about a record is hard for both and falls out of the
//! difference (Efron and Tibshirani 1993, chapter 8; Koehn 2004, "Statistical significance tests for
//! machine translation evaluation", where it is taken for systems on one test set).

use std::collections::BTreeMap;

use lathe_data::prepare::Sealed;
use lathe_data::task::Task;
use lathe_evidence::report::Interval;

use crate::bootstrap::{Resampler, interval};
use crate::predictions::Predictions;
use crate::rows::{Row, Truths};
use crate::{BootstrapSpec, EvalError};

/// Predictions with what they were measured on.
#[derive(Clone, Copy)]
pub struct Measured<'a> {
    /// What was asked.
    pub task: &'a Task,
    /// The whole test split.
    pub records: &'a [Sealed],
    /// The answers to all of it.
    pub predictions: &'a Predictions,
}

/// Every metric of `one` minus that of `other`, with its 95 % interval, over the groups of the
/// records; `None` where the two were not measured on the same records with the same truths.
///
/// # Errors
/// Predictions that do not fit their records.
pub fn paired(
    one: Measured<'_>,
    other: Measured<'_>,
    spec: BootstrapSpec,
) -> Result<Option<BTreeMap<String, Interval>>, EvalError> {
    let same = |(a, b): (&Sealed, &Sealed)| a.leaf == b.leaf && a.record.id == b.record.id;
    let count = one.records.len();
    if count != other.records.len() || !one.records.iter().zip(other.records).all(same) {
        return Ok(None);
    }
    let mut truths = Truths::of(one.task, one.records)?;
    if !truths.same_as(&Truths::of(other.task, other.records)?) {
        return Ok(None);
    }
    let (mine, others) = (
        truths.rows(one.predictions)?,
        truths.rows(other.predictions)?,
    );
    if mine.len() != count || others.len() != count {
        return Ok(None);
    }
    let groups = mine
        .iter()
        .map(|row| one.records[row.record].record.group.as_str());
    let resampler = Resampler::new(groups, spec);
    let differences = differences(&truths, &resampler, &mine, &others);
    let named = differences.into_iter();
    Ok(Some(
        named
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    ))
}

/// Every metric of `mine` minus that of `others`, which are about the same records in the same
/// order, with its interval.
pub(crate) fn differences(
    truths: &Truths,
    resampler: &Resampler,
    mine: &[Row],
    others: &[Row],
) -> BTreeMap<&'static str, Interval> {
    let difference = |drawn: &[usize]| {
        let metrics = |rows: &[Row]| truths.metrics(drawn.iter().map(|&row| &rows[row]));
        let (mine, others) = (metrics(mine), metrics(others));
        mine.into_iter()
            .map(|(name, value)| (name, value - others[name]))
            .collect()
    };
    let all: Vec<usize> = (0..mine.len()).collect();
    let values: BTreeMap<&'static str, f64> = difference(&all);
    let resampled: Vec<BTreeMap<&'static str, f64>> = resampler.resample(difference);
    let pair = |(name, value): (&'static str, f64)| {
        let column = resampled.iter().map(|metrics| metrics[name]).collect();
        (name, interval(value, column))
    };
    values.into_iter().map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use lathe_evidence::report::Role;

    const SPEC: BootstrapSpec = BootstrapSpec {
        resamples: 1000,
        seed: 5,
    };

    fn compare(one: f64, other: f64) -> BTreeMap<String, Interval> {
        let (task, records) = (testing::task(), testing::records(80));
        let made = |noise| testing::predictions(Role::Tuned, "tuned", &records, noise);
        let (mine, others) = (made(one), made(other));
        let measured = |predictions| Measured {
            task: &task,
            records: &records,
            predictions,
        };
        let found = paired(measured(&mine), measured(&others), SPEC).expect("they fit");
        found.expect("the same records")
    }

    #[test]
    fn a_better_one_is_beyond_chance_and_an_equal_one_is_not() {
        let better = compare(0.05, 0.6)["pearson_r"];
        assert!(better.value > 0.0 && better.low.is_some_and(|low| low > 0.0));
        let worse = compare(0.6, 0.05)["pearson_r"];
        assert!((worse.value + better.value).abs() < 1e-12);
        let apart =
            |a: Option<f64>, b: Option<f64>| (a.expect("an end") + b.expect("an end")).abs();
        assert!(apart(worse.low, better.high) < 1e-12);
        assert!(apart(worse.high, better.low) < 1e-12);
        let same = compare(0.3, 0.3)["pearson_r"];
        assert_eq!(
            (same.value, same.low, same.high),
            (0.0, Some(0.0), Some(0.0))
        );
    }

    #[test]
    fn other_records_or_other_truths_are_not_compared() {
        let (task, records) = (testing::task(), testing::records(80));
        let fewer = testing::records(40);
        let mine = testing::predictions(Role::Tuned, "tuned", &records, 0.1);
        let others = testing::predictions(Role::Tuned, "tuned", &fewer, 0.1);
        let one = Measured {
            task: &task,
            records: &records,
            predictions: &mine,
        };
        let other = Measured {
            records: &fewer,
            predictions: &others,
            ..one
        };
        assert_eq!(paired(one, other, SPEC).expect("they fit"), None);
        let mut moved = records.clone();
        for sealed in &mut moved {
            let rating = sealed.record.fields["rating"].as_f64().expect("a rating");
            sealed.record.fields["rating"] = serde_json::json!(-rating);
        }
        let other = Measured {
            records: &moved,
            ..one
        };
        assert_eq!(paired(one, other, SPEC).expect("they fit"), None);
    }
}
