//! The two shapes an answer's text is sent in: a chat completion's and a completion's.
//!
//! Here stands what a choice looks like, whole and in pieces. What is around it, and when it is
//! sent, is `answer`'s.

use std::sync::Arc;

use serde_json::{Value, json};

use super::calls::{CallReader, Calls};
use super::logprobs;
use crate::scheduler::{FinishReason, TokenScore};
use crate::served::Served;

/// How the choices of one request look.
pub(super) struct Form {
    /// The model, whose tokens are named.
    pub served: Arc<Served>,
    /// Whether log-probabilities are told.
    pub scores: bool,
    /// Of which interface.
    pub kind: Kind,
}

/// The interfaces that send text.
pub(super) enum Kind {
    /// `/v1/chat/completions`.
    Chat {
        /// How calls of tools stand in the answer, where tools were given.
        calls: Option<Calls>,
    },
    /// `/v1/completions`.
    Completion {
        /// The prompts' texts, where they are to stand before their answers.
        echo: Option<Vec<String>>,
        /// Answers to each prompt.
        answers: usize,
    },
}

/// What was said in one choice.
pub(super) struct Said<'a> {
    /// The answer.
    pub text: &'a str,
    /// The calls of tools in it, which the text is without.
    pub calls: &'a [Value],
    /// The scores of its tokens.
    pub scores: &'a [TokenScore],
    /// The scores of the prompt's tokens.
    pub prompt_scores: &'a [TokenScore],
}

impl Form {
    /// What identifiers begin with.
    pub(super) fn id_prefix(&self) -> &'static str {
        match self.kind {
            Kind::Chat { .. } => "chatcmpl-",
            Kind::Completion { .. } => "cmpl-",
        }
    }

    /// The member `object` of a whole answer.
    pub(super) fn object(&self) -> &'static str {
        match self.kind {
            Kind::Chat { .. } => "chat.completion",
            Kind::Completion { .. } => "text_completion",
        }
    }

    /// The member `object` of a streamed chunk.
    pub(super) fn chunk_object(&self) -> &'static str {
        match self.kind {
            Kind::Chat { .. } => "chat.completion.chunk",
            Kind::Completion { .. } => "text_completion",
        }
    }

    /// A choice in one piece.
    pub(super) fn whole(&self, index: usize, said: &Said<'_>, reason: FinishReason) -> Value {
        let scores = self.logprobs(index, said.prompt_scores, said.scores);
        let reason = self.reason(reason, !said.calls.is_empty());
        match &self.kind {
            Kind::Chat { .. } => json!({
                "index": index,
                "message": message(said),
                "logprobs": scores,
                "finish_reason": reason,
            }),
            Kind::Completion { .. } => {
                let text = format!("{}{}", self.echo(index), said.text);
                Self::text(index, &text, scores, Some(reason))
            }
        }
    }

    /// What a streamed choice begins with, before the model has read anything.
    pub(super) fn begin(&self, index: usize) -> Value {
        match &self.kind {
            Kind::Chat { .. } => {
                let delta = json!({"role": "assistant", "content": ""});
                Self::delta(index, delta, Value::Null, None)
            }
            // With scores the prompt comes once they are known.
            Kind::Completion { .. } if self.scores => Self::text(index, "", Value::Null, None),
            Kind::Completion { .. } => Self::text(index, self.echo(index), Value::Null, None),
        }
    }

    /// The prompt with its scores, in front of the answer.
    pub(super) fn prompt(&self, index: usize, scores: &[TokenScore]) -> Value {
        let scores = self.logprobs(index, scores, &[]);
        Self::text(index, self.echo(index), scores, None)
    }

    /// The next piece of a choice.
    pub(super) fn piece(&self, index: usize, text: &str, scores: &[TokenScore]) -> Value {
        let scores = self.logprobs(index, &[], scores);
        match &self.kind {
            Kind::Chat { .. } => Self::delta(index, json!({"content": text}), scores, None),
            Kind::Completion { .. } => Self::text(index, text, scores, None),
        }
    }

    /// A call of a tool, whole.
    pub(super) fn call(&self, index: usize, call: &Value) -> Value {
        Self::delta(index, json!({"tool_calls": [call]}), Value::Null, None)
    }

    /// What reads a choice's text for calls of tools, where there may be some.
    pub(super) fn reader(&self) -> Option<CallReader> {
        match &self.kind {
            Kind::Chat { calls } => calls.as_ref().map(CallReader::new),
            Kind::Completion { .. } => None,
        }
    }

    /// Why a choice ended, in OpenAI's words: one that called the function it had to simply stopped.
    fn reason(&self, reason: FinishReason, called: bool) -> &'static str {
        let named = matches!(
            self.kind,
            Kind::Chat {
                calls: Some(Calls::Forced { named: true })
            }
        );
        match reason {
            FinishReason::Stop | FinishReason::Sequence if called && !named => "tool_calls",
            reason => reason.as_str(),
        }
    }

    /// The end of a choice, in which a tool was `called` or none.
    pub(super) fn end(&self, index: usize, reason: FinishReason, called: bool) -> Value {
        let reason = Some(self.reason(reason, called));
        match &self.kind {
            Kind::Chat { .. } => Self::delta(index, json!({}), Value::Null, reason),
            Kind::Completion { .. } => Self::text(index, "", Value::Null, reason),
        }
    }

    /// The prompt's text in front of a choice; empty where it is not asked for.
    fn echo(&self, index: usize) -> &str {
        match &self.kind {
            Kind::Completion {
                echo: Some(prompts),
                answers,
            } => &prompts[index / answers],
            _ => "",
        }
    }

    fn logprobs(&self, index: usize, prompt: &[TokenScore], answer: &[TokenScore]) -> Value {
        if !self.scores {
            return Value::Null;
        }
        let tokenizer = &self.served.model().tokenizer;
        match &self.kind {
            Kind::Chat { .. } => logprobs::of_chat(tokenizer, answer),
            Kind::Completion { .. } => {
                let echo_chars = self.echo(index).chars().count();
                logprobs::of_completion(tokenizer, prompt, answer, echo_chars)
            }
        }
    }

    fn delta(index: usize, delta: Value, logprobs: Value, reason: Option<&str>) -> Value {
        json!({
            "index": index,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": reason,
        })
    }

    fn text(index: usize, text: &str, logprobs: Value, reason: Option<&str>) -> Value {
        json!({
            "text": text,
            "index": index,
            "logprobs": logprobs,
            "finish_reason": reason,
        })
    }
}

/// The message of a whole choice; nothing said beside calls is null.
fn message(said: &Said<'_>) -> Value {
    let silent = said.text.trim().is_empty() && !said.calls.is_empty();
    let content = (!silent).then_some(said.text);
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if !said.calls.is_empty() {
        let mut calls = said.calls.to_vec();
        // Their place is told in pieces alone.
        for call in calls.iter_mut().filter_map(Value::as_object_mut) {
            call.remove("index");
        }
        message["tool_calls"] = Value::Array(calls);
    }
    message
}
