//! Whole answers: their shape, where they end, what the parameters do.

use lathe_engine::{GenerateSpec, LoadOptions, Message, Model, generate_greedy};
use lathe_kernel::Pool;
use serde_json::json;

use super::caller::{ask, open_door, question};
use super::fixture::tiny_model;
use crate::Limits;

/// What the engine's own greedy generation says: the path evaluation takes.
fn evaluated(text: &str, tokens_max: usize) -> (usize, Vec<u32>, String) {
    let model = Model::load(&tiny_model(), LoadOptions::default()).expect("the tiny model loads");
    let message = Message::new("user", text);
    let template = model
        .template
        .as_ref()
        .expect("the tiny model has a template");
    let prompt = model
        .tokenizer
        .encode(&template.render(&[message], true).expect("renders"));
    let spec = GenerateSpec {
        tokens_max,
        stop: model.config.eos.clone(),
        batch_max: 1,
    };
    let prompt_tokens = prompt.len();
    let pool = Pool::new(1);
    let mut answers = generate_greedy(&model, &pool, None, &[prompt], &spec, &mut |_| {});
    let answer = answers.remove(0);
    let text = model.tokenizer.decode(&answer, true);
    (prompt_tokens, answer, text)
}

#[tokio::test]
async fn the_answer_is_the_one_that_evaluation_measures() {
    let door = open_door(Limits::default()).await;
    for asked in ["The camera is great.", "It broke after a week. 坏了 🔋", ""] {
        let (prompt_tokens, tokens, text) = evaluated(asked, 24);
        let reply = ask(&door, question(asked, json!({"max_tokens": 24}))).await;
        assert_eq!(reply.text(), text);
        let usage = &reply.body["usage"];
        assert_eq!(usage["prompt_tokens"], prompt_tokens);
        let answer_tokens = usage["completion_tokens"].as_u64().expect("a count") as usize;
        // The end token, which evaluation does not keep, is counted.
        match reply.body["choices"][0]["finish_reason"].as_str() {
            Some("length") => assert_eq!(answer_tokens, 24),
            Some("stop") => assert_eq!(answer_tokens, tokens.len() + 1),
            other => panic!("{other:?}"),
        }
        assert_eq!(usage["total_tokens"], prompt_tokens + answer_tokens);
    }
}

#[tokio::test]
async fn has_the_shape_that_clients_expect() {
    let door = open_door(Limits::default()).await;
    let reply = ask(
        &door,
        question("hello", json!({"max_completion_tokens": 3})),
    )
    .await;
    assert!(
        reply.body["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("chatcmpl-"))
    );
    assert_eq!(reply.body["object"], "chat.completion");
    assert_eq!(reply.body["model"], "tiny");
    assert!(
        reply.body["created"]
            .as_u64()
            .is_some_and(|created| created > 1_700_000_000)
    );
    let choice = &reply.body["choices"][0];
    assert_eq!(choice["index"], 0);
    assert_eq!(choice["message"]["role"], "assistant");
    assert_eq!(choice["finish_reason"], "length");
}

#[tokio::test]
async fn ends_with_the_context_when_no_bound_is_given() {
    let door = open_door(Limits::default()).await;
    let reply = ask(&door, question("hello", json!({"ignore_eos": true}))).await;
    assert_eq!(reply.body["usage"]["total_tokens"], 512);
    assert_eq!(reply.body["choices"][0]["finish_reason"], "length");
}

#[tokio::test]
async fn a_seed_fixes_the_answer_and_without_one_answers_differ() {
    let door = open_door(Limits::default()).await;
    let sampled = |extra| {
        let mut body = question("hello", json!({"temperature": 1.5, "max_tokens": 24}));
        body.as_object_mut().expect("an object").extend(extra);
        ask(&door, body)
    };
    let seeded = || json!({"seed": 7}).as_object().expect("an object").clone();
    let first = sampled(seeded()).await.text().to_owned();
    assert_eq!(sampled(seeded()).await.text(), first);
    let unseeded = || serde_json::Map::new();
    let one = sampled(unseeded()).await.text().to_owned();
    assert_ne!(sampled(unseeded()).await.text(), one);
}

#[tokio::test]
async fn one_candidate_is_greedy_at_any_temperature() {
    let door = open_door(Limits::default()).await;
    let greedy = ask(&door, question("hello", json!({"max_tokens": 16}))).await;
    let narrow = json!({"max_tokens": 16, "temperature": 2.0, "top_k": 1});
    assert_eq!(
        ask(&door, question("hello", narrow)).await.text(),
        greedy.text()
    );
}

#[tokio::test]
async fn penalties_make_the_answer_repeat_less() {
    let door = open_door(Limits::default()).await;
    let extra = json!({"max_tokens": 64, "ignore_eos": true, "frequency_penalty": -2.0});
    let repeating = ask(&door, question("hello", extra)).await;
    let extra = json!({"max_tokens": 64, "ignore_eos": true, "frequency_penalty": 2.0, "presence_penalty": 2.0});
    let varied = ask(&door, question("hello", extra)).await;
    let distinct = |text: &str| text.chars().collect::<std::collections::HashSet<_>>().len();
    assert!(distinct(varied.text()) > distinct(repeating.text()));
}
