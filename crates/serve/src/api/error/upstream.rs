//! What is said where another server did not answer as it should.
//!
//! A refusal that is about the caller's request goes through as the upstream said it, its status kept; all
//! else is the workshop's trouble with the upstream, and says which upstream. Neither repeats an address
//! or a key.

use std::time::Duration;

use axum::http::StatusCode;
use serde_json::Value;

use super::{ApiError, Header, RESTART_S, RETRY_AFTER_S};

/// The longest message of an upstream that is repeated.
const MESSAGE_CHARS_MAX: usize = 2000;
/// The longest names of parameters and codes.
const NAME_CHARS_MAX: usize = 100;

impl ApiError {
    /// 503: it was found not to answer; it is looked at again soon.
    pub(crate) fn upstream_down(name: &str, reason: &str, retry_after_s: u32) -> Self {
        let message = format!(
            "The upstream '{name}' does not answer: {reason}. Try again in {retry_after_s} s."
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
            .with_code("upstream_down")
            .with_header(Header::RetryAfter(retry_after_s))
    }

    /// 502: what it answered is no answer, or broke off.
    pub(crate) fn upstream_failed(name: &str, why: &str) -> Self {
        let message = format!("The upstream '{name}' gave no whole answer: {why}.");
        ApiError::new(StatusCode::BAD_GATEWAY, "server_error", message).with_code("upstream_failed")
    }

    /// 504: it was silent for longer than is allowed.
    pub(crate) fn upstream_silent(name: &str, longest: Duration) -> Self {
        let message = format!(
            "The upstream '{name}' said nothing for {} s, the longest that is waited.",
            longest.as_secs_f64()
        );
        ApiError::new(StatusCode::GATEWAY_TIMEOUT, "server_error", message)
            .with_code("upstream_timeout")
    }

    /// What it said in place of an answer.
    pub(crate) fn upstream_said(
        name: &str,
        status: StatusCode,
        retry_after_s: Option<u32>,
        body: &Value,
    ) -> Self {
        let message = format!("The upstream '{name}' says: {}", message_of(body));
        match status.as_u16() {
            401 | 403 => ApiError::upstream_failed(name, "it does not take this workshop's key"),
            429 => ApiError::new(status, "rate_limit_error", message)
                .with_code("upstream_full")
                .with_header(Header::RetryAfter(retry_after_s.unwrap_or(RETRY_AFTER_S))),
            400..=499 => {
                let error = error_of(body);
                let text = |member: &str| error.and_then(|it| it[member].as_str()).map(shown);
                let code = text("code").unwrap_or_else(|| "upstream_refused".to_owned());
                ApiError::new(status, "invalid_request_error", message)
                    .with_param(text("param").as_deref())
                    .with_code(code)
            }
            503 => ApiError::new(status, "server_error", message)
                .with_code("upstream_busy")
                .with_header(Header::RetryAfter(retry_after_s.unwrap_or(RESTART_S))),
            300..=399 => {
                ApiError::upstream_failed(name, "it points elsewhere, which is not followed")
            }
            status => ApiError::upstream_failed(name, &format!("it answered with status {status}")),
        }
    }
}

/// The object that tells of the error: OpenAI's `error`, or the body itself (older vLLM).
fn error_of(body: &Value) -> Option<&Value> {
    let error = body.get("error").unwrap_or(body);
    error.is_object().then_some(error)
}

/// What it says for people; `detail` is FastAPI's.
fn message_of(body: &Value) -> String {
    let error = body.get("error").unwrap_or(body);
    let message = [&error["message"], &body["detail"], error];
    let said = message.iter().find_map(|it| it.as_str());
    let said = said.unwrap_or("nothing that can be read.");
    let cut: String = said.chars().take(MESSAGE_CHARS_MAX).collect();
    cut
}

fn shown(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: u16, body: Value) -> (u16, Value) {
        let status = StatusCode::from_u16(status).expect("a status");
        let error = ApiError::upstream_said("big", status, None, &body);
        (error.status.as_u16(), error.body()["error"].clone())
    }

    #[test]
    fn a_refusal_of_the_request_goes_through_in_one_shape() {
        let openai = json!({"error": {
            "message": "too long", "type": "x", "param": "messages", "code": "context_length_exceeded",
        }});
        let (status, error) = said(400, openai);
        assert_eq!(status, 400);
        assert_eq!(error["message"], "The upstream 'big' says: too long");
        assert_eq!(error["param"], "messages");
        assert_eq!(error["code"], "context_length_exceeded");
        // vLLM before 0.10, FastAPI, and something else.
        let old = said(
            404,
            json!({"object": "error", "message": "no model", "code": 404}),
        );
        assert_eq!(old.1["message"], "The upstream 'big' says: no model");
        assert_eq!((old.0, &old.1["code"]), (404, &json!("upstream_refused")));
        let (_, fast) = said(422, json!({"detail": "no"}));
        assert_eq!(fast["message"], "The upstream 'big' says: no");
        let (_, odd) = said(400, json!(null));
        assert_eq!(
            odd["message"],
            "The upstream 'big' says: nothing that can be read."
        );
    }

    #[test]
    fn trouble_of_the_workshops_own_is_not_the_callers() {
        for (theirs, ours, code) in [
            (401, 502, "upstream_failed"),
            (403, 502, "upstream_failed"),
            (302, 502, "upstream_failed"),
            (500, 502, "upstream_failed"),
            (503, 503, "upstream_busy"),
            (429, 429, "upstream_full"),
        ] {
            let (status, error) = said(theirs, json!({"error": {"message": "m"}}));
            assert_eq!((status, &error["code"]), (ours, &json!(code)), "{theirs}");
        }
    }
}
