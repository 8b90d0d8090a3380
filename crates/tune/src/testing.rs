//! What the tests of this crate share: the tiny model and a few examples.

use std::path::{Path, PathBuf};

use lathe_data::task::Example;
use lathe_engine::Model;
use lathe_engine::model::LoadOptions;
use lathe_evidence::Digest;

/// The system message of [`examples`].
pub const SYSTEM: &str = "Say how the customer feels about the product, from -4 to 4.";

/// Where the 2-layer random model of the repository's fixtures lies.
pub fn model_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model")
}

/// That model, ready for tuning.
pub fn model() -> Model {
    let options = LoadOptions {
        trainable: true,
        ..LoadOptions::default()
    };
    Model::load(&model_path(), options).expect("the fixture loads")
}

/// `count` different examples with one system message.
pub fn examples(count: usize) -> Vec<Example> {
    let things = [
        "camera", "player", "phone", "router", "battery", "screen", "menu",
    ];
    let example = |index: usize| {
        let (score, class) = [("2.5", "positive"), ("-1.5", "negative")][index % 2];
        let verdict = ["is great", "broke after a week"][index % 2];
        let id = format!("{}_{index}", index / 3);
        Example {
            leaf: Digest::of(id.as_bytes()),
            group: (index / 3).to_string(),
            id,
            system: Some(SYSTEM.to_owned()),
            prompt: format!(
                "The {} {verdict}, number {index}.",
                things[index % things.len()]
            ),
            answer: format!(r#"{{"feeling":{score},"class":"{class}"}}"#),
        }
    };
    (0..count).map(example).collect()
}
