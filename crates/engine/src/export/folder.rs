//! A merged model as a Hugging Face folder.
//!
//! `config.json`, `generation_config.json`, `tokenizer.json`, `tokenizer_config.json` with the chat
//! template, `model.safetensors`. The template stands in one place only: a folder with a second copy
//! in `chat_template.jinja` would let the two drift apart.

use super::{Export, Written, config_json, tokenizer_json, write_file};
use crate::error::EngineError;
use crate::gguf::Gguf;
use crate::gguf::blocks::BlockType;
use crate::safetensors::write::{Tensors, write as write_tensors};
use crate::weights::read_text;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn write(
    export: &Export<'_>,
    out: &Path,
    format: BlockType,
) -> Result<Written, EngineError> {
    let raw = export.raw();
    let (mut config, mut generation, tokenizer, mut described) = match raw.gguf() {
        Some(bytes) => from_gguf(export, &Gguf::parse(bytes)?)?,
        None => from_folder(export)?,
    };
    config["torch_dtype"] = json!(config_json::torch_dtype(format));
    if let Some(config) = config.as_object_mut() {
        // Newer files have the type under this name, which would win.
        config.remove("dtype");
    }
    let mut ends: Vec<u32> = export.speech.end.into_iter().collect();
    let others = raw.config.eos.iter().filter(|it| !ends.contains(it));
    let others: Vec<u32> = others.copied().collect();
    ends.extend(others);
    generation["eos_token_id"] = json!(ends);
    if let Some(template) = export.speech.template {
        described["chat_template"] = json!(template.source());
    }
    std::fs::create_dir_all(out).map_err(|error| EngineError::io("create", out, error))?;
    for (name, value) in [
        ("config.json", &config),
        ("generation_config.json", &generation),
        ("tokenizer_config.json", &described),
    ] {
        let text = serde_json::to_string_pretty(value).expect("a JSON value is always written");
        write_file(&out.join(name), &(text + "\n"))?;
    }
    write_file(&out.join("tokenizer.json"), &tokenizer)?;
    let tensors = Merge { export, format };
    let count = write_tensors(&out.join("model.safetensors"), &tensors, format)?;
    Ok(Written {
        tensors: count,
        in_f16: 0,
        modelfile_template: None,
    })
}

/// config, generation config, tokenizer and what describes it.
type Files = (Value, Value, String, Value);

fn from_gguf(export: &Export<'_>, gguf: &Gguf<'_>) -> Result<Files, EngineError> {
    let raw = export.raw();
    let (tokenizer, config) = (&raw.tokenizer, &raw.config);
    let mut described = tokenizer_json::described(tokenizer, config, &export.speech);
    if let Some(end) = export.speech.end {
        described["eos_token"] = json!(tokenizer.decode(&[end], false));
    }
    Ok((
        config_json::of(config)?,
        json!({ "bos_token_id": config.bos }),
        tokenizer_json::of(tokenizer, config, gguf)?,
        described,
    ))
}

fn from_folder(export: &Export<'_>) -> Result<Files, EngineError> {
    let json = |file: &'static str| -> Result<Option<Value>, EngineError> {
        let path = export.base.join(file);
        let read = |bytes: Vec<u8>| {
            serde_json::from_slice::<Value>(&bytes)
                .ok()
                .filter(Value::is_object)
                .ok_or_else(|| EngineError::damaged(path.display().to_string(), "it is no object"))
        };
        read_text(&path)?.map(read).transpose()
    };
    let missing = |file| EngineError::MissingFile {
        folder: export.base.to_path_buf(),
        file,
    };
    let config = json("config.json")?.ok_or_else(|| missing("config.json"))?;
    let tokenizer = read_text(&export.base.join("tokenizer.json"))?;
    let tokenizer = tokenizer.ok_or_else(|| missing("tokenizer.json"))?;
    let tokenizer = String::from_utf8(tokenizer)
        .map_err(|_| EngineError::damaged("tokenizer.json", "it is not UTF-8"))?;
    let raw = export.raw();
    let generation = json("generation_config.json")?
        .unwrap_or_else(|| json!({ "bos_token_id": raw.config.bos }));
    let described = json("tokenizer_config.json")?
        .unwrap_or_else(|| tokenizer_json::described(&raw.tokenizer, &raw.config, &export.speech));
    Ok((config, generation, tokenizer, described))
}

/// The tensors as they are written.
struct Merge<'a> {
    export: &'a Export<'a>,
    format: BlockType,
}

impl Tensors for Merge<'_> {
    fn names(&self) -> Vec<String> {
        let names = self.export.raw().tensor_names();
        names.map(str::to_owned).collect()
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, EngineError> {
        Ok(self.export.raw().shape(name)?.to_vec())
    }

    fn bytes(&self, name: &str) -> Result<Vec<u8>, EngineError> {
        let rows = self.export.raw().shape(name)?[0];
        let Export { merged, pool, .. } = self.export;
        merged.encoded(pool, name, 0..rows, (self.format, None), &|_| ())
    }
}
