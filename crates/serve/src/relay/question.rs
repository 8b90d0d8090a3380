//! What a request asks, as its receipt has it: the messages of its body, which nobody here reads further.
//!
//! For plain texts it is word for word what the receipt of an admitted model says ([`Question`]); what
//! else an upstream takes (pictures, sounds, members of its own) stands in it as the JSON that spells it.

use serde_json::{Map, Value, json};

use super::Interface;
use crate::receipt::Question;

/// Whole numbers that canonical JSON has.
const WHOLE_MAX: u64 = 1 << 53;

/// Members of a request that hold words too, beside the one that the interface asks with.
const BESIDE: [&str; 7] = [
    "documents",
    "functions",
    "input",
    "messages",
    "prompt",
    "suffix",
    "tools",
];
/// Members of a message that are texts.
const TEXTS: [&str; 3] = ["name", "reasoning_content", "tool_call_id"];

/// The question of a request.
pub(crate) fn of(interface: Interface, map: &Map<String, Value>) -> Question {
    let absent = Value::Null;
    let asked = map.get(interface.prompt_member()).unwrap_or(&absent);
    let beside = BESIDE.iter().filter(|it| **it != interface.prompt_member());
    let beside = beside.filter_map(|member| {
        let value = map.get(*member).filter(|it| !is_empty(it))?;
        Some(json!({ *member: spelt(value) }))
    });
    let asked = match (interface, asked) {
        (Interface::Chat, Value::Array(messages)) => messages.iter().map(message).collect(),
        (Interface::Chat, Value::Null) => Vec::new(),
        (Interface::Chat, other) => vec![message(other)],
        (Interface::Completions, asked) => texts("prompt", asked),
        (Interface::Embeddings, asked) => texts("input", asked),
    };
    Question::of_written(beside.chain(asked).collect())
}

/// Tokens that the prompt of a request may have, before the upstream says how many there were: nobody here
/// has the model's tokenizer. Of text one in four bytes; of pictures and sounds none are guessed.
pub(super) fn guessed_tokens(interface: Interface, map: &Map<String, Value>) -> usize {
    let mut words = map.clone();
    let messages = words.get_mut("messages").and_then(Value::as_array_mut);
    for message in messages.into_iter().flatten() {
        if let Some(parts) = message.get_mut("content").and_then(Value::as_array_mut) {
            parts.retain(|part| part["type"] == "text");
        }
    }
    of(interface, &words).messages().len().div_ceil(4)
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || *value == json!([])
}

/// A text as it is, all else as the JSON that spells it.
fn spelt(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// A message: its texts as they are, all else as the text that spells it.
fn message(given: &Value) -> Value {
    let Some(members) = given.as_object() else {
        return json!({"role": null, "content": given.to_string()});
    };
    let mut written =
        json!({"role": given["role"].as_str(), "content": content(&given["content"])});
    for (member, value) in members {
        let is_text = value.is_string() && TEXTS.contains(&member.as_str());
        match member.as_str() {
            "content" => {}
            "role" if value.is_string() => {}
            _ if value.is_null() => {}
            _ if is_text => written[member] = value.clone(),
            "tool_calls" => written[member] = json!(value.to_string()),
            // What is not known here is kept apart, so that no name of it can mean another thing.
            _ => written["more"][member] = json!(value.to_string()),
        }
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
    fn a_picture_is_not_taken_for_the_text_that_spells_it() {
        let guessed = |content: Value| {
            let body = json!({"messages": [{"role": "user", "content": content}]});
            guessed_tokens(Interface::Chat, body.as_object().expect("an object"))
        };
        let url = format!("data:image/png;base64,{}", "A".repeat(100_000));
        let text = json!({"type": "text", "text": "What is in it?"});
        let picture = json!({"type": "image_url", "image_url": {"url": url}});
        assert_eq!(guessed(json!([text, picture])), guessed(json!([text])));
        assert!(guessed(json!([text])) >= 3);
        assert!(guessed(json!("x".repeat(4000))) >= 1000);
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

    #[test]
    fn what_is_asked_beside_the_usual_is_in_it_too() {
        for (interface, body, has) in [
            (
                Interface::Embeddings,
                json!({"messages": [{"role": "user", "content": "embedded"}]}),
                "embedded",
            ),
            (
                Interface::Completions,
                json!({"prompt": "a", "suffix": "and after"}),
                r#""suffix":"and after""#,
            ),
            (
                Interface::Chat,
                json!({"messages": [], "functions": [{"name": "old"}]}),
                "old",
            ),
            (Interface::Chat, json!({"messages": [8]}), "8"),
            (
                Interface::Chat,
                json!({"messages": [{"role": 9, "content": "a"}]}),
                "9",
            ),
            (
                Interface::Chat,
                json!({"messages": [{"role": "assistant", "function_call": {"name": "called"}}]}),
                "called",
            ),
        ] {
            let written = asked(interface, body.clone());
            assert!(written.contains(has), "{body}: {written}");
        }
    }
}
