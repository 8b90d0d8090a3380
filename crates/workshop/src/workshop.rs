//! The workshop itself: what the daemon, the pages and the commands call.
//!
//! It holds the store, the live progress and the counter of changes; the work
//! is done by the queue, placing orders stands in `place`, the reading in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::ApprovalPolicy;
use lathe_gate::{Policy, Verdict};
use lathe_register::chain;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::book::Book;
use crate::breakers::Breakers;
use crate::catalogue::{DatasetRequest, DatasetView, DeploymentRow, DeploymentView, ModelView};
use crate::clock::now_ms;
use crate::door::Door;
use crate::draft::hashed::Hashed;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::listing::OrdersAsked;
use crate::models::ModelsAsked;
use crate::order::{
    CurvePoint, LogLine, OrderId, OrderState, OrderSummary, OrderView, Progress, StepName,
    StepState,
};
use crate::pack::Pack;
use crate::people::{People, Right, reach};
use crate::receipts::ReceiptBook;
use crate::settings::Started;
use crate::shelf::Shelf;
use crate::steps;
use crate::store::{Change, Speaker, Store};
use crate::token::Tokens;
use crate::turn::Turn;
use crate::upstream::UpstreamView;
use crate::withdrawn::held::Held;
use crate::{ledger, objects, queue, scrub, upstream};

/// How a workshop is opened.
#[derive(Debug, Clone)]
pub struct WorkshopOptions {
    /// Where this process listens; the orders' URLs and the ask step use it.
    pub listen: SocketAddr,
    /// The key the ask step presents, when the listener wants one.
    pub key: Option<String>,
    /// The program started as `PROGRAM worker` for each step.
    pub worker: PathBuf,
    /// Who has to approve, where the ledger has yet to begin. What it began with stays.
    pub approval: ApprovalPolicy,
    /// Keep the texts of answers beside their receipts.
    pub keeps_texts: bool,
    /// How often the evidence of all that answers is looked at anew.
    pub scrub_every: Duration,
}

/// One open workshop. Clones share it.
#[derive(Clone)]
pub struct Workshop {
    inner: Arc<Inner>,
}

struct Inner {
    home: Home,
    door: Arc<dyn Door>,
    options: WorkshopOptions,
    /// What only the program knows that opened it, once that listens.
    started: OnceLock<Started>,
    store: Store,
    book: Arc<ReceiptBook>,
    breakers: Arc<Breakers>,
    tokens: Tokens,
    people: People,
    /// Progress of running steps: seen by pages, not worth a write each time.
    progress: Mutex<BTreeMap<OrderId, (StepName, Progress)>>,
    /// Names that answer at the door of this process.
    open: Mutex<BTreeSet<String>>,
    changes: watch::Sender<u64>,
    wake: Notify,
    turn: Turn,
    /// Held while files are kept, placed or deleted: equal ones share an artifact, and no row may
    /// speak of one that is just being removed.
    files: tokio::sync::Mutex<()>,
    /// Held while files that are brought are written, looked up or forgotten.
    brought: tokio::sync::Mutex<()>,
    /// Held while the door is told of the upstreams: what is looked up later is told later.
    upstreams: tokio::sync::Mutex<()>,
    shelf: Shelf,
    held: Held,
    hashed: Hashed,
    stop: watch::Sender<bool>,
    /// Why the queue ended by itself; no more orders are worked on.
    halted: watch::Sender<Option<(String, String)>>,
    queue: Mutex<Option<JoinHandle<()>>>,
}

impl Workshop {
    /// Opens the store of this home (the caller holds its lock) and puts in order what a dead
    /// process left: half-built files are swept, interrupted orders are queued again. Runs no
    /// order and opens no door before [`Workshop::start`].
    ///
    /// # Errors
    /// When an old worker does not end, or the home cannot be written.
    pub async fn open(
        home: Home,
        door: Arc<dyn Door>,
        options: WorkshopOptions,
    ) -> Result<Workshop, WorkshopError> {
        home.create()?;
        home.wait_for_workers()?;
        let store = Store::open(&home.store()).await?;
        ledger::open(&store, &home, options.approval).await?;
        let breakers = Arc::new(Breakers::load(&store).await?);
        let book = ReceiptBook::begin(&store, &breakers, options.keeps_texts).await?;
        let tokens = Tokens::load(&store).await?;
        if let Some(key) = &options.key {
            tokens.set_own(key);
        }
        let people = People::load(&store).await?;
        let shop = Workshop {
            inner: Arc::new(Inner {
                home,
                door,
                options,
                started: OnceLock::new(),
                store,
                book,
                breakers,
                tokens,
                people,
                progress: Mutex::default(),
                open: Mutex::default(),
                changes: watch::Sender::new(0),
                wake: Notify::new(),
                turn: Turn::new(),
                files: tokio::sync::Mutex::default(),
                brought: tokio::sync::Mutex::default(),
                upstreams: tokio::sync::Mutex::default(),
                shelf: Shelf::default(),
                held: Held::default(),
                hashed: Hashed::default(),
                stop: watch::Sender::new(false),
                halted: watch::Sender::new(None),
                queue: Mutex::default(),
            }),
        };
        shop.recover().await?;
        for row in shop.inner.store.deployments().await? {
            shop.inner.door.expect(&row.name);
        }
        match upstream::all(&shop).await {
            Ok(all) => {
                let standing = all.iter().filter(|(_, attested)| attested.is_ok());
                standing.for_each(|(said, _)| shop.inner.door.expect(&said.name));
            }
            // A broken ledger lets nothing answer; the workshop stands all the same, and says so.
            Err(error) => tracing::error!("the upstreams could not be looked up: {error}"),
        }
        Ok(shop)
    }

    /// Begins to work through the queue; the deployments answer shortly after.
    pub fn start(&self) {
        let mut queue = lock(&self.inner.queue);
        if queue.is_none() {
            let stop = self.inner.stop.subscribe();
            *queue = Some(reach::spawn(reach::own(queue::work(self.clone(), stop))));
            let stop = self.inner.stop.subscribe();
            reach::spawn(reach::own(scrub::for_good(self.clone(), stop)));
            let shop = self.clone();
            reach::spawn(reach::own(async move { shop.tell_upstreams().await }));
            let (tokens, store) = (self.inner.tokens.clone(), self.inner.store.clone());
            reach::spawn(reach::own(
                tokens.write_for_good(store, self.inner.stop.subscribe()),
            ));
            let people = self.inner.people.clone();
            reach::spawn(reach::own(
                people.write_for_good(self.inner.stop.subscribe()),
            ));
        }
    }

    /// Ends the running worker and puts its order back into the queue. What answers goes on: the
    /// store and the book of receipts stay open until [`Workshop::stop`].
    pub async fn rest(&self) {
        self.inner.stop.send_replace(true);
        let queue = lock(&self.inner.queue).take();
        if let Some(queue) = queue {
            // An error here is a panic of the queue, which has printed itself.
            let _ = queue.await;
        }
    }

    /// As [`Workshop::rest`], then closes the store. Answers end before this, or have no receipt.
    pub async fn stop(&self) {
        self.rest().await;
        self.inner.book.stop().await;
        if let Err(error) = self.inner.tokens.write_use(&self.inner.store).await {
            tracing::warn!("the last use of keys was not written: {error}");
        }
        if let Err(error) = self.inner.people.write_use().await {
            tracing::warn!("the last of the audit was not written: {error}");
        }
        self.inner.store.close().await;
    }

    /// Becomes `Some((text, next))` when the queue can no longer go on, for instance because the
    /// disk is full.
    pub fn halted(&self) -> watch::Receiver<Option<(String, String)>> {
        self.inner.halted.subscribe()
    }

    /// The orders that are asked for.
    ///
    /// # Errors
    /// The store's.
    pub async fn orders(
        &self,
        asked: &OrdersAsked,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<OrderSummary>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        let store = &self.inner.store;
        let rows = store.orders_asked(asked, &shown, limit, offset).await?;
        self.with_answering(rows).await
    }

    /// The names of the packs that orders were placed with.
    ///
    /// # Errors
    /// The store's.
    pub async fn packs_of_orders(&self) -> Result<Vec<String>, WorkshopError> {
        self.inner.store.packs(&reach::shown(Right::Look)).await
    }

    /// One order with its steps.
    ///
    /// # Errors
    /// The store's.
    pub async fn order(&self, id: &OrderId) -> Result<Option<OrderView>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        let row = self.inner.store.order(id).await?;
        let Some(row) = row.filter(|it| shown.has(&it.project)) else {
            return Ok(None);
        };
        let steps = self.inner.store.steps(id).await?;
        let live = lock(&self.inner.progress).get(id).cloned();
        let mut view = crate::view::order_view(row, steps, live);
        view.position = self.inner.store.position(id).await?;
        view.answering = self.answering(std::slice::from_ref(id)).await?.remove(id);
        view.url = format!("{}/orders/{}", self.url(), view.id);
        Ok(Some(view))
    }

    /// The loss curve after `after_step` (0 from its beginning), so much of it as is read at once.
    ///
    /// # Errors
    /// The store's.
    pub async fn curve(
        &self,
        id: &OrderId,
        after_step: u64,
    ) -> Result<Vec<CurvePoint>, WorkshopError> {
        self.inner.store.curve(id, after_step).await
    }

    /// The loss curve as it is drawn.
    ///
    /// # Errors
    /// The store's.
    pub async fn curve_outline(&self, id: &OrderId) -> Result<Vec<CurvePoint>, WorkshopError> {
        self.inner.store.curve_outline(id).await
    }

    /// The report of an order, once evaluated.
    ///
    /// # Errors
    /// The store's.
    pub async fn report(&self, id: &OrderId) -> Result<Option<Report>, WorkshopError> {
        self.inner.store.report_of(id).await
    }

    /// The gate's verdict on the order, computed now: on all of its evidence once that stands in the ledger, on
    /// the report alone before.
    ///
    /// # Errors
    /// The store's.
    pub async fn verdict(&self, id: &OrderId) -> Result<Option<Verdict>, WorkshopError> {
        let Some(order) = self.inner.store.order(id).await? else {
            return Ok(None);
        };
        let pack: Pack = crate::store::orders::parse("an order's pack", &order.spec)?;
        let Some(report) = self.report(id).await? else {
            return Ok(None);
        };
        let judged = self.judged_now(id, &report, &pack.gate).await?;
        Ok(Some(judged.unwrap_or_else(|| {
            lathe_gate::check_report(&report, &pack.gate)
        })))
    }

    /// What the gate says of all that the ledger has of the order; none where its evaluation is not there.
    async fn judged_now(
        &self,
        id: &OrderId,
        report: &Report,
        policy: &Policy,
    ) -> Result<Option<Verdict>, WorkshopError> {
        let steps = self.inner.store.steps(id).await?;
        let measured = steps.into_iter().find(|it| it.name == StepName::Evaluate);
        let measured = measured.and_then(|it| it.artifact);
        let measured = measured.and_then(|it| it.parse::<Digest>().ok());
        let Some((measured, ledger)) = measured.zip(self.inner.store.ledger().ok()) else {
            return Ok(None);
        };
        let history = ledger.read().await;
        let judged = history.find("evaluation", &measured).and_then(|entry| {
            chain::judge(&history, &entry.link, report, policy, &id.0, now_ms()).ok()
        });
        // Nothing is said of it here that would have to expire.
        Ok(judged.map(|(_, found)| Verdict {
            expires_ms: None,
            ..found
        }))
    }

    /// The order's log after line `after_seq` (0 for all), at most `limit` lines.
    ///
    /// # Errors
    /// The store's.
    pub async fn log(
        &self,
        id: &OrderId,
        after_seq: u64,
        limit: u32,
    ) -> Result<Vec<LogLine>, WorkshopError> {
        self.inner.store.log(id, after_seq, limit).await
    }

    /// The last `limit` lines of the order's log, oldest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn log_tail(&self, id: &OrderId, limit: u32) -> Result<Vec<LogLine>, WorkshopError> {
        self.inner.store.log_tail(id, limit).await
    }

    /// Datasets, newest first, each with how much of it was withdrawn.
    ///
    /// # Errors
    /// The store's.
    pub async fn datasets(
        &self,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<DatasetView>, WorkshopError> {
        let mut views = self.versions(limit, offset).await?;
        self.say_withdrawn(&mut views).await?;
        Ok(views)
    }

    /// Dataset versions, newest first; what of them was withdrawn is not asked.
    ///
    /// # Errors
    /// The store's.
    pub async fn versions(
        &self,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<DatasetView>, WorkshopError> {
        let (shown, store) = (reach::shown(Right::Look), &self.inner.store);
        store.datasets_shown(&shown, limit, offset).await
    }

    /// One dataset by its digest, with what of it was withdrawn.
    ///
    /// # Errors
    /// The store's.
    pub async fn dataset(&self, digest: &str) -> Result<Option<DatasetView>, WorkshopError> {
        let Some(mut view) = self.inner.store.dataset(digest).await? else {
            return Ok(None);
        };
        self.say_withdrawals(&mut view).await?;
        Ok(Some(view))
    }

    /// Registers a file as a dataset version: read, checked, deduped, split, sealed.
    ///
    /// # Errors
    /// `data-…` when the file cannot be read; the home's and the store's.
    pub async fn add_dataset(&self, request: DatasetRequest) -> Result<DatasetView, WorkshopError> {
        let view = crate::dataset::add(self, request).await?;
        Ok(view)
    }

    /// Models, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn models(&self, limit: u32, offset: u32) -> Result<Vec<ModelView>, WorkshopError> {
        let (shown, all) = (reach::shown(Right::Look), ModelsAsked::default());
        let store = &self.inner.store;
        store.models_asked(&all, &shown, limit, offset).await
    }

    /// The deployments that answer now.
    ///
    /// # Errors
    /// The store's.
    pub async fn deployments(&self) -> Result<Vec<DeploymentView>, WorkshopError> {
        let rows = self.inner.store.deployments().await?;
        let open = lock(&self.inner.open);
        Ok(rows
            .into_iter()
            .filter(|row| open.contains(&row.name) && reach::may_name(Right::Look, &row.name))
            .map(|row| self.view(row))
            .collect())
    }

    /// The other servers that answer under a name here, each with how it is.
    ///
    /// # Errors
    /// `ledger-broken`.
    pub async fn upstreams(&self) -> Result<Vec<UpstreamView>, WorkshopError> {
        upstream::views(self).await
    }

    /// A deployment with its breaker, for pages and commands.
    fn view(&self, row: DeploymentRow) -> DeploymentView {
        let breaker = self.inner.breakers.of(&row.name);
        let mut view = DeploymentView::from(row);
        if let Some(breaker) = breaker {
            view.breaker = breaker.state;
            view.breaker_reason = breaker.reason;
            view.breaker_cause = Some(breaker.cause);
        }
        view
    }

    /// Takes up what only the program knows that opened it; what was said first stays.
    pub fn started_with(&self, started: Started) {
        let _ = self.inner.started.set(started);
    }

    /// The keys of the API.
    pub fn tokens(&self) -> &Tokens {
        &self.inner.tokens
    }

    /// The people who may come in.
    pub fn people(&self) -> &People {
        &self.inner.people
    }

    /// The book that answers are written into.
    pub fn book(&self) -> Arc<dyn Book> {
        self.inner.book.clone()
    }

    /// A counter that rises with every visible change: wait on it, then read again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.inner.changes.subscribe()
    }

    /// Where this process answers; a wildcard address is called by its loopback name.
    pub fn url(&self) -> String {
        url_of(self.inner.options.listen)
    }
}

/// For the queue and the steps.
impl Workshop {
    pub(crate) fn home(&self) -> &Home {
        &self.inner.home
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn door(&self) -> &Arc<dyn Door> {
        &self.inner.door
    }

    pub(crate) fn breakers(&self) -> &Arc<Breakers> {
        &self.inner.breakers
    }

    /// Writes what is said together with the changes it speaks of, in one transaction.
    pub(crate) async fn apply_said<T>(
        &self,
        say: impl FnOnce(&mut Speaker<'_>) -> Result<(Vec<Change>, T), WorkshopError>,
    ) -> Result<T, WorkshopError> {
        let said = self.inner.store.apply_said(say).await?;
        self.touch();
        Ok(said)
    }

    pub(crate) fn started(&self) -> Option<&Started> {
        self.inner.started.get()
    }

    pub(crate) fn keeps_texts(&self) -> bool {
        self.inner.options.keeps_texts
    }

    pub(crate) fn worker(&self) -> &Path {
        &self.inner.options.worker
    }

    pub(crate) fn scrub_every(&self) -> Duration {
        self.inner.options.scrub_every
    }

    pub(crate) fn key(&self) -> Option<&str> {
        self.inner.options.key.as_deref()
    }

    pub(crate) async fn apply(&self, changes: &[Change]) -> Result<(), WorkshopError> {
        self.inner.store.apply(changes).await?;
        self.touch();
        Ok(())
    }

    pub(crate) fn touch(&self) {
        self.inner
            .changes
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn note_progress(&self, order: &OrderId, step: StepName, progress: Progress) {
        lock(&self.inner.progress).insert(order.clone(), (step, progress));
        self.touch();
    }

    pub(crate) fn forget_progress(&self, order: &OrderId) {
        lock(&self.inner.progress).remove(order);
    }

    pub(crate) fn note_open(&self, name: &str) {
        lock(&self.inner.open).insert(name.to_owned());
        self.touch();
    }

    pub(crate) fn is_open(&self, name: &str) -> bool {
        lock(&self.inner.open).contains(name)
    }

    pub(crate) fn shelf_state(&self) -> &Shelf {
        &self.inner.shelf
    }

    pub(crate) fn held(&self) -> &Held {
        &self.inner.held
    }

    pub(crate) fn hashed(&self) -> &Hashed {
        &self.inner.hashed
    }

    pub(crate) fn wake(&self) {
        self.inner.wake.notify_one();
    }

    pub(crate) fn notified(&self) -> tokio::sync::futures::Notified<'_> {
        self.inner.wake.notified()
    }

    pub(crate) fn turn(&self) -> &Turn {
        &self.inner.turn
    }

    /// Whoever tells the door of the upstreams holds this meanwhile.
    pub(crate) async fn hold_upstreams(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.upstreams.lock().await
    }

    /// Whoever keeps, places or deletes a file of the API holds this meanwhile.
    pub(crate) async fn hold_files(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.files.lock().await
    }

    /// Whoever writes, looks up or forgets a file that is brought holds this meanwhile.
    pub(crate) async fn hold_brought(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.inner.brought.lock().await
    }

    pub(crate) fn halt(&self, error: WorkshopError) {
        tracing::error!("the queue ends: {error}");
        let said = (error.to_string(), error.next().to_owned());
        self.inner.halted.send_replace(Some(said));
    }

    /// Tells the door which upstreams stand in the ledger now.
    pub(crate) async fn tell_upstreams(&self) {
        if let Err(error) = upstream::tell_door(self).await {
            tracing::error!("the upstreams could not be looked up: {error}");
        }
    }

    /// Opens the door again for what was deployed: the verdict is computed anew, the files are
    /// hashed anew. What is refused stays closed and is said in the log of its order.
    pub(crate) async fn reopen_deployments(&self) {
        let rows = match self.inner.store.deployments().await {
            Ok(rows) => rows,
            Err(error) => return self.halt(error),
        };
        for row in rows {
            let (order, name) = (row.order.clone(), row.name.clone());
            if let Err(error) = steps::deploy::reopen(self, row).await {
                let text = format!("{name} does not answer: {}; {}", error.text, error.next);
                tracing::warn!("{text}");
                self.inner.door.close(&name).await;
                let line = Change::Log {
                    order,
                    step: StepName::Deploy,
                    text,
                    at_ms: now_ms(),
                };
                if let Err(error) = self.apply(&[line]).await {
                    return self.halt(error);
                }
            }
        }
    }

    /// Puts in order what a dead daemon left.
    async fn recover(&self) -> Result<(), WorkshopError> {
        let mut changes = Vec::new();
        for order in self.inner.store.placed().await? {
            for step in self.inner.store.steps(&order.id).await? {
                if step.state == StepState::Running {
                    changes.push(Change::StepWaits {
                        order: order.id.clone(),
                        step: step.name,
                        at_ms: None,
                    });
                }
            }
            // One that waits for a decision, or was paused, still does.
            if order.state == OrderState::Running {
                changes.push(Change::OrderIs {
                    order: order.id,
                    state: OrderState::Queued,
                    at_ms: now_ms(),
                });
            }
        }
        self.apply(&changes).await?;
        let wanted = self.inner.store.artifacts().await?;
        objects::sweep(&self.inner.home, &|digest| wanted.contains(digest))?;
        let resumable = self.inner.store.resumable().await?;
        let folders: BTreeSet<String> = resumable
            .iter()
            .map(|(step, input)| queue::folder_name(*step, input))
            .collect();
        objects::sweep_work(&self.inner.home, &|name| folders.contains(name))?;
        Ok(())
    }
}

/// The URL that reaches `listen` from this machine.
pub fn url_of(listen: SocketAddr) -> String {
    let mut reached = listen;
    if listen.ip().is_unspecified() {
        reached.set_ip(match listen {
            SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
        });
    }
    format!("http://{reached}")
}

/// The guarded value; a panic elsewhere leaves it usable, since each write is one assignment.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use lathe_evidence::manifest::Manifest;
    use serde_json::json;

    use super::*;
    use crate::order::Output;
    use crate::store::change::{Finished, NewArtifact};
    use crate::testing::{evaluated, placed, shop};

    /// A report that reaches its floor says nothing of the rules that look at the rest of the evidence.
    #[tokio::test]
    async fn a_verdict_is_given_on_all_the_evidence_once_it_is_in_the_ledger() {
        let (_folder, shop) = shop().await;
        let (order, digest) = (OrderId::new(), Digest::of(b"a report"));
        let input = digest.to_string();
        let finished = Finished {
            order: order.clone(),
            step: StepName::Evaluate,
            input: input.clone(),
            output: Output::default(),
            artifact: Some(NewArtifact {
                digest: input.clone(),
                manifest: Manifest::new(Vec::new()).unwrap(),
            }),
            registers: Vec::new(),
        };
        let changes = [
            placed(&order),
            Change::StepBegins {
                order: order.clone(),
                step: StepName::Evaluate,
                input,
                at_ms: 2,
            },
            Change::StepDone {
                finished: Box::new(finished),
                at_ms: 3,
            },
        ];
        shop.apply(&changes).await.unwrap();
        let report = json!({
            "version": 1, "demonstration": false, "primary_metric": "accuracy", "records": 20,
            "groups": 4, "paired": [], "worst": [], "bootstrap": {"resamples": 100, "seed": 1},
            "subjects": [{
                "role": "base", "name": "base", "note": "", "records": 20,
                "predictions_sha256": null, "slices": [],
                "metrics": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}},
            }],
        });
        let report: Report = serde_json::from_value(report).unwrap();
        let policy = json!({
            "thresholds": [{"metric": "accuracy", "at_least": 0.8}], "require": ["training"],
        });
        let policy: Policy = serde_json::from_value(policy).unwrap();
        let before = shop.judged_now(&order, &report, &policy).await.unwrap();
        assert_eq!(before, None, "nothing of it is in the ledger");
        let model = Digest::of(b"a model");
        let said = shop.apply_said(|speaker| {
            let link = evaluated(speaker, [model, model, digest], Digest::of(b"any"))?;
            Ok((Vec::new(), link))
        });
        said.await.unwrap();
        let found = shop.judged_now(&order, &report, &policy).await.unwrap();
        let found = found.unwrap();
        let failed = found.findings.iter().filter(|it| !it.passed);
        let failed: Vec<&str> = failed.map(|it| it.key.as_str()).collect();
        assert_eq!(failed, ["require"], "{found:?}");
        assert!(!found.passed && found.findings.len() == 2, "{found:?}");
        shop.stop().await;
    }
}
