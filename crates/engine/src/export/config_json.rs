//! A `config.json` for a model that came as GGUF.
//!
//! What is written is read again by the reader of such files and has to give the config it was made
//! from: a setting that the file could not say is refused by name instead of being lost.

use crate::architecture::Architecture;
use crate::config::{Config, unsupported};
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use serde_json::{Map, Value, json};

/// What `transformers` calls the type of weights.
pub(super) fn torch_dtype(format: BlockType) -> &'static str {
    match format {
        BlockType::F32 => "float32",
        BlockType::F16 => "float16",
        _ => "bfloat16",
    }
}

/// The config as Hugging Face writes it.
///
/// # Errors
/// [`EngineError::Unsupported`] for a config that such a file cannot say.
pub(super) fn of(config: &Config) -> Result<Value, EngineError> {
    let family = config.architecture.family();
    let mut file = json!({
        "architectures": [family.class],
        "model_type": family.model_type,
        "hidden_size": config.hidden,
        "intermediate_size": config.intermediate,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "vocab_size": config.vocab,
        "max_position_embeddings": config.context,
        "rms_norm_eps": decimal(config.rms_eps),
        "rope_theta": decimal(config.rope_theta),
        "tie_word_embeddings": config.tied_embeddings,
        "attention_bias": family.attention_biases,
        "bos_token_id": config.bos,
        "eos_token_id": ends(config),
    });
    let object = file.as_object_mut().expect("it was made one");
    own(config, object);
    if let Some(scaling) = scaling(config)? {
        object.insert("rope_scaling".to_owned(), scaling);
    }
    let read = Config::from_json(file.to_string().as_bytes())?;
    match difference(&read, config) {
        None => Ok(file),
        Some(what) => Err(unsupported(
            "setting in a config.json",
            what,
            "what such a file can say; write a GGUF file instead",
        )),
    }
}

/// The tokens that end an answer, as such files write them.
pub(super) fn ends(config: &Config) -> Value {
    match &config.eos[..] {
        [] => Value::Null,
        [only] => json!(only),
        several => json!(several),
    }
}

/// What one family says that others do not.
fn own(config: &Config, file: &mut Map<String, Value>) {
    let activation = match config.architecture {
        Architecture::Gemma3 => ("hidden_activation", "gelu_pytorch_tanh"),
        _ => ("hidden_act", "silu"),
    };
    file.insert(activation.0.to_owned(), json!(activation.1));
    if config.architecture == Architecture::Qwen2 {
        // Its biases are no setting there, and a window would have to be switched on.
        file.remove("attention_bias");
        file.insert("use_sliding_window".to_owned(), json!(false));
    }
    if config.architecture == Architecture::Llama {
        file.insert("mlp_bias".to_owned(), json!(false));
    }
    if config.architecture != Architecture::Gemma3 {
        return;
    }
    let scalar = f64::from(config.attention_scale).powi(-2);
    // A whole number but for the rounding of the scale to 32 bits.
    let whole = (scalar.round() - scalar).abs() < 1e-4 * scalar;
    let scalar = if whole {
        json!(scalar.round() as u64)
    } else {
        json!(scalar)
    };
    file.insert("query_pre_attn_scalar".to_owned(), scalar);
    if let Some(window) = &config.window {
        let kind = |windowed: &bool| match windowed {
            true => "sliding_attention",
            false => "full_attention",
        };
        let kinds: Vec<_> = window.layers.iter().map(kind).collect();
        file.insert("sliding_window".to_owned(), json!(window.positions));
        file.insert("layer_types".to_owned(), json!(kinds));
        let theta = decimal(window.rope_theta);
        file.insert("rope_local_base_freq".to_owned(), theta);
    }
}

/// How the rotary frequencies are divided.
fn scaling(config: &Config) -> Result<Option<Value>, EngineError> {
    let divisors = &config.rope_divisors;
    let Some(first) = divisors.first() else {
        return Ok(None);
    };
    if divisors.iter().all(|it| it == first) {
        let factor = decimal(*first);
        return Ok(Some(json!({ "rope_type": "linear", "factor": factor })));
    }
    // A GGUF file holds the divisors and not the rule that made them; all published models of the
    // rule share its other constants.
    let factor = divisors.iter().copied().fold(0.0f32, f32::max);
    Ok(Some(json!({
        "rope_type": "llama3",
        "factor": decimal(factor),
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    })))
}

/// A number of 32 bits as it would be typed: 0.00001 and not 0.000009999999747378752.
fn decimal(value: f32) -> Value {
    let shortest = value.to_string();
    json!(shortest.parse::<f64>().unwrap_or_else(|_| f64::from(value)))
}

/// The first setting in which two configs of one model differ; the tokens that end an answer are
/// written elsewhere too and not looked at.
pub(super) fn difference(found: &Config, expected: &Config) -> Option<String> {
    let near = |a: f32, b: f32| (a - b).abs() <= 1e-6 * b.abs();
    let all_near =
        |a: &[f32], b: &[f32]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| near(*a, *b));
    if !all_near(&found.rope_divisors, &expected.rope_divisors) {
        return Some("these divisors of the rotary frequencies".to_owned());
    }
    if !near(found.attention_scale, expected.attention_scale) {
        return Some(format!(
            "a factor of attention of {}",
            expected.attention_scale
        ));
    }
    if found.window != expected.window {
        return Some(format!("these windows of attention: {:?}", expected.window));
    }
    let same = Config {
        rope_divisors: expected.rope_divisors.clone(),
        attention_scale: expected.attention_scale,
        eos: expected.eos.clone(),
        bos: expected.bos,
        ..found.clone()
    };
    (same != *expected).then(|| format!("{expected:?}, which was read as {found:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights;
    use std::path::Path;

    fn config(name: &str) -> Config {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        weights::open(&fixtures.join(name)).expect("opens").config
    }

    #[test]
    fn every_familys_config_is_read_as_it_was() {
        for name in ["tiny-model", "tiny-qwen2", "tiny-qwen3", "tiny-gemma3"] {
            let config = config(name);
            let file = of(&config).expect("can be said");
            let read = Config::from_json(file.to_string().as_bytes()).expect("reads");
            assert_eq!(difference(&read, &config), None, "{name}");
            assert_eq!((read.bos, read.eos), (config.bos, config.eos), "{name}");
        }
    }

    #[test]
    fn a_stretched_context_is_said() {
        let mut stretched = config("tiny-model");
        stretched.rope_divisors = vec![4.0; stretched.head_dim / 2];
        let file = of(&stretched).expect("can be said");
        assert_eq!(file["rope_scaling"]["factor"], 4.0);
        assert_eq!(file["rms_norm_eps"], 1e-5);
    }

    #[test]
    fn divisors_that_no_rule_makes_are_refused() {
        let mut odd = config("tiny-model");
        odd.rope_divisors = vec![1.0; odd.head_dim / 2];
        odd.rope_divisors[3] = 7.0;
        let error = of(&odd).expect_err("cannot be said").to_string();
        assert!(error.contains("rotary"), "{error}");
    }
}
