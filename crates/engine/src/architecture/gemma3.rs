//! Gemma 3, its text models.
//!
//! Embeddings are scaled by √hidden. A block has four norms, before and after attention and the
//! feed-forward network, and one of every head's queries and keys; Hugging Face stores their weights
//! less one, llama.cpp as they multiply. The gate is GELU's. Most layers see a window of the last
//! positions only, with rotary frequencies of their own; in published models every sixth sees all.
//! Models that read images too are refused by their class's name.

use super::{Activation, Defaults, Family, NamedNorm, Norm, qwen3};
use crate::config::{Config, HfConfig, Keys, Window, damaged, unsupported};
use crate::error::EngineError;

/// Base of the rotary frequencies in layers with a window, where a file names none.
const LOCAL_ROPE_THETA: f64 = 10_000.0;
/// One in so many layers sees the whole context, where a file says nothing of its layers.
const PATTERN: usize = 6;
/// The factor of attention is 1 over the root of this, where a `config.json` does not say.
const QUERY_PRE_ATTN_SCALAR: f64 = 256.0;
/// Layers of the one published size (27B) whose factor of attention is the residual stream's share
/// of a head and not the head's width. A GGUF file does not say so; llama.cpp knows it as this.
const LAYERS_OF_27B: usize = 62;

pub(super) const FAMILY: Family = Family {
    class: "Gemma3ForCausalLM",
    model_type: "gemma3_text",
    gguf_name: "gemma3",
    gguf_interleaves_heads: false,
    attention_biases: false,
    norms: &[
        NamedNorm::new(Norm::BeforeAttention, "input_layernorm", "attn_norm"),
        NamedNorm::new(
            Norm::AfterAttention,
            "post_attention_layernorm",
            "post_attention_norm",
        ),
        NamedNorm::new(Norm::BeforeMlp, "pre_feedforward_layernorm", "ffn_norm"),
        NamedNorm::new(
            Norm::AfterMlp,
            "post_feedforward_layernorm",
            "post_ffw_norm",
        ),
        qwen3::QUERY_NORM,
        qwen3::KEY_NORM,
    ],
    norm_offset: 1.0,
    defaults: Defaults {
        head_dim: Some(256),
        rope_theta: 1_000_000.0,
        tied_embeddings: true,
    },
    read_json,
    read_gguf,
};

fn read_json(hf: &HfConfig, config: &mut Config) -> Result<(), EngineError> {
    hf.refuse_attention_biases()?;
    hf.expect_activation("gelu_pytorch_tanh")?;
    refuse_variants(hf)?;
    common(config);
    let scalar = hf.query_pre_attn_scalar.unwrap_or(QUERY_PRE_ATTN_SCALAR);
    config.attention_scale = (1.0 / scalar.sqrt()) as f32;
    let local = hf.rope_parameters.as_ref();
    let local = local.and_then(|rope| rope.sliding_attention.as_deref());
    if let Some(kind) = local
        .and_then(|rope| rope.rope_type.as_deref())
        .filter(|kind| *kind != "default")
    {
        return Err(unsupported(
            "rotary scaling in a window",
            kind.to_owned(),
            "default",
        ));
    }
    let rope_theta = local
        .and_then(|rope| rope.rope_theta)
        .or(hf.rope_local_base_freq)
        .unwrap_or(LOCAL_ROPE_THETA);
    let pattern = hf.sliding_window_pattern.or(hf.older_window_pattern);
    let layers = match &hf.layer_types {
        Some(kinds) => layers_of(kinds)?,
        None => layers_by(pattern.unwrap_or(PATTERN), config.layers)?,
    };
    config.window = hf.sliding_window.map(|positions| Window {
        positions,
        rope_theta: rope_theta as f32,
        layers,
    });
    Ok(())
}

fn read_gguf(keys: &Keys<'_>, config: &mut Config) -> Result<(), EngineError> {
    common(config);
    if config.layers == LAYERS_OF_27B {
        config.attention_scale = 1.0 / (config.hidden as f32 / config.heads as f32).sqrt();
    }
    let rope_theta = keys
        .float("rope.freq_base_swa")?
        .unwrap_or(LOCAL_ROPE_THETA);
    let pattern = keys
        .size("attention.sliding_window_pattern")?
        .unwrap_or(PATTERN);
    let layers = layers_by(pattern, config.layers)?;
    let window = keys.size("attention.sliding_window")?;
    config.window = window.filter(|it| *it > 0).map(|positions| Window {
        positions,
        rope_theta: rope_theta as f32,
        layers,
    });
    Ok(())
}

/// What all models of the family have.
fn common(config: &mut Config) {
    config.activation = Activation::GeluTanh;
    config.embedding_scale = (config.hidden as f32).sqrt();
}

fn refuse_variants(hf: &HfConfig) -> Result<(), EngineError> {
    let capped = [
        ("attn_logit_softcapping", hf.attn_logit_softcapping),
        ("final_logit_softcapping", hf.final_logit_softcapping),
    ];
    for (name, cap) in capped {
        if let Some(cap) = cap {
            return Err(unsupported(
                "model variant",
                format!("{name} = {cap}"),
                "logits that are not capped",
            ));
        }
    }
    if hf.use_bidirectional_attention == Some(true) {
        return Err(unsupported(
            "model variant",
            "use_bidirectional_attention".to_owned(),
            "causal attention",
        ));
    }
    Ok(())
}

/// Which layers have a window, by their kinds.
fn layers_of(kinds: &[String]) -> Result<Vec<bool>, EngineError> {
    let has_window = |kind: &String| match kind.as_str() {
        "sliding_attention" => Ok(true),
        "full_attention" => Ok(false),
        other => Err(unsupported(
            "kind of layer",
            other.to_owned(),
            "sliding_attention, full_attention",
        )),
    };
    kinds.iter().map(has_window).collect()
}

/// Which layers have a window: all but every `pattern`-th.
fn layers_by(pattern: usize, layers: usize) -> Result<Vec<bool>, EngineError> {
    if pattern == 0 {
        return Err(damaged("the pattern of its windows is 0".to_owned()));
    }
    let has_window = |layer: usize| !(layer + 1).is_multiple_of(pattern);
    Ok((0..layers).map(has_window).collect())
}
