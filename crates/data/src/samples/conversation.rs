//! Lists of messages: sharegpt and OpenAI's messages, to answer, to prefer and to judge.

use serde_json::Value;

use super::message::{self, check_answer, said};
use super::value::{self, Fields, given, kind, optional_text, required};
use super::{ChatColumns, Goal, Role, Sample, Tags, Turn, results, tools};

/// The sample in a record. `alternating` is sharegpt's rule: questions and answers in turn.
pub(super) fn sample(
    fields: &Fields,
    columns: &ChatColumns,
    tags: &Tags,
    goal: &Goal,
    alternating: bool,
) -> Result<Sample, String> {
    let messages = required(fields, &columns.messages)?;
    let mut turns = message::turns(messages, &columns.messages, tags)?;
    if alternating {
        check_alternation(&turns)?;
    }
    add_system(&mut turns, fields, columns.system.as_deref())?;
    let tools = record_tools(fields, columns.tools.as_deref())?;
    match goal {
        Goal::Answers => chat(turns, tools),
        Goal::Pair { chosen, rejected } => {
            let answer = |name: &str| answer_in(required(fields, name)?, name, tags);
            pair(turns, answer(chosen)?, answer(rejected)?, tools)
        }
        Goal::Judged { wanted } => {
            let answer = turns.pop().ok_or("it has no messages")?;
            judged(turns, answer, value::flag(fields, wanted)?, tools)
        }
    }
}

/// A conversation to learn the answers of.
pub(super) fn chat(turns: Vec<Turn>, tools: Option<Value>) -> Result<Sample, String> {
    match turns.last() {
        Some(last) if last.role == Role::Assistant => {}
        _ => {
            return Err("its last message is not by the assistant, so it has no answer".to_owned());
        }
    }
    for (place, turn) in (1..).zip(&turns) {
        if turn.weight > 0.0 {
            check_answer(turn).map_err(|reason| format!("the answer in turn {place} {reason}"))?;
        }
    }
    if turns.iter().all(|turn| turn.weight == 0.0) {
        return Err("no turn of it is learnt from: every `weight` is 0".to_owned());
    }
    results::check(&turns)?;
    Ok(Sample::Chat { turns, tools })
}

/// A preference between two answers.
pub(super) fn pair(
    turns: Vec<Turn>,
    chosen: Turn,
    rejected: Turn,
    tools: Option<Value>,
) -> Result<Sample, String> {
    check_question(&turns)?;
    check_no_tools(tools)?;
    for (name, answer) in [("chosen", &chosen), ("rejected", &rejected)] {
        check_answer(answer).map_err(|reason| format!("its {name} answer {reason}"))?;
    }
    if chosen == rejected {
        return Err("its chosen and its rejected answer are the same".to_owned());
    }
    Ok(Sample::Pair {
        turns,
        chosen,
        rejected,
    })
}

/// A judged answer.
pub(super) fn judged(
    turns: Vec<Turn>,
    answer: Turn,
    wanted: bool,
    tools: Option<Value>,
) -> Result<Sample, String> {
    check_question(&turns)?;
    check_no_tools(tools)?;
    check_answer(&answer).map_err(|reason| format!("its answer {reason}"))?;
    Ok(Sample::Judged {
        turns,
        answer,
        wanted,
    })
}

fn check_question(turns: &[Turn]) -> Result<(), String> {
    results::check(turns)?;
    match turns.last().map(|turn| turn.role) {
        Some(Role::User | Role::Tool) => Ok(()),
        Some(_) => Err("the message before its answer is not a question".to_owned()),
        None => Err("it has no question".to_owned()),
    }
}

fn check_no_tools(tools: Option<Value>) -> Result<(), String> {
    match tools {
        None => Ok(()),
        Some(_) => {
            Err("it has tools, which preferences are not learnt with; remove them".to_owned())
        }
    }
}

/// Puts the system prompt of a column before turns that do not begin with one of their own.
pub(super) fn add_system(
    turns: &mut Vec<Turn>,
    fields: &Fields,
    column: Option<&str>,
) -> Result<(), String> {
    let system = optional_text(fields, column)?;
    if let Some(system) = system
        && turns.first().is_none_or(|turn| turn.role != Role::System)
    {
        turns.insert(0, said(Role::System, system));
    }
    Ok(())
}

/// The tools of a record; OpenAI called them `functions` once.
pub(super) fn record_tools(fields: &Fields, column: Option<&str>) -> Result<Option<Value>, String> {
    let Some(column) = column else {
        return Ok(None);
    };
    for name in [column, "functions"] {
        if let Some(value) = given(fields, name) {
            return tools::tools(value, name);
        }
    }
    Ok(None)
}

/// Sharegpt's positions: after a system prompt, who asks (user, tool) stands in odd places and who
/// answers in even ones.
fn check_alternation(turns: &[Turn]) -> Result<(), String> {
    let systems = usize::from(turns.first().is_some_and(|turn| turn.role == Role::System));
    for (place, turn) in turns.iter().enumerate().skip(systems) {
        let asks_here = (place - systems).is_multiple_of(2);
        let fits = match turn.role {
            Role::User | Role::Tool => asks_here,
            Role::Assistant => !asks_here,
            Role::System => false,
        };
        if !fits {
            let expected = match asks_here {
                true => "a question (user or tool)",
                false => "an answer (assistant or call)",
            };
            return Err(format!(
                "message {} is by the {}, where {expected} must stand",
                place + 1,
                role_name(turn.role)
            ));
        }
    }
    Ok(())
}

fn role_name(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

/// One answer: a text, a message, or a list of one message.
pub(super) fn answer_in(value: &Value, name: &str, tags: &Tags) -> Result<Turn, String> {
    match value {
        Value::Object(_) => {
            message::turn(value, tags).map_err(|reason| format!("its `{name}` {reason}"))
        }
        Value::Array(_) => {
            let mut turns = message::turns(value, name, tags)?;
            match (turns.pop(), turns.is_empty()) {
                (Some(turn), true) => Ok(turn),
                _ => Err(format!("its `{name}` has more than one message")),
            }
        }
        Value::String(text) => Ok(said(Role::Assistant, text.as_str())),
        other => Err(format!(
            "its `{name}` is {} instead of a message",
            kind(other)
        )),
    }
}
