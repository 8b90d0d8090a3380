//! What a request asks, as its receipt has it: the messages of its body, which nobody here reads further.
//!
//! For plain texts it is word for word what the receipt of an admitted model says ([`Question`]); what
//! else an upstream takes (pictures, sounds) stands in it as the JSON that spells it.

use serde_json::{Map, Value, json};

use super::Interface;
use crate::receipt::Question;

/// Whole numbers that canonical JSON has.
const WHOLE_MAX: u64 = 1 << 53;

/// The question of a request.
pub(crate) fn of(interface: Interface, map: &Map<String, Value>) -> Question {
    let absent = Value::Null;
    let asked = map.get(interface.prompt_member()).unwrap_or(&absent);
    let written = match interface {
        Interface::Chat => {
            let tools = map
                .get("tools")
                .filter(|it| it.as_array().is_some_and(|it| !it.is_empty()));
            let tools = tools.map(|tools| json!({"tools": tools.to_string()}));
            let messages = asked.as_array().into_iter().flatten();
            tools.into_iter().chain(messages.map(message)).collect()
        }
        Interface::Completions => texts("prompt", asked),
        Interface::Embeddings => texts("input", asked),
    };
    Question::of_written(written)
}

/// A message: its texts as they are, all else as the text that spells it.
fn message(given: &Value) -> Value {
    let mut written =
        json!({"role": given["role"].as_str(), "content": content(&given["content"])});
    for member in ["name", "reasoning_content", "tool_call_id"] {
        if let Some(text) = given[member].as_str() {
            written[member] = json!(text);
        }
    }
    if !given["tool_calls"].is_null() {
        written["tool_calls"] = json!(given["tool_calls"].to_string());
    }
    written
}

fn content(given: &Value) -> Value {
    let text = |part: &Value| match part["type"].as_str() {
        Some("text") => part["text"].as_str().map(str::to_owned),
        _ => None,
    };
    match given {
        Value::Null | Value::String(_) => given.clone(),
        Value::Array(parts) => match parts.iter().map(text).collect::<Option<String>>() {
            Some(all) => json!(all),
            None => json!(given.to_string()),
        },
        other => json!(other.to_string()),
    }
}

/// Texts or lists of tokens, one or several.
fn texts(role: &str, given: &Value) -> Vec<Value> {
    let is_token = |it: &Value| it.as_u64().is_some_and(|it| it < WHOLE_MAX);
    let one = |given: &Value| match given {
        Value::String(text) => json!({"role": role, "content": text}),
        Value::Array(tokens) if tokens.iter().all(is_token) => {
            json!({"role": role, "content": null, "tokens": tokens})
        }
        other => json!({"role": role, "content": other.to_string()}),
    };
    match given {
        Value::Array(all) if !all.iter().all(is_token) => all.iter().map(one).collect(),
        given => vec![one(given)],
    }
}

#[cfg(test)]
mod tests {
    use lathe_engine::Message;

    use super::*;

    fn asked(interface: Interface, body: Value) -> String {
        let question = of(interface, body.as_object().expect("an object"));
        question.messages().to_owned()
    }

    #[test]
    fn plain_messages_are_those_that_a_models_receipt_has() {
        let messages = [
            Message::new("system", "Be brief."),
            Message::new("user", "hello"),
        ];
        let own = Question::new(&messages, None, false, false);
        let sent = json!({"model": "m", "temperature": 0.5, "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}]},
        ]});
        assert_eq!(asked(Interface::Chat, sent), own.messages());
    }

    #[test]
    fn all_that_is_asked_is_in_it_whatever_it_is() {
        let picture = json!({"type": "image_url", "image_url": {"url": "data:…", "scale": 0.5}});
        for (interface, body, has) in [
            (
                Interface::Chat,
                json!({"messages": [{"role": "user", "content": [picture]}]}),
                "0.5",
            ),
            (
                Interface::Chat,
                json!({"messages": [{"role": "user", "content": 0.5}]}),
                "0.5",
            ),
            (
                Interface::Chat,
                json!({"messages": [], "tools": [{"x": 1.5}]}),
                "1.5",
            ),
            (Interface::Chat, json!({"messages": [7]}), "role"),
            (
                Interface::Completions,
                json!({"prompt": "a"}),
                r#""content":"a""#,
            ),
            (
                Interface::Completions,
                json!({"prompt": [1, 2]}),
                r#""tokens":[1,2]"#,
            ),
            (
                Interface::Completions,
                json!({"prompt": [[1], "b"]}),
                r#""tokens":[1]"#,
            ),
            (Interface::Completions, json!({"prompt": [0.5]}), "0.5"),
            (
                Interface::Completions,
                json!({"prompt": [1_u64 << 60]}),
                "1152921504606846976",
            ),
            (
                Interface::Embeddings,
                json!({"input": ["a", "b"]}),
                r#""role":"input""#,
            ),
            (Interface::Embeddings, json!({}), "input"),
        ] {
            let written = asked(interface, body.clone());
            assert!(written.contains(has), "{body}: {written}");
        }
    }
}
