//! Tools and calls of tools, brought to OpenAI's form whatever dataset they come from.

use serde_json::{Map, Value, json};

use super::value::kind;

/// The tools in a column's `value`: a list, or the JSON text of one as LLaMA-Factory stores it.
/// Nothing where the list or the text is empty.
pub(super) fn tools(value: &Value, name: &str) -> Result<Option<Value>, String> {
    let value = match value {
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| format!("its `{name}` is not JSON: {error}"))?,
        other => other.clone(),
    };
    let Value::Array(items) = value else {
        return Err(format!(
            "its `{name}` is {} instead of a list",
            kind(&value)
        ));
    };
    if items.is_empty() {
        return Ok(None);
    }
    let tools = items.into_iter().map(|item| match item {
        Value::Object(tool) => wrapped(tool, "function"),
        other => Err(format!(
            "its `{name}` holds {} instead of an object",
            kind(&other)
        )),
    });
    tools
        .collect::<Result<Vec<_>, _>>()
        .map(|tools| Some(Value::Array(tools)))
}

/// A bare function as `{"type": "function", "function": …}`; what is that already stays.
fn wrapped(mut item: Map<String, Value>, key: &str) -> Result<Value, String> {
    if item.get(key).is_some_and(Value::is_object) {
        item.entry("type")
            .or_insert_with(|| Value::from("function"));
        return Ok(Value::Object(item));
    }
    match item.get("name").and_then(Value::as_str) {
        Some(_) => Ok(json!({"type": "function", "function": item})),
        None => Err("a tool has no `name`".to_owned()),
    }
}

/// The calls in `value`: one or a list of `{"name", "arguments"}`, bare or wrapped as OpenAI does.
pub(super) fn calls(value: &Value) -> Result<Option<Value>, String> {
    let items = match value {
        Value::Array(items) => items.iter().collect(),
        object @ Value::Object(_) => vec![object],
        other => return Err(format!("the tool call is {}", kind(other))),
    };
    if items.is_empty() {
        return Ok(None);
    }
    let calls = items.into_iter().map(call);
    calls
        .collect::<Result<Vec<_>, _>>()
        .map(|calls| Some(Value::Array(calls)))
}

fn call(item: &Value) -> Result<Value, String> {
    let Value::Object(item) = item else {
        return Err(format!(
            "a tool call is {} instead of an object",
            kind(item)
        ));
    };
    let mut call = wrapped(item.clone(), "function")?;
    let function = &mut call["function"];
    if !function["name"].is_string() {
        return Err("a tool call has no `name`".to_owned());
    }
    let arguments = match &function["arguments"] {
        Value::Null => json!({}),
        Value::Object(members) => Value::Object(members.clone()),
        // OpenAI spells the arguments as JSON inside a text; templates want the object.
        Value::String(text) if text.trim().is_empty() => json!({}),
        Value::String(text) => serde_json::from_str::<Map<_, _>>(text)
            .map(Value::Object)
            .map_err(|error| format!("a tool call's `arguments` are no JSON object: {error}"))?,
        other => {
            return Err(format!(
                "a tool call's `arguments` are {} instead of an object",
                kind(other)
            ));
        }
    };
    function["arguments"] = arguments;
    Ok(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_and_wrapped_calls_come_out_alike() {
        let expected =
            json!([{"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}]);
        for given in [
            json!({"name": "f", "arguments": {"a": 1}}),
            json!([{"name": "f", "arguments": "{\"a\": 1}"}]),
            json!([{"type": "function", "function": {"name": "f", "arguments": "{\"a\":1}"}}]),
            json!([{"function": {"name": "f", "arguments": {"a": 1}}}]),
        ] {
            assert_eq!(calls(&given).unwrap().unwrap(), expected, "{given}");
        }
        assert_eq!(calls(&json!([])), Ok(None));
        for broken in [
            json!(1),
            json!([1]),
            json!([{}]),
            json!([{"function": {}}]),
            json!([{"name": "f", "arguments": "[1]"}]),
            json!([{"name": "f", "arguments": 1}]),
        ] {
            assert!(calls(&broken).is_err(), "{broken}");
        }
    }

    #[test]
    fn tools_are_a_list_or_its_text() {
        let expected = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
        let text = json!("[{\"name\": \"f\", \"parameters\": {}}]");
        assert_eq!(tools(&text, "tools").unwrap().unwrap(), expected);
        assert_eq!(tools(&expected, "tools").unwrap().unwrap(), expected);
        for empty in [json!([]), json!(""), json!("[]")] {
            assert_eq!(tools(&empty, "tools"), Ok(None));
        }
        for broken in [json!("x"), json!({}), json!([1]), json!([{"title": 1}])] {
            assert!(tools(&broken, "tools").is_err(), "{broken}");
        }
    }
}
