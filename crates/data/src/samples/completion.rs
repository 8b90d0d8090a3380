//! TRL's forms: a prompt with a completion, with two to choose from, with one that is judged.

use serde_json::Value;

use super::conversation::{add_system, answer_in, chat, judged, pair, record_tools};
use super::message::{self, said};
use super::value::{self, Fields, given, kind, required};
use super::{Role, Sample, Tags, Turn};

/// The sample of a prompt and a completion. What an assistant says inside the prompt is not
/// learnt from, as TRL has it.
pub(super) fn completion(
    fields: &Fields,
    prompt: &str,
    completion: &str,
) -> Result<Sample, String> {
    let mut turns = question(fields, prompt)?;
    match required(fields, completion)? {
        list @ Value::Array(_) => {
            turns.extend(message::turns(list, completion, &Tags::open_ai())?);
        }
        other => turns.push(answer_in(other, completion, &Tags::open_ai())?),
    }
    add_system(&mut turns, fields, Some("system"))?;
    chat(turns, record_tools(fields, Some("tools"))?)
}

/// The sample of a prompt, a completion and a judgement.
pub(super) fn kto(
    fields: &Fields,
    prompt: &str,
    completion: &str,
    wanted: &str,
) -> Result<Sample, String> {
    let mut turns = question(fields, prompt)?;
    add_system(&mut turns, fields, Some("system"))?;
    let answer = answer_in(required(fields, completion)?, completion, &Tags::open_ai())?;
    let tools = record_tools(fields, Some("tools"))?;
    judged(turns, answer, value::flag(fields, wanted)?, tools)
}

/// The names of a preference's columns.
pub(super) struct PairColumns<'a> {
    pub prompt: &'a str,
    pub chosen: &'a str,
    pub rejected: &'a str,
    pub system: &'a str,
}

/// The sample of a prompt and two answers.
pub(super) fn preference(fields: &Fields, columns: &PairColumns<'_>) -> Result<Sample, String> {
    let chosen = required(fields, columns.chosen)?;
    let rejected = required(fields, columns.rejected)?;
    if kind(chosen) != kind(rejected) {
        return Err(format!(
            "its `{}` is {} and its `{}` is {}; both must be of one form",
            columns.chosen,
            kind(chosen),
            columns.rejected,
            kind(rejected)
        ));
    }
    let tags = Tags::open_ai();
    let (mut turns, chosen, rejected) = match (chosen, rejected) {
        (Value::Array(_), Value::Array(_)) => {
            let chosen = message::turns(chosen, columns.chosen, &tags)?;
            let rejected = message::turns(rejected, columns.rejected, &tags)?;
            split(fields, columns, chosen, rejected)?
        }
        _ => (
            explicit_prompt(fields, columns)?,
            answer_in(chosen, columns.chosen, &tags)?,
            answer_in(rejected, columns.rejected, &tags)?,
        ),
    };
    add_system(&mut turns, fields, Some(columns.system))?;
    let tools = record_tools(fields, Some("tools"))?;
    pair(turns, chosen, rejected, tools)
}

fn explicit_prompt(fields: &Fields, columns: &PairColumns<'_>) -> Result<Vec<Turn>, String> {
    if given(fields, columns.prompt).is_none() {
        return Err(format!(
            "its answers are texts and it has no `{}`; put what they answer there",
            columns.prompt
        ));
    }
    question(fields, columns.prompt)
}

type Split = (Vec<Turn>, Turn, Turn);

/// Two lists of messages: answers only, or whole conversations that part at the answer.
fn split(
    fields: &Fields,
    columns: &PairColumns<'_>,
    mut chosen: Vec<Turn>,
    mut rejected: Vec<Turn>,
) -> Result<Split, String> {
    let answers_only = |turns: &[Turn]| turns.iter().all(|turn| turn.role == Role::Assistant);
    let prompt = match answers_only(&chosen) && answers_only(&rejected) {
        true => explicit_prompt(fields, columns)?,
        false => {
            let shared = chosen.iter().zip(&rejected).take_while(|(a, b)| a == b);
            // Equal conversations share their answers too, which are no prompt.
            let shared = shared.count().min(chosen.len().saturating_sub(1));
            let prompt: Vec<Turn> = chosen.drain(..shared).collect();
            rejected.drain(..shared);
            check_prompt(fields, columns, &prompt)?;
            prompt
        }
    };
    match (&chosen[..], &rejected[..]) {
        ([_], [_]) => Ok((prompt, chosen.remove(0), rejected.remove(0))),
        _ => Err(format!(
            "its `{}` and `{}` must differ in one answer, the last; they have {} and {} messages of their own",
            columns.chosen,
            columns.rejected,
            chosen.len(),
            rejected.len()
        )),
    }
}

/// Refuses a prompt beside whole conversations that says something else than they do.
fn check_prompt(fields: &Fields, columns: &PairColumns<'_>, shared: &[Turn]) -> Result<(), String> {
    let Some(prompt) = given(fields, columns.prompt) else {
        return Ok(());
    };
    let agrees = match prompt {
        // UltraFeedback repeats the first question there.
        Value::String(text) => shared.iter().any(|turn| turn.text().trim() == text.trim()),
        _ => shared == question(fields, columns.prompt)?,
    };
    match agrees {
        true => Ok(()),
        false => Err(format!(
            "its `{}` is not what `{}` and `{}` begin with",
            columns.prompt, columns.chosen, columns.rejected
        )),
    }
}

/// What is asked: a text is a user's, a list is a conversation, from which nothing is learnt.
fn question(fields: &Fields, name: &str) -> Result<Vec<Turn>, String> {
    match required(fields, name)? {
        list @ Value::Array(_) => {
            let mut turns = message::turns(list, name, &Tags::open_ai())?;
            for turn in &mut turns {
                turn.weight = 0.0;
            }
            Ok(turns)
        }
        _ => Ok(vec![said(Role::User, value::text(fields, name)?)]),
    }
}
