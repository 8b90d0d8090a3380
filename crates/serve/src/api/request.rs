//! What a caller asked for: a chat completion's JSON read strictly.
//!
//! Which parameters there are is in `parameters`. Nothing is looked up or computed
//! here; whether the model exists and the prompt fits is for `chat`.

use lathe_engine::Message;
use serde_json::{Map, Value};

use super::error::ApiError;
use super::fields::Fields;
use super::forced::{self, Forced};
use super::format::{self, Shape};
use super::terms::Terms;
use super::{messages, parameters, tools};

/// The likeliest tokens told beside each (OpenAI's bound).
const LIKELIEST_MAX: i64 = 20;

/// A chat completion as it was asked for.
#[derive(Debug)]
pub(crate) struct ChatRequest {
    /// What any model is asked.
    pub terms: Terms,
    /// The conversation, text only.
    pub messages: Vec<Message>,
    /// The tools that may be called, as they were given.
    pub tools: Option<Value>,
    /// The call that is forced.
    pub forced: Option<Forced>,
    /// The shape that the answer must have; of a call that is forced, the call's.
    pub shape: Option<Shape>,
}

impl ChatRequest {
    /// Reads the members of a request's body.
    ///
    /// # Errors
    /// 400 naming the parameter that is missing, of the wrong kind, out of its
    /// range, unknown or unsupported.
    pub(crate) fn read(map: &Map<String, Value>) -> Result<ChatRequest, ApiError> {
        parameters::check(map)?;
        let fields = Fields::new(map);
        let tools = tools::read(map)?;
        let forced = forced::read(map, tools.as_ref())?;
        let call = forced.as_ref().map(Forced::shape);
        let shape = format::read(map)?;
        Ok(ChatRequest {
            terms: Terms::read(map, read_answer_tokens_max(&fields)?, read_scores(&fields)?)?,
            messages: messages::read(map.get("messages"))?,
            tools,
            forced,
            // Never both: a forced call goes with no other shape.
            shape: call.or(shape),
        })
    }
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

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::response::IntoResponse;
    use lathe_engine::Sampling;
    use serde_json::json;

    use super::super::body;
    use super::super::terms::{
        ANSWERS_MAX, Delivery, STOP_BYTES_MAX, STOP_SEQUENCES_MAX, StreamUsage,
    };
    use super::*;
    use crate::scheduler::{Bias, Penalties};

    fn parse(body: &[u8]) -> Result<ChatRequest, ApiError> {
        ChatRequest::read(&body::members(body)?)
    }

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
        parse(body.as_bytes()).unwrap_or_else(|error| panic!("{extra}: {error:?}"))
    }

    /// The status, `param` and `code` of the refusal of `extra`.
    fn refuse(extra: Value) -> (u16, Value, Value) {
        refuse_bytes(request(extra).to_string().as_bytes())
    }

    fn refuse_bytes(body: &[u8]) -> (u16, Value, Value) {
        let error = parse(body).expect_err("must be refused");
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
        assert_eq!((read.terms.sampling, read.terms.seeded), (sampling, true));
        assert_eq!(
            read.terms.penalties,
            Penalties {
                presence: -2.0,
                frequency: 1.5
            }
        );
        assert_eq!(read.terms.stop, ["x", "yy"]);
        assert_eq!(read.terms.answer_tokens_max, Some(7));
        assert_eq!(read.terms.delivery, Delivery::Stream(StreamUsage::OwnChunk));
        assert_eq!((read.terms.answers, read.terms.scores), (3, Some(20)));
        assert_eq!(read.terms.bias, Bias(vec![(5, -100.0)]));
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
        assert_eq!((read.terms.sampling, read.terms.seeded), (greedy, false));
        assert_eq!(read.terms.delivery, Delivery::Whole);
        assert_eq!(read.terms.answer_tokens_max, None);
        assert_eq!((read.terms.answers, read.terms.scores), (1, None));
        let usage = |extra| accept(extra).terms.delivery;
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
            ("priority", json!(-1)),
            ("priority", json!(101)),
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
