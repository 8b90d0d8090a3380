//! Every rule of the gate with a report that passes it and a change of that report that flips it.

use lathe_evidence::report::{Interval, Report};
use lathe_gate::{JudgedSlice, Policy, Verdict, check_report};
use serde_json::{Value, json};

/// A report that passes every rule below.
fn report() -> Value {
    let metrics = |r: f64, f1: f64, valid: f64| {
        let interval =
            |value: f64| json!({"value": value, "low": value - 0.02, "high": value + 0.02});
        json!({"pearson_r": interval(r), "macro_f1": interval(f1), "valid_json": interval(valid)})
    };
    let subject = |role: &str, name: &str, records: usize, metrics: Value| {
        json!({"role": role, "name": name, "note": "", "records": records,
               "predictions_sha256": null, "metrics": metrics, "slices": []})
    };
    let paired = |against: &str, records: usize, value: f64| {
        json!({"against": against, "metric": "pearson_r", "records": records,
               "difference": {"value": value, "low": value - 0.05, "high": value + 0.05}})
    };
    let published = json!({"pearson_r": {"value": 0.59, "low": null, "high": null}});
    json!({
        "version": 1, "demonstration": false, "primary_metric": "pearson_r",
        "records": 700, "groups": 60,
        "subjects": [
            subject("base", "base", 200, metrics(0.2, 0.3, 0.6)),
            subject("tuned", "tuned", 700, metrics(0.9, 0.8, 0.999)),
            subject("challenger", "linear", 700, metrics(0.7, 0.6, 1.0)),
            subject("challenger", "lexicon", 0, published),
        ],
        "paired": [paired("base", 200, 0.7), paired("linear", 700, 0.2), paired("lexicon", 700, 0.31)],
        "worst": [], "bootstrap": {"resamples": 2000, "seed": 1},
    })
}

fn verdict(report: &Value, threshold: Value) -> Verdict {
    let report: Report = serde_json::from_value(report.clone()).expect("a report");
    let policy: Policy =
        serde_json::from_value(json!({"thresholds": [threshold]})).expect("a policy");
    check_report(&report, &policy)
}

/// `threshold` holds for the report and no longer once `pointer` is `value`.
fn flips(threshold: Value, pointer: &str, value: Value) {
    let good = verdict(&report(), threshold.clone());
    assert!(good.passed, "{good:?}");
    assert!(good.findings[0].figure.is_some() && good.findings[0].cure.is_empty());
    let mut changed = report();
    *changed.pointer_mut(pointer).expect("a place in the report") = value;
    let bad = verdict(&changed, threshold);
    assert!(!bad.passed, "{bad:?}");
    let finding = &bad.findings[0];
    assert!(!finding.passed);
    for text in [&finding.rule, &finding.evidence, &finding.cure] {
        assert!(!text.is_empty(), "{finding:?}");
    }
}

#[test]
fn a_floor_on_the_value() {
    let threshold = json!({"metric": "pearson_r", "at_least": 0.9});
    flips(
        threshold,
        "/subjects/1/metrics/pearson_r/value",
        json!(0.8999),
    );
}

#[test]
fn a_floor_on_the_share_of_valid_answers() {
    let threshold = json!({"metric": "valid_json", "at_least": 0.99});
    flips(
        threshold,
        "/subjects/1/metrics/valid_json/value",
        json!(0.989),
    );
}

#[test]
fn a_floor_on_the_lower_bound() {
    let threshold = json!({"metric": "pearson_r", "at_least": 0.85, "bound": "lower"});
    flips(
        threshold.clone(),
        "/subjects/1/metrics/pearson_r/low",
        json!(0.84),
    );
    flips(threshold, "/subjects/1/metrics/pearson_r/low", Value::Null);
}

#[test]
fn above_the_best_challenger_by_the_paired_lower_bound() {
    let threshold =
        json!({"metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower"});
    flips(threshold.clone(), "/paired/1/difference/low", json!(0.0));
    flips(
        threshold.clone(),
        "/paired/1/against",
        json!("someone else"),
    );
    // A better challenger takes the place of the best: its own pair counts.
    let mut other = report();
    other["subjects"][3]["metrics"]["pearson_r"]["value"] = json!(0.95);
    other["paired"][2]["difference"] = json!({"value": -0.05, "low": -0.07, "high": -0.03});
    let verdict = verdict(&other, threshold);
    assert!(
        !verdict.passed && verdict.findings[0].evidence.contains("lexicon"),
        "{verdict:?}"
    );
}

#[test]
fn above_the_best_challenger_by_value_and_by_lower_bound() {
    let value = json!({"metric": "pearson_r", "above": "best_challenger"});
    flips(
        value.clone(),
        "/subjects/1/metrics/pearson_r/value",
        json!(0.7),
    );
    flips(value, "/subjects/2/metrics/pearson_r/value", json!(0.91));
    let lower = json!({"metric": "pearson_r", "above": "best_challenger", "bound": "lower"});
    flips(lower, "/subjects/1/metrics/pearson_r/low", json!(0.69));
}

#[test]
fn above_the_base_on_the_records_both_answered() {
    let threshold = json!({"metric": "pearson_r", "above": "base"});
    flips(
        threshold.clone(),
        "/paired/0/difference/value",
        json!(-0.01),
    );
    flips(threshold, "/subjects/0/role", json!("challenger"));
}

#[test]
fn what_the_report_lacks_fails() {
    let verdict = verdict(&report(), json!({"metric": "rouge", "at_least": 0.1}));
    assert!(!verdict.passed);
    assert_eq!(verdict.findings[0].figure, None);
    let mut untuned = report();
    untuned["subjects"]
        .as_array_mut()
        .expect("subjects")
        .remove(1);
    let threshold = json!({"metric": "pearson_r", "at_least": 0.1});
    assert!(!self::verdict(&untuned, threshold).passed);
}

#[test]
fn a_figure_that_is_no_number_fails() {
    let mut report: Report = serde_json::from_value(report()).expect("a report");
    let nan = Interval {
        value: f64::NAN,
        low: None,
        high: None,
    };
    report.subjects[1]
        .metrics
        .insert("pearson_r".to_owned(), nan);
    let policy: Policy =
        serde_json::from_value(json!({"thresholds": [{"metric": "pearson_r", "at_least": -1.0}]}))
            .expect("a policy");
    assert!(!check_report(&report, &policy).passed);
}

#[test]
fn all_rules_have_to_hold_and_none_is_not_enough() {
    let report: Report = serde_json::from_value(report()).expect("a report");
    let policy = |thresholds: Value| -> Policy {
        serde_json::from_value(json!({"thresholds": thresholds})).expect("a policy")
    };
    let one_fails = policy(json!([
        {"metric": "valid_json", "at_least": 0.99}, {"metric": "macro_f1", "at_least": 0.95}
    ]));
    let verdict = check_report(&report, &one_fails);
    let passed: Vec<bool> = verdict
        .findings
        .iter()
        .map(|finding| finding.passed)
        .collect();
    assert_eq!((verdict.passed, passed), (false, vec![true, false]));
    assert!(!check_report(&report, &policy(json!([]))).passed);
    assert!(!check_report(&report, &Policy::default()).passed);
}

#[test]
fn a_threshold_that_is_none_is_refused() {
    for (threshold, expected) in [
        (json!({"metric": "r"}), "exactly one of at_least and above"),
        (
            json!({"metric": "r", "at_least": 0.1, "above": "base"}),
            "exactly one of",
        ),
        (
            json!({"metric": "r", "at_least": 0.1, "bound": "paired_lower"}),
            "goes with above",
        ),
        (json!({"metric": "r", "atleast": 0.1}), "unknown field"),
    ] {
        let error = serde_json::from_value::<Policy>(json!({"thresholds": [threshold]}))
            .expect_err("refused");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn a_policy_is_written_as_it_was_read() {
    let written = json!({"thresholds": [
        {"metric": "pearson_r", "at_least": 0.8, "bound": "value"},
        {"metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower"}
    ]});
    let policy: Policy = serde_json::from_value(written.clone()).expect("a policy");
    assert_eq!(serde_json::to_value(policy).expect("writes"), written);
}

/// What a figure is held against stands beside it, so that a reader can say by how much it is missed.
#[test]
fn a_finding_says_what_its_figure_is_held_against() {
    let held = |threshold: Value| {
        let finding = verdict(&report(), threshold).findings.remove(0);
        (finding.figure, finding.limit)
    };
    let at_least = json!({"metric": "pearson_r", "at_least": 0.8, "bound": "lower"});
    assert_eq!(held(at_least), (Some(0.9 - 0.02), Some(0.8)));
    let other = json!({"metric": "macro_f1", "above": "best_challenger"});
    assert_eq!(held(other), (Some(0.8), Some(0.6)));
    let paired =
        json!({"metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower"});
    assert_eq!(held(paired), (Some(0.2 - 0.05), Some(0.0)));
    let unmeasured = json!({"metric": "bleu", "at_least": 0.1});
    assert_eq!(held(unmeasured).0, None);
}

/// A difference is told apart from an other one that scored nothing: both are held against zero.
#[test]
fn a_finding_says_whether_a_difference_was_judged() {
    let held = |report: &Value, threshold: Value| {
        let finding = verdict(report, threshold).findings.remove(0);
        (finding.paired, finding.limit)
    };
    // The base was measured on other records.
    let base = json!({"metric": "pearson_r", "above": "base"});
    assert_eq!(held(&report(), base), (true, Some(0.0)));
    let paired =
        json!({"metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower"});
    assert_eq!(held(&report(), paired), (true, Some(0.0)));
    let mut nothing = report();
    nothing["subjects"][0]["records"] = json!(700);
    nothing["subjects"][0]["metrics"]["macro_f1"]["value"] = json!(0.0);
    nothing["subjects"][2]["metrics"]["macro_f1"]["value"] = json!(0.0);
    for other in ["base", "best_challenger"] {
        let above = json!({"metric": "macro_f1", "above": other});
        assert_eq!(held(&nothing, above), (false, Some(0.0)), "{other}");
    }
}

#[test]
fn a_finding_names_the_slice_that_decided() {
    let mut sliced = report();
    let slices = |camera: f64, router: f64| {
        let of = |value: &str, records: usize, figure: f64| {
            json!({"by": "product", "value": value, "records": records,
                   "metrics": {"pearson_r": figure}})
        };
        json!([of("camera", 50, camera), of("router", 60, router)])
    };
    // The figures are equal; the challenger is ahead on the second alone.
    sliced["subjects"][1]["slices"] = slices(0.7, 0.7);
    sliced["subjects"][2]["slices"] = slices(0.6, 0.8);
    let decided = |threshold: Value| verdict(&sliced, threshold).findings.remove(0).slice;
    let router = Some(JudgedSlice {
        by: "product".to_owned(),
        value: "router".to_owned(),
        records: 60,
    });
    let above = json!({"metric": "pearson_r", "above": "best_challenger",
                       "slice": {"by": "product", "each": true}});
    assert_eq!(decided(above), router);
    let named = json!({"metric": "pearson_r", "at_least": 0.8,
                       "slice": {"by": "product", "value": "router"}});
    assert_eq!(decided(named), router);
    let small = json!({"metric": "pearson_r", "at_least": 0.8,
                       "slice": {"by": "product", "each": true, "records_min": 100}});
    assert_eq!(decided(small), None);
    assert_eq!(
        decided(json!({"metric": "pearson_r", "at_least": 0.8})),
        None
    );
}
