//! Why a chain does not hold: always with the rule, the piece, the figure and what would cure it.

use std::fmt;

use serde::Serialize;

/// Something that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Denial {
    /// The kind.
    #[serde(skip)]
    pub kind: DenialKind,
    /// The kind's code, the name of its page in docs/errors.
    pub code: &'static str,
    /// What is asked.
    pub rule: String,
    /// The piece of evidence, by name, and what is wrong with it.
    pub evidence: String,
    /// The figure that was found, if the rule compares one; else empty.
    pub figure: String,
    /// What would cure it.
    pub cure: String,
}

/// The kinds of denial. Each has a code and a page in docs/errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DenialKind {
    /// A statement is not in the ledger, is void, or is of another kind.
    Missing,
    /// Two statements, or a statement and a file, speak of different things.
    Mismatch,
    /// A file is not what its statement says.
    Altered,
    /// A file cannot be read.
    Unreadable,
    /// The gate refuses, or decides otherwise than the ledger says.
    Gate,
    /// The register does not hold the model as deployed.
    NotRegistered,
    /// Nobody who may has approved it.
    NotApproved,
    /// Another deployment took the name.
    Replaced,
    /// The home was restored from a backup since.
    Restored,
    /// Data it rests on was withdrawn.
    Withdrawn,
    /// A verdict or an approval is past its time.
    Expired,
}

impl DenialKind {
    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            DenialKind::Missing => "chain-missing",
            DenialKind::Mismatch => "chain-mismatch",
            DenialKind::Altered => "chain-altered",
            DenialKind::Unreadable => "chain-unreadable",
            DenialKind::Gate => "chain-gate",
            DenialKind::NotRegistered => "chain-not-registered",
            DenialKind::NotApproved => "chain-not-approved",
            DenialKind::Replaced => "chain-replaced",
            DenialKind::Restored => "chain-restored",
            DenialKind::Withdrawn => "chain-withdrawn",
            DenialKind::Expired => "chain-expired",
        }
    }

    /// What cures it in general.
    fn cure(self) -> &'static str {
        match self {
            DenialKind::Missing | DenialKind::Mismatch => {
                "run the order again, so that its statements are said anew"
            }
            DenialKind::Altered | DenialKind::Unreadable => {
                "restore the artifact from a backup, or remove it and run the order again"
            }
            DenialKind::Gate => "look at the report, and tune or measure again",
            DenialKind::NotRegistered => "run the order again, so that its model is registered",
            DenialKind::NotApproved => "let a key with the role of approver approve it",
            DenialKind::Replaced => "serve the newer deployment",
            DenialKind::Restored => "run the order again: it says a fresh deployment",
            DenialKind::Withdrawn => "run the order again: it leaves out what was withdrawn",
            DenialKind::Expired => "run the order again: the gate decides anew",
        }
    }
}

impl Denial {
    pub(crate) fn new(kind: DenialKind, rule: &str, evidence: impl Into<String>) -> Self {
        Self {
            kind,
            code: kind.code(),
            rule: rule.to_owned(),
            evidence: evidence.into(),
            figure: String::new(),
            cure: kind.cure().to_owned(),
        }
    }

    pub(super) fn with_figure(mut self, figure: impl Into<String>) -> Self {
        self.figure = figure.into();
        self
    }

    pub(super) fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.cure = cure.into();
        self
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; asked: {}", self.evidence, self.rule)?;
        if !self.figure.is_empty() {
            write!(f, " ({})", self.figure)?;
        }
        Ok(())
    }
}

impl std::error::Error for Denial {}
