//! The LoRA adapter: one flat vector of trainable numbers and its PEFT files.

use crate::config::Config;
use crate::error::EngineError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The seven linear layers of a block, in the order they are stored.
pub const TARGETS: [&str; 7] = [
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "gate_proj",
    "up_proj",
    "down_proj",
];

/// Which layers are adapted, and how strongly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSpec {
    /// Inner width of each pair of matrices.
    pub rank: usize,
    /// The term is scaled by alpha / rank.
    pub alpha: f32,
    /// Names from [`TARGETS`].
    pub targets: Vec<String>,
}

/// Where one matrix of the adapter lies in [`Adapter::values`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdapterTensor {
    /// PEFT's key without its prefix: `layers.0.self_attn.q_proj.lora_A.weight`.
    pub name: String,
    /// Index of the block.
    pub layer: usize,
    /// The adapted layer, from [`TARGETS`].
    pub target: String,
    /// False for A `[rank, in]`, true for B `[out, rank]`.
    pub is_b: bool,
    /// Rows of the row-major matrix.
    pub rows: usize,
    /// Columns of the row-major matrix.
    pub cols: usize,
    /// Index of the first value in [`Adapter::values`].
    pub offset: usize,
}

/// A LoRA adapter: y += (alpha / rank) · B · (A · x).
#[derive(Debug, Clone, PartialEq)]
pub struct Adapter {
    /// What it adapts.
    pub spec: LoraSpec,
    /// Its matrices by layer, then target in the order of [`TARGETS`], then A before B.
    pub tensors: Vec<AdapterTensor>,
    /// All numbers, one flat vector.
    pub values: Vec<f32>,
}

impl Adapter {
    /// A fresh adapter: A uniform as PEFT draws it, B zero; fixed by `seed`.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] for a rank of zero or an unknown target.
    pub fn new(_config: &Config, _spec: &LoraSpec, _seed: u64) -> Result<Self, EngineError> {
        todo!()
    }

    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the folder cannot be written.
    pub fn save_peft(&self, _dir: &Path, _base_name: &str) -> Result<(), EngineError> {
        todo!()
    }

    /// Reads what [`Adapter::save_peft`] or PEFT wrote.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] when it does not fit `config`.
    pub fn load_peft(_dir: &Path, _config: &Config) -> Result<Self, EngineError> {
        todo!()
    }
}
