//! The tools of a request, and what of them the served model's template has a place for.
//!
//! Tools are written into the prompt by the model's own template, as in training. What the model
//! answers stays text: a call comes as the model writes it, in `content`, unless it was forced
//! ([`super::calls`]).

use lathe_engine::Message;
use lathe_engine::template::{Arguments, Skills};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::is_absent;

/// Tools in one request (OpenAI's bound).
const TOOLS_MAX: usize = 128;
/// Calls in one message.
const CALLS_MAX: usize = 128;

/// Reads the member `tools`; none where the list is empty, or `tool_choice` is `none`.
///
/// # Errors
/// 400 naming the tool that is none.
pub(crate) fn read(map: &Map<String, Value>) -> Result<Option<Value>, ApiError> {
    let tools = match map.get("tools") {
        value if is_absent(value) => return Ok(None),
        Some(Value::Array(tools)) if tools.len() <= TOOLS_MAX => tools,
        _ => {
            let message = format!("'tools' must be a list of at most {TOOLS_MAX} functions.");
            return Err(ApiError::invalid(Some("tools"), message));
        }
    };
    for (index, tool) in tools.iter().enumerate() {
        if tool["type"] != "function" || !is_name(&tool["function"]["name"]) {
            let param = format!("tools[{index}]");
            let message = format!(
                "'{param}' must be {{\"type\": \"function\", \"function\": {{\"name\": …}}}}."
            );
            return Err(ApiError::invalid(Some(&param), message));
        }
    }
    let wanted = map.get("tool_choice").is_none_or(|choice| choice != "none");
    let given = !tools.is_empty() && wanted;
    Ok(given.then(|| Value::Array(tools.clone())))
}

/// Reads the member `tool_calls` of the message at `index`; the arguments become objects.
///
/// # Errors
/// 400 naming the call that is none.
pub(crate) fn read_calls(index: usize, value: Option<&Value>) -> Result<Option<Value>, ApiError> {
    let param = format!("messages[{index}].tool_calls");
    let calls = match value {
        value if is_absent(value) => return Ok(None),
        Some(Value::Array(calls)) if (1..=CALLS_MAX).contains(&calls.len()) => calls,
        _ => {
            let message = format!("'{param}' must be a list of 1 to {CALLS_MAX} calls.");
            return Err(ApiError::invalid(Some(&param), message));
        }
    };
    let read = |(place, call): (usize, &Value)| {
        read_call(call).ok_or_else(|| {
            let param = format!("{param}[{place}]");
            let message = format!(
                "'{param}' must be {{\"id\": …, \"type\": \"function\", \"function\": {{\"name\": …, \
                 \"arguments\": …}}}}, the arguments a JSON object in a string."
            );
            ApiError::invalid(Some(&param), message)
        })
    };
    let calls: Result<Vec<Value>, ApiError> = calls.iter().enumerate().map(read).collect();
    calls.map(|calls| Some(Value::Array(calls)))
}

fn read_call(call: &Value) -> Option<Value> {
    let mut call = call.clone();
    if call["type"] != "function" || !is_name(&call["function"]["name"]) {
        return None;
    }
    let arguments: Map<String, Value> = match call["function"].get("arguments") {
        Some(Value::String(text)) if text.trim().is_empty() => Map::new(),
        Some(Value::String(text)) => serde_json::from_str(text).ok()?,
        Some(Value::Object(members)) => members.clone(),
        _ => return None,
    };
    call["function"]["arguments"] = Value::Object(arguments);
    Some(call)
}

fn is_name(value: &Value) -> bool {
    value.as_str().is_some_and(|name| !name.is_empty())
}

/// Refuses what a template with these skills would leave out of the prompt.
///
/// # Errors
/// 400 naming the parameter or the message's member.
pub(crate) fn check(
    messages: &[Message],
    tools: Option<&Value>,
    skills: Skills,
) -> Result<(), ApiError> {
    let lacks = |param: &str, what: &str| {
        let why = format!("the chat template of this model has no place for {what}");
        Err(ApiError::unsupported(param, &why))
    };
    if tools.is_some() && !skills.tools {
        return lacks("tools", "tools");
    }
    for (index, message) in messages.iter().enumerate() {
        let member = |name: &str| format!("messages[{index}].{name}");
        if message.role == "tool" && !skills.results {
            return lacks(&member("role"), "what a tool gave back");
        }
        if message.tool_calls.is_some() && skills.calls.is_none() {
            return lacks(&member("tool_calls"), "calls of tools");
        }
        if message.reasoning_content.is_some() && !skills.reasoning {
            return lacks(&member("reasoning_content"), "reasoning");
        }
    }
    Ok(())
}

/// The messages with the arguments of calls in the form that the template takes.
pub(crate) fn for_template(messages: &[Message], skills: Skills) -> Vec<Message> {
    let form = skills.calls.unwrap_or(Arguments::Object);
    let messages = messages.iter().cloned();
    messages.map(|it| it.with_arguments(form)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_from(value: Value) -> Result<Option<Value>, ApiError> {
        read(value.as_object().expect("an object"))
    }

    #[test]
    fn tools_are_read_as_they_are_or_not_at_all() {
        let tools = json!([{"type": "function", "function": {"name": "f", "strict": true}}]);
        let read = read_from(json!({"tools": tools})).expect("tools");
        assert_eq!(read, Some(tools.clone()));
        for none in [
            json!({}),
            json!({"tools": null}),
            json!({"tools": []}),
            json!({"tools": tools, "tool_choice": "none"}),
        ] {
            assert_eq!(read_from(none.clone()).expect("no tools"), None, "{none}");
        }
    }

    #[test]
    fn what_is_no_tool_and_no_call_is_named() {
        let function = json!({"type": "function", "function": {"name": "f"}});
        for (tools, param) in [
            (json!("f"), "tools"),
            (json!(vec![function.clone(); TOOLS_MAX + 1]), "tools"),
            (json!([function, {"name": "f"}]), "tools[1]"),
            (
                json!([{"type": "custom", "custom": {"name": "f"}}]),
                "tools[0]",
            ),
            (
                json!([{"type": "function", "function": {"name": ""}}]),
                "tools[0]",
            ),
        ] {
            let error = read_from(json!({"tools": tools})).expect_err("no tools");
            assert_eq!(error.body()["error"]["param"], param, "{tools}");
        }
        let call = |arguments: Value| json!([{"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}]);
        let read = read_calls(2, Some(&call(json!("{\"a\": [1]}")))).expect("calls");
        let read = read.expect("one");
        assert_eq!(read[0]["function"]["arguments"], json!({"a": [1]}));
        assert_eq!(read[0]["id"], "1");
        for (calls, param) in [
            (json!([]), "messages[2].tool_calls"),
            (json!({}), "messages[2].tool_calls"),
            (call(json!("[1]")), "messages[2].tool_calls[0]"),
            (call(json!("{")), "messages[2].tool_calls[0]"),
            (call(json!(null)), "messages[2].tool_calls[0]"),
            (json!([{}]), "messages[2].tool_calls[0]"),
            (json!([7]), "messages[2].tool_calls[0]"),
        ] {
            let error = read_calls(2, Some(&calls)).expect_err("no calls");
            assert_eq!(error.body()["error"]["param"], param, "{calls}");
        }
    }
}
