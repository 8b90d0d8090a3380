//! What holds and what does not: for people, and as JSON.

use std::fmt;

use serde::Serialize;

/// The most findings that are kept of what does not hold.
const FAILURES_MAX: usize = 1000;

/// What cannot be said by the ledger or the register: the store and the files beside them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mismatch {
    /// A file of an artifact.
    Artifact,
    /// A row of the store, or a batch's receipts.
    Row,
    /// A receipt.
    Receipt,
    /// A dossier that was given.
    Dossier,
    /// A witness's cosignature.
    Witness,
}

impl Mismatch {
    /// The code: the name of its page in docs/errors.
    pub fn code(self) -> &'static str {
        match self {
            Mismatch::Artifact => "verify-artifact",
            Mismatch::Row => "verify-row",
            Mismatch::Receipt => "verify-receipt",
            Mismatch::Dossier => "verify-dossier",
            Mismatch::Witness => "verify-witness",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it holds.
    pub holds: bool,
    /// What was looked at: `ledger`, `deployment support`, `object 0f3a…`.
    pub what: String,
    /// The code of its page in docs/errors; absent where it holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What was found.
    pub text: String,
}

/// All that was looked at.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Findings {
    /// Whether pinned keys, an older checkpoint or a witness stand behind it.
    pub anchored: bool,
    /// In the order it was looked at.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Whether all of it holds.
    pub fn all_hold(&self) -> bool {
        !self.findings.is_empty() && self.findings.iter().all(|it| it.holds)
    }

    /// What does not hold.
    pub fn failures(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|it| !it.holds)
    }

    /// As JSON, with `holds` for all of it.
    ///
    /// # Panics
    /// Never: it is texts.
    pub fn to_json(&self) -> String {
        let mut value = serde_json::to_value(self).expect("texts");
        value["holds"] = self.all_hold().into();
        serde_json::to_string_pretty(&value).expect("texts")
    }

    pub(crate) fn holds(&mut self, what: impl Into<String>, text: impl Into<String>) {
        self.findings.push(Finding {
            holds: true,
            what: what.into(),
            code: None,
            text: text.into(),
        });
    }

    pub(crate) fn fails(
        &mut self,
        what: impl Into<String>,
        code: &'static str,
        text: impl Into<String>,
    ) {
        if self.failures().count() < FAILURES_MAX {
            self.findings.push(Finding {
                holds: false,
                what: what.into(),
                code: Some(code),
                text: text.into(),
            });
        }
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let mark = if finding.holds { "holds" } else { "FAILS" };
            let code = finding.code.map_or(String::new(), |it| format!(" [{it}]"));
            writeln!(f, "{mark}  {}: {}{code}", finding.what, finding.text)?;
        }
        let failures = self.failures().count();
        let anchor = if self.anchored {
            "anchored by what you brought"
        } else {
            "self-consistent, not anchored: bring a key (--key), an older checkpoint (--checkpoint) or a witness (--witness)"
        };
        match failures {
            0 => writeln!(f, "\nAll holds; {anchor}."),
            1 => writeln!(f, "\nOne thing does not hold."),
            more => writeln!(f, "\n{more} things do not hold."),
        }
    }
}
