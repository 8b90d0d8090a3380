//! An upstream's events, passed on one by one as they come.
//!
//! Members stay as they are but for three: `model` is the name that was asked here, `usage` stands where
//! the caller wants it, and `lathe` tells the receipt. What ends a choice is held back until the upstream
//! has said how many tokens it took and the receipt is closed.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::http::header::CONTENT_TYPE;
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response, sse};
use futures_util::stream;
use serde_json::{Value, json};

use super::answer::Answer;
use super::events::{EVENT_BYTES_MAX, Events};
use super::http::{Sent, Trouble};
use crate::api::error::ApiError;
use crate::api::label;
use crate::api::terms::StreamUsage;

/// Chunks that end a choice.
const HELD_MAX: usize = 1024;
/// All of them together.
const HELD_BYTES_MAX: usize = 8 * EVENT_BYTES_MAX;

/// Begins to pass on what comes.
///
/// # Errors
/// 502 where the upstream sends no events.
pub(super) async fn deliver(
    mut answer: Answer,
    sent: Sent,
    usage: StreamUsage,
) -> Result<Response, ApiError> {
    let kind = sent
        .headers
        .get(CONTENT_TYPE)
        .and_then(|it| it.to_str().ok());
    if !kind.is_some_and(|kind| kind.starts_with("text/event-stream")) {
        answer.abort().await;
        let why = "it was asked for events and sends none".to_owned();
        return Err(answer.relay.trouble(&Trouble::Unreadable(why)));
    }
    let opened = answer.receipt.opened().clone();
    let silence = Duration::from_millis(answer.door.limits.ping_ms.max(1));
    let chunks = Chunks {
        answer,
        events: Events::new(sent.body),
        usage,
        ready: VecDeque::new(),
        held: Vec::new(),
        held_bytes: 0,
        begun: false,
        ended: false,
    };
    let stream = stream::unfold(chunks, async |mut chunks| {
        let event = chunks.next().await?;
        Some((Ok::<_, Infallible>(event), chunks))
    });
    let pings = KeepAlive::new().interval(silence);
    let mut response = Sse::new(stream).keep_alive(pings).into_response();
    label::set_headers(&mut response, &opened);
    Ok(response)
}

struct Chunks {
    answer: Answer,
    events: Events,
    usage: StreamUsage,
    /// What is to be sent before anything else is waited for.
    ready: VecDeque<sse::Event>,
    /// What ends choices.
    held: Vec<Value>,
    /// How long that was when it came.
    held_bytes: usize,
    /// Something was sent.
    begun: bool,
    /// Nothing comes any more.
    ended: bool,
}

impl Chunks {
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.ended {
                return None;
            }
            let relays = &self.answer.door.relays;
            match relays.unless_stopped(self.events.next()).await {
                Err(stopped) => self.fail(&stopped).await,
                Ok(Ok(Some(data))) => self.take(&data).await,
                Ok(Ok(None)) => self.end().await,
                Ok(Err(trouble)) => self.fail(&self.answer.relay.trouble(&trouble)).await,
            }
        }
    }

    async fn take(&mut self, data: &str) {
        if data == "[DONE]" {
            return self.end().await;
        }
        if let Err(why) = self.take_chunk(data) {
            let trouble = Trouble::Unreadable(why);
            self.fail(&self.answer.relay.trouble(&trouble)).await;
        }
    }

    fn take_chunk(&mut self, data: &str) -> Result<(), String> {
        let no_chunk = || "it sends an event that is no JSON object".to_owned();
        let mut chunk: Value = serde_json::from_str(data).map_err(|_| no_chunk())?;
        if !chunk.is_object() {
            return Err(no_chunk());
        }
        if !chunk["error"].is_null() {
            let said = chunk["error"]["message"]
                .as_str()
                .unwrap_or("without saying why");
            let said: String = said.chars().take(2000).collect();
            return Err(format!("it fails: {said}"));
        }
        if self.answer.gathered.take(&chunk)? {
            self.answer.pieces += 1;
            self.answer.place.token();
        }
        let choices = chunk["choices"].as_array();
        if choices.is_none_or(Vec::is_empty) {
            // The usage, which is told where the caller wants it.
            return Ok(());
        }
        let ends = choices.is_some_and(|all| all.iter().any(|it| it["finish_reason"].is_string()));
        chunk["model"] = json!(self.answer.model);
        if self.usage == StreamUsage::OwnChunk {
            // OpenAI sends it as null on every chunk but the last.
            chunk["usage"] = Value::Null;
        } else if let Some(members) = chunk.as_object_mut() {
            members.remove("usage");
        }
        if !self.begun {
            self.begun = true;
            let mut label = label::at_begin(self.answer.receipt.opened());
            label["weights"] = json!(label::WEIGHTS_NOT_VERIFIED);
            chunk["lathe"] = label;
        }
        if !ends {
            self.push(&chunk);
            return Ok(());
        }
        self.held_bytes += data.len();
        if self.held.len() >= HELD_MAX || self.held_bytes > HELD_BYTES_MAX {
            return Err(format!(
                "it ends more than {HELD_MAX} times, or in more than {HELD_BYTES_MAX} bytes"
            ));
        }
        self.held.push(chunk);
        Ok(())
    }

    /// The upstream has ended: so does the answer, if it is whole.
    async fn end(&mut self) {
        if !self.answer.gathered.is_complete() {
            let why = "it broke off before its end".to_owned();
            return self
                .fail(&self.answer.relay.trouble(&Trouble::Broken(why)))
                .await;
        }
        let label = match self.answer.close(None).await {
            Ok(label) => label,
            Err(error) => return self.fail(&error).await,
        };
        let mut held = std::mem::take(&mut self.held);
        if let Some(last) = held.last_mut() {
            if self.usage == StreamUsage::WithFinish {
                last["usage"] = self.answer.usage();
            }
            last["lathe"] = label;
        }
        let own = (self.usage == StreamUsage::OwnChunk).then(|| held.last().cloned());
        if let Some(Some(mut chunk)) = own {
            chunk["choices"] = json!([]);
            chunk["usage"] = self.answer.usage();
            if let Some(members) = chunk.as_object_mut() {
                members.remove("lathe");
            }
            held.push(chunk);
        }
        for chunk in &held {
            self.push(chunk);
        }
        self.ready.push_back(sse::Event::default().data("[DONE]"));
        self.ended = true;
    }

    /// An error, after which nothing comes.
    async fn fail(&mut self, error: &ApiError) {
        self.answer.abort().await;
        self.push(&error.body());
        self.ended = true;
    }

    fn push(&mut self, value: &Value) {
        let event = sse::Event::default().data(value.to_string());
        self.ready.push_back(event);
    }
}
