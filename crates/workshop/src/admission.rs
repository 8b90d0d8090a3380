//! Admission by type: only what passed the gate becomes an [`Admitted`].
//!
//! [`admit`] is the one function that makes one. It recomputes the verdict from
//! the report; a stored verdict is never read back, and what is refused is
//! refused by name. [`intact`] goes before it and re-hashes the files. Measuring
//! and the rules are elsewhere.

use std::path::{Path, PathBuf};

use lathe_data::task::TaskSpec;
use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::Link;
use lathe_gate::{Finding, Policy};

use crate::error::WorkshopError;
use crate::objects;
use crate::order::{OrderId, StepError};

/// A value that passed the gate. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Admitted<T> {
    inner: T,
}

impl<T> Admitted<T> {
    /// The admitted value.
    pub fn get(&self) -> &T {
        &self.inner
    }
}

/// The files of a model that may answer requests.
#[derive(Debug, Clone, PartialEq)]
pub struct DeployableFiles {
    /// The name it answers under: the `model` field of requests.
    pub name: String,
    /// The base model: a .gguf file or a Hugging Face folder.
    pub base: PathBuf,
    /// The adapter's folder in PEFT's format, if tuned.
    pub adapter: Option<PathBuf>,
    /// The system prompt it was tuned and measured with; the caller sends it.
    pub system: Option<String>,
    /// A user's message as it was measured, to try the model with.
    pub example: Option<String>,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// The order it came from.
    pub order: OrderId,
    /// When it was deployed, milliseconds since 1970.
    pub created_ms: i64,
    /// The statement of its deployment.
    pub deployment: Link,
    /// The digest of the model: the adapter's manifest, or the base model's.
    pub model: Digest,
    /// The digest of the policy it was admitted by.
    pub policy: Digest,
    /// The folder of the dataset it was tuned on, if tuned.
    pub dataset: Option<PathBuf>,
    /// The task it was tuned and measured on: renders records, reads answers.
    pub task: Option<TaskSpec>,
    /// The workshop's origin: the ContentProducer of what it answers (GB 45438).
    pub origin: String,
}

/// An artifact that takes part in answering, and the digest it must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is, for people ("the base model").
    pub what: &'static str,
    /// Its folder under objects/.
    pub folder: PathBuf,
    /// Its digest.
    pub digest: String,
}

/// Why a model is not admitted.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The report does not pass the thresholds.
    #[error("the gate refuses {name}: {}", failed(findings))]
    Gate {
        /// The name it was to answer under.
        name: String,
        /// How each rule fared.
        findings: Vec<Finding>,
    },
    /// A file is missing or altered.
    #[error("{what} in {} is altered or incomplete: its files hash to {found}", folder.display())]
    Altered {
        /// Which piece.
        what: &'static str,
        /// Where.
        folder: PathBuf,
        /// What its files hash to.
        found: String,
    },
    /// A file cannot be read.
    #[error("{0}")]
    Unreadable(#[from] WorkshopError),
}

/// The rules that do not hold, with their figures.
fn failed(findings: &[Finding]) -> String {
    let parts: Vec<String> = findings
        .iter()
        .filter(|finding| !finding.passed)
        .map(|finding| match finding.figure {
            Some(figure) => format!("{} ({}: {figure:.4})", finding.rule, finding.evidence),
            None => format!("{} ({}: no figure)", finding.rule, finding.evidence),
        })
        .collect();
    parts.join("; ")
}

impl From<Refusal> for StepError {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match refusal {
            Refusal::Gate { findings, .. } => {
                let cures: Vec<String> = findings
                    .into_iter()
                    .filter(|finding| !finding.passed)
                    .map(|finding| finding.cure)
                    .collect();
                StepError {
                    code: "gate-refused".to_owned(),
                    text,
                    next: cures.join("; "),
                }
            }
            Refusal::Altered { folder, .. } => StepError {
                code: "artifact-altered".to_owned(),
                text,
                next: format!(
                    "remove {} and run the order again: it is made anew",
                    folder.display()
                ),
            },
            Refusal::Unreadable(error) => error.into(),
        }
    }
}

/// Admits `files` when `report` passes `policy`.
///
/// # Errors
/// [`Refusal::Gate`], naming the rules that do not hold.
pub fn admit(
    report: &Report,
    policy: &Policy,
    files: DeployableFiles,
) -> Result<Admitted<DeployableFiles>, Refusal> {
    let verdict = lathe_gate::check_report(report, policy);
    if !verdict.passed {
        return Err(Refusal::Gate {
            name: files.name,
            findings: verdict.findings,
        });
    }
    Ok(Admitted { inner: files })
}

/// Re-hashes a piece, so that what answers is what was measured.
///
/// # Errors
/// [`Refusal::Altered`], [`Refusal::Unreadable`].
pub fn intact(piece: &Piece) -> Result<(), Refusal> {
    let found = hash(&piece.folder)?;
    if found == piece.digest {
        return Ok(());
    }
    Err(Refusal::Altered {
        what: piece.what,
        folder: piece.folder.clone(),
        found,
    })
}

fn hash(folder: &Path) -> Result<String, WorkshopError> {
    Ok(objects::manifest_of(folder)?.digest().to_string())
}
