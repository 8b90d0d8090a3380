//! What the description of the interface says of `/v1`, held against the server: every parameter that is
//! read is described and none else, and what is answered is what is described.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::caller::{Stream, ask, completion, get, open_door, post, question};
use crate::Limits;

/// Made by `cargo xtask docs`.
const DOCUMENT: &str = include_str!("../../../../docs/reference/openapi.json");

pub(super) fn document() -> Value {
    serde_json::from_str(DOCUMENT).expect("JSON")
}

/// That `value` is what the schema of that name says.
pub(super) fn check(document: &Value, name: &str, value: &Value) {
    let schema = json!({
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    let validator = jsonschema::draft202012::new(&schema).expect("a schema");
    let errors = validator.iter_errors(value);
    let errors: Vec<String> = errors.map(|error| error.to_string()).collect();
    assert_eq!(errors, [""; 0], "{name}: {value}");
}

/// The parameters that a source's table says are read or taken without effect; what is refused unless
/// it asks for the usual is for the guide, but for what is described all the same.
fn parameters(source: &str) -> BTreeSet<&str> {
    let table = source.split("const PARAMETERS").nth(1).expect("a table");
    let table = table.split("];").next().expect("its end");
    let entries = table
        .split("(\"")
        .skip(1)
        .map(|entry| entry.split_once('"'));
    let entries = entries.map(|entry| entry.expect("a name"));
    let read = entries.filter(|(_, rest)| rest.starts_with(", Read)"));
    read.map(|(name, _)| name).collect()
}

#[test]
fn every_parameter_is_described_and_every_description_is_a_parameter() {
    let document = document();
    let schemas = &document["components"]["schemas"];
    let members = |name: &str| -> BTreeSet<String> {
        let schema = &schemas[name];
        let own = schema["properties"].as_object().expect("members");
        own.keys().cloned().collect()
    };
    let shared = members("Sampling");
    for (name, source, shares) in [
        ("ChatRequest", include_str!("../api/parameters.rs"), true),
        (
            "CompletionRequest",
            include_str!("../api/completions/request.rs"),
            true,
        ),
        (
            "EmbeddingRequest",
            include_str!("../api/embeddings.rs"),
            false,
        ),
    ] {
        let mut described = members(name);
        if shares {
            described.extend(shared.iter().cloned());
        }
        for parameter in parameters(source) {
            assert!(described.contains(parameter), "{name} lacks {parameter}");
        }
        for member in described {
            let quoted = format!("\"{member}\"");
            assert!(source.contains(&quoted), "{name} describes {member}");
        }
    }
}

#[tokio::test]
async fn what_is_answered_is_what_is_described() {
    let (door, document) = (open_door(Limits::default()).await, document());
    let scored = json!({"max_tokens": 4, "n": 2, "logprobs": true, "top_logprobs": 3});
    for extra in [json!({"max_tokens": 2}), scored] {
        let reply = ask(&door, question("hello", extra)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        check(&document, "ChatCompletion", &reply.body);
    }
    let echoed = json!({"max_tokens": 0, "echo": true, "logprobs": 2});
    for extra in [json!({"max_tokens": 2, "n": 2}), echoed] {
        let prompts = json!(["The camera", "It broke"]);
        let reply = post(&door, "/v1/completions", completion(prompts, extra)).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        check(&document, "Completion", &reply.body);
    }
    for format in ["float", "base64"] {
        let body = json!({"model": "tiny", "input": ["a", "b"], "encoding_format": format});
        let reply = post(&door, "/v1/embeddings", body).await;
        check(&document, "Embeddings", &reply.body);
    }
    check(&document, "ModelList", &get(&door, "/v1/models").await.body);
    check(
        &document,
        "Model",
        &get(&door, "/v1/models/tiny").await.body,
    );
    for path in ["/health", "/health/ready", "/health/live"] {
        check(&document, "Health", &get(&door, path).await.body);
    }
    for path in ["/v1/models/none", "/v1/none"] {
        check(&document, "OpenAiError", &get(&door, path).await.body);
    }
    let refused = ask(&door, question("hello", json!({"top_p": 7}))).await;
    check(&document, "OpenAiError", &refused.body);
}

#[tokio::test]
async fn every_chunk_is_what_is_described() {
    let (door, document) = (open_door(Limits::default()).await, document());
    let usage = json!({"include_usage": true});
    let extra = json!({"stream": true, "max_tokens": 3, "stream_options": usage});
    let chat = Stream::begin(&door, question("hello", extra.clone())).await;
    for chunk in chat.chunks().await {
        check(&document, "ChatChunk", &chunk);
    }
    let body = completion(json!("The camera"), extra);
    let text = Stream::begin_at(&door, "/v1/completions", body).await;
    for chunk in text.chunks().await {
        check(&document, "Completion", &chunk);
    }
}
