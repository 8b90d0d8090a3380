//! Calls of tools in an answer: found in the text that the model makes, sent as OpenAI sends them.
//!
//! A model calls a tool in the form of its template ([`CallForm`]). Text around calls is told as text,
//! what may still become a call is held back, and what began as a call and is none ends the answer
//! with an error: it is never passed on as if it had been said.

use std::collections::BTreeMap;
use std::sync::Arc;

use lathe_engine::CallForm;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

/// How calls stand in an answer.
#[derive(Debug, Clone)]
pub(super) enum Calls {
    /// Among text, in the form of the model's template.
    Within(Arc<CallForm>),
    /// All of it is one call, which was forced ([`super::forced`]).
    Forced {
        /// The caller named the function.
        named: bool,
    },
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// Something said.
    Text(String),
    /// A call, with its place among the answer's calls as `index`.
    Call(Value),
}

/// Reads one answer as it is made.
#[derive(Debug)]
pub(super) struct CallReader {
    /// None where all of the answer is a call.
    form: Option<Arc<CallForm>>,
    /// Not told yet.
    held: String,
    /// `held` begins with what stands in a call.
    inside: bool,
    /// What closes a call was looked for up to here, and closed none.
    tried: usize,
    calls: usize,
    /// Something but spaces was told.
    said: bool,
}

impl CallReader {
    /// Nothing is read yet.
    pub(super) fn new(calls: &Calls) -> CallReader {
        let form = match calls {
            Calls::Within(form) => Some(form.clone()),
            Calls::Forced { .. } => None,
        };
        CallReader {
            inside: form.is_none(),
            form,
            held: String::new(),
            tried: 0,
            calls: 0,
            said: false,
        }
    }

    /// Whether a tool was called.
    pub(super) fn called(&self) -> bool {
        self.calls > 0
    }

    /// Takes the next piece of the answer; what can be told by now.
    pub(super) fn push(&mut self, piece: &str) -> Vec<Part> {
        self.held.push_str(piece);
        let mut parts = Vec::new();
        while let Some(part) = self.next() {
            parts.extend(part);
        }
        parts
    }

    /// The answer ended; `cut` by its bound on tokens or a stop sequence, in the middle of a call perhaps,
    /// which is then left out.
    ///
    /// # Errors
    /// What began as a call and is none.
    pub(super) fn finish(&mut self, cut: bool) -> Result<Vec<Part>, String> {
        let rest = std::mem::take(&mut self.held);
        if !self.inside {
            let told = !rest.is_empty() && (self.calls == 0 || !rest.trim().is_empty());
            return Ok(told.then_some(Part::Text(rest)).into_iter().collect());
        }
        // A model may end its turn instead of its call.
        match (self.read(&rest), cut) {
            (Some(call), _) => Ok(vec![call]),
            (None, true) => Ok(Vec::new()),
            (None, false) => {
                let begun: String = rest.trim().chars().take(BEGUN_CHARS_MAX).collect();
                Err(format!(
                    "the model began a call of a tool that is none: {begun}"
                ))
            }
        }
    }

    /// A step forward in what is held: nothing where more has to come, else perhaps a part.
    fn next(&mut self) -> Option<Option<Part>> {
        let form = self.form.clone()?;
        if self.inside {
            // The text that closes a call may stand in its arguments too.
            let held = std::mem::take(&mut self.held);
            let mut ends = held[self.tried..].match_indices(&form.close);
            let tried = self.tried;
            let found =
                ends.find_map(|(at, _)| Some((tried + at, self.read(&held[..tried + at])?)));
            // What may still become such a text is looked at again.
            self.tried = held.len() - undecided(&held, &form.close);
            self.held = held;
            let (end, call) = found?;
            self.held.drain(..end + form.close.len());
            self.inside = false;
            self.tried = 0;
            return Some(Some(call));
        }
        let opened = self.held.find(&form.open);
        let ready = opened.unwrap_or_else(|| self.held.len() - undecided(&self.held, &form.open));
        let blank = self.held[..ready].trim().is_empty();
        // Spaces before and between calls are the form's.
        let kept = blank && (self.calls > 0 || !self.said);
        if opened.is_none() && (ready == 0 || kept) {
            return None;
        }
        let text: String = self.held.drain(..ready).collect();
        if opened.is_some() {
            self.held.drain(..form.open.len());
            self.inside = true;
        }
        self.said |= !blank;
        Some((!kept && !text.is_empty()).then_some(Part::Text(text)))
    }

    /// The call that `object` is, counted. Its arguments are told as the model wrote them: numbers read and
    /// written again might be others.
    fn read(&mut self, object: &str) -> Option<Part> {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
        let form = self.form.as_deref();
        let (name, arguments) = form.map_or(FORCED_MEMBERS, |it| (&it.name, &it.arguments));
        let name: String = serde_json::from_str(object.get(name)?.get()).ok()?;
        let arguments = object.get(arguments).map_or("{}", |it| it.get());
        // An object, and all of it sound.
        let _: Map<String, Value> = serde_json::from_str(arguments).ok()?;
        let call = json!({
            "index": self.calls,
            "id": format!("call_{}", Uuid::now_v7().simple()),
            "type": "function",
            "function": {"name": name, "arguments": arguments},
        });
        self.calls += 1;
        Some(Part::Call(call))
    }
}

/// The members of a forced call: its name and its arguments.
const FORCED_MEMBERS: (&str, &str) = ("name", "arguments");
/// How much of what is no call is told.
const BEGUN_CHARS_MAX: usize = 80;

/// Bytes at the end of `text` that may be the beginning of `open`.
fn undecided(text: &str, open: &str) -> usize {
    let most = text.len().min(open.len() - 1);
    let held = (1..=most).rev();
    held.filter(|&bytes| open.is_char_boundary(bytes))
        .find(|&bytes| text.ends_with(&open[..bytes]))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form() -> Arc<CallForm> {
        Arc::new(CallForm {
            open: "<tool_call>".to_owned(),
            close: "</tool_call>".to_owned(),
            name: "name".to_owned(),
            arguments: "arguments".to_owned(),
        })
    }

    /// What was said, and every call as `name arguments`, of an answer that comes in these pieces.
    fn read<'a>(
        pieces: impl IntoIterator<Item = &'a str>,
        cut: bool,
    ) -> Result<(String, Vec<String>), String> {
        let mut reader = CallReader::new(&Calls::Within(form()));
        let mut parts: Vec<Part> = pieces.into_iter().flat_map(|it| reader.push(it)).collect();
        parts.extend(reader.finish(cut)?);
        let (mut said, mut calls) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(text) => said += &text,
                Part::Call(call) => {
                    assert_eq!(call["index"], calls.len());
                    let function = &call["function"];
                    let text = |name: &str| function[name].as_str().expect("a text").to_owned();
                    calls.push(format!("{} {}", text("name"), text("arguments")));
                }
            }
        }
        assert_eq!(reader.called(), !calls.is_empty());
        Ok((said, calls))
    }

    #[test]
    fn every_cut_of_an_answer_gives_the_same_calls_and_text() {
        let answer = "I look. <tool_call>\n{\"name\": \"now\", \"arguments\": {\"a\": \"</tool_call>é\"}}\n\
                      </tool_call>\n<tool_call>{\"name\": \"b\"}</tool_call>\n";
        let expected = (
            "I look. ".to_owned(),
            vec![
                "now {\"a\": \"</tool_call>é\"}".to_owned(),
                "b {}".to_owned(),
            ],
        );
        let cuts: Vec<usize> = answer.char_indices().map(|(at, _)| at).collect();
        for &first in &cuts {
            for &second in cuts.iter().filter(|it| **it >= first) {
                let pieces = [&answer[..first], &answer[first..second], &answer[second..]];
                assert_eq!(read(pieces, false), Ok(expected.clone()));
            }
        }
        let letters = cuts
            .iter()
            .zip(cuts.iter().skip(1))
            .map(|(a, b)| &answer[*a..*b]);
        let last = &answer[cuts[cuts.len() - 1]..];
        assert_eq!(read(letters.chain([last]), false), Ok(expected));
    }

    #[test]
    fn arguments_are_told_as_the_model_wrote_them() {
        let arguments = "{\"id\": 123456789012345678901234, \"b\": 1.10, \"id\": \"\\u00e9\"}";
        let answer =
            format!("<tool_call>{{\"arguments\": {arguments}, \"name\": \"a\"}}</tool_call>");
        let told = read([answer.as_str()], false);
        assert_eq!(told, Ok((String::new(), vec![format!("a {arguments}")])));
    }

    #[test]
    fn what_closed_no_call_is_not_tried_again() {
        let mut reader = CallReader::new(&Calls::Within(form()));
        reader.push("<tool_call>{\"name\": \"a\", \"arguments\": {\"b\": \"");
        for _ in 0..1000 {
            for piece in ["</tool", "_call>"] {
                assert_eq!(reader.push(piece), []);
            }
            assert_eq!(reader.tried, reader.held.len());
        }
        let parts = reader.push("\"}}</tool_call>");
        assert!(matches!(parts[..], [Part::Call(_)]));
        assert_eq!((reader.tried, reader.held.as_str()), (0, ""));
    }

    #[test]
    fn what_only_looks_like_a_call_is_text_and_what_is_none_is_an_error() {
        let said = |text: &str| Ok((text.to_owned(), Vec::new()));
        for text in ["a <tool", " \n", "<tool_calls are nice", "", "1 < 2"] {
            assert_eq!(read([text], false), said(text), "{text}");
        }
        // No end but that of the turn.
        let ended = read(["<tool_call>{\"name\": \"a\", \"arguments\": {}}"], false);
        assert_eq!(ended, Ok((String::new(), vec!["a {}".to_owned()])));
        for text in [
            "<tool_call>now()</tool_call>",
            "<tool_call>{\"name\": 1}</tool_call>",
            "<tool_call>{\"name\": \"a\", \"arguments\": \"x\"}</tool_call> and more",
            "x <tool_call>{\"name\": \"a\",",
        ] {
            let reason = read([text], false).expect_err(text);
            assert!(reason.contains("none: "), "{reason}");
        }
        // Cut by the bound on tokens: what there is of it is left out.
        assert_eq!(read(["x <tool_call>{\"name\": \"a\","], true), said("x "));
    }
}
