//! A tokenizer from GGUF metadata.

use super::pieces::Decoding;
use super::{Added, Parts, Tokenizer, pre, sentencepiece};
use crate::error::EngineError;
use crate::gguf::{Array, Gguf, Value};
use std::collections::HashMap;
use tokenizers::AddedToken;

/// The token type of GGUF that text is made of.
pub(super) const NORMAL: u64 = 1;
/// Those that are matched in the text before anything else.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

impl Tokenizer {
    /// Builds the tokenizer that a GGUF file describes.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a kind of vocabulary or a pre-tokenizer that is not in the
    /// table, [`EngineError::Tokenizer`] where vocabulary and merges do not fit together.
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, EngineError> {
        let kind = gguf
            .string("tokenizer.ggml.model")?
            .unwrap_or("(none named)");
        match kind {
            "gpt2" => byte_level(gguf),
            "llama" => sentencepiece::build(gguf),
            other => Err(EngineError::Unsupported {
                what: "GGUF tokenizer",
                name: other.to_owned(),
                supported: "gpt2 (byte-level BPE), llama (SentencePiece BPE); for others use the \
                            model's Hugging Face folder"
                    .to_owned(),
            }),
        }
    }
}

/// Byte-level BPE, its words cut as the file's pre-tokenizer names it.
fn byte_level(gguf: &Gguf) -> Result<Tokenizer, EngineError> {
    let name = gguf.string("tokenizer.ggml.pre")?.unwrap_or("default");
    let named = pre::by_name(name).map_err(|supported| EngineError::Unsupported {
        what: "GGUF pre-tokenizer",
        name: name.to_owned(),
        supported,
    })?;
    let tokens = tokens(gguf)?;
    let parts = Parts {
        added: added(gguf, &tokens)?,
        vocab: vocab(&tokens)?,
        merges: merges(gguf)?,
        unknown: None,
        fuse_unknown: false,
        byte_fallback: false,
        ignore_merges: named.ignore_merges,
        normalizer: named.normalizer,
        pre_tokenizer: Some(named.pre_tokenizer),
        decoding: Decoding::ByteLevel,
    };
    parts.build().map_err(broken)
}

pub(super) fn tokens<'a>(gguf: &Gguf<'a>) -> Result<Vec<&'a str>, EngineError> {
    let array = gguf.array("tokenizer.ggml.tokens")?;
    let tokens = array.as_ref().and_then(Array::strings);
    Ok(tokens
        .ok_or_else(|| broken("the metadata lack tokenizer.ggml.tokens".to_owned()))?
        .collect())
}

pub(super) fn vocab(tokens: &[&str]) -> Result<HashMap<String, u32>, EngineError> {
    let mut vocab = HashMap::with_capacity(tokens.len());
    for (id, token) in (0u32..).zip(tokens) {
        if vocab.insert((*token).to_owned(), id).is_some() {
            return Err(broken(format!("the token {token:?} occurs twice")));
        }
    }
    Ok(vocab)
}

/// The type of every token; `None` where the file names none.
pub(super) fn token_types(
    gguf: &Gguf,
    tokens: &[&str],
) -> Result<Option<Vec<Option<u64>>>, EngineError> {
    let Some(types) = gguf.array("tokenizer.ggml.token_type")? else {
        return Ok(None);
    };
    if types.len() != tokens.len() {
        return Err(broken(format!(
            "{} token types for {} tokens",
            types.len(),
            tokens.len()
        )));
    }
    let types = types.iter().map(|value| Value::as_unsigned(&value));
    Ok(Some(types.collect()))
}

/// Control tokens are special; user-defined ones are matched whole, but are text.
pub(super) fn added(gguf: &Gguf, tokens: &[&str]) -> Result<Vec<Added>, EngineError> {
    let Some(kinds) = token_types(gguf, tokens)? else {
        return Ok(Vec::new());
    };
    let added = (0u32..)
        .zip(tokens)
        .zip(kinds)
        .filter_map(|((id, token), kind)| {
            let special = match kind? {
                CONTROL => true,
                USER_DEFINED => false,
                _ => return None,
            };
            Some(Added {
                id,
                token: AddedToken::from(*token, special).normalized(false),
            })
        });
    Ok(added.collect())
}

fn merges(gguf: &Gguf) -> Result<Vec<(String, String)>, EngineError> {
    let array = gguf.array("tokenizer.ggml.merges")?;
    let merges = array.as_ref().and_then(Array::strings);
    let merges =
        merges.ok_or_else(|| broken("the metadata lack tokenizer.ggml.merges".to_owned()))?;
    merges
        .map(|merge| {
            let (left, right) = merge
                .split_once(' ')
                .ok_or_else(|| broken(format!("the merge {merge:?} is no pair")))?;
            Ok((left.to_owned(), right.to_owned()))
        })
        .collect()
}

pub(super) fn broken(reason: String) -> EngineError {
    EngineError::Tokenizer {
        origin: "the GGUF metadata".to_owned(),
        reason,
    }
}
