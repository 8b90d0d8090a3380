//! One turn of a conversation as a template sees it.

use super::python::json_text;
use super::skills::Arguments;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One turn, with the keys that `transformers` hands to a template: what is absent here is absent
/// there, except `content`, which is null where a turn says nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`, or what else the template knows.
    pub role: String,
    /// The text of the turn; nothing where calls are all there is.
    #[serde(default)]
    pub content: Option<String>,
    /// What an assistant thought before it spoke.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
    /// The tools that an assistant calls, in OpenAI's form, the arguments an object:
    /// `[{"type": "function", "function": {"name": …, "arguments": {…}}}]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Value>,
    /// Which call a tool answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Who speaks among those of one role: the tool's name, mostly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl Message {
    /// A turn of nothing but words.
    pub fn new(role: &str, content: impl Into<String>) -> Self {
        Self {
            role: role.to_owned(),
            content: Some(content.into()),
            ..Self::default()
        }
    }

    /// What is said; empty where nothing is.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }

    /// The calls, one by one; none where there are none.
    pub fn calls(&self) -> &[Value] {
        let calls = self.tool_calls.as_ref().and_then(Value::as_array);
        calls.map_or(&[], Vec::as_slice)
    }

    /// The same with the arguments of its calls in the form that a template takes. A text is written
    /// as Python writes JSON; what is a text already stays.
    #[must_use]
    pub fn with_arguments(mut self, form: Arguments) -> Self {
        if form == Arguments::Object {
            return self;
        }
        let calls = self.tool_calls.as_mut().and_then(Value::as_array_mut);
        for call in calls.into_iter().flatten() {
            if let Some(arguments) = call.pointer_mut("/function/arguments")
                && !arguments.is_string()
            {
                *arguments = Value::String(json_text(arguments));
            }
        }
        self
    }
}

/// A message as it is handed to a template: what was thought also under the name that gpt-oss's
/// templates read, as in `transformers` (`_alias_reasoning_fields`).
#[derive(Serialize)]
pub(super) struct Handed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    thinking: Option<&'a str>,
    #[serde(flatten)]
    message: &'a Message,
}

impl<'a> From<&'a Message> for Handed<'a> {
    fn from(message: &'a Message) -> Self {
        Self {
            thinking: message.reasoning_content.as_deref(),
            message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_absent_is_not_handed_on() {
        let plain = serde_json::to_value(Message::new("user", "Hi")).expect("JSON");
        assert_eq!(plain, json!({"role": "user", "content": "Hi"}));
        let calls = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
        let call = Message {
            role: "assistant".to_owned(),
            tool_calls: Some(calls.clone()),
            ..Message::default()
        };
        let written = serde_json::to_value(&call).expect("JSON");
        let expected = json!({"role": "assistant", "content": null, "tool_calls": calls});
        assert_eq!(written, expected);
        assert_eq!(
            serde_json::from_value::<Message>(expected).expect("a message"),
            call
        );
    }

    #[test]
    fn arguments_become_the_text_that_python_writes() {
        let with = |arguments: Value| Message {
            tool_calls: Some(json!([{"function": {"name": "f", "arguments": arguments}}])),
            ..Message::default()
        };
        let object = with(json!({"at": "Köln", "far": [1, 2.0, 1e-7]}));
        let text = with(json!("{\"at\": \"Köln\", \"far\": [1, 2.0, 1e-07]}"));
        assert_eq!(object.clone().with_arguments(Arguments::Text), text);
        assert_eq!(text.clone().with_arguments(Arguments::Text), text);
        assert_eq!(object.clone().with_arguments(Arguments::Object), object);
        assert_eq!(object.calls().len(), 1);
    }
}
