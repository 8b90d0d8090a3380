//! What a caller asked for: a chat completion's JSON read strictly.
//!
//! Which parameters there are is in `parameters`. Nothing is looked up or computed
//! here; whether the model exists and the prompt fits is for `chat`.

use lathe_engine::{Message, Sampling};
use serde_json::Value;

use super::error::ApiError;
use super::fields::Fields;
use super::format::{self, Shape};
use super::{bias, body, messages, parameters, tools};
use crate::scheduler::{Bias, Penalties};

/// Stop sequences in one request (OpenAI allows four).
const STOP_SEQUENCES_MAX: usize = 16;
/// Length of one stop sequence.
const STOP_BYTES_MAX: usize = 1024;

/// Answers to one prompt.
pub(super) const ANSWERS_MAX: i64 = 8;
/// The likeliest tokens told beside each (OpenAI's bound).
const LIKELIEST_MAX: i64 = 20;

/// A chat completion as it was asked for.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    /// Name of the model.
    pub model: String,
    /// The conversation, text only.
    pub messages: Vec<Message>,
    /// The tools that may be called, as they were given.
    pub tools: Option<Value>,
    /// How the answer is sent.
    pub delivery: Delivery,
    /// How tokens are chosen; `seed` of 0 when `seeded` is false.
    pub sampling: Sampling,
    /// Whether the caller fixed the seed.
    pub seeded: bool,
    /// What repeated tokens cost.
    pub penalties: Penalties,
    /// What is added to single tokens' logits.
    pub bias: Bias,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// Longest answer; the rest of the context when absent.
    pub answer_tokens_max: Option<usize>,
    /// Goes on past the model's end token; for load tests.
    pub ignore_eos: bool,
    /// The shape that the answer must have.
    pub shape: Option<Shape>,
    /// Answers that are made.
    pub answers: usize,
    /// Whether log-probabilities are told, and how many of the likeliest tokens beside each.
    pub scores: Option<usize>,
}

/// How the answer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// One JSON object.
    Whole,
    /// Server-sent events, with the usage as told.
    Stream(StreamUsage),
}

/// Where a stream tells how many tokens were used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StreamUsage {
    /// On the chunk that carries `finish_reason`: the default here. It reaches
    /// callers who never asked and breaks none that reads `choices[0]`.
    WithFinish,
    /// In a chunk of its own without choices, as OpenAI does on
    /// `include_usage: true`.
    OwnChunk,
    /// Not at all, on `include_usage: false`.
    Absent,
}

impl ChatRequest {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// 400 naming the parameter that is missing, of the wrong kind, out of its
    /// range, unknown or unsupported.
    pub(crate) fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
        let map = body::members(body)?;
        parameters::check(&map)?;
        let fields = Fields::new(&map);
        let seed = fields.seed()?;
        Ok(ChatRequest {
            model: fields.required_text("model")?,
            messages: messages::read(map.get("messages"))?,
            tools: tools::read(&map)?,
            delivery: read_delivery(&fields)?,
            sampling: read_sampling(&fields, seed)?,
            seeded: seed.is_some(),
            penalties: read_penalties(&fields)?,
            bias: bias::read(&fields)?,
            stop: read_stop(map.get("stop"))?,
            answer_tokens_max: read_answer_tokens_max(&fields)?,
            ignore_eos: fields.flag("ignore_eos")?.unwrap_or(false),
            shape: format::read(&map)?,
            answers: read_answers(&fields)?,
            scores: read_scores(&fields)?,
        })
    }
}

/// `n`, which is 1 where it is not given.
pub(super) fn read_answers(fields: &Fields<'_>) -> Result<usize, ApiError> {
    let answers = fields.integer("n", 1, ANSWERS_MAX)?;
    Ok(answers.map_or(1, |answers| answers as usize))
}

fn read_scores(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    let wanted = fields.flag("logprobs")?.unwrap_or(false);
    let likeliest = fields.integer("top_logprobs", 0, LIKELIEST_MAX)?;
    if !wanted && likeliest.is_some_and(|count| count > 0) {
        let message = "'top_logprobs' is only allowed together with 'logprobs': true.";
        return Err(ApiError::invalid(Some("top_logprobs"), message));
    }
    Ok(wanted.then(|| likeliest.unwrap_or(0) as usize))
}

pub(super) fn read_penalties(fields: &Fields<'_>) -> Result<Penalties, ApiError> {
    let penalty = |name: &str| -> Result<f32, ApiError> {
        Ok(fields.number(name, -2.0, 2.0)?.unwrap_or(0.0))
    };
    Ok(Penalties {
        presence: penalty("presence_penalty")?,
        frequency: penalty("frequency_penalty")?,
    })
}

/// Without a temperature the answer is greedy: that is what the gate measured.
pub(super) fn read_sampling(fields: &Fields<'_>, seed: Option<u64>) -> Result<Sampling, ApiError> {
    let top_p = fields.number("top_p", 0.0, 1.0)?.unwrap_or(1.0);
    if top_p <= 0.0 {
        return Err(ApiError::invalid(
            Some("top_p"),
            "'top_p' must be above 0 and at most 1.",
        ));
    }
    Ok(Sampling {
        temperature: fields.number("temperature", 0.0, 2.0)?.unwrap_or(0.0),
        top_p,
        top_k: fields
            .integer("top_k", 0, i64::from(u32::MAX))?
            .unwrap_or(0) as usize,
        seed: seed.unwrap_or(0),
    })
}

pub(super) fn read_delivery(fields: &Fields<'_>) -> Result<Delivery, ApiError> {
    let stream = fields.flag("stream")?.unwrap_or(false);
    let Some(options) = fields.object("stream_options")? else {
        let usage = StreamUsage::WithFinish;
        return Ok(if stream {
            Delivery::Stream(usage)
        } else {
            Delivery::Whole
        });
    };
    if !stream {
        let message = "'stream_options' is only allowed together with 'stream': true.";
        return Err(ApiError::invalid(Some("stream_options"), message));
    }
    let known = ["include_usage", "include_obfuscation"];
    if let Some(name) = options.keys().find(|name| !known.contains(&name.as_str())) {
        let message = format!("Unrecognized stream option: {name}.");
        return Err(ApiError::invalid(Some("stream_options"), message));
    }
    Ok(Delivery::Stream(match options.get("include_usage") {
        None | Some(Value::Null) => StreamUsage::WithFinish,
        Some(Value::Bool(true)) => StreamUsage::OwnChunk,
        Some(Value::Bool(false)) => StreamUsage::Absent,
        Some(_) => {
            let message = "'stream_options.include_usage' must be true or false.";
            return Err(ApiError::invalid(Some("stream_options"), message));
        }
    }))
}

fn read_answer_tokens_max(fields: &Fields<'_>) -> Result<Option<usize>, ApiError> {
    let old = fields.integer("max_tokens", 1, i64::from(u32::MAX))?;
    let new = fields.integer("max_completion_tokens", 1, i64::from(u32::MAX))?;
    if let (Some(old), Some(new)) = (old, new)
        && old != new
    {
        let message = "'max_tokens' and 'max_completion_tokens' say the same thing but differ. \
                       Send one of them.";
        return Err(ApiError::invalid(Some("max_tokens"), message));
    }
    Ok(new.or(old).map(|tokens| tokens as usize))
}

pub(super) fn read_stop(value: Option<&Value>) -> Result<Vec<String>, ApiError> {
    let refuse = || {
        let message = format!(
            "'stop' must be a string or at most {STOP_SEQUENCES_MAX} strings, each of 1 to \
             {STOP_BYTES_MAX} bytes."
        );
        ApiError::invalid(Some("stop"), message)
    };
    let sequences = match value {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(many)) if many.len() <= STOP_SEQUENCES_MAX => many
            .iter()
            .map(|one| one.as_str().map(str::to_owned).ok_or_else(refuse))
            .collect::<Result<_, _>>()?,
        Some(_) => return Err(refuse()),
    };
    if sequences
        .iter()
        .any(|one| one.is_empty() || one.len() > STOP_BYTES_MAX)
    {
        return Err(refuse());
    }
    Ok(sequences)
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    /// A sound request with `extra` laid over it.
    fn request(extra: Value) -> Value {
        let mut request = json!({
            "model": "m",
            "messages": [{"role": "user", "content": "hello"}],
        });
        let members = extra.as_object().expect("an object").clone();
        request.as_object_mut().expect("an object").extend(members);
        request
    }

    fn accept(extra: Value) -> ChatRequest {
        let body = request(extra.clone()).to_string();
        ChatRequest::parse(body.as_bytes()).unwrap_or_else(|error| panic!("{extra}: {error:?}"))
    }

    /// The status, `param` and `code` of the refusal of `extra`.
    fn refuse(extra: Value) -> (u16, Value, Value) {
        refuse_bytes(request(extra).to_string().as_bytes())
    }

    fn refuse_bytes(body: &[u8]) -> (u16, Value, Value) {
        let error = ChatRequest::parse(body).expect_err("must be refused");
        let response = error.into_response();
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        let body = runtime
            .block_on(to_bytes(response.into_body(), 1 << 16))
            .expect("a body");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        let error = &body["error"];
        assert!(
            error["message"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{error}"
        );
        (status, error["param"].clone(), error["code"].clone())
    }

    #[test]
    fn reads_every_parameter() {
        let read = accept(json!({
            "messages": [
                {"role": "developer", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
                {"role": "assistant", "content": ""},
            ],
            "temperature": 0.5, "top_p": 0.9, "top_k": 40, "seed": -1,
            "presence_penalty": -2, "frequency_penalty": 1.5,
            "stop": ["x", "yy"], "max_completion_tokens": 7, "max_tokens": 7,
            "stream": true, "stream_options": {"include_usage": true},
            "n": 3, "logprobs": true, "top_logprobs": 20, "logit_bias": {"5": -100},
        }));
        let roles: Vec<&str> = read.messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles, ["system", "user", "assistant"]);
        assert_eq!(read.messages[1].text(), "ab");
        let sampling = Sampling {
            temperature: 0.5,
            top_p: 0.9,
            top_k: 40,
            seed: u64::MAX,
        };
        assert_eq!((read.sampling, read.seeded), (sampling, true));
        assert_eq!(
            read.penalties,
            Penalties {
                presence: -2.0,
                frequency: 1.5
            }
        );
        assert_eq!(read.stop, ["x", "yy"]);
        assert_eq!(read.answer_tokens_max, Some(7));
        assert_eq!(read.delivery, Delivery::Stream(StreamUsage::OwnChunk));
        assert_eq!((read.answers, read.scores), (3, Some(20)));
        assert_eq!(read.bias, Bias(vec![(5, -100.0)]));
    }

    #[test]
    fn what_is_not_given_is_greedy_and_whole() {
        let read = accept(json!({"temperature": null, "stop": null, "stream": false}));
        let greedy = Sampling {
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
        };
        assert_eq!((read.sampling, read.seeded), (greedy, false));
        assert_eq!(read.delivery, Delivery::Whole);
        assert_eq!(read.answer_tokens_max, None);
        assert_eq!((read.answers, read.scores), (1, None));
        let usage = |extra| accept(extra).delivery;
        assert_eq!(
            usage(json!({"stream": true})),
            Delivery::Stream(StreamUsage::WithFinish)
        );
        let absent = json!({"stream": true, "stream_options": {"include_usage": false}});
        assert_eq!(usage(absent), Delivery::Stream(StreamUsage::Absent));
    }

    #[test]
    fn refuses_by_name_what_is_out_of_range() {
        for (name, value) in [
            ("model", json!(3)),
            ("model", json!(null)),
            ("messages", json!([])),
            ("messages", json!("hello")),
            ("messages", json!(null)),
            ("temperature", json!(2.1)),
            ("temperature", json!("0")),
            ("top_p", json!(0)),
            ("top_p", json!(1.01)),
            ("top_k", json!(-1)),
            ("seed", json!(0.5)),
            ("presence_penalty", json!(-2.1)),
            ("frequency_penalty", json!(3)),
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(1.5)),
            ("n", json!(0)),
            ("n", json!(ANSWERS_MAX + 1)),
            ("logprobs", json!(3)),
            ("top_logprobs", json!(LIKELIEST_MAX + 1)),
            ("top_logprobs", json!(1)),
            ("logit_bias", json!({"x": 1})),
            ("stop", json!([""])),
            ("stop", json!(vec!["x"; STOP_SEQUENCES_MAX + 1])),
            ("stop", json!("x".repeat(STOP_BYTES_MAX + 1))),
            ("stop", json!([1])),
            ("tools", json!("f")),
            ("stream", json!("yes")),
            ("stream_options", json!({"include_usage": true})),
        ] {
            assert_eq!(
                refuse(json!({name: value})),
                (400, json!(name), json!(null)),
                "{name}"
            );
        }
        let differing = json!({"max_tokens": 3, "max_completion_tokens": 4});
        assert_eq!(refuse(differing).1, json!("max_tokens"));
        let unknown = json!({"stream": true, "stream_options": {"pace": 1}});
        assert_eq!(refuse(unknown).1, json!("stream_options"));
    }

    #[test]
    fn refuses_what_is_not_a_json_object() {
        let deep = "[".repeat(100_000);
        for body in [
            "",
            "{",
            "[]",
            "null",
            "\"x\"",
            "{\"model\": \"\\ud800\"}",
            &deep,
        ] {
            assert_eq!(
                refuse_bytes(body.as_bytes()),
                (400, json!(null), json!(null)),
                "{body:.20}"
            );
        }
        assert_eq!(refuse_bytes(b"\xff\xfe").0, 400);
    }
}
