//! A correction as a record to learn: what was asked, as OpenAI's files write it, and the right answer
//! at its end.
//!
//! The question comes as the receipt's digest is of it, canonical JSON without fractions: tools and calls
//! of tools stand in it as the text that spells them, and are read back here. Texts without a
//! conversation (`/v1/completions`, `/v1/embeddings`) are none, and are refused.

use lathe_data::samples::open_ai;
use serde_json::{Map, Value, json};

use super::FeedbackRow;
use crate::error::WorkshopError;

/// The conversation of a correction as a record.
///
/// # Errors
/// `feedback-invalid` where what was asked is no conversation.
pub(super) fn record(row: &FeedbackRow, prompt: &str) -> Result<Map<String, Value>, WorkshopError> {
    let asked: Value = serde_json::from_str(prompt).map_err(|error| invalid(&error.to_string()))?;
    let Value::Array(asked) = asked else {
        return Err(invalid("it is no list of messages"));
    };
    let mut record = Map::new();
    let mut messages = Vec::with_capacity(asked.len() + 1);
    for message in asked {
        let role = message["role"].as_str().map(str::to_owned);
        match role.as_deref() {
            None if !message["tools"].is_null() => {
                record.insert("tools".to_owned(), spelt(&message["tools"])?);
            }
            Some("prompt" | "input") => {
                return Err(invalid(
                    "it is a text without a conversation, which corrections cannot teach",
                ));
            }
            _ => messages.push(turn(message)?),
        }
    }
    messages.push(json!({"role": "assistant", "content": row.correction}));
    record.insert("messages".to_owned(), Value::Array(messages));
    open_ai::conversation(&record).map_err(|reason| invalid(&reason))?;
    Ok(record)
}

/// A message as OpenAI's files have it. Answers before the corrected one are not learnt.
fn turn(mut message: Value) -> Result<Value, WorkshopError> {
    let Some(members) = message.as_object_mut() else {
        return Err(invalid("a message is no object"));
    };
    if let Some(calls) = members.get("tool_calls") {
        let calls = spelt(calls)?;
        members.insert("tool_calls".to_owned(), calls);
    }
    if members.get("role").is_some_and(|role| role == "assistant") {
        members.insert("weight".to_owned(), json!(0));
    }
    Ok(message)
}

/// What a text of JSON spells.
fn spelt(text: &Value) -> Result<Value, WorkshopError> {
    let text = text.as_str().unwrap_or_default();
    serde_json::from_str(text).map_err(|error| invalid(&error.to_string()))
}

fn invalid(reason: &str) -> WorkshopError {
    WorkshopError::new(
        "feedback-invalid",
        format!("what was asked cannot be learnt with this answer: {reason}"),
        "send a complaint instead",
    )
}

#[cfg(test)]
mod tests {
    use super::super::tests::row;
    use super::*;

    fn made(prompt: &Value) -> Result<Map<String, Value>, String> {
        record(&row(), &prompt.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn the_right_answer_stands_at_the_end_and_is_learnt_alone() {
        let found = made(&json!([
            {"role": "system", "content": "Rate it."},
            {"role": "user", "content": "One?"},
            {"role": "assistant", "content": "1"},
            {"role": "user", "content": "Two?"},
        ]));
        let messages = found.expect("a record")["messages"].clone();
        assert_eq!(messages[2]["weight"], 0);
        assert_eq!(messages[4], json!({"role": "assistant", "content": "2"}));
        assert_eq!(messages.as_array().map(Vec::len), Some(5));
    }

    #[test]
    fn tools_and_calls_are_read_back() {
        let call = json!([{"id": "1", "type": "function",
                           "function": {"name": "look", "arguments": {"at": 0.5}}}]);
        let tool = json!([{"type": "function", "function": {"name": "look", "parameters": {}}}]);
        let found = made(&json!([
            {"tools": tool.to_string()},
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": null, "tool_calls": call.to_string()},
            {"role": "tool", "content": "sun", "tool_call_id": "1"},
        ]));
        let found = found.expect("a record");
        assert_eq!(found["tools"], tool);
        assert_eq!(found["messages"][1]["tool_calls"], call);
    }

    #[test]
    fn what_is_no_conversation_is_refused() {
        for (prompt, reason) in [
            (
                json!([{"role": "prompt", "content": "The"}]),
                "without a conversation",
            ),
            (
                json!([{"role": "input", "content": "The"}]),
                "without a conversation",
            ),
            (json!({"role": "user"}), "no list"),
            (json!(["x"]), "no object"),
            (json!([{"tools": "["}]), "EOF"),
            (json!([{"role": "narrator", "content": "x"}]), "role"),
        ] {
            let error = made(&prompt).expect_err(reason);
            assert!(error.contains(reason), "{error}");
        }
    }
}
