//! Constrained answers: of the shape that was asked for, whatever the model would rather say.

use std::path::Path;

use futures_util::future::join_all;
use lathe_workshop::Door as _;
use serde_json::{Value, json};

use super::caller::{Reply, Stream, ask, open_door, pieces, question};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

/// Answers drawn for each shape.
const SEEDS: u64 = 24;

fn schema_format(schema: &Value) -> Value {
    json!({"response_format": {
        "type": "json_schema",
        "json_schema": {"name": "shape", "strict": true, "schema": schema},
    }})
}

/// Draws answers of `model` at temperature 1, all at once.
async fn draw(door: &Door, model: &str, shape: &Value) -> Vec<Reply> {
    let drawn = (0..SEEDS).map(|seed| {
        let mut extra = json!({"model": model, "temperature": 1.0, "seed": seed});
        let shape = shape.as_object().expect("an object").clone();
        extra.as_object_mut().expect("an object").extend(shape);
        ask(door, question("hello", extra))
    });
    join_all(drawn).await
}

fn finish_reason(reply: &Reply) -> &str {
    let reason = &reply.body["choices"][0]["finish_reason"];
    reason.as_str().expect("a reason")
}

/// The answers that ended by themselves, which must be most: the others met the end of the context.
fn whole(replies: &[Reply]) -> Vec<&str> {
    let stopped = replies.iter().filter(|reply| {
        reply.text();
        finish_reason(reply) == "stop"
    });
    let texts: Vec<&str> = stopped.map(Reply::text).collect();
    assert!(4 * texts.len() >= 3 * replies.len(), "{}", texts.len());
    texts
}

/// Enumerations, nested objects, lists with bounds, numbers, patterns, Chinese, recursion.
fn schemas() -> Vec<Value> {
    let review = json!({
        "type": "object",
        "properties": {
            "sentiment": {"enum": ["正面", "负面", "中性", "mixed"]},
            "score": {"type": "integer", "minimum": -3, "maximum": 120},
            "share": {"type": "number", "minimum": 0, "maximum": 1},
            "tags": {
                "type": "array", "minItems": 1, "maxItems": 3,
                "items": {"type": "string", "minLength": 1, "maxLength": 4},
            },
            "customer": {
                "type": "object",
                "properties": {
                    "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
                    "名字": {"type": "string", "pattern": "^[一-龥]{2,4}$"},
                    "vip": {"type": ["boolean", "null"]},
                },
                "required": ["id", "名字"],
                "additionalProperties": false,
            },
        },
        "required": ["sentiment", "score", "tags", "customer"],
        "additionalProperties": false,
    });
    let either = json!({
        "anyOf": [
            {"const": "没有"},
            {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "integer", "minimum": 0, "maximum": 9}],
             "items": false, "minItems": 2},
            {"type": "object", "properties": {"date": {"type": "string", "format": "date"}},
             "required": ["date"], "additionalProperties": false},
        ],
    });
    let tree = json!({
        "$defs": {"node": {
            "type": "object",
            "properties": {
                "v": {"enum": [0, 1, -2.5, "\"\\\n", null]},
                "next": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/node"}]},
            },
            "required": ["v", "next"],
            "additionalProperties": false,
        }},
        "$ref": "#/$defs/node",
    });
    vec![review, either, tree]
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_a_schema_satisfies_it() {
    let door = open_door(Limits::default()).await;
    for schema in schemas() {
        let validator = jsonschema::draft202012::new(&schema).expect("a schema");
        let replies = draw(&door, "tiny", &schema_format(&schema)).await;
        let texts = whole(&replies);
        for text in &texts {
            let answer: Value = serde_json::from_str(text).expect(text);
            assert!(validator.is_valid(&answer), "{text}");
        }
        let distinct: std::collections::BTreeSet<_> = texts.iter().collect();
        assert!(
            distinct.len() > 3,
            "the model chooses among what is allowed"
        );
    }
}

#[tokio::test]
async fn a_greedy_answer_is_constrained_too() {
    let door = open_door(Limits::default()).await;
    let schema = &schemas()[1];
    let validator = jsonschema::draft202012::new(schema).expect("a schema");
    let reply = ask(&door, question("hello", schema_format(schema))).await;
    let answer: Value = serde_json::from_str(reply.text()).expect("JSON");
    assert!(validator.is_valid(&answer), "{answer}");
    assert_eq!(finish_reason(&reply), "stop");
}

#[tokio::test]
async fn a_json_object_is_one() {
    let door = open_door(Limits::default()).await;
    let shape = json!({"response_format": {"type": "json_object"}});
    for reply in draw(&door, "tiny", &shape).await {
        let text = reply.text();
        assert!(text.starts_with('{'), "{text}");
        if finish_reason(&reply) == "stop" {
            match serde_json::from_str::<Value>(text) {
                Ok(answer) => assert!(answer.is_object(), "{text}"),
                // JSON has no largest number; this reader has.
                Err(error) => assert!(
                    error.to_string().contains("out of range"),
                    "{error}: {text}"
                ),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_under_an_expression_matches_it_from_end_to_end() {
    let door = open_door(Limits::default()).await;
    for pattern in [
        r"\d{3}-\d{4}",
        "(是|否|不知道)。",
        "[一-龥]{2,5}[!！]",
        "^(a|b){3}c?$",
        r"[^a-z\x00-\x1f]{4}",
        "(?i)yes|no",
    ] {
        let whole_text = format!("^(?:{pattern})$");
        let expected = regex::Regex::new(&whole_text).expect("an expression");
        let shape = json!({"structured_outputs": {"regex": pattern}});
        let replies = draw(&door, "tiny", &shape).await;
        for text in whole(&replies) {
            assert!(expected.is_match(text), "{pattern}: {text:?}");
        }
    }
}

#[tokio::test]
async fn a_choice_is_one_of_those_and_a_grammar_is_kept() {
    let door = open_door(Limits::default()).await;
    let choices = ["positive", "positively not", "中性", "say \"/no\"\n"];
    let shape = json!({"structured_outputs": {"choice": choices}});
    let replies = draw(&door, "tiny", &shape).await;
    for text in whole(&replies) {
        assert!(choices.contains(&text), "{text}");
    }
    let grammar = "start: item (\"、\" item){1,3}\nitem: \"苹果\" | \"梨\" | \"葡萄\"";
    let shape = json!({"structured_outputs": {"grammar": grammar}});
    let replies = draw(&door, "tiny", &shape).await;
    for text in whole(&replies) {
        let items: Vec<&str> = text.split('、').collect();
        assert!((2..=4).contains(&items.len()), "{text}");
        let known = ["苹果", "梨", "葡萄"];
        assert!(items.iter().all(|item| known.contains(item)), "{text}");
    }
}

/// OpenAI's clients take `length` as the sign that JSON is not whole.
#[tokio::test]
async fn an_answer_cut_by_its_bound_says_so_and_a_whole_one_does_not() {
    let door = open_door(Limits::default()).await;
    let long = json!({"type": "string", "minLength": 100});
    let mut body = question("hello", schema_format(&long));
    body["max_tokens"] = json!(10);
    let reply = ask(&door, body).await;
    assert_eq!(finish_reason(&reply), "length");
    assert_eq!(reply.body["usage"]["completion_tokens"], 10);
    assert!(serde_json::from_str::<Value>(reply.text()).is_err());

    let shape = json!({"structured_outputs": {"choice": ["a"]}, "max_tokens": 1});
    let reply = ask(&door, question("hello", shape)).await;
    assert_eq!((reply.text(), finish_reason(&reply)), ("a", "stop"));
}

#[tokio::test]
async fn a_stream_carries_the_same_answer() {
    let door = open_door(Limits::default()).await;
    let mut body = question("hello", schema_format(&schemas()[0]));
    body["temperature"] = json!(1.0);
    body["seed"] = json!(3);
    let expected = ask(&door, body.clone()).await;
    body["stream"] = json!(true);
    let chunks = Stream::begin(&door, body).await.chunks().await;
    assert_eq!(pieces(&chunks).concat(), expected.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn constrained_and_free_answers_do_not_change_one_another() {
    let door = open_door(Limits::default()).await;
    let request = |index: usize| {
        let mut extra = match index % 3 {
            0 => json!({}),
            1 => schema_format(&schemas()[0]),
            _ => json!({"structured_outputs": {"regex": "[0-9]{8}"}}),
        };
        extra["max_tokens"] = json!(30);
        extra["temperature"] = json!(1.0);
        extra["seed"] = json!(index);
        question("hello", extra)
    };
    let mut alone = Vec::new();
    for index in 0..12 {
        alone.push(ask(&door, request(index)).await.text().to_owned());
    }
    let company = join_all((0..12).map(|index| ask(&door, request(index)))).await;
    let company: Vec<&str> = company.iter().map(Reply::text).collect();
    assert_eq!(company, alone);
}

/// Bytes for what no token spells, and a decoder that drops the text's first space.
#[tokio::test]
async fn a_sentencepiece_model_keeps_every_byte_of_its_shape() {
    let fixture = tiny_model().with_file_name("tiny-gemma3");
    let stripping = tempfile::tempdir().expect("a folder");
    copy_stripping(&fixture, stripping.path());
    let door = Door::with_limits(2, Limits::default());
    for (name, folder) in [("gemma", fixture.as_path()), ("strip", stripping.path())] {
        let model = admitted(name, folder.to_owned(), None);
        door.open(model, book()).await.expect("opens");
        for pattern in [" [a-z ]{3}", "[一-龥]{3}\n", " (坏|好)🔋"] {
            let expected = regex::Regex::new(&format!("^(?:{pattern})$")).expect("one");
            let shape = json!({"structured_outputs": {"regex": pattern}});
            let replies = draw(&door, name, &shape).await;
            for text in whole(&replies) {
                assert!(expected.is_match(text), "{name}: {pattern}: {text:?}");
            }
        }
    }
}

/// Copies a model and gives its decoder Llama 2's last step.
fn copy_stripping(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the fixture is there") {
        let path = entry.expect("readable").path();
        let name = path.file_name().expect("a file");
        std::fs::copy(&path, to.join(name)).expect("copied");
    }
    let path = to.join("tokenizer.json");
    let text = std::fs::read_to_string(&path).expect("readable");
    let mut file: Value = serde_json::from_str(&text).expect("JSON");
    let steps = file["decoder"]["decoders"].as_array_mut();
    let strip = json!({"type": "Strip", "content": " ", "start": 1, "stop": 0});
    steps.expect("a sequence").push(strip);
    // What was copied is read-only where the fixture is.
    std::fs::remove_file(&path).expect("removed");
    std::fs::write(&path, file.to_string()).expect("written");
}

#[tokio::test]
async fn adapters_over_one_base_share_its_vocabulary() {
    let door = open_door(Limits::default()).await;
    let second = admitted("second", tiny_model(), None);
    door.open(second, book()).await.expect("opens");
    let catalogue = &door.inner().catalogue;
    let grammars = |name| catalogue.find(name).expect("open").grammars().clone();
    assert!(std::sync::Arc::ptr_eq(
        &grammars("tiny"),
        &grammars("second")
    ));
}
