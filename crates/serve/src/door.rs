//! The door: the cheap handle through which models are opened and asked.
//!
//! A clone shares the same scheduler thread and the same models. Not here:
//! the HTTP handlers (`api`) and the decoding loop (`scheduler`).

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use lathe_workshop::{Admitted, Book, BoxFuture, DeployableFiles, DoorError};

use crate::api;
use crate::api::health::HealthCheck;
use crate::limits::Limits;
use crate::scheduler::Scheduler;
use crate::served::{Bases, Served};

/// Cheap handle to the server; see the module's documentation.
#[derive(Clone)]
pub struct Door {
    inner: Arc<Inner>,
}

/// What the handlers share.
pub(crate) struct Inner {
    pub(crate) limits: Limits,
    pub(crate) scheduler: Scheduler,
    pub(crate) catalogue: Catalogue,
    pub(crate) health: HealthCheck,
    bases: Bases,
}

impl Door {
    /// Starts the scheduler thread with a compute pool of `threads` threads
    /// and the default [`Limits`]. No model is open yet.
    pub fn new(threads: usize) -> Door {
        Door::with_limits(threads, Limits::default())
    }

    /// As [`Door::new`], with limits of one's own.
    pub fn with_limits(threads: usize, limits: Limits) -> Door {
        let inner = Inner {
            scheduler: Scheduler::start(threads, limits.clone()),
            catalogue: Catalogue::default(),
            health: HealthCheck::default(),
            bases: Bases::default(),
            limits,
        };
        Door {
            inner: Arc::new(inner),
        }
    }

    /// Everything under `/v1` and `/health`, state applied and
    /// without a fallback, to be merged with the daemon's pages.
    pub fn router(&self) -> Router {
        api::router(self.inner.clone())
    }

    /// What the handlers share, for tests of this crate.
    #[cfg(test)]
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Requests that would still be taken, for tests of this crate.
    #[cfg(test)]
    pub(crate) fn free_places(&self) -> usize {
        self.inner.scheduler.free_places()
    }

    /// Refuses new requests, lets running and waiting ones end, then stops the
    /// scheduler thread. Requests not done after `deadline` end with an error.
    pub async fn shut_down(&self, deadline: Duration) {
        self.inner.scheduler.shut_down(deadline).await;
    }
}

impl lathe_workshop::Door for Door {
    fn open(
        &self,
        model: Admitted<DeployableFiles>,
        book: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>> {
        Box::pin(self.inner.open(model, book))
    }

    fn close<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        self.inner.catalogue.remove(name);
        Box::pin(std::future::ready(()))
    }
}

impl Inner {
    /// Loads the model beside the scheduler, so that running answers go on, and
    /// publishes it once it has decoded a token.
    async fn open(
        self: &Arc<Self>,
        admitted: Admitted<DeployableFiles>,
        book: Arc<dyn Book>,
    ) -> Result<(), DoorError> {
        let name = admitted.get().name.clone();
        let inner = self.clone();
        let load = move || Served::load(&admitted, book, &inner.bases);
        let served = match tokio::task::spawn_blocking(load).await {
            Ok(loaded) => Arc::new(loaded?),
            Err(panic) => return Err(not_opened(&name, &panic.to_string())),
        };
        let probed = self.scheduler.probe(served.clone()).await;
        probed.map_err(|reason| not_opened(&name, &reason))?;
        tracing::info!(model = name, "the model answers");
        self.catalogue.insert(served);
        Ok(())
    }
}

fn not_opened(name: &str, reason: &str) -> DoorError {
    DoorError {
        text: format!("cannot serve {name}: {reason}"),
        next: "look at the log, then restart the workshop".to_owned(),
    }
}

/// The models that answer, by name.
#[derive(Default)]
pub(crate) struct Catalogue {
    by_name: RwLock<BTreeMap<String, Arc<Served>>>,
}

impl Catalogue {
    /// The model of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Served>> {
        self.read().get(name).cloned()
    }

    /// All models, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Served>> {
        self.read().values().cloned().collect()
    }

    /// Adds a model or replaces the one of its name; answers that run go on.
    fn insert(&self, served: Arc<Served>) {
        let name = served.files().name.clone();
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name, served);
    }

    fn remove(&self, name: &str) {
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Served>>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }
}
