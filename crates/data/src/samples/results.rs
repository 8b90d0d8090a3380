//! What tools gave back, held against the calls before it.
//!
//! A result without a call teaches a model to make up what it asked for, and a result of another
//! call to mix them up: both come from records that were cut or shuffled, and both are refused.

use serde_json::Value;

use super::{Role, Turn};

/// How families of models write a call inside the text of an answer; datasets made for one of them
/// keep it there, and only the results in turns of their own.
const WRITTEN_CALLS: [&str; 4] = ["<tool_call>", "<function", "[TOOL_CALLS]", "<|python_tag|>"];

/// Refuses a result that no call stands before, that is one more than the calls, or that names a
/// call which was not made.
pub(super) fn check(turns: &[Turn]) -> Result<(), String> {
    let mut caller: Option<&Turn> = None;
    let mut results = 0;
    for (place, turn) in (1..).zip(turns) {
        if turn.role != Role::Tool {
            caller = Some(turn);
            results = 0;
            continue;
        }
        results += 1;
        let reason = match caller.map(calls) {
            Some(Calls::Apart(calls)) => mismatch(turn, calls, results),
            Some(Calls::Written) => None,
            Some(Calls::None) | None => Some("no call of a tool stands before it".to_owned()),
        };
        if let Some(reason) = reason {
            return Err(format!(
                "turn {place} is what a tool gave back, and {reason}; put the call before it, or leave the record out"
            ));
        }
    }
    Ok(())
}

/// What a turn calls.
enum Calls<'a> {
    /// These, apart from its text.
    Apart(&'a [Value]),
    /// Something that its text says.
    Written,
    /// Nothing.
    None,
}

fn calls(turn: &Turn) -> Calls<'_> {
    let written = || {
        let mut marks = WRITTEN_CALLS.into_iter();
        turn.role == Role::Assistant && marks.any(|mark| turn.text().contains(mark))
    };
    match turn.tool_calls.as_ref().and_then(Value::as_array) {
        Some(calls) => Calls::Apart(calls),
        None if written() => Calls::Written,
        None => Calls::None,
    }
}

/// Why a result, the `number`th of these calls, is none of theirs.
fn mismatch(turn: &Turn, calls: &[Value], number: usize) -> Option<String> {
    if number > calls.len() {
        return Some(format!(
            "the message before it calls {} and has {number} results",
            calls.len()
        ));
    }
    let mut ids = calls
        .iter()
        .filter_map(|call| call["id"].as_str())
        .peekable();
    ids.peek()?;
    let id = turn.tool_call_id.as_deref()?;
    if ids.any(|known| known == id) {
        return None;
    }
    let shown: String = id.chars().take(40).collect();
    Some(format!(
        "its `tool_call_id` is `{shown}`, which no call before it has as its `id`"
    ))
}
