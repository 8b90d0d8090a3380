//! An admitted tiny model: the real way in, with a minimal report.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::report::{Bootstrap, Interval, Report, Role, Subject};
use lathe_evidence::statement::BreakerState;
use lathe_gate::{Bound, Policy, Rule, Threshold};
use lathe_workshop::admission::admit;
use lathe_workshop::{
    Admitted, Book, BookError, BoxFuture, DeployableFiles, Opened, Opening, OrderId, ReceiptDraft,
    Refused,
};

/// The random model of `tests/fixtures/make_tiny_model.py`.
pub fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model")
}

/// `base` under `name`, admitted by a report that passes.
pub fn admitted(name: &str, base: PathBuf, adapter: Option<PathBuf>) -> Admitted<DeployableFiles> {
    let files = DeployableFiles {
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
        task: None,
        origin: "lathe.test/tiny".to_owned(),
    };
    admit(&passing_report(), &policy(), files).expect("the report passes the policy")
}

fn policy() -> Policy {
    let threshold = Threshold {
        metric: "valid_json".to_owned(),
        rule: Rule::AtLeast(0.9),
        bound: Bound::Value,
    };
    Policy {
        thresholds: vec![threshold],
    }
}

fn passing_report() -> Report {
    let valid = Interval {
        value: 1.0,
        low: None,
        high: None,
    };
    let tuned = Subject {
        role: Role::Tuned,
        name: "tiny".to_owned(),
        note: "A random model; the figure is made up for tests.".to_owned(),
        records: 1,
        predictions_sha256: None,
        metrics: BTreeMap::from([("valid_json".to_owned(), valid)]),
        slices: Vec::new(),
    };
    Report {
        version: Report::VERSION,
        demonstration: true,
        primary_metric: "valid_json".to_owned(),
        records: 1,
        groups: 1,
        subjects: vec![tuned],
        paired: Vec::new(),
        worst: Vec::new(),
        bootstrap: Bootstrap {
            resamples: 0,
            seed: 0,
        },
    }
}

/// A book that keeps in memory what is opened and closed.
#[derive(Default)]
pub struct MemoryBook {
    open: Mutex<BTreeMap<String, Opening>>,
    /// The receipts closed so far.
    pub closed: Mutex<Vec<Receipt>>,
}

/// A fresh book.
pub fn book() -> Arc<MemoryBook> {
    Arc::default()
}

impl Book for MemoryBook {
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("receipt-{}", open.len());
        open.insert(id.clone(), opening);
        Box::pin(std::future::ready(Ok(Opened {
            id,
            opened_ms: 1,
            ledger_size: 9,
            breaker: BreakerState::Closed,
            reason: String::new(),
        })))
    }

    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let opening = open.get(&draft.opened.id).expect("it was opened").clone();
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
        };
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.push(receipt.clone());
        Box::pin(std::future::ready(Ok(receipt)))
    }

    fn valid(&self, _name: &str, _valid: bool) {}

    fn keeps_texts(&self) -> bool {
        false
    }
}
