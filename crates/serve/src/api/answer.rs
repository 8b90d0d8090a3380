//! An answer on its way to the caller: one JSON object, or server-sent events.
//!
//! Its receipt is closed, durably, before the last part goes out. Dropping an answer, as
//! happens when the caller goes away, drops the receiver of its events, by which the
//! scheduler knows to stop, and its receipt, which is then closed as cancelled.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use uuid::Uuid;

use super::error::ApiError;
use super::label;
use super::request::StreamUsage;
use crate::door::Inner;
use crate::receipt::OpenReceipt;
use crate::scheduler::{Event, Finished};

/// A silent stream says this often that it is alive, as a comment.
const PING_S: u64 = 15;

/// Names the code that made an answer, next to the seed.
const FINGERPRINT: &str = concat!("lathe-", env!("CARGO_PKG_VERSION"));

/// One answer.
pub(crate) struct Answer {
    door: Arc<Inner>,
    id: String,
    created: u64,
    model: String,
    events: UnboundedReceiver<Event>,
    receipt: OpenReceipt,
}

impl Answer {
    /// An answer of `model` whose events come from `events`, under an open receipt.
    pub(crate) fn new(
        door: Arc<Inner>,
        model: &str,
        events: UnboundedReceiver<Event>,
        receipt: OpenReceipt,
    ) -> Answer {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Answer {
            door,
            id: format!("chatcmpl-{}", Uuid::now_v7().simple()),
            created: now.map_or(0, |since| since.as_secs()),
            model: model.to_owned(),
            events,
            receipt,
        }
    }

    /// Waits for the end and sends all at once.
    ///
    /// # Errors
    /// 503 when the scheduler is gone or the receipt cannot be closed, 500 when the answer failed.
    pub(crate) async fn whole(mut self) -> Result<Response, ApiError> {
        let mut text = String::new();
        let finished = loop {
            match self.next_event().await? {
                Event::Text { text: piece, .. } => text.push_str(&piece),
                Event::Finished(finished) => break finished,
                Event::Failed(reason) => return Err(failed(&reason)),
                Event::Overdue(waited_s) => return Err(ApiError::overdue(waited_s)),
            }
        };
        let lathe = self.close(finished).await?;
        let choice = json!({
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": finished.reason.as_str(),
        });
        let mut body = self.envelope("chat.completion", json!([choice]));
        body["usage"] = usage(finished);
        body["lathe"] = lathe;
        let mut response = Json(body).into_response();
        label::set_headers(&mut response, self.receipt.opened());
        Ok(response)
    }

    /// Sends pieces as they come. The first chunk goes out at once, before the
    /// request has its turn.
    pub(crate) fn stream(self, usage: StreamUsage) -> Response {
        let opened = self.receipt.opened().clone();
        let chunks = Chunks {
            answer: self,
            usage,
            next: Next::Role,
        };
        let stream = stream::unfold(chunks, async |mut chunks| {
            let event = chunks.next().await?;
            Some((Ok::<_, Infallible>(event), chunks))
        });
        let pings = KeepAlive::new().interval(Duration::from_secs(PING_S));
        let mut response = Sse::new(stream).keep_alive(pings).into_response();
        label::set_headers(&mut response, &opened);
        response
    }

    async fn next_event(&mut self) -> Result<Event, ApiError> {
        match self.events.recv().await {
            Some(Event::Text {
                text,
                answer_tokens,
            }) => {
                self.receipt.add(&text, answer_tokens);
                Ok(Event::Text {
                    text,
                    answer_tokens,
                })
            }
            Some(unanswered @ (Event::Failed(_) | Event::Overdue(_))) => {
                self.receipt.abort().await;
                Ok(unanswered)
            }
            Some(finished) => Ok(finished),
            None => {
                self.receipt.abort().await;
                let reason = self.door.scheduler.why_dropped().await;
                Err(ApiError::unavailable(format!(
                    "The answer was lost: {reason}."
                )))
            }
        }
    }

    /// Closes the receipt; what the answer then says of itself.
    async fn close(&mut self, finished: Finished) -> Result<Value, ApiError> {
        let producer = self.receipt.origin();
        let closed = self.receipt.close(finished).await;
        let receipt = closed.map_err(|error| ApiError::not_closed(&error))?;
        Ok(label::at_end(self.receipt.opened(), &receipt, &producer))
    }

    fn envelope(&self, object: &str, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": object,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
            "choices": choices,
        })
    }
}

fn failed(reason: &str) -> ApiError {
    ApiError::internal(format!("The answer could not be finished: {reason}."))
}

fn usage(finished: Finished) -> Value {
    let Finished {
        prompt_tokens,
        cached_tokens,
        answer_tokens,
        ..
    } = finished;
    json!({
        "prompt_tokens": prompt_tokens,
        "completion_tokens": answer_tokens,
        "total_tokens": prompt_tokens + answer_tokens,
        "prompt_tokens_details": {"cached_tokens": cached_tokens},
    })
}

/// An answer as chunks.
struct Chunks {
    answer: Answer,
    usage: StreamUsage,
    next: Next,
}

/// What a stream sends next.
enum Next {
    /// The opening chunk.
    Role,
    /// What the scheduler makes.
    Events,
    /// The usage in a chunk of its own.
    Usage(Finished),
    /// The closing mark.
    Done,
    /// Nothing.
    End,
}

impl Chunks {
    async fn next(&mut self) -> Option<sse::Event> {
        match std::mem::replace(&mut self.next, Next::End) {
            Next::Role => {
                self.next = Next::Events;
                let lathe = label::at_begin(self.answer.receipt.opened());
                let mut chunk = self.chunk(json!({"role": "assistant", "content": ""}), None);
                chunk["lathe"] = lathe;
                Some(data(&chunk))
            }
            Next::Events => Some(self.next_piece().await),
            Next::Usage(finished) => {
                self.next = Next::Done;
                let mut chunk = self.answer.envelope("chat.completion.chunk", json!([]));
                chunk["usage"] = usage(finished);
                Some(data(&chunk))
            }
            Next::Done => Some(sse::Event::default().data("[DONE]")),
            Next::End => None,
        }
    }

    async fn next_piece(&mut self) -> sse::Event {
        match self.answer.next_event().await {
            Ok(Event::Text { text, .. }) => {
                self.next = Next::Events;
                data(&self.chunk(json!({"content": text}), None))
            }
            Ok(Event::Finished(finished)) => self.finish(finished).await,
            Ok(Event::Failed(reason)) => data(&failed(&reason).body()),
            Ok(Event::Overdue(waited_s)) => data(&ApiError::overdue(waited_s).body()),
            Err(error) => data(&error.body()),
        }
    }

    /// The chunk with `finish_reason`, once the receipt is closed.
    async fn finish(&mut self, finished: Finished) -> sse::Event {
        let lathe = match self.answer.close(finished).await {
            Ok(lathe) => lathe,
            Err(error) => return data(&error.body()),
        };
        self.next = match self.usage {
            StreamUsage::OwnChunk => Next::Usage(finished),
            StreamUsage::WithFinish | StreamUsage::Absent => Next::Done,
        };
        let mut chunk = self.chunk(json!({}), Some(finished));
        chunk["lathe"] = lathe;
        data(&chunk)
    }

    fn chunk(&self, delta: Value, finished: Option<Finished>) -> Value {
        let choice = json!({
            "index": 0,
            "delta": delta,
            "logprobs": null,
            "finish_reason": finished.map(|finished| finished.reason.as_str()),
        });
        let mut chunk = self
            .answer
            .envelope("chat.completion.chunk", json!([choice]));
        match (self.usage, finished) {
            (StreamUsage::WithFinish, Some(finished)) => chunk["usage"] = usage(finished),
            // OpenAI sends it as null on every chunk but the last.
            (StreamUsage::OwnChunk, _) => chunk["usage"] = Value::Null,
            _ => {}
        }
        chunk
    }
}

fn data(value: &Value) -> sse::Event {
    sse::Event::default().data(value.to_string())
}
