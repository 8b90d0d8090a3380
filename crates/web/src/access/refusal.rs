//! Why a request was turned away, as it is told: in the API's shape, under `/v1` in OpenAI's, at the doors for
//! other people's clients in theirs.

use axum::Json;
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use lathe_workshop::people::Right;
use lathe_workshop::token::{Scope, Unfit};
use serde_json::json;

use crate::{api, doors};

/// How a refusal is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// As the API writes errors.
    Own,
    OpenAi,
    Mlflow,
    Hub,
}

impl Shape {
    /// What whoever asks at this path reads.
    pub(super) fn of(path: &str) -> Shape {
        match path {
            _ if path.starts_with("/v1/") => Shape::OpenAi,
            _ if path.starts_with("/api/2.0/mlflow") => Shape::Mlflow,
            _ if path.starts_with("/hf/") => Shape::Hub,
            _ => Shape::Own,
        }
    }
}

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
    #[error("this workshop asks who you are, and nobody is logged in")]
    Login,
    #[error("your roles do not allow this: it asks for the right {}", .0.name())]
    Right(Right),
    #[error("nobody is allowed to do this")]
    Unlisted,
    #[error("the key is for the things of one project, and this is the whole workshop's")]
    OfProject,
    #[error("this workshop has nothing here that you may see")]
    Missing,
    #[error("what this is about could not be looked up")]
    Unread,
    #[error("what was sent does not carry the token of this workshop's pages")]
    Csrf,
    #[error("what was sent is larger than a form may be")]
    TooLarge,
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
            Refusal::Login => "login-required",
            Refusal::Right(_) | Refusal::Unlisted => "right-denied",
            Refusal::OfProject => "key-scope",
            Refusal::Missing => "not-found",
            Refusal::Unread => "store",
            Refusal::Csrf => "csrf-refused",
            Refusal::TooLarge => "form-too-large",
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
            Refusal::Login => "Log in at /login, or send a key: `Authorization: Bearer KEY`.",
            Refusal::Right(_) | Refusal::Unlisted => {
                "Ask an administrator of the workshop for a role that has it."
            }
            Refusal::OfProject => {
                "Ask the workshop's operator for a key of the whole workshop: `lathe token create`."
            }
            Refusal::Missing => {
                "List what there is, or ask an administrator of its project for a part in it."
            }
            Refusal::Unread => {
                "Try again; look into the log of the process that runs the workshop."
            }
            Refusal::Csrf => {
                "Open the page anew and send it again; scripts send X-CSRF-Token, programs a key."
            }
            Refusal::TooLarge => "Send less than 64 KiB.",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Refusal::Host
            | Refusal::Origin
            | Refusal::Scope(_)
            | Refusal::Right(_)
            | Refusal::Unlisted
            | Refusal::OfProject
            | Refusal::Csrf => StatusCode::FORBIDDEN,
            Refusal::Missing => StatusCode::NOT_FOUND,
            Refusal::Unread => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::Login
            | Refusal::Key
            | Refusal::Unknown
            | Refusal::Revoked
            | Refusal::Expired => StatusCode::UNAUTHORIZED,
        }
    }

    /// The answer, as whoever asks reads it.
    pub(super) fn into_response(self, shape: Shape) -> Response {
        let status = self.status();
        let mut response = match shape {
            Shape::Own => {
                let body = api::error_body(self.code(), &self.to_string(), self.next());
                (status, body).into_response()
            }
            Shape::OpenAi => (status, self.openai_body()).into_response(),
            Shape::Mlflow => {
                let code = match status {
                    StatusCode::UNAUTHORIZED => "UNAUTHENTICATED",
                    StatusCode::NOT_FOUND => "RESOURCE_DOES_NOT_EXIST",
                    _ => "PERMISSION_DENIED",
                };
                (status, doors::mlflow_refused(code, &self.told())).into_response()
            }
            Shape::Hub => doors::hub_refused(status, &self.told()),
        };
        // Who may log in on a page is not asked for a password by the browser.
        if status == StatusCode::UNAUTHORIZED && self != Refusal::Login {
            // A browser that opens a page asks for a password then; a program asks nobody.
            let challenge = HeaderValue::from_static(match shape {
                Shape::Own => "Basic realm=\"Lathe\", charset=\"UTF-8\"",
                Shape::OpenAi | Shape::Mlflow | Shape::Hub => "Bearer realm=\"Lathe\"",
            });
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }

    /// What is wrong and what to do, in sentences.
    fn told(self) -> String {
        let text = self.to_string();
        let (first, rest) = text.split_at(1);
        format!("{}{rest}. {}", first.to_uppercase(), self.next())
    }

    fn openai_body(self) -> Json<serde_json::Value> {
        let (kind, code) = match self.status() {
            StatusCode::UNAUTHORIZED => ("invalid_request_error", "invalid_api_key"),
            StatusCode::NOT_FOUND => ("invalid_request_error", self.code()),
            _ => ("permission_error", self.code()),
        };
        let message = self.told();
        Json(json!({"error": {
            "message": message,
            "type": kind,
            "param": null,
            "code": code,
        }}))
    }
}
