//! Calls that a caller forces: `tool_choice` of `required`, or naming a function.
//!
//! The answer is then one call, `{"name": …, "arguments": …}` as templates write it, and constrained to be
//! that: the name is of a tool that may be called, the arguments are JSON that the tool's schema accepts.
//! Here is read what is forced, and the text is taken apart into OpenAI's members, whole or piece by
//! piece. A call that is not forced stays text, as the model writes it.

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::error::ApiError;
use super::fields::is_absent;
use super::format::Shape;
use crate::grammar::{Constraint, call_head};
use crate::scheduler::FinishReason;

const CHOICE: &str = "tool_choice";

/// What has to be called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calls {
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
) -> Result<Option<Calls>, ApiError> {
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
    Ok(Some(Calls {
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

impl Calls {
    /// The shape that the answer must have.
    pub(super) fn shape(&self) -> Shape {
        Shape {
            param: CHOICE,
            constraint: Constraint::Call(self.tools.clone()),
        }
    }

    /// As OpenAI spells why such an answer ended.
    pub(super) fn finish_reason(&self, reason: FinishReason) -> &'static str {
        match reason {
            FinishReason::Stop if !self.named => "tool_calls",
            reason => reason.as_str(),
        }
    }

    /// The member `tool_calls` of a whole answer; null where its text broke off before the name.
    pub(super) fn whole(&self, text: &str, reason: FinishReason) -> Value {
        let mut call = CallText::default();
        let begun = call.take(self, text);
        call.end(reason);
        match begun {
            None => Value::Null,
            Some(_) => json!([{
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }]),
        }
    }
}

/// The text of a call that is being made.
#[derive(Debug, Default)]
pub(super) struct CallText {
    /// What was read before the name was known.
    head: String,
    id: String,
    name: String,
    /// Known to be of the arguments.
    arguments: String,
    /// A brace that ends the arguments, or the call.
    held: bool,
}

impl CallText {
    /// The text goes on. Returns what a stream's `tool_calls` says now, if there is anything.
    pub(super) fn take(&mut self, calls: &Calls, text: &str) -> Option<Value> {
        if !self.id.is_empty() {
            let more = self.more(text);
            return (!more.is_empty()).then(|| piece(&more));
        }
        self.head.push_str(text);
        let (name, rest) = calls
            .tools
            .iter()
            .find_map(|(name, _)| Some((name, self.head.strip_prefix(&call_head(name))?)))?;
        let rest = rest.to_owned();
        self.name.clone_from(name);
        self.id = format!("call_{}", Uuid::now_v7().simple());
        let arguments = self.more(&rest);
        Some(json!([{
            "index": 0,
            "id": self.id,
            "type": "function",
            "function": {"name": self.name, "arguments": arguments},
        }]))
    }

    /// The text is at its end. Returns what was held back and belongs to the arguments.
    pub(super) fn end(&mut self, reason: FinishReason) -> Option<Value> {
        // Cut at its longest, only the last brace may be missing.
        let whole = || serde_json::from_str::<Value>(&self.arguments).is_ok();
        let own = self.held && reason == FinishReason::Length && !whole();
        self.held = false;
        own.then(|| {
            self.arguments.push('}');
            piece("}")
        })
    }

    /// The arguments go on; the last brace waits, since it may be the call's.
    fn more(&mut self, text: &str) -> String {
        let mut more = String::new();
        if self.held && !text.is_empty() {
            more.push('}');
            self.held = false;
        }
        more.push_str(text);
        if more.ends_with('}') {
            more.pop();
            self.held = true;
        }
        self.arguments.push_str(&more);
        more
    }
}

fn piece(arguments: &str) -> Value {
    json!([{"index": 0, "function": {"arguments": arguments}}])
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

    fn read_from(map: &Map<String, Value>) -> Result<Option<Calls>, ApiError> {
        read(map, map.get("tools"))
    }

    fn forced(choice: Value) -> Calls {
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

    #[test]
    fn a_call_comes_apart_the_same_wherever_it_was_cut() {
        let calls = forced(json!("required"));
        let text = r#"{"name": "look", "arguments": {"at": {"x": "}é"}}}"#;
        for cut in (0..=text.len()).filter(|at| text.is_char_boundary(*at)) {
            let (mut call, mut arguments, mut names) =
                (CallText::default(), String::new(), Vec::new());
            for part in [&text[..cut], &text[cut..]] {
                if let Some(said) = call.take(&calls, part) {
                    let function = &said[0]["function"];
                    arguments.push_str(function["arguments"].as_str().expect("a text"));
                    names.extend(function["name"].as_str().map(str::to_owned));
                }
            }
            assert_eq!(call.end(FinishReason::Stop), None);
            assert_eq!(arguments, r#"{"at": {"x": "}é"}}"#, "cut at {cut}");
            assert_eq!(names, ["look"]);
        }
    }

    #[test]
    fn what_was_cut_at_its_longest_ends_where_it_was_cut() {
        let calls = forced(json!("required"));
        let arguments = |text: &str| {
            let whole = calls.whole(text, FinishReason::Length);
            whole[0]["function"]["arguments"]
                .as_str()
                .map(str::to_owned)
        };
        let head = r#"{"name": "look", "arguments": "#;
        assert_eq!(arguments(&head[..9]), None);
        assert_eq!(arguments(head).as_deref(), Some(""));
        // Of two braces the first is the arguments', of one only they know.
        for (text, expected) in [("{}", "{}"), ("{}}", "{}"), ("{\"a\": {}", "{\"a\": {}")] {
            assert_eq!(
                arguments(&format!("{head}{text}")).as_deref(),
                Some(expected)
            );
        }
        let whole = calls.whole(&format!("{head}{{}}}}"), FinishReason::Stop);
        assert_eq!(
            whole[0]["function"],
            json!({"name": "look", "arguments": "{}"})
        );
        assert_eq!(calls.finish_reason(FinishReason::Stop), "tool_calls");
        let named = forced(json!({"type": "function", "function": {"name": "now"}}));
        assert_eq!(named.finish_reason(FinishReason::Stop), "stop");
    }
}
