//! What stands in the one open place of a path, as text: refused in OpenAI's shape where it is none.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;

use super::error::ApiError;

/// A name or an id out of a path, unescaped.
#[derive(Debug)]
pub(crate) struct InPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, ApiError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(InPath(text)),
            Err(_) => {
                let message = "The request's path is no UTF-8 where its escapes are undone.";
                Err(ApiError::invalid(None, message))
            }
        }
    }
}
