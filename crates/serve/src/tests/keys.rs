//! What a key allows: models, requests, tokens; what is charged, and how a refusal is said.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use lathe_evidence::Digest;
use lathe_workshop::token::{Allowance, Scope, TokenRow};
use lathe_workshop::{Caller, Token, Tokens};
use serde_json::{Value, json};
use tower::ServiceExt;

use super::caller::{PATIENCE, Reply, Stream, chat, open_door, question, send};
use super::disconnects;
use super::figures::becomes;
use crate::{Door, Limits};

/// A key of this allowance, as the guard would have found it.
pub(super) fn token(allowance: Allowance, models: &[&str]) -> Arc<Token> {
    let row = TokenRow {
        id: "id".to_owned(),
        name: "the shop".to_owned(),
        digest: Digest::of(b"key"),
        scopes: vec![Scope::Answer],
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        project: lathe_workshop::people::COMMON.to_owned(),
        allowance,
        created_ms: 1,
        expires_ms: None,
        revoked_ms: None,
        last_used_ms: None,
    };
    Tokens::of_rows([row]).find("key").expect("it was issued")
}

fn with(mut request: Request<Body>, token: &Arc<Token>) -> Request<Body> {
    request.extensions_mut().insert(Caller(token.clone()));
    request
}

pub(super) async fn ask(door: &Door, token: &Arc<Token>, body: Value) -> Reply {
    send(door.router(), with(chat(body), token)).await
}

fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    reply.headers.get(name).map(|it| it.to_str().expect("text"))
}

/// The tokens charged so far, once they are those expected: an answer is charged when its slot is
/// free, a moment after its last part.
pub(super) async fn charged(token: &Token, prompt: u64, answer: u64) {
    let even = async {
        loop {
            let today = token.today();
            if (today.prompt_tokens, today.answer_tokens) == (prompt, answer) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, even).await;
    assert!(
        waited.is_ok(),
        "{:?}, not {prompt} and {answer}",
        token.today()
    );
}

#[tokio::test]
async fn a_key_hears_of_no_model_that_it_may_not_ask() {
    let door = open_door(Limits::default()).await;
    let asks_for_gone = |token: Arc<Token>| {
        let door = door.clone();
        async move { ask(&door, &token, question("hello", json!({"model": "gone"}))).await }
    };
    let narrow = asks_for_gone(token(Allowance::default(), &["gone"])).await;
    assert_eq!(narrow.refusal().0, 404);
    assert!(!narrow.body.to_string().contains("tiny"), "{}", narrow.body);
    let wide = asks_for_gone(token(Allowance::default(), &[])).await;
    assert!(wide.body.to_string().contains("tiny"), "{}", wide.body);
}

fn five() -> Value {
    question("hello", json!({"max_tokens": 5, "ignore_eos": true}))
}

#[tokio::test]
async fn requests_a_minute_are_held_and_said_as_openai_says_it() {
    let door = open_door(Limits::default()).await;
    let token = token(
        Allowance {
            requests_per_minute: Some(2),
            ..Allowance::default()
        },
        &[],
    );
    for left in ["1", "0"] {
        let reply = ask(&door, &token, five()).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(header(&reply, "x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(header(&reply, "x-ratelimit-remaining-requests"), Some(left));
        assert_eq!(header(&reply, "x-ratelimit-limit-tokens"), None);
    }
    let reply = ask(&door, &token, five()).await;
    let code = json!("rate_limit_exceeded");
    assert_eq!(reply.refusal(), (429, json!(null), code));
    assert_eq!(reply.body["error"]["type"], "requests");
    let after: u64 = header(&reply, "retry-after")
        .and_then(|seconds| seconds.parse().ok())
        .expect("seconds");
    assert!((1..=30).contains(&after), "{after}");
    assert!(header(&reply, "x-ratelimit-reset-requests").is_some());
    // Looking at what there is costs nothing.
    let list = Request::get("/v1/models")
        .body(Body::empty())
        .expect("a request");
    assert_eq!(send(door.router(), with(list, &token)).await.status, 200);
}

#[tokio::test]
async fn what_is_charged_is_what_the_usage_says() {
    let door = open_door(Limits::default()).await;
    let token = token(Allowance::default(), &[]);
    let mut sums = (0, 0);
    for extra in [
        json!({"max_tokens": 5, "ignore_eos": true}),
        json!({"max_tokens": 1}),
        json!({"max_tokens": 40}),
    ] {
        let reply = ask(&door, &token, question("hello", extra)).await;
        let usage = &reply.body["usage"];
        sums.0 += usage["prompt_tokens"].as_u64().expect("a count");
        sums.1 += usage["completion_tokens"].as_u64().expect("a count");
        charged(&token, sums.0, sums.1).await;
    }
    // What is refused before it is read costs no token.
    let reply = ask(&door, &token, question(&"1".repeat(600), json!({}))).await;
    assert_eq!(reply.status, 400);
    charged(&token, sums.0, sums.1).await;
    assert_eq!(token.today().requests, 4);
}

#[tokio::test]
async fn an_answer_may_overdraw_the_minute_and_the_next_request_waits_for_it() {
    let door = open_door(Limits::default()).await;
    let free = token(Allowance::default(), &[]);
    let reply = ask(&door, &free, five()).await;
    let prompt = reply.body["usage"]["prompt_tokens"]
        .as_u64()
        .expect("a count");
    let limit = u32::try_from(prompt + 2).expect("a short prompt");
    let allowance = Allowance {
        tokens_per_minute: Some(limit),
        ..Allowance::default()
    };
    let token = token(allowance, &[]);
    assert_eq!(ask(&door, &token, five()).await.status, 200);
    charged(&token, prompt, 5).await;
    let reply = ask(&door, &token, five()).await;
    let code = json!("rate_limit_exceeded");
    assert_eq!(reply.refusal(), (429, json!(null), code.clone()));
    assert_eq!(reply.body["error"]["type"], "tokens");
    assert_eq!(header(&reply, "x-ratelimit-remaining-tokens"), Some("0"));
    assert!(header(&reply, "retry-after").is_some());
    // More than a minute ever gives: waiting would not help, and the client is told so.
    let long = question(&"1".repeat(200), json!({"max_tokens": 1}));
    let fresh = self::token(allowance, &[]);
    let reply = ask(&door, &fresh, long).await;
    assert_eq!(reply.refusal(), (429, json!(null), code));
    assert_eq!(header(&reply, "x-should-retry"), Some("false"));
    assert_eq!(header(&reply, "retry-after"), None);
    charged(&fresh, 0, 0).await;
}

#[tokio::test]
async fn a_day_that_is_used_up_is_said_to_be() {
    let door = open_door(Limits::default()).await;
    let free = token(Allowance::default(), &[]);
    let reply = ask(&door, &free, five()).await;
    let prompt = reply.body["usage"]["prompt_tokens"]
        .as_u64()
        .expect("a count");
    let allowance = Allowance {
        tokens_per_day: Some(prompt + 4),
        ..Allowance::default()
    };
    let token = token(allowance, &[]);
    assert_eq!(ask(&door, &token, five()).await.status, 200);
    let reply = ask(&door, &token, five()).await;
    let code = json!("insufficient_quota");
    assert_eq!(reply.refusal(), (429, json!(null), code.clone()));
    assert_eq!(reply.body["error"]["type"], code);
    assert_eq!(header(&reply, "x-should-retry"), Some("false"));
}

#[tokio::test]
async fn a_caller_who_hangs_up_pays_for_what_was_made_and_no_more() {
    let door = disconnects::narrow_door().await;
    let token = token(Allowance::default(), &[]);
    let body = disconnects::endless(json!({"stream": true}));
    let response = door
        .router()
        .oneshot(with(chat(body), &token))
        .await
        .expect("the router never fails");
    assert_eq!(response.status(), 200);
    becomes(&door, "vllm:num_requests_running", 1.0).await;
    drop(response);
    disconnects::until_free(&door).await;
    let paid = token.today();
    // An answer to its end would be 131,072 tokens with its prompt.
    assert!(paid.answer_tokens < 100_000, "{paid:?}");
    assert!(paid.prompt_tokens > 0, "{paid:?}");
}

#[tokio::test]
async fn a_prompt_that_was_never_read_is_given_back() {
    let door = disconnects::open_door(Limits {
        slots_max: 1,
        queue_requests_max: 1,
        ..Limits::default()
    })
    .await;
    let running = Stream::begin(&door, disconnects::endless(json!({"stream": true}))).await;
    let token = token(Allowance::default(), &[]);
    let body = disconnects::endless(json!({"stream": true}));
    let waiting = door.router().oneshot(with(chat(body), &token)).await;
    assert!(token.today().prompt_tokens > 0);
    drop(waiting);
    charged(&token, 0, 0).await;
    drop(running);
}

#[tokio::test]
async fn a_key_for_other_models_neither_asks_nor_sees_this_one() {
    let door = open_door(Limits::default()).await;
    let token = token(Allowance::default(), &["support"]);
    let reply = ask(&door, &token, five()).await;
    let code = json!("model_not_allowed");
    assert_eq!(reply.refusal(), (403, json!("model"), code.clone()));
    let get = |path: &str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        send(door.router(), with(request, &token))
    };
    assert_eq!(get("/v1/models").await.body["data"], json!([]));
    assert_eq!(get("/v1/models/tiny").await.refusal().2, code);
}
