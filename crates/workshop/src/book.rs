//! The book of receipts, as whoever answers requests sees it.
//!
//! An answer is opened in the book before its first token leaves and closed before its last part
//! does; both are durable when they return. The book also stands in front of the door: where the
//! breaker of a deployment is not closed, opening is refused with the reason.
//!
//! Not here: what a receipt says (`lathe_evidence::receipt`), how it is stored, batched and logged.

use lathe_evidence::Digest;
use lathe_evidence::receipt::{Ended, Receipt, Relayed, Span};
use lathe_evidence::statement::{BreakerState, Link};

use crate::door::BoxFuture;

/// An answer that is about to begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The name that answers.
    pub name: String,
    /// The statement of the deployment that answers: `DeployableFiles::deployment`, or `Upstream::link`.
    pub deployment: Link,
    /// The digest of the model: `DeployableFiles::model`.
    pub model: Digest,
    /// The digest of the policy it was admitted by: `DeployableFiles::policy`.
    pub policy: Digest,
    /// The digest of the prompt: the request's messages as canonical JSON.
    pub prompt: Digest,
    /// The caller knows that the deployment may be restricted, and asks all the same.
    pub accepts_restricted: bool,
    /// Another server answers: model and policy are `Upstream::subject`.
    pub relayed: bool,
}

/// An answer that was written into the book and may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The receipt's id, a UUIDv7; the answer carries it.
    pub id: String,
    /// When, milliseconds since 1970.
    pub opened_ms: i64,
    /// The size of the ledger at this moment.
    pub ledger_size: u64,
    /// The breaker's state: closed, or restricted where the caller accepts that.
    pub breaker: BreakerState,
    /// Why it is restricted; empty when it is not.
    pub reason: String,
}

/// Why an answer may not begin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refused {
    /// `breaker_open` or `restricted`, or the book's own trouble: `receipt_failed`.
    pub code: &'static str,
    /// The breaker's state.
    pub state: BreakerState,
    /// What is refused and the breaker's reason.
    pub text: String,
    /// What to do next.
    pub next: String,
}

/// What is known of an answer at its end. Together with what was opened it makes the receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceiptDraft {
    /// As the book opened it.
    pub opened: Opened,
    /// The digest of the answer's text.
    pub answer: Digest,
    /// How it ended.
    pub ended: Ended,
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub answer_tokens: u64,
    /// Verbatim spans, longest first; the book keeps the first `receipt::SPANS_MAX`.
    pub spans: Vec<Span>,
    /// Hashes of the texts' shingles, by which an edited quotation is found; they tell nothing
    /// about the texts without the texts. The book keeps the first [`SHINGLES_MAX`].
    pub shingles: Vec<u64>,
    /// What is known of the server, where another one answered.
    pub relayed: Option<Relayed>,
    /// The texts, kept only where the workshop's retention says so.
    pub texts: Option<Texts>,
}

/// The most shingle hashes kept of one answer.
pub const SHINGLES_MAX: usize = 512;

/// The two sides of an answer in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Texts {
    /// The request's messages as canonical JSON.
    pub prompt: String,
    /// The answer.
    pub answer: String,
}

/// Why the book could not be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct BookError {
    /// What was being done, and what went wrong.
    pub text: String,
    /// What to do next.
    pub next: String,
}

/// The book of receipts.
pub trait Book: Send + Sync {
    /// Writes that an answer begins; durable when it returns. An answer that is opened and never
    /// closed is closed as aborted when the workshop opens again.
    fn open(&self, opening: Opening) -> BoxFuture<'_, Result<Opened, Refused>>;

    /// Writes how an answer ended; durable when it returns, which is before its last part leaves.
    fn close(&self, draft: ReceiptDraft) -> BoxFuture<'_, Result<Receipt, BookError>>;

    /// Whether an answer of `name` satisfied its task; the breaker watches the rate. Cheap.
    fn valid(&self, name: &str, valid: bool);

    /// Whether texts are kept, and so worth handing over.
    fn keeps_texts(&self) -> bool;
}
