//! Alpaca: an instruction, what it is about, and the answer; earlier rounds as pairs.

use serde_json::Value;

use super::conversation::{add_system, chat, judged, pair, record_tools};
use super::message::said;
use super::value::{self, Fields, flag, given, optional_text, text};
use super::{AlpacaColumns, Goal, Role, Sample, Turn};

/// The sample in a record.
pub(super) fn sample(
    fields: &Fields,
    columns: &AlpacaColumns,
    goal: &Goal,
) -> Result<Sample, String> {
    let mut turns = match columns.history.as_deref() {
        Some(name) => history(fields, name)?,
        None => Vec::new(),
    };
    turns.push(said(Role::User, question(fields, columns)?));
    add_system(&mut turns, fields, columns.system.as_deref())?;
    let tools = record_tools(fields, columns.tools.as_deref())?;
    let answer = |name: &str| text(fields, name).map(|text| said(Role::Assistant, text));
    let response = || match columns.response.as_deref() {
        Some(name) => answer(name),
        None => Err("its layout names no column of answers".to_owned()),
    };
    match goal {
        Goal::Answers => {
            turns.push(response()?);
            chat(turns, tools)
        }
        Goal::Pair { chosen, rejected } => pair(turns, answer(chosen)?, answer(rejected)?, tools),
        Goal::Judged { wanted } => judged(turns, response()?, flag(fields, wanted)?, tools),
    }
}

/// The instruction and its input, a line each, empty ones left out.
fn question(fields: &Fields, columns: &AlpacaColumns) -> Result<String, String> {
    let names: Vec<&str> = [&columns.prompt, &columns.query]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    // A prompt that is missing altogether is more likely misspelt than left out.
    if let Some(first) = names.first() {
        value::required(fields, first)?;
    }
    let mut parts = Vec::new();
    for name in &names {
        parts.extend(optional_text(fields, Some(name))?);
    }
    if parts.is_empty() {
        return Err(format!("its question is empty: `{}`", names.join("`, `")));
    }
    Ok(parts.join("\n"))
}

fn history(fields: &Fields, name: &str) -> Result<Vec<Turn>, String> {
    let Some(value) = given(fields, name).filter(|value| value.as_str() != Some("")) else {
        return Ok(Vec::new());
    };
    let mut turns = Vec::new();
    for (round, pair) in (1..).zip(value::as_list(value, name)?.iter()) {
        match pair.as_array().map(Vec::as_slice) {
            Some([Value::String(question), Value::String(answer)]) => {
                turns.push(said(Role::User, question.as_str()));
                turns.push(said(Role::Assistant, answer.as_str()));
            }
            _ => {
                return Err(format!(
                    "round {round} of its `{name}` is not a pair of texts, [question, answer]"
                ));
            }
        }
    }
    Ok(turns)
}
