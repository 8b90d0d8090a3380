//! Several adapters over one base: chosen by name, computed in one batch, the base
//! in memory once.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use lathe_engine::adapter::TARGETS;
use lathe_engine::random::Random;
use lathe_engine::{Adapter, Config, LoraSpec};
use lathe_workshop::Door as _;
use serde_json::json;

use super::caller::{PATIENCE, Stream, ask, get, open_door, pieces, question};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

/// Writes an adapter whose every value is random, so that it changes the answers.
fn write_adapter(folder: &Path, config: &Config, seed: u64, dora: bool) {
    let targets = TARGETS.map(str::to_owned).to_vec();
    let spec = LoraSpec {
        rank: 4,
        alpha: 16.0,
        targets,
        dora,
    };
    let mut adapter = Adapter::new(config, &spec, seed).expect("the spec is sound");
    let mut random = Random::new(seed);
    for value in &mut adapter.values {
        *value = random.next_f32() - 0.5;
    }
    adapter
        .save_peft(folder, "tiny")
        .expect("the folder takes it");
}

/// A door with the tiny model as `tiny`, and over it an adapter as `one` and one with DoRA as `two`.
pub(crate) async fn door_with_two_adapters(folder: &Path) -> Door {
    let door = open_door(Limits::default()).await;
    open_adapter(&door, folder, ("one", 1), false).await;
    open_adapter(&door, folder, ("two", 2), true).await;
    door
}

async fn open_adapter(door: &Door, folder: &Path, (name, seed): (&str, u64), dora: bool) {
    let tiny = door.inner().catalogue.find("tiny").expect("open");
    let adapter = folder.join(name);
    write_adapter(&adapter, &tiny.model().config, seed, dora);
    door.open(admitted(name, tiny_model(), Some(adapter)), book())
        .await
        .expect("opens");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_chooses_the_adapter_in_a_mixed_batch() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = door_with_two_adapters(folder.path()).await;
    let body = |model: &str| {
        question(
            "The router is small.",
            json!({"model": model, "max_tokens": 24}),
        )
    };
    let mut alone = Vec::new();
    for name in ["tiny", "one", "two"] {
        let reply = ask(&door, body(name)).await;
        // What another adapter computed for the same prompt is of no use to it.
        let details = &reply.body["usage"]["prompt_tokens_details"];
        assert_eq!(details["cached_tokens"], 0);
        alone.push(reply.text().to_owned());
    }
    assert!(
        alone[0] != alone[1] && alone[1] != alone[2] && alone[0] != alone[2],
        "{alone:?}"
    );
    let mixed = ["tiny", "one", "two"].into_iter().cycle().take(12);
    let replies = join_all(mixed.map(|name| ask(&door, body(name)))).await;
    for (index, reply) in replies.iter().enumerate() {
        assert_eq!(reply.text(), alone[index % 3]);
    }
}

#[tokio::test]
async fn the_base_is_in_memory_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = door_with_two_adapters(folder.path()).await;
    let base = |name: &str| {
        door.inner()
            .catalogue
            .find(name)
            .expect("open")
            .model()
            .clone()
    };
    assert!(Arc::ptr_eq(&base("tiny"), &base("one")));
    assert!(Arc::ptr_eq(&base("one"), &base("two")));
    assert_eq!(
        get(&door, "/v1/models/one").await.body["lathe"]["tuned"],
        true
    );
    assert_eq!(
        get(&door, "/health").await.body["models"]
            .as_object()
            .map(|m| m.len()),
        Some(3)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn adapters_come_and_go_while_others_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let door = door_with_two_adapters(folder.path()).await;
    let body = |model: &str, stream: bool| {
        let how = json!({"model": model, "max_tokens": 300, "ignore_eos": true, "stream": stream});
        question("The router is small.", how)
    };
    let begin = async || {
        let names = ["tiny", "one", "two"];
        join_all(names.map(|name| Stream::begin(&door, body(name, true)))).await
    };
    let end = async |streams: Vec<Stream>| {
        let chunks = join_all(streams.into_iter().map(Stream::chunks)).await;
        let texts = chunks.iter().map(|it| pieces(it).concat());
        texts.collect::<Vec<String>>()
    };
    let expected = end(begin().await).await;

    let running = begin().await;
    open_adapter(&door, folder.path(), ("three", 3), false).await;
    let new = ask(&door, body("three", false)).await;
    assert_eq!(new.status, 200, "{:?}", new.body);
    assert!(
        !expected.iter().any(|text| text == new.text()),
        "{expected:?} {}",
        new.text()
    );
    door.close("one").await;
    assert_eq!(ask(&door, body("one", false)).await.status, 404);
    assert_eq!(end(running).await, expected, "who was answered is");
    assert_eq!(ask(&door, body("three", false)).await.text(), new.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_that_memory_has_no_room_for_is_not_opened_and_the_others_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let raw = lathe_engine::open(&tiny_model()).expect("it opens");
    let bytes = raw.token_work().bytes as usize;
    let limits = Limits {
        weights_bytes_max: bytes,
        ..Limits::default()
    };
    let door = open_door(limits).await;
    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    for file in std::fs::read_dir(tiny_model()).expect("its files") {
        let file = file.expect("a file");
        std::fs::copy(file.path(), other.join(file.file_name())).expect("a copy");
    }
    let open = || door.open(admitted("other", other.clone(), None), book());

    let refused = open().await.expect_err("there is no room");
    assert!(
        refused
            .text
            .starts_with("cannot serve other: the weights of"),
        "{refused:?}"
    );
    // An adapter brings no base of its own.
    open_adapter(&door, folder.path(), ("one", 1), false).await;
    assert_eq!(ask(&door, question("hello", json!({}))).await.status, 200);
    for name in ["tiny", "one"] {
        door.close(name).await;
    }
    // Once the last answer's slot has let go of them there is.
    let began = Instant::now();
    while let Err(refused) = open().await {
        assert!(began.elapsed() < PATIENCE, "{refused:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
