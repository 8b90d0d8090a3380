//! Streamed answers: the chunks, the usage, characters and stop sequences that are
//! split over tokens.

use serde_json::{Value, json};

use lathe_workshop::Door as _;

use super::caller::{Stream, ask, open_door, pieces, question};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

async fn stream(door: &Door, text: &str, extra: Value) -> Vec<Value> {
    let mut body = question(text, extra);
    body["stream"] = json!(true);
    Stream::begin(door, body).await.chunks().await
}

#[tokio::test]
async fn the_pieces_are_the_whole_answer() {
    let door = open_door(Limits::default()).await;
    for asked in ["The camera is great.", "坏了 🔋"] {
        let extra = json!({"max_tokens": 40, "ignore_eos": true});
        let whole = ask(&door, question(asked, extra.clone())).await;
        let chunks = stream(&door, asked, extra).await;
        assert_eq!(pieces(&chunks).concat(), whole.text());
    }
}

#[tokio::test]
async fn chunks_have_the_shape_that_clients_expect() {
    let door = open_door(Limits::default()).await;
    let chunks = stream(&door, "hello", json!({"max_tokens": 5, "ignore_eos": true})).await;
    assert_eq!(
        chunks[0]["choices"][0]["delta"],
        json!({"role": "assistant", "content": ""})
    );
    for chunk in &chunks {
        assert_eq!(chunk["id"], chunks[0]["id"]);
        assert_eq!(chunk["created"], chunks[0]["created"]);
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], "tiny");
        assert_eq!(chunk["choices"].as_array().map(Vec::len), Some(1));
    }
    let (last, before) = chunks.split_last().expect("chunks");
    assert!(
        before
            .iter()
            .all(|chunk| chunk["choices"][0]["finish_reason"].is_null())
    );
    assert_eq!(last["choices"][0]["finish_reason"], "length");
    assert_eq!(last["choices"][0]["delta"], json!({}));
}

#[tokio::test]
async fn usage_stands_where_it_was_asked_for() {
    let door = open_door(Limits::default()).await;
    let tokens = json!({"max_tokens": 5, "ignore_eos": true});
    // The first answer fills the prefix cache; from the second on the cached count stays.
    ask(&door, question("hello", tokens.clone())).await;
    let expected = ask(&door, question("hello", tokens.clone())).await.body["usage"].clone();
    let asked = |options: Value| {
        let mut extra = tokens.clone();
        extra["stream_options"] = options;
        stream(&door, "hello", extra)
    };

    let by_default = stream(&door, "hello", tokens.clone()).await;
    let (last, before) = by_default.split_last().expect("chunks");
    assert_eq!(last["usage"], expected);
    assert!(before.iter().all(|chunk| chunk.get("usage").is_none()));

    let own = asked(json!({"include_usage": true})).await;
    let (last, before) = own.split_last().expect("chunks");
    assert_eq!((&last["usage"], &last["choices"]), (&expected, &json!([])));
    assert!(
        before
            .iter()
            .all(|chunk| chunk.get("usage") == Some(&Value::Null))
    );

    let absent = asked(json!({"include_usage": false})).await;
    assert!(absent.iter().all(|chunk| chunk.get("usage").is_none()));
}

#[tokio::test]
async fn a_stop_sequence_over_token_borders_ends_the_answer_before_it() {
    let door = open_door(Limits::default()).await;
    let free = json!({"max_tokens": 48, "ignore_eos": true});
    let pieces_free = pieces(&stream(&door, "The sound is poor.", free.clone()).await);
    let text = pieces_free.concat();
    let mut checked = 0;
    for border in 1..pieces_free.len() - 1 {
        let last = pieces_free[border].chars().last();
        let next = pieces_free[border + 1].chars().next();
        let (Some(last), Some(next)) = (last, next) else {
            continue;
        };
        let stop: String = [last, next].iter().collect();
        let before = &text[..text.find(&stop).expect("it stands at the border")];
        let mut extra = free.clone();
        extra["stop"] = json!([stop, "never said"]);
        let whole = ask(&door, question("The sound is poor.", extra.clone())).await;
        assert_eq!(whole.text(), before, "stop {stop:?}");
        assert_eq!(whole.body["choices"][0]["finish_reason"], "stop");
        let chunks = stream(&door, "The sound is poor.", extra).await;
        assert_eq!(pieces(&chunks).concat(), before, "stop {stop:?}");
        checked += 1;
    }
    assert!(checked > 5, "only {checked} borders in {pieces_free:?}");
}

#[tokio::test]
async fn no_piece_holds_half_a_character() {
    let door = open_door(Limits::default()).await;
    // At a high temperature the byte-level vocabulary is drawn from at large: pieces
    // of characters come and go. What is streamed must be what is sent whole.
    for seed in 0..8 {
        let extra = json!({"max_tokens": 64, "temperature": 2.0, "seed": seed, "ignore_eos": true});
        let whole = ask(&door, question("café 日本語", extra.clone())).await;
        let chunks = stream(&door, "café 日本語", extra).await;
        assert_eq!(pieces(&chunks).concat(), whole.text(), "seed {seed}");
    }
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let limits = Limits {
        ping_ms: 10,
        ..Limits::default()
    };
    let (book, door) = (book(), Door::with_limits(2, limits));
    let model = admitted("tiny", tiny_model(), None);
    door.open(model, book.clone()).await.expect("opens");
    // The end is held back for as long as its receipt is not closed.
    book.turns.forget_permits(usize::MAX);
    book.turns.add_permits(1);
    let body = question("hello", json!({"max_tokens": 2, "stream": true}));
    let mut stream = Stream::begin(&door, body).await;
    let mut pings = 0;
    while pings < 3 {
        let block = stream.next_block().await.expect("no end");
        pings += usize::from(block.starts_with(':'));
    }
    book.turns.add_permits(1);
    let last = stream.chunks().await;
    let last = last.last().expect("a chunk");
    assert_eq!(last["choices"][0]["finish_reason"], "length");
}
