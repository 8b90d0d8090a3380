//! What is noted of every request: an id, a line in the log, a count by status.
//!
//! The id is the caller's `x-request-id` where it is a sound one, else made here; it goes back with the
//! answer and stands in every line about the request. The log never holds what was said: no body, no
//! query, no header but that one. Texts are logged only by [`crate::receipt`], under a target that is
//! off unless it is switched on.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

use crate::api::label::RECEIPT_HEADER;
use crate::door::Inner;

/// Carries a request's id, both ways.
const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a caller.
const REQUEST_ID_CHARS_MAX: usize = 128;

/// A request's id: in its extensions.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Middleware around everything that the daemon answers.
pub(crate) async fn observe(
    State(door): State<Arc<Inner>>,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let id = id_of(request.headers());
    request.extensions_mut().insert(RequestId(id.clone()));
    let method = request.method().clone();
    // What a caller made up has no route: one count for all of it, or anybody could fill the memory.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let path = request.uri().path().to_owned();
    let mut response = next.run(request).await;
    let status = response.status().as_u16();
    let counted = route.as_ref().map_or("other", MatchedPath::as_str);
    door.meters
        .answered(named(method.as_str()), counted, status);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    tracing::info!(
        request_id = id,
        method = method.as_str(),
        path,
        status,
        receipt = text_of(response.headers(), RECEIPT_HEADER),
        ms = began.elapsed().as_secs_f64() * 1000.0,
        "request answered"
    );
    response
}

/// A method as it is counted: any other is one, since a caller may make one up.
fn named(method: &str) -> &str {
    match method {
        "GET" | "POST" | "HEAD" | "OPTIONS" | "PUT" | "DELETE" | "PATCH" => method,
        _ => "other",
    }
}

fn text_of(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// The caller's id, where it can stand in a log as it is; else a new one.
fn id_of(headers: &HeaderMap) -> String {
    let sound = |id: &&str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:".contains(c);
        (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.chars().all(plain)
    };
    text_of(headers, REQUEST_ID_HEADER)
        .filter(sound)
        .map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_line_of_the_log_is_replaced() {
        let id = |given: &str| {
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(given).expect("a header's value");
            headers.insert(REQUEST_ID_HEADER, value);
            id_of(&headers)
        };
        let longest = "x".repeat(REQUEST_ID_CHARS_MAX);
        for sound in ["a", "0190-ab:c.d_e", longest.as_str()] {
            assert_eq!(id(sound), sound);
        }
        let long = "x".repeat(REQUEST_ID_CHARS_MAX + 1);
        for odd in ["", "a b", "a\"b", "a=b status=200", long.as_str()] {
            let made = id(odd);
            assert!(Uuid::parse_str(&made).is_ok(), "{odd}: {made}");
        }
        assert_ne!(id_of(&HeaderMap::new()), id_of(&HeaderMap::new()));
    }
}
