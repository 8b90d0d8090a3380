//! Tools in a request: written into the prompt by a template that knows them, else refused by name.

use std::path::Path;
use std::sync::Arc;

use lathe_engine::{LoadOptions, Message, Model};
use lathe_evidence::receipt::Ended;
use lathe_workshop::Door as _;
use serde_json::{Value, json};

use super::caller::{Stream, ask, open_door, question};
use super::fixture::{MemoryBook, admitted, book, tiny_model};
use crate::{Door, Limits};

/// Copies the tiny model with a template that writes tools: one of the engine's vectors.
fn copy_with_tools(folder: &Path) {
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        std::fs::copy(tiny_model().join(name), folder.join(name)).expect("copied");
    }
    let vectors = include_str!("../../../../tests/reference/tool-vectors.json");
    let vectors: Value = serde_json::from_str(vectors).expect("JSON");
    let template = vectors["templates"]["thinking"]["source"].as_str();
    let path = folder.join("chat_template.jinja");
    std::fs::write(path, template.expect("a template")).expect("written");
}

pub(super) async fn door_with_tools(folder: &Path) -> (Door, Arc<MemoryBook>) {
    copy_with_tools(folder);
    let (door, book) = (Door::with_limits(2, Limits::default()), book());
    door.open(admitted("tiny", folder.to_path_buf(), None), book.clone())
        .await
        .expect("opens");
    (door, book)
}

pub(super) fn now() -> Value {
    json!([{"type": "function", "function": {"name": "now", "description": "Tells the time."}}])
}

/// A question, a call and what it gave back.
fn asked(arguments: Value) -> Value {
    let function = json!({"name": "now", "arguments": arguments});
    json!([
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": null, "reasoning_content": "I look.",
         "tool_calls": [{"id": "1", "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": "1", "content": "12:30"},
    ])
}

#[tokio::test]
async fn a_template_that_knows_tools_writes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, book) = door_with_tools(folder.path()).await;
    let messages = asked(json!("{\"precision\": 0.5}"));
    let body = json!({"messages": messages, "tools": now(), "max_tokens": 2});
    let reply = ask(&door, question("", body)).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let model = Model::load(folder.path(), LoadOptions::default()).expect("loads");
    let messages: Vec<Message> =
        serde_json::from_value(asked(json!({"precision": 0.5}))).expect("messages");
    let template = model.template.as_ref().expect("a template");
    let prompt = template.render_with_tools(&messages, Some(&now()), true);
    let prompt = prompt.expect("renders");
    assert!(prompt.contains("Tells the time.") && prompt.contains("{\"precision\": 0.5}"));
    let tokens = model.tokenizer.encode(&prompt).len();
    assert_eq!(reply.body["usage"]["prompt_tokens"], tokens);

    let closed = book.closed();
    let kept = closed[0].1.texts.as_ref().expect("this book keeps texts");
    let kept: Value = serde_json::from_str(&kept.prompt).expect("JSON");
    let spelt = |value: &Value| -> Value {
        serde_json::from_str(value.as_str().expect("a text")).expect("JSON")
    };
    assert_eq!(spelt(&kept[0]["tools"]), now(), "what was read is told");
    let call = &spelt(&kept[2]["tool_calls"])[0]["function"];
    assert_eq!(call["arguments"], json!({"precision": 0.5}));
    assert_eq!(kept[2]["reasoning_content"], "I look.");
    assert_eq!(kept[3]["tool_call_id"], "1");
}

#[tokio::test]
async fn no_choice_of_a_tool_is_no_tool() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, _book) = door_with_tools(folder.path()).await;
    let tokens = async |extra: Value| {
        let reply = ask(&door, question("What time is it?", extra)).await;
        reply.body["usage"]["prompt_tokens"]
            .as_u64()
            .expect("a count")
    };
    let none = tokens(json!({"max_tokens": 1, "tools": now(), "tool_choice": "none"})).await;
    let auto = tokens(json!({"max_tokens": 1, "tools": now(), "tool_choice": "auto"})).await;
    assert_eq!(none, tokens(json!({"max_tokens": 1})).await);
    assert!(auto > none);
}

fn tools() -> Value {
    let parameters = json!({
        "type": "object",
        "properties": {
            "city": {"$ref": "#/$defs/city"},
            "days": {"type": "array", "items": {"enum": [1, 2]}, "maxItems": 2},
        },
        "required": ["city", "days"],
        "additionalProperties": false,
        "$defs": {"city": {"enum": ["北京", "Oslo"]}},
    });
    json!([
        {"type": "function", "function": {"name": "now"}},
        {"type": "function", "function": {"name": "weather", "parameters": parameters}},
    ])
}

/// llama.cpp #28261: a call silently became text. One that is forced is a call, or the request fails.
#[tokio::test]
async fn a_forced_call_is_a_call_that_the_tools_schema_accepts() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, book) = door_with_tools(folder.path()).await;
    let schema =
        jsonschema::validator_for(&tools()[1]["function"]["parameters"]).expect("a schema");
    let named = json!({"type": "function", "function": {"name": "weather"}});
    for (choice, seeds, reason) in [
        (named, 0..6, "stop"),
        (json!("required"), 6..18, "tool_calls"),
    ] {
        for seed in seeds {
            let body =
                json!({"tools": tools(), "tool_choice": choice, "temperature": 1.5, "seed": seed});
            let reply = ask(&door, question("The weather?", body.clone())).await;
            assert_eq!(reply.status, 200, "{}", reply.body);
            let answer = &reply.body["choices"][0];
            assert_eq!(answer["finish_reason"], reason, "{answer}");
            assert!(answer["message"]["content"].is_null());
            let function = &answer["message"]["tool_calls"][0]["function"];
            let arguments = function["arguments"].as_str().expect("a text");
            let parsed: Value = serde_json::from_str(arguments).expect("JSON");
            match function["name"].as_str() {
                Some("weather") => assert!(schema.is_valid(&parsed), "{parsed}"),
                name => assert_eq!((name, parsed), (Some("now"), json!({})), "{choice}"),
            }
            if choice != "required" {
                assert_eq!(function["name"], "weather");
            }
            // The same in pieces, and what the receipt is of.
            let mut streamed = body;
            streamed["stream"] = json!(true);
            let chunks = Stream::begin(&door, question("The weather?", streamed))
                .await
                .chunks()
                .await;
            let deltas: Vec<&Value> = chunks
                .iter()
                .map(|it| &it["choices"][0]["delta"]["tool_calls"][0])
                .collect();
            let begun: Vec<&&Value> = deltas.iter().filter(|it| it["id"].is_string()).collect();
            assert_eq!(
                (begun.len(), &begun[0]["function"]["name"]),
                (1, &function["name"])
            );
            let pieces = deltas
                .iter()
                .filter_map(|it| it["function"]["arguments"].as_str());
            assert_eq!(pieces.collect::<String>(), arguments);
            assert!(
                chunks
                    .iter()
                    .any(|it| it["choices"][0]["finish_reason"] == reason)
            );
            let texts = book.closed().pop().and_then(|it| it.1.texts).expect("kept");
            let written: Value = serde_json::from_str(&texts.answer).expect("JSON");
            assert_eq!(written["name"], function["name"]);
            assert!(texts.answer.contains(arguments), "{}", texts.answer);
        }
    }
}

#[tokio::test]
async fn a_forced_call_that_is_cut_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, _book) = door_with_tools(folder.path()).await;
    let body = json!({"tools": tools(), "tool_choice": "required", "max_tokens": 1});
    let reply = ask(&door, question("The weather?", body)).await;
    assert_eq!(reply.body["choices"][0]["finish_reason"], "length");
    assert!(reply.body["choices"][0]["message"]["tool_calls"].is_null());
    // A schema that cannot be kept to is named, as in every shape.
    let mut odd = tools();
    odd[1]["function"]["parameters"] = json!({"type": "object", "not": {}});
    let body = json!({"tools": odd, "tool_choice": "required"});
    let reply = ask(&door, question("The weather?", body)).await;
    assert_eq!(
        (reply.status, &reply.body["error"]["param"]),
        (400, &json!("tool_choice"))
    );
}

#[tokio::test]
async fn a_template_that_does_not_is_no_reason_to_leave_them_out() {
    let door = open_door(Limits::default()).await;
    let mut thought = asked(json!("{}"));
    thought[1]["tool_calls"] = json!(null);
    thought[1]["content"] = json!("Soon.");
    let answered = json!([
        {"role": "user", "content": "What time is it?"},
        {"role": "tool", "content": "12:30"},
    ]);
    for (extra, param) in [
        (json!({"tools": now()}), "tools"),
        (
            json!({"messages": asked(json!("{}"))}),
            "messages[1].tool_calls",
        ),
        (
            json!({"messages": thought}),
            "messages[1].reasoning_content",
        ),
    ] {
        let reply = ask(&door, question("What time is it?", extra)).await;
        let refused = (400, json!(param), json!("unsupported_parameter"));
        assert_eq!(reply.refusal(), refused);
        let message = reply.body["error"]["message"].as_str().expect("a message");
        assert!(message.contains("chat template"), "{message}");
    }
    // This template writes any role as it is named, a tool's too.
    let reply = ask(
        &door,
        question("", json!({"messages": answered, "max_tokens": 1})),
    )
    .await;
    assert_eq!(reply.status, 200, "{}", reply.body);
}

/// A request with tools that is answered with exactly `answer`.
pub(super) fn answered(answer: &str, extra: Value) -> Value {
    let mut body = question("What time is it?", extra);
    body["tools"] = now();
    body["structured_outputs"] = json!({"choice": [answer]});
    body
}

const CALLS: &str = "I look.\n<tool_call>\n{\"name\": \"now\", \"arguments\": {\"zone\": \"CET\"}}\n</tool_call>\n\
                     <tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";

#[tokio::test]
async fn calls_are_told_in_openais_members_whole_and_in_pieces() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, book) = door_with_tools(folder.path()).await;
    let reply = ask(&door, answered(CALLS, json!({"logprobs": true}))).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let choice = &reply.body["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls");
    assert_eq!(choice["message"]["content"], "I look.\n");
    let calls = choice["message"]["tool_calls"].as_array().expect("calls");
    let told = |call: &Value| (call["type"].clone(), call["function"].clone());
    let function = |arguments: &str| {
        (
            json!("function"),
            json!({"name": "now", "arguments": arguments}),
        )
    };
    let expected = [function("{\"zone\": \"CET\"}"), function("{}")];
    assert_eq!(calls.iter().map(told).collect::<Vec<_>>(), expected);
    assert_ne!(calls[0]["id"], calls[1]["id"]);
    // Every token has its score, and the receipt is of what the model wrote.
    let scores = choice["logprobs"]["content"].as_array().map(Vec::len);
    assert_eq!(json!(scores), reply.body["usage"]["completion_tokens"]);
    let texts = book.closed()[0]
        .1
        .texts
        .clone()
        .expect("this book keeps texts");
    assert_eq!(texts.answer, CALLS);

    let body = answered(CALLS, json!({"stream": true, "logprobs": true}));
    let chunks = Stream::begin(&door, body).await.chunks().await;
    let choices: Vec<&Value> = chunks.iter().map(|it| &it["choices"][0]).collect();
    let said = choices
        .iter()
        .filter_map(|it| it["delta"]["content"].as_str());
    assert_eq!(said.collect::<String>(), "I look.\n");
    let deltas = choices
        .iter()
        .filter_map(|it| it["delta"]["tool_calls"].as_array());
    let deltas: Vec<&Value> = deltas.flatten().collect();
    assert_eq!(
        deltas.iter().map(|it| told(it)).collect::<Vec<_>>(),
        expected
    );
    assert_eq!(
        (&deltas[0]["index"], &deltas[1]["index"]),
        (&json!(0), &json!(1))
    );
    let last = choices
        .iter()
        .rev()
        .find(|it| it["finish_reason"].is_string());
    assert_eq!(last.expect("an end")["finish_reason"], "tool_calls");
    let streamed = choices
        .iter()
        .filter_map(|it| it["logprobs"]["content"].as_array());
    assert_eq!(Some(streamed.map(Vec::len).sum()), scores);
}

#[tokio::test]
async fn a_call_that_is_none_is_an_error_and_one_that_is_cut_is_left_out() {
    let folder = tempfile::tempdir().expect("a folder");
    let (door, book) = door_with_tools(folder.path()).await;
    let broken = "Well. <tool_call>now()</tool_call>";
    let reply = ask(&door, answered(broken, json!({}))).await;
    let code = json!("tool_call_unreadable");
    assert_eq!(reply.refusal(), (500, json!(null), code.clone()));
    assert_eq!(reply.headers["x-should-retry"], "false");
    assert_eq!(book.closed()[0].0.ended, Ended::Aborted);
    let mut stream = Stream::begin(&door, answered(broken, json!({"stream": true}))).await;
    let mut told = Vec::new();
    while let Some(data) = stream.next().await {
        told.push(data);
    }
    let last: Value = serde_json::from_str(&told.pop().expect("an end")).expect("JSON");
    assert_eq!(last["error"]["code"], code);
    assert!(!told.concat().contains("now()"), "{told:?}");

    let whole = ask(&door, answered(CALLS, json!({}))).await;
    let tokens = whole.body["usage"]["completion_tokens"]
        .as_u64()
        .expect("a count");
    let cut = ask(&door, answered(CALLS, json!({"max_tokens": tokens - 4}))).await;
    let choice = &cut.body["choices"][0];
    assert_eq!(choice["finish_reason"], "length");
    assert_eq!(
        choice["message"]["tool_calls"].as_array().map(Vec::len),
        Some(1)
    );
    assert_eq!(choice["message"]["content"], "I look.\n");
    // Cut by a sequence that the caller wants it to end with, which stands in the call.
    let stopped = ask(&door, answered(CALLS, json!({"stop": ["zone"]}))).await;
    assert_eq!(stopped.status, 200, "{}", stopped.body);
    let choice = &stopped.body["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["message"]["content"], "I look.\n");
    assert!(choice["message"]["tool_calls"].is_null(), "{choice}");
    assert_eq!(
        book.closed().last().expect("a receipt").0.ended,
        Ended::Stop
    );
    // Without tools the same is text: nobody asked for calls.
    let mut plain = answered(CALLS, json!({}));
    plain.as_object_mut().expect("an object").remove("tools");
    assert_eq!(ask(&door, plain).await.text(), CALLS);
}
