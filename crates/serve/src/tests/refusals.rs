//! Everything that is refused is refused in OpenAI's shape, with the reason.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use lathe_workshop::Door as _;
use lathe_workshop::people::reach;
use serde_json::{Value, json};

use super::caller::{Stream, ask, get, open_door, question, send};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

async fn post(
    door: &Door,
    content_type: Option<&str>,
    body: impl Into<Body>,
) -> (u16, Value, Value) {
    let mut request = Request::post("/v1/chat/completions");
    if let Some(content_type) = content_type {
        request = request.header(header::CONTENT_TYPE, content_type);
    }
    let request = request.body(body.into()).expect("a request");
    send(door.router(), request).await.refusal()
}

#[tokio::test]
async fn paths_and_methods() {
    let door = open_door(Limits::default()).await;
    for (method, path, status, code) in [
        ("GET", "/v1/files", 404, "unknown_url"),
        ("POST", "/v1/moderations", 404, "unknown_url"),
        ("POST", "/v1/responses", 404, "unknown_url"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
        ("DELETE", "/v1/completions", 405, "method_not_allowed"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty());
        let reply = send(door.router(), request.expect("a request")).await;
        assert_eq!(
            reply.refusal(),
            (status, json!(null), json!(code)),
            "{method} {path}"
        );
        assert_eq!(reply.headers.contains_key(header::ALLOW), status == 405);
    }
}

#[tokio::test]
async fn bodies() {
    let door = open_door(Limits {
        body_bytes_max: 1000,
        ..Limits::default()
    })
    .await;
    let json_type = Some("application/json; charset=utf-8");
    assert_eq!(
        post(&door, json_type, "{").await,
        (400, json!(null), json!(null))
    );
    assert_eq!(
        post(&door, json_type, "").await,
        (400, json!(null), json!(null))
    );
    let form = Some("application/x-www-form-urlencoded");
    for content_type in [None, Some("text/plain"), form] {
        let refusal = post(
            &door,
            content_type,
            question("hello", json!({})).to_string(),
        )
        .await;
        assert_eq!(refusal, (415, json!(null), json!("unsupported_media_type")));
    }
    let large = question(&"x".repeat(1000), json!({})).to_string();
    assert_eq!(
        post(&door, json_type, large).await,
        (413, json!(null), json!("body_too_large"))
    );
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_the_known_ones() {
    let door = open_door(Limits::default()).await;
    let reply = ask(&door, question("hello", json!({"model": "gpt-5"}))).await;
    assert_eq!(
        reply.refusal(),
        (404, json!("model"), json!("model_not_found"))
    );
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("gpt-5") && message.contains("tiny"),
        "{message}"
    );
    assert_eq!(
        get(&door, "/v1/models/gpt-5").await.refusal(),
        reply.refusal()
    );
}

#[tokio::test]
async fn what_does_not_fit_the_context_is_refused_and_never_cut() {
    let door = open_door(Limits::default()).await;
    let length = json!("context_length_exceeded");
    let reply = ask(&door, question(&"1".repeat(600), json!({}))).await;
    assert_eq!(reply.refusal(), (400, json!("messages"), length.clone()));
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("512"), "{message}");

    // Digits are a token each: find the longest that fits, and one more.
    let used = ask(&door, question("1", json!({"max_tokens": 1})))
        .await
        .body["usage"]["prompt_tokens"]
        .as_u64()
        .expect("a count") as usize;
    let fits = "1".repeat(512 - used);
    let reply = ask(&door, question(&fits, json!({"max_tokens": 1}))).await;
    assert_eq!(reply.body["usage"]["prompt_tokens"], 511);
    let refusal = ask(&door, question(&fits, json!({"max_tokens": 2})))
        .await
        .refusal();
    assert_eq!(refusal, (400, json!("messages"), length.clone()));
    let refusal = ask(&door, question(&format!("{fits}1"), json!({})))
        .await
        .refusal();
    assert_eq!(refusal, (400, json!("messages"), length));
}

#[tokio::test]
async fn a_parameter_that_is_not_built_is_named() {
    let door = open_door(Limits::default()).await;
    for (name, value) in [("store", json!(true)), ("audio", json!({}))] {
        let reply = ask(&door, question("hello", json!({name: value}))).await;
        assert_eq!(
            reply.refusal(),
            (400, json!(name), json!("unsupported_parameter"))
        );
    }
}

#[tokio::test]
async fn a_full_queue_says_when_to_come_back() {
    let limits = Limits {
        slots_max: 1,
        queue_requests_max: 1,
        ..Limits::default()
    };
    let (book, door) = (book(), Door::with_limits(2, limits));
    let model = admitted("tiny", tiny_model(), None);
    door.open(model, book.clone()).await.expect("opens");
    // Both places are held for as long as the receipts wait to be opened.
    book.turns.forget_permits(usize::MAX);
    let held = [(); 2].map(|()| {
        let door = door.clone();
        let body = question("hello", json!({"max_tokens": 3}));
        reach::spawn(async move { ask(&door, body).await })
    });
    while door.free_places() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let reply = ask(&door, question("three", json!({}))).await;
    assert_eq!(reply.refusal(), (429, json!(null), json!("queue_full")));
    assert_eq!(reply.headers[header::RETRY_AFTER], "1");
    assert_eq!(reply.body["error"]["type"], "rate_limit_error");
    // Both that were taken are answered to the end.
    book.turns.add_permits(4);
    for answer in held {
        assert_eq!(answer.await.expect("no panic").status, 200);
    }
}

#[tokio::test]
async fn a_template_that_makes_an_empty_prompt_is_refused_and_the_server_lives() {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(tiny_model()).expect("the fixture is there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a file");
        std::fs::copy(&path, folder.path().join(name)).expect("the folder takes it");
    }
    let silent = json!({"eos_token": "<|im_end|>", "chat_template": "{{ '' }}"});
    let config = folder.path().join("tokenizer_config.json");
    std::fs::write(config, silent.to_string()).expect("the folder takes it");
    let door = open_door(Limits::default()).await;
    let silent = admitted("silent", folder.path().to_owned(), None);
    door.open(silent, book()).await.expect("opens");
    let reply = ask(&door, question("hello", json!({"model": "silent"}))).await;
    assert_eq!(reply.refusal(), (400, json!("messages"), json!(null)));
    assert_eq!(get(&door, "/health").await.status, 200);
}

#[tokio::test]
async fn a_wait_in_vain_says_so_and_when_to_come_back() {
    let door = super::disconnects::open_door(Limits {
        slots_max: 1,
        wait_ms_max: 1,
        ..Limits::default()
    })
    .await;
    let endless = json!({"stream": true, "ignore_eos": true});
    let mut running = Stream::begin(&door, question("hello", endless)).await;
    for _ in 0..2 {
        running.next().await.expect("a chunk");
    }
    let reply = ask(&door, question("hello", json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("queue_timeout")));
    assert_eq!(reply.headers[header::RETRY_AFTER], "10");
    // A stream has begun by then: it ends with the same as an event.
    let mut waiting = Stream::begin(&door, question("hello", json!({"stream": true}))).await;
    let mut last = String::new();
    while let Some(data) = waiting.next().await {
        last = data;
    }
    assert!(last.contains("\"queue_timeout\""), "{last}");
    running.next().await.expect("the running answer goes on");
}
