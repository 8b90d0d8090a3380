//! Requests that nobody means: bodies, headers, paths, depth, unicode, schemas and expressions made up from
//! fixed seeds. Each is answered in time, in OpenAI's shape, and the server goes on.
//!
//! What is made to hurt by hand is in `grammar_bombs`; the parsers of files have targets in `fuzz/`.

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Method, Request, header};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::caller::{PATIENCE, ask, completion, get, open_door, question, until_free};
use crate::{Door, Limits};

/// Requests of each kind.
const ROUNDS: usize = 150;
/// Longest body of an answer that is read.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// A stream of numbers from a seed (SplitMix64, Steele, Lea and Flood 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len())]
    }

    /// A text of pieces that parsers and tokenizers stumble over.
    fn text(&mut self) -> String {
        const PIECES: [&str; 18] = [
            "a",
            " ",
            "\n",
            "\0",
            "\u{feff}",
            "\u{202e}",
            "👩‍🚀",
            "字",
            "é",
            "\u{10ffff}",
            "\"",
            "\\",
            "<|im_end|>",
            "{{ x }}",
            "{% if %}",
            "$",
            "\u{1b}[2J",
            "-1e999",
        ];
        let length = *self.of(&[0, 1, 3, 12, 40]);
        (0..length).map(|_| *self.of(&PIECES)).collect()
    }

    /// Any value, at most so deep.
    fn value(&mut self, depth: usize) -> Value {
        let numbers = [
            json!(0),
            json!(-1),
            json!(1),
            json!(2.5),
            json!(1e300),
            json!(-0.0),
            json!(u64::MAX),
            json!(i64::MIN),
            json!(4_294_967_296u64),
        ];
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Value::Null,
            1 => json!(self.below(2) == 0),
            2 => self.of(&numbers).clone(),
            3 | 4 => json!(self.text()),
            5 | 6 => (0..self.below(4)).map(|_| self.value(depth - 1)).collect(),
            _ => {
                let members = (0..self.below(4)).map(|_| (self.text(), self.value(depth - 1)));
                Value::Object(members.collect())
            }
        }
    }

    /// A JSON Schema, of words that mean something, mostly.
    fn schema(&mut self, depth: usize) -> Value {
        const TYPES: [&str; 8] = [
            "object", "array", "string", "number", "integer", "boolean", "null", "strange",
        ];
        let mut schema = json!({"type": self.of(&TYPES)});
        for _ in 0..self.below(4) {
            let (name, value) = match self.below(if depth == 0 { 5 } else { 10 }) {
                0 => ("minLength", json!(self.of(&[0, 3, 1_000_000_000]))),
                1 => ("pattern", json!(self.pattern(2))),
                2 => ("maximum", json!(self.of(&[0.0, -7.5, 1e300]))),
                3 => ("enum", self.value(1)),
                4 => (
                    "$ref",
                    json!(self.of(&["#", "#/$defs/a", "#/properties/a", "x:y"])),
                ),
                5 => ("items", self.schema(depth - 1)),
                6 => ("anyOf", (0..3).map(|_| self.schema(depth - 1)).collect()),
                7 => ("allOf", (0..2).map(|_| self.schema(depth - 1)).collect()),
                8 => ("$defs", json!({"a": self.schema(depth - 1)})),
                _ => {
                    let members =
                        ["a", "b", "字"].map(|it| (it.to_owned(), self.schema(depth - 1)));
                    ("properties", Value::Object(Map::from_iter(members)))
                }
            };
            schema[name] = value;
        }
        schema
    }

    /// A regular expression, or nearly one.
    fn pattern(&mut self, depth: usize) -> String {
        const ATOMS: [&str; 14] = [
            "a", ".", r"\d", r"[^a]", r"\p{L}", "[", ")", "字", r"\", "(?=a)", "$", "{2}", "|",
            r"[\s\S]",
        ];
        let mut pattern = String::new();
        for _ in 0..=self.below(4) {
            if depth > 0 && self.below(3) == 0 {
                pattern += &format!("({})", self.pattern(depth - 1));
            } else {
                pattern += *self.of(&ATOMS);
            }
            pattern += *self.of(&["", "*", "+", "?", "{0,1000}", "{3000}"]);
        }
        pattern
    }

    /// A grammar, or nearly one.
    fn grammar(&mut self) -> String {
        const PARTS: [&str; 10] = [
            "start",
            "a",
            "A",
            "\"x\"",
            "|",
            "(a | \"y\")",
            "/[a-z]+/",
            "a*",
            "%json {}",
            "~A",
        ];
        let mut grammar = String::new();
        for name in ["start", "a", "A"] {
            let parts: Vec<&str> = (0..=self.below(4)).map(|_| *self.of(&PARTS)).collect();
            grammar += &format!("{name}: {}\n", parts.join(" "));
        }
        grammar
    }

    /// Changes something somewhere in `value`.
    fn change(&mut self, value: &mut Value) {
        match value {
            Value::Object(members) if !members.is_empty() && self.below(5) > 0 => {
                let name = members.keys().nth(self.below(members.len())).cloned();
                let name = name.expect("one of them");
                match self.below(6) {
                    0 => drop(members.remove(&name)),
                    1 => drop(members.insert(self.text(), self.value(2))),
                    _ => self.change(&mut members[&name]),
                }
            }
            Value::Array(items) if !items.is_empty() && self.below(5) > 0 => {
                let at = self.below(items.len());
                match self.below(4) {
                    0 => items.extend(vec![items[at].clone(); 40]),
                    _ => self.change(&mut items[at]),
                }
            }
            other => *other = self.value(3),
        }
    }
}

/// Sound requests that are changed.
fn sound() -> Vec<(&'static str, Value)> {
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    vec![
        (
            "/v1/chat/completions",
            question(
                "hello",
                json!({
                    "max_tokens": 2, "temperature": 1, "stop": ["x"], "n": 1, "seed": 3, "logprobs": true,
                    "logit_bias": {"5": 1}, "stream": false, "tools": [tool],
                    "response_format": {"type": "json_object"},
                }),
            ),
        ),
        (
            "/v1/completions",
            completion(
                json!(["a", "b"]),
                json!({"max_tokens": 2, "echo": true, "logprobs": 1}),
            ),
        ),
        (
            "/v1/embeddings",
            json!({"model": "tiny", "input": [[1, 2], [3]], "encoding_format": "float"}),
        ),
    ]
}

/// Sends a request and holds the answer against what every answer has to be; its status.
async fn send(door: &Door, request: Request<Body>, what: &str) -> u16 {
    let answered = async {
        let response = door
            .router()
            .oneshot(request)
            .await
            .expect("it never fails");
        let status = response.status().as_u16();
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        let bytes = to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        (status, kind, bytes.expect("a whole body"))
    };
    let answered = tokio::time::timeout(PATIENCE, answered).await;
    let (status, kind, bytes) = answered.unwrap_or_else(|_| panic!("no answer: {what}"));
    let kind = kind
        .as_ref()
        .and_then(|kind| kind.to_str().ok())
        .unwrap_or_default();
    let text = String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| panic!("no text: {what}"));
    match status {
        200 if kind == "text/event-stream" => {
            let last = text.trim_end().rsplit("data: ").next().unwrap_or_default();
            assert!(
                last == "[DONE]" || last.starts_with("{\"error\""),
                "{last}: {what}"
            );
        }
        200 if kind.starts_with("text/plain") => {}
        200 => drop(serde_json::from_str::<Value>(&text).expect("JSON")),
        400 | 404 | 405 | 413 | 415 | 429 | 503 => {
            let body: Value = serde_json::from_str(&text).unwrap_or_default();
            let error = body["error"].as_object();
            let error = error.unwrap_or_else(|| panic!("{status} {text}: {what}"));
            assert!(
                error["message"].is_string() && error["type"].is_string(),
                "{text}: {what}"
            );
        }
        other => panic!("{other} {text}: {what}"),
    }
    status
}

fn posted(path: &str, body: impl Into<Body>) -> Request<Body> {
    let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
    request.body(body.into()).expect("a request")
}

/// The server is as it was.
async fn is_well(door: &Door) {
    until_free(door, Limits::default().requests_max()).await;
    assert_eq!(get(door, "/health").await.status, 200);
    let plain = ask(door, question("hello", json!({"max_tokens": 2}))).await;
    assert_eq!(plain.status, 200, "{}", plain.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_changed_anywhere_are_answered_or_refused() {
    let (door, mut chance) = (open_door(Limits::default()).await, Chance(6));
    let mut answered = 0;
    for round in 0..ROUNDS {
        for (path, mut body) in sound() {
            for _ in 0..=chance.below(3) {
                chance.change(&mut body);
            }
            let what = format!("round {round} {path} {body}");
            answered +=
                usize::from(send(&door, posted(path, body.to_string()), &what).await == 200);
        }
    }
    // Not all is refused at the first look.
    assert!(answered > ROUNDS / 10, "{answered}");
    is_well(&door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_json_are_refused() {
    let (door, mut chance) = (open_door(Limits::default()).await, Chance(7));
    for round in 0..ROUNDS {
        for (path, body) in sound() {
            let mut bytes = body.to_string().into_bytes();
            for _ in 0..=chance.below(4) {
                let at = chance.below(bytes.len());
                match chance.below(4) {
                    0 => bytes[at] = chance.next() as u8,
                    1 => bytes.truncate(at + 1),
                    2 => drop(bytes.splice(at..at, [0xff, 0xfe, 0x00])),
                    _ => {
                        let tail = bytes[at..].to_vec();
                        bytes.extend(tail);
                    }
                }
            }
            let what = format!("round {round} {path}");
            send(&door, posted(path, bytes), &what).await;
        }
    }
    is_well(&door).await;
}

#[tokio::test]
async fn depth_is_refused_wherever_it_stands() {
    let door = open_door(Limits::default()).await;
    for levels in [100, 200, 5_000, 200_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let deep = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            for (path, member) in [
                ("/v1/chat/completions", "messages"),
                ("/v1/chat/completions", "response_format"),
                ("/v1/chat/completions", "tools"),
                ("/v1/chat/completions", "metadata"),
                ("/v1/completions", "prompt"),
                ("/v1/embeddings", "input"),
            ] {
                let messages = "\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]";
                let body = format!(
                    "{{\"model\":\"tiny\",\"max_tokens\":1,{messages},\"{member}\":{deep}}}"
                );
                let what = format!("{levels} levels in {member}");
                let status = send(&door, posted(path, body), &what).await;
                // Deeper than the parser goes: refused before anything looks at it.
                assert!(
                    levels < 128 || matches!(status, 400 | 413),
                    "{status}: {what}"
                );
            }
        }
    }
    is_well(&door).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_expressions_and_grammars_made_up_neither_hang_nor_crash_it() {
    let (door, mut chance) = (open_door(Limits::default()).await, Chance(8));
    for round in 0..ROUNDS {
        let shape = match round % 3 {
            0 => {
                let named = json!({"name": "s", "schema": chance.schema(4)});
                json!({"response_format": {"type": "json_schema", "json_schema": named}})
            }
            1 => json!({"structured_outputs": {"regex": chance.pattern(3)}}),
            _ => json!({"structured_outputs": {"grammar": chance.grammar()}}),
        };
        let what = format!("round {round} {shape}");
        let mut extra = shape;
        extra["max_tokens"] = json!(4);
        extra["temperature"] = json!(1.0);
        let body = question("hello", extra).to_string();
        send(&door, posted("/v1/chat/completions", body), &what).await;
    }
    is_well(&door).await;
}

#[tokio::test]
async fn headers_methods_and_paths_that_nobody_means_are_refused() {
    let (door, mut chance) = (open_door(Limits::default()).await, Chance(9));
    let names = [
        "content-type",
        "authorization",
        "accept",
        "x-lathe-accept-restricted",
        "x-request-id",
        "content-encoding",
        "content-length",
        "transfer-encoding",
        "range",
        "expect",
    ];
    let values: [&[u8]; 8] = [
        b"",
        b"application/json",
        b"application/json;charset=\"",
        b"Bearer ",
        b"\xff\xfe",
        b"1",
        b"gzip",
        &[b'a'; 9000],
    ];
    let paths = [
        "/v1/models/%00",
        "/v1/models/%ff%fe",
        "/v1/models/..%2f..%2fetc",
        "/v1//models",
        "/v1/models?%",
        "/v1/chat/completions/",
        "/health/ready/",
        "/metrics?x=%00",
        "/v1/embeddings",
        "/v1/%E5%AD%97",
    ];
    let methods = [
        Method::GET,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
        Method::HEAD,
    ];
    for round in 0..ROUNDS {
        let (method, path) = (chance.of(&methods).clone(), *chance.of(&paths));
        let mut request = Request::builder().method(&method).uri(path);
        for _ in 0..chance.below(4) {
            let value = HeaderValue::from_bytes(chance.of::<&[u8]>(&values));
            request = request.header(*chance.of(&names), value.expect("a value"));
        }
        let body = chance.text();
        let request = request.body(Body::from(body)).expect("a request");
        let what = format!("round {round} {method} {path}");
        if method == Method::HEAD {
            // An answer to HEAD has no body.
            let response = door
                .router()
                .oneshot(request)
                .await
                .expect("it never fails");
            assert!(!response.status().is_server_error(), "{what}");
        } else if !path.starts_with("/health/ready/") {
            send(&door, request, &what).await;
        }
    }
    is_well(&door).await;
}
