//! What a model is: its architecture and its sizes.
//!
//! Read from a Hugging Face `config.json` or from GGUF metadata. An
//! architecture or a variant that this engine does not compute is refused by
//! name rather than computed wrongly. Every size is bounded here and held
//! against the tensors' shapes in [`crate::weights`], so that a config cannot
//! make anything larger than the weights that are present.

mod gguf;
mod json;
mod rope;
mod window;

use crate::architecture::{Activation, Architecture};
use crate::error::EngineError;
pub(crate) use gguf::Keys;
pub(crate) use json::{HfConfig, generation_eos};
pub use window::Window;

/// Widest residual stream believed, in values.
pub const HIDDEN_MAX: usize = 1 << 16;
/// Most blocks believed.
pub const LAYERS_MAX: usize = 1 << 10;
/// Most heads believed.
pub const HEADS_MAX: usize = 1 << 10;
/// Widest head believed, in values.
pub const HEAD_DIM_MAX: usize = 1 << 10;
/// Widest feed-forward network believed, in values.
pub const INTERMEDIATE_MAX: usize = 1 << 20;
/// Largest vocabulary believed, in tokens.
pub const VOCAB_TOKENS_MAX: usize = 1 << 22;
/// Longest context believed, in tokens.
pub const CONTEXT_TOKENS_MAX: usize = 1 << 24;

/// Sizes and constants of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The family.
    pub architecture: Architecture,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Query heads per block.
    pub heads: usize,
    /// Key and value heads per block; divides `heads`.
    pub kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Inner width of the feed-forward network.
    pub intermediate: usize,
    /// Number of token ids; rows of the embedding.
    pub vocab: usize,
    /// Added to the mean square inside RMSNorm.
    pub rms_eps: f32,
    /// Activation of the feed-forward network's gate.
    pub activation: Activation,
    /// Factor on embeddings where they enter the residual stream.
    pub embedding_scale: f32,
    /// Factor on the scores of attention.
    pub attention_scale: f32,
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// What each rotary frequency is divided by, for a context that was stretched
    /// after training; `head_dim / 2` numbers, or none where nothing is stretched.
    pub rope_divisors: Vec<f32>,
    /// What layers with a window have of their own; the base and the divisors above are those of
    /// the other layers.
    pub window: Option<Window>,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Whether the output matrix is the embedding matrix.
    pub tied_embeddings: bool,
    /// Token that begins a sequence, if the model names one.
    pub bos: Option<u32>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
}

impl Config {
    /// Angle per position of each pair in a head, in layers without a window: theta^(−2i / head_dim) over
    /// its divisor; `head_dim / 2` numbers.
    pub fn inverse_frequencies(&self) -> Vec<f32> {
        let mut frequencies =
            lathe_kernel::rope::inverse_frequencies(self.rope_theta, self.head_dim);
        for (frequency, divisor) in frequencies.iter_mut().zip(&self.rope_divisors) {
            *frequency /= divisor;
        }
        frequencies
    }

    /// Numbers in the weights: embeddings (and the head where it is not the same matrix), four
    /// attention and three feed-forward matrices, biases and norms a block, one last norm.
    pub fn parameters(&self) -> u64 {
        let (queries, keys) = (
            (self.heads * self.head_dim) as u64,
            (self.kv_heads * self.head_dim) as u64,
        );
        let hidden = self.hidden as u64;
        let attention = 2 * hidden * queries + 2 * hidden * keys;
        let feed_forward = 3 * hidden * self.intermediate as u64;
        let family = self.architecture.family();
        let biases = if family.attention_biases {
            queries + 2 * keys
        } else {
            0
        };
        let norms = family.norms.iter().map(|it| it.norm.width(self) as u64);
        let block = attention + feed_forward + biases + norms.sum::<u64>();
        let tables = if self.tied_embeddings { 1 } else { 2 };
        self.layers as u64 * block + tables * self.vocab as u64 * hidden + hidden
    }

    /// Adds a token that ends an answer, once.
    pub(crate) fn add_eos(&mut self, token: u32) {
        if !self.eos.contains(&token) {
            self.eos.push(token);
        }
    }

    /// Holds every size against its bound and against the others.
    fn checked(self) -> Result<Self, EngineError> {
        bounded("hidden size in values", self.hidden, HIDDEN_MAX)?;
        bounded("number of layers", self.layers, LAYERS_MAX)?;
        bounded("number of attention heads", self.heads, HEADS_MAX)?;
        bounded("number of key-value heads", self.kv_heads, HEADS_MAX)?;
        bounded("head width in values", self.head_dim, HEAD_DIM_MAX)?;
        bounded(
            "feed-forward width in values",
            self.intermediate,
            INTERMEDIATE_MAX,
        )?;
        bounded("vocabulary in tokens", self.vocab, VOCAB_TOKENS_MAX)?;
        bounded("context in tokens", self.context, CONTEXT_TOKENS_MAX)?;
        if !self.heads.is_multiple_of(self.kv_heads) {
            return Err(damaged(format!(
                "{} attention heads cannot share {} key-value heads evenly",
                self.heads, self.kv_heads
            )));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(damaged(format!(
                "a head of odd width {} has no rotary pairs",
                self.head_dim
            )));
        }
        positive("the RMSNorm epsilon", self.rms_eps)?;
        positive("the factor of embeddings", self.embedding_scale)?;
        positive("the factor of attention", self.attention_scale)?;
        positive("the rotary base", self.rope_theta)?;
        self.check_divisors()?;
        if let Some(window) = &self.window {
            window.check(self.layers)?;
        }
        for token in self.bos.iter().chain(&self.eos) {
            if *token as usize >= self.vocab {
                return Err(damaged(format!(
                    "special token {token} lies outside the vocabulary of {}",
                    self.vocab
                )));
            }
        }
        Ok(self)
    }

    /// Checks the divisors of the rotary frequencies; also used where they come from a tensor.
    pub(crate) fn check_divisors(&self) -> Result<(), EngineError> {
        let expected = self.head_dim / 2;
        if !self.rope_divisors.is_empty() && self.rope_divisors.len() != expected {
            return Err(damaged(format!(
                "{} rotary divisors for {expected} frequencies",
                self.rope_divisors.len()
            )));
        }
        self.rope_divisors
            .iter()
            .try_for_each(|divisor| positive("a rotary divisor", *divisor))
    }
}

/// The usual factor on the scores of attention.
fn attention_scale(head_dim: usize) -> f32 {
    1.0 / (head_dim as f32).sqrt()
}

fn bounded(what: &str, found: usize, limit: usize) -> Result<(), EngineError> {
    if found == 0 {
        return Err(damaged(format!("the {what} is 0")));
    }
    if found > limit {
        return Err(EngineError::TooLarge {
            what: format!("the {what}"),
            found: found as u64,
            limit: limit as u64,
        });
    }
    Ok(())
}

fn positive(what: &str, value: f32) -> Result<(), EngineError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(damaged(format!("{what} is {value}, not a positive number")))
}

pub(crate) fn unsupported(what: &'static str, name: String, supported: &str) -> EngineError {
    EngineError::Unsupported {
        what,
        name,
        supported: supported.to_owned(),
    }
}

pub(crate) fn damaged(reason: String) -> EngineError {
    EngineError::damaged("the model's config", reason)
}
