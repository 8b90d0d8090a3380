//! Other servers behind this door: what they are asked, what comes back, and what stands in the receipt.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::http::header;
use lathe_evidence::Digest;
use lathe_evidence::receipt::{Counted, Ended, Relayed, Weights};
use lathe_evidence::statement::BreakerState;
use lathe_workshop::Door as _;
use lathe_workshop::people::reach;
use lathe_workshop::token::Allowance;
use lathe_workshop::upstream::{Secret, unsaid};
use serde_json::{Value, json};

use super::caller::{PATIENCE, Stream, ask, get, open_door, pieces, post, question};
use super::fake_upstream::{
    Step, asks, completion, door_to, ending, event, fake, piece, stream, stream_head, until_found,
    upstream, watchful, whole,
};
use super::fixture::{MemoryBook, book};
use super::keys;

/// Waits until so many receipts are closed, and gives them.
pub(super) async fn closed(
    book: &MemoryBook,
    count: usize,
) -> Vec<(
    lathe_evidence::receipt::Receipt,
    lathe_workshop::ReceiptDraft,
)> {
    let closed = async {
        while book.closed().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        book.closed()
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("in time")
}

fn counted(by: Counted) -> Relayed {
    Relayed {
        weights: Weights::NotVerified,
        model: Some("theirs-72b".to_owned()),
        counted: by,
    }
}

#[tokio::test]
async fn a_request_is_handed_on_whole_and_its_answer_has_a_receipt_that_says_whose_it_is() {
    let fake = fake(|_| vec![Step::Send(whole(200, &[], &completion("hi there")))]).await;
    let mut big = upstream("big", fake.address);
    big.key = Some(Secret::new("sk-hidden"));
    let (door, book) = door_to(vec![big]);
    let extra = json!({"chat_template_kwargs": {"thinking": 0.5}, "top_a": 3, "temperature": null});
    let reply = ask(&door, asks(extra.clone())).await;
    assert_eq!(reply.text(), "hi there");
    assert_eq!(reply.body["model"], "big");
    assert_eq!(reply.body["usage"]["prompt_tokens"], 11);
    let lathe = &reply.body["lathe"];
    assert_eq!(lathe["weights"], "not verified");
    let server = json!({"name": "big", "model": "theirs-72b", "counted": "upstream"});
    assert_eq!(lathe["upstream"], server);
    assert_eq!(
        reply.headers["x-lathe-receipt"],
        lathe["receipt"].as_str().expect("an id")
    );

    let heard = fake.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].path, "/v1/chat/completions");
    let mut sent = asks(extra);
    sent["model"] = json!("theirs");
    assert_eq!(
        heard[0].body, sent,
        "nothing is left out, and but the name nothing is changed"
    );
    assert!(
        heard[0]
            .head
            .contains("authorization: Bearer sk-hidden\r\n"),
        "{}",
        heard[0].head
    );

    let (receipt, draft) = closed(&book, 1).await.remove(0);
    assert_eq!((receipt.name.as_str(), receipt.ended), ("big", Ended::Stop));
    assert_eq!(receipt.upstream, Some(counted(Counted::Upstream)));
    assert_eq!(receipt.answer, Digest::of(b"hi there"));
    assert_eq!((receipt.prompt_tokens, receipt.answer_tokens), (11, 3));
    assert_eq!(
        receipt.model,
        Digest::of(b"big"),
        "the statement's subject: no digest of weights"
    );
    let texts = draft.texts.expect("the book keeps them");
    assert_eq!(Digest::of(texts.prompt.as_bytes()), receipt.prompt);
    assert_eq!(texts.prompt, r#"[{"content":"hello","role":"user"}]"#);
}

#[tokio::test]
async fn events_are_passed_on_one_by_one_as_they_come() {
    let fake = fake(|_| {
        let mut steps = vec![
            stream_head(),
            piece("he"),
            Step::Turn,
            piece("llo"),
            Step::Turn,
        ];
        steps.extend(ending());
        steps
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let mut stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    let next = async |stream: &mut Stream| -> Value {
        serde_json::from_str(&stream.next().await.expect("an event")).expect("JSON")
    };
    let first = next(&mut stream).await;
    assert_eq!(first["choices"][0]["delta"]["content"], "he");
    assert_eq!(
        (&first["model"], &first["lathe"]["weights"]),
        (&json!("big"), &json!("not verified"))
    );
    assert_eq!(book.opened(), 1, "durable before the first token");
    // The second exists only now.
    fake.turns.add_permits(1);
    let second = next(&mut stream).await;
    assert_eq!(second["choices"][0]["delta"]["content"], "llo");
    assert!(book.closed().is_empty());
    fake.turns.add_permits(1);
    let last = stream.chunks().await;
    assert_eq!(
        last.len(),
        1,
        "the usage stands with the end, as this server has it: {last:?}"
    );
    assert_eq!(last[0]["choices"][0]["finish_reason"], "stop");
    assert_eq!(last[0]["usage"]["completion_tokens"], 3);
    assert_eq!(last[0]["lathe"]["upstream"]["counted"], "upstream");
    let sent = &fake.heard()[0].body;
    assert_eq!(sent["stream_options"], json!({"include_usage": true}));
    let (receipt, _) = closed(&book, 1).await.remove(0);
    assert_eq!(
        (receipt.answer, receipt.answer_tokens),
        (Digest::of(b"hello"), 3)
    );
}

#[tokio::test]
async fn the_usage_stands_where_the_caller_wants_it() {
    let fake = fake(|_| stream(&["a", "b"])).await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    for (options, with_finish, own) in [
        (json!({"include_usage": true, "more": 1}), false, true),
        (json!({"include_usage": false}), false, false),
        (json!({}), true, false),
    ] {
        let body = asks(json!({"stream": true, "stream_options": options}));
        let chunks = Stream::begin(&door, body).await.chunks().await;
        assert_eq!(pieces(&chunks), ["a", "b"]);
        let finish = chunks
            .iter()
            .find(|it| it["choices"][0]["finish_reason"] == "stop");
        assert_eq!(
            finish.expect("an end")["usage"].is_object(),
            with_finish,
            "{options}"
        );
        let last = chunks.last().expect("chunks");
        assert_eq!(
            last["choices"] == json!([]) && last["usage"].is_object(),
            own,
            "{options}"
        );
    }
    assert_eq!(
        fake.heard()[0].body["stream_options"],
        json!({"include_usage": true, "more": 1})
    );
}

#[tokio::test]
async fn a_caller_who_hangs_up_takes_the_upstreams_connection_along() {
    let fake = fake(|_| vec![stream_head(), piece("half"), Step::UntilGone]).await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let mut stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    assert!(stream.next().await.expect("an event").contains("half"));
    drop(stream);
    fake.until_gone().await;
    let (receipt, _) = closed(&book, 1).await.remove(0);
    assert_eq!(
        (receipt.ended, receipt.answer),
        (Ended::Cancelled, Digest::of(b"half"))
    );
    // The same while not a byte has come, and where all is wanted at once.
    for body in [asks(json!({"stream": true})), asks(json!({}))] {
        let silent = super::fake_upstream::fake(|_| vec![Step::UntilGone]).await;
        let (door, book) = door_to(vec![upstream("big", silent.address)]);
        let asking = reach::spawn({
            let door = door.clone();
            async move { ask(&door, body).await }
        });
        while silent.heard().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        asking.abort();
        silent.until_gone().await;
        assert_eq!(closed(&book, 1).await[0].0.ended, Ended::Cancelled);
    }
}

#[tokio::test]
async fn tokens_that_nobody_tells_are_counted_by_pieces_and_that_is_said() {
    let fake = fake(|heard| {
        if heard.body["stream"] == true {
            let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "length"}]});
            // Some servers end without [DONE].
            return vec![stream_head(), piece("he"), piece("llo"), event(&finish)];
        }
        let mut body = completion("hello there");
        body.as_object_mut().expect("an object").remove("usage");
        vec![Step::Send(whole(200, &[], &body))]
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let chunks = Stream::begin(&door, asks(json!({"stream": true})))
        .await
        .chunks()
        .await;
    let last = chunks.last().expect("chunks");
    assert_eq!(last["usage"]["completion_tokens"], 2);
    assert_eq!(last["lathe"]["upstream"]["counted"], "pieces");
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.body["usage"]["completion_tokens"], 3, "eleven bytes");
    let closed = closed(&book, 2).await;
    assert_eq!(
        (closed[0].0.ended, closed[0].0.answer_tokens),
        (Ended::Length, 2)
    );
    assert!(
        closed
            .iter()
            .all(|it| it.0.upstream == Some(counted(Counted::Pieces)))
    );
}

#[tokio::test]
async fn a_key_is_charged_what_the_upstream_counts() {
    let fake = fake(|_| vec![Step::Send(whole(200, &[], &completion("hi")))]).await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    let allowance = Allowance {
        tokens_per_day: Some(20),
        ..Allowance::default()
    };
    let token = keys::token(allowance, &[]);
    assert_eq!(keys::ask(&door, &token, asks(json!({}))).await.status, 200);
    keys::charged(&token, 11, 3).await;
    assert_eq!(
        keys::ask(&door, &token, asks(json!({}))).await.status,
        429,
        "14 + a prompt's guess"
    );
    let other = keys::token(Allowance::default(), &["small"]);
    assert_eq!(keys::ask(&door, &other, asks(json!({}))).await.status, 403);
    assert_eq!(fake.heard().len(), 1, "who may not ask is not handed on");
}

#[tokio::test]
async fn what_the_breaker_stops_never_leaves() {
    let fake = fake(|_| vec![Step::Send(whole(200, &[], &completion("hi")))]).await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    *book.state.lock().expect("a lock") = BreakerState::Open;
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("breaker_open")));
    *book.state.lock().expect("a lock") = BreakerState::Closed;
    book.broken.store(true, Ordering::Relaxed);
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("receipt_failed")));
    assert_eq!(fake.heard().len(), 1, "only the second was let through");
}

#[tokio::test]
async fn the_other_interfaces_are_handed_on_too() {
    let fake = fake(|heard| {
        let body = match heard.path.as_str() {
            "/v1/embeddings" => json!({"model": "e", "data": [{"embedding": [1.0, 0.5]}]}),
            _ => json!({"model": "c", "choices": [{"index": 0, "text": " on", "finish_reason": "length"}]}),
        };
        vec![Step::Send(whole(200, &[], &body))]
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let body = json!({"model": "big", "prompt": "go", "min_p": 0.1});
    let reply = post(&door, "/v1/completions", body).await;
    assert_eq!(
        (reply.status, &reply.body["choices"][0]["text"]),
        (200, &json!(" on"))
    );
    let body = json!({"model": "big", "input": ["a"], "dimensions": 2});
    let reply = post(&door, "/v1/embeddings", body).await;
    assert_eq!(
        (reply.status, &reply.body["data"][0]["embedding"][1]),
        (200, &json!(0.5))
    );
    let closed = closed(&book, 2).await;
    assert_eq!(closed[0].0.answer, Digest::of(b" on"));
    // Two f32, little-endian, in base64.
    assert_eq!(closed[1].0.answer, Digest::of(b"AACAPwAAAD8="));
}

#[tokio::test]
async fn upstreams_stand_among_the_models_and_never_before_an_admitted_one() {
    let fake = fake(|_| vec![Step::Send(whole(200, &[], &completion("theirs")))]).await;
    let door = open_door(watchful()).await;
    let both = vec![
        upstream("big", fake.address),
        upstream("tiny", fake.address),
    ];
    door.relay(both.into_iter().map(unsaid).collect(), book());
    until_found(&door, "big", true).await;
    let list = get(&door, "/v1/models").await.body;
    let ids: Vec<&str> = list["data"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    assert_eq!(ids, ["tiny", "big"]);
    let entry = get(&door, "/v1/models/big").await.body;
    assert_eq!(entry["owned_by"], "upstream");
    assert_eq!(
        entry["lathe"],
        json!({"weights": "not verified", "up": true})
    );
    let own = ask(&door, question("hello", json!({"max_tokens": 2}))).await;
    assert_eq!(own.status, 200);
    assert!(
        own.body["lathe"]["weights"].is_null(),
        "its weights are verified"
    );
    assert!(fake.heard().is_empty());
    // What stands no more answers no more.
    door.relay(Vec::new(), book());
    assert_eq!(ask(&door, asks(json!({}))).await.refusal().0, 404);
}

#[tokio::test]
async fn a_server_that_goes_down_lets_its_upstreams_answers_end() {
    let fake = fake(|_| {
        let mut steps = vec![stream_head(), piece("a"), Step::Turn];
        steps.extend(ending());
        steps
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let body = asks(json!({"stream": true}));
    let (first, second) = (
        Stream::begin(&door, body.clone()).await,
        Stream::begin(&door, body).await,
    );
    let reading = [first, second].map(|stream| reach::spawn(super::upstream_faults::all(stream)));
    fake.turns.add_permits(1);
    let stopping = reach::spawn({
        let door = door.clone();
        async move { door.shut_down(Duration::from_millis(500)).await }
    });
    stopping.await.expect("it stops");
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key(header::RETRY_AFTER));
    let mut ends = Vec::new();
    for one in reading {
        ends.push(one.await.expect("read").pop().expect("an event"));
    }
    ends.sort();
    // The one that was let go on has ended as ever, the other says why it did not.
    assert_eq!(ends[0], "[DONE]");
    assert!(ends[1].contains("the server was stopped"), "{ends:?}");
    let mut ended: Vec<Ended> = closed(&book, 2).await.iter().map(|it| it.0.ended).collect();
    ended.sort_by_key(|it| *it != Ended::Stop);
    assert_eq!(ended, [Ended::Stop, Ended::Aborted]);
}

#[tokio::test]
async fn the_answer_of_an_upstream_that_was_taken_away_may_end_as_well() {
    let fake = fake(|_| {
        let mut steps = vec![stream_head(), piece("a"), Step::Turn];
        steps.extend(ending());
        steps
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    let mut stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    assert!(stream.next().await.expect("an event").contains("lathe"));
    door.relay(Vec::new(), book.clone());
    let reading = reach::spawn(super::upstream_faults::all(stream));
    let stopping = reach::spawn({
        let door = door.clone();
        async move { door.shut_down(PATIENCE).await }
    });
    tokio::time::sleep(Duration::from_millis(50)).await;
    fake.turns.add_permits(1);
    stopping.await.expect("it stops");
    let events = reading.await.expect("read");
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert_eq!(closed(&book, 1).await[0].0.ended, Ended::Stop);
}
