//! Which layout a file has, by its first record.
//!
//! A form is recognised by the columns that no other form has. What could be two things is refused
//! rather than guessed: a wrong guess trains a wrong model without an error.

use serde_json::Value;

use super::convert::check_media;
use super::value::{Fields, as_flag, given};
use super::{AlpacaColumns, ChatColumns, Goal, Layout, Tags};
use crate::nearest;

/// Columns that hold lists of messages.
const LISTS: [&str; 3] = ["messages", "conversations", "conversation"];
/// Pairs of columns that ask and answer, where nothing else tells the form.
const ROUNDS: [[&str; 2]; 5] = [
    ["prompt", "completion"],
    ["prompt", "response"],
    ["question", "answer"],
    ["query", "response"],
    ["input", "output"],
];
/// Columns beside `text` that make it a question of a classification rather than text to learn.
const CLASSES: [&str; 8] = [
    "label",
    "labels",
    "label_text",
    "category",
    "class",
    "target",
    "intent",
    "sentiment",
];

/// The layout that `first` is of.
pub(super) fn layout(first: &Fields) -> Result<Layout, String> {
    check_media(first)?;
    let has = |name: &str| given(first, name).is_some();
    if has("chosen") || has("rejected") {
        return preference(first);
    }
    if let Some(wanted) = judgement(first) {
        return judged(first, wanted);
    }
    if let Some(layout) = list(first, Goal::Answers)? {
        return Ok(layout);
    }
    if let Some(columns) = alpaca(first) {
        return Ok(Layout::Alpaca {
            columns,
            goal: Goal::Answers,
        });
    }
    for [prompt, completion] in ROUNDS {
        if has(prompt) && has(completion) {
            return Ok(Layout::PromptCompletion {
                prompt: prompt.to_owned(),
                completion: completion.to_owned(),
            });
        }
    }
    if has("text") {
        return text(first);
    }
    Err(unknown(first))
}

fn preference(first: &Fields) -> Result<Layout, String> {
    for name in ["chosen", "rejected"] {
        if given(first, name).is_none() {
            return Err(format!(
                "its first record has one answer of two: `{name}` is missing"
            ));
        }
    }
    let goal = Goal::Pair {
        chosen: "chosen".to_owned(),
        rejected: "rejected".to_owned(),
    };
    // LLaMA-Factory's chosen answer is one message. Where it is a list or a text, a list of
    // messages beside it repeats the conversation, as UltraFeedback does.
    if first["chosen"].is_object()
        && let Some(layout) = list(first, goal.clone())?
    {
        return Ok(layout);
    }
    if given(first, "instruction").is_some() {
        return Ok(Layout::Alpaca {
            columns: alpaca_columns(first),
            goal,
        });
    }
    Ok(Layout::Preference {
        prompt: "prompt".to_owned(),
        chosen: "chosen".to_owned(),
        rejected: "rejected".to_owned(),
        system: "system".to_owned(),
    })
}

/// The column that says whether an answer is wanted. A `label` may be a class of another task, so
/// it counts only as yes or no.
fn judgement(first: &Fields) -> Option<&'static str> {
    if given(first, "kto_tag").is_some() {
        return Some("kto_tag");
    }
    let label = given(first, "label")?;
    let spelt = |text: &str| matches!(text.to_lowercase().as_str(), "true" | "false");
    let is_flag = label.is_boolean() || label.as_str().is_some_and(spelt);
    (is_flag && as_flag(label).is_some()).then_some("label")
}

fn judged(first: &Fields, wanted: &str) -> Result<Layout, String> {
    let goal = Goal::Judged {
        wanted: wanted.to_owned(),
    };
    let has = |name: &str| given(first, name).is_some();
    for completion in ["completion", "response"] {
        if has("prompt") && has(completion) {
            return Ok(Layout::Kto {
                prompt: "prompt".to_owned(),
                completion: completion.to_owned(),
                wanted: wanted.to_owned(),
            });
        }
    }
    if let Some(layout) = list(first, goal.clone())? {
        return Ok(layout);
    }
    match alpaca(first) {
        Some(columns) => Ok(Layout::Alpaca { columns, goal }),
        None => Err(unknown(first)),
    }
}

/// A layout of messages, if the record has a list of them.
fn list(first: &Fields, goal: Goal) -> Result<Option<Layout>, String> {
    let Some(name) = LISTS.into_iter().find(|name| given(first, name).is_some()) else {
        return Ok(None);
    };
    let items = super::value::as_list(&first[name], name)?;
    let message = items.first().and_then(Value::as_object);
    let has = |key: &str| message.is_some_and(|message| message.contains_key(key));
    let columns = ChatColumns::new(name);
    if has("role") {
        let tags = Tags::open_ai();
        return Ok(Some(Layout::Messages {
            columns,
            tags,
            goal,
        }));
    }
    if has("from") {
        let tags = Tags::share_gpt();
        return Ok(Some(Layout::ShareGpt {
            columns,
            tags,
            goal,
        }));
    }
    Err(format!(
        "the messages in its `{name}` have neither `role` and `content` nor `from` and `value`; name their keys in a dataset_info.json"
    ))
}

/// Alpaca's columns, if the record has an instruction and an answer.
fn alpaca(first: &Fields) -> Option<AlpacaColumns> {
    let columns = alpaca_columns(first);
    let answer = columns.response.as_deref()?;
    (given(first, "instruction").is_some() && given(first, answer).is_some()).then_some(columns)
}

/// Alpaca's columns; Dolly calls the input `context` and the output `response`.
fn alpaca_columns(first: &Fields) -> AlpacaColumns {
    let mut columns = AlpacaColumns::default();
    let rename = |column: &mut Option<String>, other: &str| {
        let usual = column.as_deref().unwrap_or_default();
        if given(first, usual).is_none() && given(first, other).is_some() {
            *column = Some(other.to_owned());
        }
    };
    rename(&mut columns.query, "context");
    rename(&mut columns.response, "response");
    columns
}

fn text(first: &Fields) -> Result<Layout, String> {
    match CLASSES
        .into_iter()
        .find(|name| given(first, name).is_some())
    {
        None => Ok(Layout::Text {
            column: "text".to_owned(),
        }),
        Some(class) => Err(format!(
            "it has `text` and `{class}`, which may be text to learn or a question and its answer; name the columns (input: text, output: {class})"
        )),
    }
}

fn unknown(first: &Fields) -> String {
    let names: Vec<&str> = first.keys().map(String::as_str).take(20).collect();
    if let [only] = names[..]
        && first[only].is_array()
    {
        return format!(
            "its only record is an object with the list `{only}`; make that list the whole file"
        );
    }
    let known = [
        "instruction",
        "output",
        "messages",
        "conversations",
        "completion",
        "rejected",
    ];
    let near = names
        .iter()
        .map(|name| (*name, nearest::hint(name, known)))
        .find(|(name, hint)| !known.contains(name) && hint.starts_with("; the nearest"));
    let near = near.map_or(String::new(), |(name, hint)| format!(" (`{name}`{hint})"));
    format!(
        "its columns are of no known form: {}{near}. Known are instruction and output; messages or conversations; prompt and completion; text; prompt, chosen and rejected; prompt, completion and label. Rename the columns, or name those that ask and answer",
        names.join(", ")
    )
}
