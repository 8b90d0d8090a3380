//! Opening and going down: whoever asks hears when to come back, and no answer loses its receipt.

use std::time::Duration;

use axum::http::header;
use lathe_workshop::Door as _;
use lathe_workshop::people::reach;
use serde_json::json;

use super::caller::{Stream, ask, get, open_door, question};
use super::fixture::{admitted, book, tiny_model};
use crate::scheduler::Phase;
use crate::{Door, Limits};

#[tokio::test]
async fn a_model_that_is_still_being_opened_says_so() {
    let door = Door::new(2);
    door.expect("tiny");
    door.expect("refused");
    for name in ["tiny", "refused"] {
        let reply = ask(&door, question("hello", json!({"model": name}))).await;
        let code = json!("model_opening");
        assert_eq!(reply.refusal(), (503, json!("model"), code));
        assert_eq!(reply.headers[header::RETRY_AFTER], "1");
        let path = format!("/v1/models/{name}");
        assert_eq!(get(&door, &path).await.status, 503);
    }
    let model = admitted("tiny", tiny_model(), None);
    door.open(model, book()).await.expect("opens");
    let body = question("hello", json!({"max_tokens": 1}));
    assert_eq!(ask(&door, body).await.status, 200);
    // What is refused admission is not here, and will not be.
    door.close("refused").await;
    let reply = ask(&door, question("hello", json!({"model": "refused"}))).await;
    assert_eq!(reply.refusal().0, 404);
    // Once it was open, its name going away is no promise.
    door.close("tiny").await;
    assert_eq!(ask(&door, question("hello", json!({}))).await.status, 404);
}

#[tokio::test]
async fn leaving_is_said_before_anything_is_refused() {
    let door = open_door(Limits::default()).await;
    for path in ["/health", "/health/ready", "/health/live"] {
        assert_eq!(get(&door, path).await.status, 200, "{path}");
    }
    door.leave();
    for path in ["/health", "/health/ready"] {
        let reply = get(&door, path).await;
        let status = (reply.status, reply.body["status"].clone());
        assert_eq!(status, (503, json!("stopping")), "{path}");
    }
    assert_eq!(get(&door, "/health/live").await.status, 200);
    let body = question("hello", json!({"max_tokens": 1}));
    assert_eq!(ask(&door, body).await.status, 200);
}

#[tokio::test]
async fn a_server_that_goes_down_waits_for_the_receipts_of_its_answers() {
    let (book, door) = (book(), Door::new(2));
    let model = admitted("tiny", tiny_model(), None);
    door.open(model, book.clone()).await.expect("opens");
    let body = question("hello", json!({"stream": true, "max_tokens": 20}));
    let running = Stream::begin(&door, body).await;
    // The receipt is open; from here on nothing is written.
    book.turns.forget_permits(usize::MAX);
    let reading = reach::spawn(running.chunks());
    let stopping = reach::spawn({
        let door = door.clone();
        async move { door.shut_down(Duration::from_secs(30)).await }
    });
    while !matches!(door.inner().scheduler.phase(), Phase::Ended(_)) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!stopping.is_finished());
    let refused = ask(&door, question("hello", json!({}))).await;
    assert_eq!(refused.refusal().0, 503);
    assert!(refused.headers.contains_key(header::RETRY_AFTER));
    book.turns.add_permits(1);
    stopping.await.expect("it stops");
    assert_eq!(book.closed().len(), 1);
    assert!(reading.await.expect("it ends whole").len() > 1);
}

#[tokio::test]
async fn a_receipt_that_nobody_closes_does_not_hold_the_server_for_ever() {
    let door = open_door(Limits::default()).await;
    let body = question("hello", json!({"stream": true, "max_tokens": 2}));
    // A caller who neither reads nor hangs up.
    let _silent = Stream::begin(&door, body).await;
    let began = std::time::Instant::now();
    door.shut_down(Duration::from_secs(30)).await;
    assert!(began.elapsed() < Duration::from_secs(30));
}
