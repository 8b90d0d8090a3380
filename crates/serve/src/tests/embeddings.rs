//! `/v1/embeddings`: texts as vectors.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_engine::{Chunk, KvCache, Logits, MeanPooling, Scratch, last_states};
use lathe_evidence::Digest;
use lathe_evidence::receipt::Ended;
use lathe_kernel::Pool;
use lathe_workshop::Door as _;
use serde_json::{Value, json};

use super::caller::{Reply, ask, open_door, post, question, until_free};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

async fn embed(door: &Door, input: Value, extra: Value) -> Reply {
    let mut body = json!({"model": "tiny", "input": input});
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    post(door, "/v1/embeddings", body).await
}

fn vectors(reply: &Reply) -> Vec<Vec<f32>> {
    assert_eq!(reply.status, 200, "{}", reply.body);
    let data = reply.body["data"].as_array().expect("a list");
    let vector = |(index, entry): (usize, &Value)| {
        assert_eq!(
            (&entry["object"], &entry["index"]),
            (&json!("embedding"), &json!(index))
        );
        let numbers = entry["embedding"].as_array().expect("numbers");
        numbers
            .iter()
            .map(|it| it.as_f64().expect("a number") as f32)
            .collect()
    };
    data.iter().enumerate().map(vector).collect()
}

#[tokio::test]
async fn a_vector_points_along_the_mean_of_the_last_states() {
    let door = open_door(Limits::default()).await;
    let served = door.inner().catalogue.find("tiny").expect("open");
    let (model, text) = (served.model(), "The camera is great.");
    let tokens = model.tokenizer.encode(text);
    let reply = embed(&door, json!(text), json!({})).await;
    assert_eq!(
        reply.body["usage"],
        json!({"prompt_tokens": tokens.len(), "total_tokens": tokens.len()})
    );
    let found = vectors(&reply).remove(0);
    let chunk = Chunk {
        cache: &mut KvCache::new(&model.config),
        tokens: &tokens,
        logits: Logits::None,
    };
    let pool = Pool::new(1);
    let states = last_states(model, &pool, None, &mut [chunk], &mut Scratch::default());
    let mut pooling = MeanPooling::new(model.config.hidden);
    pooling.add(&states);
    assert_eq!(found, pooling.finish());
    let own: f64 = found.iter().map(|it| f64::from(*it).powi(2)).sum();
    assert!((own - 1.0).abs() < 1e-5, "{own}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_has_the_same_bits_in_every_form_and_company() {
    let long = "The battery lasts a whole weekend. ".repeat(8);
    let texts = ["It broke.", &long, "ok 好"];
    let door = open_door(Limits::default()).await;
    let together = vectors(&embed(&door, json!(texts), json!({})).await);
    assert_ne!(together[0], together[2]);
    for (text, expected) in texts.iter().zip(&together) {
        let encoded = embed(&door, json!(text), json!({"encoding_format": "base64"})).await;
        let encoded = encoded.body["data"][0]["embedding"]
            .as_str()
            .expect("text")
            .to_owned();
        let bytes = BASE64.decode(encoded).expect("base64");
        let words = bytes.chunks_exact(4).map(|it| it.try_into().expect("four"));
        let decoded: Vec<f32> = words.map(f32::from_le_bytes).collect();
        assert_eq!(decoded, *expected);
    }
    let served = door.inner().catalogue.find("tiny").expect("open");
    let ids: Vec<Vec<u32>> = texts
        .iter()
        .map(|text| served.model().tokenizer.encode(text))
        .collect();
    // Read in small pieces, while an answer is made.
    let door = open_door(Limits {
        prefill_tokens_max: 9,
        ..Limits::default()
    })
    .await;
    let extra = json!({"max_tokens": 300, "ignore_eos": true});
    let (beside, reply) = tokio::join!(
        ask(&door, question("hello", extra)),
        embed(&door, json!(ids), json!({}))
    );
    assert_eq!(beside.status, 200);
    assert_eq!(vectors(&reply), together);
}

#[tokio::test]
async fn vectors_have_a_receipt_of_their_base64() {
    let (book, door) = (book(), Door::with_limits(2, Limits::default()));
    let tiny = admitted("tiny", tiny_model(), None);
    door.open(tiny, book.clone()).await.expect("opens");
    let base64 = json!({"encoding_format": "base64"});
    let reply = embed(&door, json!(["It broke.", "Why?"]), base64).await;
    let (receipt, _) = book.closed().pop().expect("closed");
    assert_eq!(reply.headers["x-lathe-receipt"], receipt.id.as_str());
    assert_eq!(reply.body["lathe"]["receipt"], json!(receipt.id));
    let encoded = [0, 1].map(|at| reply.body["data"][at]["embedding"].as_str().expect("text"));
    assert_eq!(receipt.answer, Digest::of(encoded.join("\n").as_bytes()));
    let input = r#"[{"content":"It broke.","role":"input"},{"content":"Why?","role":"input"}]"#;
    assert_eq!(receipt.prompt, Digest::of(input.as_bytes()));
    assert_eq!((receipt.ended, receipt.answer_tokens), (Ended::Stop, 0));
    assert_eq!(
        json!(receipt.prompt_tokens),
        reply.body["usage"]["prompt_tokens"]
    );
    until_free(&door, Limits::default().requests_max()).await;
}

#[tokio::test]
async fn what_cannot_be_embedded_is_refused_by_name() {
    let door = open_door(Limits::default()).await;
    let length = json!("context_length_exceeded");
    for (input, extra, param, code) in [
        (json!(""), json!({}), "input", json!(null)),
        (json!(["a", ""]), json!({}), "input", json!(null)),
        (json!([9_999_999]), json!({}), "input", json!(null)),
        (json!(vec![5; 513]), json!({}), "input", length),
        (
            json!("a"),
            json!({"dimensions": 8}),
            "dimensions",
            json!("unsupported_parameter"),
        ),
    ] {
        let reply = embed(&door, input, extra).await;
        assert_eq!(reply.refusal(), (400, json!(param), code));
    }
    assert_eq!(
        vectors(&embed(&door, json!(vec![5; 512]), json!({})).await).len(),
        1
    );
}
