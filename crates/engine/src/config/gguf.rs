//! Config from GGUF metadata.

use super::{Architecture, Config, damaged, rope, unsupported};
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
        refuse_variants(gguf)?;
        let hidden = need(gguf, "llama.embedding_length")?;
        let heads = need(gguf, "llama.attention.head_count")?;
        let mut config = Self {
            architecture,
            hidden,
            layers: need(gguf, "llama.block_count")?,
            heads,
            kv_heads: size(gguf, "llama.attention.head_count_kv")?.unwrap_or(heads),
            head_dim: head_dim(gguf, hidden, heads)?,
            intermediate: need(gguf, "llama.feed_forward_length")?,
            vocab: vocab(gguf)?,
            rms_eps: gguf
                .float("llama.attention.layer_norm_rms_epsilon")?
                .ok_or_else(|| lacks("llama.attention.layer_norm_rms_epsilon"))?
                as f32,
            rope_theta: gguf.float("llama.rope.freq_base")?.unwrap_or(10_000.0) as f32,
            rope_divisors: Vec::new(),
            context: need(gguf, "llama.context_length")?,
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
        config.rope_divisors = divisors(gguf, config.head_dim)?;
        config.checked()
    }
}

/// What a llama file may say that this engine does not compute.
fn refuse_variants(gguf: &Gguf) -> Result<(), EngineError> {
    if let Some(experts) = gguf
        .unsigned("llama.expert_count")?
        .filter(|count| *count > 0)
    {
        return Err(unsupported(
            "Llama variant",
            format!("{experts} experts"),
            "dense layers",
        ));
    }
    Ok(())
}

fn head_dim(gguf: &Gguf, hidden: usize, heads: usize) -> Result<usize, EngineError> {
    let head_dim = match size(gguf, "llama.attention.key_length")? {
        Some(head_dim) => head_dim,
        None if hidden.checked_rem(heads) == Some(0) => hidden / heads,
        None => {
            return Err(damaged(format!(
                "a hidden size of {hidden} cannot be split over {heads} heads"
            )));
        }
    };
    for key in ["llama.attention.value_length", "llama.rope.dimension_count"] {
        if let Some(other) = size(gguf, key)?.filter(|other| *other != head_dim) {
            return Err(unsupported(
                "Llama variant",
                format!("{key} = {other}"),
                &format!("the head width, {head_dim}"),
            ));
        }
    }
    Ok(head_dim)
}

fn vocab(gguf: &Gguf) -> Result<usize, EngineError> {
    if let Some(vocab) = size(gguf, "llama.vocab_size")? {
        return Ok(vocab);
    }
    gguf.array("tokenizer.ggml.tokens")?
        .map(|tokens| tokens.len())
        .ok_or_else(|| lacks("llama.vocab_size"))
}

fn divisors(gguf: &Gguf, head_dim: usize) -> Result<Vec<f32>, EngineError> {
    // How files from before 2024 spell linear scaling.
    if let Some(factor) = gguf.float("llama.rope.scale_linear")? {
        return Ok(rope::linear(head_dim, factor));
    }
    match gguf.string("llama.rope.scaling.type")?.unwrap_or("none") {
        "none" => Ok(Vec::new()),
        "linear" => {
            let factor = gguf
                .float("llama.rope.scaling.factor")?
                .ok_or_else(|| lacks("llama.rope.scaling.factor"))?;
            Ok(rope::linear(head_dim, factor))
        }
        other => Err(unsupported(
            "rotary scaling",
            other.to_owned(),
            "none, linear",
        )),
    }
}

fn size(gguf: &Gguf, key: &str) -> Result<Option<usize>, EngineError> {
    Ok(gguf
        .unsigned(key)?
        .map(|value| usize::try_from(value).unwrap_or(usize::MAX)))
}

fn need(gguf: &Gguf, key: &str) -> Result<usize, EngineError> {
    size(gguf, key)?.ok_or_else(|| lacks(key))
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
