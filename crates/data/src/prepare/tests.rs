//! The whole way from read records to a sealed dataset.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::*;

const SPEC: &str = r#"
name: reviews
source: "file:reviews.tsv"
licence: MIT
owner: someone
check: {required: [text], ranges: {mean: {min: -4, max: 4}}}
dedupe: {by: text}
derive:
  - {field: review, from: id, pattern: '^(\d+)_', type: integer}
  - {field: product, from: review, bins: [{to: 9, name: camera}, {name: phone}]}
  - {field: words, from: text, count: words}
split: {group: review, test_share: 0.25, seed: 7}
"#;

fn spec(yaml: &str) -> DataSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn options() -> PrepareOptions {
    PrepareOptions {
        records_max: None,
        salt_seed: [3; 32],
        ..PrepareOptions::default()
    }
}

fn record(line: u64, id: &str, fields: serde_json::Value) -> Record {
    let serde_json::Value::Object(fields) = fields else {
        panic!("fields are an object");
    };
    Record {
        id: id.to_owned(),
        group: id.to_owned(),
        line,
        fields,
    }
}

fn read(records: Vec<Record>) -> Read {
    Read {
        records,
        broken: vec![Broken {
            line: 1000,
            reason: "from the reader".to_owned(),
        }],
        broken_rows: 1,
        encoding: "UTF-8".to_owned(),
    }
}

/// `reviews` reviews of five sentences each.
fn reviews(reviews: u64) -> Read {
    let records = (0..reviews * 5).map(|n| {
        let id = format!("{}_{}", n / 5, n % 5);
        let fields =
            json!({"id": id, "mean": (n % 9) as f64 - 4.0, "text": format!("sentence {n}")});
        record(n + 1, &id, fields)
    });
    read(records.collect())
}

#[test]
fn broken_rows_and_duplicates_are_kept_out_and_listed() {
    let mut input = reviews(20);
    let more = [
        record(101, "20_1", json!({"mean": 1, "text": " "})),
        record(102, "20_2", json!({"mean": 4.5, "text": "out of range"})),
        record(103, "20_3", json!({"mean": 1, "text": "SENTENCE  7"})),
        record(104, "x", json!({"id": "x", "mean": 1, "text": "no review"})),
    ];
    input.records.extend(more.into_iter().map(|mut record| {
        record
            .fields
            .insert("id".to_owned(), record.id.clone().into());
        record
    }));
    let prepared = prepare(input, &spec(SPEC), &options()).unwrap();
    let broken: Vec<_> = prepared
        .broken
        .iter()
        .map(|b| (b.line, b.reason.as_str()))
        .collect();
    assert_eq!(
        broken,
        [
            (101, "`text` is empty"),
            (102, "`mean` is 4.5, above 4"),
            (104, "`id` does not match `^(\\d+)_`"),
            (1000, "from the reader"),
        ]
    );
    assert_eq!(prepared.duplicates.len(), 1);
    assert_eq!(
        (
            prepared.duplicates[0].line,
            prepared.duplicates[0].same_as.as_str()
        ),
        (103, "1_2")
    );
    let statistics = &prepared.statistics;
    assert_eq!(
        (
            statistics.rows,
            statistics.records,
            statistics.broken,
            statistics.duplicates,
            statistics.left_out
        ),
        (105, 100, 4, 1, 0)
    );
    assert_eq!(statistics.groups, 20);
}

#[test]
fn fields_are_derived() {
    let prepared = prepare(reviews(20), &spec(SPEC), &options()).unwrap();
    for sealed in prepared.train.iter().chain(&prepared.test) {
        let fields = &sealed.record.fields;
        let review = fields["review"].as_i64().unwrap();
        assert_eq!(sealed.record.group, review.to_string());
        assert_eq!(
            fields["product"],
            if review <= 9 { "camera" } else { "phone" }
        );
        assert_eq!(fields["words"], 2);
    }
}

#[test]
fn a_split_keeps_groups_whole_and_holds_its_share() {
    let prepared = prepare(reviews(200), &spec(SPEC), &options()).unwrap();
    let groups = |side: &[Sealed]| -> BTreeSet<String> {
        side.iter()
            .map(|sealed| sealed.record.group.clone())
            .collect()
    };
    assert!(groups(&prepared.train).is_disjoint(&groups(&prepared.test)));
    assert_eq!((prepared.train.len(), prepared.test.len()), (750, 250));
    for side in [&prepared.train, &prepared.test] {
        assert!(side.is_sorted_by_key(|sealed| sealed.record.line));
    }
    let other = prepare(
        reviews(200),
        &spec(&SPEC.replace("seed: 7", "seed: 8")),
        &options(),
    )
    .unwrap();
    assert_ne!(groups(&other.test), groups(&prepared.test));
}

#[test]
fn the_same_order_gives_the_same_bytes_and_the_salts_follow_the_seed() {
    let once = prepare(reviews(30), &spec(SPEC), &options()).unwrap();
    assert_eq!(prepare(reviews(30), &spec(SPEC), &options()).unwrap(), once);
    let mut salted = options();
    salted.salt_seed = [4; 32];
    let other = prepare(reviews(30), &spec(SPEC), &salted).unwrap();
    assert_ne!(other.root, once.root);
    assert_ne!(other.train[0].salt, once.train[0].salt);
    let salts: BTreeSet<_> = once.train.iter().map(|sealed| sealed.salt).collect();
    assert_eq!(
        salts.len(),
        once.train.len(),
        "every record has a salt of its own"
    );
}

#[test]
fn root_and_leaves_can_be_worked_out_again() {
    let spec = spec(SPEC);
    let prepared = prepare(reviews(30), &spec, &options()).unwrap();
    let leaves: Vec<_> = prepared
        .train
        .iter()
        .chain(&prepared.test)
        .map(|sealed| {
            leaf_of(&sealed.record, &spec, &sealed.risk)
                .unwrap()
                .hash(&sealed.salt)
                .unwrap()
        })
        .collect();
    assert_eq!(merkle::root(&leaves), prepared.root);
}

#[test]
fn a_sample_is_of_whole_groups_from_each_side() {
    let whole = prepare(reviews(200), &spec(SPEC), &options()).unwrap();
    let sampled = PrepareOptions {
        records_max: Some(100),
        ..options()
    };
    let some = prepare(reviews(200), &spec(SPEC), &sampled).unwrap();
    assert_eq!((some.train.len(), some.test.len()), (75, 25));
    assert_eq!(some.statistics.left_out, 900);
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for sealed in some.train.iter().chain(&some.test) {
        *counts.entry(&sealed.record.group).or_default() += 1;
    }
    assert!(counts.values().all(|count| *count == 5), "whole reviews");
    for (part, side) in [(&some.train, &whole.train), (&some.test, &whole.test)] {
        assert!(
            part.iter().all(|sealed| side.contains(sealed)),
            "no record changes sides"
        );
    }
}

/// What repeats records that a sample leaves out is not the sample's: the gate holds the share of the rest against it.
#[test]
fn a_sample_has_the_duplicates_of_its_own_records() {
    let mut input = reviews(200);
    let again = |number: u64| {
        let id = format!("{}_0", 1000 + number);
        let text = format!("sentence {number}");
        record(
            2000 + number,
            &id,
            json!({"id": id, "mean": 1, "text": text}),
        )
    };
    input.records.extend((0..1000).map(again));
    let sampled = PrepareOptions {
        records_max: Some(100),
        ..options()
    };
    let some = prepare(input, &spec(SPEC), &sampled).unwrap();
    assert_eq!(some.train.len() + some.test.len(), 100);
    assert_eq!(
        (some.statistics.duplicates, some.scan.duplicates),
        (1000, 100)
    );
}

#[test]
fn what_cannot_work_is_refused_with_the_key() {
    let check = |from: &str, to: &str, expected: &str| {
        let error = prepare(reviews(20), &spec(&SPEC.replace(from, to)), &options()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    };
    check(
        "required: [text]",
        "required: [txet]",
        "the nearest is `text`",
    );
    check("mean: {min", "maen: {min", "`data.check.ranges`");
    check("by: text", "by: txt", "`data.dedupe.by`");
    check("from: id,", "from: di,", "`data.derive.from`");
    check("field: words", "field: text", "have this field already");
    check(", count: words", "", "exactly one of");
    check("'^(\\d+)_'", "'('", "no regular expression");
    check("group: review", "group: reveiw", "the nearest is `review`");
    check("test_share: 0.25", "test_share: 1.5", "between 0 and 1");
    check(
        "'^(\\d+)_', type: integer",
        "'^()', type: text",
        "no record is left",
    );
    check("max: 4}", "max: -5}", "all 101 rows are broken");
    let error = prepare(reviews(1), &spec(SPEC), &options())
        .unwrap_err()
        .to_string();
    assert!(error.contains("in one group"), "{error}");
    let few = PrepareOptions {
        records_max: Some(3),
        ..options()
    };
    let error = prepare(reviews(20), &spec(SPEC), &few)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("no whole group fits into a sample of 3"),
        "{error}"
    );
}

#[test]
fn a_record_that_nests_too_deep_is_broken() {
    let mut input = reviews(20);
    let deep = (0..127).fold(json!(1), |inner, _| json!([inner]));
    input.records[3].fields.insert("deep".to_owned(), deep);
    let prepared = prepare(input, &spec(SPEC), &options()).unwrap();
    assert!(
        prepared.broken[0].reason.contains("nests deeper"),
        "{:?}",
        prepared.broken
    );
}

#[test]
fn withdrawn_records_are_left_out_and_the_others_stay_where_they_were() {
    let whole = prepare(reviews(40), &spec(SPEC), &options()).unwrap();
    let gone = [&whole.train[3], &whole.test[2]];
    let content = leaf_of(&gone[1].record, &spec(SPEC), &gone[1].risk)
        .unwrap()
        .content;
    let without = PrepareOptions {
        withdrawn: BTreeSet::from([gone[0].leaf, content]),
        ..options()
    };
    let rest = prepare(reviews(40), &spec(SPEC), &without).unwrap();
    assert_eq!(rest.statistics.withdrawn, 2);
    assert_ne!(rest.root, whole.root);
    for (side, before) in [(&rest.train, &whole.train), (&rest.test, &whole.test)] {
        let kept = before.iter().filter(|it| !gone.contains(it));
        assert!(side.iter().eq(kept));
    }
    let all = PrepareOptions {
        withdrawn: whole.test.iter().map(|sealed| sealed.leaf).collect(),
        ..options()
    };
    let error = prepare(reviews(40), &spec(SPEC), &all).unwrap_err();
    assert!(error.to_string().contains("withdrawn"), "{error}");
}

#[test]
fn findings_enter_the_leaf_and_the_counts() {
    let mut input = reviews(40);
    let texts = [
        "mail me: a.b@example.com",
        "ask Dr. Wong or call 13812345678",
        "how to make a bomb",
    ];
    for (index, text) in texts.into_iter().enumerate() {
        let text = json!(text);
        input.records[index * 7]
            .fields
            .insert("text".to_owned(), text);
    }
    let prepared = prepare(input, &spec(SPEC), &options()).unwrap();
    let counts = ["e-mail", "name", "phone"].map(|kind| (kind.to_owned(), 1));
    let expected = Scan {
        version: crate::scan::VERSION,
        personal: counts.into(),
        personal_records: 2,
        harmful: 1,
        duplicates: 0,
        overlap: 0,
    };
    assert_eq!(prepared.scan, expected);
    let risky = prepared.train.iter().chain(&prepared.test);
    for sealed in risky.filter(|sealed| !sealed.risk.is_empty()) {
        let clean = leaf_of(&sealed.record, &spec(SPEC), &[]).unwrap();
        assert_ne!(clean.hash(&sealed.salt).unwrap(), sealed.leaf);
    }
}

#[test]
fn held_out_texts_that_are_trained_on_too_are_counted() {
    let mut input = reviews(40);
    // Not duplicates, for the punctuation differs; the same sentence nevertheless.
    for (line, record) in input.records.iter_mut().enumerate() {
        let text = format!("The same{}", "!".repeat(line));
        record.fields.insert("text".to_owned(), json!(text));
    }
    let prepared = prepare(input, &spec(SPEC), &options()).unwrap();
    assert_eq!(prepared.duplicates.len(), 0);
    assert_eq!(prepared.scan.overlap, prepared.test.len() as u64);
    let different = prepare(reviews(40), &spec(SPEC), &options()).unwrap();
    assert_eq!(different.scan.overlap, 0);
}
