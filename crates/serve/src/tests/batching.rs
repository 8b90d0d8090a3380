//! Company changes nothing: an answer is the same alone, among others, and however
//! its prompt was cut.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::caller::{Stream, ask, open_door, question};
use crate::{Door, Limits};

/// Requests that differ in length, temperature and end.
fn requests() -> Vec<Value> {
    let texts = [
        "The battery lasts.",
        "It broke.",
        "",
        "The menu is not good, the sound is poor.",
        "ok 好",
    ];
    let request = |index: usize| {
        let text = texts[index % texts.len()].repeat(1 + index % 4);
        let temperature = [0.0, 0.7, 1.3][index % 3];
        let extra =
            json!({"max_tokens": 4 + 5 * (index % 7), "temperature": temperature, "seed": index});
        question(&text, extra)
    };
    (0..24).map(request).collect()
}

async fn one_by_one(door: &Door) -> Vec<String> {
    let mut answers = Vec::new();
    for request in requests() {
        answers.push(ask(door, request).await.text().to_owned());
    }
    answers
}

async fn all_at_once(door: &Door) -> Vec<String> {
    let replies = join_all(requests().into_iter().map(|request| ask(door, request))).await;
    replies
        .iter()
        .map(|reply| reply.text().to_owned())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_answers_equal_single_ones() {
    let expected = one_by_one(&open_door(Limits::default()).await).await;
    for slots_max in [1, 3, 16] {
        for prefill_tokens_max in [1, 7, 256] {
            let limits = Limits {
                slots_max,
                prefill_tokens_max,
                ..Limits::default()
            };
            let door = open_door(limits).await;
            let answers = all_at_once(&door).await;
            assert_eq!(
                answers, expected,
                "{slots_max} slots, {prefill_tokens_max} prompt tokens a step"
            );
        }
    }
}

#[tokio::test]
async fn a_full_memory_makes_requests_wait_not_fail() {
    let expected = one_by_one(&open_door(Limits::default()).await).await;
    let door = open_door(Limits {
        cache_bytes_max: 1,
        ..Limits::default()
    })
    .await;
    assert_eq!(all_at_once(&door).await, expected);
}

#[tokio::test]
async fn a_long_prompt_does_not_stall_a_running_answer() {
    let limits = Limits {
        prefill_tokens_max: 4,
        // A step is to be a token.
        guessed_tokens_max: 0,
        ..Limits::default()
    };
    let door = open_door(limits).await;
    let endless = json!({"stream": true, "ignore_eos": true});
    let mut running = Stream::begin(&door, question("hello", endless)).await;
    for _ in 0..2 {
        running.next().await.expect("a chunk");
    }
    // 400 prompt tokens are a hundred steps, each of which also moves the answer.
    let long = ask(&door, question(&"1".repeat(400), json!({"max_tokens": 1})));
    let count = async {
        let mut chunks = 0;
        while running.next().await.is_some() {
            chunks += 1;
            // Lets the other request be looked at after every chunk.
            tokio::task::yield_now().await;
        }
        chunks
    };
    let mut count = Box::pin(count);
    tokio::select! {
        biased;
        reply = long => assert!(reply.body["usage"]["prompt_tokens"].as_u64() > Some(400)),
        chunks = &mut count => panic!("the answer of {chunks} chunks ended before the long prompt was read"),
    }
    assert!(count.await > 10);
}
