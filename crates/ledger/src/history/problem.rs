//! What does not hold in a ledger: named, with its place and what to do next.

use std::fmt;

/// What does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub flaw: Flaw,
    /// The entry, counted from 0; absent where it is the ledger as a whole.
    pub index: Option<u64>,
    /// What was found.
    pub text: String,
}

/// The kinds of problem. Each has a code and a page in docs/errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Flaw {
    /// An entry is no envelope, or holds no statement.
    Envelope,
    /// A signature does not hold.
    Signature,
    /// Signed by a key that the ledger does not know, or no longer.
    Signer,
    /// Signed by a key without the role for it.
    Role,
    /// The first entry is no beginning, or a later one is.
    Genesis,
    /// An entry is older than the one before it.
    Time,
    /// A key statement that cannot be.
    Key,
    /// It names a statement that is not there, is void, or is of another kind.
    Link,
    /// The very same entry stands in the ledger already.
    Replayed,
    /// Its subject is not what it speaks of.
    Subject,
    /// The number of a batch of receipts leaves a gap.
    Batch,
    /// The checkpoint is none, is not signed by a root key, or is of another ledger.
    Checkpoint,
    /// There are fewer entries than a checkpoint says.
    Truncated,
    /// The entries are not those that a checkpoint was made over.
    Rewritten,
    /// None of the pinned keys stands behind it.
    NotPinned,
    /// It has too many entries, or none.
    Length,
}

impl Flaw {
    /// The code: the name of its page in docs/errors.
    pub fn code(&self) -> &'static str {
        match self {
            Flaw::Envelope => "ledger-envelope",
            Flaw::Signature => "ledger-signature",
            Flaw::Signer => "ledger-signer",
            Flaw::Role => "ledger-role",
            Flaw::Genesis => "ledger-genesis",
            Flaw::Time => "ledger-time",
            Flaw::Key => "ledger-key",
            Flaw::Link => "ledger-link",
            Flaw::Replayed => "ledger-replayed",
            Flaw::Subject => "ledger-subject",
            Flaw::Batch => "ledger-batch",
            Flaw::Checkpoint => "ledger-checkpoint",
            Flaw::Truncated => "ledger-truncated",
            Flaw::Rewritten => "ledger-rewritten",
            Flaw::NotPinned => "ledger-not-pinned",
            Flaw::Length => "ledger-length",
        }
    }

    /// What to do next, for people.
    pub fn next(&self) -> &'static str {
        match self {
            Flaw::Truncated | Flaw::Rewritten | Flaw::NotPinned => {
                "do not use this home; compare it with the backup that the checkpoint or key came from"
            }
            Flaw::Signer | Flaw::Role => "let a key with the role say it: `lathe keys list`",
            Flaw::Key => "see which keys stand with `lathe keys list`",
            Flaw::Time => "set the machine's clock and say it again",
            Flaw::Link | Flaw::Replayed | Flaw::Subject | Flaw::Batch => {
                "say what it rests on first; if it was written by Lathe, restore the home from a backup"
            }
            Flaw::Envelope | Flaw::Signature | Flaw::Genesis | Flaw::Checkpoint | Flaw::Length => {
                "restore the home from a backup: the ledger was changed"
            }
        }
    }
}

impl Problem {
    pub(crate) fn new(flaw: Flaw, index: Option<u64>, text: impl Into<String>) -> Self {
        Self {
            flaw,
            index,
            text: text.into(),
        }
    }

    /// The code: the name of its page in docs/errors.
    pub fn code(&self) -> &'static str {
        self.flaw.code()
    }

    /// What to do next, for people.
    pub fn next(&self) -> &'static str {
        self.flaw.next()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "ledger entry {index}: {}", self.text),
            None => write!(f, "ledger: {}", self.text),
        }
    }
}

impl std::error::Error for Problem {}
