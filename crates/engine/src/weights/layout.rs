//! Which tensors a config implies, by both of their names.

use super::Tensor;
use crate::config::Config;
use crate::error::EngineError;
use std::collections::BTreeMap;

/// One tensor that must be there.
pub(super) struct Expected {
    /// Hugging Face's name.
    pub(super) name: String,
    /// llama.cpp's name.
    pub(super) gguf_name: String,
    pub(super) shape: Vec<usize>,
    /// For Q and K: the heads inside which llama.cpp interleaves the rows' halves.
    pub(super) interleaved_heads: Option<usize>,
}

/// All tensors of a model.
pub(super) fn expected(config: &Config) -> Vec<Expected> {
    let plain = |name: &str, gguf_name: &str, shape: &[usize]| Expected {
        name: format!("{name}.weight"),
        gguf_name: format!("{gguf_name}.weight"),
        shape: shape.to_vec(),
        interleaved_heads: None,
    };
    let (vocab, hidden) = (config.vocab, config.hidden);
    let mut all = vec![
        plain("model.embed_tokens", "token_embd", &[vocab, hidden]),
        plain("model.norm", "output_norm", &[hidden]),
    ];
    if !config.tied_embeddings {
        all.push(plain("lm_head", "output", &[vocab, hidden]));
    }
    for layer in 0..config.layers {
        all.extend(block(config, layer));
    }
    all
}

fn block(config: &Config, layer: usize) -> impl Iterator<Item = Expected> {
    matrices_and_norms(config, layer).chain(attention_biases(config, layer))
}

fn matrices_and_norms(config: &Config, layer: usize) -> impl Iterator<Item = Expected> + use<> {
    let (hidden, inner) = (config.hidden, config.intermediate);
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    let interleaved = config.architecture.is_interleaved_in_gguf();
    let [heads, kv_heads] = [config.heads, config.kv_heads].map(|it| interleaved.then_some(it));
    let parts = [
        ("input_layernorm", "attn_norm", vec![hidden], None),
        ("self_attn.q_proj", "attn_q", vec![queries, hidden], heads),
        ("self_attn.k_proj", "attn_k", vec![keys, hidden], kv_heads),
        ("self_attn.v_proj", "attn_v", vec![keys, hidden], None),
        (
            "self_attn.o_proj",
            "attn_output",
            vec![hidden, queries],
            None,
        ),
        ("post_attention_layernorm", "ffn_norm", vec![hidden], None),
        ("mlp.gate_proj", "ffn_gate", vec![inner, hidden], None),
        ("mlp.up_proj", "ffn_up", vec![inner, hidden], None),
        ("mlp.down_proj", "ffn_down", vec![hidden, inner], None),
    ];
    parts.into_iter().map(
        move |(name, gguf_name, shape, interleaved_heads)| Expected {
            name: format!("model.layers.{layer}.{name}.weight"),
            gguf_name: format!("blk.{layer}.{gguf_name}.weight"),
            shape,
            interleaved_heads,
        },
    )
}

fn attention_biases(config: &Config, layer: usize) -> impl Iterator<Item = Expected> + use<> {
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    let parts = if config.architecture.has_attention_biases() {
        &[("q", queries), ("k", keys), ("v", keys)][..]
    } else {
        &[]
    };
    let expected = |&(part, width): &(&str, usize)| Expected {
        name: format!("model.layers.{layer}.self_attn.{part}_proj.bias"),
        gguf_name: format!("blk.{layer}.attn_{part}.bias"),
        shape: vec![width],
        interleaved_heads: None,
    };
    parts.iter().map(expected).collect::<Vec<_>>().into_iter()
}

/// Holds the tensors against what the config implies.
pub(super) fn check(
    config: &Config,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<(), EngineError> {
    let expected = expected(config);
    for Expected { name, shape, .. } in &expected {
        let tensor = tensors
            .get(name)
            .ok_or_else(|| EngineError::MissingTensor { name: name.clone() })?;
        if tensor.shape() != shape {
            return Err(EngineError::Shape {
                name: name.clone(),
                expected: shape.clone(),
                found: tensor.shape().to_vec(),
            });
        }
    }
    if tensors.len() > expected.len() {
        let known: std::collections::BTreeSet<_> = expected.iter().map(|e| &e.name).collect();
        if let Some(name) = tensors.keys().find(|name| !known.contains(name)) {
            return Err(unknown(name));
        }
    }
    Ok(())
}

/// A tensor that would be left out of the computation.
pub(super) fn unknown(name: &str) -> EngineError {
    EngineError::Unsupported {
        what: "tensor",
        name: name.to_owned(),
        supported: "the tensors that the model's architecture has, without further biases or \
                    experts"
            .to_owned(),
    }
}
