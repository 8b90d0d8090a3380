//! A conversation as the model's template takes it, and what the template would leave out.
//!
//! Tools, calls, results and reasoning are handed over as `transformers` hands them over, and the
//! template writes them in the way its model was trained on. What it has no place for is refused:
//! a model that is shown answers about tools without the tools learns to make them up. Reasoning is
//! the exception, since it has a form without a place of its own: in the text, between `<think>` tags.

use lathe_data::samples::{Role, Turn};
use lathe_engine::Message;
use lathe_engine::template::{Arguments, Skills};
use serde_json::Value;

/// What to do about a template that lacks something.
const NEXT: &str = "use a model whose template writes it, or put such a template into the model's folder as \
     chat_template.jinja";

/// The turns as messages for a template with these skills.
///
/// # Errors
/// What such a template does not write, and what to do.
pub(super) fn messages(
    turns: &[Turn],
    tools: Option<&Value>,
    skills: Skills,
) -> Result<Vec<Message>, String> {
    if tools.is_some() && !skills.tools {
        return Err(format!(
            "it names tools, which the model's chat template does not write: {NEXT}; or learn without \
             them and leave the column out"
        ));
    }
    let message = |(place, turn): (usize, &Turn)| {
        let lacks = |what: &str| {
            Err(format!(
                "turn {place} {what}, which the model's chat template does not write: {NEXT}"
            ))
        };
        if turn.tool_calls.is_some() && skills.calls.is_none() {
            return lacks("calls a tool");
        }
        if turn.role == Role::Tool && !skills.results {
            return lacks("is what a tool gave back");
        }
        Ok(handed_over(turn, skills))
    };
    (1..).zip(turns).map(message).collect()
}

fn handed_over(turn: &Turn, skills: Skills) -> Message {
    let role = match turn.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let content = match &turn.reasoning {
        Some(reasoning) if !skills.reasoning => {
            Some(format!("<think>\n{reasoning}\n</think>\n\n{}", turn.text()))
        }
        _ => turn.content.clone(),
    };
    let message = Message {
        role: role.to_owned(),
        content,
        reasoning_content: turn.reasoning.clone().filter(|_| skills.reasoning),
        tool_calls: turn.tool_calls.clone(),
        tool_call_id: turn.tool_call_id.clone(),
        name: turn.name.clone(),
    };
    message.with_arguments(skills.calls.unwrap_or(Arguments::Object))
}

/// What of an assistant's turn does not stand in `written`, the text that a template made of it: some
/// write only the first of several calls, nothing that is said beside a call, or, of a text that
/// begins `with_thought`, not the thought.
pub(super) fn left_out(message: &Message, written: &str, with_thought: bool) -> Option<String> {
    let mut rest = written;
    for call in message.calls() {
        let name = call["function"]["name"].as_str().unwrap_or_default();
        match rest.split_once(name) {
            Some((_, after)) => rest = after,
            None => return Some(format!("the call of `{name}`")),
        }
    }
    let text = message.text();
    let said = match with_thought {
        true => text,
        // What was thought before is the template's own to write or to leave out.
        false => text.rsplit("</think>").next().unwrap_or_default(),
    };
    (!written.contains(said.trim())).then(|| "what is said or thought".to_owned())
}

/// Whether templates are known to leave something out of such a turn.
pub(super) fn is_at_risk(message: &Message, with_thought: bool) -> bool {
    let thought = with_thought && message.text().contains("</think>");
    message.role == "assistant" && (thought || !message.calls().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_call_and_what_is_said_beside_it_has_to_be_written() {
        let call = |name: &str| json!({"function": {"name": name, "arguments": {}}});
        let message = |names: &[&str]| Message {
            tool_calls: Some(names.iter().map(|name| call(name)).collect()),
            ..Message::new("assistant", "<think>\nhm\n</think>\n\nA moment. ")
        };
        let check = |names: &[&str], written: &str, thought, expected: Option<&str>| {
            let found = left_out(&message(names), written, thought);
            assert_eq!(found.as_deref(), expected, "{written}");
        };
        let missing = Some("the call of `look`");
        check(&["look"; 2], "A moment.\nlook {}\nlook {}", false, None);
        check(&["look"; 2], "A moment.\nlook {}", false, missing);
        let missing = Some("what is said or thought");
        check(&["look"], "look {}", false, missing);
        check(&["look"], "A moment.\nlook {}", true, missing);
        let whole = "<think>\nhm\n</think>\n\nA moment.\nlook {}";
        check(&["look"], whole, true, None);
        assert!(is_at_risk(&message(&[]), true));
        assert!(!is_at_risk(&message(&[]), false));
    }
}
