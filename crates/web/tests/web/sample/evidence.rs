//! Sample evidence: a report, the gate's verdict on it, a dataset's card, a deployment.

use lathe_evidence::report::Report;
use lathe_gate::Verdict;
use lathe_workshop::{DatasetView, DeploymentView, OrderId, Title, UpstreamView};
use serde_json::{Value, json};

use super::{DATASET, DONE, PLACED_MS};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the sample has the layout of the type it is read as")
}

fn slices(figures: &[(&str, &str, usize, f64)]) -> Value {
    figures
        .iter()
        .map(|(by, value, records, r)| {
            json!({ "by": by, "value": value, "records": records, "metrics": { "pearson_r": r } })
        })
        .collect()
}

/// Base, tuned and two challengers on the same split.
pub fn report() -> Report {
    let tuned = slices(&[
        ("product", "camera", 214, 0.893),
        ("product", "phone", 168, 0.874),
        ("product", "player", 197, 0.859),
        ("product", "router", 163, 0.842),
        ("length", "1–9", 181, 0.889),
        ("length", "10–19", 302, 0.872),
        ("length", "20 and more", 259, 0.851),
    ]);
    let linear = slices(&[
        ("product", "camera", 214, 0.724),
        ("product", "phone", 168, 0.701),
        ("product", "player", 197, 0.688),
        ("product", "router", 163, 0.693),
        ("length", "1–9", 181, 0.741),
        ("length", "10–19", 302, 0.699),
        ("length", "20 and more", 259, 0.664),
    ]);
    let digest = "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9";
    read(json!({
        "version": 1, "demonstration": false, "primary_metric": "pearson_r",
        "records": 742, "groups": 61,
        "subjects": [
            { "role": "base", "name": "SmolLM2-135M-Instruct Q4_1", "note": "As it came in, on a fixed subset.",
              "records": 200, "predictions_sha256": digest, "slices": [],
              "metrics": {
                  "pearson_r": { "value": 0.031, "low": -0.092, "high": 0.148 },
                  "macro_f1": { "value": 0.214, "low": 0.181, "high": 0.249 },
                  "valid_json": { "value": 0.61, "low": 0.541, "high": 0.677 } } },
            { "role": "tuned", "name": "LoRA r=16, one epoch", "note": "",
              "records": 742, "predictions_sha256": digest, "slices": tuned,
              "metrics": {
                  "pearson_r": { "value": 0.871, "low": 0.852, "high": 0.887 },
                  "macro_f1": { "value": 0.793, "low": 0.758, "high": 0.824 },
                  "valid_json": { "value": 1.0, "low": 1.0, "high": 1.0 } } },
            { "role": "challenger", "name": "linear n-grams", "note": "Ridge regression on word and character n-grams, fitted on the training records.",
              "records": 742, "predictions_sha256": digest, "slices": linear,
              "metrics": {
                  "pearson_r": { "value": 0.702, "low": 0.668, "high": 0.734 },
                  "macro_f1": { "value": 0.611, "low": 0.575, "high": 0.645 },
                  "valid_json": { "value": 1.0, "low": 1.0, "high": 1.0 } } },
            { "role": "challenger", "name": "VADER lexicon", "note": "Published figure: Hutto and Gilbert, ICWSM 2014, table 4.",
              "records": 0, "predictions_sha256": null, "slices": [],
              "metrics": { "pearson_r": { "value": 0.59, "low": null, "high": null } } }
        ],
        "paired": [
            { "against": "linear n-grams", "metric": "pearson_r", "records": 742, "difference": { "value": 0.169, "low": 0.139, "high": 0.201 } },
            { "against": "VADER lexicon", "metric": "pearson_r", "records": 742, "difference": { "value": 0.281, "low": 0.262, "high": 0.297 } }
        ],
        "worst": [
            { "id": "17_203", "prompt": "I would have given it five stars if it had lasted as long as the warranty card it came with.", "expected": r#"{"sentiment":-2.1,"label":"negative"}"#, "answer": r#"{"sentiment":2.4,"label":"positive"}"#, "valid": true, "error": 4.5 },
            { "id": "3_88", "prompt": "Good luck reaching anyone on the phone.", "expected": r#"{"sentiment":-1.9,"label":"negative"}"#, "answer": r#"{"sentiment":1.8,"label":"positive"}"#, "valid": true, "error": 3.7 },
            { "id": "41_12", "prompt": "It does not get any better than this.", "expected": r#"{"sentiment":2.8,"label":"positive"}"#, "answer": r#"{"sentiment":-0.6,"label":"negative"}"#, "valid": true, "error": 3.4 },
            { "id": "9_140", "prompt": "Well, it is a router.", "expected": r#"{"sentiment":0.1,"label":"neutral"}"#, "answer": r#"{"sentiment":3.1 "label""#, "valid": false, "error": 0.1 }
        ],
        "bootstrap": { "resamples": 2000, "seed": 7 }
    }))
}

/// Every rule of the sample pack holds.
pub fn verdict() -> Verdict {
    read(json!({
        "passed": true,
        "findings": [
            { "passed": true, "key": "thresholds", "figure": 0.871, "cure": "",
              "threshold": { "metric": "pearson_r", "at_least": 0.8 },
              "rule": "pearson_r of the tuned model is at least 0.8",
              "evidence": "pearson_r of tuned on 742 records" },
            { "passed": true, "key": "thresholds", "figure": 0.139, "cure": "",
              "threshold": { "metric": "pearson_r", "above": "best_challenger", "bound": "paired_lower" },
              "rule": "the paired lower bound of pearson_r of the tuned model is above the best challenger's",
              "evidence": "lower bound of pearson_r of tuned − linear n-grams on the same 742 records" },
            { "passed": true, "key": "thresholds", "figure": 1.0, "cure": "",
              "threshold": { "metric": "valid_json", "at_least": 0.99 },
              "rule": "valid_json of the tuned model is at least 0.99",
              "evidence": "valid_json of tuned on 742 records" }
        ]
    }))
}

/// A verdict that refuses: a floor that is not reached, data with too much in it that is personal, and terms.
pub fn refusal() -> Verdict {
    read(json!({
        "passed": false,
        "findings": [
            { "passed": true, "key": "thresholds", "figure": 1.0, "limit": 0.99, "cure": "",
              "threshold": { "metric": "valid_json", "at_least": 0.99 },
              "rule": "valid_json of the tuned model is at least 0.99",
              "evidence": "valid_json of tuned on 742 records" },
            { "passed": false, "key": "thresholds", "figure": 0.871, "limit": 0.9, "cure": "tune longer",
              "threshold": { "metric": "pearson_r", "at_least": 0.9 },
              "rule": "pearson_r of the tuned model is at least 0.9",
              "evidence": "pearson_r of tuned on 742 records" },
            { "passed": false, "key": "thresholds", "figure": 0.842, "limit": 0.85, "cure": "tune longer",
              "threshold": { "metric": "pearson_r", "at_least": 0.85,
                             "slice": { "by": "product", "each": true, "records_min": 50 } },
              "rule": "pearson_r of the tuned model is at least 0.85 for each product with 50 records or more",
              "slice": { "by": "product", "value": "router", "records": 163 },
              "evidence": "pearson_r of tuned on the 163 records where product is router" },
            { "passed": false, "key": "data.personal_max_share", "figure": 0.031, "limit": 0.01,
              "cure": "take them out", "threshold": null,
              "rule": "the share of records with personal data is at most 0.01",
              "evidence": "the scan of product-reviews, 3708 records" },
            { "passed": false, "key": "licences.data", "figure": null, "cure": "use other data",
              "threshold": null, "rule": "the licence of the data permits commercial use",
              "evidence": "product-reviews, CC-BY-NC-4.0: it is not for commercial use" }
        ]
    }))
}

/// The product reviews of the sample pack.
pub fn dataset() -> DatasetView {
    let histogram = [
        11, 38, 94, 187, 301, 362, 339, 298, 244, 391, 512, 438, 297, 141, 48, 7,
    ];
    DatasetView {
        digest: DATASET.to_owned(),
        name: "product-reviews".to_owned(),
        root: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08".to_owned(),
        source: "pypi:vaderSentiment==0.5#vaderSentiment/hutto_ICWSM_2014.tar.gz#amazonReviewSnippets_GroundTruth.txt".to_owned(),
        licence: "MIT".to_owned(),
        owner: "C. J. Hutto".to_owned(),
        demonstration: false,
        created_ms: PLACED_MS,
        card: json!({
            "statistics": {
                "rows": 3_722, "records": 3_708, "train": 2_966, "test": 742, "groups": 309,
                "broken": 2, "duplicates": 12, "left_out": 0,
                "fields": {
                    "score": { "kind": "number", "min": -3.9, "mean": 0.41, "max": 3.8, "histogram": histogram },
                    "product": { "kind": "category", "counts": [["camera", 1071], ["player", 985], ["phone", 840], ["router", 812]] },
                    "text": { "kind": "text", "characters": { "min": 4, "mean": 88.2, "max": 512 }, "words": { "min": 1, "mean": 16.9, "max": 97 } }
                }
            },
            "duplicates": [
                { "id": "12_44", "line": 1043, "same_as": "12_3" },
                { "id": "20_17", "line": 1711, "same_as": "4_9" },
                { "id": "55_2", "line": 3310, "same_as": "31_2" }
            ],
            "broken": [
                { "line": 877, "reason": "score: \"n/a\" is no number" },
                { "line": 2904, "reason": "3 columns where 4 are declared" }
            ]
        }),
        withdrawn: Some(0),
        withdrawals: Vec::new(),
    }
}

/// What answers as `customer-care`.
pub fn deployment() -> DeploymentView {
    read(json!({
        "name": "customer-care",
        "order": OrderId(DONE.to_owned()),
        "title": Title { en: "Customer care".to_owned(), zh: "客户服务".to_owned() },
        "base": "4f1c", "adapter": "77ab", "report": "9e02",
        "demonstration": false,
        "created_ms": PLACED_MS,
        "system": "Say how the customer feels. Answer with one JSON object: sentiment from -4 to +4, label negative, neutral or positive.",
        "examples": [
            "The zoom is superb and the battery lasts a whole weekend.",
            "After two weeks the buttons stopped responding, and support never called back.",
            "It comes with a cable and a printed manual."
        ],
        "schema": {
            "type": "object",
            "properties": {
                "sentiment": { "type": "number", "minimum": -4, "maximum": 4 },
                "label": { "enum": ["negative", "neutral", "positive"] }
            }
        }
    }))
}

/// Another server, which answers as `big`.
pub fn upstream() -> UpstreamView {
    read(json!({
        "name": "big", "state": "up", "reason": "", "checked_ms": PLACED_MS,
        "url": "https://models.example/v1", "model": "Qwen/Qwen2.5-72B-Instruct",
        "remote": true, "keyed": true, "failover": null, "retries": 0,
        "weights": "not verified", "since_ms": PLACED_MS,
        "breaker": "closed", "breaker_reason": ""
    }))
}

/// Puts `text` wherever a dataset shows what others wrote.
pub fn write_over_dataset(dataset: &mut DatasetView, text: &str) {
    for field in [
        &mut dataset.name,
        &mut dataset.root,
        &mut dataset.source,
        &mut dataset.licence,
        &mut dataset.owner,
    ] {
        *field = text.to_owned();
    }
    let counts = json!([[text, 3]]);
    dataset.card["statistics"]["fields"] =
        json!({ text: { "kind": "category", "counts": counts } });
    dataset.card["duplicates"] = json!([{ "id": text, "line": 1, "same_as": text }]);
    dataset.card["broken"] = json!([{ "line": 1, "reason": text }]);
}

/// Puts `text` wherever a report shows what packs and models wrote.
pub fn write_over_report(report: &mut Report, text: &str) {
    for subject in &mut report.subjects {
        subject.name = text.to_owned();
        subject.note = text.to_owned();
        for slice in &mut subject.slices {
            slice.by = text.to_owned();
            slice.value = text.to_owned();
        }
    }
    for paired in &mut report.paired {
        paired.against = text.to_owned();
        paired.metric = text.to_owned();
    }
    for sample in &mut report.worst {
        for field in [
            &mut sample.id,
            &mut sample.prompt,
            &mut sample.expected,
            &mut sample.answer,
        ] {
            *field = text.to_owned();
        }
    }
}

/// Puts `text` wherever a verdict shows words.
pub fn write_over_verdict(verdict: &mut Verdict, text: &str) {
    for finding in &mut verdict.findings {
        finding.threshold = None;
        finding.rule = text.to_owned();
        finding.evidence = text.to_owned();
        finding.cure = text.to_owned();
    }
}
