//! What users of other servers suffered from, each by its name and held here by a test of the whole way.
//! Numbers are those of the issues reported against vLLM, SGLang and llama.cpp.

use std::time::Duration;

use serde_json::json;

use super::caller::{Stream, ask, get, open_door, question};
use super::disconnects;
use super::figures::{becomes, text, value};
use super::health::kill_scheduler;
use super::tools;
use crate::Limits;
use crate::scheduler::Phase;
use lathe_workshop::people::reach;

/// vLLM #39863, #42363: the engine died, and /health went on saying 200.
#[tokio::test]
async fn health_is_not_200_while_the_engine_is_dead() {
    let door = open_door(Limits::default()).await;
    for path in ["/health", "/health/ready", "/health/live"] {
        assert_eq!(get(&door, path).await.status, 200, "{path}");
    }
    let _listening = kill_scheduler(&door);
    while !matches!(door.inner().scheduler.phase(), Phase::Ended(_)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for path in ["/health", "/health/ready"] {
        let reply = get(&door, path).await;
        assert_eq!(reply.status, 503, "{path}: {}", reply.body);
    }
    let reply = get(&door, "/health/live").await;
    assert_eq!(reply.status, 503, "only a restart helps: {}", reply.body);
    // And the requests it held were told so and are held no more.
    becomes(&door, "vllm:num_requests_running", 0.0).await;
}

/// vLLM #54947: the caller was gone, and tokens were still made for them.
#[tokio::test]
async fn nothing_is_generated_after_a_disconnect() {
    let door = disconnects::narrow_door().await;
    let body = disconnects::endless(json!({"stream": true}));
    let mut stream = Stream::begin(&door, body).await;
    for _ in 0..3 {
        stream.next().await.expect("a chunk");
    }
    drop(stream);
    becomes(&door, "vllm:num_requests_running", 0.0).await;
    let made = "vllm:generation_tokens_total{model_name=\"tiny\"}";
    let before = value(&text(&door).await, made);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(value(&text(&door).await, made), before);
    assert!(before > Some(0.0) && before < Some(100_000.0), "{before:?}");
}

/// Ollama: what did not fit the context was cut from the prompt, and nobody was told.
#[tokio::test]
async fn a_prompt_that_is_too_long_is_400_and_never_cut() {
    let door = open_door(Limits::default()).await;
    let used = async |digits: usize| {
        let body = question(&"1".repeat(digits), json!({"max_tokens": 1}));
        let reply = ask(&door, body).await;
        (reply.status, reply.body["usage"]["prompt_tokens"].as_u64())
    };
    // Digits are a token each: every one of them is in the prompt, up to the last that fits.
    let (_, one) = used(1).await;
    let rest = usize::try_from(one.expect("a count")).expect("small") - 1;
    assert_eq!(used(511 - rest).await, (200, Some(511)));
    assert_eq!(used(512 - rest).await, (400, None));
    assert_eq!(used(100_000).await, (400, None));
}

/// llama.cpp #28261: what the model meant as a call of a tool reached its caller as text.
#[tokio::test]
async fn a_call_of_a_tool_is_never_told_as_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, _book) = tools::door_with_tools(folder.path()).await;
    let call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let reply = ask(&door, tools::answered(call, json!({}))).await;
    let message = &reply.body["choices"][0]["message"];
    assert_eq!(message["content"], json!(null), "{}", reply.body);
    assert_eq!(message["tool_calls"][0]["function"]["name"], "now");
    let stream = Stream::begin(&door, tools::answered(call, json!({"stream": true}))).await;
    let chunks = stream.chunks().await;
    let said = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), "");
    // A template that has no place for tools is a refusal, not an answer without them.
    let plain = open_door(Limits::default()).await;
    let refused = ask(&plain, question("now?", json!({"tools": tools::now()}))).await;
    let code = json!("unsupported_parameter");
    assert_eq!(refused.refusal(), (400, json!("tools"), code));
}

/// SGLang #20010, #6914: places and memory of requests that went wrong were never given back.
#[tokio::test]
async fn nothing_is_held_for_requests_that_are_gone() {
    let limits = Limits {
        slots_max: 4,
        queue_requests_max: 60,
        ..Limits::default()
    };
    let all = limits.requests_max();
    let door = disconnects::open_door(limits).await;
    for _ in 0..3 {
        let mut streams = Vec::new();
        for _ in 0..all {
            let body = disconnects::endless(json!({"stream": true}));
            streams.push(Stream::begin(&door, body).await);
        }
        drop(streams);
        for series in ["vllm:num_requests_running", "vllm:num_requests_waiting"] {
            becomes(&door, series, 0.0).await;
        }
        becomes(&door, "vllm:kv_cache_usage_perc", 0.0).await;
        while door.free_places() < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Shutting down cut answers off, or hung on them: they end whole within the deadline, and what does
/// not is told so.
#[tokio::test]
async fn shutting_down_neither_cuts_an_answer_nor_waits_for_ever() {
    let door = disconnects::open_door(Limits::default()).await;
    let short = question(
        "hello",
        json!({"stream": true, "max_tokens": 5, "ignore_eos": true}),
    );
    let whole = Stream::begin(&door, short).await;
    let mut endless = Stream::begin(&door, disconnects::endless(json!({"stream": true}))).await;
    let reading = reach::spawn(whole.chunks());
    let stopping = reach::spawn({
        let door = door.clone();
        async move { door.shut_down(Duration::from_millis(500)).await }
    });
    let mut last = String::new();
    while let Some(data) = endless.next().await {
        last = data;
    }
    assert!(last.contains("stopped before the answer ended"), "{last}");
    stopping.await.expect("it stops");
    let chunks = reading.await.expect("the short one ends whole");
    let ended = chunks
        .iter()
        .any(|it| it["choices"][0]["finish_reason"] == "length");
    assert!(ended, "{chunks:?}");
}
