//! What callers say of answers: held against the receipt, kept once, seen by who gave it. The workshop
//! behind it is a real one, in a home of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, header};
use lathe_evidence::Digest;
use lathe_evidence::statement::ApprovalPolicy;
use lathe_workshop::feedback::{FeedbackReview, Review};
use lathe_workshop::token::{Allowance, Scope, TokenRow};
use lathe_workshop::{Caller, Door as _, Home, Token, Tokens, Workshop, WorkshopOptions};
use serde_json::{Value, json};

use super::caller::{Reply, completion, question, send};
use super::fixture::{admitted, tiny_model};
use super::openapi;
use crate::{Door, Limits};

/// A door over the tiny model whose receipts a real workshop keeps.
struct Bench {
    shop: Workshop,
    door: Door,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(keeps_texts: bool) -> Bench {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::locate(Some(folder.path().join("home"))).expect("a home");
        let door = Door::with_limits(2, Limits::default());
        let options = WorkshopOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            key: None,
            worker: PathBuf::new(),
            approval: ApprovalPolicy::default(),
            keeps_texts,
            scrub_every: Duration::from_secs(86_400),
        };
        let opened = Workshop::open(home, Arc::new(door.clone()), options).await;
        let shop = opened.expect("the workshop opens");
        door.open(admitted("tiny", tiny_model(), None), shop.book())
            .await
            .expect("the tiny model opens");
        Bench {
            shop,
            door,
            _folder: folder,
        }
    }

    fn router(&self) -> Router {
        let feedback = crate::feedback::router(self.shop.clone());
        self.door.router().merge(feedback)
    }

    async fn send(&self, mut request: Request<Body>, token: Option<&Arc<Token>>) -> Reply {
        if let Some(token) = token {
            request.extensions_mut().insert(Caller(token.clone()));
        }
        send(self.router(), request).await
    }

    async fn post(&self, path: &str, body: &Value, token: Option<&Arc<Token>>) -> Reply {
        let request = Request::post(path)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        self.send(request, token).await
    }

    async fn get(&self, path: &str, token: Option<&Arc<Token>>) -> Reply {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        self.send(request, token).await
    }

    /// The receipt of an answer to this.
    async fn receipt(&self, path: &str, body: Value) -> String {
        let reply = self.post(path, &body, None).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
        let receipt = reply.headers["x-lathe-receipt"].to_str();
        receipt.expect("text").to_owned()
    }

    async fn answer(&self, text: &str) -> String {
        let body = question(text, json!({"max_tokens": 2}));
        self.receipt("/v1/chat/completions", body).await
    }

    async fn give(&self, body: Value, token: Option<&Arc<Token>>) -> Reply {
        self.post("/v1/feedback", &body, token).await
    }
}

/// A key as the guard would have found it.
fn key(name: &str, scope: Scope, models: &[&str]) -> Arc<Token> {
    let row = TokenRow {
        id: format!("id of {name}"),
        name: name.to_owned(),
        digest: Digest::of(name.as_bytes()),
        scopes: vec![scope],
        models: models.iter().map(|name| (*name).to_owned()).collect(),
        project: lathe_workshop::people::COMMON.to_owned(),
        allowance: Allowance::default(),
        created_ms: 1,
        expires_ms: None,
        revoked_ms: None,
        last_used_ms: None,
    };
    Tokens::of_rows([row]).find(name).expect("it was issued")
}

fn correction(receipt: &str, more: Value) -> Value {
    let mut body = json!({"receipt": receipt, "kind": "correction", "correction": "It is."});
    let members = more.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

fn complaint(receipt: &str) -> Value {
    json!({"receipt": receipt, "kind": "complaint", "reason": "rude"})
}

#[tokio::test]
async fn a_correction_brings_the_question_that_its_receipt_is_of() {
    let bench = Bench::new(false).await;
    let receipt = bench.answer("Is it?").await;
    let refused = (400, json!("messages"), json!("feedback-prompt"));
    let reply = bench.give(correction(&receipt, json!({})), None).await;
    assert_eq!(reply.refusal(), refused);
    let other = json!({"messages": [{"role": "user", "content": "Is it not?"}]});
    let reply = bench.give(correction(&receipt, other), None).await;
    assert_eq!(reply.refusal(), refused);
    // As it may be asked too: what counts is what the receipt says.
    let parts = json!([{"type": "text", "text": "Is "}, {"type": "text", "text": "it?"}]);
    let asked = json!({"messages": [{"role": "user", "content": parts}], "from": "desk 3"});
    let body = correction(&receipt, asked);
    let reply = bench.give(body.clone(), None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    openapi::check(&openapi::document(), "Feedback", &reply.body);
    let told = &reply.body;
    assert_eq!(told["object"], "feedback");
    assert_eq!(told["receipt"], receipt.as_str());
    assert_eq!(
        (&told["kind"], &told["state"]),
        (&json!("correction"), &json!("received"))
    );
    assert_eq!(
        (&told["model"], &told["from"]),
        (&json!("tiny"), &json!("desk 3"))
    );
    // The same again is the same.
    let again = bench.give(body, None).await;
    assert_eq!(&again.body, told);
    let id = told["id"].as_str().expect("an id");
    assert_eq!(
        &bench.get(&format!("/v1/feedback/{id}"), None).await.body,
        told
    );
    let list = bench.get("/v1/feedback", None).await;
    assert_eq!(list.body["data"], json!([told]));
    openapi::check(&openapi::document(), "FeedbackPage", &list.body);
    let unknown = bench.get("/v1/feedback/fb-0", None).await;
    assert_eq!(
        unknown.refusal(),
        (404, json!("id"), json!("feedback-unknown"))
    );
}

#[tokio::test]
async fn where_texts_are_kept_the_question_is_known() {
    let bench = Bench::new(true).await;
    let receipt = bench.answer("Is it?").await;
    let reply = bench.give(correction(&receipt, json!({})), None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let id = reply.body["id"].as_str().expect("an id");
    let row = bench.shop.feedback(id).await.expect("it is kept");
    let asked = r#"[{"content":"Is it?","role":"user"}]"#;
    assert_eq!(row.prompt.as_deref(), Some(asked));
}

#[tokio::test]
async fn what_cannot_be_meant_is_named() {
    let bench = Bench::new(false).await;
    let receipt = bench.answer("Is it?").await;
    for (more, param) in [
        (json!({"receipt": 3}), "receipt"),
        (json!({"receipt": null}), "receipt"),
        (json!({"kind": "praise"}), "kind"),
        (json!({"colour": "red"}), "colour"),
        (json!({"correction": 5}), "correction"),
        (json!({"reason": "x".repeat(2001)}), "reason"),
        (json!({"from": "x".repeat(101)}), "from"),
        (json!({"messages": "Is it?"}), "messages"),
        (json!({"messages": []}), "messages"),
    ] {
        let reply = bench.give(correction(&receipt, more), None).await;
        assert_eq!(reply.refusal(), (400, json!(param), Value::Null));
    }
    let invalid = (400, json!("correction"), json!("feedback-invalid"));
    for more in [
        json!({"correction": null}),
        json!({"correction": " "}),
        json!({"correction": "x".repeat(65_537)}),
        json!({"kind": "complaint"}),
    ] {
        let reply = bench.give(correction(&receipt, more), None).await;
        assert_eq!(reply.refusal(), invalid);
    }
    let nobody = bench.give(complaint("nobody"), None).await;
    let unknown = (404, json!("receipt"), json!("feedback-receipt"));
    assert_eq!(nobody.refusal(), unknown);
}

#[tokio::test]
async fn bodies_methods_and_pages_are_bounded_as_elsewhere() {
    let bench = Bench::new(false).await;
    let long = json!({"messages": "x".repeat(2 << 20)});
    let long = bench.give(correction("nobody", long), None).await;
    let code = &long.body["error"]["code"];
    assert_eq!((long.status, code), (413, &json!("body_too_large")));
    let plain = Request::post("/v1/feedback").body(Body::from("{}"));
    let plain = bench.send(plain.expect("a request"), None).await;
    assert_eq!(plain.status, 415);
    let delete = Request::delete("/v1/feedback").body(Body::empty());
    let delete = bench.send(delete.expect("a request"), None).await;
    assert_eq!(delete.status, 405);
    for query in ["limit=0", "limit=101", "state=lost"] {
        let reply = bench.get(&format!("/v1/feedback?{query}"), None).await;
        assert_eq!(reply.status, 400, "{query}");
    }
}

#[tokio::test]
async fn a_text_without_a_conversation_is_complained_about_alone() {
    let bench = Bench::new(true).await;
    let body = completion(json!("The camera"), json!({"max_tokens": 2}));
    let receipt = bench.receipt("/v1/completions", body).await;
    let reply = bench.give(correction(&receipt, json!({})), None).await;
    assert_eq!(
        reply.refusal(),
        (400, json!("correction"), json!("feedback-invalid"))
    );
    let reply = bench.give(complaint(&receipt), None).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(reply.body["correction"], Value::Null);
}

#[tokio::test]
async fn a_key_speaks_of_its_models_and_sees_what_was_given_with_it() {
    let bench = Bench::new(false).await;
    let receipt = bench.answer("Is it?").await;
    let stranger = key("stranger", Scope::Feedback, &["another"]);
    let reply = bench.give(complaint(&receipt), Some(&stranger)).await;
    let unknown = (404, json!("receipt"), json!("feedback-receipt"));
    assert_eq!(reply.refusal(), unknown, "as if there were none");
    let (one, two) = (
        key("one", Scope::Feedback, &["tiny"]),
        key("two", Scope::Feedback, &[]),
    );
    let admin = key("admin", Scope::Admin, &[]);
    let first = bench.give(complaint(&receipt), Some(&one)).await.body;
    let second = bench.give(complaint(&receipt), Some(&two)).await.body;
    assert_ne!(
        first["id"], second["id"],
        "two say the same, each for himself"
    );
    let ids = async |token: &Arc<Token>| {
        let list = bench.get("/v1/feedback", Some(token)).await.body;
        let data = list["data"].as_array().expect("a list").clone();
        data.iter().map(|it| it["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&one).await, [first["id"].clone()]);
    assert_eq!(ids(&two).await, [second["id"].clone()]);
    assert_eq!(ids(&admin).await.len(), 2);
    let path = format!("/v1/feedback/{}", first["id"].as_str().expect("an id"));
    assert_eq!(bench.get(&path, Some(&two)).await.status, 404);
    assert_eq!(bench.get(&path, Some(&admin)).await.status, 200);
}

#[tokio::test]
async fn pages_follow_one_another_and_states_are_told_apart() {
    let bench = Bench::new(false).await;
    let mut given = Vec::new();
    for text in ["a", "b", "c"] {
        let receipt = bench.answer(text).await;
        let reply = bench.give(complaint(&receipt), None).await;
        given.push(reply.body["id"].as_str().expect("an id").to_owned());
    }
    let first = bench.get("/v1/feedback?limit=2", None).await.body;
    assert_eq!(first["has_more"], true);
    assert_eq!(first["first_id"], given[2].as_str(), "the newest first");
    let last = first["last_id"].as_str().expect("an id");
    let rest = bench
        .get(&format!("/v1/feedback?limit=2&after={last}"), None)
        .await;
    assert_eq!(rest.body["data"][0]["id"], given[0].as_str());
    assert_eq!(rest.body["has_more"], false);
    let review = FeedbackReview {
        ids: vec![given[1].clone()],
        review: Review::Accept,
        by: "Li Lei".to_owned(),
        reason: None,
    };
    bench.shop.review_feedback(&review).await.expect("decided");
    let accepted = bench.get("/v1/feedback?state=accepted", None).await.body;
    assert_eq!(accepted["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(accepted["data"][0]["id"], given[1].as_str());
    assert_eq!(accepted["data"][0]["state"], "accepted");
}

#[tokio::test]
async fn a_body_that_is_changed_anywhere_is_taken_or_refused() {
    let bench = Bench::new(false).await;
    let receipt = bench.answer("Is it?").await;
    let asked = json!([{"role": "user", "content": "Is it?"}]);
    let good = correction(&receipt, json!({"messages": asked, "reason": "\u{0}"}));
    let good = good.to_string().into_bytes();
    let mut taken = 0;
    for at in 0..good.len() {
        for change in [b'0', b'"', b'{', b']', b'\\', 0xff] {
            let mut bytes = good.clone();
            bytes[at] = change;
            let request = Request::post("/v1/feedback")
                .header(header::CONTENT_TYPE, "application/json")
                .body(Body::from(bytes))
                .expect("a request");
            let reply = bench.send(request, None).await;
            let body = &reply.body;
            match reply.status {
                200 => taken += 1,
                400..500 => assert!(body["error"]["message"].is_string(), "{body}"),
                status => panic!("{status} at {at}: {body}"),
            }
        }
    }
    assert!(taken > 0, "some changes change nothing that is refused");
}
