//! What an upstream answered, on its way to the caller: all at once here, event by event in `stream`.
//!
//! The receipt is closed, durably, before the last part leaves. Who hangs up drops this, by which the
//! connection to the upstream closes, the place is free, and the receipt ends as cancelled over what was
//! sent until then.

use std::sync::Arc;

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use lathe_evidence::receipt::{Counted, Relayed, Weights};
use serde_json::{Value, json};
use tokio::sync::OwnedSemaphorePermit;

use super::Relay;
use super::gathered::{ANSWER_BYTES_MAX, Gathered};
use super::http::{Body, Trouble};
use crate::api::embeddings;
use crate::api::error::ApiError;
use crate::api::label;
use crate::door::Inner;
use crate::place::Place;
use crate::receipt::OpenReceipt;
use crate::scheduler::{FinishReason, Finished};

/// The longest body: what is said in it, and what stands around that (log-probabilities).
const BODY_BYTES_MAX: usize = 4 * ANSWER_BYTES_MAX;

/// An answer that comes from an upstream.
pub(super) struct Answer {
    pub(super) door: Arc<Inner>,
    pub(super) relay: Arc<Relay>,
    /// The name that was asked, which is another than the upstream's where one stands in.
    pub(super) model: String,
    pub(super) receipt: OpenReceipt,
    pub(super) place: Place,
    pub(super) gathered: Gathered,
    /// Pieces in which something was said.
    pub(super) pieces: usize,
    /// Tokens that were taken for the prompt.
    guessed: usize,
    closed: bool,
    /// Counts it among what is under way.
    _asked: OwnedSemaphorePermit,
}

impl Answer {
    /// One that begins, under an open receipt, in its place.
    pub(super) fn new(
        door: Arc<Inner>,
        relay: Arc<Relay>,
        model: String,
        (receipt, place, asked): (OpenReceipt, Place, OwnedSemaphorePermit),
        guessed: usize,
    ) -> Answer {
        Answer {
            door,
            relay,
            model,
            receipt,
            place,
            gathered: Gathered::default(),
            pieces: 0,
            guessed,
            closed: false,
            _asked: asked,
        }
    }

    /// Waits for the end and sends all at once.
    ///
    /// # Errors
    /// 502 or 504 where the upstream fails, 503 where the receipt cannot be closed.
    pub(super) async fn whole(mut self, body: Body, embeds: bool) -> Result<Response, ApiError> {
        let read = match self.read(body, embeds).await {
            Ok(read) => read,
            Err(error) => {
                self.abort().await;
                return Err(error);
            }
        };
        let (mut body, vectors) = read;
        let label = self.close(vectors).await?;
        body["model"] = json!(self.model);
        if self.gathered.usage.is_none() {
            body["usage"] = self.usage();
        }
        body["lathe"] = label;
        let mut response = Json(body).into_response();
        label::set_headers(&mut response, self.receipt.opened());
        Ok(response)
    }

    /// The body, and of embeddings what the receipt has in place of words.
    async fn read(
        &mut self,
        body: Body,
        embeds: bool,
    ) -> Result<(Value, Option<String>), ApiError> {
        let reading = body.whole(BODY_BYTES_MAX);
        let bytes = self.door.relays.unless_stopped(reading).await?;
        let bytes = bytes.map_err(|trouble| self.relay.trouble(&trouble))?;
        let failed = |why: &str| self.relay.trouble(&Trouble::Unreadable(why.to_owned()));
        let mut body: Value = serde_json::from_slice(&bytes)
            .map_err(|error| failed(&format!("it answered with what is no JSON ({error})")))?;
        label::take_off(&mut body);
        let member = if embeds { "data" } else { "choices" };
        if !body[member].is_array() {
            return Err(failed(&format!("its answer has no '{member}'")));
        }
        let vectors = if embeds {
            Some(
                vectors(&body)
                    .ok_or_else(|| failed("its answer has members that are no vectors"))?,
            )
        } else {
            None
        };
        self.gathered.take(&body).map_err(|why| failed(&why))?;
        // A token is about four bytes of text.
        self.pieces = self.gathered.bytes().div_ceil(4);
        Ok((body, vectors))
    }

    /// Closes the receipt of an answer that has come to its end; `said` in place of its words.
    ///
    /// # Errors
    /// 503 where the book cannot be written.
    pub(super) async fn close(&mut self, said: Option<String>) -> Result<Value, ApiError> {
        let (prompt_tokens, answer_tokens) = self.counts();
        let said = said.unwrap_or_else(|| self.gathered.text());
        self.note(said);
        let reason = if self.gathered.is_cut() {
            FinishReason::Length
        } else {
            FinishReason::Stop
        };
        self.closed = true;
        let producer = self.receipt.origin();
        let closing = self.receipt.close(Finished {
            reason,
            prompt_tokens,
            cached_tokens: 0,
            answer_tokens,
        });
        let closed = closing
            .await
            .map_err(|error| ApiError::not_closed(&error))?;
        self.place.ended(reason.as_str());
        Ok(label::at_end(self.receipt.opened(), &closed, &producer))
    }

    /// Closes the receipt of an answer that broke off, over what was said until then.
    pub(super) async fn abort(&mut self) {
        if !std::mem::replace(&mut self.closed, true) {
            self.so_far();
        }
        self.receipt.abort().await;
    }

    /// What the caller is told of the tokens.
    pub(super) fn usage(&self) -> Value {
        if let Some(usage) = &self.gathered.usage {
            return usage.told.clone();
        }
        let (prompt, answer) = self.counts();
        json!({
            "prompt_tokens": prompt,
            "completion_tokens": answer,
            "total_tokens": prompt + answer,
        })
    }

    /// Tokens of prompt and answer: the upstream's, else what was guessed and counted.
    fn counts(&self) -> (usize, usize) {
        let usage = self.gathered.usage.as_ref();
        usage.map_or((self.guessed, self.pieces), |it| {
            (it.prompt_tokens, it.answer_tokens)
        })
    }

    fn so_far(&mut self) {
        self.note(self.gathered.text());
    }

    /// What the receipt and the place know of it: what was `said`, by whom, and who counted its tokens.
    fn note(&mut self, said: String) {
        let (prompt_tokens, answer_tokens) = self.counts();
        let relayed = Relayed {
            weights: Weights::NotVerified,
            model: self.gathered.model.clone(),
            counted: match self.gathered.usage {
                Some(_) => Counted::Upstream,
                None => Counted::Pieces,
            },
        };
        self.receipt.replace(said, answer_tokens);
        self.receipt.told(relayed, prompt_tokens);
        self.place.told(prompt_tokens, answer_tokens);
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        if !self.closed {
            self.so_far();
        }
    }
}

impl Relay {
    /// Trouble with this upstream, as its caller hears of it.
    pub(super) fn trouble(&self, trouble: &Trouble) -> ApiError {
        let name = &self.upstream.name;
        match trouble {
            Trouble::Unreached(_) => {
                ApiError::upstream_down(name, &trouble.to_string(), self.retry_after_s())
            }
            Trouble::Silent(longest) => ApiError::upstream_silent(name, *longest),
            Trouble::Broken(_) | Trouble::Unreadable(_) => {
                ApiError::upstream_failed(name, &trouble.to_string())
            }
        }
    }
}

/// Vectors in base64, a line each, however they came.
fn vectors(body: &Value) -> Option<String> {
    let one = |entry: &Value| match &entry["embedding"] {
        Value::String(base64) if BASE64.decode(base64).is_ok() => Some(base64.clone()),
        Value::Array(numbers) => {
            let numbers = numbers.iter().map(|it| it.as_f64().map(|it| it as f32));
            Some(embeddings::encode(&numbers.collect::<Option<Vec<f32>>>()?))
        }
        _ => None,
    };
    let lines: Option<Vec<String>> = body["data"].as_array()?.iter().map(one).collect();
    Some(lines?.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_the_same_text_however_they_came() {
        let numbers = json!({"data": [{"embedding": [1.0, -0.5]}, {"embedding": [0]}]});
        let lines = vectors(&numbers).expect("vectors");
        let encoded: Vec<&str> = lines.split('\n').collect();
        let strings = json!({"data": [{"embedding": encoded[0]}, {"embedding": encoded[1]}]});
        assert_eq!(vectors(&strings).expect("vectors"), lines);
        assert_eq!(encoded[1], "AAAAAA==");
        for odd in [json!("?"), json!(["x"]), json!(null)] {
            assert_eq!(
                vectors(&json!({"data": [{"embedding": odd}]})),
                None,
                "{odd}"
            );
        }
    }
}
