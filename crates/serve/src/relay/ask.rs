//! Handing a request on: the key, the place, the receipt, then the upstream, again where that is wanted.
//!
//! Nothing is sent before the receipt is durable and the breaker let it through. Asking again, and asking
//! another upstream, happen only while not a byte of an answer has come.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::http::{self, Call, Sent, Trouble};
use super::{Relay, question, stream};
use crate::api::error::ApiError;
use crate::api::fields::Fields;
use crate::api::terms::StreamUsage;
use crate::asker::Asker;
use crate::door::Inner;
use crate::place::Place;
use crate::receipt::OpenReceipt;

/// The pause before asking again the first time; it doubles.
const PAUSE: Duration = Duration::from_millis(100);
/// The longest refusal that is read.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// The interfaces that are handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interface {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}

impl Interface {
    fn path(self) -> &'static str {
        match self {
            Interface::Chat => "/chat/completions",
            Interface::Completions => "/completions",
            Interface::Embeddings => "/embeddings",
        }
    }

    /// The member that holds what is asked.
    pub(super) fn prompt_member(self) -> &'static str {
        match self {
            Interface::Chat => "messages",
            Interface::Completions => "prompt",
            Interface::Embeddings => "input",
        }
    }
}

/// A request that an upstream is to answer.
struct Request {
    door: Arc<Inner>,
    asker: Asker,
    accepts_restricted: bool,
    interface: Interface,
    /// The body, of which only the model's name and how to deliver are read.
    map: Map<String, Value>,
}

/// No answer came.
enum Missed {
    /// It is the request's fault, or the workshop's: another upstream would help nothing.
    Refused(ApiError),
    /// It is the upstream's.
    Down(ApiError),
}

impl Missed {
    fn error(self) -> ApiError {
        match self {
            Missed::Refused(error) | Missed::Down(error) => error,
        }
    }
}

/// Has `relay` answer a body that was sent by somebody who does or does not take an answer of what is
/// restricted; or the one that stands in for it, while it is down.
///
/// # Errors
/// 403 for a key of other models, 429 where limits are reached, 503 with `Retry-After` while the upstream
/// is down, what the upstream refuses, and 502 or 504 where it fails.
pub(crate) async fn ask(
    relay: Arc<Relay>,
    door: Arc<Inner>,
    (asker, accepts_restricted): (Asker, bool),
    interface: Interface,
    map: Map<String, Value>,
) -> Result<Response, ApiError> {
    let asked = Request {
        door,
        asker,
        accepts_restricted,
        interface,
        map,
    };
    let name = &relay.upstream.name;
    asked.asker.may_ask(name)?;
    let streamed = streamed(asked.interface, &asked.map)?;
    let missed = match relay.down() {
        Some(reason) => ApiError::upstream_down(name, &reason, relay.retry_after_s()),
        None => match asked.send_to(&relay, streamed).await {
            Ok(response) => return Ok(response),
            Err(Missed::Refused(error)) => return Err(error),
            Err(Missed::Down(error)) => error,
        },
    };
    let second = relay.upstream.failover.as_deref();
    // Who may not ask it by its name does not ask it by another's.
    let second = second.filter(|name| asked.asker.sees(name));
    let second = second.and_then(|name| asked.door.relays.find(name));
    match second.filter(|second| second.down().is_none()) {
        None => Err(missed),
        Some(second) => {
            let stands_in = second.upstream.name.as_str();
            tracing::warn!(
                upstream = name.as_str(),
                stands_in,
                "another upstream is asked"
            );
            asked
                .send_to(&second, streamed)
                .await
                .map_err(Missed::error)
        }
    }
}

/// Whether events are wanted, and where the usage is to be told.
fn streamed(
    interface: Interface,
    map: &Map<String, Value>,
) -> Result<Option<StreamUsage>, ApiError> {
    let fields = Fields::new(map);
    if interface == Interface::Embeddings || !fields.flag("stream")?.unwrap_or(false) {
        return Ok(None);
    }
    let options = fields.object("stream_options")?;
    let wanted = options.and_then(|it| it.get("include_usage")?.as_bool());
    Ok(Some(match wanted {
        None => StreamUsage::WithFinish,
        Some(true) => StreamUsage::OwnChunk,
        Some(false) => StreamUsage::Absent,
    }))
}

impl Request {
    /// Sends it to one upstream and its answer back.
    async fn send_to(
        &self,
        relay: &Arc<Relay>,
        streamed: Option<StreamUsage>,
    ) -> Result<Response, Missed> {
        let refused = Missed::Refused;
        let down = || {
            let message = "No answer now: the server is shutting down.";
            refused(ApiError::unavailable(message))
        };
        let asked = self.door.relays.ask().ok_or_else(down)?;
        let full = || refused(ApiError::queue_full(relay.places_max));
        let permit = relay.place().ok_or_else(full)?;
        let mut place = Place::new(permit, self.door.meters.clone());
        let embeds = self.interface == Interface::Embeddings;
        let question = question::of(self.interface, &self.map);
        let question = question.asked_by(self.accepts_restricted, embeds);
        let guessed = question::guessed_tokens(self.interface, &self.map);
        self.asker.charge(&mut place, guessed).map_err(refused)?;
        place.sent_to(&relay.upstream.name);
        let opening = OpenReceipt::open(relay.clone(), question, guessed).await;
        let mut receipt = opening.map_err(|error| refused(ApiError::refused(&error)))?;
        let sent = match self.call(relay, streamed.is_some()).await {
            Ok(sent) => sent,
            Err(missed) => {
                receipt.abort().await;
                return Err(missed);
            }
        };
        place.began(0);
        let model = self.map.get("model").and_then(Value::as_str);
        let door = self.door.clone();
        let model = model.unwrap_or_default().to_owned();
        let held = (receipt, place, asked);
        let answer = Answer::new(door, relay.clone(), model, held, guessed);
        match streamed {
            None => answer.whole(sent.body, embeds).await.map_err(refused),
            Some(usage) => stream::deliver(answer, sent, usage).await.map_err(refused),
        }
    }

    /// Asks until an answer begins, as often as is allowed.
    async fn call(&self, relay: &Relay, streamed: bool) -> Result<Sent, Missed> {
        let upstream = &relay.upstream;
        let body = Bytes::from(self.body_for(relay, streamed).to_string());
        let path = format!("{}{}", upstream.url.path(), self.interface.path());
        let mut asked = 0;
        loop {
            let call = Call {
                method: Method::POST,
                path: &path,
                body: body.clone(),
                streamed,
                request_id: self.asker.request_id(),
            };
            let sending = self
                .door
                .relays
                .unless_stopped(http::send(upstream, call))
                .await;
            let again = asked < upstream.retries;
            match sending.map_err(Missed::Refused)? {
                Ok(sent) if sent.status.is_success() => return Ok(sent),
                Ok(sent) if again && sent.status.is_server_error() => {}
                Ok(sent) => return Err(said(relay, sent).await),
                Err(trouble) => {
                    if let Trouble::Unreached(_) = &trouble {
                        relay.note(Err(trouble.to_string()));
                    }
                    // A silent one is still at work on what it was asked.
                    if !again || matches!(trouble, Trouble::Silent(_)) {
                        return Err(Missed::Down(relay.trouble(&trouble)));
                    }
                }
            }
            tokio::time::sleep(PAUSE * 2_u32.pow(asked)).await;
            asked += 1;
        }
    }

    /// The body as the upstream gets it: all that the caller sent, the model's name its own there, and
    /// of a stream how many tokens it had.
    fn body_for(&self, relay: &Relay, streamed: bool) -> Value {
        let mut map = self.map.clone();
        map.insert("model".to_owned(), json!(relay.upstream.model));
        if streamed {
            let options = map.entry("stream_options").or_insert(Value::Null);
            if !options.is_object() {
                *options = json!({});
            }
            options["include_usage"] = json!(true);
        }
        Value::Object(map)
    }
}

/// What an upstream said in place of an answer.
async fn said(relay: &Relay, sent: Sent) -> Missed {
    let status = sent.status;
    let retry_after = sent.headers.get(RETRY_AFTER);
    let retry_after = retry_after.and_then(|it| it.to_str().ok()?.trim().parse().ok());
    // What cannot be read says nothing; the status does.
    let body = sent.body.whole(REFUSAL_BYTES_MAX).await.unwrap_or_default();
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let name = &relay.upstream.name;
    tracing::warn!(
        upstream = name.as_str(),
        status = status.as_u16(),
        "it refuses"
    );
    let error = ApiError::upstream_said(name, status, retry_after, &body);
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Missed::Down(error),
        status if status.is_server_error() => Missed::Down(error),
        _ => Missed::Refused(error),
    }
}
