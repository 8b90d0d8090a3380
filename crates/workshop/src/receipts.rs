//! The workshop's book of receipts: opened before the first token, closed before the last part,
//! batched once a second into the ledger.
//!
//! One task writes; what arrives while it commits shares its next commit (group commit). An answer
//! whose asker is gone before it learns of its opening is closed as cancelled; what a dead process
//! left open is closed as aborted when the workshop opens.
//!
//! Not here: computing digests and spans of an answer (the door), moving breakers (`breakers`).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lathe_evidence::receipt::{Ended, Receipt, Relayed, SPANS_MAX};
use lathe_evidence::statement::{BreakerState, Receipts};
use lathe_evidence::{Digest, merkle};
use tokio::sync::{mpsc, oneshot};

use crate::book::{Book, BookError, Opened, Opening, ReceiptDraft, Refused, SHINGLES_MAX, Texts};
use crate::breakers::Breakers;
use crate::clock::now_ms;
use crate::door::BoxFuture;
use crate::error::WorkshopError;
use crate::people::reach;
use crate::store::receipts::{Batch, ClosedReceipt, OpenReceipt};
use crate::store::{Change, Store};

/// Writes that wait for the task; more wait before it.
const WAITING_MAX: usize = 1024;

/// Writes of one commit.
const GROUP_MAX: usize = 256;

/// Receipts of one batch.
pub(crate) const BATCH_RECEIPTS_MAX: u32 = 4096;

/// How often receipts become a batch.
pub(crate) const BATCH_EVERY: Duration = Duration::from_secs(1);

/// The book of a workshop.
#[derive(Debug)]
pub(crate) struct ReceiptBook {
    store: Store,
    breakers: Arc<Breakers>,
    jobs: mpsc::Sender<Job>,
    open: Mutex<BTreeMap<String, OpenReceipt>>,
    keeps_texts: bool,
    /// Something closed since the last batch.
    closed: AtomicBool,
}

/// What came of a write: an error as text and next step, since many wait for one.
type Written = Result<(), BookError>;

/// A write that somebody waits for.
#[derive(Debug)]
enum Job {
    Open(Box<OpenReceipt>, oneshot::Sender<Written>),
    Close(Box<ClosedReceipt>, oneshot::Sender<Written>),
    /// The last one.
    Stop(oneshot::Sender<()>),
}

impl ReceiptBook {
    /// Closes what a dead process left open, and begins to write. Texts are kept where
    /// `keeps_texts` says so.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub(crate) async fn begin(
        store: &Store,
        breakers: &Arc<Breakers>,
        keeps_texts: bool,
    ) -> Result<Arc<ReceiptBook>, WorkshopError> {
        let aborted: Vec<Change> = store
            .open_receipts()
            .await?
            .iter()
            .map(|open| Change::ReceiptClosed(Box::new(unanswered(open, Ended::Aborted))))
            .collect();
        if !aborted.is_empty() {
            store.apply(&aborted).await?;
        }
        let (jobs, waiting) = mpsc::channel(WAITING_MAX);
        let book = Arc::new(ReceiptBook {
            store: store.clone(),
            breakers: breakers.clone(),
            jobs,
            open: Mutex::default(),
            keeps_texts,
            closed: AtomicBool::new(true),
        });
        reach::spawn(reach::own(write(store.clone(), waiting)));
        reach::spawn(reach::own(batch_for_good(Arc::downgrade(&book))));
        Ok(book)
    }

    /// Writes what waits, makes a last batch, and takes nothing more.
    pub(crate) async fn stop(&self) {
        let (said, done) = oneshot::channel();
        if self.jobs.send(Job::Stop(said)).await.is_ok() {
            // The task is gone where this fails, which is as good.
            let _ = done.await;
        }
        if let Err(error) = self.batch().await {
            tracing::warn!("the last receipts stay without a batch until the next start: {error}");
        }
    }

    /// Makes a batch of all receipts that are in none, if there are any.
    ///
    /// # Errors
    /// `ledger-…`, `store`.
    pub(crate) async fn batch(&self) -> Result<(), WorkshopError> {
        while self.closed.swap(false, Ordering::AcqRel) {
            let waiting = self.store.unbatched(BATCH_RECEIPTS_MAX).await?;
            if waiting.is_empty() {
                return Ok(());
            }
            let more = waiting.len() == BATCH_RECEIPTS_MAX as usize;
            let done = say_batch(&self.store, waiting).await;
            if more || done.is_err() {
                self.closed.store(true, Ordering::Release);
            }
            done?;
        }
        Ok(())
    }

    async fn ask(&self, job: impl FnOnce(oneshot::Sender<Written>) -> Job) -> Written {
        let gone = || BookError {
            text: "cannot write the receipt: the workshop is ending".to_owned(),
            next: "ask again once it is up".to_owned(),
        };
        let (say, said) = oneshot::channel();
        self.jobs.send(job(say)).await.map_err(|_| gone())?;
        said.await.map_err(|_| gone())?
    }

    /// Refuses where the breaker says so; else its state and reason.
    fn pass(&self, opening: &Opening) -> Result<(BreakerState, String), Refused> {
        let Some(row) = self.breakers.of(&opening.name) else {
            return Ok((BreakerState::Closed, String::new()));
        };
        let name = &opening.name;
        let refused = |code, text: String, next: &str| Refused {
            code,
            state: row.state,
            text,
            next: next.to_owned(),
        };
        match row.state {
            BreakerState::Closed => Ok((row.state, String::new())),
            BreakerState::Restricted if opening.accepts_restricted => Ok((row.state, row.reason)),
            BreakerState::Restricted => Err(refused(
                "restricted",
                format!("{name} is restricted: {}", row.reason),
                "send the header x-lathe-accept-restricted: 1 to be answered in the knowledge of it",
            )),
            BreakerState::Open => Err(refused(
                "breaker_open",
                format!("the breaker of {name} is open: {}", row.reason),
                "its operator closes it with `lathe breaker NAME close`",
            )),
            BreakerState::ForcedOpen => Err(refused(
                "breaker_open",
                format!("the breaker of {name} is forced open: {}", row.reason),
                "its evidence has to be whole again: `lathe verify` says what is missing",
            )),
        }
    }

    async fn open_one(&self, opening: Opening) -> Result<Opened, Refused> {
        let (breaker, reason) = self.pass(&opening)?;
        let failed = |text: String, next: String| Refused {
            code: "receipt_failed",
            state: breaker,
            text,
            next,
        };
        let ledger = self
            .store
            .ledger()
            .map_err(|error| failed(error.to_string(), error.next().to_owned()))?;
        let open = OpenReceipt {
            id: uuid::Uuid::now_v7().to_string(),
            name: opening.name,
            deployment: opening.deployment,
            model: opening.model,
            policy: opening.policy,
            prompt: opening.prompt,
            breaker,
            relayed: opening.relayed,
            ledger_size: ledger.size(),
            opened_ms: now_ms(),
        };
        let opened = Opened {
            id: open.id.clone(),
            opened_ms: open.opened_ms,
            ledger_size: open.ledger_size,
            breaker,
            reason,
        };
        let kept = Box::new(open.clone());
        self.ask(|said| Job::Open(kept, said))
            .await
            .map_err(|error| failed(error.text, error.next))?;
        self.open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(open.id.clone(), open);
        Ok(opened)
    }

    async fn close_one(&self, draft: ReceiptDraft) -> Result<Receipt, BookError> {
        let open = self
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&draft.opened.id)
            .ok_or_else(|| BookError {
                text: format!(
                    "cannot close the receipt {}: it is not open",
                    draft.opened.id
                ),
                next: "this is a mistake in Lathe; please report it".to_owned(),
            })?;
        let texts = draft.texts.clone().filter(|_| self.keeps_texts);
        let closed = ended(&open, draft, texts);
        let receipt = closed.receipt.clone();
        self.ask(|said| Job::Close(Box::new(closed), said)).await?;
        self.closed.store(true, Ordering::Release);
        Ok(receipt)
    }
}

impl Book for ReceiptBook {
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>> {
        Box::pin(self.open_one(opening))
    }

    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>> {
        Box::pin(self.close_one(draft))
    }

    fn valid(&self, name: &str, valid: bool) {
        let Some(reason) = self.breakers.count(name, valid) else {
            return;
        };
        let (breakers, name) = (self.breakers.clone(), name.to_owned());
        reach::spawn(reach::own(async move {
            if let Err(error) = breakers.trip(&name, reason).await {
                tracing::error!("the breaker of {name} could not be opened: {error}");
            }
        }));
    }

    fn keeps_texts(&self) -> bool {
        self.keeps_texts
    }
}

/// The receipt of an answer that ended as its door says.
fn ended(open: &OpenReceipt, draft: ReceiptDraft, texts: Option<Texts>) -> ClosedReceipt {
    let mut spans = draft.spans;
    spans.truncate(SPANS_MAX);
    let mut shingles = draft.shingles;
    shingles.truncate(SHINGLES_MAX);
    let receipt = Receipt {
        answer: draft.answer,
        ended: draft.ended,
        prompt_tokens: draft.prompt_tokens,
        answer_tokens: draft.answer_tokens,
        spans,
        upstream: draft
            .relayed
            .or_else(|| open.relayed.then(Relayed::unknown)),
        ..blank(open, draft.ended)
    };
    ClosedReceipt {
        texts,
        shingles,
        ..sealed(receipt)
    }
}

/// The receipt of an answer of which nothing more is known.
fn unanswered(open: &OpenReceipt, ended: Ended) -> ClosedReceipt {
    sealed(blank(open, ended))
}

fn blank(open: &OpenReceipt, ended: Ended) -> Receipt {
    Receipt {
        id: open.id.clone(),
        name: open.name.clone(),
        deployment: open.deployment,
        model: open.model,
        policy: open.policy,
        prompt: open.prompt,
        answer: Digest::of(b""),
        ended,
        prompt_tokens: 0,
        answer_tokens: 0,
        breaker: open.breaker,
        ledger_size: open.ledger_size,
        spans: Vec::new(),
        opened_ms: open.opened_ms,
        closed_ms: now_ms().max(open.opened_ms),
        upstream: open.relayed.then(Relayed::unknown),
    }
}

fn sealed(receipt: Receipt) -> ClosedReceipt {
    let bytes = receipt
        .to_bytes()
        .expect("its numbers are counts and times, far below 2^53");
    ClosedReceipt {
        leaf: Receipt::leaf(&bytes),
        bytes,
        receipt,
        texts: None,
        shingles: Vec::new(),
    }
}

/// Writes what arrives, all that waits in one transaction, until the book is gone or stopped.
async fn write(store: Store, mut jobs: mpsc::Receiver<Job>) {
    while let Some(first) = jobs.recv().await {
        let mut group = vec![first];
        while group.len() < GROUP_MAX
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let stops = group.iter().any(|job| matches!(job, Job::Stop(_)));
        let changes: Vec<Change> = group
            .iter()
            .filter_map(|job| match job {
                Job::Open(open, _) => Some(Change::ReceiptOpened(open.clone())),
                Job::Close(closed, _) => Some(Change::ReceiptClosed(closed.clone())),
                Job::Stop(_) => None,
            })
            .collect();
        let written = store.apply(&changes).await.map_err(|error| BookError {
            text: error.to_string(),
            next: error.next().to_owned(),
        });
        tell(&store, group, &written).await;
        if stops {
            return;
        }
    }
}

/// Tells everyone of the group; an answer that nobody waits for any more ends at once.
async fn tell(store: &Store, group: Vec<Job>, written: &Written) {
    let mut left = Vec::new();
    for job in group {
        match job {
            Job::Open(open, said) => {
                if said.send(written.clone()).is_err() && written.is_ok() {
                    let closed = unanswered(&open, Ended::Cancelled);
                    left.push(Change::ReceiptClosed(Box::new(closed)));
                }
            }
            // Whoever asked may be gone: the receipt is closed all the same.
            Job::Close(_, said) => drop(said.send(written.clone())),
            Job::Stop(said) => drop(said.send(())),
        }
    }
    if !left.is_empty()
        && let Err(error) = store.apply(&left).await
    {
        tracing::warn!("receipts stay open until the next start: {error}");
    }
}

/// A batch a second, for as long as the book is there.
async fn batch_for_good(book: std::sync::Weak<ReceiptBook>) {
    loop {
        tokio::time::sleep(BATCH_EVERY).await;
        let Some(book) = book.upgrade() else {
            return;
        };
        if book.store.ledger().is_ok()
            && let Err(error) = book.batch().await
        {
            tracing::error!("the receipts of the last second are in no batch yet: {error}");
        }
    }
}

/// Says the batch and places the receipts in it.
async fn say_batch(store: &Store, waiting: Vec<(String, Digest)>) -> Result<(), WorkshopError> {
    let (ids, leaves): (Vec<String>, Vec<Digest>) = waiting.into_iter().unzip();
    let root = merkle::root(&leaves);
    store
        .apply_said(|speaker| {
            let said = Receipts {
                batch: speaker.history().last_batch() + 1,
                count: leaves.len() as u64,
                root,
                at_ms: speaker.at_ms(),
            };
            let mut batch = Batch {
                batch: said.batch,
                root,
                count: said.count,
                link: root,
                at_ms: said.at_ms,
            };
            batch.link = speaker.say(&format!("batch {}", said.batch), root, said)?;
            Ok((vec![Change::ReceiptsBatched { batch, ids }], ()))
        })
        .await
}
