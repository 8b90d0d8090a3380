//! Which tensors a config implies, by both of their names.

use super::Tensor;
use crate::config::Config;
use crate::error::EngineError;
use std::collections::BTreeMap;

/// One tensor that must be there.
pub(crate) struct Expected {
    /// Hugging Face's name.
    pub(crate) name: String,
    /// llama.cpp's name.
    pub(crate) gguf_name: String,
    pub(crate) shape: Vec<usize>,
    /// For Q and K: the heads inside which llama.cpp interleaves the rows' halves.
    pub(crate) interleaved_heads: Option<usize>,
    /// What llama.cpp has added to the values.
    pub(crate) gguf_offset: f32,
}

impl Expected {
    fn new(name: String, gguf_name: String, shape: &[usize]) -> Self {
        Self {
            name,
            gguf_name,
            shape: shape.to_vec(),
            interleaved_heads: None,
            gguf_offset: 0.0,
        }
    }

    /// A weight inside a block.
    fn of_block(layer: usize, name: &str, gguf_name: &str, shape: &[usize]) -> Self {
        Self::new(
            format!("model.layers.{layer}.{name}.weight"),
            format!("blk.{layer}.{gguf_name}.weight"),
            shape,
        )
    }
}

/// All tensors of a model.
pub(crate) fn expected(config: &Config) -> Vec<Expected> {
    let plain = |name: &str, gguf_name: &str, shape: &[usize]| {
        Expected::new(
            format!("{name}.weight"),
            format!("{gguf_name}.weight"),
            shape,
        )
    };
    let (vocab, hidden) = (config.vocab, config.hidden);
    let mut last_norm = plain("model.norm", "output_norm", &[hidden]);
    last_norm.gguf_offset = config.architecture.family().norm_offset;
    let mut all = vec![
        plain("model.embed_tokens", "token_embd", &[vocab, hidden]),
        last_norm,
    ];
    if !config.tied_embeddings {
        all.push(plain("lm_head", "output", &[vocab, hidden]));
    }
    for layer in 0..config.layers {
        all.extend(matrices(config, layer));
        all.extend(norms(config, layer));
        all.extend(attention_biases(config, layer));
    }
    all
}

fn matrices(config: &Config, layer: usize) -> impl Iterator<Item = Expected> + use<> {
    let (hidden, inner) = (config.hidden, config.intermediate);
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    let interleaved = config.architecture.family().gguf_interleaves_heads;
    let [heads, kv_heads] = [config.heads, config.kv_heads].map(|it| interleaved.then_some(it));
    let parts = [
        ("self_attn.q_proj", "attn_q", [queries, hidden], heads),
        ("self_attn.k_proj", "attn_k", [keys, hidden], kv_heads),
        ("self_attn.v_proj", "attn_v", [keys, hidden], None),
        ("self_attn.o_proj", "attn_output", [hidden, queries], None),
        ("mlp.gate_proj", "ffn_gate", [inner, hidden], None),
        ("mlp.up_proj", "ffn_up", [inner, hidden], None),
        ("mlp.down_proj", "ffn_down", [hidden, inner], None),
    ];
    parts.into_iter().map(
        move |(name, gguf_name, shape, interleaved_heads)| Expected {
            interleaved_heads,
            ..Expected::of_block(layer, name, gguf_name, &shape)
        },
    )
}

fn norms(config: &Config, layer: usize) -> impl Iterator<Item = Expected> {
    let family = config.architecture.family();
    family.norms.iter().map(move |it| Expected {
        gguf_offset: family.norm_offset,
        ..Expected::of_block(layer, it.name, it.gguf_name, &[it.norm.width(config)])
    })
}

fn attention_biases(config: &Config, layer: usize) -> impl Iterator<Item = Expected> + use<> {
    let queries = config.heads * config.head_dim;
    let keys = config.kv_heads * config.head_dim;
    let parts = if config.architecture.family().attention_biases {
        &[("q", queries), ("k", keys), ("v", keys)][..]
    } else {
        &[]
    };
    let expected = |&(part, width): &(&str, usize)| {
        Expected::new(
            format!("model.layers.{layer}.self_attn.{part}_proj.bias"),
            format!("blk.{layer}.attn_{part}.bias"),
            &[width],
        )
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
