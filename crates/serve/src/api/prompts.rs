//! Texts that are read as they are: a completion's prompts and what is to be embedded.
//!
//! Each is a text or a list of token ids. No chat template is put around either. A text gets the token
//! that the model expects before every text, if there is one, as transformers, llama.cpp and vLLM add
//! it; a list of tokens is what the model reads.

use lathe_engine::Model;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::is_absent;

/// Texts in one request (OpenAI's bound).
const TEXTS_MAX: usize = 2048;

/// A text as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Given {
    /// In words.
    Text(String),
    /// In the model's tokens.
    Tokens(Vec<u32>),
}

/// A text as the model reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// In words, as the caller gave it.
    pub text: String,
    /// In tokens; at least one.
    pub tokens: Vec<u32>,
    /// Whether the caller gave the tokens.
    pub was_tokens: bool,
}

/// Reads the member `name`: a text, a list of texts, a list of token ids, a list of such lists.
///
/// # Errors
/// 400 where it is none of these.
pub(super) fn read(map: &Map<String, Value>, name: &str) -> Result<Vec<Given>, ApiError> {
    let refuse = || {
        let message = format!(
            "'{name}' must be a string, a list of token ids, or a list of at most {TEXTS_MAX} such."
        );
        ApiError::invalid(Some(name), message)
    };
    match map.get(name) {
        value if is_absent(value) => {
            let message = format!("Missing required parameter: '{name}'.");
            Err(ApiError::invalid(Some(name), message))
        }
        Some(Value::Array(list)) if list.first().is_some_and(|first| !first.is_number()) => {
            if list.len() > TEXTS_MAX {
                return Err(refuse());
            }
            let texts = list.iter().map(|one| read_one(one).ok_or_else(refuse));
            texts.collect()
        }
        Some(one) => read_one(one).map(|one| vec![one]).ok_or_else(refuse),
        None => Err(refuse()),
    }
}

fn read_one(value: &Value) -> Option<Given> {
    match value {
        Value::String(text) => Some(Given::Text(text.clone())),
        Value::Array(ids) => {
            let id = |id: &Value| id.as_u64().and_then(|id| u32::try_from(id).ok());
            ids.iter().map(id).collect::<Option<_>>().map(Given::Tokens)
        }
        _ => None,
    }
}

impl Given {
    /// The text as `model` reads it; `name` is the parameter it came by.
    ///
    /// # Errors
    /// 400 for no token and for a token that the model does not have.
    pub(super) fn for_model(self, model: &Model, name: &str) -> Result<Prompt, ApiError> {
        let refuse = |message: String| Err(ApiError::invalid(Some(name), message));
        let prompt = match self {
            Given::Text(text) => Prompt {
                tokens: model.tokenizer.encode_plain(&text),
                text,
                was_tokens: false,
            },
            Given::Tokens(tokens) => Prompt {
                text: model.tokenizer.decode(&tokens, false),
                tokens,
                was_tokens: true,
            },
        };
        let vocab = model.config.vocab;
        if prompt.tokens.is_empty() {
            return refuse(format!("'{name}' holds a text of no tokens."));
        }
        match prompt.tokens.iter().find(|id| **id as usize >= vocab) {
            Some(id) => refuse(format!(
                "'{name}' names token {id}, but this model has {vocab} tokens."
            )),
            None => Ok(prompt),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read_from(value: Value) -> Result<Vec<Given>, ApiError> {
        read(
            json!({"prompt": value}).as_object().expect("an object"),
            "prompt",
        )
    }

    #[test]
    fn every_form_is_read() {
        let text = |text: &str| Given::Text(text.to_owned());
        let tokens = |ids: &[u32]| Given::Tokens(ids.to_vec());
        for (value, expected) in [
            (json!("a"), vec![text("a")]),
            (json!(["a", ""]), vec![text("a"), text("")]),
            (json!([1, 2]), vec![tokens(&[1, 2])]),
            (json!([[1], [2, 3]]), vec![tokens(&[1]), tokens(&[2, 3])]),
        ] {
            assert_eq!(
                read_from(value.clone()).expect("readable"),
                expected,
                "{value}"
            );
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_name() {
        let many = vec!["a"; TEXTS_MAX + 1];
        for value in [
            json!(null),
            json!(3),
            json!({}),
            json!([1, "a"]),
            json!(["a", 1]),
            json!([[1], ["a"]]),
            json!([-1]),
            json!([1.5]),
            json!([4294967296u64]),
            json!(many),
        ] {
            let error = read_from(value.clone()).expect_err("no text");
            assert_eq!(error.body()["error"]["param"], "prompt", "{value}");
        }
        // An empty list is a list of no tokens, which no model reads.
        assert_eq!(
            read_from(json!([])).expect("read"),
            [Given::Tokens(Vec::new())]
        );
    }
}
