//! Calls that a caller forces: `tool_choice` of `required`, or naming a function.
//!
//! The answer is then one call, `{"name": …, "arguments": …}` as templates write it, and constrained to be
//! that: the name is of a tool that may be called, the arguments are JSON that the tool's schema accepts.
//! Here is read what is forced; [`super::calls`] reads the answer.

use serde_json::{Map, Value, json};

use super::calls::Calls;
use super::error::ApiError;
use super::fields::is_absent;
use super::format::Shape;
use crate::grammar::Constraint;

const CHOICE: &str = "tool_choice";

/// What has to be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Forced {
    tools: Vec<(String, Map<String, Value>)>,
    /// The caller named the one.
    named: bool,
}

/// Reads the member `tool_choice`, `tools` being those that were given; none where nothing is forced.
///
/// # Errors
/// 400 where it is none of OpenAI's, names no tool of the request, or goes with what could cut the call.
pub(super) fn read(
    map: &Map<String, Value>,
    tools: Option<&Value>,
) -> Result<Option<Forced>, ApiError> {
    let refuse = |message: &str| Err(ApiError::invalid(Some(CHOICE), message));
    let wanted = match map.get(CHOICE) {
        choice if is_absent(choice) => return Ok(None),
        Some(Value::String(choice)) => match choice.as_str() {
            "none" | "auto" => return Ok(None),
            "required" => None,
            _ => {
                return refuse(
                    "'tool_choice' must be 'none', 'auto', 'required' or name a function.",
                );
            }
        },
        Some(choice) if choice["type"] == "function" => match choice["function"]["name"].as_str() {
            Some(name) => Some(name),
            None => return refuse("'tool_choice.function' has no 'name'."),
        },
        _ => {
            let why = "it must be 'none', 'auto', 'required' or {\"type\": \"function\", …}";
            return Err(ApiError::unsupported(CHOICE, why));
        }
    };
    for other in [
        "stop",
        "response_format",
        "structured_outputs",
        "ignore_eos",
    ] {
        if !is_idle(map.get(other)) {
            let message = format!("'{other}' cannot go with a 'tool_choice' that forces a call.");
            return Err(ApiError::invalid(Some(other), message));
        }
    }
    let all = tools.and_then(Value::as_array).into_iter().flatten();
    let mut callable = Vec::new();
    for tool in all {
        let name = tool["function"]["name"].as_str().unwrap_or_default();
        if wanted.is_none_or(|wanted| wanted == name) {
            callable.push((name.to_owned(), parameters(&tool["function"])?));
        }
    }
    if callable.is_empty() {
        return refuse("'tool_choice' asks for a call, but 'tools' has no such function.");
    }
    Ok(Some(Forced {
        tools: callable,
        named: wanted.is_some(),
    }))
}

/// Whether a member asks for nothing.
fn is_idle(value: Option<&Value>) -> bool {
    let idle = |value: &Value| {
        *value == Value::Bool(false) || value["type"] == "text" || *value == json!([])
    };
    is_absent(value) || value.is_some_and(idle)
}

/// The schema of a function's arguments; one that gives none takes none.
fn parameters(function: &Value) -> Result<Map<String, Value>, ApiError> {
    let schema = match &function["parameters"] {
        Value::Null => json!({"type": "object", "properties": {}, "additionalProperties": false}),
        schema => schema.clone(),
    };
    match schema {
        Value::Object(schema) => Ok(schema),
        _ => {
            let message = "The 'parameters' of a tool must be a JSON Schema, an object.";
            Err(ApiError::invalid(Some("tools"), message))
        }
    }
}

impl Forced {
    /// The shape that the answer must have.
    pub(super) fn shape(&self) -> Shape {
        Shape {
            param: CHOICE,
            constraint: Constraint::Call(self.tools.clone()),
        }
    }

    /// How it stands in the answer.
    pub(super) fn calls(&self) -> Calls {
        Calls::Forced { named: self.named }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(choice: Value) -> Map<String, Value> {
        let body = json!({"tool_choice": choice, "tools": [
            {"type": "function", "function": {"name": "now"}},
            {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}},
        ]});
        body.as_object().expect("an object").clone()
    }

    fn read_from(map: &Map<String, Value>) -> Result<Option<Forced>, ApiError> {
        read(map, map.get("tools"))
    }

    fn forced(choice: Value) -> Forced {
        read_from(&request(choice))
            .expect("readable")
            .expect("forced")
    }

    #[test]
    fn what_is_forced_is_read_and_what_makes_no_sense_is_named() {
        for free in [json!(null), json!("auto"), json!("none")] {
            assert_eq!(read_from(&request(free)).expect("readable"), None);
        }
        assert_eq!(forced(json!("required")).tools.len(), 2);
        let look = forced(json!({"type": "function", "function": {"name": "look"}}));
        assert_eq!((look.tools.len(), look.named), (1, true));
        for choice in [
            json!("any"),
            json!(3),
            json!({"type": "function", "function": {}}),
            json!({"type": "function", "function": {"name": "other"}}),
            json!({"type": "allowed_tools"}),
        ] {
            let error = read_from(&request(choice.clone()))
                .expect_err("refused")
                .body();
            assert_eq!(error["error"]["param"], "tool_choice", "{choice}");
        }
        let mut alone = request(json!("required"));
        alone.remove("tools");
        assert!(read_from(&alone).is_err());
        for (other, value) in [
            ("stop", json!("x")),
            ("response_format", json!({"type": "json_object"})),
            ("structured_outputs", json!({"regex": "a"})),
            ("ignore_eos", json!(true)),
        ] {
            let mut both = request(json!("required"));
            both.insert(other.to_owned(), value);
            let error = read_from(&both).expect_err("refused").body();
            assert_eq!(error["error"]["param"], other);
        }
        let mut idle = request(json!("required"));
        idle.extend(
            [
                ("stop", json!([])),
                ("response_format", json!({"type": "text"})),
                ("ignore_eos", json!(false)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        assert!(read_from(&idle).expect("readable").is_some());
    }
}
