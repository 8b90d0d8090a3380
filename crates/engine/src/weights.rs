//! A model as it came in: config, tokenizer, template and named tensors.
//!
//! Whatever the file's format, tensors have their Hugging Face names and
//! layout here. Opening checks that every tensor the config implies is there in
//! its shape, and that no tensor is there that the architecture would ignore:
//! a model is computed as it was made, or refused. Values are read when they
//! are asked for; files are mapped, not copied.

mod bytes;
mod folder;
mod gguf;
mod layout;
mod work;

use crate::config::Config;
use crate::error::EngineError;
use crate::gguf::codes::Codes;
use crate::safetensors::Entry;
use crate::template::{ChatTemplate, SpecialTokens};
use crate::tokenizer::Tokenizer;
pub(crate) use bytes::{Bytes, read_text};
pub(crate) use gguf::{ROPE_DIVISORS, deinterleaved};
pub(crate) use layout::{Expected, expected};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
pub use work::TokenWork;

/// An opened model whose tensors are read on demand.
pub struct RawModel {
    /// Sizes and constants.
    pub config: Config,
    /// The model's own tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's own chat template, if it has one.
    pub template: Option<ChatTemplate>,
    files: Vec<Bytes>,
    tensors: BTreeMap<String, Tensor>,
    format: String,
}

/// Where a tensor's values come from.
struct Tensor {
    /// Index of the file.
    file: usize,
    stored: Stored,
}

enum Stored {
    Safetensors(Entry),
    Gguf(gguf::Stored),
}

impl RawModel {
    /// The tensor of that Hugging Face name (`model.layers.0.self_attn.q_proj.weight`)
    /// as (shape, row-major f32 values), in Hugging Face layout whatever the file's format.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where the file has none of that name.
    pub fn tensor_f32(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>), EngineError> {
        let shape = self.tensor(name)?.shape();
        let values = self.rows_f32(name, 0..shape[0])?;
        Ok((shape.to_vec(), values))
    }

    /// The values of some rows of that tensor, as [`RawModel::tensor_f32`] has them.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where the file has none of that name.
    ///
    /// # Panics
    /// If the tensor does not have these rows.
    pub fn rows_f32(&self, name: &str, rows: Range<usize>) -> Result<Vec<f32>, EngineError> {
        let tensor = self.tensor(name)?;
        let file = &self.files[tensor.file];
        let (values, read) = match &tensor.stored {
            Stored::Safetensors(entry) => entry.rows(file, name, rows)?,
            Stored::Gguf(stored) => stored.rows(file, rows)?,
        };
        file.let_go(read);
        Ok(values)
    }

    /// The row-major shape of the tensor of that Hugging Face name.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where the file has none of that name.
    pub fn shape(&self, name: &str) -> Result<&[usize], EngineError> {
        Ok(self.tensor(name)?.shape())
    }

    /// The bytes of the GGUF file, where the model is one.
    pub(crate) fn gguf(&self) -> Option<&[u8]> {
        let tensor = self.tensors.values().next()?;
        match &tensor.stored {
            Stored::Safetensors(_) => None,
            Stored::Gguf(_) => Some(&self.files[tensor.file]),
        }
    }

    /// Has the model speak in the template that `source` is, unless it has that one already: the
    /// token that the template ends a turn with ends an answer from then on.
    ///
    /// # Errors
    /// [`EngineError::Template`] where it is not understood.
    pub fn speak_in(&mut self, source: &str) -> Result<(), EngineError> {
        if self.template.as_ref().map(ChatTemplate::source) == Some(source) {
            return Ok(());
        }
        let text = |token: Option<u32>| token.map(|id| self.tokenizer.decode(&[id], false));
        let mut special = SpecialTokens::new();
        let named = [
            ("bos_token", self.config.bos),
            ("eos_token", self.config.eos.first().copied()),
        ];
        for (name, token) in named {
            special.insert(name.to_owned(), text(token).unwrap_or_default());
        }
        let template = ChatTemplate::new(source, special)?;
        if let Some(end) = template.end_of_turn(&self.tokenizer)? {
            self.config.add_eos(end);
        }
        self.template = Some(template);
        Ok(())
    }

    /// Whether there is a tensor of that Hugging Face name.
    pub fn has_tensor(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn tensor(&self, name: &str) -> Result<&Tensor, EngineError> {
        let tensor = self.tensors.get(name);
        tensor.ok_or_else(|| EngineError::MissingTensor {
            name: name.to_owned(),
        })
    }

    /// The tensor of that Hugging Face name as codes and scales, in Hugging Face layout; `None`
    /// where it is stored in a format that does not consist of such.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where the file has none of that name.
    pub fn codes(&self, name: &str) -> Result<Option<Codes>, EngineError> {
        let tensor = self.tensor(name)?;
        match &tensor.stored {
            Stored::Safetensors(_) => Ok(None),
            Stored::Gguf(stored) => {
                let file = &self.files[tensor.file];
                let codes = stored.codes(file)?;
                file.let_go(stored.info.bytes.clone());
                Ok(codes)
            }
        }
    }

    /// The names of the tensors the model consists of.
    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// How many values the tensors have together.
    pub fn value_count(&self) -> usize {
        let counts = self
            .tensors
            .values()
            .map(|tensor| tensor.shape().iter().product::<usize>());
        counts.sum()
    }

    /// How the weights are stored, in words: `GGUF Q4_1`, `safetensors BF16`.
    pub fn format_name(&self) -> String {
        self.format.clone()
    }

    /// A number that tells these weights from others of the same shapes: FNV-1a (Fowler, Noll and Vo) over the
    /// first, the middle and the last row of every matrix and over all other tensors: any tuning changes some
    /// of these. No protection against somebody who makes other weights on purpose.
    ///
    /// # Errors
    /// What reading these rows reports.
    pub fn fingerprint(&self) -> Result<u64, EngineError> {
        let mut hash = 0xcbf2_9ce4_8422_2325u64;
        let mut add = |values: Vec<f32>| {
            for byte in values.iter().flat_map(|value| value.to_le_bytes()) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        };
        for (name, tensor) in &self.tensors {
            match *tensor.shape() {
                [rows, _] if rows > 0 => {
                    for row in [0, rows / 2, rows - 1] {
                        add(self.rows_f32(name, row..row + 1)?);
                    }
                }
                _ => add(self.tensor_f32(name)?.1),
            }
        }
        Ok(hash)
    }

    /// Opens the bytes of a GGUF file.
    ///
    /// # Errors
    /// Whatever is missing, damaged or unsupported, by name.
    pub fn from_gguf(bytes: Vec<u8>) -> Result<Self, EngineError> {
        gguf::open(Bytes::Owned(bytes))
    }
}

impl Tensor {
    fn shape(&self) -> &[usize] {
        match &self.stored {
            Stored::Safetensors(entry) => &entry.shape,
            Stored::Gguf(stored) => &stored.info.shape,
        }
    }
}

/// Opens a `.gguf` file, or a folder that holds one or has Hugging Face's layout.
///
/// # Errors
/// Whatever is missing, damaged or unsupported, by name.
pub fn open(path: &Path) -> Result<RawModel, EngineError> {
    if path.is_dir() {
        folder::open(path)
    } else {
        gguf::open(Bytes::map(path)?)
    }
}

/// A tokenizer that names tokens the model has no row for would make the model read past its end.
fn check_tokenizer(config: &Config, tokenizer: &Tokenizer) -> Result<(), EngineError> {
    let id_max = tokenizer.id_max();
    if id_max as usize >= config.vocab {
        return Err(EngineError::Tokenizer {
            origin: "the model's files".to_owned(),
            reason: format!(
                "it has the token id {id_max}, but the model has only {} rows",
                config.vocab
            ),
        });
    }
    Ok(())
}
