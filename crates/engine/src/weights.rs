//! A model as it came in: config, tokenizer, template and named tensors.

use crate::config::Config;
use crate::error::EngineError;
use crate::template::ChatTemplate;
use crate::tokenizer::Tokenizer;
use std::path::Path;

/// An opened model whose tensors are read on demand.
pub struct RawModel {
    /// Sizes and constants.
    pub config: Config,
    /// The model's own tokenizer.
    pub tokenizer: Tokenizer,
    /// The model's own chat template, if it has one.
    pub template: Option<ChatTemplate>,
}

impl RawModel {
    /// The tensor of that Hugging Face name (`model.layers.0.self_attn.q_proj.weight`)
    /// as (shape, row-major f32 values), in Hugging Face layout whatever the file's format.
    ///
    /// # Errors
    /// [`EngineError::MissingTensor`] where the file has none of that name.
    pub fn tensor_f32(&self, _name: &str) -> Result<(Vec<usize>, Vec<f32>), EngineError> {
        todo!()
    }

    /// How the weights are stored, in words: `GGUF Q4_1`, `safetensors BF16`.
    pub fn format_name(&self) -> String {
        todo!()
    }
}

/// Opens a `.gguf` file or a Hugging Face folder.
///
/// # Errors
/// Whatever is missing, damaged or unsupported, by name.
pub fn open(_path: &Path) -> Result<RawModel, EngineError> {
    todo!()
}
