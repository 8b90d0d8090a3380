//! The families of models this engine computes.
//!
//! There is one decoder (`block`), described by a [`Config`]. What a family has that others
//! lack, what it calls its tensors, and what its files say beyond sizes stand in the family's own
//! file and are reached through `Family`: a new family is one file and one row here.

mod gemma3;
mod llama;
mod qwen2;
mod qwen3;

use crate::config::{Config, HfConfig, Keys};
use crate::error::EngineError;
pub use lathe_kernel::gated::Activation;

/// The model families this engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Pre-norm decoder with RMSNorm, rotary positions, grouped-query attention
    /// and SwiGLU, without biases (`LlamaForCausalLM`).
    Llama,
    /// The same with biases on queries, keys and values (`Qwen2ForCausalLM`: Qwen 2 and 2.5).
    Qwen2,
    /// The same without biases, every head's queries and keys normed (`Qwen3ForCausalLM`).
    Qwen3,
    /// That with norms behind attention and feed-forward network too, GELU, scaled embeddings and
    /// windows in most layers (`Gemma3ForCausalLM`).
    Gemma3,
}

/// What sets a family apart.
pub(crate) struct Family {
    /// The class that a `config.json` names.
    pub(crate) class: &'static str,
    /// The `model_type` there, for files that name no class.
    pub(crate) model_type: &'static str,
    /// What it is called in GGUF files.
    pub(crate) gguf_name: &'static str,
    /// Whether llama.cpp interleaves the halves of each head in the rows of Q and K.
    pub(crate) gguf_interleaves_heads: bool,
    /// Whether queries, keys and values have a bias.
    pub(crate) attention_biases: bool,
    /// The norms of a block.
    pub(crate) norms: &'static [NamedNorm],
    /// What is added to the weights of norms as Hugging Face stores them; GGUF files hold the sum.
    pub(crate) norm_offset: f32,
    /// What a `config.json` that leaves it out means.
    pub(crate) defaults: Defaults,
    /// Reads what a `config.json` says beyond sizes, and refuses what is not computed.
    pub(crate) read_json: fn(&HfConfig, &mut Config) -> Result<(), EngineError>,
    /// The same of GGUF metadata.
    pub(crate) read_gguf: fn(&Keys<'_>, &mut Config) -> Result<(), EngineError>,
}

/// What is meant where a `config.json` is silent.
pub(crate) struct Defaults {
    /// Width of a head; the residual stream's share of one where the family has no own.
    pub(crate) head_dim: Option<usize>,
    /// Base of the rotary frequencies.
    pub(crate) rope_theta: f64,
    /// Whether the output matrix is the embedding matrix.
    pub(crate) tied_embeddings: bool,
}

impl Defaults {
    /// Those of most families.
    const USUAL: Self = Self {
        head_dim: None,
        rope_theta: 10_000.0,
        tied_embeddings: false,
    };
}

/// Where in a block a norm stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Norm {
    /// Of what queries, keys and values are projected from.
    BeforeAttention,
    /// Of what attention adds to the residual stream.
    AfterAttention,
    /// Of what the feed-forward network reads.
    BeforeMlp,
    /// Of what the feed-forward network adds.
    AfterMlp,
    /// Of every head's query.
    Query,
    /// Of every head's key.
    Key,
}

/// How many places for norms there are in a block.
pub(crate) const NORMS: usize = 6;

impl Norm {
    /// Width of the rows it norms.
    pub(crate) fn width(self, config: &Config) -> usize {
        match self {
            Self::Query | Self::Key => config.head_dim,
            _ => config.hidden,
        }
    }
}

/// A norm with its names inside a block, without `.weight`.
pub(crate) struct NamedNorm {
    pub(crate) norm: Norm,
    /// Hugging Face's: `input_layernorm`.
    pub(crate) name: &'static str,
    /// llama.cpp's: `attn_norm`.
    pub(crate) gguf_name: &'static str,
}

impl NamedNorm {
    const fn new(norm: Norm, name: &'static str, gguf_name: &'static str) -> Self {
        Self {
            norm,
            name,
            gguf_name,
        }
    }
}

impl Architecture {
    /// All families.
    pub(crate) const ALL: [Self; 4] = [Self::Llama, Self::Qwen2, Self::Qwen3, Self::Gemma3];

    /// What sets the family apart.
    pub(crate) fn family(self) -> &'static Family {
        match self {
            Self::Llama => &llama::FAMILY,
            Self::Qwen2 => &qwen2::FAMILY,
            Self::Qwen3 => &qwen3::FAMILY,
            Self::Gemma3 => &gemma3::FAMILY,
        }
    }

    /// The family that a Hugging Face class, a `model_type` or a GGUF architecture names.
    pub(crate) fn from_name(name: &str) -> Result<Self, EngineError> {
        let is_called = |it: &Self| {
            let family = it.family();
            [family.class, family.model_type, family.gguf_name].contains(&name)
        };
        Self::ALL.into_iter().find(is_called).ok_or_else(|| {
            let classes = Self::ALL.map(|it| it.family().class).join(", ");
            let in_gguf = Self::ALL.map(|it| it.family().gguf_name).join(", ");
            EngineError::Unsupported {
                what: "model architecture",
                name: name.to_owned(),
                supported: format!("{classes} (in GGUF: {in_gguf})"),
            }
        })
    }
}
