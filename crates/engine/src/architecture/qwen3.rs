//! Qwen 3, its dense models: Llama's form, every head's query and key normed before it is rotated.
//!
//! Heads have a width of their own, which is not the residual stream's share of one.

use super::{Defaults, Family, NamedNorm, Norm};

/// The norms of queries and keys; one weight serves all heads.
pub(super) const QUERY_NORM: NamedNorm =
    NamedNorm::new(Norm::Query, "self_attn.q_norm", "attn_q_norm");
pub(super) const KEY_NORM: NamedNorm = NamedNorm::new(Norm::Key, "self_attn.k_norm", "attn_k_norm");

pub(super) const FAMILY: Family = Family {
    class: "Qwen3ForCausalLM",
    model_type: "qwen3",
    gguf_name: "qwen3",
    gguf_interleaves_heads: false,
    attention_biases: false,
    norms: &[
        NamedNorm::new(Norm::BeforeAttention, "input_layernorm", "attn_norm"),
        NamedNorm::new(Norm::BeforeMlp, "post_attention_layernorm", "ffn_norm"),
        QUERY_NORM,
        KEY_NORM,
    ],
    norm_offset: 0.0,
    defaults: Defaults {
        head_dim: Some(128),
        ..Defaults::USUAL
    },
    read_json: |hf, _| {
        hf.refuse_attention_biases()?;
        hf.refuse_window()?;
        hf.expect_activation("silu")
    },
    read_gguf: |keys, _| keys.refuse_window(),
};
