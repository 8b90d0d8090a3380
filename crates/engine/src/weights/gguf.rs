//! A model from one GGUF file.

use super::bytes::Bytes;
use super::{RawModel, Tensor, check_tokenizer, layout};
use crate::config::Config;
use crate::error::EngineError;
use crate::gguf::codes::Codes;
use crate::gguf::{Gguf, TensorInfo};
use crate::template::{ChatTemplate, SpecialTokens};
use crate::tokenizer::Tokenizer;
use crate::tokenizer::opening::is_in_gguf;
use std::collections::BTreeMap;
use std::ops::Range;

/// Divisors of the rotary frequencies, which Llama 3.1 files hold as a tensor.
pub(crate) const ROPE_DIVISORS: &str = "rope_freqs.weight";

/// A tensor of the file and what its rows must go through.
pub(super) struct Stored {
    pub(super) info: TensorInfo,
    pub(super) interleaved_heads: Option<usize>,
    /// What is subtracted from the values.
    pub(super) offset: f32,
}

impl Stored {
    /// The values of some rows in Hugging Face's layout, and the part of the file they lie in.
    pub(super) fn rows(
        &self,
        file: &[u8],
        rows: Range<usize>,
    ) -> Result<(Vec<f32>, Range<usize>), EngineError> {
        let (info, all) = (&self.info, self.info.bytes.clone());
        let bytes = stored_bytes(info, file)?;
        let row_bytes = bytes.len() / info.shape[0];
        let Some(heads) = self.interleaved_heads else {
            let part = rows.start * row_bytes..rows.end * row_bytes;
            let mut values = info.block_type.dequantize(&bytes[part.clone()])?;
            if self.offset != 0.0 {
                values.iter_mut().for_each(|value| *value -= self.offset);
            }
            return Ok((values, all.start + part.start..all.start + part.end));
        };
        let mut values = Vec::with_capacity(rows.len() * (info.len() / info.shape[0]));
        for row in &deinterleaved(heads, info.shape[0])[rows] {
            let bytes = &bytes[row * row_bytes..][..row_bytes];
            values.extend(info.block_type.dequantize(bytes)?);
        }
        Ok((values, all))
    }

    /// The same as codes and scales, where the format consists of such.
    pub(super) fn codes(&self, file: &[u8]) -> Result<Option<Codes>, EngineError> {
        let &[rows, cols] = &self.info.shape[..] else {
            return Ok(None);
        };
        let codes = Codes::of(self.info.block_type, stored_bytes(&self.info, file)?);
        Ok(match (codes, self.interleaved_heads) {
            (Some(codes), Some(heads)) => Some(codes.with_rows(&deinterleaved(heads, rows), cols)),
            (codes, _) => codes,
        })
    }
}

/// Opens the file that `bytes` are.
pub(super) fn open(bytes: Bytes) -> Result<RawModel, EngineError> {
    let gguf = Gguf::parse(&bytes)?;
    let mut config = Config::from_gguf(&gguf)?;
    if let Some(info) = gguf.tensor(ROPE_DIVISORS) {
        config.rope_divisors = rope_divisors(&config, info, &bytes)?;
        config.check_divisors()?;
    }
    let opening = match config.bos {
        Some(bos) if is_in_gguf(&gguf)? => vec![bos],
        _ => Vec::new(),
    };
    let tokenizer = Tokenizer::from_gguf(&gguf)?.with_opening(&opening);
    check_tokenizer(&config, &tokenizer)?;
    let template = template(&gguf)?;
    let tensors = tensors(&config, &gguf)?;
    layout::check(&config, &tensors)?;
    let format = format!("GGUF {}", commonest(&gguf));
    Ok(RawModel {
        config,
        tokenizer,
        template,
        files: vec![bytes],
        tensors,
        format,
    })
}

/// Gives the tensors their Hugging Face names; those that would be ignored are refused.
fn tensors(config: &Config, gguf: &Gguf) -> Result<BTreeMap<String, Tensor>, EngineError> {
    let mut names: BTreeMap<_, _> = layout::expected(config)
        .into_iter()
        .map(|expected| (expected.gguf_name.clone(), expected))
        .collect();
    let mut tensors = BTreeMap::new();
    for (name, info) in gguf.tensors().filter(|(name, _)| *name != ROPE_DIVISORS) {
        let expected = names.remove(name).ok_or_else(|| layout::unknown(name))?;
        let stored = super::Stored::Gguf(Stored {
            info: info.clone(),
            interleaved_heads: expected.interleaved_heads,
            offset: expected.gguf_offset,
        });
        tensors.insert(expected.name, Tensor { file: 0, stored });
    }
    Ok(tensors)
}

fn rope_divisors(config: &Config, info: &TensorInfo, file: &[u8]) -> Result<Vec<f32>, EngineError> {
    if info.shape != [config.head_dim / 2] {
        return Err(EngineError::Shape {
            name: ROPE_DIVISORS.to_owned(),
            expected: vec![config.head_dim / 2],
            found: info.shape.clone(),
        });
    }
    dequantized(info, file)
}

fn dequantized(info: &TensorInfo, file: &[u8]) -> Result<Vec<f32>, EngineError> {
    info.block_type.dequantize(stored_bytes(info, file)?)
}

fn stored_bytes<'a>(info: &TensorInfo, file: &'a [u8]) -> Result<&'a [u8], EngineError> {
    file.get(info.bytes.clone())
        .ok_or_else(|| EngineError::damaged("the GGUF file", "it became shorter while it was open"))
}

/// llama.cpp rotates neighbouring rows, Hugging Face rows half a head apart: row 2·j + half of a
/// head becomes row half·(width / 2) + j. Gives for every row where it comes from.
pub(crate) fn deinterleaved(heads: usize, rows: usize) -> Vec<usize> {
    let width = rows / heads;
    let of_head = |head: usize| {
        let rows = (0..width).step_by(2).chain((1..width).step_by(2));
        rows.map(move |row| head * width + row)
    };
    (0..heads).flat_map(of_head).collect()
}

fn template(gguf: &Gguf) -> Result<Option<ChatTemplate>, EngineError> {
    let Some(source) = gguf.string("tokenizer.chat_template")? else {
        return Ok(None);
    };
    ChatTemplate::new(source, special_tokens(gguf)?).map(Some)
}

fn special_tokens(gguf: &Gguf) -> Result<SpecialTokens, EngineError> {
    let mut special = SpecialTokens::new();
    let tokens = gguf.array("tokenizer.ggml.tokens")?;
    let named = [
        ("bos_token", "tokenizer.ggml.bos_token_id"),
        ("eos_token", "tokenizer.ggml.eos_token_id"),
        ("unk_token", "tokenizer.ggml.unknown_token_id"),
        ("pad_token", "tokenizer.ggml.padding_token_id"),
    ];
    for (name, key) in named {
        let Some(id) = gguf.unsigned(key)? else {
            continue;
        };
        let strings = tokens.as_ref().and_then(|tokens| tokens.strings());
        if let Some(token) = strings.and_then(|mut strings| strings.nth(id as usize)) {
            special.insert(name.to_owned(), token.to_owned());
        }
    }
    Ok(special)
}

/// The type that holds most of the values.
fn commonest(gguf: &Gguf) -> &'static str {
    let mut values = BTreeMap::new();
    for (_, info) in gguf.tensors() {
        *values.entry(info.block_type.name()).or_insert(0) += info.len();
    }
    values
        .into_iter()
        .max_by_key(|(_, count)| *count)
        .map_or("without tensors", |(name, _)| name)
}
