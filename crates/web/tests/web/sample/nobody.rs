//! A door behind which nobody answers, for workshops whose orders never run.

use std::sync::Arc;

use lathe_workshop::{Admitted, Book, BoxFuture, DeployableFiles, Door, DoorError};

/// Lets everything be opened, and answers nothing.
pub struct Nobody;

impl Door for Nobody {
    fn open(
        &self,
        _: Admitted<DeployableFiles>,
        _: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn close<'a>(&'a self, _: &'a str) -> BoxFuture<'a, ()> {
        Box::pin(std::future::ready(()))
    }
}
