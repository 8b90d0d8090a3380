//! Feedback (应答反馈): what people say of an answer, tied to its receipt.
//!
//! A correction says what the right answer would have been. Somebody accepts or rejects it (`review`);
//! what is accepted becomes a dataset version (`version`), and one command tunes a deployment on it
//! (`retune`). A complaint says that an answer was no good; many of them move the breaker
//! (`complaints`).
//!
//! What people write is kept in the store as long as the home: it is nowhere else, in no log and in no
//! statement, until a correction is accepted and made part of a dataset. A receipt holds no text, only
//! its digest: a correction brings the question along, unless the workshop keeps texts, and it has to be
//! the one that the receipt is of (`conversation`).
//!
//! Not here: HTTP and its shapes (`lathe_serve::feedback`).

mod complaints;
mod conversation;
mod edit;
mod give;
mod retune;
mod review;
mod version;

use std::collections::BTreeMap;

use lathe_evidence::statement::Link;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use give::{no_answer, unknown};

/// The longest correction.
pub const CORRECTION_BYTES_MAX: usize = 64 << 10;
/// The longest question that a correction brings along, as canonical JSON.
pub const PROMPT_BYTES_MAX: usize = 1 << 20;
/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 2000;
/// The longest label of who speaks, in characters.
pub const FROM_CHARS_MAX: usize = 100;
/// The most that is kept in all.
pub const FEEDBACK_MAX: u64 = 100_000;
/// The most that is kept of one answer.
pub const OF_RECEIPT_MAX: u64 = 20;
/// The fewest accepted corrections, of different questions, that make a dataset.
pub const CORRECTIONS_MIN: usize = 2;
/// The most that is decided about at once.
pub const REVIEWED_MAX: usize = 500;

/// What is said of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedbackKind {
    /// The right answer would have been another one.
    Correction,
    /// It was no good.
    Complaint,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedbackState {
    /// Nobody has looked at it.
    Received,
    /// Somebody stands by it.
    Accepted,
    /// Somebody does not; it counts for nothing.
    Rejected,
}

/// What somebody decides about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Review {
    /// To stand by it.
    Accept,
    /// Not to.
    Reject,
}

/// What somebody says of an answer, as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedbackRow {
    /// Its id: `fb-` and a UUIDv7.
    pub id: String,
    /// The receipt of the answer.
    pub receipt: String,
    /// The name that answered.
    pub name: String,
    /// The statement of the deployment, or of the upstream, that answered.
    pub deployment: Link,
    /// What it is.
    pub kind: FeedbackKind,
    /// What became of it.
    pub state: FeedbackState,
    /// The digest of all that was given.
    pub digest: String,
    /// The id of the key it came with; empty where none is asked for.
    pub token: String,
    /// The name of that key.
    pub owner: String,
    /// A short label of the caller's own.
    pub from: Option<String>,
    /// Why, in the caller's words.
    pub reason: Option<String>,
    /// What was asked, as canonical JSON; in lists it is left out.
    pub prompt: Option<String>,
    /// What the right answer would have been.
    pub correction: Option<String>,
    /// When it came, milliseconds since 1970.
    pub created_ms: i64,
    /// What was decided about it.
    pub decision: Option<Decided>,
}

impl FeedbackRow {
    /// It as who gave it may see it.
    pub fn told(&self) -> Value {
        json!({
            "id": self.id,
            "object": "feedback",
            "receipt": self.receipt,
            "model": self.name,
            "kind": self.kind,
            "created": self.created_ms / 1000,
            "state": self.state,
            "from": self.from,
            "reason": self.reason,
            "correction": self.correction,
        })
    }
}

/// What somebody decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// Who.
    pub by: String,
    /// Why.
    pub reason: Option<String>,
}

/// What is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The receipt of the answer.
    pub receipt: String,
    /// What it is.
    pub kind: FeedbackKind,
    /// What the right answer would have been.
    pub correction: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// A short label of the caller's own.
    pub from: Option<String>,
    /// What was asked, as the receipt's digest is of it; absent where the workshop has it.
    pub prompt: Option<String>,
}

/// With which key something is given; without one whoever speaks is at this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    /// The key's id; empty where there is none.
    pub token: String,
    /// The key's name.
    pub name: String,
}

/// Which feedback is wanted of a list, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// In this state alone.
    pub state: Option<FeedbackState>,
    /// Given with this key alone.
    pub token: Option<String>,
    /// What came before this one.
    pub before: Option<String>,
    /// The most entries.
    pub limit: u32,
}

/// Which corrections are to become a dataset version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackDataset {
    /// The dataset's name: lower-case letters, digits, dots and hyphens.
    pub name: String,
    /// The name whose answers were corrected; all names unless given.
    #[serde(default)]
    pub of: Option<String>,
    /// The licence, as an SPDX identifier where there is one; nothing is claimed unless given.
    #[serde(default)]
    pub licence: Option<String>,
    /// Who owns it; nothing is claimed unless given.
    #[serde(default)]
    pub owner: Option<String>,
}

/// Which feedback is to be listed, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackList {
    /// In this state alone.
    #[serde(default)]
    pub state: Option<FeedbackState>,
    /// What came before this one, by its id.
    #[serde(default)]
    pub before: Option<String>,
    /// The most entries, at most 100.
    #[serde(default)]
    pub limit: Option<u32>,
}

/// What somebody decides, about which feedback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackReview {
    /// The ids, 1 to 500.
    pub ids: Vec<String>,
    /// The decision.
    pub review: Review,
    /// Who decides; the name of the key unless given.
    #[serde(default)]
    pub by: String,
    /// Why; a rejection has to have a reason.
    #[serde(default)]
    pub reason: Option<String>,
}

/// A correction in the place of one that was given.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackEdit {
    /// The id of the one that was given.
    pub id: String,
    /// The right answer.
    pub correction: String,
    /// Who decides; the name of the key unless given.
    #[serde(default)]
    pub by: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Which deployment is to be tuned on its corrections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeedbackTune {
    /// The deployment's name.
    pub deployment: String,
    /// The dataset of corrections, by its name; the next version of the deployment's own unless given.
    #[serde(default)]
    pub dataset: Option<String>,
    /// New values of the pack by dotted paths, as `lathe order clone --set` takes them.
    #[serde(default)]
    pub set: BTreeMap<String, Value>,
}

/// A dataset version made of corrections, as a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionRow {
    /// The dataset's digest.
    pub digest: String,
    /// Its name.
    pub name: String,
    /// The name whose answers were corrected; absent for all.
    pub of: Option<String>,
    /// The artifact with the file that it was read from.
    pub file: String,
    /// How many corrections it holds.
    pub corrections: u64,
    /// When it was made, milliseconds since 1970.
    pub created_ms: i64,
}

#[cfg(test)]
mod tests;
