//! Two answers to choose from, and judged ones.

use serde_json::json;

use super::*;

#[test]
fn preferences_of_texts() {
    let record =
        json!({"prompt": "Sky?", "chosen": "Blue", "rejected": "Green", "system": "Brief"});
    assert_eq!(one(&record), "S:Brief | U:Sky? > A:Blue < A:Green");
    // LLaMA-Factory's alpaca with `ranking`.
    let record =
        json!({"instruction": "Is", "input": "sky?", "chosen": "Blue", "rejected": "Green"});
    assert_eq!(one(&record), "U:Is\nsky? > A:Blue < A:Green");
}

#[test]
fn preferences_of_messages() {
    let user = json!({"role": "user", "content": "Sky?"});
    let blue = json!({"role": "assistant", "content": "Blue"});
    let green = json!({"role": "assistant", "content": "Green"});
    let expected = "U:Sky? > A:Blue < A:Green";
    // TRL: with a prompt, and with the prompt inside both.
    assert_eq!(
        one(&json!({"prompt": [user], "chosen": [blue], "rejected": [green]})),
        expected
    );
    assert_eq!(
        one(&json!({"chosen": [user, blue], "rejected": [user, green]})),
        expected
    );
    // UltraFeedback: the prompt as text beside whole conversations.
    let whole = json!({
        "prompt": "Sky?", "chosen": [user, blue], "rejected": [user, green], "messages": [user, blue],
    });
    assert_eq!(one(&whole), expected);
    let other = json!({"prompt": "Sea?", "chosen": [user, blue], "rejected": [user, green]});
    assert!(
        refused(&other).contains("is not what"),
        "{}",
        refused(&other)
    );
}

#[test]
fn preferences_of_sharegpt() {
    let record = json!({
        "conversations": [
            {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Yo"},
            {"from": "human", "value": "Sky?"},
        ],
        "chosen": {"from": "gpt", "value": "Blue"},
        "rejected": {"from": "gpt", "value": "Green"},
    });
    assert_eq!(one(&record), "U:Hi | A:Yo | U:Sky? > A:Blue < A:Green");
}

#[test]
fn judged_answers() {
    let record = json!({"prompt": "Sky?", "completion": "Blue", "label": true});
    assert_eq!(one(&record), "U:Sky? > A:Blue is true");
    let record = json!({
        "prompt": [{"role": "user", "content": "Sky?"}],
        "completion": [{"role": "assistant", "content": "Green"}], "label": false,
    });
    assert_eq!(one(&record), "U:Sky? > A:Green is false");
    let record = json!({"instruction": "Sky", "input": "?", "output": "Blue", "kto_tag": true});
    assert_eq!(one(&record), "U:Sky\n? > A:Blue is true");
    let record = json!({"messages": [
        {"role": "user", "content": "Sky?"}, {"role": "assistant", "content": "Green"},
    ], "label": false});
    assert_eq!(one(&record), "U:Sky? > A:Green is false");
    assert_eq!(
        told("a.csv", "prompt,completion,label\nSky?,Blue,True\n"),
        ["U:Sky? > A:Blue is true"]
    );
}

#[test]
fn preferences_that_teach_nothing_or_are_unclear() {
    let check = |record: Value, expected: &str| {
        let reason = refused(&record);
        assert!(reason.contains(expected), "{reason}");
    };
    let user = json!({"role": "user", "content": "Sky?"});
    let blue = json!({"role": "assistant", "content": "Blue"});
    check(
        json!({"prompt": "a", "chosen": "b", "rejected": "b"}),
        "are the same",
    );
    check(
        json!({"chosen": [user, blue], "rejected": [user, blue]}),
        "are the same",
    );
    check(
        json!({"prompt": "a", "chosen": "b"}),
        "`rejected` is missing",
    );
    check(
        json!({"chosen": "a", "rejected": "b"}),
        "it has no `prompt`",
    );
    check(
        json!({"prompt": "a", "chosen": "b", "rejected": [blue]}),
        "both must be of one form",
    );
    check(
        json!({"chosen": [blue, user, blue], "rejected": [blue]}),
        "must differ in one answer",
    );
    check(
        json!({"prompt": "a", "chosen": "b", "rejected": "c", "tools": [{"name": "f"}]}),
        "it has tools",
    );
    check(
        json!({"prompt": "a", "chosen": "b", "rejected": ""}),
        "rejected answer is empty",
    );
}
