//! The list of models, and what is said of each.

use lathe_workshop::Door as _;
use serde_json::json;

use super::caller::{ask, get, open_door, question};
use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

#[tokio::test]
async fn lists_what_is_open_and_what_it_was_measured_with() {
    let door = open_door(Limits::default()).await;
    let reply = get(&door, "/v1/models").await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.body["object"], "list");
    let entries = reply.body["data"].as_array().expect("a list");
    assert_eq!(entries.len(), 1);
    let entry = &entries[0];
    assert_eq!(entry["id"], "tiny");
    assert_eq!(entry["object"], "model");
    assert_eq!(entry["created"], 1_750_000_000);
    assert_eq!(entry["owned_by"], "lathe");
    let lathe = &entry["lathe"];
    assert_eq!(lathe["system_prompt"], "Say how the customer feels.");
    assert_eq!(lathe["example"], "The camera is great.");
    assert_eq!(lathe["demonstration"], true);
    assert_eq!(lathe["tuned"], false);
    assert_eq!(lathe["context_tokens"], 512);
    assert_eq!(&get(&door, "/v1/models/tiny").await.body, entry);
}

#[tokio::test]
async fn a_name_that_is_no_text_is_refused_as_everything_is() {
    let door = open_door(Limits::default()).await;
    let reply = get(&door, "/v1/models/%FF%FE").await;
    assert_eq!(reply.status, 400);
    assert_eq!(reply.body["error"]["type"], "invalid_request_error");
    let message = reply.body["error"]["message"].as_str().expect("a text");
    assert!(message.contains("no UTF-8"), "{message}");
}

#[tokio::test]
async fn a_closed_model_is_gone_and_a_name_may_hold_a_slash() {
    let door = open_door(Limits::default()).await;
    door.open(admitted("shop/tiny", tiny_model(), None), book())
        .await
        .expect("opens");
    assert_eq!(
        get(&door, "/v1/models/shop/tiny").await.body["id"],
        "shop/tiny"
    );
    door.close("shop/tiny").await;
    let reply = get(&door, "/v1/models/shop/tiny").await;
    assert_eq!(
        reply.refusal(),
        (404, json!("model"), json!("model_not_found"))
    );
    assert!(
        !ask(&door, question("hello", json!({"max_tokens": 2})))
            .await
            .text()
            .is_empty()
    );
}

#[tokio::test]
async fn files_that_are_not_a_model_are_refused_and_not_listed() {
    let door = Door::new(1);
    let refusal = door
        .open(admitted("gone", "/nonexistent/model".into(), None), book())
        .await;
    let refusal = refusal.expect_err("there is no model");
    assert!(
        refusal.text.starts_with("cannot serve gone: "),
        "{}",
        refusal.text
    );
    assert!(!refusal.next.is_empty());
    assert_eq!(get(&door, "/v1/models").await.body["data"], json!([]));
}
