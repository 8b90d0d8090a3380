//! An error as the API answers it: `{"error": {"code", "text", "next"}}`, told in the language that whoever asks
//! prefers, as pages are.
//!
//! Every code has a page under `docs/errors`. Not here: errors of `/v1`, which have OpenAI's shape,
//! and of pages, which are pages.

use axum::extract::Request;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::StatusCode;
use axum::http::header::CONTENT_LANGUAGE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use lathe_workshop::WorkshopError;
use lathe_workshop::words::{self, Lang};
use serde_json::{Value, json};

use crate::lang::Tongue;
use crate::pages::sentences;

/// Why the API could not answer as asked.
#[derive(Debug)]
pub(crate) enum Problem {
    /// What the address names is not there.
    NotFound { text: String, next: &'static str },
    /// The body or the query could not be read.
    BadRequest {
        status: StatusCode,
        text: String,
        next: &'static str,
    },
    /// The bound on open event streams is reached.
    TooManyStreams,
    /// A view could not be written as JSON.
    Internal { text: String },
    /// The workshop's own error.
    Workshop(WorkshopError),
}

impl Problem {
    /// Nothing answers at this path.
    pub fn no_such_endpoint(path: &str) -> Problem {
        let text = format!("nothing answers at {path}");
        Problem::NotFound {
            text,
            next: "See docs/reference/api.md for the endpoints.",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Problem::NotFound { .. } => StatusCode::NOT_FOUND,
            Problem::BadRequest { status, .. } => *status,
            Problem::TooManyStreams => StatusCode::SERVICE_UNAVAILABLE,
            Problem::Internal { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            Problem::Workshop(error) => status_of(error),
        }
    }

    fn code(&self) -> &str {
        match self {
            Problem::NotFound { .. } => "not-found",
            Problem::BadRequest { .. } => "bad-request",
            Problem::TooManyStreams => "too-many-streams",
            Problem::Internal { .. } => "internal",
            Problem::Workshop(error) => error.code(),
        }
    }

    fn text(&self) -> String {
        match self {
            Problem::NotFound { text, .. }
            | Problem::BadRequest { text, .. }
            | Problem::Internal { text } => text.clone(),
            Problem::TooManyStreams => "too many event streams are open".to_owned(),
            Problem::Workshop(error) => error.to_string(),
        }
    }

    fn next(&self) -> &str {
        match self {
            Problem::NotFound { next, .. } | Problem::BadRequest { next, .. } => next,
            Problem::TooManyStreams => "Close pages that follow an order, then try again.",
            Problem::Internal { .. } => "Look into the log of the process that runs the workshop.",
            Problem::Workshop(error) => error.next(),
        }
    }
}

impl From<WorkshopError> for Problem {
    fn from(error: WorkshopError) -> Problem {
        Problem::Workshop(error)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        Problem::BadRequest {
            status: rejection.status(),
            text: rejection.body_text(),
            next: "Send a JSON object as docs/reference/api.md describes it.",
        }
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::BadRequest {
            status: rejection.status(),
            text: rejection.body_text(),
            next: "See docs/reference/api.md for what may stand after the question mark.",
        }
    }
}

/// What an error says, as it was written: kept beside the answer for [`in_language`].
#[derive(Debug, Clone)]
struct Written {
    code: String,
    text: String,
    next: String,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let written = Written {
            code: self.code().to_owned(),
            text: self.text(),
            next: self.next().to_owned(),
        };
        let body = error_body(&written.code, &written.text, &written.next);
        (self.status(), Extension(written), body).into_response()
    }
}

/// Middleware: an error is told in the reader's language, by its code, with what was written in English beside it
/// (`said`). One whose code has no words stays as it was written.
pub(crate) async fn in_language(tongue: Tongue, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let lang = tongue.say.lang();
    let written = response.extensions_mut().remove::<Written>();
    let Some(written) = written.filter(|_| lang != Lang::En) else {
        return response;
    };
    let Some(text) = words::problem(lang, &written.code) else {
        return response;
    };
    let next = words::problem_next(lang, &written.code).unwrap_or_default();
    let said = sentences(&written.text, &written.next);
    let body = json!({
        "error": { "code": written.code, "text": text, "next": next, "said": said }
    });
    let language = [(CONTENT_LANGUAGE, lang.tag())];
    (response.status(), language, Json(body)).into_response()
}

/// The status that goes with a workshop's error: what is wrong with the pack, the order or the data asked for
/// is the asker's to mend (400), what is wrong with the machine or the store is not (500).
pub(crate) fn status_of(error: &WorkshopError) -> StatusCode {
    match error.code() {
        "order-state" | "person-last" | "bring-offset" | "project-holds" | "approval-withdrawn" => {
            return StatusCode::CONFLICT;
        }
        "approval-own" | "approval-person" | "right-denied" => return StatusCode::FORBIDDEN,
        "not-found"
        | "project-unknown"
        | "chain-not-registered"
        | "feedback-unknown"
        | "person-unknown"
        | "alias-unknown"
        | "model-unknown"
        | "model-withheld"
        | "bring-unknown"
        | "dataset-unknown" => return StatusCode::NOT_FOUND,
        _ => {}
    }
    match error.code().split('-').next() {
        Some("pack" | "order" | "data" | "reason" | "withdraw" | "approval" | "register")
        | Some("filing" | "key" | "token" | "deployment" | "trace" | "bundle" | "upstream")
        | Some("feedback" | "person" | "alias" | "bring" | "project") => StatusCode::BAD_REQUEST,
        Some("breaker") => StatusCode::CONFLICT,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The JSON body of an error.
pub(crate) fn error_body(code: &str, text: &str, next: &str) -> Json<Value> {
    Json(json!({ "error": { "code": code, "text": text, "next": next } }))
}
