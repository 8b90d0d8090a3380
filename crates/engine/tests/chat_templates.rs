//! Chat templates against transformers.
//!
//! The expected texts come from `tests/reference/make_template_vectors.py`.

use lathe_engine::template::{ChatTemplate, Message, SpecialTokens};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Vectors {
    special: SpecialTokens,
    conversations: Vec<Vec<Message>>,
    templates: BTreeMap<String, Template>,
}

#[derive(Deserialize)]
struct Template {
    source: String,
    closed: Vec<Option<String>>,
    opened: Vec<Option<String>>,
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn vectors() -> Vectors {
    let path = tests_folder().join("reference/template-vectors.json");
    let bytes = std::fs::read(path).expect("the vectors are there");
    serde_json::from_slice(&bytes).expect("the vectors are sound")
}

#[test]
fn every_conversation_is_rendered_as_by_transformers() {
    let vectors = vectors();
    assert_eq!(vectors.templates.len(), 6);
    for (name, template) in &vectors.templates {
        let compiled = ChatTemplate::new(&template.source, vectors.special.clone());
        let compiled = compiled.expect("compiles");
        for (open, expected) in [(false, &template.closed), (true, &template.opened)] {
            for (messages, expected) in vectors.conversations.iter().zip(expected) {
                let found = compiled.render(messages, open);
                match expected {
                    Some(text) => assert_eq!(&found.expect(name), text, "{name}: {messages:?}"),
                    None => assert!(found.is_err(), "{name}: {messages:?}"),
                }
            }
        }
    }
}

#[test]
fn the_fixtures_render_their_own_template() {
    for model in ["tiny-model", "tiny-model.gguf"] {
        let model =
            lathe_engine::open(&tests_folder().join("fixtures").join(model)).expect("opens");
        let template = model.template.expect("it has one");
        let hello = Message::new("user", "Hello");
        let prompt = template.render(&[hello], true).expect("renders");
        assert_eq!(
            prompt,
            "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
        );
    }
}

/// Run with LATHE_TEST_MODEL=… cargo test -p lathe-engine --test chat_templates -- --ignored
#[test]
#[ignore = "needs SmolLM2-135M-Instruct.Q4_1.gguf; name it in LATHE_TEST_MODEL"]
fn smollm2_carries_the_template_of_the_vectors() {
    let vectors = vectors();
    let path = std::env::var("LATHE_TEST_MODEL").expect("LATHE_TEST_MODEL is set");
    let template = lathe_engine::open(Path::new(&path))
        .expect("opens")
        .template;
    assert_eq!(
        template.expect("it has one").source(),
        vectors.templates["smollm2"].source
    );
}
