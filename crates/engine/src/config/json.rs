//! Config from a Hugging Face `config.json`.

use super::rope::{self, Llama3};
use super::{Config, attention_scale, damaged, unsupported};
use crate::architecture::{Activation, Architecture, Defaults};
use crate::error::EngineError;
use serde::Deserialize;

/// The keys that matter here; the many others are left alone.
#[derive(Debug, Deserialize)]
pub(crate) struct HfConfig {
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    vocab_size: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<HfRope>,
    /// Where `transformers` 5 writes both of the above.
    pub(crate) rope_parameters: Option<HfRope>,
    max_position_embeddings: usize,
    tie_word_embeddings: Option<bool>,
    bos_token_id: Option<TokenIds>,
    eos_token_id: Option<TokenIds>,
    hidden_act: Option<String>,
    /// What Gemma calls it; some files have both.
    hidden_activation: Option<String>,
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    partial_rotary_factor: Option<f64>,
    quantization_config: Option<serde_json::Value>,
    use_sliding_window: Option<bool>,
    pub(crate) layer_types: Option<Vec<String>>,
    pub(crate) sliding_window: Option<usize>,
    pub(crate) sliding_window_pattern: Option<usize>,
    /// How files for `transformers` 4 spell it.
    #[serde(rename = "_sliding_window_pattern")]
    pub(crate) older_window_pattern: Option<usize>,
    pub(crate) rope_local_base_freq: Option<f64>,
    pub(crate) query_pre_attn_scalar: Option<f64>,
    pub(crate) attn_logit_softcapping: Option<f64>,
    pub(crate) final_logit_softcapping: Option<f64>,
    pub(crate) use_bidirectional_attention: Option<bool>,
}

/// The rotary positions of all layers, or of each kind of layer.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct HfRope {
    pub(crate) full_attention: Option<Box<HfRope>>,
    pub(crate) sliding_attention: Option<Box<HfRope>>,
    #[serde(alias = "type")]
    pub(crate) rope_type: Option<String>,
    pub(crate) rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<f64>,
}

/// `2` or `[2, 32]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl TokenIds {
    fn into_vec(self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![id],
            Self::Many(ids) => ids,
        }
    }
}

impl Config {
    /// Reads the bytes of a `config.json`.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] for JSON that is no model config,
    /// [`EngineError::Unsupported`] for a model this engine does not compute,
    /// [`EngineError::TooLarge`] for a size beyond its bound.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EngineError> {
        let architecture = architecture(bytes)?;
        let hf: HfConfig =
            serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        refuse_variants(&hf)?;
        let family = architecture.family();
        let head_dim = head_dim(&hf, &family.defaults)?;
        let rope = hf.rope_parameters.as_ref().or(hf.rope_scaling.as_ref());
        let rope = rope.map(|rope| rope.full_attention.as_deref().unwrap_or(rope));
        let theta = rope
            .and_then(|rope| rope.rope_theta)
            .or(hf.rope_theta)
            .unwrap_or(family.defaults.rope_theta);
        // The bounds come first: the divisors below are allocated from head_dim.
        let mut config = Self {
            architecture,
            hidden: hf.hidden_size,
            layers: hf.num_hidden_layers,
            heads: hf.num_attention_heads,
            kv_heads: hf.num_key_value_heads.unwrap_or(hf.num_attention_heads),
            head_dim,
            intermediate: hf.intermediate_size,
            vocab: hf.vocab_size,
            rms_eps: hf.rms_norm_eps as f32,
            activation: Activation::Silu,
            embedding_scale: 1.0,
            attention_scale: attention_scale(head_dim),
            rope_theta: theta as f32,
            rope_divisors: Vec::new(),
            window: None,
            context: hf.max_position_embeddings,
            tied_embeddings: hf
                .tie_word_embeddings
                .unwrap_or(family.defaults.tied_embeddings),
            bos: hf
                .bos_token_id
                .clone()
                .and_then(|ids| ids.into_vec().first().copied()),
            eos: hf
                .eos_token_id
                .clone()
                .map(TokenIds::into_vec)
                .unwrap_or_default(),
        }
        .checked()?;
        if let Some(rope) = rope {
            config.rope_divisors = divisors(rope, head_dim, theta)?;
        }
        (family.read_json)(&hf, &mut config)?;
        config.checked()
    }
}

/// Looks at the name alone first, so that another family's config is refused by
/// name and not for a key it lacks.
fn architecture(bytes: &[u8]) -> Result<Architecture, EngineError> {
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        architectures: Vec<String>,
        model_type: Option<String>,
    }
    let named: Named = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
    let name = named.architectures.first().or(named.model_type.as_ref());
    Architecture::from_name(name.map_or("(none named)", String::as_str))
}

/// The end tokens that a `generation_config.json` names.
///
/// # Errors
/// [`EngineError::Damaged`] for what is not such a file.
pub(crate) fn generation_eos(bytes: &[u8]) -> Result<Vec<u32>, EngineError> {
    #[derive(Deserialize)]
    struct Generation {
        eos_token_id: Option<TokenIds>,
    }
    let generation: Generation = serde_json::from_slice(bytes)
        .map_err(|error| EngineError::damaged("generation_config.json", error.to_string()))?;
    Ok(generation
        .eos_token_id
        .map(TokenIds::into_vec)
        .unwrap_or_default())
}

/// What the config of any family may say that this engine does not compute.
fn refuse_variants(hf: &HfConfig) -> Result<(), EngineError> {
    if hf.mlp_bias == Some(true) {
        return Err(unsupported(
            "model variant",
            "biases".to_owned(),
            "feed-forward layers without biases",
        ));
    }
    if let Some(share) = hf.partial_rotary_factor.filter(|share| *share != 1.0) {
        return Err(unsupported(
            "partial rotary factor",
            share.to_string(),
            "1.0",
        ));
    }
    if hf
        .quantization_config
        .as_ref()
        .is_some_and(|quantization| !quantization.is_null())
    {
        return Err(unsupported(
            "quantisation of safetensors",
            "quantization_config".to_owned(),
            "BF16, F16 or F32 safetensors, or a GGUF file",
        ));
    }
    Ok(())
}

/// What families look at in their own way.
impl HfConfig {
    /// For families whose attention has no biases.
    pub(crate) fn refuse_attention_biases(&self) -> Result<(), EngineError> {
        if self.attention_bias == Some(true) {
            return Err(unsupported(
                "model variant",
                "biases".to_owned(),
                "attention without biases",
            ));
        }
        Ok(())
    }

    /// For families that may name a window but are computed without.
    pub(crate) fn refuse_window(&self) -> Result<(), EngineError> {
        let whole = |kind: &String| kind == "full_attention";
        let kinds = self.layer_types.as_ref();
        let mixed = kinds.is_some_and(|kinds| !kinds.iter().all(whole));
        if self.use_sliding_window == Some(true) || mixed {
            return Err(unsupported(
                "model variant",
                "sliding_window".to_owned(),
                "attention over the whole context, use_sliding_window: false",
            ));
        }
        Ok(())
    }

    /// For families with one activation.
    pub(crate) fn expect_activation(&self, expected: &str) -> Result<(), EngineError> {
        let named = self.hidden_activation.as_ref().or(self.hidden_act.as_ref());
        match named {
            Some(other) if other != expected => {
                Err(unsupported("activation", other.to_owned(), expected))
            }
            _ => Ok(()),
        }
    }
}

fn head_dim(hf: &HfConfig, defaults: &Defaults) -> Result<usize, EngineError> {
    if let Some(head_dim) = hf.head_dim.or(defaults.head_dim) {
        return Ok(head_dim);
    }
    match hf.hidden_size.checked_rem(hf.num_attention_heads) {
        Some(0) => Ok(hf.hidden_size / hf.num_attention_heads),
        _ => Err(damaged(format!(
            "a hidden size of {} cannot be split over {} heads",
            hf.hidden_size, hf.num_attention_heads
        ))),
    }
}

fn divisors(rope: &HfRope, head_dim: usize, theta: f64) -> Result<Vec<f32>, EngineError> {
    let need = |value: Option<f64>, key: &str| {
        value.ok_or_else(|| damaged(format!("its rotary scaling lacks {key}")))
    };
    match rope.rope_type.as_deref().unwrap_or("default") {
        "default" => Ok(Vec::new()),
        "linear" => Ok(rope::linear(head_dim, need(rope.factor, "factor")?)),
        "llama3" => {
            let rule = Llama3 {
                factor: need(rope.factor, "factor")?,
                low_freq_factor: need(rope.low_freq_factor, "low_freq_factor")?,
                high_freq_factor: need(rope.high_freq_factor, "high_freq_factor")?,
                original_context: need(
                    rope.original_max_position_embeddings,
                    "original_max_position_embeddings",
                )?,
            };
            Ok(rope::llama3(head_dim, theta, rule))
        }
        other => Err(unsupported(
            "rotary scaling",
            other.to_owned(),
            "default, linear, llama3",
        )),
    }
}
