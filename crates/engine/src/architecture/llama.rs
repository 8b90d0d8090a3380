//! Llama 2, 3 and what shares their form: Mistral's dense models, SmolLM2 and others.

use super::{Defaults, Family, NamedNorm, Norm};

/// Two norms a block, each before what it feeds.
pub(super) const PRE_NORMS: [NamedNorm; 2] = [
    NamedNorm::new(Norm::BeforeAttention, "input_layernorm", "attn_norm"),
    NamedNorm::new(Norm::BeforeMlp, "post_attention_layernorm", "ffn_norm"),
];

pub(super) const FAMILY: Family = Family {
    class: "LlamaForCausalLM",
    model_type: "llama",
    gguf_name: "llama",
    gguf_interleaves_heads: true,
    attention_biases: false,
    norms: &PRE_NORMS,
    norm_offset: 0.0,
    defaults: Defaults::USUAL,
    read_json: |hf, _| {
        hf.refuse_attention_biases()?;
        hf.refuse_window()?;
        hf.expect_activation("silu")
    },
    read_gguf: |keys, _| keys.refuse_window(),
};
