//! A caller who hangs up frees what it held, wherever its request stood.

use std::sync::Arc;
use std::time::Duration;

use lathe_evidence::receipt::Ended;
use lathe_workshop::Door as _;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::caller::{PATIENCE, Stream, ask, chat, question};
use super::fixture::{MemoryBook, admitted, book, tiny_model};
use crate::{Door, Limits};

/// A door to the tiny model with a context that no answer fills before its caller hangs up, however
/// fast the machine is.
pub(super) async fn open_door(limits: Limits) -> Door {
    open_door_with(limits, book()).await
}

/// The same, its receipts in a book of the test's.
pub(super) async fn open_door_with(limits: Limits, book: Arc<MemoryBook>) -> Door {
    let folder = tempfile::tempdir().expect("a folder");
    for entry in std::fs::read_dir(tiny_model()).expect("the fixture is there") {
        let path = entry.expect("a file").path();
        let to = folder.path().join(path.file_name().expect("a name"));
        std::fs::copy(&path, to).expect("copied");
    }
    let config = folder.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("reads");
    let longer = text.replace(
        "\"max_position_embeddings\": 512",
        "\"max_position_embeddings\": 131072",
    );
    assert_ne!(text, longer, "the fixture's context");
    std::fs::write(&config, longer).expect("writes");
    let door = Door::with_limits(2, limits);
    door.open(admitted("tiny", folder.path().to_path_buf(), None), book)
        .await
        .expect("the tiny model opens");
    door
}

/// One request at a time, nobody waits: a second is taken only once the first is gone.
pub(super) async fn narrow_door() -> Door {
    open_door(Limits {
        slots_max: 1,
        queue_requests_max: 0,
        ..Limits::default()
    })
    .await
}

pub(super) fn endless(extra: Value) -> Value {
    let mut body = question("hello", json!({"ignore_eos": true}));
    body.as_object_mut()
        .expect("an object")
        .extend(extra.as_object().expect("an object").clone());
    body
}

/// Asks until there is a place again.
pub(super) async fn until_free(door: &Door) {
    let free = async {
        while ask(door, question("hello", json!({"max_tokens": 1})))
            .await
            .status
            == 429
        {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("the place is free again");
}

#[tokio::test]
async fn a_dropped_stream_frees_its_slot_long_before_its_end() {
    let door = narrow_door().await;
    let mut stream = Stream::begin(&door, endless(json!({"stream": true}))).await;
    for _ in 0..3 {
        stream.next().await.expect("a chunk");
    }
    assert_eq!(door.free_places(), 0);
    drop(stream);
    until_free(&door).await;
}

#[tokio::test]
async fn a_dropped_plain_request_frees_its_slot() {
    let door = narrow_door().await;
    let request = door.router().oneshot(chat(endless(json!({}))));
    // Long enough to be running, far from enough to be done.
    let cut = tokio::time::timeout(Duration::from_millis(5), request).await;
    assert!(cut.is_err(), "the answer ended before the caller hung up");
    until_free(&door).await;
}

#[tokio::test]
async fn a_request_dropped_while_it_waits_never_runs() {
    let door = open_door(Limits {
        slots_max: 1,
        queue_requests_max: 2,
        ..Limits::default()
    })
    .await;
    let running = Stream::begin(&door, endless(json!({"stream": true}))).await;
    let waiting = Stream::begin(&door, endless(json!({"stream": true}))).await;
    let last = Stream::begin(
        &door,
        question("hello", json!({"stream": true, "max_tokens": 4})),
    )
    .await;
    drop(waiting);
    drop(running);
    assert!(last.chunks().await.len() >= 2);
    until_free(&door).await;
}

#[tokio::test]
async fn many_that_vanish_leave_nothing_behind() {
    let limits = Limits {
        slots_max: 4,
        queue_requests_max: 60,
        ..Limits::default()
    };
    let all = limits.requests_max();
    let door = open_door(limits).await;
    let mut streams = Vec::new();
    for _ in 0..all {
        streams.push(Stream::begin(&door, endless(json!({"stream": true}))).await);
    }
    assert_eq!(ask(&door, question("hello", json!({}))).await.status, 429);
    drop(streams);
    let free = async {
        while door.free_places() < all {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("every place is free again");
}

/// vLLM #54947: it goes on generating after its callers have gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_that_vanish_mid_stream_are_not_answered_to_the_end() {
    const CALLERS: usize = 1000;
    let limits = Limits {
        queue_requests_max: CALLERS,
        ..Limits::default()
    };
    let (all, slots) = (limits.requests_max(), limits.slots_max);
    let book = book();
    let door = open_door_with(limits, book.clone()).await;
    let mut streams = Vec::new();
    for _ in 0..CALLERS {
        streams.push(Stream::begin(&door, endless(json!({"stream": true}))).await);
    }
    // Those who have a slot are in the middle of their answers.
    for stream in &mut streams[..slots] {
        for _ in 0..3 {
            stream.next().await.expect("a chunk");
        }
    }
    drop(streams);
    let freed = async {
        while door.free_places() < all || book.closed().len() < CALLERS {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, freed)
        .await
        .expect("every place is free and every receipt closed");
    let closed = book.closed();
    let ended: Vec<Ended> = closed.iter().map(|(receipt, _)| receipt.ended).collect();
    assert_eq!(ended, vec![Ended::Cancelled; CALLERS]);
    // Whoever comes now has the server to themselves.
    let reply = ask(&door, question("hello", json!({"max_tokens": 3}))).await;
    assert_eq!(reply.status, 200);
}
