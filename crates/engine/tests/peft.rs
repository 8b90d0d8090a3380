//! Adapter files against what the `peft` package writes.
//!
//! The files come from `tests/reference/make_peft_adapter.py`.

use lathe_engine::adapter::TARGETS;
use lathe_engine::{Adapter, Config, safetensors};
use serde_json::Value;
use std::path::{Path, PathBuf};

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn config() -> Config {
    let path = tests_folder().join("fixtures/tiny-model/config.json");
    Config::from_json(&std::fs::read(path).expect("is there")).expect("is sound")
}

fn peft_folder() -> PathBuf {
    tests_folder().join("reference/peft-adapter")
}

#[test]
fn an_adapter_of_peft_is_read_number_by_number() {
    let adapter = Adapter::load_peft(&peft_folder(), &config()).expect("is read");
    assert_eq!(adapter.spec.rank, 2);
    assert_eq!(adapter.spec.alpha, 6.0);
    assert_eq!(adapter.spec.targets, TARGETS);
    let file = std::fs::read(peft_folder().join("adapter_model.safetensors")).expect("is there");
    let entries = safetensors::parse(&file).expect("is sound");
    assert_eq!(entries.len(), adapter.tensors.len());
    for tensor in &adapter.tensors {
        let key = format!("base_model.model.model.{}", tensor.name);
        let expected = entries[&key].values(&file, &key).expect("F32");
        let found = &adapter.values[tensor.offset..][..tensor.rows * tensor.cols];
        assert_eq!(found, expected, "{key}");
        assert!(found.iter().any(|value| *value != 0.0), "{key}");
    }
}

#[test]
fn what_is_written_has_the_names_shapes_and_settings_of_peft() {
    let folder = tempfile::tempdir().expect("a folder");
    let adapter = Adapter::load_peft(&peft_folder(), &config()).expect("is read");
    adapter
        .save_peft(folder.path(), "tiny-model")
        .expect("is written");

    let shapes = |folder: &Path| -> Vec<(String, Vec<usize>)> {
        let file = std::fs::read(folder.join("adapter_model.safetensors")).expect("is there");
        let entries = safetensors::parse(&file).expect("is sound").into_iter();
        entries.map(|(name, entry)| (name, entry.shape)).collect()
    };
    assert_eq!(shapes(folder.path()), shapes(&peft_folder()));

    let settings = |folder: &Path| -> Value {
        let text = std::fs::read(folder.join("adapter_config.json")).expect("is there");
        serde_json::from_slice(&text).expect("JSON")
    };
    let (ours, theirs) = (settings(folder.path()), settings(&peft_folder()));
    for (key, value) in ours.as_object().expect("an object") {
        match key.as_str() {
            // Of no meaning once trained.
            "lora_dropout" => {}
            // A set there, in no fixed order.
            "target_modules" => {
                let sorted = |value: &Value| {
                    let mut names: Vec<String> =
                        serde_json::from_value(value.clone()).expect("names");
                    names.sort();
                    names
                };
                assert_eq!(sorted(value), sorted(&theirs[key]));
            }
            _ => assert_eq!(value, &theirs[key], "{key}"),
        }
    }
}
