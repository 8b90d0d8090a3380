//! Why a request was turned away, as it is told: in the API's shape, under `/v1` in OpenAI's.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lathe_workshop::token::{Scope, Unfit};
use serde_json::json;

use crate::api;

/// Why a request was turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this workshop answers only to a loopback name such as 127.0.0.1 or localhost")]
    Host,
    #[error("a page of another origin may not change anything here")]
    Origin,
    #[error("this workshop asks for a key, and the request carries none")]
    Key,
    #[error("the key is none of this workshop's")]
    Unknown,
    #[error("the key was revoked")]
    Revoked,
    #[error("the key has expired")]
    Expired,
    #[error("the key does not open this: it lacks the scope {}", .0.name())]
    Scope(Scope),
}

impl From<Unfit> for Refusal {
    fn from(unfit: Unfit) -> Refusal {
        match unfit {
            Unfit::Unknown => Refusal::Unknown,
            Unfit::Revoked => Refusal::Revoked,
            Unfit::Expired => Refusal::Expired,
        }
    }
}

impl Refusal {
    pub(super) fn code(self) -> &'static str {
        match self {
            Refusal::Host => "host-refused",
            Refusal::Origin => "origin-refused",
            Refusal::Key => "key-required",
            Refusal::Unknown | Refusal::Revoked | Refusal::Expired => "key-refused",
            Refusal::Scope(_) => "key-scope",
        }
    }

    fn next(self) -> &'static str {
        match self {
            Refusal::Host => "Open the address that `lathe up` printed.",
            Refusal::Origin => {
                "Send the request from the workshop's own pages, or without an Origin header."
            }
            Refusal::Key => {
                "Send `Authorization: Bearer KEY`; a browser may give the key as the password."
            }
            Refusal::Unknown | Refusal::Revoked | Refusal::Expired => {
                "Ask the workshop's operator for one: `lathe token create` issues it."
            }
            Refusal::Scope(_) => {
                "Ask the workshop's operator for one with that scope: `lathe token create --scope`."
            }
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Refusal::Host | Refusal::Origin | Refusal::Scope(_) => StatusCode::FORBIDDEN,
            Refusal::Key | Refusal::Unknown | Refusal::Revoked | Refusal::Expired => {
                StatusCode::UNAUTHORIZED
            }
        }
    }

    /// The answer: for OpenAI's clients, or for all others.
    pub(super) fn into_response(self, is_openai: bool) -> Response {
        let body = if is_openai {
            self.openai_body()
        } else {
            api::error_body(self.code(), &self.to_string(), self.next())
        };
        let mut response = (self.status(), body).into_response();
        if self.status() == StatusCode::UNAUTHORIZED {
            // A browser that opens a page asks for a password then; a program asks nobody.
            let challenge = HeaderValue::from_static(if is_openai {
                "Bearer realm=\"Lathe\""
            } else {
                "Basic realm=\"Lathe\", charset=\"UTF-8\""
            });
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    fn openai_body(self) -> Json<serde_json::Value> {
        let (kind, code) = match self.status() {
            StatusCode::UNAUTHORIZED => ("invalid_request_error", "invalid_api_key"),
            _ => ("permission_error", self.code()),
        };
        let text = self.to_string();
        let (first, rest) = text.split_at(1);
        let message = format!("{}{rest}. {}", first.to_uppercase(), self.next());
        Json(json!({"error": {
            "message": message,
            "type": kind,
            "param": null,
            "code": code,
        }}))
    }
}
