//! OpenAI's error shape: the one way this server says no.
//!
//! `{"error": {"message", "type", "param", "code"}}` with the status that makes
//! the official clients raise the right class. Which request is wrong is decided
//! elsewhere; here stands only how it is said.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{ALLOW, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use lathe_workshop::token::Short;
use lathe_workshop::{BookError, Refused, WorkshopError};
use serde_json::{Value, json};

use super::quota::duration;

mod upstream;

/// A refusal or failure on its way to the caller.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: Option<Cow<'static, str>>,
    param: Option<String>,
    message: String,
    header: Option<Header>,
}

/// A header that belongs to a refusal.
#[derive(Debug, Clone, Copy)]
enum Header {
    /// `Retry-After`, in seconds.
    RetryAfter(u32),
    /// `x-should-retry: false`, which OpenAI's clients heed, and when it would help, if ever.
    NotSoon(Option<u32>),
    /// `Allow`, the methods that are.
    Allow(&'static str),
}

impl ApiError {
    /// 400: the request is not one this server can answer as it was meant.
    pub(crate) fn invalid(param: Option<&str>, message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::BAD_REQUEST, "invalid_request_error", message).with_param(param)
    }

    /// 400: OpenAI has the parameter, this server does not honour it yet.
    pub(crate) fn unsupported(param: &str, why: &str) -> Self {
        let message = format!("Parameter '{param}' is not supported: {why}.");
        ApiError::invalid(Some(param), message).with_code("unsupported_parameter")
    }

    /// 400: prompt and answer do not fit the model's context; nothing is ever cut.
    /// `param` holds the prompt.
    pub(crate) fn context_exceeded(
        param: &str,
        prompt: usize,
        answer: Option<usize>,
        context: usize,
    ) -> Self {
        let message = match answer {
            Some(answer) => format!(
                "This model's context is {context} tokens, but '{param}' takes {prompt} and the \
                 answer may take {answer}. Shorten '{param}' or ask for a shorter answer."
            ),
            None if prompt > context => format!(
                "This model's context is {context} tokens, but '{param}' takes {prompt}. \
                 Shorten '{param}'."
            ),
            None => format!(
                "This model's context is {context} tokens, but '{param}' takes {prompt} and \
                 leaves no room for an answer. Shorten '{param}'."
            ),
        };
        ApiError::invalid(Some(param), message).with_code("context_length_exceeded")
    }

    /// 404: nobody answers under this name.
    pub(crate) fn model_not_found(name: &str, known: &[String]) -> Self {
        let known = match known {
            [] => "No model is deployed yet.".to_owned(),
            known => format!("Deployed models: {}.", known.join(", ")),
        };
        let shown: String = name.chars().take(NAME_CHARS_SHOWN_MAX).collect();
        let message = format!("The model '{shown}' does not exist here. {known}");
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .with_param(Some("model"))
            .with_code("model_not_found")
    }

    /// 404: no such path under `/v1`.
    pub(crate) fn unknown_path(method: &str, path: &str) -> Self {
        let message = format!(
            "Unknown request URL: {method} {path}. This server answers GET /v1/models, \
             GET /v1/models/{{model}}, POST /v1/chat/completions, POST /v1/completions, \
             POST /v1/embeddings, and what is under /v1/files, /v1/fine_tuning/jobs and /v1/feedback."
        );
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .with_code("unknown_url")
    }

    /// 405: the path exists, but not for this method.
    pub(crate) fn method_not_allowed(method: &str, path: &str, allowed: &'static str) -> Self {
        let message = format!("{path} does not answer {method}; use {allowed}.");
        ApiError::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request_error",
            message,
        )
        .with_code("method_not_allowed")
        .with_header(Header::Allow(allowed))
    }

    /// 413: the body is larger than the stated bound.
    pub(crate) fn body_too_large(bytes_max: usize) -> Self {
        let message = format!("The request's body is larger than {bytes_max} bytes. Send less.");
        ApiError::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "invalid_request_error",
            message,
        )
        .with_code("body_too_large")
    }

    /// 415: the body is not declared as JSON.
    pub(crate) fn not_json() -> Self {
        let message = "The request's body must be JSON. Send it with the header \
                       'Content-Type: application/json'.";
        ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "invalid_request_error",
            message,
        )
        .with_code("unsupported_media_type")
    }

    /// 429: as many requests run and wait as the server accepts.
    pub(crate) fn queue_full(requests_max: usize) -> Self {
        let message = format!(
            "The server already holds {requests_max} requests, its limit. Try again shortly."
        );
        ApiError::new(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message)
            .with_code("queue_full")
            .with_header(Header::RetryAfter(RETRY_AFTER_S))
    }

    /// 503: the request waited its longest without its turn coming; nothing of it was computed.
    pub(crate) fn overdue(waited_s: u64) -> Self {
        let message = format!(
            "The answer was not begun: for {waited_s} s all of the server was taken by others. Try \
             again in {OVERDUE_RETRY_AFTER_S} s."
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", message)
            .with_code("queue_timeout")
            .with_header(Header::RetryAfter(OVERDUE_RETRY_AFTER_S))
    }

    /// 429: the key's allowance does not suffice, in OpenAI's words.
    pub(crate) fn limited(short: &Short) -> Self {
        let refuse = |kind, message: String, code, header| {
            ApiError::new(StatusCode::TOO_MANY_REQUESTS, kind, message)
                .with_code(code)
                .with_header(header)
        };
        let per_minute = |what: &str, limit: u32, wait_ms: u64| {
            let wait = duration(wait_ms);
            format!(
                "Rate limit reached for this key on {what} per min: Limit {limit}. Please try again in {wait}."
            )
        };
        let code = "rate_limit_exceeded";
        match *short {
            Short::Requests { limit, wait_ms } => {
                let message = per_minute("requests", limit, wait_ms);
                refuse(
                    "requests",
                    message,
                    code,
                    Header::RetryAfter(seconds(wait_ms)),
                )
            }
            Short::Tokens { limit, wait_ms } => {
                let message = per_minute("tokens", limit, wait_ms);
                refuse(
                    "tokens",
                    message,
                    code,
                    Header::RetryAfter(seconds(wait_ms)),
                )
            }
            Short::TooLarge { limit, asked } => {
                let message = format!(
                    "Request too large for this key: Limit {limit} tokens, Requested {asked}. Shorten the prompt."
                );
                refuse("tokens", message, code, Header::NotSoon(None))
            }
            Short::Day { limit, wait_ms } => {
                let message = format!(
                    "You exceeded this key's quota of {limit} tokens per day. It begins anew in {}; its operator may raise it.",
                    duration(wait_ms)
                );
                let code = "insufficient_quota";
                refuse(code, message, code, Header::NotSoon(Some(seconds(wait_ms))))
            }
        }
    }

    /// 403: the key is for other models.
    pub(crate) fn model_not_allowed(key: &str, model: &str) -> Self {
        let shown: String = model.chars().take(NAME_CHARS_SHOWN_MAX).collect();
        let message = format!(
            "The key {key} may not ask the model '{shown}'. GET /v1/models lists those it may; its operator \
             issues another with `lathe token create`."
        );
        ApiError::new(StatusCode::FORBIDDEN, "permission_error", message)
            .with_param(Some("model"))
            .with_code("model_not_allowed")
    }

    /// 403: the model is of a project in which whoever asks may ask none.
    pub(crate) fn model_not_yours(model: &str) -> Self {
        let shown: String = model.chars().take(NAME_CHARS_SHOWN_MAX).collect();
        let message = format!(
            "You may not ask the model '{shown}'. GET /v1/models lists those you may; an administrator of \
             its project gives a part in it."
        );
        ApiError::new(StatusCode::FORBIDDEN, "permission_error", message)
            .with_param(Some("model"))
            .with_code("model_not_allowed")
    }

    /// 503: the model is deployed, and its evidence is still being looked at.
    pub(crate) fn opening(model: &str) -> Self {
        let message = format!(
            "The model '{model}' is deployed but not open yet: its evidence is being verified. Try again shortly."
        );
        ApiError::unavailable(message)
            .with_param(Some("model"))
            .with_code("model_opening")
            .with_header(Header::RetryAfter(RETRY_AFTER_S))
    }

    /// 503: the server does not answer now; `reason` says why.
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", reason)
            .with_code("unavailable")
            .with_header(Header::RetryAfter(RESTART_S))
    }

    /// 403 where the breaker restricts and the caller did not say to know it, else 503: the
    /// breaker is open, or the receipt could not be written.
    pub(crate) fn refused(refused: &Refused) -> Self {
        let (status, kind) = match refused.code {
            "restricted" => (StatusCode::FORBIDDEN, "permission_error"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "server_error"),
        };
        let message = format!("{}; {}.", refused.text, refused.next);
        ApiError::new(status, kind, message).with_code(refused.code)
    }

    /// 503: the answer was made, but its receipt could not be written.
    pub(crate) fn not_closed(error: &BookError) -> Self {
        let message = format!("The answer has no receipt: {}; {}.", error.text, error.next);
        ApiError::unavailable(message).with_code("receipt_failed")
    }

    /// 404: no job of this id.
    pub(crate) fn no_job(id: &str) -> Self {
        let shown: String = id.chars().take(NAME_CHARS_SHOWN_MAX).collect();
        let message = format!("Could not find fine tune: {shown}.");
        ApiError::new(StatusCode::NOT_FOUND, "invalid_request_error", message)
            .with_param(Some("fine_tuning_job_id"))
            .with_code("fine_tune_not_found")
    }

    /// What the workshop says no to, about `param`: 404 for what is not there, 413 for too much, 400 for
    /// what cannot be done so, 500 for what should not have happened. Never 409, which OpenAI's clients
    /// ask again.
    pub(crate) fn of_workshop(error: &WorkshopError, param: &str) -> Self {
        let (status, kind) = match error.code() {
            "file-unknown" | "job-unknown" | "feedback-receipt" | "feedback-unknown" => {
                (StatusCode::NOT_FOUND, "invalid_request_error")
            }
            "right-denied" | "not-found" | "project-unknown" => {
                (StatusCode::FORBIDDEN, "permission_error")
            }
            "file-too-large" => (StatusCode::PAYLOAD_TOO_LARGE, "invalid_request_error"),
            "file-invalid" | "files-full" | "job-file" | "job-model" | "jobs-full"
            | "order-state" | "feedback-full" | "feedback-invalid" | "feedback-prompt" => {
                (StatusCode::BAD_REQUEST, "invalid_request_error")
            }
            _ => (StatusCode::INTERNAL_SERVER_ERROR, "server_error"),
        };
        let message = format!("{error}; {}.", error.next());
        ApiError::new(status, kind, message)
            .with_param(Some(param))
            .with_code(error.code())
    }

    /// As [`ApiError::of_workshop`], of a job that is asked for: what is not there was named wrongly.
    pub(crate) fn of_job(error: &WorkshopError, of_validation: bool) -> Self {
        let param = match error.code() {
            "job-model" => "model",
            _ if of_validation => "validation_file",
            _ => "training_file",
        };
        let mut told = Self::of_workshop(error, param);
        if error.code() == "jobs-full" {
            told.param = None;
        }
        if told.status == StatusCode::NOT_FOUND {
            told.status = StatusCode::BAD_REQUEST;
        }
        told
    }

    /// 500: an answer that had begun could not be finished.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", message)
            .with_code("internal_error")
    }

    /// 500: the model began a call of a tool that is none. Asked again it would do the same.
    pub(crate) fn call_unreadable(reason: &str) -> Self {
        ApiError::internal(format!("The answer could not be finished: {reason}."))
            .with_code("tool_call_unreadable")
            .with_header(Header::NotSoon(None))
    }

    /// The body, also sent as an event when a stream breaks after its start.
    pub(crate) fn body(&self) -> Value {
        json!({"error": {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }})
    }

    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        ApiError {
            status,
            kind,
            code: None,
            param: None,
            message: message.into(),
            header: None,
        }
    }

    fn with_param(mut self, param: Option<&str>) -> Self {
        self.param = param.map(str::to_owned);
        self
    }

    fn with_header(mut self, header: Header) -> Self {
        self.header = Some(header);
        self
    }

    /// Names the kind of refusal for machines.
    pub(crate) fn with_code(mut self, code: impl Into<Cow<'static, str>>) -> Self {
        self.code = Some(code.into());
        self
    }
}

/// Seconds after which a refused caller may try again; a queue of short answers
/// has moved by then.
const RETRY_AFTER_S: u32 = 1;

/// The same after a wait in vain: the queue is long.
const OVERDUE_RETRY_AFTER_S: u32 = 10;

/// Seconds after which a server that went down may be up again.
const RESTART_S: u32 = 5;

/// Tells OpenAI's clients not to repeat a request by themselves.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Whole seconds after which a wait of so many milliseconds is over.
fn seconds(wait_ms: u64) -> u32 {
    u32::try_from(wait_ms.div_ceil(1000).max(1)).unwrap_or(u32::MAX)
}

/// An unknown model's name is repeated to the caller up to this length.
const NAME_CHARS_SHOWN_MAX: usize = 200;

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, axum::Json(self.body())).into_response();
        let headers = response.headers_mut();
        match self.header {
            Some(Header::RetryAfter(seconds)) => {
                headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            Some(Header::NotSoon(seconds)) => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
                let after = seconds.map(|seconds| (RETRY_AFTER, HeaderValue::from(seconds)));
                headers.extend(after);
            }
            Some(Header::Allow(methods)) => {
                headers.insert(ALLOW, HeaderValue::from_static(methods));
            }
            None => {}
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OpenAI's clients ask again by themselves at 408, 409, 429 and from 500 on.
    #[test]
    fn what_is_full_until_somebody_deletes_is_not_asked_again() {
        for code in ["files-full", "jobs-full"] {
            let error = WorkshopError::new(code, "it is full", "delete something");
            let told = ApiError::of_workshop(&error, "file");
            assert_eq!(told.status, StatusCode::BAD_REQUEST, "{code}");
        }
    }
}
