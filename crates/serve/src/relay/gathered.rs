//! What an upstream said in one answer, gathered from its pieces or taken from the whole.
//!
//! The receipt's digest is of this: the text, where there is one choice and nothing but text; else all
//! choices as canonical JSON, with calls of tools, reasoning and refusals, which are words too. What else
//! is said in a message (sounds, contents in parts, calls as they once were) stands there as the JSON that
//! spells it; what stands around the words (log-probabilities, ids) does not.

use std::collections::BTreeMap;

use lathe_evidence::canonical;
use serde_json::{Map, Value, json};

/// Choices of one answer.
const CHOICES_MAX: u64 = 1024;
/// Calls of tools in one choice.
const CALLS_MAX: usize = 128;
/// What is kept of the word for why a choice ended.
const FINISH_CHARS_MAX: usize = 40;
/// All that is said in one answer.
pub(super) const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    choices: BTreeMap<u64, Said>,
    bytes: usize,
    /// What the upstream calls its model.
    pub model: Option<String>,
    /// What the upstream says of the tokens, the newest.
    pub usage: Option<Usage>,
}

/// Tokens as an upstream counts them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Usage {
    /// Of the prompt.
    pub prompt_tokens: usize,
    /// Of the answer.
    pub answer_tokens: usize,
    /// As it says so.
    pub told: Value,
}

/// What was said in one choice.
#[derive(Debug, Default)]
struct Said {
    texts: BTreeMap<&'static str, String>,
    calls: BTreeMap<usize, Call>,
    more: More,
    finish: Option<String>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
    more: More,
}

/// Members that are not known here, each as the JSON that spells it, a line for each piece.
#[derive(Debug, Default)]
struct More(BTreeMap<String, String>);

/// Members of a message that are words, and what they are called in the receipt's text: vLLM renamed one.
const WORDS: [(&str, &str); 5] = [
    ("content", "content"),
    ("reasoning", "reasoning_content"),
    ("reasoning_content", "reasoning_content"),
    ("refusal", "refusal"),
    ("text", "content"),
];
/// Members of a choice that say nothing, or stand around what is said.
const AROUND: [&str; 11] = [
    "content_filter_results",
    "delta",
    "finish_reason",
    "index",
    "logprobs",
    "matched_stop",
    "message",
    "prompt_logprobs",
    "prompt_token_ids",
    "stop_reason",
    "token_ids",
];

impl Gathered {
    /// Takes a chunk of a stream, or a whole body. Tells whether something was said in it.
    ///
    /// # Errors
    /// There is too much of it.
    pub(super) fn take(&mut self, chunk: &Value) -> Result<bool, String> {
        if let Some(model) = chunk["model"].as_str() {
            self.model
                .get_or_insert_with(|| model.chars().take(200).collect());
        }
        let usage = &chunk["usage"];
        if let Some(prompt) = usage["prompt_tokens"].as_u64() {
            let answer = usage["completion_tokens"].as_u64().unwrap_or(0);
            let bounded =
                |tokens: u64| usize::try_from(tokens.min(u64::from(u32::MAX))).unwrap_or(0);
            self.usage = Some(Usage {
                prompt_tokens: bounded(prompt),
                answer_tokens: bounded(answer),
                told: usage.clone(),
            });
        }
        let before = self.bytes;
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let index = choice["index"].as_u64().unwrap_or(0);
            if index >= CHOICES_MAX {
                return Err(format!("it answers with more than {CHOICES_MAX} choices"));
            }
            self.bytes += self.choices.entry(index).or_default().take(choice)?;
        }
        if self.bytes > ANSWER_BYTES_MAX {
            return Err(format!("it says more than {ANSWER_BYTES_MAX} bytes"));
        }
        Ok(self.bytes > before)
    }

    /// Whether every choice that began has come to its end.
    pub(super) fn is_complete(&self) -> bool {
        !self.choices.is_empty() && self.choices.values().all(|it| it.finish.is_some())
    }

    /// Whether an answer was cut at its longest.
    pub(super) fn is_cut(&self) -> bool {
        let mut choices = self.choices.values();
        choices.any(|it| it.finish.as_deref() == Some("length"))
    }

    /// How many bytes were said.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was said, as the receipt's digest has it.
    pub(super) fn text(&self) -> String {
        let mut choices = self.choices.values();
        match (choices.next(), choices.next()) {
            (None, _) => return String::new(),
            (Some(only), None) if only.is_plain() => {
                return only.texts.get("content").cloned().unwrap_or_default();
            }
            _ => {}
        }
        let all: Vec<Value> = self.choices.values().map(Said::written).collect();
        let bytes = canonical::to_bytes(&Value::Array(all)).expect("texts alone");
        String::from_utf8(bytes).expect("JSON is UTF-8")
    }
}

impl Said {
    /// Takes what one choice says; how many bytes that is.
    ///
    /// # Errors
    /// It calls too many tools.
    fn take(&mut self, choice: &Value) -> Result<usize, String> {
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.chars().take(FINISH_CHARS_MAX).collect());
        }
        // A stream's, a whole chat completion's, and a plain completion's.
        let mut bytes = 0;
        let said = [
            (&choice["delta"], &["role"][..]),
            (&choice["message"], &["role"][..]),
            (choice, &AROUND[..]),
        ];
        for (said, silent) in said {
            bytes += match said.as_object() {
                Some(members) => self.take_members(members, silent)?,
                None => self.more.take("odd", said),
            };
        }
        Ok(bytes)
    }

    fn take_members(
        &mut self,
        members: &Map<String, Value>,
        silent: &[&str],
    ) -> Result<usize, String> {
        let mut bytes = 0;
        for (member, value) in members {
            let member = member.as_str();
            // vLLM sends its reasoning under both names.
            let twice = member == "reasoning" && members.get("reasoning_content") == Some(value);
            if silent.contains(&member) || twice {
                continue;
            }
            let known = WORDS.iter().find(|(word, _)| *word == member);
            bytes += match (known.map(|(_, name)| *name), value) {
                (Some(name), Value::String(text)) => {
                    self.texts.entry(name).or_default().push_str(text);
                    text.len()
                }
                (None, Value::Array(calls)) if member == "tool_calls" => self.take_calls(calls)?,
                _ => self.more.take(member, value),
            };
        }
        Ok(bytes)
    }

    fn take_calls(&mut self, calls: &[Value]) -> Result<usize, String> {
        let mut bytes = 0;
        for (place, call) in calls.iter().enumerate() {
            let index = call["index"].as_u64().map_or(place, |it| it as usize);
            if self.calls.len() >= CALLS_MAX && !self.calls.contains_key(&index) {
                return Err(format!("it calls more than {CALLS_MAX} tools"));
            }
            bytes += self.calls.entry(index).or_default().take(call);
        }
        Ok(bytes)
    }

    fn is_plain(&self) -> bool {
        let words = self.texts.iter().filter(|(_, text)| !text.is_empty());
        self.calls.is_empty()
            && self.more.0.is_empty()
            && words.into_iter().all(|(name, _)| *name == "content")
    }

    fn written(&self) -> Value {
        let mut written = json!({});
        for (name, text) in self.texts.iter().filter(|(_, text)| !text.is_empty()) {
            written[*name] = json!(text);
        }
        if !self.calls.is_empty() {
            written["tool_calls"] = self.calls.values().map(Call::written).collect();
        }
        self.more.write(&mut written);
        written
    }
}

impl More {
    /// Takes a member, unless there is nothing in it; how many bytes that is.
    fn take(&mut self, member: &str, value: &Value) -> usize {
        let is_empty = match value {
            Value::Null => true,
            Value::String(text) => text.is_empty(),
            Value::Array(all) => all.is_empty(),
            Value::Object(all) => all.is_empty(),
            Value::Bool(_) | Value::Number(_) => false,
        };
        if is_empty {
            return 0;
        }
        let text = value.to_string();
        let bytes = member.len() + text.len();
        let lines = self.0.entry(member.to_owned()).or_default();
        if !lines.is_empty() {
            lines.push('\n');
        }
        lines.push_str(&text);
        bytes
    }

    fn write(&self, written: &mut Value) {
        if !self.0.is_empty() {
            written["more"] = json!(self.0);
        }
    }
}

impl Call {
    fn take(&mut self, call: &Value) -> usize {
        if !call.is_object() {
            return self.more.take("odd", call);
        }
        let function = call["function"].as_object();
        let of_call = call.as_object().into_iter().flatten();
        let of_call = of_call.filter(|(member, _)| *member != "function" || function.is_none());
        let mut bytes = 0;
        for (member, value) in of_call.chain(function.into_iter().flatten()) {
            let own = match (member.as_str(), value) {
                ("index", Value::Number(_)) => continue,
                ("type", kind) if kind == "function" => continue,
                ("id", Value::String(said)) => Some((&mut self.id, said)),
                ("name", Value::String(said)) => Some((&mut self.name, said)),
                ("arguments", Value::String(said)) => Some((&mut self.arguments, said)),
                _ => None,
            };
            bytes += match own {
                Some((own, said)) => {
                    own.push_str(said);
                    said.len()
                }
                None => self.more.take(member, value),
            };
        }
        bytes
    }

    fn written(&self) -> Value {
        let mut written = json!({"id": self.id, "name": self.name, "arguments": self.arguments});
        self.more.write(&mut written);
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gather(chunks: &[Value]) -> Gathered {
        let mut gathered = Gathered::default();
        for chunk in chunks {
            gathered.take(chunk).expect("within bounds");
        }
        gathered
    }

    #[test]
    fn pieces_and_the_whole_say_the_same() {
        let delta = |text: &str| json!({"choices": [{"index": 0, "delta": {"content": text}}]});
        let end = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}], "model": "b"});
        let usage = json!({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}});
        let streamed = gather(&[delta("he"), delta("llo"), end, usage]);
        let message = json!({"role": "assistant", "content": "hello", "tool_calls": null});
        let whole = gather(&[json!({"choices": [{"message": message, "finish_reason": "stop"}]})]);
        assert_eq!(
            (streamed.text(), whole.text()),
            ("hello".to_owned(), "hello".to_owned())
        );
        assert_eq!((streamed.is_complete(), whole.is_complete()), (true, true));
        assert_eq!((streamed.is_cut(), whole.is_cut()), (true, false));
        let usage = streamed.usage.expect("told");
        assert_eq!((usage.prompt_tokens, usage.answer_tokens), (3, 2));
        assert_eq!(whole.usage, None);
        assert_eq!(streamed.model.as_deref(), Some("b"));
        assert_eq!(
            gather(&[json!({"choices": [{"text": "x", "index": 0}]})]).text(),
            "x"
        );
        assert!(!gather(&[delta("he")]).is_complete());
        assert_eq!(gather(&[]).text(), "");
    }

    #[test]
    fn calls_reasoning_and_several_choices_are_in_the_text() {
        let call =
            |part: Value| json!({"choices": [{"index": 0, "delta": {"tool_calls": [part]}}]});
        let streamed = gather(&[
            call(json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}})),
            call(json!({"index": 0, "function": {"arguments": "{\"a\":"}})),
            call(json!({"index": 0, "function": {"arguments": "1.5}"}})),
        ]);
        let whole = gather(&[
            json!({"choices": [{"message": {"content": null, "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{\"a\":1.5}"}},
            ]}}]}),
        ]);
        let said = r#"[{"tool_calls":[{"arguments":"{\"a\":1.5}","id":"c","name":"f"}]}]"#;
        assert_eq!(
            (streamed.text().as_str(), whole.text().as_str()),
            (said, said)
        );
        let both = json!({"choices": [{"delta": {"reasoning": "r", "reasoning_content": "r", "content": "c"}}]});
        let said = r#"[{"content":"c","reasoning_content":"r"}]"#;
        assert_eq!(gather(&[both]).text(), said);
        let two = json!({"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]});
        assert_eq!(
            gather(&[two]).text(),
            r#"[{"content":"a"},{"content":"b"}]"#
        );
    }

    #[test]
    fn whatever_a_message_says_is_in_the_text() {
        let image = json!([{"type": "image_url", "image_url": {"url": "data:0.5"}}]);
        for message in [
            json!({"content": [{"type": "text", "text": "hidden"}]}),
            json!({"content": "said", "audio": {"transcript": "hidden"}}),
            json!({"content": "said", "function_call": {"name": "f", "arguments": "hidden"}}),
            json!({"content": image, "thoughts": "hidden"}),
            json!({"content": "said", "tool_calls": [{"type": "custom", "custom": {"input": "hidden"}}]}),
            json!({"tool_calls": [{"function": {"name": "f", "arguments": {"a": "hidden"}}}]}),
            json!({"tool_calls": ["hidden"]}),
        ] {
            for place in ["delta", "message"] {
                let gathered = gather(&[json!({"choices": [{place: message.clone()}]})]);
                let text = gathered.text();
                assert!(text.contains("hidden"), "{message}: {text}");
                assert!(gathered.bytes() >= "hidden".len());
            }
        }
        // Beside a delta, and in pieces.
        let beside = json!({"choices": [{"delta": {"content": "a"}, "text": "hidden"}]});
        assert!(gather(&[beside]).text().contains("hidden"));
        let piece = |data: &str| json!({"choices": [{"delta": {"audio": {"data": data}}}]});
        let said = r#"[{"more":{"audio":"{\"data\":\"a\"}\n{\"data\":\"b\"}"}}]"#;
        assert_eq!(gather(&[piece("a"), piece("b")]).text(), said);
        // What says nothing leaves a text as it is.
        let idle = json!({"choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": []},
            "message": {"role": "assistant", "content": "x", "annotations": [], "audio": null}}]});
        assert_eq!(gather(&[idle]).text(), "x");
    }

    #[test]
    fn what_has_no_bound_is_refused() {
        let calls = |count: usize| {
            let calls = (0..count).map(|index| json!({"index": index, "function": {"name": "f"}}));
            json!({"choices": [{"delta": {"tool_calls": calls.collect::<Vec<_>>()}}]})
        };
        assert!(Gathered::default().take(&calls(CALLS_MAX)).is_ok());
        assert!(Gathered::default().take(&calls(CALLS_MAX + 1)).is_err());
        let ended = json!({"choices": [{"delta": {}, "finish_reason": "x".repeat(1 << 20)}]});
        let kept = gathered_of(&ended).choices[&0].finish.clone();
        assert_eq!(kept.map(|it| it.len()), Some(FINISH_CHARS_MAX));
        let mut gathered = Gathered::default();
        let sound = json!({"choices": [{"delta": {"audio": {"data": "x".repeat(1 << 20)}}}]});
        let taken = (0..16).map(|_| gathered.take(&sound)).find(Result::is_err);
        assert!(taken.is_some());
        let many = json!({"choices": [{"index": CHOICES_MAX, "text": "x"}]});
        assert!(Gathered::default().take(&many).is_err());
        let mut gathered = Gathered::default();
        let piece = json!({"choices": [{"text": "x".repeat(1 << 20)}]});
        let taken = (0..16).map(|_| gathered.take(&piece)).find(Result::is_err);
        assert!(taken.is_some());
        // Odd members do not panic, and are told where they may be words.
        let three = r#"[{"more":{"odd":"3"}}]"#;
        for (odd, text) in [
            (json!(null), ""),
            (json!([]), ""),
            (json!({"choices": [3]}), three),
            (json!({"choices": [{"delta": 3}]}), three),
        ] {
            assert_eq!(gathered_of(&odd).text(), text, "{odd}");
        }
    }

    fn gathered_of(chunk: &Value) -> Gathered {
        gather(std::slice::from_ref(chunk))
    }
}
