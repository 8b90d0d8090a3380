//! Qwen 2 and 2.5: Llama's form with biases on queries, keys and values.
//!
//! The biases are the family's own and no setting. A window is one that older configs name but
//! switch off.

use super::{Defaults, Family, llama};

pub(super) const FAMILY: Family = Family {
    class: "Qwen2ForCausalLM",
    model_type: "qwen2",
    gguf_name: "qwen2",
    gguf_interleaves_heads: false,
    attention_biases: true,
    norms: &llama::PRE_NORMS,
    norm_offset: 0.0,
    defaults: Defaults::USUAL,
    read_json: |hf, _| {
        hf.refuse_window()?;
        hf.expect_activation("silu")
    },
    read_gguf: |keys, _| keys.refuse_window(),
};
