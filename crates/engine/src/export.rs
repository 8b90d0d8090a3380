//! A base model with an adapter merged into it, written for other tools.
//!
//! Two forms: a Hugging Face folder ([`Export::folder`]) and a GGUF file with an Ollama `Modelfile`
//! beside it ([`Export::gguf`]). Either comes from either: what the base's files say is carried over
//! where the form is the same, and made from the model where it is not. A setting that a form cannot
//! say is refused by name. Whether what was written answers like what was merged is not judged here:
//! [`crate::agreement`] measures it.

mod config_json;
mod folder;
mod gguf;
mod merged;
mod metadata;
mod modelfile;
mod tokenizer_json;
mod vocabulary;

use crate::adapter::Adapter;
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::importance::Importance;
use crate::parameters::Parameters;
use crate::template::ChatTemplate;
use crate::weights::RawModel;
use lathe_kernel::Pool;
use merged::Merged;
pub use modelfile::MODELFILE;
use std::path::Path;

/// What is merged and how it speaks.
pub struct Export<'a> {
    base: &'a Path,
    merged: Merged<'a>,
    pool: &'a Pool,
    importance: Option<&'a Importance>,
    speech: Speech<'a>,
}

/// The template, and the token that ends a turn in it.
struct Speech<'a> {
    template: Option<&'a ChatTemplate>,
    end: Option<u32>,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Tensors in all.
    pub tensors: usize,
    /// Matrices whose rows are no whole blocks, stored as F16.
    pub in_f16: usize,
    /// Whether a `Modelfile` holds the template in Ollama's form; `None` where there is none.
    pub modelfile_template: Option<bool>,
}

impl<'a> Export<'a> {
    /// `raw` is the opened `base`, and speaks as the result is to speak.
    ///
    /// # Errors
    /// [`EngineError::Template`] where the template cannot be rendered.
    ///
    /// # Panics
    /// If the adapter was not made for the model's config.
    pub fn new(
        base: &'a Path,
        raw: &'a RawModel,
        adapter: &'a Adapter,
        pool: &'a Pool,
    ) -> Result<Self, EngineError> {
        Self::with(base, Merged::new(raw, adapter), pool)
    }

    /// The same with weights that were tuned themselves, laid out as the base's.
    ///
    /// # Errors
    /// As [`Export::new`].
    pub fn of_weights(
        base: &'a Path,
        raw: &'a RawModel,
        weights: &'a Parameters,
        pool: &'a Pool,
    ) -> Result<Self, EngineError> {
        Self::with(base, Merged::of_weights(raw, weights), pool)
    }

    fn with(base: &'a Path, merged: Merged<'a>, pool: &'a Pool) -> Result<Self, EngineError> {
        let raw = merged.raw();
        let template = raw.template.as_ref();
        let end = template
            .map(|it| it.end_of_turn(&raw.tokenizer))
            .transpose()?
            .flatten();
        let ends = &raw.config.eos;
        let end = end.filter(|it| ends.contains(it));
        Ok(Self {
            base,
            merged,
            pool,
            importance: None,
            speech: Speech {
                template,
                end: end.or_else(|| ends.first().copied()),
            },
        })
    }

    /// The same with the blocks of a GGUF file chosen for what goes into the model's layers.
    #[must_use]
    pub fn weighted(self, importance: &'a Importance) -> Self {
        Self {
            importance: Some(importance),
            ..self
        }
    }

    /// Writes a folder that `transformers` opens offline; its matrices are F32, F16 or BF16.
    ///
    /// # Errors
    /// [`EngineError::Io`], and [`EngineError::Unsupported`] for what such a folder cannot say.
    pub fn folder(&self, out: &Path, format: BlockType) -> Result<Written, EngineError> {
        folder::write(self, out, format)
    }

    /// Writes a file that llama.cpp opens, and a `Modelfile` for Ollama into the same folder.
    ///
    /// # Errors
    /// [`EngineError::Io`], and [`EngineError::Unsupported`] for what such a file cannot say.
    pub fn gguf(&self, out: &Path, format: BlockType) -> Result<Written, EngineError> {
        gguf::write(self, out, format)
    }

    fn raw(&self) -> &'a RawModel {
        self.merged.raw()
    }
}

/// Writes one small file.
fn write_file(path: &Path, text: &str) -> Result<(), EngineError> {
    std::fs::write(path, text).map_err(|error| EngineError::io("write", path, error))
}
