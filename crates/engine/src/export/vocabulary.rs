//! A tokenizer's vocabulary as GGUF metadata, for a model that came as a Hugging Face folder.
//!
//! A GGUF file cannot say how text is cut into words, it can only name a way that its readers know;
//! and a SentencePiece vocabulary has a score for every token there instead of merges. So the name is
//! looked up in the reader's own table, the scores are the order in which the merges make a token, and
//! what was made is read again: its merges have to be the original's, one by one.

use super::Speech;
use crate::config::{Config, unsupported};
use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::gguf::write::{self, Metadata};
use crate::tokenizer::{GgufKind, Tokenizer};
use serde_json::Value;
use std::collections::HashMap;

/// Token types of GGUF.
const NORMAL: i32 = 1;
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;
const UNUSED: i32 = 5;
const BYTE: i32 = 6;

/// Adds the vocabulary; `file` is the content of `tokenizer.json` and `described` that of
/// `tokenizer_config.json`.
///
/// # Errors
/// [`EngineError::Unsupported`] for a tokenizer that such a file cannot say.
pub(super) fn add(
    metadata: &mut Metadata,
    tokenizer: &Tokenizer,
    config: &Config,
    speech: &Speech<'_>,
    described: &Value,
    file: &Value,
) -> Result<(), EngineError> {
    let json = tokenizer.to_json()?;
    let kind = tokenizer.gguf_kind(&json)?;
    let tokens = Tokens::of(
        &json,
        config,
        matches!(kind, GgufKind::SentencePiece { .. }),
    );
    metadata.strings("tokenizer.ggml.tokens", &tokens.names);
    metadata.integers("tokenizer.ggml.token_type", &tokens.kinds);
    match kind {
        GgufKind::ByteLevel { pre } => {
            metadata.string("tokenizer.ggml.model", "gpt2");
            metadata.string("tokenizer.ggml.pre", pre);
            let merges = merges(&json).map(|(left, right)| format!("{left} {right}"));
            metadata.strings("tokenizer.ggml.merges", &merges.collect::<Vec<_>>());
        }
        GgufKind::SentencePiece { space_first } => {
            metadata.string("tokenizer.ggml.model", "llama");
            metadata.boolean("tokenizer.ggml.add_space_prefix", space_first);
            metadata.floats("tokenizer.ggml.scores", &scores(&json, &tokens.names));
        }
    }
    special(metadata, tokenizer, config, speech);
    let bos = config.bos.map(|id| tokenizer.decode(&[id], false));
    let adds = adds_bos(described, file, bos.as_deref());
    metadata.boolean("tokenizer.ggml.add_bos_token", adds);
    check(metadata, &json)
}

/// The tokens that have a part to play.
fn special(metadata: &mut Metadata, tokenizer: &Tokenizer, config: &Config, speech: &Speech<'_>) {
    let named = |name: &str| {
        let text = speech.template?.special().get(name)?;
        tokenizer.token_id(text)
    };
    let eos = named("eos_token").or(config.eos.first().copied());
    let roles = [
        ("bos_token_id", config.bos),
        ("eos_token_id", eos),
        ("eot_token_id", speech.end.filter(|end| Some(*end) != eos)),
        ("unknown_token_id", named("unk_token")),
        ("padding_token_id", named("pad_token")),
    ];
    for (name, id) in roles {
        if let Some(id) = id {
            metadata.unsigned(&format!("tokenizer.ggml.{name}"), id);
        }
    }
}

/// Whether `transformers` would put the first token before every text.
fn adds_bos(described: &Value, file: &Value, bos: Option<&str>) -> bool {
    if let Some(adds) = described.get("add_bos_token").and_then(Value::as_bool) {
        return adds;
    }
    let processors = match file.pointer("/post_processor/processors") {
        Some(Value::Array(several)) => several.iter().collect(),
        _ => file.get("post_processor").into_iter().collect::<Vec<_>>(),
    };
    let first = "/single/0/SpecialToken/id";
    let mut firsts = processors
        .iter()
        .filter_map(|it| it.pointer(first)?.as_str());
    bos.is_some_and(|bos| firsts.any(|first| first == bos))
}

/// Names and types by id; ids that no token has are named as llama.cpp names them.
struct Tokens {
    names: Vec<String>,
    kinds: Vec<i32>,
}

impl Tokens {
    fn of(json: &Value, config: &Config, in_bytes: bool) -> Self {
        let mut tokens = Self {
            names: (0..config.vocab).map(|id| format!("[PAD{id}]")).collect(),
            kinds: vec![UNUSED; config.vocab],
        };
        let unknown = json.pointer("/model/unk_token").and_then(Value::as_str);
        let vocabulary = json.pointer("/model/vocab").and_then(Value::as_object);
        for (token, id) in vocabulary.into_iter().flatten() {
            let kind = match token.as_str() {
                token if Some(token) == unknown => UNKNOWN,
                token if in_bytes && is_byte(token) => BYTE,
                _ => NORMAL,
            };
            tokens.set(id, token, kind);
        }
        let added = json.get("added_tokens").and_then(Value::as_array);
        for token in added.into_iter().flatten() {
            let special = token.get("special").and_then(Value::as_bool);
            let kind = match special {
                Some(false) => USER_DEFINED,
                _ => CONTROL,
            };
            let name = token.get("content").and_then(Value::as_str);
            tokens.set(&token["id"], name.unwrap_or_default(), kind);
        }
        tokens
    }

    fn set(&mut self, id: &Value, name: &str, kind: i32) {
        let id = id.as_u64().and_then(|id| usize::try_from(id).ok());
        // Opening the model has refused ids that it has no row for.
        if let Some(id) = id.filter(|id| *id < self.names.len()) {
            name.clone_into(&mut self.names[id]);
            self.kinds[id] = kind;
        }
    }
}

/// `<0x0A>`.
fn is_byte(token: &str) -> bool {
    let digits = token
        .strip_prefix("<0x")
        .and_then(|it| it.strip_suffix('>'));
    digits.is_some_and(|it| it.len() == 2 && u8::from_str_radix(it, 16).is_ok())
}

fn merges(json: &Value) -> impl Iterator<Item = (&str, &str)> {
    let merges = json.pointer("/model/merges").and_then(Value::as_array);
    merges.into_iter().flatten().filter_map(|merge| {
        let part = |at: usize| merge.get(at).and_then(Value::as_str);
        Some((part(0)?, part(1)?))
    })
}

/// A token's score: the earlier a merge makes it, the better.
fn scores(json: &Value, names: &[String]) -> Vec<f32> {
    let mut places: HashMap<String, usize> = HashMap::new();
    for (left, right) in merges(json) {
        let next = places.len();
        places.entry(format!("{left}{right}")).or_insert(next);
    }
    let last = places.len();
    let score = |name: &String| -(places.get(name).copied().unwrap_or(last) as f32);
    names.iter().map(score).collect()
}

/// Reads the vocabulary again and holds it against the one it was made from.
fn check(metadata: &Metadata, json: &Value) -> Result<(), EngineError> {
    let mut file = Vec::new();
    write::write(&mut file, metadata, &[], &mut |_, _| Ok(()))
        .map_err(|error| EngineError::damaged("the metadata", error.to_string()))?;
    let read = Tokenizer::from_gguf(&Gguf::parse(&file)?)?.to_json()?;
    if merges(&read).eq(merges(json)) {
        return Ok(());
    }
    Err(unsupported(
        "tokenizer in GGUF",
        "merges that scores cannot say".to_owned(),
        "a tokenizer whose merges follow from its tokens; write safetensors instead",
    ))
}
