//! A model from a folder in Hugging Face's layout.
//!
//! Reads `config.json`, `generation_config.json`, `tokenizer.json`,
//! `tokenizer_config.json`, `chat_template.jinja` and `*.safetensors`. A folder
//! without a config that holds exactly one GGUF file is that file.

use super::bytes::{Bytes, read_text};
use super::{RawModel, Stored, Tensor, check_tokenizer, layout};
use crate::config::{Config, generation_eos};
use crate::error::EngineError;
use crate::safetensors::{self, Entry};
use crate::template::{ChatTemplate, SpecialTokens};
use crate::tokenizer::Tokenizer;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The whole weights in one file, and the index of shards.
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

pub(super) fn open(folder: &Path) -> Result<RawModel, EngineError> {
    let Some(config) = read_text(&folder.join("config.json"))? else {
        return match only_gguf(folder)? {
            Some(path) => super::gguf::open(Bytes::map(&path)?),
            None => Err(missing(folder, "config.json")),
        };
    };
    let mut config = Config::from_json(&config)?;
    let tokenizer = read_text(&folder.join("tokenizer.json"))?
        .ok_or_else(|| missing(folder, "tokenizer.json"))?;
    let mut tokenizer = Tokenizer::from_json(&tokenizer)?;
    check_tokenizer(&config, &tokenizer)?;
    let described = read_text(&folder.join("tokenizer_config.json"))?;
    let described = TokenizerConfig::parse(described.as_deref())?;
    add_end_tokens(&mut config, folder, &tokenizer, &described)?;
    if let Some(adds) = described.adds_bos {
        let bos = described.special.get("bos_token");
        let bos = bos.and_then(|bos| tokenizer.token_id(bos)).filter(|_| adds);
        tokenizer = tokenizer.with_opening(bos.as_slice());
    }
    let template = template(folder, described)?;
    let (files, tensors) = weights(folder, &config)?;
    layout::check(&config, &tensors)?;
    let format = format!("safetensors {}", commonest(&tensors));
    Ok(RawModel {
        config,
        tokenizer,
        template,
        files,
        tensors,
        format,
    })
}

fn only_gguf(folder: &Path) -> Result<Option<PathBuf>, EngineError> {
    let entries = folder
        .read_dir()
        .map_err(|error| EngineError::io("list", folder, error))?;
    let mut found = None;
    for entry in entries {
        let path = entry
            .map_err(|error| EngineError::io("list", folder, error))?
            .path();
        if path
            .extension()
            .is_some_and(|extension| extension == "gguf")
            && found.replace(path).is_some()
        {
            return Ok(None);
        }
    }
    Ok(found)
}

/// What matters of a `tokenizer_config.json`.
#[derive(Default)]
struct TokenizerConfig {
    special: SpecialTokens,
    template: Option<String>,
    /// Whether the first token stands before every text, where it is said.
    adds_bos: Option<bool>,
}

impl TokenizerConfig {
    fn parse(bytes: Option<&[u8]>) -> Result<Self, EngineError> {
        let Some(bytes) = bytes else {
            return Ok(Self::default());
        };
        let value: Value = serde_json::from_slice(bytes)
            .map_err(|error| EngineError::damaged("tokenizer_config.json", error.to_string()))?;
        let names = [
            "bos_token",
            "eos_token",
            "unk_token",
            "pad_token",
            "sep_token",
            "cls_token",
        ];
        let special = names.iter().filter_map(|name| {
            let token = value.get(name)?;
            let text = token.as_str().or_else(|| token.get("content")?.as_str())?;
            Some(((*name).to_owned(), text.to_owned()))
        });
        Ok(Self {
            special: special.collect(),
            template: default_template(&value),
            adds_bos: value.get("add_bos_token").and_then(Value::as_bool),
        })
    }
}

/// The template of a config: a text, or the one called default in a list.
fn default_template(config: &Value) -> Option<String> {
    let template = config.get("chat_template")?;
    if let Some(list) = template.as_array() {
        let default = list
            .iter()
            .find(|one| one.get("name").is_some_and(|n| n == "default"))?;
        return default.get("template")?.as_str().map(str::to_owned);
    }
    template.as_str().map(str::to_owned)
}

/// Files name the end of an answer in three places, and not always the same token.
fn add_end_tokens(
    config: &mut Config,
    folder: &Path,
    tokenizer: &Tokenizer,
    described: &TokenizerConfig,
) -> Result<(), EngineError> {
    let mut tokens = Vec::new();
    if let Some(bytes) = read_text(&folder.join("generation_config.json"))? {
        tokens.extend(generation_eos(&bytes)?);
    }
    tokens.extend(
        described
            .special
            .get("eos_token")
            .and_then(|name| tokenizer.token_id(name)),
    );
    tokens.retain(|token| (*token as usize) < config.vocab);
    tokens.into_iter().for_each(|token| config.add_eos(token));
    Ok(())
}

fn template(
    folder: &Path,
    described: TokenizerConfig,
) -> Result<Option<ChatTemplate>, EngineError> {
    let path = folder.join("chat_template.jinja");
    let source = match read_text(&path)? {
        Some(bytes) => Some(
            String::from_utf8(bytes)
                .map_err(|_| EngineError::damaged(path.display().to_string(), "it is not UTF-8"))?,
        ),
        None => described.template,
    };
    source
        .map(|source| ChatTemplate::new(&source, described.special))
        .transpose()
}

fn weights(
    folder: &Path,
    config: &Config,
) -> Result<(Vec<Bytes>, BTreeMap<String, Tensor>), EngineError> {
    let index = read_text(&folder.join(INDEX))?;
    let index = index
        .map(|bytes| safetensors::parse_index(&bytes))
        .transpose()?;
    let names = match &index {
        Some(index) => index.values().map(String::as_str).collect(),
        None if folder.join(WEIGHTS).is_file() => std::collections::BTreeSet::from([WEIGHTS]),
        None => return Err(missing(folder, "model.safetensors")),
    };
    let (mut files, mut tensors) = (Vec::new(), BTreeMap::new());
    for name in names {
        let path = folder.join(name);
        let bytes = Bytes::map(&path)?;
        for (tensor, entry) in safetensors::parse(&bytes).map_err(|error| located(error, &path))? {
            let elsewhere = index
                .as_ref()
                .is_some_and(|index| index.get(&tensor).is_none_or(|file| file != name));
            if elsewhere || is_derived(&tensor, config) {
                continue;
            }
            let stored = Stored::Safetensors(entry);
            tensors.insert(
                tensor,
                Tensor {
                    file: files.len(),
                    stored,
                },
            );
        }
        files.push(bytes);
    }
    Ok((files, tensors))
}

/// Tensors that follow from others: buffers of older exports, and the head of tied embeddings.
fn is_derived(name: &str, config: &Config) -> bool {
    name.ends_with(".rotary_emb.inv_freq") || (config.tied_embeddings && name == "lm_head.weight")
}

fn commonest(tensors: &BTreeMap<String, Tensor>) -> String {
    let mut values: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in tensors.values() {
        if let Stored::Safetensors(Entry { dtype, shape, .. }) = &tensor.stored {
            *values.entry(format!("{dtype:?}")).or_default() += shape.iter().product::<usize>();
        }
    }
    let most = values.into_iter().max_by_key(|(_, count)| *count);
    most.map_or_else(|| "without tensors".to_owned(), |(name, _)| name)
}

/// Adds which of the folder's files is meant.
fn located(error: EngineError, path: &Path) -> EngineError {
    match error {
        EngineError::Damaged { reason, .. } => {
            EngineError::damaged(path.display().to_string(), reason)
        }
        other => other,
    }
}

fn missing(folder: &Path, file: &'static str) -> EngineError {
    EngineError::MissingFile {
        folder: folder.to_path_buf(),
        file,
    }
}
