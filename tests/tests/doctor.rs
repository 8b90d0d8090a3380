//! `lathe doctor` on homes that are empty, whole and broken.

use std::fs;

use lathe_tests::{Home, fixture, text};
use serde_json::Value;

/// Every thing that is looked at, whatever the machine; `cache` only where there are two processors.
const ALWAYS: [&str; 13] = [
    "cpu",
    "instructions",
    "threads",
    "memory",
    "bandwidth",
    "products",
    "fits",
    "space",
    "filesystem",
    "durable",
    "lock",
    "store",
    "clock",
];

/// What it says, and its exit code, which has to be that of the worst finding.
fn doctor(home: &Home, args: &[&str]) -> Value {
    let output = home.output(&[&["doctor", "--json"], args].concat());
    let said: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let fails = said["state"] == "fail";
    assert_eq!(output.status.code(), Some(i32::from(fails)), "{said}");
    for finding in findings(&said) {
        let text = finding["text"].as_str().expect("a text");
        assert!(
            !text.is_empty() && !text.contains("doctor."),
            "no word: {finding}"
        );
        assert!(!text.contains('{'), "a hole is left: {finding}");
        assert!(
            finding["state"] == "ok" || finding["next"].is_string(),
            "{finding}"
        );
    }
    said
}

fn findings(said: &Value) -> &Vec<Value> {
    said["findings"].as_array().expect("a list")
}

fn of<'a>(said: &'a Value, name: &str) -> &'a Value {
    let mut named = findings(said).iter().filter(|it| it["name"] == name);
    named
        .next()
        .unwrap_or_else(|| panic!("nothing of {name}: {said}"))
}

#[test]
fn a_home_that_is_not_there_is_looked_at_and_not_made() {
    let home = Home::bare();
    let nowhere = home.path().join("not/yet");
    let said = doctor(&home, &["--home", nowhere.to_str().expect("plain")]);
    assert!(!nowhere.exists());
    for name in ALWAYS {
        of(&said, name);
    }
    for (name, figure) in [
        ("bandwidth", "read_bytes_per_s"),
        ("bandwidth", "four_bit_row_bytes_per_s"),
        ("products", "four_bit_operations_per_s"),
        ("products", "bf16_operations_per_s"),
        ("memory", "free_bytes"),
        ("durable", "fsync_worst_s"),
        ("fits", "serve_parameters_max"),
    ] {
        let figure = of(&said, name)["figures"][figure].as_f64();
        assert!(figure.is_some_and(|figure| figure > 0.0), "{name}: {said}");
    }
    let processors = of(&said, "threads")["figures"]["affinity"].as_array();
    if processors.is_some_and(|processors| processors.len() > 1) {
        let alone = of(&said, "cache")["figures"]["alone_bytes_per_s"].as_f64();
        assert!(alone.is_some_and(|rate| rate > 0.0));
    }
    assert_eq!(of(&said, "store")["state"], "ok");
}

#[test]
fn the_models_of_a_home_are_estimated_and_what_is_broken_is_named() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let said = doctor(&home, &[]);
    let model = of(&said, "model");
    for figure in [
        "estimated_answer_tokens_per_s",
        "estimated_prompt_tokens_per_s",
    ] {
        assert!(
            model["figures"][figure]
                .as_f64()
                .is_some_and(|rate| rate > 0.0),
            "{model}"
        );
    }
    for name in ["ledger", "keys", "lock", "clock"] {
        assert_eq!(of(&said, name)["state"], "ok", "{said}");
    }
    assert!(of(&said, "ledger")["figures"]["entries"].as_u64() > Some(5));

    let page = home
        .lathe(&["doctor"])
        .env("LATHE_LANG", "zh")
        .output()
        .expect("starts");
    let page = text(&page.stdout);
    assert!(
        page.contains("处理器") && page.contains("词元/秒"),
        "{page}"
    );
    assert!(!page.contains('\x1b'), "no colour where nobody looks");

    let key = home.path().join("keys/workshop.key");
    let kept = fs::read(&key).expect("reads");
    fs::remove_file(&key).expect("removes");
    let said = doctor(&home, &[]);
    let keys = of(&said, "keys");
    assert_eq!(
        (&said["state"], &keys["state"]),
        (&"fail".into(), &"fail".into())
    );
    assert_eq!(keys["figures"]["code"], "ledger-key-missing");
    fs::write(&key, kept).expect("writes");

    fs::write(home.path().join("store.sqlite"), "no store").expect("writes");
    for beside in ["store.sqlite-wal", "store.sqlite-shm"] {
        // Where the last daemon closed it there is none.
        let _ = fs::remove_file(home.path().join(beside));
    }
    let said = doctor(&home, &[]);
    assert_eq!(of(&said, "store")["state"], "fail");
    assert_eq!(said["state"], "fail");
}
