//! Bootstrap intervals over groups (Efron and Tibshirani 1993, chapters 8 and 13).
//!
//! Sentences of one review resemble each other, so whole groups are drawn with replacement, as many
//! as there are. A draw is a function of the groups and the seed alone: subjects measured on the
//! same records are resampled alike, which makes differences paired. Percentile intervals, 95 %.

use lathe_engine::random::Random;
use lathe_evidence::report::Interval;

use crate::spec::BootstrapSpec;

/// Share of the resamples below the interval, and above it.
const TAIL: f64 = 0.025;

/// Draws of row indices.
pub(crate) struct Resampler {
    /// Row indices of every group, groups by first row.
    groups: Vec<Vec<usize>>,
    spec: BootstrapSpec,
}

impl Resampler {
    /// Draws over rows whose groups are given in order.
    pub fn new<'a>(groups: impl Iterator<Item = &'a str>, spec: BootstrapSpec) -> Self {
        let mut places = std::collections::HashMap::new();
        let mut members: Vec<Vec<usize>> = Vec::new();
        for (row, group) in groups.enumerate() {
            let place = *places.entry(group).or_insert_with(|| {
                members.push(Vec::new());
                members.len() - 1
            });
            members[place].push(row);
        }
        Self {
            groups: members,
            spec,
        }
    }

    /// Number of groups.
    pub fn groups(&self) -> usize {
        self.groups.len()
    }

    /// Calls `measure` with the row indices of every resample and collects what it returns.
    pub fn resample<T>(&self, mut measure: impl FnMut(&[usize]) -> T) -> Vec<T> {
        let mut random = Random::new(self.spec.seed);
        let mut rows = Vec::new();
        let draw = |_| {
            rows.clear();
            for _ in 0..self.groups.len() {
                rows.extend_from_slice(&self.groups[random.below(self.groups.len())]);
            }
            measure(&rows)
        };
        (0..self.spec.resamples).map(draw).collect()
    }
}

/// The interval around a metric of `records` records that resemble each other no more than others:
/// `measure` is given the indices of those drawn.
pub fn over_records(
    records: usize,
    spec: BootstrapSpec,
    value: f64,
    mut measure: impl FnMut(&[usize]) -> f64,
) -> Interval {
    let names: Vec<String> = (0..records).map(|at| at.to_string()).collect();
    let resampler = Resampler::new(names.iter().map(String::as_str), spec);
    interval(value, resampler.resample(|drawn| measure(drawn)))
}

/// The percentile interval around `value`; without resamples it has no ends.
pub(crate) fn interval(value: f64, mut resampled: Vec<f64>) -> Interval {
    resampled.sort_by(f64::total_cmp);
    Interval {
        value,
        low: quantile(&resampled, TAIL),
        high: quantile(&resampled, 1.0 - TAIL),
    }
}

/// The quantile between the nearest two of sorted values, as `numpy.quantile` takes it.
fn quantile(sorted: &[f64], at: f64) -> Option<f64> {
    let place = at * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    let part = place - below as f64;
    Some(sorted[below] + part * (sorted[above] - sorted[below]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seed: u64) -> BootstrapSpec {
        BootstrapSpec {
            resamples: 2000,
            seed,
        }
    }

    #[test]
    fn groups_come_whole() {
        let groups = ["a", "b", "a", "c", "b", "a"];
        let resampler = Resampler::new(groups.into_iter(), spec(1));
        assert_eq!(resampler.groups(), 3);
        let counts = resampler.resample(|rows| {
            let count = |wanted: usize| rows.iter().filter(|row| **row == wanted).count();
            assert_eq!(count(0), count(2));
            assert_eq!(count(0), count(5));
            assert_eq!(count(1), count(4));
            count(0) + count(1) + count(3)
        });
        assert!(
            counts.iter().all(|count| *count == 3),
            "as many groups as there are"
        );
    }

    #[test]
    fn the_seed_decides() {
        let draws = |seed| {
            Resampler::new(["a", "b", "c"].into_iter(), spec(seed)).resample(<[usize]>::to_vec)
        };
        assert_eq!(draws(1), draws(1));
        assert_ne!(draws(1), draws(2));
    }

    #[test]
    fn the_interval_of_a_mean_is_that_of_the_normal_law() {
        // 400 single-record groups of zeros and ones: standard error of the mean 0.5 / 20.
        let names: Vec<String> = (0..400).map(|name| name.to_string()).collect();
        let resampler = Resampler::new(names.iter().map(String::as_str), spec(3));
        let means =
            resampler.resample(|rows| rows.iter().map(|row| (row % 2) as f64).sum::<f64>() / 400.0);
        let Interval {
            low: Some(low),
            high: Some(high),
            ..
        } = interval(0.5, means)
        else {
            panic!("an interval")
        };
        let expected = 1.96 * 0.5 / 20.0;
        assert!((0.5 - low - expected).abs() < 0.15 * expected, "{low}");
        assert!((high - 0.5 - expected).abs() < 0.15 * expected, "{high}");
    }

    #[test]
    fn quantiles_lie_between_neighbours() {
        assert_eq!(quantile(&[1.0, 2.0, 4.0], 0.75), Some(3.0));
        assert_eq!(quantile(&[1.0], 0.975), Some(1.0));
        assert_eq!(quantile(&[], 0.5), None);
    }
}
