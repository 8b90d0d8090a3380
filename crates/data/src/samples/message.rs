//! One message of a list of messages, and lists of them.

use serde_json::{Map, Value};

use super::tags::Speaker;
use super::value::{self, Fields, given, kind};
use super::{Role, Tags, Turn, tools};
use crate::nearest;

/// The keys under which datasets keep what an assistant thought.
const REASONING: [&str; 3] = ["reasoning_content", "reasoning", "thinking"];

/// The messages in a column's `value`.
pub(super) fn turns(value: &Value, name: &str, tags: &Tags) -> Result<Vec<Turn>, String> {
    let items = value::as_list(value, name)?;
    if items.is_empty() {
        return Err(format!("its `{name}` is empty"));
    }
    (1..)
        .zip(items.iter())
        .map(|(place, item)| {
            turn(item, tags).map_err(|reason| format!("message {place} of `{name}` {reason}"))
        })
        .collect()
}

/// One message. An error reads on from "the message".
pub(super) fn turn(message: &Value, tags: &Tags) -> Result<Turn, String> {
    let Value::Object(message) = message else {
        return Err(format!("is {} instead of an object", kind(message)));
    };
    let speaker = speaker(message, tags)?;
    let given_content = given(message, &tags.content);
    let content = given_content.map(|content| content_text(content, &tags.content));
    let content = content.transpose()?.unwrap_or_default();
    let mut turn = match speaker {
        Speaker::System => said(Role::System, content),
        Speaker::User => said(Role::User, content),
        Speaker::Tool => said(Role::Tool, content),
        Speaker::Assistant => said(Role::Assistant, content),
        Speaker::Call => spoken_call(&content)?,
    };
    if turn.role == Role::Assistant {
        add_assistants_own(&mut turn, message)?;
    }
    if given_content.is_none() {
        if turn.tool_calls.is_none() {
            return Err(format!("has no `{}`", tags.content));
        }
        turn.content = None;
    }
    turn.name = word(message, "name")?;
    if turn.role == Role::Tool {
        turn.tool_call_id = word(message, "tool_call_id")?;
    }
    turn.weight = weight(message, turn.role)?;
    Ok(turn)
}

/// A turn of nothing but words; an assistant's is learnt from.
pub(super) fn said(role: Role, content: impl Into<String>) -> Turn {
    Turn {
        role,
        content: Some(content.into()),
        reasoning: None,
        tool_calls: None,
        tool_call_id: None,
        name: None,
        weight: f32::from(u8::from(role == Role::Assistant)),
    }
}

fn speaker(message: &Fields, tags: &Tags) -> Result<Speaker, String> {
    let role = match given(message, &tags.role) {
        Some(Value::String(role)) => role,
        Some(other) => return Err(format!("has {} as its `{}`", kind(other), tags.role)),
        None => {
            let keys = message.keys().map(String::as_str);
            let hint = nearest::hint(&tags.role, keys);
            return Err(format!("has no `{}`{hint}", tags.role));
        }
    };
    tags.speaker(role).ok_or_else(|| {
        let shown: String = role.chars().take(40).collect();
        format!(
            "is by `{shown}`, which is no role{}",
            nearest::hint(&shown, tags.roles())
        )
    })
}

/// The content as a text: itself, or its parts of text one after another.
fn content_text(content: &Value, name: &str) -> Result<String, String> {
    let parts = match content {
        Value::String(text) => return Ok(text.clone()),
        Value::Array(parts) => parts,
        other => return Err(format!("has {} as its `{name}`", kind(other))),
    };
    let mut whole = String::new();
    for part in parts {
        let text = match (part, &part["type"], &part["text"]) {
            (Value::String(text), ..) => text,
            (_, Value::String(kind), Value::String(text)) if kind == "text" => text,
            (_, Value::String(kind), _) if kind != "text" => {
                let kind: String = kind.chars().take(40).collect();
                return Err(format!(
                    "has a part of type `{kind}`; only text is learnt from"
                ));
            }
            _ => {
                return Err(format!(
                    "has a part of `{name}` that is not {{\"type\": \"text\", \"text\": …}}"
                ));
            }
        };
        whole.push_str(text);
    }
    Ok(whole)
}

/// A turn whose content is the JSON of a call, after what was thought of it between `<think>` tags.
fn spoken_call(content: &str) -> Result<Turn, String> {
    let thought = content.trim_start().strip_prefix("<think>");
    let (thought, call) = match thought.and_then(|rest| rest.split_once("</think>")) {
        Some((thought, call)) => (Some(thought.trim().to_owned()), call),
        None => (None, content),
    };
    let call: Value = serde_json::from_str(call.trim())
        .map_err(|error| format!("calls a tool in what is not JSON: {error}"))?;
    let mut turn = said(Role::Assistant, "");
    turn.content = None;
    turn.reasoning = thought.filter(|thought| !thought.is_empty());
    turn.tool_calls = tools::calls(&call)?;
    Ok(turn)
}

/// Adds what only assistants have: calls of tools and reasoning.
fn add_assistants_own(turn: &mut Turn, message: &Map<String, Value>) -> Result<(), String> {
    // `function_call` is how OpenAI wrote a call before `tool_calls`.
    for key in ["tool_calls", "function_call"] {
        if let (None, Some(calls)) = (&turn.tool_calls, given(message, key)) {
            turn.tool_calls =
                tools::calls(calls).map_err(|reason| format!("cannot be used: {reason}"))?;
        }
    }
    for key in REASONING {
        match given(message, key) {
            Some(Value::String(text)) if turn.reasoning.is_none() && !text.is_empty() => {
                turn.reasoning = Some(text.clone());
            }
            Some(Value::String(_)) | None => {}
            Some(other) => return Err(format!("has {} as its `{key}`", kind(other))),
        }
    }
    Ok(())
}

/// A member that is a text, if it is there.
fn word(message: &Fields, key: &str) -> Result<Option<String>, String> {
    match given(message, key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(format!("has {} as its `{key}`", kind(other))),
    }
}

/// How much is learnt from a message: by its `weight`, else all of an assistant's.
fn weight(message: &Fields, role: Role) -> Result<f32, String> {
    let usual = f32::from(u8::from(role == Role::Assistant));
    let Some(given) = given(message, "weight") else {
        return Ok(usual);
    };
    let weight = given
        .as_f64()
        .filter(|weight| (0.0..=1.0).contains(weight))
        .ok_or_else(|| format!("has the `weight` {given}; it must be 0, 1 or between them"))?;
    if role != Role::Assistant && weight != 0.0 {
        return Err("has a `weight`, and only assistants are learnt from".to_owned());
    }
    Ok(weight as f32)
}

/// Refuses an answer that says, thinks and calls nothing, and what is no answer at all.
pub(super) fn check_answer(turn: &Turn) -> Result<(), String> {
    if turn.role != Role::Assistant {
        return Err("is not by the assistant".to_owned());
    }
    if turn.text().trim().is_empty() && turn.tool_calls.is_none() {
        return Err("is empty".to_owned());
    }
    Ok(())
}
