//! What a model is: its architecture and its sizes.
//!
//! Read from `config.json` or from GGUF metadata; every size is bounded before
//! anything is allocated from it.

/// The model families this engine computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// Pre-norm decoder with RMSNorm, rotary positions, grouped-query attention
    /// and SwiGLU, without biases (`LlamaForCausalLM`).
    Llama,
}

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
    /// Base of the rotary frequencies.
    pub rope_theta: f32,
    /// Longest sequence in tokens.
    pub context: usize,
    /// Whether the output matrix is the embedding matrix.
    pub tied_embeddings: bool,
    /// Token that begins a sequence, if the model names one.
    pub bos: Option<u32>,
    /// Tokens that end an answer.
    pub eos: Vec<u32>,
}
