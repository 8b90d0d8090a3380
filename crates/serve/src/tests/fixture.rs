//! A tiny model, admitted without a ledger behind it: the feature `unproved` is for tests alone.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::BreakerState;
use lathe_workshop::admission::unproved;
use lathe_workshop::{
    Admitted, Book, BookError, BoxFuture, DeployableFiles, Opened, Opening, OrderId, ReceiptDraft,
    Refused,
};
use tokio::sync::Semaphore;

/// The random model of `tests/fixtures/make_tiny_model.py`.
pub fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model")
}

/// `base` under `name`, admitted.
pub fn admitted(name: &str, base: PathBuf, adapter: Option<PathBuf>) -> Admitted<DeployableFiles> {
    admitted_files(files(name, base, adapter))
}

/// Any files, admitted.
pub fn admitted_files(files: DeployableFiles) -> Admitted<DeployableFiles> {
    unproved(files)
}

/// What [`admitted`] admits.
pub fn files(name: &str, base: PathBuf, adapter: Option<PathBuf>) -> DeployableFiles {
    DeployableFiles {
        name: name.to_owned(),
        base,
        adapter,
        system: Some("Say how the customer feels.".to_owned()),
        example: Some("The camera is great.".to_owned()),
        demonstration: true,
        order: OrderId::new(),
        created_ms: 1_750_000_000_000,
        deployment: Digest::of(b"deployment"),
        model: Digest::of(b"model"),
        policy: Digest::of(b"policy"),
        dataset: None,
        further_datasets: Vec::new(),
        task: None,
        origin: "lathe.test/tiny".to_owned(),
    }
}

/// A book that keeps in memory what is opened and closed, and obeys the test.
pub struct MemoryBook {
    open: Mutex<BTreeMap<String, Opening>>,
    closed: Mutex<Vec<(Receipt, ReceiptDraft)>>,
    valid: Mutex<Vec<bool>>,
    /// What the breaker says.
    pub state: Mutex<BreakerState>,
    /// Whether closing fails.
    pub broken: AtomicBool,
    /// A permit for each opening and closing that may go through.
    pub turns: Semaphore,
}

/// A fresh book, of which everything succeeds at once.
pub fn book() -> Arc<MemoryBook> {
    Arc::new(MemoryBook {
        open: Mutex::default(),
        closed: Mutex::default(),
        valid: Mutex::default(),
        state: Mutex::default(),
        broken: AtomicBool::default(),
        turns: Semaphore::new(Semaphore::MAX_PERMITS),
    })
}

impl MemoryBook {
    /// How many receipts were opened.
    pub fn opened(&self) -> usize {
        lock(&self.open).len()
    }

    /// The receipts closed so far, each with what it was made of.
    pub fn closed(&self) -> Vec<(Receipt, ReceiptDraft)> {
        lock(&self.closed).clone()
    }

    /// What was said about answers being valid.
    pub fn valid(&self) -> Vec<bool> {
        lock(&self.valid).clone()
    }

    async fn write(&self, opening: Opening) -> Result<Opened, Refused> {
        if let Ok(turn) = self.turns.acquire().await {
            turn.forget();
        }
        let state = *lock(&self.state);
        let code = match state {
            BreakerState::Closed => "",
            BreakerState::Restricted if opening.accepts_restricted => "",
            BreakerState::Restricted => "restricted",
            BreakerState::Open | BreakerState::ForcedOpen => "breaker_open",
        };
        if !code.is_empty() {
            return Err(Refused {
                code,
                state,
                text: "tiny does not answer: a record was withdrawn".to_owned(),
                next: "tune it again without the record".to_owned(),
            });
        }
        let mut open = lock(&self.open);
        let id = format!("receipt-{}", open.len());
        open.insert(id.clone(), opening);
        let restricted = state == BreakerState::Restricted;
        Ok(Opened {
            id,
            opened_ms: 1,
            ledger_size: 9,
            breaker: state,
            reason: if restricted {
                "a record was withdrawn"
            } else {
                ""
            }
            .to_owned(),
        })
    }

    async fn end(&self, draft: ReceiptDraft) -> Result<Receipt, BookError> {
        if let Ok(turn) = self.turns.acquire().await {
            turn.forget();
        }
        if self.broken.load(Ordering::Relaxed) {
            return Err(BookError {
                text: "cannot close a receipt: the disk is full".to_owned(),
                next: "make room".to_owned(),
            });
        }
        let opening = lock(&self.open)
            .get(&draft.opened.id)
            .expect("it was opened")
            .clone();
        let made = draft.clone();
        let receipt = Receipt {
            id: draft.opened.id,
            name: opening.name,
            deployment: opening.deployment,
            model: opening.model,
            policy: opening.policy,
            prompt: opening.prompt,
            answer: draft.answer,
            ended: draft.ended,
            prompt_tokens: draft.prompt_tokens,
            answer_tokens: draft.answer_tokens,
            breaker: draft.opened.breaker,
            ledger_size: draft.opened.ledger_size,
            spans: draft.spans,
            opened_ms: draft.opened.opened_ms,
            closed_ms: 2,
            upstream: draft.relayed,
        };
        lock(&self.closed).push((receipt.clone(), made));
        Ok(receipt)
    }
}

impl Book for MemoryBook {
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>> {
        Box::pin(self.write(opening))
    }

    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>> {
        Box::pin(self.end(draft))
    }

    fn valid(&self, _name: &str, valid: bool) {
        lock(&self.valid).push(valid);
    }

    fn keeps_texts(&self) -> bool {
        true
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
