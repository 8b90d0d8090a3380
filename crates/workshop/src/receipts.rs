//! The workshop's book of receipts.
//!
//! For now it gives ids and makes receipts, and keeps nothing: the store's side comes with the
//! ledger.

use lathe_evidence::receipt::{Receipt, SPANS_MAX};
use lathe_evidence::statement::BreakerState;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::book::{Book, BookError, Opened, Opening, ReceiptDraft, Refused};
use crate::clock::now_ms;
use crate::door::BoxFuture;

/// The book.
#[derive(Debug, Default)]
pub(crate) struct Receipts {
    open: Mutex<BTreeMap<String, Opening>>,
}

impl Book for Receipts {
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>> {
        let id = uuid::Uuid::now_v7().to_string();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert(id.clone(), opening);
        let opened = Opened {
            id,
            opened_ms: now_ms(),
            ledger_size: 0,
            breaker: BreakerState::Closed,
            reason: String::new(),
        };
        Box::pin(std::future::ready(Ok(opened)))
    }

    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = open
            .remove(&draft.opened.id)
            .map(|opening| receipt(&opening, draft))
            .ok_or_else(|| BookError {
                text: "cannot close a receipt that is not open".to_owned(),
                next: "this is a mistake in Lathe; please report it".to_owned(),
            });
        Box::pin(std::future::ready(closed))
    }

    fn valid(&self, _name: &str, _valid: bool) {}

    fn keeps_texts(&self) -> bool {
        false
    }
}

fn receipt(opening: &Opening, draft: ReceiptDraft) -> Receipt {
    let mut spans = draft.spans;
    spans.truncate(SPANS_MAX);
    Receipt {
        id: draft.opened.id,
        name: opening.name.clone(),
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
        spans,
        opened_ms: draft.opened.opened_ms,
        closed_ms: now_ms(),
    }
}
