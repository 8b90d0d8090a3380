//! Receipts: opened before anything is answered, closed before the end, whatever the caller does;
//! what the breaker refuses; what is said of the records.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lathe_data::prepare::{PrepareOptions, prepare};
use lathe_data::reader::{Read, Record};
use lathe_data::{DataSpec, Dataset};
use lathe_evidence::Digest;
use lathe_evidence::receipt::{Ended, Part};
use lathe_evidence::statement::BreakerState;
use lathe_workshop::Door as _;
use serde_json::{Map, Value, json};
use tower::ServiceExt;

use super::caller::{PATIENCE, Reply, Stream, ask, chat, pieces, question, send};
use super::disconnects;
use super::fixture::{MemoryBook, admitted, admitted_files, book, files, tiny_model};
use crate::{Door, Limits};

/// A door over the tiny model that writes into the book.
async fn door(book: &Arc<MemoryBook>) -> Door {
    let door = Door::with_limits(2, Limits::default());
    door.open(admitted("tiny", tiny_model(), None), book.clone())
        .await
        .expect("the tiny model opens");
    door
}

/// A door whose answers end long after whoever cuts them off.
async fn endless_door(book: &Arc<MemoryBook>) -> Door {
    disconnects::open_door_with(Limits::default(), book.clone()).await
}

/// Waits until so many receipts are closed.
async fn until_closed(book: &MemoryBook, count: usize) {
    let closed = async {
        while book.closed().len() < count {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, closed)
        .await
        .expect("it is closed in time");
}

/// Asks with a header.
async fn ask_with(door: &Door, header: (&'static str, &'static str), body: Value) -> Reply {
    let mut request = chat(body);
    request
        .headers_mut()
        .insert(header.0, header.1.parse().expect("a value"));
    send(door.router(), request).await
}

#[tokio::test]
async fn a_whole_answer_carries_its_receipt_and_its_label() {
    let book = book();
    let reply = ask(
        &door(&book).await,
        question("hello", json!({"max_tokens": 5})),
    )
    .await;
    let closed = book.closed();
    let [(receipt, made)] = closed.as_slice() else {
        panic!("{closed:?}")
    };
    assert_eq!(reply.headers["x-lathe-receipt"], receipt.id.as_str());
    let messages = r#"[{"content":"hello","role":"user"}]"#;
    assert_eq!(receipt.prompt, Digest::of(messages.as_bytes()));
    assert_eq!(receipt.answer, Digest::of(reply.text().as_bytes()));
    assert_eq!(receipt.ended, Ended::Length);
    let tokens = (receipt.prompt_tokens, receipt.answer_tokens);
    let usage = |name: &str| reply.body["usage"][name].as_u64().expect("a count");
    assert_eq!(tokens, (usage("prompt_tokens"), usage("completion_tokens")));
    assert_eq!(receipt.deployment, Digest::of(b"deployment"));
    let texts = made.texts.as_ref().expect("the book keeps them");
    assert_eq!(
        (texts.prompt.as_str(), texts.answer.as_str()),
        (messages, reply.text())
    );
    let expected = json!({
        "receipt": receipt.id,
        "breaker": "closed",
        "deployment": receipt.deployment,
        "aigc": {
            "Label": "1",
            "ContentProducer": "lathe.test/tiny",
            "ProduceID": receipt.id,
            "ReservedCode1": format!("sha256:{}", receipt.answer),
            "ContentPropagator": "",
            "PropagateID": "",
            "ReservedCode2": "",
        },
    });
    assert_eq!(reply.body["lathe"], expected);
}

#[tokio::test]
async fn a_stream_names_its_receipt_at_once_and_its_label_at_the_end() {
    let book = book();
    let body = question("hello", json!({"max_tokens": 5, "stream": true}));
    let chunks = Stream::begin(&door(&book).await, body).await.chunks().await;
    let closed = book.closed();
    let (receipt, _) = closed.first().expect("it is closed");
    let told = json!({"receipt": receipt.id, "breaker": "closed"});
    assert_eq!(chunks[0]["lathe"], told);
    let (last, before) = chunks.split_last().expect("chunks");
    assert_eq!(last["lathe"]["aigc"]["ProduceID"], json!(receipt.id));
    assert!(before[1..].iter().all(|chunk| chunk.get("lathe").is_none()));
    assert_eq!(
        receipt.answer,
        Digest::of(pieces(&chunks).concat().as_bytes())
    );
}

#[tokio::test]
async fn nothing_is_answered_before_it_is_open_and_the_end_waits_until_it_is_closed() {
    let book = book();
    let door = door(&book).await;
    book.turns.forget_permits(usize::MAX);
    let body = question(
        "hello",
        json!({"max_tokens": 5, "ignore_eos": true, "stream": true}),
    );
    let moment = Duration::from_millis(100);
    let mut begun = Box::pin(Stream::begin(&door, body));
    assert!(
        tokio::time::timeout(moment, begun.as_mut()).await.is_err(),
        "not open yet"
    );
    book.turns.add_permits(1);
    let mut stream = begun.await;
    let mut texts = 0;
    // The first text is waited for as long as it takes; then it is seen that the end does not come.
    let mut longest = PATIENCE;
    while let Ok(chunk) = tokio::time::timeout(longest, stream.next()).await {
        let chunk: Value = serde_json::from_str(&chunk.expect("no end")).expect("JSON");
        assert!(
            chunk["choices"][0]["finish_reason"].is_null(),
            "not closed yet"
        );
        texts += usize::from(chunk["choices"][0]["delta"]["content"] != "");
        if texts > 0 {
            longest = moment * 5;
        }
    }
    assert!(texts > 0 && book.closed().is_empty());
    book.turns.add_permits(1);
    let last = stream.chunks().await;
    assert_eq!(
        last.last().expect("a chunk")["choices"][0]["finish_reason"],
        "length"
    );
    assert_eq!(book.closed().len(), 1);
}

#[tokio::test]
async fn who_hangs_up_leaves_a_cancelled_receipt_of_what_was_sent() {
    let book = book();
    let door = endless_door(&book).await;
    let endless = |extra: Value| {
        let mut body = question("hello", json!({"ignore_eos": true}));
        body.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("one").clone());
        body
    };
    let mut stream = Stream::begin(&door, endless(json!({"stream": true}))).await;
    let mut sent = String::new();
    while sent.is_empty() {
        let chunk: Value =
            serde_json::from_str(&stream.next().await.expect("a chunk")).expect("JSON");
        sent.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .expect("a text"),
        );
    }
    drop(stream);
    until_closed(&book, 1).await;
    let (receipt, made) = book.closed().remove(0);
    assert_eq!(receipt.ended, Ended::Cancelled);
    assert!(made.texts.expect("kept").answer.starts_with(&sent));
    assert!(
        (1..4096).contains(&receipt.answer_tokens),
        "{}",
        receipt.answer_tokens
    );

    // A plain request, once it has been opened.
    let mut request = Box::pin(door.router().oneshot(chat(endless(json!({})))));
    while book.opened() < 2 {
        let moment = Duration::from_millis(1);
        let cut = tokio::time::timeout(moment, request.as_mut()).await;
        assert!(cut.is_err(), "the answer ended before the caller hung up");
    }
    drop(request);
    until_closed(&book, 2).await;
    assert_eq!(book.closed()[1].0.ended, Ended::Cancelled);

    // And while its receipt is being opened.
    book.turns.forget_permits(usize::MAX);
    let request = door.router().oneshot(chat(endless(json!({}))));
    assert!(
        tokio::time::timeout(Duration::from_millis(100), request)
            .await
            .is_err()
    );
    assert_eq!(book.opened(), 2);
    book.turns.add_permits(2);
    until_closed(&book, 3).await;
    let last = &book.closed()[2].0;
    assert_eq!((last.ended, last.answer_tokens), (Ended::Cancelled, 0));
}

#[tokio::test]
async fn an_answer_that_the_server_breaks_off_closes_as_aborted() {
    let book = book();
    let door = endless_door(&book).await;
    let body = question("hello", json!({"ignore_eos": true, "stream": true}));
    let mut stream = Stream::begin(&door, body).await;
    for _ in 0..3 {
        stream.next().await.expect("a chunk");
    }
    door.shut_down(Duration::ZERO).await;
    while let Some(data) = stream.next().await {
        assert_ne!(data, "[DONE]");
    }
    assert_eq!(book.closed()[0].0.ended, Ended::Aborted);
}

#[tokio::test]
async fn an_answer_whose_receipt_cannot_be_closed_does_not_end_well() {
    let book = book();
    let door = door(&book).await;
    book.broken.store(true, Ordering::Relaxed);
    let reply = ask(&door, question("hello", json!({"max_tokens": 3}))).await;
    assert_eq!(reply.refusal(), (503, json!(null), json!("receipt_failed")));
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("the disk is full; make room"), "{message}");
    let mut stream = Stream::begin(
        &door,
        question("hello", json!({"max_tokens": 3, "stream": true})),
    )
    .await;
    let mut last = String::new();
    while let Some(data) = stream.next().await {
        last = data;
    }
    assert!(
        last.contains("receipt_failed") && !last.contains("finish_reason"),
        "{last}"
    );
}

#[tokio::test]
async fn the_breaker_stands_at_the_door() {
    let book = book();
    let door = door(&book).await;
    let body = || question("hello", json!({"max_tokens": 3}));
    let accept = ("x-lathe-accept-restricted", "1");
    for state in [BreakerState::Open, BreakerState::ForcedOpen] {
        *book.state.lock().expect("free") = state;
        for reply in [
            ask(&door, body()).await,
            ask_with(&door, accept, body()).await,
        ] {
            assert_eq!(reply.refusal(), (503, json!(null), json!("breaker_open")));
        }
    }
    *book.state.lock().expect("free") = BreakerState::Restricted;
    let reply = ask(&door, body()).await;
    assert_eq!(reply.refusal(), (403, json!(null), json!("restricted")));
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert!(
        message.contains("a record was withdrawn; tune it again"),
        "{message}"
    );
    let other = ("x-lathe-accept-restricted", "0");
    assert_eq!(ask_with(&door, other, body()).await.status, 403);
    assert_eq!(book.opened(), 0);

    let reply = ask_with(&door, accept, body()).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["x-lathe-breaker"], "restricted");
    assert_eq!(reply.body["lathe"]["breaker"], "restricted");
    assert_eq!(reply.body["lathe"]["reason"], "a record was withdrawn");
    assert_eq!(book.closed()[0].0.breaker, BreakerState::Restricted);
    // What was refused holds no place.
    let free = async {
        while door.free_places() < Limits::default().requests_max() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("every place is free again");
}

/// A dataset of these sentences, all to tune on but the last.
fn dataset(folder: &Path, sentences: &[&str]) -> Dataset {
    let spec: DataSpec = serde_json::from_value(json!({
        "name": "tiny", "source": "file:tiny.csv", "licence": "MIT", "owner": "me",
        "split": {"test_share": 0.2, "seed": 1},
    }))
    .expect("a spec");
    let records = sentences.iter().zip(1..).map(|(text, line)| Record {
        id: line.to_string(),
        group: line.to_string(),
        line,
        fields: Map::from_iter([
            ("text".to_owned(), json!(text)),
            ("label".to_owned(), json!("good")),
        ]),
    });
    let read = Read {
        records: records.collect(),
        broken: Vec::new(),
        broken_rows: 0,
        encoding: "UTF-8".to_owned(),
    };
    let options = PrepareOptions {
        records_max: None,
        salt_seed: [1; 32],
        ..PrepareOptions::default()
    };
    let dataset = Dataset {
        prepared: prepare(read, &spec, &options).expect("prepared"),
        spec,
        file: Digest::of(b"tiny"),
        encoding: "UTF-8".to_owned(),
    };
    dataset.save(folder).expect("saved");
    dataset
}

/// A door over the tiny model with a task and records.
async fn tuned_door(book: &Arc<MemoryBook>, folder: &Path) -> Door {
    let mut files = files("tiny", tiny_model(), None);
    files.dataset = Some(folder.to_owned());
    let task = json!({
        "system": "Say how the customer feels.",
        "prompt": "Review: {{ text }}",
        "input": "text",
        "answer": {"label": {"from": "label"}},
        "schema": {"type": "object", "required": ["label"]},
        "targets": {"class": {"pointer": "/label", "truth": "label", "invalid": "good"}},
    });
    files.task = Some(serde_json::from_value(task).expect("a task"));
    let door = Door::with_limits(2, Limits::default());
    door.open(admitted_files(files), book.clone())
        .await
        .expect("opens");
    door
}

const SENTENCES: [&str; 5] = [
    "the zoom of this camera is superb",
    "the battery lasts a whole weekend",
    "the buttons stopped responding after two weeks",
    "support never called me back",
    "电池续航时间非常长，值得买",
];

#[tokio::test]
async fn a_receipt_names_the_records_that_say_the_same() {
    let (folder, book) = (tempfile::tempdir().expect("a folder"), book());
    let dataset = dataset(folder.path(), &SENTENCES);
    let door = tuned_door(&book, folder.path()).await;
    let prepared = dataset.prepared;
    assert_eq!((prepared.train.len(), prepared.test.len()), (4, 1));
    for (sealed, tuned_on) in prepared
        .train
        .iter()
        .map(|it| (it, true))
        .chain(prepared.test.iter().map(|it| (it, false)))
    {
        let sentence = sealed.record.fields["text"].as_str().expect("a text");
        let asked = format!("They say {sentence} indeed");
        ask(&door, question(&asked, json!({"max_tokens": 3}))).await;
        let (receipt, made) = book.closed().pop().expect("closed");
        let spans: Vec<_> = receipt
            .spans
            .iter()
            .filter(|span| span.part == Part::Prompt && span.bytes > 20)
            .map(|span| {
                (
                    span.leaf,
                    &asked[span.start as usize..(span.start + span.bytes) as usize],
                )
            })
            .collect();
        match tuned_on {
            true => assert_eq!(spans, [(sealed.leaf, sentence)]),
            false => assert_eq!(spans, []),
        }
        assert!(!made.shingles.is_empty());
    }
}

#[tokio::test]
async fn only_what_is_asked_as_it_was_measured_tells_whether_answers_are_valid() {
    let (folder, book) = (tempfile::tempdir().expect("a folder"), book());
    dataset(folder.path(), &SENTENCES);
    let door = tuned_door(&book, folder.path()).await;
    let system = json!({"role": "system", "content": "Say how the customer feels."});
    let user = json!({"role": "user", "content": "hello"});
    let asked = |messages: Value, extra: Value| {
        let mut body = question("", extra);
        body["messages"] = messages;
        ask(&door, body)
    };
    // The random model reaches the end of the context, or of its wits: stop it where it may be.
    let reply = asked(json!([system, user]), json!({})).await;
    let stopped = reply.body["choices"][0]["finish_reason"] == "stop";
    assert_eq!(book.valid(), vec![false; usize::from(stopped)]);
    let told = book.valid().len();
    for (messages, extra) in [
        (json!([user]), json!({})),
        (json!([system, user, user]), json!({})),
        (json!([system, user]), json!({"max_tokens": 1})),
        (json!([system, user]), json!({"stop": ["e"]})),
        (
            json!([system, user]),
            json!({"temperature": 1.0, "max_tokens": 9}),
        ),
    ] {
        asked(messages, extra).await;
    }
    assert_eq!(book.valid().len(), told);
}
