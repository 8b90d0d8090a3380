//! Holding a workshop's evidence against itself, and against what its reader kept outside.
//!
//! Reading ([`store`], [`objects`]) is apart from judging ([`check`]): what is judged are bytes,
//! and judging has no clock. Nothing is written but a copy of the store in a temporary folder.

pub mod bundle;
mod chains;
pub mod check;
pub mod dossiers;
mod error;
mod findings;
pub mod objects;
pub mod store;
mod trust;
mod witnesses;

use std::path::PathBuf;

pub use error::VerifyError;
pub use findings::{Finding, Findings};

/// What is to be verified, against what.
#[derive(Debug, Clone)]
pub struct Request {
    /// The home, or a bundle.
    pub place: PathBuf,
    /// Public keys: files or ids.
    pub keys: Vec<String>,
    /// A file with an older checkpoint.
    pub checkpoint: Option<PathBuf>,
    /// Witnesses' keys, or files with them.
    pub witnesses: Vec<String>,
    /// Files with dossiers that are to come out the same.
    pub dossiers: Vec<PathBuf>,
    /// The moment to judge what expires at, milliseconds since 1970.
    pub at_ms: i64,
}

/// Reads everything and judges it.
///
/// # Errors
/// It could not be read; what does not hold is no error but a finding.
pub fn run(request: &Request) -> Result<Findings, VerifyError> {
    let trust = trust::read(request)?;
    let witnesses = trust::witnesses(request)?;
    let given = request.dossiers.iter().map(|it| dossiers::Given::read(it));
    let given = given.collect::<Result<Vec<_>, _>>()?;
    let material = if request.place.join(bundle::CARD).exists() {
        bundle::read(&request.place)?
    } else {
        store::read(&request.place)?
    };
    let objects = objects::Objects::new(&request.place, &material);
    let (mut findings, history) = check::judge(&material, &objects, &trust, request.at_ms);
    if let Some(history) = history {
        let kept = trust::kept(request)?;
        let notes = [kept.as_deref(), Some(&material.note)];
        witnesses::check(&witnesses, &notes, &history, &mut findings);
        dossiers::check(&given, &history, &objects, &mut findings);
    }
    Ok(findings)
}
