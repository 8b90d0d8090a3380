//! Token ids and decoded texts against transformers.
//!
//! The expected values come from `tests/reference/make_tokenizer_vectors.py`.

#[path = "support/gguf_writer.rs"]
mod gguf_writer;

use gguf_writer::GgufWriter;
use lathe_engine::gguf::Gguf;
use lathe_engine::{EngineError, Tokenizer};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
struct Vectors {
    strings: Vec<String>,
    smollm2: Expected,
    tiny: Expected,
    words: Words,
    marked: Expected,
}

/// Ids of the strings, and what transformers makes of these ids.
#[derive(Deserialize)]
struct Expected {
    ids: Vec<Vec<u32>>,
    whole: Vec<String>,
    plain: Vec<String>,
}

#[derive(Deserialize)]
struct Words {
    tokens: Vec<String>,
    merges: Vec<String>,
    ids: BTreeMap<String, Vec<Option<Vec<u32>>>>,
}

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests")
}

fn read(name: &str) -> Vec<u8> {
    std::fs::read(tests_folder().join(name)).expect("the file is there")
}

fn vectors() -> Vectors {
    serde_json::from_slice(&read("reference/tokenizer-vectors.json")).expect("the vectors")
}

fn check(tokenizer: &Tokenizer, strings: &[String], expected: &Expected) {
    assert!(strings.len() > 80);
    for (index, text) in strings.iter().enumerate() {
        let ids = &expected.ids[index];
        assert_eq!(&tokenizer.encode(text), ids, "{text:?}");
        assert_eq!(
            tokenizer.decode(ids, false),
            expected.whole[index],
            "{text:?}"
        );
        assert_eq!(
            tokenizer.decode(ids, true),
            expected.plain[index],
            "{text:?}"
        );
        let mut stream = tokenizer.stream(false);
        let mut streamed: String = ids.iter().map(|id| stream.push(*id)).collect();
        streamed.push_str(&stream.finish());
        assert_eq!(streamed, expected.whole[index], "{text:?}");
    }
}

#[test]
fn a_tokenizer_json_gives_the_ids_of_transformers() {
    let vectors = vectors();
    let tokenizer = Tokenizer::from_json(&read("fixtures/tiny-model/tokenizer.json"));
    check(&tokenizer.expect("builds"), &vectors.strings, &vectors.tiny);
}

#[test]
fn gguf_metadata_give_the_ids_of_transformers() {
    let vectors = vectors();
    let file = read("fixtures/tiny-model.gguf");
    let tokenizer = Tokenizer::from_gguf(&Gguf::parse(&file).expect("parses"));
    check(&tokenizer.expect("builds"), &vectors.strings, &vectors.tiny);
}

#[test]
fn a_sentencepiece_like_tokenizer_gives_the_ids_of_transformers() {
    let vectors = vectors();
    let tokenizer = Tokenizer::from_json(&read("reference/marked-tokenizer.json"));
    check(
        &tokenizer.expect("builds"),
        &vectors.strings,
        &vectors.marked,
    );
}

/// Run with LATHE_TEST_MODEL=… cargo test -p lathe-engine --test tokenizers -- --ignored
#[test]
#[ignore = "needs SmolLM2-135M-Instruct.Q4_1.gguf; name it in LATHE_TEST_MODEL"]
fn smollm2_gives_the_ids_of_transformers() {
    let vectors = vectors();
    let path = std::env::var("LATHE_TEST_MODEL").expect("LATHE_TEST_MODEL is set");
    let model = lathe_engine::open(Path::new(&path)).expect("opens");
    check(&model.tokenizer, &vectors.strings, &vectors.smollm2);
}

fn words_file(words: &Words, pre: &str) -> Vec<u8> {
    GgufWriter::default()
        .string("tokenizer.ggml.model", "gpt2")
        .string("tokenizer.ggml.pre", pre)
        .strings(
            "tokenizer.ggml.tokens",
            words.tokens.iter().map(String::as_str),
        )
        .strings(
            "tokenizer.ggml.merges",
            words.merges.iter().map(String::as_str),
        )
        .finish()
}

fn from_gguf(file: &[u8]) -> Result<Tokenizer, EngineError> {
    Tokenizer::from_gguf(&Gguf::parse(file).expect("parses"))
}

#[test]
fn every_rule_for_words_gives_the_ids_of_its_reference() {
    let Vectors { strings, words, .. } = vectors();
    assert_eq!(words.ids.len(), 5);
    for (pre, expected) in &words.ids {
        let tokenizer = from_gguf(&words_file(&words, pre)).expect("builds");
        for (text, ids) in strings.iter().zip(expected) {
            if let Some(ids) = ids {
                assert_eq!(&tokenizer.encode(text), ids, "{pre}: {text:?}");
            }
        }
    }
}

#[test]
fn an_unknown_rule_or_kind_is_refused_by_name() {
    let words = vectors().words;
    let error = from_gguf(&words_file(&words, "superbpe"))
        .err()
        .expect("is refused");
    assert!(error.to_string().contains("\"superbpe\""), "{error}");
    let unigram = GgufWriter::default()
        .string("tokenizer.ggml.model", "t5")
        .finish();
    let error = from_gguf(&unigram).err().expect("is refused");
    assert!(error.to_string().contains("\"t5\""), "{error}");
}

/// The vocabulary of tiny-gemma3 as GGUF files have it: tokens, scores and types, no merges.
fn sentencepiece_file(change: impl FnOnce(&mut Vec<f32>)) -> Vec<u8> {
    let json: serde_json::Value =
        serde_json::from_slice(&read("fixtures/tiny-gemma3/tokenizer.json")).expect("JSON");
    let vocab = json["model"]["vocab"].as_object().expect("an object");
    let mut tokens: Vec<&str> = vec![""; vocab.len()];
    for (token, id) in vocab {
        tokens[id.as_u64().expect("an id") as usize] = token;
    }
    let kind = |token: &&str| match *token {
        token if token.starts_with("<0x") => 6,
        "<unk>" => 2,
        token if token.starts_with('<') => 3,
        token if token.starts_with('\n') => 4,
        _ => 1,
    };
    let kinds: Vec<i32> = tokens.iter().map(kind).collect();
    // What was learnt first has the best score.
    let mut scores: Vec<f32> = (0..tokens.len()).map(|id| -(id as f32)).collect();
    change(&mut scores);
    GgufWriter::default()
        .string("tokenizer.ggml.model", "llama")
        .string("tokenizer.ggml.pre", "default")
        .strings("tokenizer.ggml.tokens", tokens)
        .floats("tokenizer.ggml.scores", scores)
        .signed("tokenizer.ggml.token_type", kinds)
        .unsigned("tokenizer.ggml.unknown_token_id", 3)
        .boolean("tokenizer.ggml.add_space_prefix", false)
        .finish()
}

#[test]
fn sentencepiece_metadata_give_the_ids_of_the_folder() {
    let folder = Tokenizer::from_json(&read("fixtures/tiny-gemma3/tokenizer.json"));
    let folder = folder.expect("builds");
    let gguf = from_gguf(&sentencepiece_file(|_| {})).expect("builds");
    let mut merged = 0;
    for text in vectors().strings {
        let ids = folder.encode(&text);
        assert_eq!(gguf.encode(&text), ids, "{text:?}");
        assert_eq!(gguf.decode(&ids, false), folder.decode(&ids, false));
        merged += text.len().saturating_sub(ids.len());
    }
    assert!(merged > 200, "only {merged} merges");
    let text = "<start_of_turn>user\n\nIt's  12.5 €, 你好<end_of_turn>\n";
    assert_eq!(gguf.decode(&gguf.encode(text), false), text);
    assert_eq!(gguf.encode("<bos>a")[0], 2);
}

#[test]
fn scores_must_be_as_many_as_tokens() {
    let error = from_gguf(&sentencepiece_file(|scores| scores.truncate(7)));
    let error = error.err().expect("is refused").to_string();
    assert!(error.contains("7 scores"), "{error}");
}

/// One change to the fixture's tokenizer.json, and what the refusal must say.
fn refused(change: impl FnOnce(&mut serde_json::Value), reason: &str) {
    let mut json: serde_json::Value =
        serde_json::from_slice(&read("fixtures/tiny-model/tokenizer.json")).expect("JSON");
    change(&mut json);
    let error = Tokenizer::from_json(json.to_string().as_bytes())
        .err()
        .expect("is refused");
    assert!(error.to_string().contains(reason), "{error}");
}

#[test]
fn what_would_change_the_ids_unseen_is_refused() {
    use serde_json::json;
    refused(|t| t["model"]["type"] = json!("Unigram"), "\"Unigram\"");
    refused(|t| t["model"]["dropout"] = json!(0.1), "\"dropout\"");
    refused(
        |t| t["model"]["end_of_word_suffix"] = json!("</w>"),
        "\"end_of_word_suffix\"",
    );
    refused(|t| t["model"]["unk_token"] = json!("<unk>"), "<unk>");
    refused(
        |t| t["model"]["merges"][0] = json!(["a", "<nowhere>"]),
        "<nowhere>",
    );
    refused(|t| t["model"]["vocab"]["!"] = json!(4), "share the id 4");
    refused(
        |t| t["added_tokens"][0]["id"] = json!(77),
        "share the id 77",
    );
    refused(
        |t| t["normalizer"] = json!({"type": "Precompiled"}),
        "\"Precompiled\"",
    );
    refused(
        |t| t["pre_tokenizer"] = json!({"type": "UnicodeScripts"}),
        "\"UnicodeScripts\"",
    );
    refused(
        |t| t["decoder"] = json!({"type": "WordPiece"}),
        "\"WordPiece\"",
    );
}
