//! Config from GGUF metadata.
//!
//! The keys of a model begin with its architecture's name: `llama.block_count`.

use super::{Config, attention_scale, damaged, rope, unsupported};
use crate::architecture::{Activation, Architecture};
use crate::error::EngineError;
use crate::gguf::Gguf;

impl Config {
    /// Reads the metadata of a GGUF file.
    ///
    /// The divisors of Llama 3.1's rotary frequencies are a tensor there
    /// (`rope_freqs.weight`), which [`crate::weights`] adds.
    ///
    /// # Errors
    /// As [`Config::from_json`].
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, EngineError> {
        let name = gguf
            .string("general.architecture")?
            .unwrap_or("(none named)");
        let architecture = Architecture::from_name(name)?;
        let family = architecture.family();
        let keys = Keys {
            gguf,
            prefix: family.gguf_name,
        };
        refuse_experts(&keys)?;
        let hidden = keys.need("embedding_length")?;
        let heads = keys.need("attention.head_count")?;
        let head_dim = head_dim(&keys, hidden, heads)?;
        let mut config = Self {
            architecture,
            hidden,
            layers: keys.need("block_count")?,
            heads,
            kv_heads: keys.size("attention.head_count_kv")?.unwrap_or(heads),
            head_dim,
            intermediate: keys.need("feed_forward_length")?,
            vocab: vocab(&keys)?,
            rms_eps: keys.need_float("attention.layer_norm_rms_epsilon")? as f32,
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: attention_scale(head_dim),
            rope_theta: keys
                .float("rope.freq_base")?
                .unwrap_or(family.defaults.rope_theta) as f32,
            rope_divisors: Vec::new(),
            window: None,
            context: keys.need("context_length")?,
            tied_embeddings: gguf.tensor("output.weight").is_none(),
            bos: token(gguf, "tokenizer.ggml.bos_token_id")?,
            eos: Vec::new(),
        };
        for key in ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"] {
            if let Some(token) = token(gguf, key)? {
                config.add_eos(token);
            }
        }
        let mut config = config.checked()?;
        config.rope_divisors = divisors(&keys, config.head_dim)?;
        (family.read_gguf)(&keys, &mut config)?;
        config.checked()
    }
}

/// The metadata of one architecture.
pub(crate) struct Keys<'a> {
    gguf: &'a Gguf<'a>,
    prefix: &'static str,
}

impl Keys<'_> {
    fn name(&self, key: &str) -> String {
        format!("{}.{key}", self.prefix)
    }

    pub(crate) fn size(&self, key: &str) -> Result<Option<usize>, EngineError> {
        let value = self.gguf.unsigned(&self.name(key))?;
        Ok(value.map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
    }

    fn need(&self, key: &str) -> Result<usize, EngineError> {
        self.size(key)?.ok_or_else(|| lacks(&self.name(key)))
    }

    pub(crate) fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        self.gguf.float(&self.name(key))
    }

    /// For families that are computed without a window.
    pub(crate) fn refuse_window(&self) -> Result<(), EngineError> {
        match self.size("attention.sliding_window")?.filter(|it| *it > 0) {
            None => Ok(()),
            Some(window) => Err(unsupported(
                "model variant",
                format!("{window} tokens of sliding window"),
                "attention over the whole context",
            )),
        }
    }

    fn need_float(&self, key: &str) -> Result<f64, EngineError> {
        self.float(key)?.ok_or_else(|| lacks(&self.name(key)))
    }
}

fn refuse_experts(keys: &Keys<'_>) -> Result<(), EngineError> {
    match keys.size("expert_count")?.filter(|count| *count > 0) {
        None => Ok(()),
        Some(count) => Err(unsupported(
            "model variant",
            format!("{count} experts"),
            "dense layers",
        )),
    }
}

fn head_dim(keys: &Keys<'_>, hidden: usize, heads: usize) -> Result<usize, EngineError> {
    let head_dim = match keys.size("attention.key_length")? {
        Some(head_dim) => head_dim,
        None if hidden.checked_rem(heads) == Some(0) => hidden / heads,
        None => {
            return Err(damaged(format!(
                "a hidden size of {hidden} cannot be split over {heads} heads"
            )));
        }
    };
    for key in ["attention.value_length", "rope.dimension_count"] {
        if let Some(other) = keys.size(key)?.filter(|other| *other != head_dim) {
            return Err(unsupported(
                "model variant",
                format!("{} = {other}", keys.name(key)),
                &format!("the head width, {head_dim}"),
            ));
        }
    }
    Ok(head_dim)
}

fn vocab(keys: &Keys<'_>) -> Result<usize, EngineError> {
    if let Some(vocab) = keys.size("vocab_size")? {
        return Ok(vocab);
    }
    let tokens = keys.gguf.array("tokenizer.ggml.tokens")?;
    tokens
        .map(|tokens| tokens.len())
        .ok_or_else(|| lacks(&keys.name("vocab_size")))
}

fn divisors(keys: &Keys<'_>, head_dim: usize) -> Result<Vec<f32>, EngineError> {
    // How files from before 2024 spell linear scaling.
    if let Some(factor) = keys.float("rope.scale_linear")? {
        return Ok(rope::linear(head_dim, factor));
    }
    let kind = keys.gguf.string(&keys.name("rope.scaling.type"))?;
    match kind.unwrap_or("none") {
        "none" => Ok(Vec::new()),
        "linear" => Ok(rope::linear(
            head_dim,
            keys.need_float("rope.scaling.factor")?,
        )),
        other => Err(unsupported(
            "rotary scaling",
            other.to_owned(),
            "none, linear",
        )),
    }
}

fn token(gguf: &Gguf, key: &str) -> Result<Option<u32>, EngineError> {
    match gguf.unsigned(key)? {
        None => Ok(None),
        Some(id) => u32::try_from(id)
            .map(Some)
            .map_err(|_| damaged(format!("{key} is {id}, which is no token id"))),
    }
}

fn lacks(key: &str) -> EngineError {
    damaged(format!("the metadata lack {key}"))
}
