//! An adapter's files, as PEFT writes and reads them.
//!
//! `adapter_config.json` says what the adapter is, `adapter_model.safetensors`
//! holds its matrices as F32 under PEFT's names.

use super::{Adapter, AdapterTensor, LoraSpec, Part, TARGETS, checked, layout, refused};
use crate::config::Config;
use crate::error::EngineError;
use crate::safetensors::{self, Entry};
use crate::weights::{Bytes, read_text};
use ::safetensors::{Dtype, tensor::TensorView};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What PEFT's wrapper and the model's class put before a tensor's name.
const PREFIX: &str = "base_model.model.model.";

impl Adapter {
    /// Writes `adapter_config.json` and `adapter_model.safetensors` into `dir`, which
    /// is made if need be; `base_name` is recorded as the model they belong to.
    ///
    /// # Errors
    /// [`EngineError::Io`] when the folder cannot be written.
    pub fn save_peft(&self, dir: &Path, base_name: &str) -> Result<(), EngineError> {
        fs::create_dir_all(dir).map_err(|error| EngineError::io("create", dir, error))?;
        let config = serde_json::to_string_pretty(&self.peft_config(base_name))
            .expect("a JSON value is always written");
        write(&dir.join(CONFIG), config.as_bytes())?;
        write(&dir.join(WEIGHTS), &self.to_safetensors())
    }

    fn peft_config(&self, base_name: &str) -> Value {
        let alpha = f64::from(self.spec.alpha);
        // PEFT declares an integer; a fraction is kept as it is.
        let alpha = if alpha.fract() == 0.0 {
            json!(alpha as i64)
        } else {
            json!(alpha)
        };
        json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": base_name,
            "r": self.spec.rank,
            "lora_alpha": alpha,
            "target_modules": self.spec.targets,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "use_rslora": false,
            "use_dora": self.spec.dora,
            "init_lora_weights": true,
            "modules_to_save": null,
            "inference_mode": true,
        })
    }

    fn to_safetensors(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self
            .values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let views = self.tensors.iter().map(|tensor| {
            let data = &bytes[4 * tensor.offset..][..4 * tensor.values()];
            let view = TensorView::new(Dtype::F32, shape(tensor), data)
                .expect("the layout gives every matrix its bytes");
            (format!("{PREFIX}{}", tensor.name), view)
        });
        let made_for = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        ::safetensors::serialize(views, Some(made_for)).expect("the views are sound")
    }

    /// Reads what [`Adapter::save_peft`] or PEFT wrote.
    ///
    /// # Errors
    /// [`EngineError::Adapter`] when it does not fit `config` or is a variant of LoRA
    /// this engine does not compute, [`EngineError::MissingFile`], [`EngineError::Damaged`].
    pub fn load_peft(dir: &Path, config: &Config) -> Result<Self, EngineError> {
        let missing = |file| EngineError::MissingFile {
            folder: dir.to_path_buf(),
            file,
        };
        let described = read_text(&dir.join(CONFIG))?.ok_or_else(|| missing(CONFIG))?;
        let weights = dir.join(WEIGHTS);
        if !weights.is_file() {
            return Err(missing(WEIGHTS));
        }
        let weights = Bytes::map(&weights)?;
        Self::from_peft(&described, &weights, config).map_err(|error| match error {
            EngineError::Adapter { reason, .. } => refused(&dir.display().to_string(), reason),
            other => other,
        })
    }

    /// Reads the bytes of `adapter_config.json` and `adapter_model.safetensors`.
    ///
    /// # Errors
    /// As [`Adapter::load_peft`].
    pub fn from_peft(
        adapter_config: &[u8],
        weights: &[u8],
        config: &Config,
    ) -> Result<Self, EngineError> {
        let broken = |reason| refused(CONFIG, reason);
        let described =
            serde_json::from_slice(adapter_config).map_err(|error| broken(error.to_string()))?;
        let spec = spec(&described).map_err(broken)?;
        let tensors = layout(config, &spec);
        let mut entries = safetensors::parse(weights)?;
        let mut values = Vec::new();
        for tensor in &tensors {
            let entry = entries.remove(&format!("{PREFIX}{}", tensor.name));
            values.extend(matrix(tensor, entry, weights)?);
        }
        if let Some((name, _)) = entries.first_key_value() {
            return Err(refused(
                WEIGHTS,
                format!("it holds {name:?}, which its config does not imply"),
            ));
        }
        Ok(Self {
            spec,
            tensors,
            values,
        })
    }
}

/// One matrix, its shape held against the layout.
fn matrix(
    tensor: &AdapterTensor,
    entry: Option<Entry>,
    file: &[u8],
) -> Result<Vec<f32>, EngineError> {
    let Some(entry) = entry else {
        return Err(refused(
            WEIGHTS,
            format!("it lacks {PREFIX}{}", tensor.name),
        ));
    };
    let wanted = shape(tensor);
    if entry.shape != wanted {
        let reason = format!("{} is {:?}, not {wanted:?}", tensor.name, entry.shape);
        return Err(refused(WEIGHTS, reason));
    }
    entry.values(file, &tensor.name)
}

/// A tensor's shape in the file.
fn shape(tensor: &AdapterTensor) -> Vec<usize> {
    match tensor.part {
        Part::A | Part::B => vec![tensor.rows, tensor.cols],
        Part::Magnitude => vec![tensor.rows],
    }
}

/// The spec that PEFT's config describes, or why it is not computed here.
fn spec(config: &Value) -> Result<LoraSpec, String> {
    let kind = config
        .get("peft_type")
        .and_then(Value::as_str)
        .unwrap_or("(none named)");
    if kind != "LORA" {
        return Err(format!("its kind is {kind}, not LORA"));
    }
    refuse_variants(config)?;
    let rank = config
        .get("r")
        .and_then(Value::as_u64)
        .ok_or("it has no rank r")?;
    let alpha = config
        .get("lora_alpha")
        .and_then(Value::as_f64)
        .ok_or("it has no lora_alpha")?;
    let targets = match config.get("target_modules") {
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().map(str::to_owned));
            names
                .collect::<Option<_>>()
                .ok_or("its target_modules are no names")?
        }
        Some(Value::String(name)) if name == "all-linear" => TARGETS.map(str::to_owned).to_vec(),
        _ => return Err("its target_modules are no list of names".to_owned()),
    };
    checked(&LoraSpec {
        rank: usize::try_from(rank).unwrap_or(usize::MAX),
        alpha: alpha as f32,
        targets,
        dora: config.get("use_dora") == Some(&Value::Bool(true)),
    })
}

/// Settings that would change what the adapter computes.
fn refuse_variants(config: &Value) -> Result<(), String> {
    let neutral = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    };
    let variants = [
        "use_rslora",
        "use_qalora",
        "use_bdlora",
        "lora_bias",
        "fan_in_fan_out",
        "modules_to_save",
        "layers_to_transform",
        "layer_replication",
        "rank_pattern",
        "alpha_pattern",
        "alora_invocation_tokens",
        "trainable_token_indices",
        "target_parameters",
        "exclude_modules",
        "arrow_config",
        "kasa_config",
        "velora_config",
        "monteclora_config",
    ];
    for name in variants {
        if config.get(name).is_some_and(|value| !neutral(value)) {
            return Err(format!(
                "it uses {name}, which this engine does not compute"
            ));
        }
    }
    match config.get("bias").and_then(Value::as_str) {
        None | Some("none") => Ok(()),
        Some(bias) => Err(format!(
            "it trains biases ({bias}), which this engine does not compute"
        )),
    }
}

/// Writes a file and waits until it is on the disk.
fn write(path: &Path, bytes: &[u8]) -> Result<(), EngineError> {
    let written = fs::File::create(path).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.map_err(|error| EngineError::io("write", path, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let json = include_bytes!("../../../../tests/fixtures/tiny-model/config.json");
        Config::from_json(json).expect("the fixture's config")
    }

    fn adapter(dora: bool) -> Adapter {
        let targets = ["q_proj", "v_proj", "down_proj"]
            .map(str::to_owned)
            .to_vec();
        let spec = LoraSpec {
            rank: 4,
            alpha: 6.5,
            targets,
            dora,
        };
        let mut adapter = Adapter::new(&config(), &spec, 9).expect("is made");
        let mut random = crate::random::Random::new(1);
        adapter
            .values
            .iter_mut()
            .for_each(|value| *value = random.next_f32() - 0.5);
        adapter
    }

    #[test]
    fn what_is_saved_is_loaded() {
        for dora in [false, true] {
            let folder = tempfile::tempdir().expect("a folder");
            let adapter = adapter(dora);
            adapter
                .save_peft(&folder.path().join("a"), "tiny")
                .expect("is written");
            let loaded = Adapter::load_peft(&folder.path().join("a"), &config()).expect("is read");
            assert_eq!(loaded, adapter);
        }
    }

    #[test]
    fn the_same_adapter_has_the_same_bytes() {
        assert_eq!(
            adapter(false).to_safetensors(),
            adapter(false).to_safetensors()
        );
    }

    fn refused_with(change: impl Fn(&mut Value), reason: &str) {
        let adapter = adapter(false);
        let mut described = adapter.peft_config("tiny");
        change(&mut described);
        let bytes = described.to_string();
        let error = Adapter::from_peft(bytes.as_bytes(), &adapter.to_safetensors(), &config())
            .expect_err("is refused")
            .to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn another_kind_or_variant_is_refused_by_name() {
        refused_with(|c| c["peft_type"] = json!("IA3"), "IA3");
        refused_with(|c| c["use_qalora"] = json!(true), "use_qalora");
        refused_with(|c| c["rank_pattern"] = json!({"q_proj": 2}), "rank_pattern");
        refused_with(|c| c["bias"] = json!("all"), "biases");
        refused_with(|c| c["target_modules"] = json!(".*"), "target_modules");
    }

    #[test]
    fn matrices_that_do_not_fit_are_refused() {
        refused_with(|c| c["r"] = json!(8), "not [8, 64]");
        refused_with(|c| c["use_dora"] = json!(true), "lora_magnitude_vector");
        refused_with(
            |c| c["target_modules"] = json!(["q_proj"]),
            "does not imply",
        );
        refused_with(
            |c| c["target_modules"] = json!(["q_proj", "k_proj"]),
            "lacks",
        );
    }
}
