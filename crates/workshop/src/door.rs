//! The door: what the workshop needs from whoever answers requests.
//!
//! `serve` implements it; only an [`Admitted`] model passes, or an [`Attested`] upstream as what it is,
//! and only with a book to write its receipts into.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::admission::{Admitted, DeployableFiles};
use crate::book::Book;
use crate::upstream::{Attested, Upstream, UpstreamHealth};

/// A boxed future, so that the trait is usable behind `Arc<dyn Door>`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a model could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct DoorError {
    /// What was being done, to what, and what went wrong.
    pub text: String,
    /// What to do next.
    pub next: String,
}

/// Where admitted models answer.
pub trait Door: Send + Sync {
    /// Loads the files and answers under their name from now on; a model of the
    /// same name is replaced once the new one is ready. Every answer is written into `book`.
    /// Resolves when it answers.
    fn open(
        &self,
        model: Admitted<DeployableFiles>,
        book: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>>;

    /// A model of this name is deployed and will be opened, or closed where it is refused: until then
    /// whoever asks for it is told to come back. Nothing by default.
    fn expect(&self, _name: &str) {}

    /// These other servers answer, each under its name, and no others any more; where a model has the
    /// name, the model answers. Nothing by default: nobody is asked.
    fn relay(&self, _upstreams: Vec<Attested<Upstream>>, _book: Arc<dyn Book>) {}

    /// How the other servers are.
    fn relays(&self) -> Vec<UpstreamHealth> {
        Vec::new()
    }

    /// Stops answering under this name. Nothing happens when nobody does.
    fn close<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()>;
}
