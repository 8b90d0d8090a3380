//! What cannot be used is a 400 that says why, and what is made to hurt neither hangs nor kills the server.

use serde_json::{Map, Value, json};

use super::caller::{ask, get, open_door, question};
use crate::{Door, Limits};

fn by_schema(schema: Value) -> Value {
    json!({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}})
}

fn by_regex(pattern: &str) -> Value {
    json!({"structured_outputs": {"regex": pattern}})
}

fn by_grammar(grammar: &str) -> Value {
    json!({"structured_outputs": {"grammar": grammar}})
}

/// Asks for a short answer of `shape`.
async fn short(door: &Door, mut shape: Value) -> super::caller::Reply {
    shape["max_tokens"] = json!(6);
    shape["temperature"] = json!(1.0);
    ask(door, question("hello", shape)).await
}

#[tokio::test]
async fn what_is_not_supported_is_named() {
    let door = open_door(Limits::default()).await;
    for (shape, param, named) in [
        (
            by_schema(json!({"type": "array", "uniqueItems": true})),
            "response_format",
            "uniqueItems",
        ),
        (
            by_schema(json!({"not": {"type": "string"}})),
            "response_format",
            "not",
        ),
        (
            by_schema(json!({"if": {}, "then": {}})),
            "response_format",
            "if",
        ),
        (
            by_schema(json!({"type": "string", "format": "regex"})),
            "response_format",
            "regex",
        ),
        (
            by_schema(json!({"$ref": "https://example.com/schema.json"})),
            "response_format",
            "example.com",
        ),
        (
            by_schema(json!({"$ref": "#/$defs/absent"})),
            "response_format",
            "absent",
        ),
        (
            by_schema(json!({"type": "integer", "minimum": 3, "maximum": 2})),
            "response_format",
            "minimum",
        ),
        (
            by_schema(json!({"type": "strange"})),
            "response_format",
            "strange",
        ),
        (
            by_schema(json!({"type": "string", "pattern": "(?=a)"})),
            "response_format",
            "look",
        ),
        (
            by_schema(json!({"x-guidance": {"lenient": true}, "not": {}})),
            "response_format",
            "x-guidance",
        ),
        (by_regex("(a"), "structured_outputs", "unclosed"),
        (by_regex("a(?!b)"), "structured_outputs", "look"),
        (by_regex(" "), "structured_outputs", "expression"),
        (by_grammar("start: other"), "structured_outputs", "other"),
        (by_grammar("start \"a\""), "structured_outputs", "start"),
    ] {
        let reply = short(&door, shape.clone()).await;
        assert_eq!(reply.refusal(), (400, json!(param), json!(null)), "{shape}");
        let message = reply.body["error"]["message"].as_str().expect("a message");
        assert!(message.contains(named), "{named}: {message}");
    }
}

/// The end of an answer and the marks of a conversation cannot be asked for as text.
#[tokio::test]
async fn special_tokens_are_never_text() {
    let door = open_door(Limits::default()).await;
    for grammar in ["start: <[1]>", "start: <|im_start|>"] {
        let reply = short(&door, by_grammar(grammar)).await;
        assert_eq!(reply.status, 400, "{grammar}: {}", reply.body);
    }
    let reply = short(&door, by_grammar("start: <[*]> \"a\"")).await;
    assert!(!reply.text().contains("<|"), "{}", reply.body);
}

/// Nests `levels` lists around a string.
fn deep(levels: usize) -> Value {
    let inner = json!({"type": "string"});
    (0..levels).fold(inner, |inner, _| json!({"type": "array", "items": inner}))
}

type Bombs = Vec<(&'static str, Value)>;

fn words(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("w{n:05}")).collect()
}

/// So many members of objects, none of which need come.
fn members(count: usize) -> Map<String, Value> {
    let members = words(count).into_iter();
    members
        .map(|word| (word, json!({"type": "null"})))
        .collect()
}

/// Shapes beyond a bound, or which no answer has.
fn refused() -> Bombs {
    let nested =
        |open: &str, close: &str, levels| [open.repeat(levels), close.repeat(levels)].join("a");
    let circle = json!({
        "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a",
    });
    let choices = json!({"structured_outputs": {"choice": words(1001)}});
    let brackets = nested("(", ")", 9000).replace('a', "\"a\"");
    vec![
        ("a deep schema", by_schema(deep(70))),
        ("a schema too deep to read", by_schema(deep(1000))),
        ("a huge list", by_schema(json!({"enum": words(20_000)}))),
        ("a reference to itself", by_schema(json!({"$ref": "#"}))),
        ("references in a circle", by_schema(circle)),
        (
            "too many members",
            by_schema(json!({"type": "object", "properties": members(3000)})),
        ),
        ("a long expression", by_regex(&"a".repeat(5000))),
        ("brackets", by_regex(&nested("(", ")", 2000))),
        (
            "a grammar's brackets",
            by_grammar(&format!("start: {brackets}")),
        ),
        (
            "a long grammar",
            by_grammar(&format!("start: \"{}\"", "a".repeat(40_000))),
        ),
        ("many choices", choices),
        ("a rule that is itself", by_grammar("start: start")),
        ("a terminal in itself", by_grammar("start: A\nA: A \"a\"")),
    ]
}

/// Schemas that grow out of proportion to their length.
fn schema_bombs() -> Bombs {
    let option = |at: usize, n: usize| {
        let name = format!("p{at}");
        json!({"type": "object", "properties": {name: {"const": n}}})
    };
    let either = |at: usize| {
        let options: Vec<Value> = (0..6).map(|n| option(at, n)).collect();
        json!({"anyOf": options})
    };
    let product: Vec<Value> = (0..12).map(either).collect();
    let endless = json!({
        "type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"],
    });
    let schemas = [
        ("a large list", json!({"enum": words(12_000)})),
        (
            "many members",
            json!({"type": "object", "properties": members(400)}),
        ),
        ("a schema as deep as may be", deep(30)),
        ("a product of choices", json!({"allOf": product})),
        ("an object that must hold itself", endless),
        (
            "a billion items",
            json!({"type": "array", "minItems": 1_000_000_000, "items": {"type": "null"}}),
        ),
        (
            "a billion characters",
            json!({"type": "string", "minLength": 1_000_000_000}),
        ),
        (
            "a tiny step",
            json!({"type": "number", "multipleOf": 1e-300}),
        ),
        (
            "large numbers",
            json!({"type": "number", "maximum": 1e300, "multipleOf": 7919}),
        ),
        (
            "odd characters",
            json!({"const": "\u{0}\u{10ffff}\u{202e}👩‍🚀"}),
        ),
    ];
    schemas
        .map(|(name, schema)| (name, by_schema(schema)))
        .to_vec()
}

/// Expressions that take a backtracking or a determinising matcher out of its depth.
fn regex_bombs() -> Bombs {
    let patterns = [
        ("nested repetition", "(a+)+b"),
        ("two repetitions of the same", "(x+x+)+y"),
        ("the same twice", "(a|a|a|aa)*c"),
        ("a long count", "a{100000}"),
        ("counts of counts", "(((a{1000}){1000}){1000}){1000}"),
        ("states without end", "(a|b)*a(a|b){2000}"),
        ("many places for a letter", "(.*a){60}"),
        ("any character", r"[\s\S]{0,100000}x"),
        ("every letter", r"[\p{L}\p{N}]{300}[\p{Han}&&[^一]]{300}"),
    ];
    patterns
        .map(|(name, pattern)| (name, by_regex(pattern)))
        .to_vec()
}

/// Grammars that are ambiguous, deep or wide.
fn grammar_bombs() -> Bombs {
    let denials = format!("start: A\nA: {}\"a\"", "~".repeat(3001));
    let shared = "start: A\nA: /(.*a){40}/ & /(.*b){40}/ & ~/(.*c){40}/";
    vec![
        (
            "everything",
            by_grammar("start: start start | \"a\" | \"\""),
        ),
        ("a chain of rules", by_grammar(&chain(1500, "r"))),
        ("a chain of terminals", by_grammar(&chain(1500, "T"))),
        ("denials", by_grammar(&denials)),
        ("what expressions share", by_grammar(shared)),
        ("many rules at once", by_grammar(&alternatives(1500))),
    ]
}

/// Rules or terminals each of which is the next and a letter.
fn chain(count: usize, prefix: &str) -> String {
    let mut grammar = format!("start: {prefix}0\n");
    for at in 0..count {
        grammar += &format!("{prefix}{at}: {prefix}{} \"a\"\n", at + 1);
    }
    grammar + &format!("{prefix}{count}: \"b\"\n")
}

/// A choice between many rules.
fn alternatives(count: usize) -> String {
    let names: Vec<String> = (0..count).map(|at| format!("r{at}")).collect();
    let mut grammar = format!("start: {}\n", names.join("|"));
    for name in &names {
        grammar += &format!("{name}: /a/\n");
    }
    grammar
}

/// The caller's patience is the bound on their time.
#[tokio::test(flavor = "multi_thread")]
async fn bombs_are_refused_or_bounded_and_the_server_goes_on() {
    let door = open_door(Limits::default()).await;
    let bounded = [schema_bombs(), regex_bombs(), grammar_bombs()].concat();
    let none = refused().len();
    for (at, (name, shape)) in refused().into_iter().chain(bounded).enumerate() {
        let begun = std::time::Instant::now();
        let reply = short(&door, shape).await;
        let message = &reply.body["error"]["message"];
        eprintln!(
            "{name}: {} in {:?} {message}",
            reply.status,
            begun.elapsed()
        );
        match reply.status {
            // Some show only in a step that they are too much: this answer ends, with the reason.
            400 => assert!(
                message.as_str().is_some_and(|text| text.len() < 1000),
                "{name}"
            ),
            200 => assert!(at >= none, "{name}: {}", reply.body),
            other => panic!("{name}: {other} {}", reply.body),
        }
        let plain = ask(&door, question("hello", json!({"max_tokens": 2}))).await;
        assert_eq!(plain.status, 200, "after {name}");
    }
    assert_eq!(get(&door, "/health").await.status, 200);
    assert_eq!(door.free_places(), Limits::default().requests_max());
}

#[tokio::test]
async fn a_grammar_that_is_not_ready_in_time_is_refused() {
    let limits = Limits {
        grammar_ms_max: 0,
        ..Limits::default()
    };
    let door = open_door(limits).await;
    let reply = short(&door, by_schema(json!({"enum": words(12_000)}))).await;
    assert_eq!(
        reply.refusal(),
        (400, json!("response_format"), json!(null))
    );
    let message = reply.body["error"]["message"].as_str().expect("a message");
    assert!(message.contains("0 ms"), "{message}");
    let plain = ask(&door, question("hello", json!({"max_tokens": 2}))).await;
    assert_eq!(plain.status, 200);
}
