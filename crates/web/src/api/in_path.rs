//! What stands in the one open place of a path, as text: a 400 in the API's shape where it is none.

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::Problem;

/// A name or an id out of a path, unescaped.
#[derive(Debug)]
pub(super) struct InPath(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(InPath(text)),
            Err(_) => Err(Problem::BadRequest {
                status: StatusCode::BAD_REQUEST,
                text: "the path is no UTF-8 where its escapes are undone".to_owned(),
                next: "Write what is named in UTF-8 and escape its bytes with %.",
            }),
        }
    }
}
