//! A caller without a socket: sends requests into the router and reads the answers.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream, to_bytes};
use axum::http::{HeaderMap, Request, header};
use futures_util::StreamExt;
use lathe_workshop::Door as _;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::fixture::{admitted, book, tiny_model};
use crate::{Door, Limits};

/// Longest wait for anything in these tests; never reached unless something hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A door with the tiny model open as `tiny`.
pub(crate) async fn open_door(limits: Limits) -> Door {
    let door = Door::with_limits(2, limits);
    door.open(admitted("tiny", tiny_model(), None), book())
        .await
        .expect("the tiny model opens");
    door
}

/// A whole answer of the server.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The text of a chat completion.
    pub(crate) fn text(&self) -> &str {
        assert_eq!(self.status, 200, "{}", self.body);
        self.body["choices"][0]["message"]["content"]
            .as_str()
            .expect("a text")
    }

    /// Status, `param` and `code` of an error, its shape checked.
    pub(crate) fn refusal(&self) -> (u16, Value, Value) {
        let error = self.body["error"].as_object().expect("an error object");
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{error:?}"
        );
        assert!(error["type"].is_string(), "{error:?}");
        (self.status, error["param"].clone(), error["code"].clone())
    }
}

/// Sends any request and reads the whole answer.
pub(crate) async fn send(router: Router, request: Request<Body>) -> Reply {
    let work = async {
        let response = router
            .oneshot(request)
            .await
            .expect("the router never fails");
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.expect("a body within bounds");
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&bytes)));
        Reply {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    };
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("an answer in time")
}

/// `GET path`.
pub(crate) async fn get(door: &Door, path: &str) -> Reply {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    send(door.router(), request).await
}

/// Asks for a chat completion.
pub(crate) async fn ask(door: &Door, body: Value) -> Reply {
    send(door.router(), chat(body)).await
}

/// Sends a body to a path and reads the whole answer.
pub(crate) async fn post(door: &Door, path: &str, body: Value) -> Reply {
    send(door.router(), request_to(path, body)).await
}

/// Waits until so many places are free: a request's is given back a moment after its answer.
pub(crate) async fn until_free(door: &Door, places: usize) {
    let free = async {
        while door.free_places() < places {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, free)
        .await
        .expect("every place is free again");
}

/// A chat completion's request.
pub(crate) fn chat(body: Value) -> Request<Body> {
    request_to("/v1/chat/completions", body)
}

fn request_to(path: &str, body: Value) -> Request<Body> {
    Request::post(path)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Body::from(body.to_string()))
        .expect("a request")
}

/// A request to the tiny model: `question`, and `extra` laid over it.
pub(crate) fn question(question: &str, extra: Value) -> Value {
    let body = json!({
        "model": "tiny",
        "messages": [{"role": "user", "content": question}],
    });
    laid_over(body, extra)
}

/// A completion's request to the tiny model: `prompt`, and `extra` laid over it.
pub(crate) fn completion(prompt: Value, extra: Value) -> Value {
    laid_over(json!({"model": "tiny", "prompt": prompt}), extra)
}

fn laid_over(mut body: Value, extra: Value) -> Value {
    let members = extra.as_object().expect("an object").clone();
    body.as_object_mut().expect("an object").extend(members);
    body
}

/// A streamed answer, read event by event; dropping it is hanging up.
pub(crate) struct Stream {
    body: BodyDataStream,
    unread: String,
}

impl Stream {
    /// Asks for a streamed chat completion, which must begin.
    pub(crate) async fn begin(door: &Door, body: Value) -> Stream {
        Stream::begin_at(door, "/v1/chat/completions", body).await
    }

    /// Asks a path for a stream, which must begin.
    pub(crate) async fn begin_at(door: &Door, path: &str, body: Value) -> Stream {
        let response = door
            .router()
            .oneshot(request_to(path, body))
            .await
            .expect("the router never fails");
        assert_eq!(response.status(), 200);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/event-stream"
        );
        Stream {
            body: response.into_body().into_data_stream(),
            unread: String::new(),
        }
    }

    /// The `data` of the next event; None at the end.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(data) = self.next_block().await?.strip_prefix("data: ") {
                return Some(data.to_owned());
            }
        }
    }

    /// The next event or comment as it is sent; None at the end.
    pub(crate) async fn next_block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.unread.find("\n\n") {
                let block: String = self.unread.drain(..end + 2).collect();
                return Some(block.trim_end().to_owned());
            }
            let piece = tokio::time::timeout(PATIENCE, self.body.next())
                .await
                .expect("in time")?;
            let piece = piece.expect("the body never fails");
            self.unread
                .push_str(std::str::from_utf8(&piece).expect("whole characters"));
        }
    }

    /// All chunks up to `[DONE]`, which must be the end.
    pub(crate) async fn chunks(mut self) -> Vec<Value> {
        let mut chunks = Vec::new();
        while let Some(data) = self.next().await {
            if data == "[DONE]" {
                assert_eq!(self.next().await, None);
                return chunks;
            }
            chunks.push(serde_json::from_str(&data).expect("a chunk is JSON"));
        }
        panic!("the stream ended without [DONE]: {chunks:?}");
    }
}

/// The pieces of text in chunks.
pub(crate) fn pieces(chunks: &[Value]) -> Vec<String> {
    let content = |chunk: &Value| {
        chunk["choices"][0]["delta"]["content"]
            .as_str()
            .map(str::to_owned)
    };
    chunks.iter().filter_map(content).collect()
}
