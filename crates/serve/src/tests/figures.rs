//! `/metrics` says what happened, and everything is even again once nobody asks.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde_json::json;
use tower::ServiceExt;

use super::caller::{PATIENCE, Stream, ask, chat, open_door, question};
use super::disconnects;
use crate::{Door, Limits};

/// The text that Prometheus would read.
pub(super) async fn text(door: &Door) -> String {
    let request = Request::get("/metrics").body(Body::empty());
    let response = door
        .observed(door.router())
        .oneshot(request.expect("a request"))
        .await
        .expect("the router never fails");
    let kind = &response.headers()[header::CONTENT_TYPE];
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let bytes = to_bytes(response.into_body(), 1 << 20).await;
    String::from_utf8(bytes.expect("a body").to_vec()).expect("text")
}

/// The value of a series, by its whole name with labels; none where it is not there.
pub(super) fn value(text: &str, series: &str) -> Option<f64> {
    let mut lines = text.lines();
    let rest = lines.find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    rest.map(|value| value.parse().expect("a number"))
}

/// Waits until a series has this value.
pub(super) async fn becomes(door: &Door, series: &str, expected: f64) {
    let even = async {
        while value(&text(door).await, series) != Some(expected) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, even).await;
    assert!(
        waited.is_ok(),
        "{series}: not {expected}\n{}",
        text(door).await
    );
}

#[tokio::test]
async fn answers_are_counted_token_by_token() {
    let door = open_door(Limits::default()).await;
    let body = question("hello", json!({"max_tokens": 5, "ignore_eos": true}));
    let first = ask(&door, body.clone()).await;
    let second = ask(&door, body).await;
    let usage = |name: &str| {
        let of = |reply: &super::caller::Reply| reply.body["usage"][name].as_f64();
        of(&first).expect("a count") + of(&second).expect("a count")
    };
    let cached = second.body["usage"]["prompt_tokens_details"]["cached_tokens"].as_f64();
    let ended = "vllm:request_success_total{model_name=\"tiny\",finished_reason=\"length\"}";
    becomes(&door, ended, 2.0).await;
    let text = text(&door).await;
    for (series, expected) in [
        ("vllm:prompt_tokens_total", usage("prompt_tokens")),
        ("vllm:generation_tokens_total", 10.0),
        ("vllm:prefix_cache_queries_total", usage("prompt_tokens")),
        ("vllm:prefix_cache_hits_total", cached.expect("a count")),
        ("vllm:time_to_first_token_seconds_count", 2.0),
        ("vllm:inter_token_latency_seconds_count", 8.0),
        ("vllm:e2e_request_latency_seconds_count", 2.0),
        ("lathe_model_requests_running", 0.0),
        ("lathe_model_requests_waiting", 0.0),
    ] {
        let series = format!("{series}{{model_name=\"tiny\"}}");
        assert_eq!(value(&text, &series), Some(expected), "{series}\n{text}");
    }
    assert!(cached > Some(0.0), "the second begins as the first did");
    assert_eq!(value(&text, "vllm:kv_cache_usage_perc"), Some(0.0));
}

#[tokio::test]
async fn what_runs_and_what_waits_is_told_apart_and_ends_even() {
    let door = disconnects::open_door(Limits {
        slots_max: 1,
        queue_requests_max: 2,
        ..Limits::default()
    })
    .await;
    let endless = || disconnects::endless(json!({"stream": true}));
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::begin(&door, endless()).await);
    }
    becomes(&door, "vllm:num_requests_running", 1.0).await;
    becomes(&door, "vllm:num_requests_waiting", 2.0).await;
    let held = value(&text(&door).await, "vllm:kv_cache_usage_perc").expect("a share");
    assert!(held > 0.0 && held <= 1.0, "{held}");
    drop(streams);
    for series in ["vllm:num_requests_running", "vllm:num_requests_waiting"] {
        becomes(&door, series, 0.0).await;
    }
    becomes(&door, "vllm:kv_cache_usage_perc", 0.0).await;
    let aborted = "lathe_requests_aborted_total{model_name=\"tiny\"}";
    becomes(&door, aborted, 3.0).await;
}

#[tokio::test]
async fn requests_are_counted_by_route_and_status_and_never_by_what_a_caller_made_up() {
    let door = open_door(Limits::default()).await;
    let app = door.observed(door.router());
    let send = async |request: Request<Body>| {
        let response = app.clone().oneshot(request).await;
        response.expect("the router never fails").status().as_u16()
    };
    let get = |path: &str| Request::get(path).body(Body::empty()).expect("a request");
    let body = question("hello", json!({"max_tokens": 1}));
    assert_eq!(send(chat(body)).await, 200);
    assert_eq!(send(chat(json!({"model": "tiny"}))).await, 400);
    assert_eq!(send(get("/v1/models")).await, 200);
    for path in ["/v1/a", "/v1/b", "/nothing/here"] {
        assert_eq!(send(get(path)).await, 404);
    }
    let text = text(&door).await;
    let counted = |method: &str, path: &str, code: u16| {
        let labels = format!("{{method=\"{method}\",path=\"{path}\",code=\"{code}\"}}");
        value(&text, &format!("lathe_http_requests_total{labels}"))
    };
    let path = "/v1/chat/completions";
    assert_eq!(counted("POST", path, 200), Some(1.0), "{text}");
    assert_eq!(counted("POST", path, 400), Some(1.0), "{text}");
    assert_eq!(counted("GET", "/v1/models", 200), Some(1.0), "{text}");
    assert_eq!(counted("GET", "/v1/{*path}", 404), Some(2.0), "{text}");
    assert!(
        !text.contains("/v1/a") && !text.contains("nothing"),
        "{text}"
    );
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let door = open_door(Limits::default()).await;
    let id_of = async |given: Option<&str>| {
        let mut request = Request::get("/v1/models");
        if let Some(id) = given {
            request = request.header("x-request-id", id);
        }
        let request = request.body(Body::empty()).expect("a request");
        let response = door.observed(door.router()).oneshot(request).await;
        let response = response.expect("the router never fails");
        let id = response.headers()["x-request-id"].to_str();
        id.expect("text").to_owned()
    };
    assert_eq!(id_of(Some("order-17.a")).await, "order-17.a");
    let made = id_of(None).await;
    assert!(!made.is_empty());
    assert_ne!(made, id_of(None).await);
    assert_ne!(id_of(Some("a b")).await, "a b");
}

#[tokio::test]
async fn the_adapters_that_are_loaded_are_named_for_a_gateway() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = super::tuned::door_with_two_adapters(folder.path()).await;
    let text = text(&door).await;
    let line = text
        .lines()
        .find(|line| line.starts_with("vllm:lora_requests_info{"));
    let (labels, seconds) = line
        .and_then(|line| line.rsplit_once(' '))
        .expect("the line and its value");
    assert_eq!(
        labels,
        "vllm:lora_requests_info{max_lora=\"32\",running_lora_adapters=\"one,two\",\
         waiting_lora_adapters=\"\"}"
    );
    assert!(seconds.parse().is_ok_and(|it: f64| it > 1e9), "{seconds}");
}
