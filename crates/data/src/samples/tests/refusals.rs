//! Records that are refused by their number, while the others are read.

use serde_json::json;

use super::*;

#[test]
fn reading_goes_on_after_a_broken_record() {
    let lines = "{\"prompt\":\"a\",\"completion\":\"b\"}\r\n{\"prompt\":\"a\"}\r\n{\"prompt\":\r\n";
    let lines = format!("{lines}}}\r\n{{\"prompt\":\"c\",\"completion\":\"d\"}}\r\n");
    let (_folder, path) = file("a.jsonl", lines);
    let source = SampleSource::detect(&path).unwrap();
    let samples = all_numbered(&source);
    assert_eq!(samples[0], "U:a | A:b");
    assert!(
        samples[1].starts_with("record 2 of ") && samples[1].contains("`completion` is missing"),
        "{samples:?}"
    );
    assert!(
        samples[2].starts_with("record 3 of ") && samples[2].contains("line 3 is not JSON"),
        "{samples:?}"
    );
    assert_eq!(samples[3], "U:c | A:d");
    let limited = SampleSource {
        records_max: Some(2),
        ..source
    };
    assert_eq!(all_numbered(&limited).len(), 2);
}

fn all_numbered(source: &SampleSource) -> Vec<String> {
    let samples = source.read().unwrap();
    samples
        .map(|sample| match sample {
            Ok((_, sample)) => tell(&sample),
            Err(error) => {
                assert_eq!(error.code(), "data-sample");
                error.to_string()
            }
        })
        .collect()
}

#[test]
fn a_file_holds_one_form() {
    let check = |records: [Value; 2], expected: &str| {
        let (_folder, path) = file("a.json", json!(records).to_string());
        let samples = all(&SampleSource::detect(&path).unwrap());
        let reason = samples[1].as_ref().unwrap_err();
        assert!(
            reason.starts_with("record 2 of ") && reason.contains(expected),
            "{reason}"
        );
    };
    let plain = json!({"instruction": "a", "output": "b"});
    let ranked = json!({"instruction": "a", "output": "b", "chosen": "c", "rejected": "d"});
    check(
        [plain.clone(), ranked.clone()],
        "`chosen` is a text and the first record's is missing",
    );
    check(
        [ranked, plain],
        "`chosen` is missing and the first record's is a text",
    );
    let texts = json!({"prompt": "a", "chosen": "b", "rejected": "c"});
    let answer = |text: &str| json!([{"role": "assistant", "content": text}]);
    let lists = json!({"prompt": "a", "chosen": answer("b"), "rejected": answer("c")});
    check(
        [texts, lists],
        "`chosen` is a list and the first record's is a text",
    );
    let judged = json!({"prompt": "a", "completion": "b", "label": true});
    let unjudged = json!({"prompt": "a", "completion": "b"});
    check(
        [unjudged.clone(), judged.clone()],
        "`label` is true or false and the first record's is missing",
    );
    check([judged, unjudged], "it");
    let nothing_chosen = json!({"prompt": "a", "completion": "b", "chosen": null});
    let (_folder, path) = file(
        "a.json",
        json!([{"prompt": "a", "completion": "b"}, nothing_chosen]).to_string(),
    );
    assert!(
        all(&SampleSource::detect(&path).unwrap())
            .iter()
            .all(Result::is_ok)
    );
}

#[test]
fn messages_that_are_none() {
    let check = |messages: Value, expected: &str| {
        let reason = refused(&json!({"messages": messages}));
        assert!(reason.contains(expected), "{reason}");
    };
    let user = json!({"role": "user", "content": "a"});
    let with = |last: Value| json!([user, last]);
    check(
        with(json!({"role": "assistent", "content": "b"})),
        "message 2 of `messages` is by `assistent`, which is no role; the nearest is `assistant`",
    );
    check(
        with(json!({"content": "b"})),
        "message 2 of `messages` has no `role`",
    );
    check(with(json!({"role": "assistant"})), "has no `content`");
    check(
        with(json!({"role": "assistant", "content": 3})),
        "has a number as its `content`",
    );
    check(
        with(json!({"role": "assistant", "content": ""})),
        "the answer in turn 2 is empty",
    );
    check(
        with(json!({"role": "assistant", "content": "b", "weight": 2})),
        "it must be 0, 1",
    );
    check(
        with(json!({"role": "assistant", "content": "b", "weight": 0})),
        "every `weight` is 0",
    );
    check(
        with(json!({"role": "user", "content": "b"})),
        "not by the assistant",
    );
    check(
        with(json!({"role": "user", "content": "b", "weight": 1})),
        "only assistants are learnt from",
    );
    check(with(json!("b")), "is a text instead of an object");
    check(
        with(json!({"role": "assistant", "tool_calls": [{}]})),
        "a tool has no `name`",
    );
    let picture = json!([{"type": "image_url", "image_url": {"url": "x"}}]);
    check(
        with(json!({"role": "assistant", "content": picture})),
        "a part of type `image_url`",
    );
    check(
        with(json!({"role": "assistant", "content": [1]})),
        "has a part of `content` that is not",
    );
    let tools = json!({"messages": [user, {"role": "assistant", "content": "b"}], "tools": 1});
    assert!(refused(&tools).contains("`tools` is a number"));
}

#[test]
fn sharegpt_positions_are_checked() {
    let check = |roles: &[&str], expected: &str| {
        let messages = roles.iter().map(|role| json!({"from": role, "value": "x"}));
        let reason = refused(&json!({"conversations": messages.collect::<Vec<_>>()}));
        assert!(reason.contains(expected), "{reason}");
    };
    check(
        &["human", "human"],
        "message 2 is by the user, where an answer",
    );
    check(
        &["gpt", "human"],
        "message 1 is by the assistant, where a question",
    );
    check(
        &["system", "human", "gpt", "gpt"],
        "message 4 is by the assistant",
    );
    check(&["human", "system"], "message 2 is by the system");
    check(
        &["human", "gpt", "observation"],
        "last message is not by the assistant",
    );
    check(
        &["human", "function_call"],
        "calls a tool in what is not JSON",
    );
}

#[test]
fn alpaca_without_question_or_answer() {
    let check = |record: Value, expected: &str| {
        let reason = refused(&record);
        assert!(reason.contains(expected), "{reason}");
    };
    check(
        json!({"instruction": "", "input": "", "output": "b"}),
        "its question is empty",
    );
    check(
        json!({"instruction": "a", "output": " "}),
        "its `output` is empty",
    );
    check(
        json!({"instruction": "a", "output": 3}),
        "its `output` is a number instead of a text",
    );
    check(
        json!({"instruction": "a", "output": "b", "history": [["c"]]}),
        "round 1 of its `history`",
    );
    check(
        json!({"prompt": "", "completion": "b"}),
        "its `prompt` is empty",
    );
    check(json!({"text": ""}), "its `text` is empty");
}
