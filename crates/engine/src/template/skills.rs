//! What a template has a place for beside plain turns: tools, calls of them, what they gave back,
//! what an assistant thought.
//!
//! It is found by rendering small conversations and looking for what was put into them, not by
//! reading the source: a name may stand there without being written anywhere. What a template does
//! in one conversation and not in another (Qwen 3 leaves out what was thought before an earlier
//! question, Llama 3.1 refuses two calls at once) is not told here.

use super::{ChatTemplate, Message};
use serde_json::{Value, json};

/// The tool of the conversations that are rendered.
pub(super) const TOOL: &str = "measure_depth";
/// The argument it is called with.
pub(super) const PLACE: &str = "Lake Baikal";
/// What it gives back.
const RESULT: &str = "1642 metres";
/// What is thought.
const THOUGHT: &str = "That is the deepest lake.";
/// Nine letters and digits: Mistral's templates take no other names of calls.
const CALL: &str = "depth0001";

/// What a template writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skills {
    /// Tools that may be called.
    pub tools: bool,
    /// An assistant's calls, and how it takes their arguments.
    pub calls: Option<Arguments>,
    /// What a tool gave back, in a turn of the role `tool`.
    pub results: bool,
    /// What an assistant thought, as `reasoning_content`.
    pub reasoning: bool,
}

/// How a template takes the arguments of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arguments {
    /// As an object, which it writes itself: nearly all of them.
    Object,
    /// As JSON in a text, which it only copies.
    Text,
}

impl ChatTemplate {
    /// What this template has a place for. It is rendered up to five times.
    pub fn skills(&self) -> Skills {
        let offered = tools();
        let question = Message::new("user", "How deep is it?");
        let asked = std::slice::from_ref(&question);
        let tools = self.writes(asked, Some(&offered), true, TOOL).is_some();
        let offered = tools.then_some(&offered);
        let called = |form| {
            let turns = [question.clone(), call(form)];
            let text = self.writes(&turns, offered, false, PLACE);
            // What Python prints of an object is no JSON: such a template copies a text.
            text.is_some_and(|text| !text.contains("{'place': '"))
        };
        let calls = [Arguments::Object, Arguments::Text]
            .into_iter()
            .find(|form| called(*form));
        let caller = calls.map_or_else(|| Message::new("assistant", "I measure it."), call);
        let answered = [question.clone(), caller, result()];
        let thought = Message {
            reasoning_content: Some(THOUGHT.to_owned()),
            ..Message::new("assistant", RESULT)
        };
        Skills {
            tools,
            calls,
            results: self.writes(&answered, offered, true, RESULT).is_some(),
            reasoning: self
                .writes(&[question, thought], None, false, THOUGHT)
                .is_some(),
        }
    }

    /// The conversation's text, where `mark` stands in it.
    fn writes(
        &self,
        turns: &[Message],
        tools: Option<&Value>,
        open: bool,
        mark: &str,
    ) -> Option<String> {
        let text = self.render_with_tools(turns, tools, open).ok()?;
        text.contains(mark).then_some(text)
    }
}

pub(super) fn tools() -> Value {
    json!([{"type": "function", "function": {
        "name": TOOL,
        "description": "Measures how deep the water is.",
        "parameters": {
            "type": "object",
            "properties": {"place": {"type": "string", "description": "Where."}},
            "required": ["place"],
        },
    }}])
}

pub(super) fn call(form: Arguments) -> Message {
    let function = json!({"name": TOOL, "arguments": {"place": PLACE}});
    let call = Message {
        role: "assistant".to_owned(),
        tool_calls: Some(json!([{"id": CALL, "type": "function", "function": function}])),
        ..Message::default()
    };
    call.with_arguments(form)
}

fn result() -> Message {
    Message {
        tool_call_id: Some(CALL.to_owned()),
        name: Some(TOOL.to_owned()),
        ..Message::new("tool", RESULT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skills(source: &str) -> Skills {
        let template = ChatTemplate::new(source, Default::default());
        template.expect("compiles").skills()
    }

    #[test]
    fn plain_turns_know_nothing_of_tools() {
        let source = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] }}{% endfor %}";
        let expected = Skills {
            results: true,
            ..Skills::default()
        };
        // A call has no content, which such a template cannot add to a text.
        assert_eq!(skills(source), expected);
    }

    #[test]
    fn a_name_in_the_source_is_no_place_in_the_text() {
        let source = "{# tools, tool_calls, reasoning_content #}{% if tools %}{% endif %}{% for m in messages %}{{ m.content }}{% endfor %}";
        let expected = Skills {
            results: true,
            ..Skills::default()
        };
        assert_eq!(skills(source), expected);
    }

    #[test]
    fn arguments_are_taken_as_an_object_or_as_a_text() {
        let calls = |written: &str| {
            let source = format!(
                "{{% for m in messages %}}{{% for c in m.tool_calls or [] %}}{{{{ {written} }}}}{{% endfor %}}{{% endfor %}}"
            );
            skills(&source).calls
        };
        assert_eq!(
            calls("c.function.arguments | tojson"),
            Some(Arguments::Object)
        );
        assert_eq!(calls("c | tojson"), Some(Arguments::Object));
        assert_eq!(calls("c.function.arguments.place"), Some(Arguments::Object));
        assert_eq!(calls("'\\n' + c.function.arguments"), Some(Arguments::Text));
        assert_eq!(calls("c.function.arguments"), Some(Arguments::Text));
        assert_eq!(calls("c.function.name"), None);
    }
}
