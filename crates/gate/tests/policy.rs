//! The rules beside the thresholds: each holds for good evidence and is flipped by one change; and
//! the lint, which finds the rules that cannot be.

use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{BaseModel, Dataset, Scan};
use lathe_gate::{Challenger, Evidence, Metric, Policy, Setting, Verdict, check, lint};
use serde_json::{Value, json};

const ALL: [&str; 4] = ["base-model", "dataset", "training", "evaluation"];

struct Case {
    report: Value,
    base: BaseModel,
    data: Dataset,
    statements: Vec<&'static str>,
}

fn case() -> Case {
    let slice = |value: &str, records: usize, r: f64| json!({"by": "product", "value": value, "records": records, "metrics": {"pearson_r": r}});
    let subject = |role: &str, name: &str, r: f64, slices: Value| {
        json!({"role": role, "name": name, "note": "", "records": 700, "predictions_sha256": null,
               "metrics": {"pearson_r": {"value": r, "low": r - 0.02, "high": r + 0.02}},
               "slices": slices})
    };
    let tuned = json!([
        slice("camera", 300, 0.9),
        slice("phone", 390, 0.85),
        slice("odd", 10, 0.1)
    ]);
    let linear = json!([
        slice("camera", 300, 0.8),
        slice("phone", 390, 0.8),
        slice("odd", 10, 0.3)
    ]);
    Case {
        report: json!({
            "version": 1, "demonstration": false, "primary_metric": "pearson_r",
            "records": 700, "groups": 60,
            "subjects": [
                subject("base", "base", 0.2, json!([])),
                subject("tuned", "tuned", 0.9, tuned),
                subject("challenger", "linear", 0.7, linear),
            ],
            "paired": [], "worst": [], "bootstrap": {"resamples": 2000, "seed": 1},
        }),
        base: BaseModel {
            name: "base".to_owned(),
            source: "file:withheld".to_owned(),
            file: Digest::of(b"file"),
            licence: "Apache-2.0".to_owned(),
            owner: "someone".to_owned(),
            bytes: 1,
            at_ms: 0,
        },
        data: Dataset {
            name: "reviews".to_owned(),
            root: Digest::of(b"root"),
            train: 800,
            test: 200,
            source: "file:withheld".to_owned(),
            file: Digest::of(b"data"),
            licence: "MIT".to_owned(),
            owner: "someone".to_owned(),
            agreement: None,
            previous: None,
            scan: Scan {
                version: 1,
                personal_records: 10,
                harmful: 10,
                duplicates: 1000,
                overlap: 2,
                ..Scan::default()
            },
            at_ms: 0,
        },
        statements: ALL.to_vec(),
    }
}

fn policy(mut rules: Value) -> Policy {
    let members = rules.as_object_mut().expect("an object");
    let easy = json!([{"metric": "pearson_r", "at_least": 0.1}]);
    members.entry("thresholds").or_insert(easy);
    serde_json::from_value(rules).expect("a policy")
}

fn judge(case: &Case, rules: &Value) -> Verdict {
    let report: Report = serde_json::from_value(case.report.clone()).expect("a report");
    let evidence = Evidence {
        report: &report,
        base: &case.base,
        datasets: &[&case.data],
        statements: &case.statements,
        at_ms: 1000,
    };
    check(&evidence, &policy(rules.clone()))
}

/// `rules` hold, and no longer after `change`; the failing finding names `key` and all the rest.
#[track_caller]
fn flips(rules: Value, key: &str, evidence: &str, change: impl Fn(&mut Case)) {
    let good = judge(&case(), &rules);
    assert!(good.passed, "{good:?}");
    let mut changed = case();
    change(&mut changed);
    let bad = judge(&changed, &rules);
    let failed: Vec<_> = bad.findings.iter().filter(|it| !it.passed).collect();
    assert_eq!(failed.len(), 1, "{bad:?}");
    assert_eq!(failed[0].key, key);
    assert!(failed[0].evidence.contains(evidence), "{:?}", failed[0]);
    assert!(!failed[0].rule.is_empty() && !failed[0].cure.is_empty());
}

#[test]
fn slices() {
    let threshold = |rest: Value| {
        let mut it = json!({"metric": "pearson_r", "at_least": 0.8});
        for (name, value) in rest.as_object().expect("members") {
            it[name] = value.clone();
        }
        json!({"thresholds": [it]})
    };
    let camera = threshold(json!({"slice": {"by": "product", "value": "camera"}}));
    flips(
        camera.clone(),
        "thresholds",
        "where product is camera",
        |case| {
            case.report["subjects"][1]["slices"][0]["metrics"]["pearson_r"] = json!(0.79);
        },
    );
    flips(camera, "thresholds", "no pearson_r", |case| {
        case.report["subjects"][1]["slices"][0]["value"] = json!("radio");
    });
    let each = threshold(json!({"slice": {"by": "product", "each": true, "records_min": 30}}));
    flips(each.clone(), "thresholds", "product is phone", |case| {
        case.report["subjects"][1]["slices"][1]["metrics"]["pearson_r"] = json!(0.79);
    });
    flips(each.clone(), "thresholds", "product is odd", |case| {
        case.report["subjects"][1]["slices"][2]["records"] = json!(30);
    });
    flips(each.clone(), "thresholds", "product is phone", |case| {
        case.report["subjects"][1]["slices"][1]["metrics"] = json!({});
    });
    flips(each, "thresholds", "with 30 records or more", |case| {
        case.report["subjects"][1]["slices"] = json!([]);
    });
    let better = json!({"thresholds": [{"metric": "pearson_r", "above": "best_challenger",
        "slice": {"by": "product", "each": true, "records_min": 30}}]});
    flips(better, "thresholds", "product is phone", |case| {
        case.report["subjects"][2]["slices"][1]["metrics"]["pearson_r"] = json!(0.85);
    });
}

#[test]
fn statements() {
    flips(
        json!({"require": ["dataset"]}),
        "require",
        "training",
        |case| {
            case.statements.retain(|it| *it != "dataset");
        },
    );
}

#[test]
fn licences() {
    let commercial = json!({"licences": {"use": "commercial"}});
    flips(
        commercial.clone(),
        "licences.base",
        "CC-BY-NC-4.0",
        |case| {
            case.base.licence = "CC-BY-NC-4.0".to_owned();
        },
    );
    flips(commercial.clone(), "licences.data", "reviews", |case| {
        case.data.licence = "MIT AND CC-BY-NC-SA-4.0".to_owned();
    });
    flips(commercial, "licences.data", "nothing is known", |case| {
        case.data.licence = "ours".to_owned();
    });
    let denied = json!({"licences": {"use": "research", "deny": ["ISC"]}});
    flips(denied, "licences.base", "denied", |case| {
        case.base.licence = "ISC".to_owned();
    });
    let mut ours = case();
    ours.data.licence = "ours".to_owned();
    let allowed = json!({"licences": {"use": "commercial", "allow": ["ours"]}});
    assert!(judge(&ours, &allowed).passed);
}

#[test]
fn data() {
    let check = |name: &str, limit: Value, change: fn(&mut Scan)| {
        let rules = json!({"data": {name: limit}});
        let key = format!("data.{name}");
        flips(rules.clone(), &key, "the scan of reviews, 1000", |case| {
            change(&mut case.data.scan);
        });
        flips(rules, &key, "not scanned", |case| {
            case.data.scan.version = 0
        });
    };
    check("personal_max_share", json!(0.01), |scan| {
        scan.personal_records = 11
    });
    check("harmful_max_share", json!(0.01), |scan| scan.harmful = 11);
    check("duplicates_max_share", json!(0.5), |scan| {
        scan.duplicates = 1001
    });
    check("overlap_max_records", json!(2), |scan| scan.overlap = 3);
}

#[test]
fn without_a_training_the_base_model_is_judged() {
    let rules = json!({"thresholds": [{"metric": "pearson_r", "at_least": 0.5}]});
    flips(rules, "thresholds", "pearson_r of base", |case| {
        case.statements.retain(|it| *it != "training");
    });
}

#[test]
fn a_verdict_says_when_it_goes_stale() {
    let day_ms = 24 * 60 * 60 * 1000;
    let verdict = judge(&case(), &json!({"expires_days": 90}));
    assert_eq!(verdict.expires_ms, Some(1000 + 90 * day_ms));
    assert_eq!(judge(&case(), &json!({})).expires_ms, None);
    assert_eq!(verdict.outcomes()[0].figure, "0.9000");
}

#[test]
fn a_policy_keeps_its_canonical_form() {
    let whole = policy(json!({
        "thresholds": [
            {"metric": "pearson_r", "at_least": 0.8},
            {"metric": "pearson_r", "at_least": -1, "slice": {"by": "product", "each": true}},
        ],
        "require": ["dataset"], "licences": {"use": "internal", "deny": ["ISC"]},
        "data": {"personal_max_share": 0.05, "overlap_max_records": 0}, "expires_days": 30,
    }));
    let text = whole.to_canonical();
    assert_eq!(Policy::from_canonical(&text).expect("reads"), whole);
    for broken in [
        text.replace("\"0.8\"", "\"0.80\""),
        text.replace(":30", ": 30"),
        "{}".to_owned(),
    ] {
        assert!(Policy::from_canonical(&broken).is_err(), "{broken}");
    }
    let old = policy(json!({}));
    let bytes =
        r#"{"thresholds":[{"at_least":{"$decimal":"0.1"},"bound":"value","metric":"pearson_r"}]}"#;
    assert_eq!(old.to_canonical(), bytes, "old packs keep their bytes");
}

#[test]
fn what_is_no_policy_is_refused() {
    let check = |rules: Value, expected: &str| {
        let error = serde_json::from_value::<Policy>(rules)
            .expect_err("refused")
            .to_string();
        assert!(error.contains(expected), "{error}");
    };
    let threshold = |rest: Value| json!({"thresholds": [rest]});
    check(
        threshold(json!({"metric": "r", "at_least": 1, "slice": {"by": "x"}})),
        "exactly one of value and each",
    );
    check(
        threshold(
            json!({"metric": "r", "at_least": 1, "bound": "lower", "slice": {"by": "x", "each": true}}),
        ),
        "no bound",
    );
    check(
        threshold(json!({"metric": "r", "above": "base", "slice": {"by": "x", "each": true}})),
        "best_challenger",
    );
    check(
        json!({"thresholds": [], "require": ["trainin"]}),
        "no statement `trainin`",
    );
    check(
        json!({"thresholds": [], "data": {"harmful_max_share": 1.5}}),
        "1.5 is not a share",
    );
    check(
        json!({"thresholds": [], "expires_days": 0}),
        "expires_days is 0",
    );
    check(
        json!({"thresholds": [], "licences": {"use": "fun"}}),
        "unknown variant",
    );
}

fn setting() -> Setting {
    let metric = |name: &str, min: f64| Metric {
        name: name.to_owned(),
        min,
        max: 1.0,
    };
    let challenger = |name: &str, metrics: &[&str], measured| Challenger {
        name: name.to_owned(),
        metrics: metrics.iter().map(|it| (*it).to_owned()).collect(),
        measured,
    };
    Setting {
        metrics: vec![
            metric("pearson_r", -1.0),
            metric("macro_f1", 0.0),
            metric("valid_json", 0.0),
        ],
        slices: vec!["product".to_owned()],
        challengers: vec![
            challenger("linear", &["pearson_r", "macro_f1", "valid_json"], true),
            challenger("lexicon", &["pearson_r"], false),
        ],
    }
}

fn orphans(rules: Value) -> Vec<String> {
    let found = lint(&policy(rules), &setting());
    found.into_iter().map(|orphan| orphan.place).collect()
}

#[test]
fn every_rule_of_a_sound_policy_bites_alone() {
    let none: [&str; 0] = [];
    let sound = json!({
        "thresholds": [
            {"metric": "pearson_r", "at_least": 0.8},
            {"metric": "pearson_r", "at_least": 0.75, "bound": "lower"},
            {"metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower"},
            {"metric": "macro_f1", "above": "base"},
            {"metric": "pearson_r", "at_least": 0.5, "slice": {"by": "product", "each": true, "records_min": 30}},
            {"metric": "pearson_r", "at_least": 0.7, "slice": {"by": "product", "value": "camera"}},
            {"metric": "macro_f1", "above": "best_challenger", "slice": {"by": "product", "each": true}},
            {"metric": "valid_json", "at_least": 0.99},
        ],
        "require": ["base-model", "dataset", "training", "evaluation"],
        "licences": {"use": "commercial", "allow": ["ours"], "deny": ["AGPL-3.0-only"]},
        "data": {"personal_max_share": 0.05, "harmful_max_share": 0, "duplicates_max_share": 0.5,
                 "overlap_max_records": 0},
        "expires_days": 90,
    });
    assert_eq!(orphans(sound), none);
    for thresholds in [
        json!([{"metric": "valid_json", "at_least": 0.5}]),
        json!([{"metric": "valid_json", "at_least": 0.9}, {"metric": "pearson_r", "above": "base"}]),
    ] {
        assert_eq!(orphans(json!({"thresholds": thresholds})), none);
    }
}

#[test]
fn orphans_are_found() {
    let thresholds = |list: Value| orphans(json!({"thresholds": list}));
    let one = ["thresholds[0]"];
    assert_eq!(
        thresholds(json!([{"metric": "rouge", "at_least": 0.1}])),
        one
    );
    assert_eq!(
        thresholds(json!([{"metric": "pearson_r", "at_least": -1}])),
        one
    );
    assert_eq!(
        thresholds(
            json!([{"metric": "pearson_r", "at_least": 0.1, "slice": {"by": "length", "each": true}}])
        ),
        one
    );
    assert_eq!(
        thresholds(
            json!([{"metric": "pearson_r", "at_least": 0.5}, {"metric": "pearson_r", "at_least": 0.8}])
        ),
        one,
        "the weaker of two floors"
    );
    assert_eq!(
        thresholds(json!([{"metric": "pearson_r", "at_least": 1.5}])),
        ["thresholds"]
    );
    let mut unchallenged = setting();
    unchallenged.challengers.clear();
    let above =
        policy(json!({"thresholds": [{"metric": "pearson_r", "above": "best_challenger"}]}));
    assert_eq!(lint(&above, &unchallenged)[0].place, "thresholds[0]");
    assert_eq!(orphans(json!({"require": ["receipts"]})), ["require[0]"]);
    let idle =
        json!({"licences": {"use": "commercial", "allow": ["MIT"], "deny": ["CC-BY-NC-4.0"]}});
    assert_eq!(orphans(idle), ["licences.allow[0]", "licences.deny[0]"]);
    let open = json!({"data": {"personal_max_share": 1, "duplicates_max_share": 1}});
    assert_eq!(
        orphans(open),
        ["data.personal_max_share", "data.duplicates_max_share"]
    );
}
