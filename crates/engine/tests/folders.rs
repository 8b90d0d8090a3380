//! Folders in Hugging Face's layout: what is optional, what is missing, what does not fit.

use lathe_engine::{EngineError, RawModel, open, safetensors};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}

/// A copy of the fixture that can be changed.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for entry in fs::read_dir(fixtures().join("tiny-model")).expect("is there") {
            let path = entry.expect("is there").path();
            let name = path.file_name().expect("a name");
            fs::copy(&path, folder.0.path().join(name)).expect("is copied");
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn change(self, name: &str, change: impl FnOnce(&mut Value)) -> Self {
        let text = fs::read(self.path(name)).expect("is there");
        let mut value = serde_json::from_slice(&text).expect("JSON");
        change(&mut value);
        self.write(name, value.to_string())
    }

    fn write(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.path(name), content).expect("is written");
        self
    }

    fn remove(self, name: &str) -> Self {
        fs::remove_file(self.path(name)).expect("is removed");
        self
    }

    fn open(&self) -> Result<RawModel, EngineError> {
        open(self.0.path())
    }

    fn refused(&self, code: &str, reason: &str) {
        let error = self.open().err().expect("is refused");
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn a_missing_file_is_named() {
    for name in ["config.json", "tokenizer.json", "model.safetensors"] {
        Folder::new()
            .remove(name)
            .refused("engine-missing-file", name);
    }
    let model = Folder::new()
        .remove("tokenizer_config.json")
        .open()
        .expect("opens");
    assert!(model.template.is_none());
}

#[test]
fn tensors_must_be_those_that_the_config_implies() {
    let with = |key: &str, value: Value| Folder::new().change("config.json", |c| c[key] = value);
    with("num_hidden_layers", json!(3)).refused("engine-missing-tensor", "model.layers.2.");
    with("num_hidden_layers", json!(1)).refused("engine-unsupported", "model.layers.1.");
    with("intermediate_size", json!(96)).refused("engine-shape", "[96, 64]");
    with("num_key_value_heads", json!(4)).refused("engine-shape", "k_proj");
    with("tie_word_embeddings", json!(false)).refused("engine-missing-tensor", "lm_head.weight");
    with("vocab_size", json!(417)).refused("engine-shape", "[417, 64]");
    with("vocab_size", json!(400)).refused("engine-tokenizer", "token id 415");
}

#[test]
fn a_file_of_its_own_beats_the_template_in_the_tokenizers_config() {
    let listed = json!([{"name": "tools", "template": "x"}, {"name": "default", "template": "y{{ eos_token }}"}]);
    let folder = Folder::new().change("tokenizer_config.json", |c| {
        c["chat_template"] = listed;
        c["eos_token"] = json!({"content": "<|im_end|>", "lstrip": false});
    });
    let rendered = |folder: &Folder| {
        let template = folder.open().expect("opens").template.expect("it has one");
        template.render(&[], false).expect("renders")
    };
    assert_eq!(rendered(&folder), "y<|im_end|>");
    let folder = folder.write("chat_template.jinja", "from the file");
    assert_eq!(rendered(&folder), "from the file");
    folder
        .write("chat_template.jinja", "{% for %}")
        .refused("engine-template", "compile");
}

#[test]
fn every_place_that_names_an_end_token_is_heard() {
    let model = Folder::new().write("generation_config.json", r#"{"eos_token_id": [0, 2]}"#);
    assert_eq!(model.open().expect("opens").config.eos, [2, 0]);
    let model = Folder::new().change("config.json", |c| c["eos_token_id"] = Value::Null);
    assert_eq!(model.open().expect("opens").config.eos, [2]);
}

/// Splits the fixture's weights into two shards with an index.
fn sharded() -> Folder {
    let folder = Folder::new();
    let file = fs::read(folder.path("model.safetensors")).expect("is there");
    let mut shards = [(json!({}), Vec::new()), (json!({}), Vec::new())];
    let mut weight_map = json!({});
    for (index, (name, entry)) in safetensors::parse(&file)
        .expect("parses")
        .into_iter()
        .enumerate()
    {
        let (header, data) = &mut shards[index % 2];
        let start = data.len();
        data.extend_from_slice(&file[entry.bytes]);
        header[&name] =
            json!({"dtype": "BF16", "shape": entry.shape, "data_offsets": [start, data.len()]});
        weight_map[&name] = json!(format!("model-{}.safetensors", index % 2));
    }
    let mut folder = folder.remove("model.safetensors");
    for (index, (header, data)) in shards.into_iter().enumerate() {
        let header = header.to_string();
        let length = (header.len() as u64).to_le_bytes();
        let content = [&length[..], header.as_bytes(), &data].concat();
        folder = folder.write(&format!("model-{index}.safetensors"), content);
    }
    let index = json!({"metadata": {}, "weight_map": weight_map}).to_string();
    folder.write("model.safetensors.index.json", index)
}

#[test]
fn shards_are_one_model() {
    let (whole, parts) = (Folder::new(), sharded());
    let (whole, parts) = (whole.open().expect("opens"), parts.open().expect("opens"));
    for name in whole.tensor_names() {
        assert_eq!(
            whole.tensor_f32(name).expect("is there"),
            parts.tensor_f32(name).expect("is there"),
            "{name}"
        );
    }
}

#[test]
fn a_shard_that_is_missing_or_damaged_is_named() {
    let folder = sharded().remove("model-1.safetensors");
    folder.refused("engine-io", "model-1.safetensors");
    let folder = sharded().write("model-1.safetensors", "short");
    folder.refused("engine-damaged", "model-1.safetensors");
}

#[test]
fn a_folder_with_one_gguf_file_is_that_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let copy = |name: &str| {
        fs::copy(fixtures().join("tiny-model.gguf"), folder.path().join(name)).expect("is copied")
    };
    copy("a.gguf");
    assert_eq!(
        open(folder.path()).expect("opens").format_name(),
        "GGUF Q8_0"
    );
    copy("b.gguf");
    let error = open(folder.path()).err().expect("two are ambiguous");
    assert_eq!(error.code(), "engine-missing-file");
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let error = open(Path::new("no/such/model.gguf"))
        .err()
        .expect("is refused");
    assert_eq!(error.code(), "engine-io");
    assert!(error.to_string().contains("no/such/model.gguf"), "{error}");
}
