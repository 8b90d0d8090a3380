//! Samples in every form, and what is refused.

mod detection;
mod forms;
mod info;
mod preferences;
mod refusals;
mod streaming;
mod tools;

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::*;

/// A file of that name with that content, in a folder that lives as long as the first value.
fn file(name: &str, content: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    (folder, path)
}

/// All samples of a source; an error as its text.
fn all(source: &SampleSource) -> Vec<Result<Sample, String>> {
    let samples = source.read().unwrap();
    let numbered = (1..).zip(samples).map(|(place, sample)| match sample {
        Ok((number, sample)) => {
            assert_eq!(number, place);
            Ok(sample)
        }
        Err(error) => Err(error.to_string()),
    });
    numbered.collect()
}

/// The samples of a file whose layout is detected.
#[track_caller]
fn detected(name: &str, content: impl AsRef<[u8]>) -> Vec<Result<Sample, String>> {
    let (_folder, path) = file(name, content);
    all(&SampleSource::detect(&path).unwrap())
}

/// The samples of a file, told in short, all of which must be whole.
#[track_caller]
fn told(name: &str, content: impl AsRef<[u8]>) -> Vec<String> {
    let samples = detected(name, content).into_iter();
    samples.map(|sample| tell(&sample.unwrap())).collect()
}

/// The one sample of a record, told in short.
#[track_caller]
fn one(record: &Value) -> String {
    let told = told("one.json", format!("[{record}]"));
    assert_eq!(told.len(), 1);
    told.into_iter().next().unwrap()
}

/// Why the one record of a file is refused.
#[track_caller]
fn refused(record: &Value) -> String {
    let (_folder, path) = file("one.jsonl", record.to_string());
    match SampleSource::detect(&path) {
        Err(error) => error.to_string(),
        Ok(source) => all(&source).remove(0).unwrap_err(),
    }
}

/// A sample in one line: each turn as its role's letter, its weight where an assistant's is not 1,
/// and its content; reasoning in parentheses, calls as JSON.
fn tell(sample: &Sample) -> String {
    match sample {
        Sample::Chat { turns, tools } => {
            let tools = tools.as_ref().map(|tools| format!(" tools {tools}"));
            tell_turns(turns) + &tools.unwrap_or_default()
        }
        Sample::Text(text) => format!("text {text}"),
        Sample::Pair {
            turns,
            chosen,
            rejected,
        } => format!(
            "{} > {} < {}",
            tell_turns(turns),
            tell_turn(chosen),
            tell_turn(rejected)
        ),
        Sample::Judged {
            turns,
            answer,
            wanted,
        } => format!("{} > {} is {wanted}", tell_turns(turns), tell_turn(answer)),
    }
}

fn tell_turns(turns: &[Turn]) -> String {
    let turns: Vec<_> = turns.iter().map(tell_turn).collect();
    turns.join(" | ")
}

fn tell_turn(turn: &Turn) -> String {
    let role = match turn.role {
        Role::System => "S",
        Role::User => "U",
        Role::Assistant => "A",
        Role::Tool => "T",
    };
    let usual = f32::from(u8::from(turn.role == Role::Assistant));
    let weight = (turn.weight != usual).then(|| turn.weight.to_string());
    let thought = turn.reasoning.as_ref().map(|text| format!("({text})"));
    let calls = turn.tool_calls.as_ref().map(Value::to_string);
    format!(
        "{role}{}:{}{}{}",
        weight.unwrap_or_default(),
        thought.unwrap_or_default(),
        turn.text(),
        calls.unwrap_or_default()
    )
}
