//! Upstreams: other OpenAI-compatible servers that answer behind this door.
//!
//! What is asked of one goes the way of every request (key, limits, breaker, receipt, figures), but is
//! answered elsewhere: [`ask`] hands it on, [`answer`] and [`stream`] bring back what came, [`http`] and
//! [`events`] are the bytes between. An upstream comes in as an [`Attested`], never as an admitted model,
//! and everything that goes out says that its weights are not verified.
//!
//! Deliberately absent: proxies, redirects, kept connections (each request has its own, so that a caller
//! who goes away takes it with him), and repeating anything once a byte of an answer was sent on.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lathe_workshop::people::reach;
use lathe_workshop::{Attested, Book, Upstream, UpstreamHealth};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::api::error::ApiError;
use crate::limits::Limits;

mod answer;
mod ask;
mod events;
pub mod fuzz;
mod gathered;
mod health;
mod http;
mod question;
mod stream;

pub(crate) use ask::{Interface, ask};
pub(crate) use question::of as question_of;

/// Questions that are under way at once: as many as can be waited for, more than there are places.
const ASKED_MAX: u32 = u32::MAX >> 4;

/// The upstreams, by name.
#[derive(Default)]
pub(crate) struct Relays {
    by_name: RwLock<BTreeMap<String, Arc<Relay>>>,
    /// What is asked now of any upstream, one that stands no more among them.
    asked: Asked,
    /// Nothing new is taken; what runs may go on.
    closed: watch::Sender<bool>,
    /// What runs ends now.
    stopped: watch::Sender<bool>,
}

/// Counts what is asked now: each question holds a permit.
struct Asked(Arc<Semaphore>);

impl Default for Asked {
    fn default() -> Asked {
        Asked(Arc::new(Semaphore::new(ASKED_MAX as usize)))
    }
}

/// One upstream.
pub(crate) struct Relay {
    upstream: Upstream,
    book: Arc<dyn Book>,
    places: Arc<Semaphore>,
    places_max: usize,
    look_every: Duration,
    found: Mutex<Found>,
}

/// What was found when it was last looked at.
#[derive(Debug, Clone, Default)]
struct Found {
    /// None before the first look.
    up: Option<bool>,
    reason: String,
    at_ms: i64,
}

impl Relays {
    /// These stand, and no others any more. One that is as before goes on as it is; answers that run
    /// go on in any case.
    pub(crate) fn set(
        &self,
        upstreams: Vec<Attested<Upstream>>,
        book: &Arc<dyn Book>,
        limits: &Limits,
    ) {
        let mut by_name = self.by_name.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *by_name);
        for attested in upstreams {
            let upstream = attested.get();
            let known = before.remove(&upstream.name);
            let relay = match known.filter(|relay| relay.upstream == *upstream) {
                Some(relay) => relay,
                None => Relay::begin(&attested, book.clone(), limits),
            };
            by_name.insert(upstream.name.clone(), relay);
        }
    }

    /// The upstream of this name.
    pub(crate) fn find(&self, name: &str) -> Option<Arc<Relay>> {
        self.read().get(name).cloned()
    }

    /// All of them, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Relay>> {
        self.read().values().cloned().collect()
    }

    /// Those that were looked at, each with whether it answers.
    pub(crate) fn up(&self) -> Vec<(String, bool)> {
        let found = |relay: &Arc<Relay>| Some((relay.upstream.name.clone(), relay.found().up?));
        self.all().iter().filter_map(found).collect()
    }

    /// How they are.
    pub(crate) fn health(&self) -> Vec<UpstreamHealth> {
        let health = |relay: &Arc<Relay>| {
            let found = relay.found();
            UpstreamHealth {
                name: relay.upstream.name.clone(),
                up: found.up,
                reason: found.reason,
                checked_ms: found.at_ms,
            }
        };
        self.all().iter().map(health).collect()
    }

    /// Counts a question for as long as what is given lives; nothing new is taken any more where nothing is
    /// given.
    fn ask(&self) -> Option<OwnedSemaphorePermit> {
        if *self.closed.borrow() {
            return None;
        }
        self.asked.0.clone().try_acquire_owned().ok()
    }

    /// What comes of `work`, unless all that runs has to end before.
    ///
    /// # Errors
    /// 503: the server was stopped.
    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, ApiError> {
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            done = work => Ok(done),
            // The sender lives in self.
            _ = stopped.wait_for(|stopped| *stopped) => {
                let message = "The answer was lost: the server was stopped before it ended.";
                Err(ApiError::unavailable(message))
            }
        }
    }

    /// Takes nothing new, lets what runs end, and stops what is not done by `deadline`.
    pub(crate) async fn shut_down(&self, deadline: Duration) {
        self.closed.send_replace(true);
        // Never closed; and given back at once, since it only tells that nobody holds one.
        let even = async { drop(self.asked.0.acquire_many(ASKED_MAX).await) };
        let _ = tokio::time::timeout(deadline, even).await;
        self.stopped.send_replace(true);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<String, Arc<Relay>>> {
        self.by_name.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Relay {
    /// An upstream that is looked at for as long as somebody holds it. Only what was attested becomes
    /// one.
    fn begin(attested: &Attested<Upstream>, book: Arc<dyn Book>, limits: &Limits) -> Arc<Relay> {
        let relay = Arc::new(Relay {
            upstream: attested.get().clone(),
            book,
            places: Arc::new(Semaphore::new(limits.upstream_requests_max)),
            places_max: limits.upstream_requests_max,
            look_every: Duration::from_millis(limits.upstream_look_ms.max(1)),
            found: Mutex::default(),
        });
        reach::spawn(reach::own(look_for_good(
            Arc::downgrade(&relay),
            relay.look_every,
        )));
        relay
    }

    /// What was attested.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// Where its receipts go.
    pub(crate) fn book(&self) -> &Arc<dyn Book> {
        &self.book
    }

    /// Whether it answered when it was last looked at; nothing before that.
    pub(crate) fn is_up(&self) -> Option<bool> {
        self.found().up
    }

    fn found(&self) -> Found {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.clone()
    }

    /// Why it does not answer, where it was found not to.
    fn down(&self) -> Option<String> {
        let found = self.found();
        (found.up == Some(false)).then_some(found.reason)
    }

    /// Notes how it was found.
    fn note(&self, found: Result<(), String>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = Found {
            up: Some(found.is_ok()),
            reason: found.err().unwrap_or_default(),
            at_ms: now.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX)),
        };
        let name = self.upstream.name.as_str();
        let mut held = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *held, now.clone()).up;
        drop(held);
        match (before, now.up) {
            (Some(false) | None, Some(true)) => tracing::info!(upstream = name, "it answers"),
            (Some(true) | None, Some(false)) => {
                tracing::warn!(upstream = name, reason = now.reason, "it does not answer");
            }
            _ => {}
        }
    }

    /// Seconds until it has been looked at again.
    fn retry_after_s(&self) -> u32 {
        u32::try_from(self.look_every.as_secs_f64().ceil() as u64)
            .unwrap_or(u32::MAX)
            .max(1)
    }

    fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.places.clone().try_acquire_owned().ok()
    }
}

/// Looks at an upstream again and again until nobody holds it.
async fn look_for_good(relay: Weak<Relay>, every: Duration) {
    loop {
        let Some(held) = relay.upgrade() else { return };
        let found = health::look(&held.upstream).await;
        held.note(found);
        drop(held);
        tokio::time::sleep(every).await;
    }
}
