//! The metadata of a GGUF file that is written.
//!
//! Of a model that came as GGUF they are carried over, but for what is no longer true of it: the type
//! of its weights, how they were quantised, and its template where it was tuned in another. Of a
//! Hugging Face folder they are made from its config and its tokenizer. Either way they are read again
//! and have to give the config of the base.

use super::config_json::difference;
use super::{Export, vocabulary};
use crate::config::{Config, unsupported};
use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::gguf::blocks::BlockType;
use crate::gguf::write::{self, Metadata};
use crate::weights::read_text;

const TEMPLATE: &str = "tokenizer.chat_template";
const END_OF_TURN: &str = "tokenizer.ggml.eot_token_id";
/// What is said anew, or no longer true.
const NOT_CARRIED: [&str; 5] = [
    "general.alignment",
    "general.file_type",
    "general.quantization_version",
    "general.quantized_by",
    TEMPLATE,
];
/// How the blocks of a file were chosen, and that it was cut into several.
const NOT_CARRIED_PREFIXES: [&str; 2] = ["quantize.", "split."];
/// Version of the block formats' layout.
const QUANTIZATION_VERSION: u32 = 2;

/// All of them.
///
/// # Errors
/// [`EngineError::Unsupported`] for a model that such a file cannot say.
pub(super) fn of(export: &Export<'_>, format: BlockType) -> Result<Metadata, EngineError> {
    let raw = export.raw();
    let mut metadata = Metadata::default();
    match raw.gguf() {
        Some(bytes) => carry(export, &Gguf::parse(bytes)?, &mut metadata)?,
        None => make(export, &mut metadata)?,
    }
    metadata.unsigned("general.file_type", file_type(format));
    metadata.unsigned("general.quantization_version", QUANTIZATION_VERSION);
    if let Some(template) = export.speech.template {
        metadata.string(TEMPLATE, template.source());
    }
    check(&metadata, &raw.config)?;
    Ok(metadata)
}

/// The number of the format that most weights have, as llama.cpp counts them.
fn file_type(format: BlockType) -> u32 {
    match format {
        BlockType::F16 => 1,
        BlockType::Q4_0 => 2,
        BlockType::Q4_1 => 3,
        BlockType::Q8_0 => 7,
        BlockType::BF16 => 32,
        _ => 0,
    }
}

fn carry(export: &Export<'_>, gguf: &Gguf<'_>, metadata: &mut Metadata) -> Result<(), EngineError> {
    let mut known = Vec::new();
    for key in ["tokenizer.ggml.eos_token_id", END_OF_TURN] {
        known.extend(gguf.unsigned(key)?);
    }
    let end = export
        .speech
        .end
        .filter(|it| !known.contains(&u64::from(*it)));
    for (key, value) in gguf.metadata() {
        let prefixed = NOT_CARRIED_PREFIXES.iter().any(|it| key.starts_with(it));
        let renewed = key == END_OF_TURN && end.is_some();
        if !prefixed && !renewed && !NOT_CARRIED.contains(&key) {
            metadata.value(key, value);
        }
    }
    if let Some(end) = end {
        metadata.unsigned(END_OF_TURN, end);
    }
    Ok(())
}

fn make(export: &Export<'_>, metadata: &mut Metadata) -> Result<(), EngineError> {
    let raw = export.raw();
    metadata.string(
        "general.architecture",
        raw.config.architecture.family().gguf_name,
    );
    metadata.string("general.type", "model");
    sizes(&raw.config, metadata)?;
    let json = |file: &str| -> Result<serde_json::Value, EngineError> {
        let bytes = read_text(&export.base.join(file))?;
        let read = |bytes: Vec<u8>| {
            serde_json::from_slice(&bytes)
                .map_err(|error| EngineError::damaged(file, error.to_string()))
        };
        Ok(bytes.map(read).transpose()?.unwrap_or_default())
    };
    let (described, file) = (json("tokenizer_config.json")?, json("tokenizer.json")?);
    let (tokenizer, config) = (&raw.tokenizer, &raw.config);
    vocabulary::add(
        metadata,
        tokenizer,
        config,
        &export.speech,
        &described,
        &file,
    )
}

fn sizes(config: &Config, metadata: &mut Metadata) -> Result<(), EngineError> {
    let name = config.architecture.family().gguf_name;
    let key = |key: &str| format!("{name}.{key}");
    for (name, size) in [
        ("context_length", config.context),
        ("embedding_length", config.hidden),
        ("block_count", config.layers),
        ("feed_forward_length", config.intermediate),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
        ("vocab_size", config.vocab),
    ] {
        metadata.unsigned(&key(name), bounded(size)?);
    }
    metadata.float(&key("attention.layer_norm_rms_epsilon"), config.rms_eps);
    metadata.float(&key("rope.freq_base"), config.rope_theta);
    if let Some(factor) = linear(config) {
        metadata.string(&key("rope.scaling.type"), "linear");
        metadata.float(&key("rope.scaling.factor"), factor);
    }
    if let Some(window) = &config.window {
        metadata.unsigned(&key("attention.sliding_window"), bounded(window.positions)?);
        metadata.float(&key("rope.freq_base_swa"), window.rope_theta);
        // The first layer that sees everything; that the others follow is checked by reading it again.
        let whole = window.layers.iter().position(|windowed| !windowed);
        let pattern = whole.map_or(config.layers + 1, |first| first + 1);
        let pattern = bounded(pattern)?;
        metadata.unsigned(&key("attention.sliding_window_pattern"), pattern);
    }
    Ok(())
}

fn bounded(size: usize) -> Result<u32, EngineError> {
    u32::try_from(size).map_err(|_| EngineError::TooLarge {
        what: "a size of the model".to_owned(),
        found: size as u64,
        limit: u64::from(u32::MAX),
    })
}

/// What all rotary frequencies are divided by, where that is one number.
pub(super) fn linear(config: &Config) -> Option<f32> {
    let first = *config.rope_divisors.first()?;
    let same = config.rope_divisors.iter().all(|it| *it == first);
    same.then_some(first)
}

/// Reads the config again. Whether the head is tied, and divisors that are a tensor, are said by the
/// tensors.
fn check(metadata: &Metadata, config: &Config) -> Result<(), EngineError> {
    let mut file = Vec::new();
    write::write(&mut file, metadata, &[], &mut |_, _| Ok(()))
        .map_err(|error| EngineError::damaged("the metadata", error.to_string()))?;
    let mut read = Config::from_gguf(&Gguf::parse(&file)?)?;
    read.tied_embeddings = config.tied_embeddings;
    if read.rope_divisors.is_empty() && linear(config).is_none() {
        read.rope_divisors.clone_from(&config.rope_divisors);
    }
    match difference(&read, config) {
        None => Ok(()),
        Some(what) => Err(unsupported(
            "setting in a GGUF file",
            what,
            "what the format has keys for; write safetensors instead",
        )),
    }
}
