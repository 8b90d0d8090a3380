//! A tokenizer from a Hugging Face `tokenizer.json`.
//!
//! The file is taken apart here and only its known parts are handed to the
//! encoder: components are on a list, sizes are bounded, and what would change
//! the ids in a way this engine does not follow is refused by name. Truncation and
//! padding are left out on purpose; of a post-processor, what stands before a text is
//! kept beside (`opening`).

use super::pieces::Decoding;
use super::{Added, Parts, Tokenizer, opening};
use crate::error::EngineError;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use tokenizers::AddedToken;

/// Most components in a normalizer, pre-tokenizer or decoder, nested ones counted.
const COMPONENTS_MAX: usize = 32;
/// Longest pattern in a component.
const PATTERN_BYTES_MAX: usize = 16 << 10;
const NORMALIZERS: [&str; 9] = [
    "Sequence",
    "NFC",
    "NFD",
    "NFKC",
    "NFKD",
    "Lowercase",
    "Prepend",
    "Replace",
    "Strip",
];
const PRE_TOKENIZERS: [&str; 6] = [
    "Sequence",
    "ByteLevel",
    "Split",
    "Digits",
    "Metaspace",
    "Punctuation",
];

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<FileAdded>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    decoder: Option<Value>,
    post_processor: Option<Value>,
    model: Model,
}

#[derive(Deserialize)]
struct FileAdded {
    id: u32,
    #[serde(flatten)]
    token: AddedToken,
}

#[derive(Deserialize)]
struct Model {
    vocab: HashMap<String, u32>,
    merges: Vec<Merge>,
    unk_token: Option<String>,
    #[serde(default)]
    fuse_unk: bool,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
    dropout: Option<f32>,
    continuing_subword_prefix: Option<String>,
    end_of_word_suffix: Option<String>,
}

/// `["a", "b"]`, or `"a b"` in older files.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Line(String),
}

impl Tokenizer {
    /// Builds the tokenizer that the bytes of a `tokenizer.json` describe.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a model or component that is not on the list,
    /// [`EngineError::Tokenizer`] for what is no tokenizer file or does not fit together.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EngineError> {
        refuse_other_models(bytes)?;
        let file: File = parse(bytes)?;
        refuse_model_variants(&file.model)?;
        let decoding = decoding(file.decoder.as_ref())?;
        let opening = opening::of_post_processor(file.post_processor.as_ref());
        let merges = file.model.merges.into_iter().map(Merge::into_pair);
        let parts = Parts {
            merges: merges.collect::<Result<_, _>>()?,
            vocab: file.model.vocab,
            added: file
                .added_tokens
                .into_iter()
                .map(|FileAdded { id, token }| Added { id, token })
                .collect(),
            unknown: file.model.unk_token,
            fuse_unknown: file.model.fuse_unk,
            byte_fallback: file.model.byte_fallback,
            ignore_merges: file.model.ignore_merges,
            normalizer: component(file.normalizer, "tokenizer normalizer", &NORMALIZERS)?,
            pre_tokenizer: component(file.pre_tokenizer, "pre-tokenizer", &PRE_TOKENIZERS)?,
            decoding,
        };
        let built = parts.build().map_err(broken)?;
        Ok(built.with_opening(&opening))
    }
}

impl Merge {
    fn into_pair(self) -> Result<(String, String), EngineError> {
        match self {
            Self::Pair(left, right) => Ok((left, right)),
            Self::Line(line) => match line.split_once(' ') {
                Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
                None => Err(broken(format!("the merge {line:?} is no pair"))),
            },
        }
    }
}

/// Looks at the model's type alone first, so that it is refused by name.
fn refuse_other_models(bytes: &[u8]) -> Result<(), EngineError> {
    #[derive(Deserialize)]
    struct Named {
        model: NamedModel,
    }
    #[derive(Deserialize)]
    struct NamedModel {
        r#type: Option<String>,
    }
    let named: Named = parse(bytes)?;
    match named.model.r#type.as_deref() {
        None | Some("BPE") => Ok(()),
        Some(other) => Err(unsupported("tokenizer model", other, "BPE")),
    }
}

fn refuse_model_variants(model: &Model) -> Result<(), EngineError> {
    if model.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err(unsupported("tokenizer option", "dropout", "none"));
    }
    let affixes = [
        (
            "continuing_subword_prefix",
            &model.continuing_subword_prefix,
        ),
        ("end_of_word_suffix", &model.end_of_word_suffix),
    ];
    for (name, affix) in affixes {
        if affix.as_ref().is_some_and(|affix| !affix.is_empty()) {
            return Err(unsupported("tokenizer option", name, "none"));
        }
    }
    Ok(())
}

/// Checks a component and its nested ones against a list, then reads it.
fn component<T: DeserializeOwned>(
    value: Option<Value>,
    what: &'static str,
    known: &[&str],
) -> Result<Option<T>, EngineError> {
    let Some(value) = value else { return Ok(None) };
    let mut components = Vec::new();
    flatten(&value, &mut components)?;
    for part in components {
        let name = kind(part);
        if !known.contains(&name) {
            return Err(unsupported(what, name, &known.join(", ")));
        }
        let pattern = part
            .get("pattern")
            .map(Value::to_string)
            .unwrap_or_default();
        if pattern.len() > PATTERN_BYTES_MAX {
            return Err(EngineError::TooLarge {
                what: format!("the pattern of a {what}, in bytes,"),
                found: pattern.len() as u64,
                limit: PATTERN_BYTES_MAX as u64,
            });
        }
    }
    serde_json::from_value(value)
        .map(Some)
        .map_err(|error| broken(format!("{what}: {error}")))
}

/// Collects a component and, for a sequence, what it holds.
fn flatten<'a>(value: &'a Value, components: &mut Vec<&'a Value>) -> Result<(), EngineError> {
    if components.len() >= COMPONENTS_MAX {
        return Err(broken(format!(
            "more than {COMPONENTS_MAX} components in a row"
        )));
    }
    components.push(value);
    if kind(value) == "Sequence" {
        for key in ["normalizers", "pretokenizers", "decoders"] {
            for part in value
                .get(key)
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                flatten(part, components)?;
            }
        }
    }
    Ok(())
}

fn kind(value: &Value) -> &str {
    value
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("(none named)")
}

/// Reduces a decoder to what [`Decoding`] knows.
fn decoding(decoder: Option<&Value>) -> Result<Decoding, EngineError> {
    let mut parts = Vec::new();
    if let Some(decoder) = decoder {
        flatten(decoder, &mut parts)?;
    }
    parts.retain(|part| kind(part) != "Sequence");
    let (mut byte_level, mut bytes, mut fused, mut strip) = (false, false, false, false);
    for part in parts {
        match kind(part) {
            "ByteLevel" => byte_level = true,
            "ByteFallback" => bytes = true,
            "Fuse" => fused = true,
            "Metaspace" if is_space_mark(part.get("replacement")) => strip = strips(part),
            "Replace" if is_space_mark(part.pointer("/pattern/String")) => {}
            "Strip" if fused && part["content"] == " " && part["start"] == 1 => strip = true,
            other => {
                let known = "ByteLevel, Metaspace, or Replace ▁, ByteFallback, Fuse, Strip";
                return Err(unsupported("tokenizer decoder", other, known));
            }
        }
    }
    match (byte_level, bytes || fused || strip) {
        (true, false) => Ok(Decoding::ByteLevel),
        (true, true) => Err(unsupported(
            "tokenizer decoder",
            "ByteLevel among others",
            "either",
        )),
        (false, _) => Ok(Decoding::Marked { bytes, strip }),
    }
}

fn is_space_mark(value: Option<&Value>) -> bool {
    value.and_then(Value::as_str) == Some("▁")
}

/// Metaspace put a space before the text unless its scheme says never.
fn strips(metaspace: &Value) -> bool {
    metaspace.get("prepend_scheme").and_then(Value::as_str) != Some("never")
        && metaspace.get("add_prefix_space").and_then(Value::as_bool) != Some(false)
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, EngineError> {
    serde_json::from_slice(bytes).map_err(|error| broken(error.to_string()))
}

fn unsupported(what: &'static str, name: &str, supported: &str) -> EngineError {
    EngineError::Unsupported {
        what,
        name: name.to_owned(),
        supported: supported.to_owned(),
    }
}

fn broken(reason: String) -> EngineError {
    EngineError::Tokenizer {
        origin: "tokenizer.json".to_owned(),
        reason,
    }
}
