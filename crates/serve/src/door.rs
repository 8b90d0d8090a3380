//! The door: the cheap handle through which models are opened and asked.
//!
//! A clone shares the same scheduler thread and the same models. Not here:
//! the HTTP handlers (`api`) and the decoding loop (`scheduler`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use lathe_workshop::people::reach;
use lathe_workshop::{
    Admitted, Attested, Book, BoxFuture, DeployableFiles, DoorError, Upstream, UpstreamHealth,
};

use crate::api;
use crate::api::health::HealthCheck;
use crate::limits::Limits;
use crate::meters::Meters;
use crate::observe;
use crate::relay::Relays;
use crate::scheduler::Scheduler;
use crate::served::{Bases, Served};
use crate::unclosed::Unclosed;

/// How long the receipts of answers that ended may take to be closed when the server goes down.
const RECEIPTS_WAIT_MAX: Duration = Duration::from_secs(5);

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
    pub(crate) relays: Relays,
    pub(crate) health: HealthCheck,
    pub(crate) meters: Arc<Meters>,
    bases: Bases,
    unclosed: Unclosed,
    /// Said to whoever asks whether the server is ready, before anything is refused.
    pub(crate) leaving: AtomicBool,
}

impl Door {
    /// Starts the scheduler thread with a compute pool of `threads` threads
    /// and the default [`Limits`]. No model is open yet.
    pub fn new(threads: usize) -> Door {
        Door::with_limits(threads, Limits::default())
    }

    /// As [`Door::new`], with limits of one's own.
    pub fn with_limits(threads: usize, limits: Limits) -> Door {
        tracing::info!(
            mib = limits.cache_bytes_max >> 20,
            "memory for keys and values, at most"
        );
        let meters = Arc::new(Meters::new(&limits));
        let inner = Inner {
            scheduler: Scheduler::start(threads, limits.clone(), meters.clone()),
            meters,
            unclosed: Unclosed::default(),
            leaving: AtomicBool::new(false),
            catalogue: Catalogue::default(),
            relays: Relays::default(),
            health: HealthCheck::default(),
            bases: Bases::new(limits.weights_bytes_max),
            limits,
        };
        Door {
            inner: Arc::new(inner),
        }
    }

    /// How much it takes on at once.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// `/v1/…`, `/health`, `/health/…` and `/metrics`, state applied and without a fallback, to be
    /// merged with the daemon's pages.
    pub fn router(&self) -> Router {
        api::router(self.inner.clone())
    }

    /// `router`, which is all that the daemon answers, with an id, a line in the log and a count for
    /// every request.
    pub fn observed(&self, router: Router) -> Router {
        router.layer(from_fn_with_state(self.inner.clone(), observe::observe))
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

    /// Is ready no more, and answers all the same: who sends requests here is to send them elsewhere.
    pub fn leave(&self) {
        self.inner.leaving.store(true, Ordering::Release);
    }

    /// Refuses new requests and is ready no more, lets running and waiting ones end, then stops the
    /// scheduler thread. Requests not done after `deadline` end with an error. The receipts of all
    /// are closed when this returns, or the book takes unreasonably long.
    pub async fn shut_down(&self, deadline: Duration) {
        let (scheduler, relays) = (&self.inner.scheduler, &self.inner.relays);
        tokio::join!(scheduler.shut_down(deadline), relays.shut_down(deadline));
        let closed = tokio::time::timeout(RECEIPTS_WAIT_MAX, self.inner.unclosed.none()).await;
        if closed.is_err() {
            tracing::error!(
                "some receipts are still open; they close as aborted at the next start"
            );
        }
    }
}

impl lathe_workshop::Door for Door {
    fn expect(&self, name: &str) {
        self.inner.catalogue.expect(name);
    }

    fn open(
        &self,
        model: Admitted<DeployableFiles>,
        book: Arc<dyn Book>,
    ) -> BoxFuture<'_, Result<(), DoorError>> {
        Box::pin(self.inner.open(model, book))
    }

    fn relay(&self, upstreams: Vec<Attested<Upstream>>, book: Arc<dyn Book>) {
        let book = self.inner.unclosed.counting(book);
        for upstream in &upstreams {
            self.inner.catalogue.expect_no_more(&upstream.get().name);
        }
        self.inner.relays.set(upstreams, &book, &self.inner.limits);
    }

    fn relays(&self) -> Vec<UpstreamHealth> {
        self.inner.relays.health()
    }

    fn close<'a>(&'a self, name: &'a str) -> BoxFuture<'a, ()> {
        self.inner.catalogue.remove(name);
        self.inner.scheduler.free();
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
        let book = self.unclosed.counting(book);
        let load = move || Served::load(&admitted, book, &inner.bases);
        let served = match reach::spawn_blocking(load).await {
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
    /// Deployed, and not open yet.
    expected: RwLock<BTreeSet<String>>,
}

impl Catalogue {
    /// The model of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Served>> {
        self.read().get(name).cloned()
    }

    /// Whether a model of this name will be opened.
    pub(crate) fn is_expected(&self, name: &str) -> bool {
        let expected = self.expected.read();
        expected
            .unwrap_or_else(PoisonError::into_inner)
            .contains(name)
    }

    fn expect(&self, name: &str) {
        let expected = self.expected.write();
        expected
            .unwrap_or_else(PoisonError::into_inner)
            .insert(name.to_owned());
    }

    fn expect_no_more(&self, name: &str) {
        let expected = self.expected.write();
        expected
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
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
            .insert(name.clone(), served);
        self.expect_no_more(&name);
    }

    fn remove(&self, name: &str) {
        self.expect_no_more(name);
        self.by_name
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(name);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Served>>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }
}
