//! What an upstream said in one answer, gathered from its pieces or taken from the whole.
//!
//! The receipt's digest is of this: the text, where there is one choice and nothing but text; else all
//! choices as canonical JSON, with calls of tools, reasoning and refusals, which are words too.

use std::collections::BTreeMap;

use lathe_evidence::canonical;
use serde_json::{Value, json};

/// Choices of one answer.
const CHOICES_MAX: u64 = 1024;
/// Calls of tools in one choice.
const CALLS_MAX: usize = 128;
/// The reason why a choice ended; the standard's words are shorter.
const FINISH_CHARS_MAX: usize = 64;
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
    finish: Option<String>,
}

#[derive(Debug, Default)]
struct Call {
    id: String,
    name: String,
    arguments: String,
}

/// Members of a message that are words, and what they are called in the receipt's text: vLLM renamed one.
const WORDS: [(&str, &str); 5] = [
    ("content", "content"),
    ("reasoning", "reasoning_content"),
    ("reasoning_content", "reasoning_content"),
    ("refusal", "refusal"),
    ("text", "content"),
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
            self.bytes += self.choices.entry(index).or_default().take(choice);
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
    fn take(&mut self, choice: &Value) -> usize {
        let mut bytes = 0;
        if let Some(finish) = choice["finish_reason"].as_str() {
            self.finish = Some(finish.chars().take(FINISH_CHARS_MAX).collect());
        }
        // A stream's, a whole chat completion's, and a plain completion's.
        let said = [&choice["delta"], &choice["message"], choice];
        let Some(said) = said.into_iter().find(|it| it.is_object()) else {
            return 0;
        };
        for (member, name) in WORDS {
            // vLLM sends its reasoning under both names.
            let twice = member == "reasoning" && said["reasoning_content"].is_string();
            if let Some(text) = said[member].as_str().filter(|_| !twice) {
                self.texts.entry(name).or_default().push_str(text);
                bytes += text.len();
            }
        }
        for (place, call) in said["tool_calls"]
            .as_array()
            .into_iter()
            .flatten()
            .enumerate()
        {
            let index = call["index"].as_u64().map_or(place, |it| it as usize);
            if self.calls.len() >= CALLS_MAX && !self.calls.contains_key(&index) {
                break;
            }
            bytes += self.calls.entry(index).or_default().take(call);
        }
        bytes
    }

    fn is_plain(&self) -> bool {
        let words = self.texts.iter().filter(|(_, text)| !text.is_empty());
        self.calls.is_empty() && words.into_iter().all(|(name, _)| *name == "content")
    }

    fn written(&self) -> Value {
        let mut written = json!({});
        for (name, text) in self.texts.iter().filter(|(_, text)| !text.is_empty()) {
            written[*name] = json!(text);
        }
        if !self.calls.is_empty() {
            let calls = self.calls.values();
            let call = |it: &Call| json!({"id": it.id, "name": it.name, "arguments": it.arguments});
            written["tool_calls"] = calls.map(call).collect();
        }
        written
    }
}

impl Call {
    fn take(&mut self, call: &Value) -> usize {
        let function = &call["function"];
        let parts = [
            (&mut self.id, &call["id"]),
            (&mut self.name, &function["name"]),
            (&mut self.arguments, &function["arguments"]),
        ];
        let mut bytes = 0;
        for (own, said) in parts {
            if let Some(said) = said.as_str() {
                own.push_str(said);
                bytes += said.len();
            }
        }
        bytes
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
    fn what_has_no_bound_is_refused() {
        let many = json!({"choices": [{"index": CHOICES_MAX, "text": "x"}]});
        assert!(Gathered::default().take(&many).is_err());
        let mut gathered = Gathered::default();
        let piece = json!({"choices": [{"text": "x".repeat(1 << 20)}]});
        let taken = (0..16).map(|_| gathered.take(&piece)).find(Result::is_err);
        assert!(taken.is_some());
        // Odd members neither panic nor count.
        for odd in [
            json!(null),
            json!([]),
            json!({"choices": [7]}),
            json!({"choices": [{"delta": 3}]}),
        ] {
            assert_eq!(gathered_of(&odd).text(), "", "{odd}");
        }
    }

    fn gathered_of(chunk: &Value) -> Gathered {
        gather(std::slice::from_ref(chunk))
    }
}
