//! What stands in the one open place of a page's path, as text: nothing stands at one that is none.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::Problem;
use crate::lang::Tongue;

/// A name or an id out of a path, unescaped.
#[derive(Debug)]
pub(super) struct InPath(pub(super) String);

/// It is no text; the page that says so, in the reader's language.
#[derive(Debug)]
pub(super) struct NoText(Tongue);

impl IntoResponse for NoText {
    fn into_response(self) -> Response {
        Problem::Missing.page(self.0)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for InPath {
    type Rejection = NoText;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath, NoText> {
        if let Ok(Path(text)) = Path::<String>::from_request_parts(parts, state).await {
            return Ok(InPath(text));
        }
        let Ok(tongue) = Tongue::from_request_parts(parts, state).await;
        Err(NoText(tongue))
    }
}
