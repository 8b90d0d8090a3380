//! `/health` says 200 only while tokens are really decoded.

use std::time::Duration;

use serde_json::json;
use tokio::sync::mpsc;

use super::caller::{Stream, ask, get, open_door, question};
use super::disconnects;
use crate::scheduler::{Bias, Caller, Event, Job, Outlet, Penalties, Plan, Wanted};
use crate::{Door, Limits};
use lathe_workshop::people::reach;

#[tokio::test]
async fn starts_then_decodes_on_every_model() {
    let door = Door::new(1);
    let reply = get(&door, "/health").await;
    assert_eq!(
        (reply.status, &reply.body["status"]),
        (503, &json!("starting"))
    );
    let door = open_door(Limits::default()).await;
    let reply = get(&door, "/health").await;
    assert_eq!((reply.status, &reply.body["status"]), (200, &json!("ok")));
    assert_eq!(reply.body["models"]["tiny"]["ok"], true);
    assert!(
        reply.body["models"]["tiny"]["token_ms"]
            .as_f64()
            .is_some_and(|ms| ms > 0.0)
    );
}

#[tokio::test]
async fn a_dead_scheduler_is_said_everywhere() {
    let door = disconnects::open_door(Limits::default()).await;
    let mut cut = Stream::begin(
        &door,
        question("hello", json!({"stream": true, "ignore_eos": true})),
    )
    .await;
    cut.next().await.expect("the first chunk");
    let _listening = kill_scheduler(&door);

    let mut last = String::new();
    while let Some(data) = cut.next().await {
        last = data;
    }
    assert!(
        last.contains("\"error\"") && last.contains("the scheduler died"),
        "{last}"
    );

    let reply = get(&door, "/health").await;
    assert_eq!(
        (reply.status, &reply.body["status"]),
        (503, &json!("failing"))
    );
    let reason = reply.body["reason"].as_str().expect("a reason");
    assert!(reason.contains("the scheduler died"), "{reason}");

    let reply = ask(&door, question("hello", json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("unavailable")));
}

/// Sends a job no request could make: a token that the model does not have, at which
/// the forward pass panics. Its events are to be kept, or it is dropped unread.
pub(super) fn kill_scheduler(door: &Door) -> mpsc::UnboundedReceiver<(usize, Event)> {
    let inner = door.inner();
    let served = inner.catalogue.find("tiny").expect("tiny is open");
    let plan = Plan {
        sampling: lathe_engine::Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
        },
        penalties: Penalties::default(),
        bias: Bias::default(),
        stop: Vec::new(),
        answer_tokens_max: 1,
        ignore_eos: false,
        priority: 0,
        grammar: None,
        continues: false,
        scores: Wanted::default(),
    };
    let (to, received) = mpsc::unbounded_channel();
    let permit = inner.scheduler.reserve(1).expect("a place").remove(0);
    inner.scheduler.submit(Job {
        served,
        caller: Caller::of("test"),
        prompt: vec![u32::MAX],
        plan,
        events: Outlet { answer: 0, to },
        permit,
    });
    received
}

#[tokio::test]
async fn shutting_down_ends_what_runs_and_takes_nothing_new() {
    let door = open_door(Limits::default()).await;
    let running = Stream::begin(
        &door,
        question("hello", json!({"stream": true, "max_tokens": 50})),
    )
    .await;
    let stopping = reach::spawn({
        let door = door.clone();
        async move { door.shut_down(Duration::from_secs(30)).await }
    });
    assert!(running.chunks().await.len() > 2);
    stopping.await.expect("it stops");
    let reply = ask(&door, question("hello", json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("unavailable")));
    assert_eq!(get(&door, "/health").await.status, 503);
}

#[tokio::test]
async fn at_the_deadline_running_answers_end_with_an_error() {
    let limits = Limits {
        prefill_tokens_max: 1,
        ..Limits::default()
    };
    let door = open_door(limits).await;
    let body = question(
        &"1".repeat(400),
        json!({"stream": true, "ignore_eos": true}),
    );
    let mut running = Stream::begin(&door, body).await;
    door.shut_down(Duration::ZERO).await;
    let mut last = String::new();
    while let Some(data) = running.next().await {
        last = data;
    }
    assert!(last.contains("stopped before the answer ended"), "{last}");
}
