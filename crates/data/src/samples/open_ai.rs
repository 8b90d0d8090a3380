//! Records as OpenAI's fine-tuning files have them: `messages` to learn the answers of, or an `input`
//! with a preferred and another answer.
//!
//! Made of one record, without a file: whoever holds records reads them so one by one. Picture and
//! sound are refused, as everywhere.

use serde_json::{Map, Value};

use super::convert::check_media;
use super::value::{given, kind};
use super::{ChatColumns, Goal, Sample, Tags, conversation};

/// The member of a preference that holds what is asked.
const INPUT: &str = "input";

/// The conversation of a record with `messages`, and `tools` where it names some.
///
/// # Errors
/// What is wrong with it; the text reads on from "the record".
pub fn conversation(record: &Map<String, Value>) -> Result<Sample, String> {
    sample(record, &Goal::Answers)
}

/// The pair of a record with `input`, `preferred_output` and `non_preferred_output`.
///
/// # Errors
/// As [`conversation`].
pub fn preference(record: &Map<String, Value>) -> Result<Sample, String> {
    let input = match given(record, INPUT) {
        Some(Value::Object(input)) => input,
        Some(other) => {
            return Err(format!(
                "its `{INPUT}` is {} instead of an object",
                kind(other)
            ));
        }
        None => return Err(format!("it has no `{INPUT}`")),
    };
    let (chosen, rejected) = ("preferred_output", "non_preferred_output");
    let mut flat = input.clone();
    for name in [chosen, rejected] {
        if let Some(answer) = given(record, name) {
            flat.insert(name.to_owned(), answer.clone());
        }
    }
    let goal = Goal::Pair {
        chosen: chosen.to_owned(),
        rejected: rejected.to_owned(),
    };
    sample(&flat, &goal)
}

fn sample(fields: &Map<String, Value>, goal: &Goal) -> Result<Sample, String> {
    check_media(fields)?;
    let columns = ChatColumns {
        messages: "messages".to_owned(),
        system: None,
        tools: Some("tools".to_owned()),
    };
    conversation::sample(fields, &columns, &Tags::open_ai(), goal, false)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(value: Value) -> Map<String, Value> {
        value.as_object().expect("an object").clone()
    }

    /// The example of OpenAI's guide to supervised fine-tuning, with the weights of its guide to chat.
    #[test]
    fn a_conversation_is_read_with_its_weights() {
        let read = conversation(&record(json!({"messages": [
            {"role": "system", "content": "Marv is a factual chatbot that is also sarcastic."},
            {"role": "user", "content": "What's the capital of France?"},
            {"role": "assistant", "content": "Paris", "weight": 0},
            {"role": "user", "content": "Can you be more sarcastic?"},
            {"role": "assistant", "content": "Paris, as if everyone doesn't know that.", "weight": 1},
        ]})));
        let Ok(Sample::Chat { turns, tools: None }) = read else {
            panic!("{read:?}");
        };
        let weights: Vec<f32> = turns.iter().map(|turn| turn.weight).collect();
        assert_eq!(weights, [0.0, 0.0, 0.0, 0.0, 1.0]);
    }

    /// The example of OpenAI's guide to direct preference optimization.
    #[test]
    fn a_preference_is_read_with_both_its_answers() {
        let read = preference(&record(json!({
            "input": {"messages": [{"role": "user", "content": "Hello, can you tell me how cold San Francisco is today?"}],
                      "tools": [], "parallel_tool_calls": true},
            "preferred_output": [{"role": "assistant", "content": "Today in San Francisco, it is not quite cold."}],
            "non_preferred_output": [{"role": "assistant", "content": "It is not particularly cold."}],
        })));
        let Ok(Sample::Pair {
            turns,
            chosen,
            rejected,
        }) = read
        else {
            panic!("{read:?}");
        };
        assert_eq!(turns.len(), 1);
        assert!(chosen.text().starts_with("Today") && rejected.text().starts_with("It is"));
    }

    #[test]
    fn a_changed_record_is_read_or_refused_without_a_panic() {
        let good = r#"{"input": {"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "tools": []}, "preferred_output": [{"role": "assistant", "content": "b", "weight": 1}], "non_preferred_output": [{"role": "assistant", "content": null, "tool_calls": []}], "messages": [{"role": "tool", "tool_call_id": "c", "content": "d"}]}"#;
        let mut read = 0;
        for at in 0..good.len() {
            for change in [b'0', b'"', b'{', b'}', b'[', b']', b' '] {
                let mut bytes = good.as_bytes().to_vec();
                bytes[at] = change;
                if let Ok(Value::Object(record)) = serde_json::from_slice(&bytes) {
                    read += 1;
                    for found in [conversation(&record), preference(&record)] {
                        assert!(found.is_ok() || !found.unwrap_err().is_empty());
                    }
                }
            }
        }
        assert!(read > 100, "{read} changed records are JSON");
    }

    #[test]
    fn what_is_neither_is_refused_with_what_it_lacks() {
        let refused = [
            (
                conversation(&record(json!({"prompt": "a", "completion": "b"}))),
                "no `messages`",
            ),
            (
                conversation(&record(
                    json!({"messages": [{"role": "user", "content": "a"}]}),
                )),
                "no answer",
            ),
            (preference(&record(json!({"messages": []}))), "no `input`"),
            (
                preference(&record(json!({"input": "a"}))),
                "a text instead of an object",
            ),
            (
                preference(&record(json!({
                    "input": {"messages": [{"role": "user", "content": "a"}]},
                    "preferred_output": [{"role": "assistant", "content": "b"}],
                }))),
                "no `non_preferred_output`",
            ),
        ];
        for (found, lacks) in refused {
            let reason = found.expect_err(lacks);
            assert!(reason.contains(lacks), "{reason}");
        }
    }
}
