//! Rules about figures of the report: floors and comparisons, on all records or on slices.

use lathe_evidence::report::{Interval, Paired, Report, Role, Slice, Subject};

use super::{Finding, JudgedSlice};
use crate::policy::{Bound, Reference, Rule, SliceRule, Slices, Threshold};

/// How `threshold` fares on `subject`, the model judged.
pub(super) fn finding(
    report: &Report,
    subject: Option<&Subject>,
    threshold: &Threshold,
) -> Finding {
    let Some(judged) = subject else {
        return missing(threshold, "the report", "evaluate the tuned model");
    };
    if let Some(slice) = &threshold.slice {
        return on_slices(report, judged, threshold, slice);
    }
    match threshold.rule {
        Rule::AtLeast(floor) => at_least(judged, threshold, floor),
        Rule::Above(reference) => above(report, judged, threshold, reference),
    }
}

/// The slice with the smallest margin decides.
fn on_slices(
    report: &Report,
    judged: &Subject,
    threshold: &Threshold,
    rule: &SliceRule,
) -> Finding {
    let of_key = judged.slices.iter().filter(|slice| slice.by == rule.by);
    let large = |slice: &&Slice| slice.records as u64 >= rule.records_min;
    let asked: Vec<&Slice> = match &rule.which {
        Slices::Value(value) => of_key
            .filter(|it| it.value == *value)
            .filter(large)
            .collect(),
        Slices::Each => of_key.filter(large).collect(),
    };
    let margins = asked.into_iter().map(|slice| {
        let figure = slice.metrics.get(&threshold.metric).copied();
        let bar = bar(report, threshold, slice);
        // What has no figure or no bar is the worst of all.
        let margin = figure
            .zip(bar)
            .map_or(f64::NEG_INFINITY, |(figure, bar)| figure - bar);
        (slice, figure, bar, margin)
    });
    let Some((slice, figure, bar, _)) = margins.min_by(|a, b| a.3.total_cmp(&b.3)) else {
        let evidence = format!(
            "slices of {} by {} with {} records or more",
            judged.name, rule.by, rule.records_min
        );
        return missing(
            threshold,
            &evidence,
            "hold out more records, or slice by another key",
        );
    };
    let evidence = format!(
        "{} of {} on the {} records where {} is {}",
        threshold.metric, judged.name, slice.records, slice.by, slice.value
    );
    let found = judge(threshold, evidence, figure, bar, |figure| {
        bar.is_some_and(|bar| match threshold.rule {
            Rule::AtLeast(_) => figure >= bar,
            Rule::Above(_) => figure > bar,
        })
    });
    Finding {
        slice: Some(JudgedSlice {
            by: slice.by.clone(),
            value: slice.value.clone(),
            records: slice.records as u64,
        }),
        ..found
    }
}

/// What a slice's figure is held against: the floor, or the best challenger's on the same slice.
fn bar(report: &Report, threshold: &Threshold, slice: &Slice) -> Option<f64> {
    let reference = match threshold.rule {
        Rule::AtLeast(floor) => return Some(floor),
        Rule::Above(reference) => reference,
    };
    let others = report.subjects.iter().filter(|subject| match reference {
        Reference::Base => subject.role == Role::Base,
        Reference::BestChallenger => subject.role == Role::Challenger,
    });
    let same = others.filter_map(|other| {
        let mut slices = other.slices.iter();
        let same = slices.find(|it| it.by == slice.by && it.value == slice.value)?;
        same.metrics.get(&threshold.metric).copied()
    });
    same.max_by(f64::total_cmp)
}

fn at_least(tuned: &Subject, threshold: &Threshold, floor: f64) -> Finding {
    let evidence = place(tuned, threshold);
    let figure = tuned
        .metrics
        .get(&threshold.metric)
        .and_then(|it| end(it, threshold.bound));
    judge(threshold, evidence, figure, Some(floor), |figure| {
        figure >= floor
    })
}

/// Compares with another subject: by the paired difference where the bound asks for it or where the
/// base was measured on other records, else value against value.
fn above(report: &Report, tuned: &Subject, threshold: &Threshold, reference: Reference) -> Finding {
    let metric = &threshold.metric;
    let other = match reference {
        Reference::Base => report.base(),
        Reference::BestChallenger => report.best_challenger(metric),
    };
    let Some((other, bar)) = other.and_then(|it| it.value(metric).map(|bar| (it, bar))) else {
        return missing(
            threshold,
            "the report",
            "measure it: see evaluate in pack.yaml",
        );
    };
    let paired = report.paired_with(&other.name, metric);
    let other_records = reference == Reference::Base && other.records != tuned.records;
    if threshold.bound == Bound::PairedLower || (threshold.bound == Bound::Value && other_records) {
        return paired_above(threshold, &tuned.name, &other.name, paired);
    }
    let evidence = format!("{}, {} {bar:.4}", place(tuned, threshold), other.name);
    let figure = tuned
        .metrics
        .get(metric)
        .and_then(|it| end(it, threshold.bound));
    judge(threshold, evidence, figure, Some(bar), |figure| {
        figure > bar
    })
}

fn paired_above(
    threshold: &Threshold,
    tuned: &str,
    other: &str,
    paired: Option<&Paired>,
) -> Finding {
    let Some(paired) = paired else {
        let pair = format!("{tuned} − {other}");
        return missing(threshold, &pair, "evaluate both on the same records");
    };
    let (metric, records) = (&threshold.metric, paired.records);
    let which = match threshold.bound {
        Bound::Value => "",
        Bound::Lower | Bound::PairedLower => "lower bound of ",
    };
    let evidence = format!("{which}{metric} of {tuned} − {other} on the same {records} records");
    let difference = end(&paired.difference, threshold.bound);
    let found = judge(threshold, evidence, difference, Some(0.0), |figure| {
        figure > 0.0
    });
    Finding {
        paired: true,
        ..found
    }
}

fn judge(
    threshold: &Threshold,
    evidence: String,
    figure: Option<f64>,
    limit: Option<f64>,
    holds: impl Fn(f64) -> bool,
) -> Finding {
    let passed = figure.is_some_and(holds);
    let cure = if passed {
        String::new()
    } else {
        cure(threshold, figure)
    };
    Finding {
        passed,
        key: "thresholds".to_owned(),
        threshold: Some(threshold.clone()),
        rule: in_words(threshold),
        evidence,
        figure,
        limit,
        paired: false,
        slice: None,
        cure,
    }
}

fn missing(threshold: &Threshold, evidence: &str, cure: &str) -> Finding {
    Finding {
        passed: false,
        key: "thresholds".to_owned(),
        threshold: Some(threshold.clone()),
        rule: in_words(threshold),
        evidence: format!("{evidence}: no {}", threshold.metric),
        figure: None,
        limit: None,
        paired: false,
        slice: None,
        cure: cure.to_owned(),
    }
}

/// The end of an interval that the bound names.
fn end(interval: &Interval, bound: Bound) -> Option<f64> {
    match bound {
        Bound::Value => Some(interval.value),
        Bound::Lower | Bound::PairedLower => interval.low,
    }
}

fn place(subject: &Subject, threshold: &Threshold) -> String {
    let which = if threshold.bound == Bound::Lower {
        "lower bound of "
    } else {
        ""
    };
    format!(
        "{which}{} of {} on {} records",
        threshold.metric, subject.name, subject.records
    )
}

/// The rule as a sentence.
fn in_words(threshold: &Threshold) -> String {
    let metric = &threshold.metric;
    let of = match threshold.bound {
        Bound::Value => format!("{metric} of the tuned model"),
        Bound::Lower => format!("the lower bound of {metric} of the tuned model"),
        Bound::PairedLower => format!("the paired lower bound of {metric} of the tuned model"),
    };
    let rule = match threshold.rule {
        Rule::AtLeast(floor) => format!("{of} is at least {floor}"),
        Rule::Above(Reference::Base) => format!("{of} is above the base model's"),
        Rule::Above(Reference::BestChallenger) => format!("{of} is above the best challenger's"),
    };
    let Some(slice) = &threshold.slice else {
        return rule;
    };
    let (by, fewest) = (&slice.by, slice.records_min);
    match &slice.which {
        Slices::Value(value) => {
            format!("{rule} where {by} is {value}, on {fewest} records or more")
        }
        Slices::Each => format!("{rule} for each {by} with {fewest} records or more"),
    }
}

fn cure(threshold: &Threshold, figure: Option<f64>) -> String {
    let how = match (figure, threshold.metric.as_str()) {
        (None, _) => "evaluate with bootstrap intervals so that the report has this figure",
        (_, "valid_json") => "look at the invalid answers: tune longer, or simplify task.answer",
        (_, _) if threshold.bound != Bound::Value => {
            "tune longer or on more data, or hold out more records for a narrower interval"
        }
        _ => "tune longer or on more data, and look at the worst samples for wrong labels",
    };
    how.to_owned()
}
