//! Tools: what is kept of calls and results, and records whose calls and results do not fit.

use serde_json::json;

use super::*;

/// The turns of the one record of a file.
#[track_caller]
fn turns(record: &Value) -> Vec<Turn> {
    let samples = detected("one.jsonl", record.to_string());
    match samples.into_iter().next().unwrap().unwrap() {
        Sample::Chat { turns, .. } => turns,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn check(messages: &[Value], expected: &str) {
    let reason = refused(&json!({"messages": messages}));
    assert!(
        reason.starts_with("record 1 of ") && reason.contains(expected),
        "{reason}"
    );
}

fn said(role: &str, content: &str) -> Value {
    json!({"role": role, "content": content})
}

fn call(id: &str) -> Value {
    let function = json!({"name": "look", "arguments": "{\"at\": \"Rome\"}"});
    json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": function}]})
}

fn result(id: &str) -> Value {
    json!({"role": "tool", "tool_call_id": id, "name": "look", "content": "sun"})
}

#[test]
fn calls_say_nothing_and_results_keep_whose_they_are() {
    let record = json!({"messages": [
        said("user", "Weather?"), call("1"), result("1"), said("assistant", "Sunny."),
    ]});
    let turns = self::turns(&record);
    assert_eq!(turns[1].content, None);
    assert_eq!(
        turns[1].tool_calls.as_ref().unwrap()[0]["function"]["arguments"]["at"],
        "Rome"
    );
    assert_eq!(turns[2].tool_call_id.as_deref(), Some("1"));
    assert_eq!(turns[2].name.as_deref(), Some("look"));
    assert_eq!(turns[3].content.as_deref(), Some("Sunny."));
    let weights: Vec<f32> = turns.iter().map(|turn| turn.weight).collect();
    assert_eq!(weights, [0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn an_empty_text_beside_a_call_stays_an_empty_text() {
    let mut spoken = call("1");
    spoken["content"] = json!("");
    let record = json!({"messages": [said("user", "Weather?"), spoken]});
    assert_eq!(turns(&record)[1].content.as_deref(), Some(""));
    let shared = json!({"conversations": [
        {"from": "human", "value": "Weather?"},
        {"from": "function_call", "value": "{\"name\": \"look\", \"arguments\": {}}"},
    ]});
    assert_eq!(turns(&shared)[1].content, None);
}

#[test]
fn results_without_a_call_are_refused() {
    let (user, answer) = (said("user", "Weather?"), said("assistant", "Sunny."));
    let expected = "turn 2 is what a tool gave back, and no call of a tool stands before it";
    check(&[user.clone(), result("1"), answer.clone()], expected);
    check(
        &[user.clone(), answer.clone(), result("1"), answer.clone()],
        "turn 3 is what",
    );
    check(
        &[
            user.clone(),
            call("1"),
            user.clone(),
            result("1"),
            answer.clone(),
        ],
        "turn 4 is what",
    );
    check(
        &[
            user.clone(),
            call("1"),
            result("1"),
            result("1"),
            answer.clone(),
        ],
        "calls 1 and has 2 results",
    );
    check(
        &[user, call("1"), result("2"), answer],
        "its `tool_call_id` is `2`, which no call before it has",
    );
    let shared = json!({"conversations": [
        {"from": "human", "value": "a"}, {"from": "gpt", "value": "b"},
        {"from": "observation", "value": "c"}, {"from": "gpt", "value": "d"},
    ]});
    let reason = refused(&shared);
    assert!(
        reason.contains("turn 3 is what a tool gave back"),
        "{reason}"
    );
}

#[test]
fn a_call_that_is_written_in_the_text_is_a_call() {
    let record = json!({"conversations": [
        {"from": "human", "value": "Weather?"},
        {"from": "gpt", "value": "<tool_call>\n{\"name\": \"look\"}\n</tool_call>"},
        {"from": "tool", "value": "sun"},
        {"from": "gpt", "value": "Sunny."},
    ]});
    assert!(one(&record).ends_with("| T:sun | A:Sunny."));
}

#[test]
fn what_is_no_tool_and_no_call_is_refused_by_its_record() {
    let messages = [said("user", "a"), said("assistant", "b")];
    let check = |record: Value, expected: &str| {
        let reason = refused(&record);
        assert!(
            reason.starts_with("record 1 of ") && reason.contains(expected),
            "{reason}"
        );
    };
    check(
        json!({"messages": messages, "tools": "[{\"name\": \"look\""}),
        "its `tools` is not JSON: ",
    );
    check(
        json!({"messages": messages, "tools": "{\"name\": \"look\"}"}),
        "`tools` is an object instead of a list",
    );
    check(
        json!({"messages": messages, "tools": [{"description": "x"}]}),
        "a tool has no `name`",
    );
    let mut broken = call("1");
    broken["tool_calls"][0]["function"]["arguments"] = json!("{\"at\": ");
    check(
        json!({"messages": [said("user", "a"), broken]}),
        "message 2 of `messages` cannot be used: a tool call's `arguments` are no JSON object",
    );
    let mut named = said("user", "a");
    named["name"] = json!(7);
    check(
        json!({"messages": [named, said("assistant", "b")]}),
        "message 1 of `messages` has a number as its `name`",
    );
}
