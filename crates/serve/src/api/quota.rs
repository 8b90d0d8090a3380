//! Requests a minute of a key, and the headers that say what is left, as OpenAI names them.
//!
//! Counted here is every request under `/v1` that wants something computed; the tokens of its prompt
//! are taken where they are known ([`crate::asker`]), those of the answer as it ends. Without a key
//! there is no limit but the queue's.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use lathe_workshop::token::Level;
use lathe_workshop::{Caller, Token};

use super::error::ApiError;

/// Middleware: lets a request through or answers 429.
pub(crate) async fn hold(request: Request, next: Next) -> Response {
    let caller = request.extensions().get::<Caller>().cloned();
    let Some(Caller(token)) = caller.filter(|_| request.uri().path().starts_with("/v1/")) else {
        return next.run(request).await;
    };
    let counted = match *request.method() {
        Method::POST => token.request(),
        _ => Ok(()),
    };
    let mut response = match counted {
        Ok(()) => next.run(request).await,
        Err(short) => ApiError::limited(&short).into_response(),
    };
    set_headers(&token, response.headers_mut());
    response
}

fn set_headers(token: &Token, headers: &mut HeaderMap) {
    let stands = token.stands();
    let kinds = [
        (
            stands.requests,
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ),
        (
            stands.tokens,
            "x-ratelimit-limit-tokens",
            "x-ratelimit-remaining-tokens",
            "x-ratelimit-reset-tokens",
        ),
    ];
    for (level, limit, remaining, reset) in kinds {
        let Some(level) = level else { continue };
        set(headers, [limit, remaining, reset], level);
    }
}

fn set(headers: &mut HeaderMap, names: [&'static str; 3], level: Level) {
    let [limit, remaining, reset] = names.map(HeaderName::from_static);
    headers.insert(limit, HeaderValue::from(level.limit));
    headers.insert(remaining, HeaderValue::from(level.remaining));
    if let Ok(value) = HeaderValue::from_str(&duration(level.reset_ms)) {
        headers.insert(reset, value);
    }
}

/// A duration as OpenAI writes one: `120ms`, `8.64s`, `6m0s`.
pub(super) fn duration(ms: u64) -> String {
    if ms < 1000 {
        return format!("{ms}ms");
    }
    let seconds = (ms % 60_000) as f64 / 1000.0;
    match ms / 60_000 {
        0 => format!("{seconds}s"),
        minutes if minutes < 60 => format!("{minutes}m{seconds}s"),
        minutes => format!("{}h{}m{seconds}s", minutes / 60, minutes % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_openai_does() {
        // The examples of OpenAI's guide to rate limits ("1s", "6m0s") and of its error messages.
        let written = [0, 120, 1000, 8640, 360_000, 3_600_000 + 62_500].map(duration);
        assert_eq!(written, ["0ms", "120ms", "1s", "8.64s", "6m0s", "1h1m2.5s"]);
    }
}
