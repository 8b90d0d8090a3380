//! Which layout a first record means, and when it is not guessed.

use serde_json::json;

use super::*;

#[test]
fn layouts_and_kinds() {
    let check = |record: Value, name: &str, kind: SampleKind| {
        let (_folder, path) = file("a.jsonl", record.to_string());
        let layout = SampleSource::detect(&path).unwrap().layout;
        assert_eq!((layout.name(), layout.kind()), (name, kind), "{record}");
    };
    let chat = json!([{"role": "user", "content": "a"}]);
    let shared = json!([{"from": "human", "value": "a"}]);
    let answer = json!({"role": "assistant", "content": "a"});
    check(
        json!({"instruction": "a", "output": "b"}),
        "alpaca",
        SampleKind::Chat,
    );
    check(
        json!({"instruction": "a", "chosen": "b", "rejected": "c"}),
        "alpaca",
        SampleKind::Pair,
    );
    check(
        json!({"conversations": shared}),
        "sharegpt",
        SampleKind::Chat,
    );
    check(
        json!({"conversations": shared, "kto_tag": true}),
        "sharegpt",
        SampleKind::Judged,
    );
    check(json!({"messages": chat}), "messages", SampleKind::Chat);
    check(
        json!({"messages": chat, "text": "x", "prompt": "y"}),
        "messages",
        SampleKind::Chat,
    );
    check(
        json!({"messages": chat, "chosen": answer, "rejected": answer}),
        "messages",
        SampleKind::Pair,
    );
    check(
        json!({"prompt": "a", "completion": "b"}),
        "prompt and completion",
        SampleKind::Chat,
    );
    check(
        json!({"prompt": "a", "completion": "b", "label": 3}),
        "prompt and completion",
        SampleKind::Chat,
    );
    check(
        json!({"prompt": "a", "completion": "b", "label": true}),
        "kto",
        SampleKind::Judged,
    );
    check(
        json!({"prompt": "a", "chosen": "b", "rejected": "c"}),
        "chosen and rejected",
        SampleKind::Pair,
    );
    check(json!({"text": "a"}), "text", SampleKind::Text);
}

#[test]
fn what_could_be_two_things_is_not_guessed() {
    let check = |record: Value, expected: &str| {
        let reason = refused(&record);
        assert!(reason.contains(expected), "{reason}");
    };
    check(
        json!({"text": "a", "category": "b"}),
        "input: text, output: category",
    );
    check(
        json!({"instrution": "a", "output": "b"}),
        "`instrution`; the nearest is `instruction`",
    );
    check(json!({"a": 1}), "of no known form: a. Known are");
    check(
        json!({"data": [{"instruction": "a", "output": "b"}]}),
        "make that list the whole file",
    );
    check(
        json!({"messages": [{"who": "a", "what": "b"}]}),
        "neither `role`",
    );
    check(json!({"messages": 3}), "a number instead of a list");
    check(
        json!({"instruction": "a", "output": "b", "images": ["x.png"]}),
        "it has `images`",
    );
}

#[test]
fn formats_by_extension_and_by_first_bytes() {
    let record = r#"{"prompt": "a", "completion": "b"}"#;
    for name in ["a.json", "a.jsonl", "a.ndjson", "a.JSON", "a", "a.txt"] {
        assert_eq!(told(name, record), ["U:a | A:b"], "{name}");
        assert_eq!(
            told(name, format!("\n [{record}]")),
            ["U:a | A:b"],
            "{name}"
        );
    }
    let refuse = |name: &str, content: &str| {
        let (_folder, path) = file(name, content);
        SampleSource::detect(&path).unwrap_err()
    };
    for name in ["a.json", "a.jsonl", "a.csv"] {
        for content in ["", "\n\n"] {
            let error = refuse(name, content);
            assert_eq!(error.code(), "data-format");
            assert!(
                error.to_string().ends_with("it holds no records"),
                "{error}"
            );
        }
    }
    assert!(
        refuse("a.csv", "prompt,completion\n")
            .to_string()
            .ends_with("no records")
    );
    assert!(refuse("a.json", "[]").to_string().ends_with("no records"));
    assert_eq!(refuse("a.xlsx", "PK").code(), "data-layout");
    let folder = tempfile::tempdir().unwrap();
    let error = SampleSource::detect(folder.path()).unwrap_err();
    assert!(error.to_string().contains("it is a folder"), "{error}");
    let error = SampleSource::detect(&folder.path().join("absent.json")).unwrap_err();
    assert_eq!(error.code(), "data-file");
}
