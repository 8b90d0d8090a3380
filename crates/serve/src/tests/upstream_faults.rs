//! Upstreams that fail, each in its own way: whoever asked hears it at once, and nothing is sent twice.

use std::time::Duration;

use axum::http::header;
use lathe_evidence::Digest;
use lathe_evidence::receipt::{Counted, Ended};
use lathe_workshop::token::Allowance;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::caller::{Stream, ask, get};
use super::fake_upstream::{
    Heard, Step, asks, completion, door_to, event, fake, piece, serve, stream, stream_head,
    until_found, upstream, whole,
};
use super::keys;
use super::upstreams::closed;

/// All events of a stream.
pub(super) async fn all(mut stream: Stream) -> Vec<String> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await {
        events.push(event);
    }
    events
}

/// The code of the error that a stream ends with.
async fn broken(stream: Stream) -> (usize, Value) {
    let events = all(stream).await;
    let last: Value = serde_json::from_str(events.last().expect("an event")).expect("JSON");
    assert!(last["error"]["message"].is_string(), "{events:?}");
    (events.len() - 1, last["error"]["code"].clone())
}

/// A port on which nobody listens, and the listener that will.
async fn nobody() -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

#[tokio::test]
async fn an_upstream_that_dies_mid_stream_is_told_and_never_asked_again() {
    let cut = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\
               400\r\n";
    for chunked in [false, true] {
        let fake = fake(move |_| {
            let head = Step::Send(cut.as_bytes().to_vec());
            vec![if chunked { head } else { stream_head() }, piece("half")]
        })
        .await;
        let mut big = upstream("big", fake.address);
        big.retries = 5;
        let (door, book) = door_to(vec![big]);
        let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
        assert_eq!(broken(stream).await, (1, json!("upstream_failed")));
        assert_eq!(
            fake.heard().len(),
            1,
            "a token that was sent is not repeated"
        );
        let (receipt, _) = closed(&book, 1).await.remove(0);
        assert_eq!(receipt.ended, Ended::Aborted);
        assert_eq!(receipt.answer, Digest::of(b"half"), "what was sent");
    }
}

/// Who counted the tokens is said of a broken answer too, and so is how long its prompt was.
#[tokio::test]
async fn the_receipt_of_a_broken_answer_says_who_counted() {
    let fake = fake(|heard| {
        let usage = json!({"prompt_tokens": 11, "completion_tokens": 3});
        let counted = json!({"choices": [{"delta": {"content": "half"}}], "usage": usage});
        let alone = json!({"choices": [{"delta": {"content": "half"}}]});
        vec![
            stream_head(),
            event(if heard.nth == 0 { &counted } else { &alone }),
        ]
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    for _ in 0..2 {
        let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
        assert_eq!(broken(stream).await, (1, json!("upstream_failed")));
    }
    let told = closed(&book, 2).await.into_iter().map(|(receipt, _)| {
        let by = receipt.upstream.expect("it was relayed").counted;
        (by, receipt.prompt_tokens, receipt.answer_tokens)
    });
    let told: Vec<_> = told.collect();
    assert_eq!(told[0], (Counted::Upstream, 11, 3));
    assert_eq!((told[1].0, told[1].2), (Counted::Pieces, 1));
}

#[tokio::test]
async fn silence_has_a_bound_before_the_first_token_and_between_two() {
    let fake = fake(|heard| match heard.nth {
        0 => vec![Step::UntilGone],
        _ => vec![stream_head(), piece("a"), Step::UntilGone],
    })
    .await;
    let mut big = upstream("big", fake.address);
    big.silence_max = Duration::from_millis(100);
    big.retries = 2;
    let (door, book) = door_to(vec![big]);
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(
        reply.refusal(),
        (504, json!(null), json!("upstream_timeout"))
    );
    fake.until_gone().await;
    let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    assert_eq!(broken(stream).await, (1, json!("upstream_timeout")));
    fake.until_gone().await;
    assert_eq!(
        fake.heard().len(),
        2,
        "one that is still at work is not given the same again"
    );
    assert!(
        closed(&book, 2)
            .await
            .iter()
            .all(|it| it.0.ended == Ended::Aborted)
    );
}

/// A comment says that the connection lives, and not that an answer comes; nor does a byte of one.
#[tokio::test]
async fn what_is_no_answer_is_silence_however_often_it_comes() {
    let fake = fake(|heard| match heard.nth {
        0 => vec![stream_head(), piece("a"), Step::Again(b": ping\n\n")],
        _ => vec![
            Step::Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n".to_vec()),
            Step::Again(b" "),
        ],
    })
    .await;
    let mut big = upstream("big", fake.address);
    big.silence_max = Duration::from_millis(200);
    let (door, _) = door_to(vec![big]);
    let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    assert_eq!(broken(stream).await, (1, json!("upstream_timeout")));
    fake.until_gone().await;
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(
        reply.refusal(),
        (504, json!(null), json!("upstream_timeout"))
    );
    fake.until_gone().await;
}

#[tokio::test]
async fn a_full_upstream_says_when_to_come_back_and_a_refusal_goes_through() {
    let fake = fake(|heard| {
        let error = |message: &str| json!({"error": {"message": message, "param": "messages", "code": "context_length_exceeded"}});
        vec![Step::Send(match heard.nth {
            0 => whole(429, &[("retry-after", "17")], &error("slow down")),
            1 => whole(400, &[], &error("too long")),
            2 => whole(302, &[("location", "http://127.0.0.1:1/v1")], &json!({})),
            3 => whole(401, &[], &error("bad key")),
            _ => whole(500, &[], &error("trace back")),
        })]
    })
    .await;
    let mut big = upstream("big", fake.address);
    big.retries = 0;
    let (door, book) = door_to(vec![big]);
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.refusal(), (429, json!(null), json!("upstream_full")));
    assert_eq!(reply.headers[header::RETRY_AFTER], "17");
    let reply = ask(&door, asks(json!({"stream": true}))).await;
    assert_eq!(
        reply.refusal(),
        (400, json!("messages"), json!("context_length_exceeded"))
    );
    for what in ["points elsewhere", "this workshop's key", "status 500"] {
        let reply = ask(&door, asks(json!({}))).await;
        assert_eq!(
            reply.refusal(),
            (502, json!(null), json!("upstream_failed"))
        );
        let message = reply.body["error"]["message"].to_string();
        assert!(
            message.contains(what) && !message.contains("trace back"),
            "{message}"
        );
    }
    assert_eq!(fake.heard().len(), 5);
    assert!(
        closed(&book, 5)
            .await
            .iter()
            .all(|it| it.0.ended == Ended::Aborted)
    );
}

#[tokio::test]
async fn nonsense_and_what_has_no_bound_are_refused() {
    let long = || Step::Send(vec![b'x'; 2 << 20]);
    let nonsense: [fn() -> Vec<Step>; 6] = [
        || {
            vec![
                Step::Send(b"data: {\"choices\": [\n\n".to_vec()),
                Step::UntilGone,
            ]
        },
        || vec![Step::Send(b"data: 7\n\n".to_vec()), Step::UntilGone],
        || vec![Step::Send(b"data: \xff\xfe\n\n".to_vec()), Step::UntilGone],
        || {
            vec![
                event(&json!({"error": {"message": "CUDA died"}})),
                Step::UntilGone,
            ]
        },
        || vec![Step::Send(b"<html>".to_vec())],
        || vec![Step::Send(b"data: [DONE]\n\n".to_vec())],
    ];
    let scripts = nonsense.len();
    let fake = fake(move |heard: &Heard| {
        let mut steps = vec![stream_head(), piece("a")];
        if heard.nth < scripts {
            steps.extend(nonsense[heard.nth]());
        } else {
            steps.push(Step::Send(b"data: ".to_vec()));
            steps.push(long());
            steps.push(Step::UntilGone);
        }
        steps
    })
    .await;
    let (door, book) = door_to(vec![upstream("big", fake.address)]);
    for nth in 0..=scripts {
        let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
        assert_eq!(
            broken(stream).await,
            (1, json!("upstream_failed")),
            "script {nth}"
        );
    }
    let receipts = closed(&book, scripts + 1).await;
    let sent = Digest::of(b"a");
    assert!(
        receipts
            .iter()
            .all(|it| it.0.ended == Ended::Aborted && it.0.answer == sent)
    );
}

/// What this server says of an answer no upstream says in its place.
#[tokio::test]
async fn an_upstream_cannot_say_that_its_weights_are_verified() {
    let forged = || json!({"weights": "verified", "receipt": "forged"});
    let fake = fake(move |heard| {
        let mut whole_answer = completion("a");
        whole_answer["lathe"] = forged();
        whole_answer["choices"][0]["lathe"] = forged();
        if heard.body["stream"] != true {
            return vec![Step::Send(whole(200, &[], &whole_answer))];
        }
        let chunk = |choice: Value| {
            let mut chunk = json!({"choices": [choice], "lathe": forged()});
            chunk["choices"][0]["lathe"] = forged();
            event(&chunk)
        };
        let said = |text: &str| json!({"index": 0, "delta": {"content": text}});
        let end = |index: u32| json!({"index": index, "delta": {}, "finish_reason": "stop"});
        let chunks = [said("a"), said("b"), end(0), end(1), end(2)].map(chunk);
        let mut steps = vec![stream_head()];
        steps.extend(chunks);
        steps
    })
    .await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    let events = all(Stream::begin(&door, asks(json!({"stream": true}))).await).await;
    assert_eq!(events.len(), 6);
    let told = events.concat();
    assert!(!told.contains("forged"), "{told}");
    let reply = ask(&door, asks(json!({}))).await.body;
    assert!(!reply.to_string().contains("forged"), "{reply}");
    assert_eq!(reply["lathe"]["weights"], "not verified");
}

/// What ends a choice waits for the usage, and there is a bound on what waits.
#[tokio::test]
async fn ends_without_an_end_are_refused() {
    let fake = fake(|_| {
        let end = |index: u32| {
            let choice =
                json!({"index": index, "finish_reason": "stop", "logprobs": "x".repeat(1_000_000)});
            event(&json!({"choices": [choice]}))
        };
        let mut steps = vec![stream_head()];
        steps.extend((0..9).map(end));
        steps.push(Step::Send(b"data: [DONE]\n\n".to_vec()));
        steps
    })
    .await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    let stream = Stream::begin(&door, asks(json!({"stream": true}))).await;
    assert_eq!(broken(stream).await, (0, json!("upstream_failed")));
}

#[tokio::test]
async fn a_whole_answer_that_is_none_or_too_large_is_refused() {
    let large = || {
        let mut bytes =
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n\r\n"
                .to_vec();
        bytes.extend(vec![b' '; 40 << 20]);
        bytes
    };
    let fake = fake(move |heard| {
        vec![Step::Send(match heard.nth {
            0 => b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello".to_vec(),
            1 => whole(200, &[], &json!({"object": "chat.completion"})),
            2 => b"not even HTTP\r\n\r\n".to_vec(),
            3 => whole(200, &[], &completion("asked for events")),
            _ => large(),
        })]
    })
    .await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    for nth in 0..5 {
        let reply = ask(&door, asks(json!({"stream": nth == 3}))).await;
        let code = json!("upstream_failed");
        assert_eq!(reply.refusal(), (502, json!(null), code), "answer {nth}");
    }
}

/// vLLM #39863: its engine was dead and its health said 200. Here a caller hears that the upstream is
/// gone before he waits for it, when to come back, and the figures say so.
#[tokio::test]
async fn an_upstream_that_is_down_is_said_to_be_until_it_is_back() {
    let address = nobody().await;
    let (door, book) = door_to(vec![upstream("big", address)]);
    let found = until_found(&door, "big", false).await;
    assert!(found.reason.contains("cannot be reached"), "{found:?}");
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("upstream_down")));
    assert_eq!(reply.headers[header::RETRY_AFTER], "1");
    assert_eq!(book.opened(), 0, "nothing was asked");
    let health = get(&door, "/health/ready").await;
    assert_eq!(
        (health.status, &health.body["reason"]),
        (503, &json!("no upstream answers"))
    );
    let figure = |up: u8| format!("lathe_upstream_up{{model_name=\"big\"}} {up}\n");
    assert!(super::figures::text(&door).await.contains(&figure(0)));

    let listener = TcpListener::bind(address)
        .await
        .expect("the port is still free");
    let _fake = serve(listener, |_| {
        vec![Step::Send(whole(200, &[], &completion("back")))]
    });
    until_found(&door, "big", true).await;
    assert_eq!(ask(&door, asks(json!({}))).await.text(), "back");
    assert_eq!(get(&door, "/health/ready").await.status, 200);
    assert!(super::figures::text(&door).await.contains(&figure(1)));
}

#[tokio::test]
async fn asking_again_is_for_who_wants_it_and_only_before_the_first_byte() {
    let fake = fake(|heard| match heard.nth {
        // Twice: for the one who does not ask again, and for the first try of who does.
        0 | 1 => vec![Step::Send(whole(
            503,
            &[],
            &json!({"error": {"message": "loading"}}),
        ))],
        2 => vec![],
        _ => stream(&["ok"]),
    })
    .await;
    let (door, _) = door_to(vec![upstream("big", fake.address)]);
    let reply = ask(&door, asks(json!({}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("upstream_busy")));
    assert!(reply.headers.contains_key(header::RETRY_AFTER));
    let mut patient = upstream("big", fake.address);
    patient.retries = 2;
    let (door, book) = door_to(vec![patient]);
    let events = all(Stream::begin(&door, asks(json!({"stream": true}))).await).await;
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    assert_eq!(fake.heard().len(), 4);
    assert_eq!(
        closed(&book, 1).await.len(),
        1,
        "one receipt for one answer"
    );
}

#[tokio::test]
async fn another_upstream_stands_in_only_where_it_was_named_and_says_so() {
    let fake = fake(|_| vec![Step::Send(whole(200, &[], &completion("from the second")))]).await;
    let away = nobody().await;
    let (door, _) = door_to(vec![upstream("big", away), upstream("small", fake.address)]);
    assert_eq!(
        ask(&door, asks(json!({}))).await.refusal().0,
        503,
        "off unless asked for"
    );

    let mut big = upstream("big", away);
    big.failover = Some("small".to_owned());
    let (door, book) = door_to(vec![big, upstream("small", fake.address)]);
    for _ in 0..2 {
        let reply = ask(&door, asks(json!({}))).await;
        assert_eq!(reply.text(), "from the second");
        assert_eq!(reply.body["model"], "big");
        assert_eq!(reply.body["lathe"]["upstream"]["name"], "small");
        // The second time it is known to be down.
        until_found(&door, "big", false).await;
    }
    // A key that is for the first alone does not reach the second.
    let heard = fake.heard().len();
    let narrow = keys::token(Allowance::default(), &["big"]);
    assert_eq!(keys::ask(&door, &narrow, asks(json!({}))).await.status, 503);
    assert_eq!(fake.heard().len(), heard);
    let both = keys::token(Allowance::default(), &["big", "small"]);
    assert_eq!(keys::ask(&door, &both, asks(json!({}))).await.status, 200);

    let answered = closed(&book, 3).await;
    let answered = answered.iter().filter(|it| it.0.ended == Ended::Stop);
    assert!(answered.clone().all(|it| it.0.name == "small"));
    assert!(answered.count() >= 1);
}
