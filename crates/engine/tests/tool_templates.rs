//! Conversations with tools against transformers, byte by byte.
//!
//! The expected texts come from `tests/reference/make_tool_vectors.py`.

use lathe_engine::template::{Arguments, ChatTemplate, Message, Skills, SpecialTokens};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

#[derive(Deserialize)]
struct Vectors {
    special: SpecialTokens,
    dialogues: BTreeMap<String, Dialogue>,
    templates: BTreeMap<String, Template>,
}

#[derive(Deserialize)]
struct Dialogue {
    messages: Vec<Message>,
    tools: Option<Value>,
}

#[derive(Deserialize)]
struct Template {
    source: String,
    closed: BTreeMap<String, Option<String>>,
    opened: BTreeMap<String, Option<String>>,
}

fn vectors() -> Vectors {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/reference/tool-vectors.json");
    let bytes = std::fs::read(path).expect("the vectors are there");
    serde_json::from_slice(&bytes).expect("the vectors are sound")
}

#[test]
fn tools_calls_and_results_are_rendered_as_by_transformers() {
    let vectors = vectors();
    assert_eq!((vectors.templates.len(), vectors.dialogues.len()), (4, 8));
    for (name, template) in &vectors.templates {
        let compiled = ChatTemplate::new(&template.source, vectors.special.clone());
        let compiled = compiled.expect("compiles");
        let form = compiled.skills().calls.expect("it writes calls");
        for (title, dialogue) in &vectors.dialogues {
            let messages = dialogue.messages.iter().cloned();
            let messages: Vec<Message> = messages.map(|it| it.with_arguments(form)).collect();
            for (open, expected) in [(false, &template.closed), (true, &template.opened)] {
                let found = compiled.render_with_tools(&messages, dialogue.tools.as_ref(), open);
                match &expected[title] {
                    Some(text) => assert_eq!(&found.expect(name), text, "{name}: {title}"),
                    None => assert!(found.is_err(), "{name}: {title}"),
                }
            }
        }
    }
}

#[test]
fn what_each_template_has_a_place_for_is_found() {
    let vectors = vectors();
    let whole = Skills {
        tools: true,
        calls: Some(Arguments::Object),
        results: true,
        reasoning: false,
    };
    let thinking = Skills {
        reasoning: true,
        ..whole
    };
    let copied = Skills {
        calls: Some(Arguments::Text),
        ..thinking
    };
    let expected = [
        ("copied", copied),
        ("header", whole),
        ("hermes", whole),
        ("thinking", thinking),
    ];
    assert_eq!(vectors.templates.len(), expected.len());
    for (name, skills) in expected {
        let template = ChatTemplate::new(&vectors.templates[name].source, vectors.special.clone());
        assert_eq!(template.expect("compiles").skills(), skills, "{name}");
    }
}
