//! Measuring answers that are choices, from the probabilities of every label.
//!
//! Thresholds are set on one part of the data and used on another; nothing here looks at both.
//! [`assured`] follows split conformal risk control for a selective answer (Angelopoulos et al. 2022,
//! arXiv 2208.02814): with one error added for the record to come, the share of wrong ones among the
//! answered stays below what was asked, on average over the draw of the calibration records.

use crate::metrics::macro_f1;

/// What a record's probabilities are held against.
#[derive(Debug, Clone, Copy)]
pub struct Judged<'a> {
    /// The probability of every label.
    pub probabilities: &'a [f32],
    /// Places of the right labels.
    pub right: &'a [usize],
}

/// The place and the probability of the likeliest label.
pub fn likeliest(probabilities: &[f32]) -> (usize, f32) {
    let all = probabilities.iter().copied().enumerate();
    all.fold((0, f32::NEG_INFINITY), |best, (place, probability)| {
        if probability > best.1 {
            (place, probability)
        } else {
            best
        }
    })
}

/// The share of records whose likeliest label is right; 0 without records.
pub fn accuracy(records: &[Judged<'_>]) -> f64 {
    let hits = records.iter().filter(|it| is_hit(it)).count();
    hits as f64 / records.len().max(1) as f64
}

/// Macro-F1 of the likeliest labels, where one is right.
pub fn single_macro_f1(records: &[Judged<'_>], labels: usize) -> f64 {
    let pairs = records.iter().filter_map(|it| {
        let truth = it.right.first()?;
        Some((*truth, likeliest(it.probabilities).0))
    });
    macro_f1(pairs, labels)
}

/// Mean over all labels of the F1 of saying a label wherever its probability reaches its threshold.
pub fn multiple_macro_f1(records: &[Judged<'_>], thresholds: &[f32]) -> f64 {
    let f1 = |(label, &threshold): (usize, &f32)| label_f1(records, label, threshold);
    thresholds.iter().enumerate().map(f1).sum::<f64>() / thresholds.len().max(1) as f64
}

/// For every label the threshold that gives the best F1 on these records. Of equal ones the middle
/// of the longest run is taken: the edge of a run is an accident of the sample.
pub fn best_thresholds(records: &[Judged<'_>], labels: usize) -> Vec<f32> {
    /// Thresholds tried.
    const TRIED: usize = 99;
    let tried = |at: usize| (at + 1) as f32 / (TRIED + 1) as f32;
    (0..labels)
        .map(|label| {
            let scores: Vec<f64> = (0..TRIED)
                .map(|at| label_f1(records, label, tried(at)))
                .collect();
            let best = scores.iter().copied().fold(0.0, f64::max);
            let near = |at: &usize| scores[*at] >= best - 1e-9;
            let run: Vec<usize> = (0..TRIED).filter(near).collect();
            tried(run[run.len() / 2])
        })
        .collect()
}

fn label_f1(records: &[Judged<'_>], label: usize, threshold: f32) -> f64 {
    let (mut hits, mut said, mut right) = (0_usize, 0_usize, 0_usize);
    for record in records {
        let says = record.probabilities[label] >= threshold;
        let is = record.right.contains(&label);
        hits += usize::from(says && is);
        said += usize::from(says);
        right += usize::from(is);
    }
    if hits == 0 {
        return 0.0;
    }
    2.0 * hits as f64 / (said + right) as f64
}

/// The least probability from which the likeliest label is right at least as often as `accuracy`
/// asks, one more error counted than was seen; `None` where no probability is high enough.
pub fn assured(records: &[Judged<'_>], accuracy: f64) -> Option<f32> {
    let mut sorted: Vec<(f32, bool)> = records
        .iter()
        .map(|it| (likeliest(it.probabilities).1, is_hit(it)))
        .collect();
    sorted.sort_by(|a, b| b.0.total_cmp(&a.0));
    let (mut errors, mut found) = (0_usize, None);
    for (at, (probability, hit)) in sorted.iter().enumerate() {
        errors += usize::from(!hit);
        // A threshold takes all records of its probability.
        let last = sorted.get(at + 1).is_none_or(|next| next.0 < *probability);
        let risk = (errors + 1) as f64 / (at + 2) as f64;
        if last && risk <= 1.0 - accuracy {
            found = Some(*probability);
        }
    }
    found
}

/// The share of records answered at a probability, and the share of those that are right.
pub fn answered(records: &[Judged<'_>], probability: f32) -> (f64, f64) {
    let answered: Vec<Judged<'_>> = records
        .iter()
        .copied()
        .filter(|it| likeliest(it.probabilities).1 >= probability)
        .collect();
    let share = answered.len() as f64 / records.len().max(1) as f64;
    (share, accuracy(&answered))
}

fn is_hit(record: &Judged<'_>) -> bool {
    record.right.contains(&likeliest(record.probabilities).0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged<'a>(rows: &'a [(Vec<f32>, Vec<usize>)]) -> Vec<Judged<'a>> {
        let one = |(probabilities, right): &'a (Vec<f32>, Vec<usize>)| Judged {
            probabilities,
            right,
        };
        rows.iter().map(one).collect()
    }

    fn two(probability: f32, right: usize) -> (Vec<f32>, Vec<usize>) {
        (vec![probability, 1.0 - probability], vec![right])
    }

    #[test]
    fn accuracy_and_f1_by_hand() {
        let rows = [two(0.9, 0), two(0.8, 1), two(0.3, 1), two(0.4, 1)];
        let records = judged(&rows);
        assert_eq!(accuracy(&records), 0.75);
        // Label 0: one hit of two said, one right: 2/3. Label 1: two hits, two said, three right: 4/5.
        let expected = (2.0 / 3.0 + 4.0 / 5.0) / 2.0;
        assert!((single_macro_f1(&records, 2) - expected).abs() < 1e-12);
        assert_eq!(accuracy(&[]), 0.0);
    }

    #[test]
    fn thresholds_part_what_can_be_parted() {
        let rows = [
            (vec![0.30, 0.70], vec![0, 1]),
            (vec![0.28, 0.72], vec![0, 1]),
            (vec![0.10, 0.90], vec![1]),
            (vec![0.05, 0.95], vec![1]),
        ];
        let records = judged(&rows);
        let thresholds = best_thresholds(&records, 2);
        assert!((0.10..=0.28).contains(&thresholds[0]), "{thresholds:?}");
        assert_eq!(multiple_macro_f1(&records, &thresholds), 1.0);
        assert!(multiple_macro_f1(&records, &[0.5, 0.5]) < 1.0);
    }

    #[test]
    fn a_label_nobody_has_counts_as_zero() {
        let rows = [(vec![0.9, 0.1], vec![0])];
        assert_eq!(multiple_macro_f1(&judged(&rows), &[0.5, 0.5]), 0.5);
    }

    #[test]
    fn the_assured_share_keeps_its_promise_with_an_error_to_spare() {
        let mut rows: Vec<_> = (0..200).map(|at| two(0.99 - at as f32 * 1e-4, 0)).collect();
        rows.extend((0..50).map(|at| two(0.8 - at as f32 * 1e-3, at % 2)));
        let records = judged(&rows);
        let probability = assured(&records, 0.99).expect("most are right");
        let (share, right) = answered(&records, probability);
        assert!((0.8..0.85).contains(&share), "{share}");
        assert!(right >= 0.99);
        assert_eq!(
            assured(&records[..50], 0.99),
            None,
            "too few to promise one in a hundred"
        );
        assert_eq!(assured(&[], 0.9), None);
    }
}
