//! The conversation of a request: text, and roles that every chat template knows.

use lathe_engine::Message;
use serde_json::Value;

use super::error::ApiError;
use super::fields::is_absent;
use super::tools;

/// Messages in one request.
const MESSAGES_MAX: usize = 4096;

/// Reads the member `messages`.
///
/// # Errors
/// 400 naming the message and its member that cannot be read.
pub(crate) fn read(value: Option<&Value>) -> Result<Vec<Message>, ApiError> {
    let messages = match value {
        Some(Value::Array(messages)) if !messages.is_empty() => messages,
        value if is_absent(value) => {
            let message = "Missing required parameter: 'messages'.";
            return Err(ApiError::invalid(Some("messages"), message));
        }
        _ => {
            let message = "'messages' must be a list of at least one message.";
            return Err(ApiError::invalid(Some("messages"), message));
        }
    };
    if messages.len() > MESSAGES_MAX {
        let message = format!("'messages' holds more than {MESSAGES_MAX} messages.");
        return Err(ApiError::invalid(Some("messages"), message));
    }
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| read_message(index, message))
        .collect()
}

fn read_message(index: usize, value: &Value) -> Result<Message, ApiError> {
    let role_param = format!("messages[{index}].role");
    let role = match value.get("role").and_then(Value::as_str) {
        // The template of an open model knows no developer; OpenAI's own models
        // treat the two as one.
        Some("system" | "developer") => "system",
        Some("user") => "user",
        Some("assistant") => "assistant",
        Some("tool") => "tool",
        Some("function") => {
            return Err(ApiError::unsupported(
                &role_param,
                "'tool' took the place of 'function'",
            ));
        }
        _ => {
            let message = format!(
                "'{role_param}' must be 'system', 'developer', 'user', 'assistant' or 'tool'."
            );
            return Err(ApiError::invalid(Some(&role_param), message));
        }
    };
    for (name, why) in [
        ("function_call", "'tool_calls' took its place"),
        ("audio", "this server reads and writes text"),
    ] {
        if !is_absent(value.get(name)) {
            let param = format!("messages[{index}].{name}");
            return Err(ApiError::unsupported(&param, why));
        }
    }
    let tool_calls = tools::read_calls(index, value.get("tool_calls"))?;
    if tool_calls.is_some() && role != "assistant" {
        let param = format!("messages[{index}].tool_calls");
        let message = format!("'{param}' belongs to an assistant: only the model calls tools.");
        return Err(ApiError::invalid(Some(&param), message));
    }
    let assistants = |name: &str| value.get(name).filter(|_| role == "assistant");
    let content = match value.get("content") {
        content if is_absent(content) && tool_calls.is_some() => None,
        content => Some(read_content(
            &format!("messages[{index}].content"),
            content,
        )?),
    };
    let word = |name: &str, value| read_word(&format!("messages[{index}].{name}"), value);
    let results = |name: &str| value.get(name).filter(|_| role == "tool");
    Ok(Message {
        role: role.to_owned(),
        content,
        reasoning_content: word("reasoning_content", assistants("reasoning_content"))?,
        tool_calls,
        tool_call_id: word("tool_call_id", results("tool_call_id"))?,
        name: word("name", value.get("name"))?,
    })
}

/// A string that may be left out.
fn read_word(param: &str, value: Option<&Value>) -> Result<Option<String>, ApiError> {
    match value {
        value if is_absent(value) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        _ => Err(ApiError::invalid(
            Some(param),
            format!("'{param}' must be a string."),
        )),
    }
}

/// A string, or a list of text parts, which are joined.
///
/// # Errors
/// 400 that names `param`, where it is neither.
pub(crate) fn read_content(param: &str, value: Option<&Value>) -> Result<String, ApiError> {
    let refuse = || {
        let message = format!("'{param}' must be a string or a list of parts of type 'text'.");
        ApiError::invalid(Some(param), message)
    };
    match value {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(Value::Array(parts)) => parts
            .iter()
            .map(
                |part| match (part.get("type").and_then(Value::as_str), part.get("text")) {
                    (Some("text"), Some(Value::String(text))) => Ok(text.as_str()),
                    _ => Err(refuse()),
                },
            )
            .collect(),
        _ => Err(refuse()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn joins_parts_and_takes_a_developer_for_the_system() {
        let parts = json!([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]);
        let messages = json!([
            {"role": "developer", "content": "be brief"},
            {"role": "user", "content": parts, "name": "ann"},
            {"role": "assistant", "content": ""},
        ]);
        let read = read(Some(&messages)).expect("readable");
        let told: Vec<_> = read.iter().map(|m| (m.role.as_str(), m.text())).collect();
        assert_eq!(
            told,
            [("system", "be brief"), ("user", "ab"), ("assistant", "")]
        );
    }

    #[test]
    fn reads_calls_and_what_tools_gave_back() {
        let function = json!({"name": "look", "arguments": "{\"at\": \"Rome\"}"});
        let messages = json!([
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": null, "reasoning_content": "hm",
             "tool_calls": [{"id": "1", "type": "function", "function": function}]},
            {"role": "tool", "content": "sun", "tool_call_id": "1"},
        ]);
        let read = read(Some(&messages)).expect("readable");
        assert_eq!(read[1].content, None);
        assert_eq!(read[1].reasoning_content.as_deref(), Some("hm"));
        assert_eq!(read[1].calls()[0]["function"]["arguments"]["at"], "Rome");
        assert_eq!(read[2].role, "tool");
        assert_eq!(read[2].tool_call_id.as_deref(), Some("1"));
    }

    #[test]
    fn refuses_by_place_what_it_cannot_read() {
        let image = json!([{"type": "image_url", "image_url": {"url": "u"}}]);
        for (message, param) in [
            (
                json!({"role": "narrator", "content": "x"}),
                "messages[1].role",
            ),
            (json!({"content": "x"}), "messages[1].role"),
            (json!("x"), "messages[1].role"),
            (
                json!({"role": "function", "content": "x", "name": "f"}),
                "messages[1].role",
            ),
            (
                json!({"role": "tool", "content": "x", "tool_call_id": 1}),
                "messages[1].tool_call_id",
            ),
            (json!({"role": "assistant"}), "messages[1].content"),
            (
                json!({"role": "user", "content": "x", "name": ["ann"]}),
                "messages[1].name",
            ),
            (json!({"role": "user"}), "messages[1].content"),
            (json!({"role": "user", "content": 5}), "messages[1].content"),
            (
                json!({"role": "user", "content": image}),
                "messages[1].content",
            ),
            (
                json!({"role": "assistant", "tool_calls": [{}]}),
                "messages[1].tool_calls[0]",
            ),
        ] {
            let messages = json!([{"role": "user", "content": "hello"}, message]);
            let error = read(Some(&messages)).expect_err("unreadable");
            assert_eq!(error.body()["error"]["param"], param, "{message}");
        }
    }

    #[test]
    fn refuses_what_is_no_conversation() {
        let many = vec![json!({"role": "user", "content": ""}); MESSAGES_MAX + 1];
        for messages in [
            json!([]),
            json!("hello"),
            json!(null),
            json!({}),
            json!(many),
        ] {
            let error = read(Some(&messages)).expect_err("unreadable");
            assert_eq!(error.body()["error"]["param"], "messages");
        }
        assert!(read(None).is_err());
    }
}
