//! `POST /v1/embeddings`: texts as vectors.
//!
//! A text's vector is the mean of the model's last hidden states over its tokens, after the final
//! norm, of length 1 ([`lathe_engine::MeanPooling`]). The model was tuned to answer, not to embed: the
//! vectors tell texts apart that it tells apart.
//!
//! Answered all at once, under one receipt: its answer is the vectors in base64, a line each.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};
use tokio::sync::oneshot;

use super::error::ApiError;
use super::fields::Fields;
use super::parameters::Handling::{Ignored, Only, Read};
use super::parameters::{self, Table, never};
use super::prompts::{self, Given, Prompt};
use super::{body, label, models};
use crate::asker::Asker;
use crate::door::Inner;
use crate::receipt::{OpenReceipt, Question};
use crate::relay::{self, Interface};
use crate::scheduler::{Caller, EmbeddingJob, FinishReason, Finished, Unread};
use crate::served::Served;
use lathe_workshop::people::reach;

/// Every known parameter, by name.
const PARAMETERS: &Table = &[
    (
        "dimensions",
        Only(never, "a model's vectors have the width of the model"),
    ),
    ("encoding_format", Read),
    ("input", Read),
    ("model", Read),
    ("user", Ignored),
];

/// What was asked for.
#[derive(Debug)]
struct EmbeddingRequest {
    model: String,
    input: Vec<Given>,
    /// Vectors as base64 of little-endian f32, and not as lists of numbers.
    base64: bool,
}

impl EmbeddingRequest {
    fn read(map: &Map<String, Value>) -> Result<EmbeddingRequest, ApiError> {
        parameters::check_by(PARAMETERS, map)?;
        let base64 = match map.get("encoding_format").unwrap_or(&Value::Null) {
            Value::Null => false,
            value if value == "float" => false,
            value if value == "base64" => true,
            _ => {
                let message = "'encoding_format' must be 'float' or 'base64'.";
                return Err(ApiError::invalid(Some("encoding_format"), message));
            }
        };
        Ok(EmbeddingRequest {
            model: Fields::new(map).required_text("model")?,
            input: prompts::read(map, "input")?,
            base64,
        })
    }
}

/// Embeds every text.
pub(super) async fn create(
    State(door): State<Arc<Inner>>,
    caller: Caller,
    asker: Asker,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let map = body::read(&door, &headers, body)?;
    let accepts_restricted = body::accepts_restricted(&headers);
    if let Some(relay) = models::relay(&door, &map) {
        let by = (asker, accepts_restricted);
        return relay::ask(relay, door, by, Interface::Embeddings, map).await;
    }
    let request = EmbeddingRequest::read(&map)?;
    asker.may_ask(&request.model)?;
    let served = models::find(&door, &asker, &request.model)?;
    let places = body::reserve(&door, 1, "input")?;
    let texts = read_texts(request.input, served.clone()).await?;
    let question = Question::of_texts(&texts, accepts_restricted, true);
    let inputs: Vec<Vec<u32>> = texts.into_iter().map(|text| text.tokens).collect();
    let tokens = inputs.iter().map(Vec::len).sum();
    let place = places.into_iter().next();
    let mut place = place.ok_or_else(|| ApiError::internal("The request had no place."))?;
    asker.charge(&mut place, tokens)?;
    let receipt = OpenReceipt::open(served.clone(), question, tokens).await;
    let mut receipt = receipt.map_err(|refused| ApiError::refused(&refused))?;
    let (reply, answer) = oneshot::channel();
    door.scheduler.embed(EmbeddingJob {
        served,
        caller,
        inputs,
        reply,
        place,
    });
    let vectors = match answer.await {
        Ok(Ok(vectors)) => vectors,
        Ok(Err(Unread::Overdue(waited_s))) => {
            receipt.abort().await;
            return Err(ApiError::overdue(waited_s));
        }
        Ok(Err(Unread::Failed(reason))) => {
            receipt.abort().await;
            let message = format!("The texts could not be embedded: {reason}.");
            return Err(ApiError::internal(message));
        }
        Err(_) => {
            receipt.abort().await;
            let reason = door.scheduler.why_dropped().await;
            let message = format!("The texts were not embedded: {reason}.");
            return Err(ApiError::unavailable(message));
        }
    };
    answer_with(&request.model, &vectors, request.base64, tokens, receipt).await
}

/// Reads the texts as the model does, away from the threads that move bytes.
async fn read_texts(input: Vec<Given>, served: Arc<Served>) -> Result<Vec<Prompt>, ApiError> {
    let work = move || {
        let (model, mut texts) = (served.model(), Vec::with_capacity(input.len()));
        for given in input {
            let text = given.for_model(model, "input")?;
            let (tokens, context) = (text.tokens.len(), model.config.context);
            if tokens > context {
                return Err(ApiError::context_exceeded("input", tokens, None, context));
            }
            texts.push(text);
        }
        Ok(texts)
    };
    let read = reach::spawn_blocking(work).await;
    read.unwrap_or_else(|panic| {
        Err(ApiError::internal(format!(
            "The texts could not be read: {panic}."
        )))
    })
}

/// The vectors, once their receipt is closed.
async fn answer_with(
    model: &str,
    vectors: &[Vec<f32>],
    base64: bool,
    tokens: usize,
    mut receipt: OpenReceipt,
) -> Result<Response, ApiError> {
    let encoded: Vec<String> = vectors.iter().map(|vector| encode(vector)).collect();
    receipt.add(&encoded.join("\n"), 0);
    let producer = receipt.origin();
    let finished = Finished {
        reason: FinishReason::Stop,
        prompt_tokens: tokens,
        cached_tokens: 0,
        answer_tokens: 0,
    };
    let closed = receipt.close(finished).await;
    let closed = closed.map_err(|error| ApiError::not_closed(&error))?;
    let entry = |(index, (vector, encoded)): (usize, (&Vec<f32>, &String))| {
        let embedding = if base64 {
            json!(encoded)
        } else {
            json!(vector)
        };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    };
    let data: Vec<Value> = vectors
        .iter()
        .zip(&encoded)
        .enumerate()
        .map(entry)
        .collect();
    let body = json!({
        "object": "list",
        "data": data,
        "model": model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "lathe": label::at_end(receipt.opened(), &closed, &producer),
    });
    let mut response = Json(body).into_response();
    label::set_headers(&mut response, receipt.opened());
    Ok(response)
}

/// Base64 of little-endian f32, as OpenAI's clients decode it.
pub(crate) fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|it| it.to_le_bytes()).collect();
    BASE64.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(extra: Value) -> Option<(Value, Value)> {
        let mut request = json!({"model": "m", "input": "hello"});
        let members = extra.as_object().expect("an object").clone();
        request.as_object_mut().expect("an object").extend(members);
        let error = EmbeddingRequest::read(request.as_object().expect("an object")).err()?;
        let error = &error.body()["error"];
        Some((error["param"].clone(), error["code"].clone()))
    }

    #[test]
    fn refuses_by_name() {
        assert_eq!(
            refusal(json!({"encoding_format": "base64", "user": "u"})),
            None
        );
        for (name, value, code) in [
            ("dimensions", json!(64), json!("unsupported_parameter")),
            ("encoding_format", json!("int8"), json!(null)),
            ("input", json!(null), json!(null)),
            ("input", json!(5), json!(null)),
            ("prompt", json!("x"), json!("unknown_parameter")),
        ] {
            let expected = Some((json!(name), code));
            assert_eq!(refusal(json!({name: value})), expected, "{name}");
        }
    }

    #[test]
    fn the_guide_names_every_parameter_and_the_table_is_sorted() {
        let guide = include_str!("../../../../docs/guide/serving.md");
        for (name, _) in PARAMETERS {
            assert!(guide.contains(&format!("`{name}`")), "{name}");
        }
        assert!(PARAMETERS.is_sorted_by(|(a, _), (b, _)| a < b));
    }
}
