//! How a template writes a call of a tool, so that a call can be found in what a model answers: it
//! answers as its template writes.
//!
//! Known is one form, that of Hermes and all Qwen models: a JSON object of a name and arguments between
//! two texts, one for each call. It is found by rendering a call and looking at what stands around the
//! object, not by reading the source. Lists of calls, calls without anything around them and forms of
//! other languages are not found, and their template has none as far as this file is concerned.

use super::skills::{PLACE, TOOL, call, tools};
use super::{ChatTemplate, Message};
use serde_json::{Map, Value, json};

/// An answer without a call.
const SAID: &str = "It is deep enough.";

/// A call as a template writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallForm {
    /// What stands before the object; never empty.
    pub open: String,
    /// What stands behind it; never empty.
    pub close: String,
    /// The member that names the tool.
    pub name: String,
    /// The member with the arguments, an object.
    pub arguments: String,
}

impl ChatTemplate {
    /// The form of the calls that this template writes, where it is one that is known here.
    pub fn call_form(&self) -> Option<CallForm> {
        let written = call(self.skills().calls?);
        let (offered, question) = (tools(), Message::new("user", "How deep is it?"));
        let render = |answer: Message| {
            let turns = [question.clone(), answer];
            self.render_with_tools(&turns, Some(&offered), false).ok()
        };
        let (said, called) = (render(Message::new("assistant", SAID))?, render(written)?);
        let at = said.rfind(SAID)?;
        let (before, behind) = (&said[..at], &said[at + SAID.len()..]);
        let turn = called.strip_prefix(before)?.strip_suffix(behind)?;
        turn.match_indices('{')
            .find_map(|(at, _)| form_of(turn, at))
    }
}

/// The form, where the object that begins at `at` is the call.
fn form_of(turn: &str, at: usize) -> Option<CallForm> {
    let mut objects = serde_json::Deserializer::from_str(&turn[at..]).into_iter();
    let object: Map<String, Value> = objects.next()?.ok()?;
    let end = at + objects.byte_offset();
    let key = |wanted: Value| {
        let mut members = object.iter();
        members
            .find(|(_, value)| **value == wanted)
            .map(|(key, _)| key.clone())
    };
    let form = CallForm {
        open: turn[..at].trim().to_owned(),
        close: turn[end..].trim().to_owned(),
        name: key(json!(TOOL))?,
        arguments: key(json!({"place": PLACE}))?,
    };
    let known = object.len() == 2 && !form.open.is_empty() && !form.close.is_empty();
    known.then_some(form)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vectors() -> Value {
        let file = include_str!("../../../../tests/reference/tool-vectors.json");
        serde_json::from_str(file).expect("JSON")
    }

    fn form(source: &str) -> Option<CallForm> {
        let special = [("bos_token", "<s>"), ("eos_token", "</s>")];
        let special = special.map(|(name, token)| (name.to_owned(), token.to_owned()));
        let template = ChatTemplate::new(source, special.into());
        template.expect("compiles").call_form()
    }

    #[test]
    fn the_form_between_two_texts_is_found_and_no_other() {
        let vectors = vectors();
        let of = |name: &str| {
            let source = vectors["templates"][name]["source"].as_str();
            form(source.expect("a template"))
        };
        let hermes = CallForm {
            open: "<tool_call>".to_owned(),
            close: "</tool_call>".to_owned(),
            name: "name".to_owned(),
            arguments: "arguments".to_owned(),
        };
        assert_eq!(of("hermes"), Some(hermes.clone()));
        assert_eq!(of("thinking"), Some(hermes));
        // Nothing stands around these.
        assert_eq!((of("header"), of("copied")), (None, None));
    }

    #[test]
    fn other_names_of_members_are_read_off_too() {
        let turns = "{% for m in messages %}<{{ m.role }}>{{ m.content or '' }}{% for c in m.tool_calls or [] %}\
                     [CALL] {{ {'tool': c.function.name, 'parameters': c.function.arguments} | tojson }} [END]\
                     {% endfor %}</turn>{% endfor %}";
        let source = format!("{{{{ tools | tojson }}}}{turns}");
        let found = form(&source).expect("a form");
        assert_eq!(
            (found.open.as_str(), found.close.as_str()),
            ("[CALL]", "[END]")
        );
        assert_eq!(
            (found.name.as_str(), found.arguments.as_str()),
            ("tool", "parameters")
        );
        assert_eq!(
            form("{% for m in messages %}{{ m.content }}{% endfor %}"),
            None
        );
    }
}
