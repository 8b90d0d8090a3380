//! The registered models for other people's clients: MLflow's under `/api/2.0`, `huggingface_hub`'s
//! under `/hf`.
//!
//! Both read one shelf (`lathe_workshop::shelf`) and hand out the same files. What they can change is an
//! alias, by the operation that the API and the command line have too. A key that names models sees no
//! others. Not here: uploading, and whatever else these clients can ask a server of their own for.

pub(crate) mod file;
mod hub;
mod mlflow;

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use lathe_workshop::shelf::ShelfModel;
use lathe_workshop::{Caller, Token, WorkshopError};

use crate::AppState;

pub(crate) use hub::refused as hub_refused;
pub(crate) use mlflow::refused as mlflow_refused;

/// What answers JSON.
pub(crate) fn router() -> Router<AppState> {
    mlflow::router().merge(hub::router())
}

/// What answers files; never compressed, so that a part of one is a part of its bytes.
pub(crate) fn files() -> Router<AppState> {
    mlflow::files().merge(hub::files())
}

/// Who asks; nobody in particular where no key is asked for.
struct Asker(Option<Arc<Token>>);

impl<S: Send + Sync> FromRequestParts<S> for Asker {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Asker, Infallible> {
        let caller = parts.extensions.get::<Caller>();
        Ok(Asker(caller.map(|Caller(token)| token.clone())))
    }
}

impl Asker {
    /// Whether there is such a model, as far as they are told.
    fn sees(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|token| token.may_ask(name))
    }

    /// The registered models that they see.
    async fn shelf(&self, state: &AppState) -> Result<Vec<ShelfModel>, WorkshopError> {
        let mut models = state.desk.shelf().await?;
        models.retain(|it| self.sees(&it.name));
        Ok(models)
    }
}
