//! What requests begin with is computed once, and that changes no answer.

use serde_json::{Value, json};

use super::caller::{Reply, ask, open_door};
use crate::{Door, Limits};

fn conversation(messages: &[(&str, &str)]) -> Value {
    let message = |(role, content): &(&str, &str)| json!({"role": role, "content": content});
    json!({
        "model": "tiny",
        "messages": messages.iter().map(message).collect::<Vec<_>>(),
        "max_tokens": 16,
        "ignore_eos": true,
    })
}

fn cached(reply: &Reply) -> u64 {
    let details = &reply.body["usage"]["prompt_tokens_details"];
    details["cached_tokens"].as_u64().expect("a count")
}

async fn forgetful_door() -> Door {
    open_door(Limits {
        prefix_bytes_max: 0,
        ..Limits::default()
    })
    .await
}

#[tokio::test]
async fn a_shared_system_prompt_is_computed_once() {
    let system = "Say how the customer feels about the product. ".repeat(5);
    let (door, forgetful) = (open_door(Limits::default()).await, forgetful_door().await);
    for (index, question) in ["It broke.", "It works.", "The sound is poor."]
        .iter()
        .enumerate()
    {
        let body = conversation(&[("system", &system), ("user", question)]);
        let reply = ask(&door, body.clone()).await;
        let afresh = ask(&forgetful, body).await;
        assert_eq!(reply.text(), afresh.text());
        assert_eq!(cached(&afresh), 0);
        assert_eq!(cached(&reply) > 40, index > 0, "{}", reply.body["usage"]);
    }
}

#[tokio::test]
async fn the_same_prompt_again_computes_its_last_token_only() {
    let door = open_door(Limits::default()).await;
    let body = conversation(&[("user", "The camera is great and the battery lasts long.")]);
    let first = ask(&door, body.clone()).await;
    let second = ask(&door, body).await;
    assert_eq!(first.text(), second.text());
    let prompt_tokens = second.body["usage"]["prompt_tokens"]
        .as_u64()
        .expect("a count");
    assert_eq!(cached(&second), prompt_tokens - 1);
}

#[tokio::test]
async fn a_conversation_goes_on_from_where_it_was() {
    let (door, forgetful) = (open_door(Limits::default()).await, forgetful_door().await);
    let first = ask(&door, conversation(&[("user", "The menu is not good.")])).await;
    let turns = [
        ("user", "The menu is not good."),
        ("assistant", first.text()),
        ("user", "Why?"),
    ];
    let reply = ask(&door, conversation(&turns)).await;
    assert_eq!(
        reply.text(),
        ask(&forgetful, conversation(&turns)).await.text()
    );
    assert!(
        cached(&reply)
            >= first.body["usage"]["prompt_tokens"]
                .as_u64()
                .expect("a count")
    );
}

#[tokio::test]
async fn a_small_memory_forgets_and_answers_the_same() {
    // A block of the tiny model's two layers takes some 16 KiB: room for a few.
    let small = open_door(Limits {
        prefix_bytes_max: 100_000,
        ..Limits::default()
    })
    .await;
    let forgetful = forgetful_door().await;
    for index in 0..12 {
        let question =
            format!("{} {index}", ["It broke.", "It works."][index % 2]).repeat(1 + index);
        let body = conversation(&[("user", &question)]);
        assert_eq!(
            ask(&small, body.clone()).await.text(),
            ask(&forgetful, body).await.text()
        );
    }
}
