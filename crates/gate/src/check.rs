//! The decision itself.

use lathe_evidence::report::{Interval, Paired, Report, Subject};
use serde::{Deserialize, Serialize};

use crate::policy::{Bound, Policy, Reference, Rule, Threshold};

/// The outcome of holding a report against a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// True when every rule holds.
    pub passed: bool,
    /// One finding per rule, in the policy's order.
    pub findings: Vec<Finding>,
}

/// How one rule fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Whether the rule holds.
    pub passed: bool,
    /// The rule as the policy wrote it, for readers that word it themselves; absent when the policy
    /// has none.
    pub threshold: Option<Threshold>,
    /// The rule in words, for instance `pearson_r of the tuned model is at least 0.8`.
    pub rule: String,
    /// Where in the report the figure stands, for instance `pearson_r of tuned on 742 records`.
    pub evidence: String,
    /// The figure compared; absent when the report lacks it.
    pub figure: Option<f64>,
    /// What to do when it fails; empty when it passes.
    pub cure: String,
}

/// Holds `report` against `policy`. Pure: same arguments, same verdict.
///
/// What the report lacks counts as failed, and so does an empty policy: nothing is admitted because
/// nobody asked.
pub fn check(report: &Report, policy: &Policy) -> Verdict {
    let mut findings: Vec<Finding> = policy
        .thresholds
        .iter()
        .map(|threshold| finding(report, threshold))
        .collect();
    if findings.is_empty() {
        findings.push(Finding {
            passed: false,
            threshold: None,
            rule: "the policy has at least one threshold".to_owned(),
            evidence: "the policy".to_owned(),
            figure: Some(0.0),
            cure: "give gate.thresholds in pack.yaml".to_owned(),
        });
    }
    Verdict {
        passed: findings.iter().all(|finding| finding.passed),
        findings,
    }
}

fn finding(report: &Report, threshold: &Threshold) -> Finding {
    let Some(tuned) = report.tuned() else {
        return missing(threshold, "the report", "evaluate the tuned model");
    };
    match threshold.rule {
        Rule::AtLeast(floor) => at_least(tuned, threshold, floor),
        Rule::Above(reference) => above(report, tuned, threshold, reference),
    }
}

fn at_least(tuned: &Subject, threshold: &Threshold, floor: f64) -> Finding {
    let evidence = place(tuned, threshold);
    let figure = tuned
        .metrics
        .get(&threshold.metric)
        .and_then(|it| end(it, threshold.bound));
    judge(threshold, evidence, figure, |figure| figure >= floor)
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
    judge(threshold, evidence, figure, |figure| figure > bar)
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
    judge(
        threshold,
        evidence,
        end(&paired.difference, threshold.bound),
        |figure| figure > 0.0,
    )
}

fn judge(
    threshold: &Threshold,
    evidence: String,
    figure: Option<f64>,
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
        threshold: Some(threshold.clone()),
        rule: in_words(threshold),
        evidence,
        figure,
        cure,
    }
}

fn missing(threshold: &Threshold, evidence: &str, cure: &str) -> Finding {
    Finding {
        passed: false,
        threshold: Some(threshold.clone()),
        rule: in_words(threshold),
        evidence: format!("{evidence}: no {}", threshold.metric),
        figure: None,
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
    match threshold.rule {
        Rule::AtLeast(floor) => format!("{of} is at least {floor}"),
        Rule::Above(Reference::Base) => format!("{of} is above the base model's"),
        Rule::Above(Reference::BestChallenger) => format!("{of} is above the best challenger's"),
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
