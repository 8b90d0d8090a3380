//! What is chosen and what was held for likely: several answers, log-probabilities, biases.

use lathe_engine::Sampling;
use lathe_workshop::Door as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::caller::{PATIENCE, Reply, Stream, ask, open_door, question};
use super::fixture::{admitted, book, tiny_model};
use crate::scheduler::{Bias, Caller, Event, Job, Outlet, Penalties, Plan, Wanted};
use crate::{Door, Limits};

async fn answer(door: &Door, extra: Value) -> Reply {
    let reply = ask(door, question("The menu is not good.", extra)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply
}

fn contents(reply: &Reply) -> Vec<String> {
    let choices = reply.body["choices"].as_array().expect("choices");
    let content = |choice: &Value| choice["message"]["content"].as_str().map(str::to_owned);
    choices.iter().filter_map(content).collect()
}

/// The log-probabilities of a choice's tokens.
fn scores(reply: &Reply) -> &Vec<Value> {
    let scores = &reply.body["choices"][0]["logprobs"]["content"];
    scores.as_array().expect("scores")
}

#[tokio::test]
async fn several_answers_differ_and_the_first_is_the_one_that_comes_alone() {
    let (book, door) = (book(), Door::with_limits(2, Limits::default()));
    let tiny = admitted("tiny", tiny_model(), None);
    door.open(tiny, book.clone()).await.expect("opens");
    let sampled = json!({"max_tokens": 12, "temperature": 1.3, "seed": 5, "ignore_eos": true});
    let alone = answer(&door, sampled.clone()).await;
    let mut several = sampled;
    several["n"] = json!(4);
    let reply = answer(&door, several.clone()).await;
    let texts = contents(&reply);
    assert_eq!((texts.len(), &texts[0][..]), (4, alone.text()));
    for (one, other) in [(0, 1), (1, 2), (2, 3), (0, 3)] {
        assert_ne!(texts[one], texts[other]);
    }
    let usage = &reply.body["usage"];
    assert_eq!(usage["prompt_tokens"], alone.body["usage"]["prompt_tokens"]);
    assert_eq!(usage["completion_tokens"], 48);
    let receipts: Vec<Value> = book.closed()[1..].iter().map(|it| json!(it.0.id)).collect();
    let choices = reply.body["choices"].as_array().expect("choices");
    for choice in choices {
        assert!(receipts.contains(&choice["lathe"]["aigc"]["ProduceID"]));
    }
    assert_eq!(receipts.len(), 4);

    several["stream"] = json!(true);
    let body = question("The menu is not good.", several);
    let chunks = Stream::begin(&door, body).await.chunks().await;
    for (index, text) in texts.iter().enumerate() {
        let own = chunks.iter().map(|it| &it["choices"][0]);
        let own: Vec<&Value> = own.filter(|it| it["index"] == index).collect();
        assert_eq!(own[0]["delta"]["role"], "assistant");
        let said: String = own
            .iter()
            .filter_map(|it| it["delta"]["content"].as_str())
            .collect();
        assert_eq!(said, *text);
    }
    let with_usage = chunks.iter().filter(|chunk| chunk.get("usage").is_some());
    assert_eq!(with_usage.count(), 1, "on the last that ends");
}

#[tokio::test]
async fn a_prompt_is_computed_once_for_all_its_answers() {
    let door = open_door(Limits::default()).await;
    let served = door.inner().catalogue.find("tiny").expect("open");
    let prompt: Vec<u32> = (10..60).collect();
    let places = door.inner().scheduler.reserve(3).expect("places");
    let (to, mut events) = mpsc::unbounded_channel();
    for (answer, permit) in places.into_iter().enumerate() {
        door.inner().scheduler.submit(Job {
            served: served.clone(),
            caller: Caller::of("test"),
            prompt: prompt.clone(),
            plan: Plan {
                sampling: Sampling::greedy(),
                penalties: Penalties::default(),
                bias: Bias::default(),
                stop: Vec::new(),
                answer_tokens_max: 4,
                ignore_eos: true,
                priority: 0,
                grammar: None,
                continues: true,
                scores: Wanted::default(),
            },
            events: Outlet {
                answer,
                to: to.clone(),
            },
            permit,
        });
    }
    drop(to);
    let mut cached = [None; 3];
    let read = async {
        while let Some((answer, event)) = events.recv().await {
            if let Event::Finished(finished) = event {
                cached[answer] = Some(finished.cached_tokens);
            }
        }
    };
    tokio::time::timeout(PATIENCE, read).await.expect("in time");
    assert_eq!(cached, [Some(0), Some(49), Some(49)]);
}

#[tokio::test]
async fn answers_wait_for_nobody_where_nothing_is_kept() {
    let door = open_door(Limits {
        slots_max: 2,
        prefix_bytes_max: 0,
        ..Limits::default()
    })
    .await;
    let reply = answer(&door, json!({"n": 8, "max_tokens": 3, "ignore_eos": true})).await;
    let texts = contents(&reply);
    // Greedy answers are all the same one.
    assert!(texts.len() == 8 && texts.iter().all(|text| *text == texts[0]));
}

#[tokio::test]
async fn log_probabilities_are_told_for_every_token_and_change_no_answer() {
    let door = open_door(Limits::default()).await;
    let plain = answer(&door, json!({"max_tokens": 12})).await;
    assert!(plain.body["choices"][0]["logprobs"].is_null());
    let extra = json!({"max_tokens": 12, "logprobs": true, "top_logprobs": 20});
    let told = answer(&door, extra.clone()).await;
    assert_eq!(told.text(), plain.text());
    let usage = &told.body["usage"];
    assert_eq!(usage["completion_tokens"], scores(&told).len());
    for score in scores(&told) {
        let likeliest = score["top_logprobs"].as_array().expect("a list");
        assert_eq!(likeliest.len(), 20);
        let values: Vec<f64> = likeliest
            .iter()
            .map(|it| it["logprob"].as_f64().expect("a number"))
            .collect();
        assert!(values.is_sorted_by(|a, b| a >= b) && values[0] < 0.0);
        assert!(values.iter().map(|it| it.exp()).sum::<f64>() < 1.0);
        // A greedy answer holds the likeliest.
        assert_eq!(score["token"], likeliest[0]["token"]);
        assert_eq!(score["logprob"], likeliest[0]["logprob"]);
        let bytes = score["bytes"].as_array().expect("bytes");
        assert!(
            bytes
                .iter()
                .all(|byte| byte.as_u64().is_some_and(|byte| byte < 256))
        );
    }
    let mut streamed = extra;
    streamed["stream"] = json!(true);
    let body = question("The menu is not good.", streamed);
    let chunks = Stream::begin(&door, body).await.chunks().await;
    let told_in_pieces: Vec<&Value> = chunks
        .iter()
        .filter_map(|it| it["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .collect();
    assert!(told_in_pieces.into_iter().eq(scores(&told)));
}

#[tokio::test]
async fn log_probabilities_are_the_model_s_own_whatever_is_done_to_its_choice() {
    let door = open_door(Limits::default()).await;
    let first = |extra: Value| {
        let door = door.clone();
        async move {
            let reply = answer(&door, extra).await;
            scores(&reply)[0].clone()
        }
    };
    let greedy = json!({"max_tokens": 1, "logprobs": true, "top_logprobs": 5});
    let expected = first(greedy.clone()).await;
    let mut changed = greedy;
    changed["temperature"] = json!(2.0);
    changed["top_k"] = json!(3);
    changed["logit_bias"] = json!({"17": 100});
    let found = first(changed).await;
    assert_eq!(found["top_logprobs"], expected["top_logprobs"]);
    // The bias chose the token, but the model did not hold it for likely.
    assert!(found["logprob"].as_f64() < expected["logprob"].as_f64());
}

#[tokio::test]
async fn a_bias_forces_and_forbids_tokens() {
    let door = open_door(Limits::default()).await;
    let served = door.inner().catalogue.find("tiny").expect("open");
    let tokenizer = &served.model().tokenizer;
    let token = tokenizer.encode("great")[0];
    let forced = json!({"max_tokens": 5, "logit_bias": {token.to_string(): 100}});
    let reply = answer(&door, forced).await;
    assert_eq!(reply.text(), tokenizer.decode(&[token; 5], true));
    let free = answer(&door, json!({"max_tokens": 1, "logprobs": true})).await;
    let bytes = &scores(&free)[0]["bytes"];
    let vocab = served.model().config.vocab as u32;
    let chosen: serde_json::Map<String, Value> = (0..vocab)
        .filter(|id| json!(tokenizer.bytes_of(*id)) == *bytes)
        .map(|id| (id.to_string(), json!(-100)))
        .collect();
    assert!(!chosen.is_empty());
    let without = json!({"max_tokens": 1, "logprobs": true, "logit_bias": chosen});
    let reply = answer(&door, without).await;
    assert_ne!(scores(&reply)[0]["bytes"], *bytes);
}
