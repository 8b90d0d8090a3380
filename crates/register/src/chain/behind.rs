//! The data behind a model that nobody deployed yet: whether any of it was withdrawn.
//!
//! Records are found by their leaves, which lie in files. They are read first and once, so that whoever writes
//! the ledger asks its history alone.

use std::collections::HashMap;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Link};
use lathe_ledger::History;

use super::denial::Denial;
use super::walk::Said;
use super::{Pieces, files, standing, walk};

/// The leaves of the datasets behind an evaluation, with their lines.
#[derive(Debug, Clone)]
pub struct Leaves(Vec<HashMap<Digest, u64>>);

/// Data behind a model that was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenBack {
    /// The digest of the dataset's manifest.
    pub dataset: Digest,
    /// The statement that took it back, or a record of it, or its agreement.
    pub withdrawal: Link,
    /// The same as a chain that rests on it is denied.
    pub denial: Denial,
}

/// The datasets behind an evaluation, apart from the history that names them: nobody who writes waits while their
/// records are read.
#[derive(Debug, Clone)]
pub struct DataBehind(Vec<Owned>);

/// A statement of a dataset in its place.
#[derive(Debug, Clone)]
struct Owned {
    link: Link,
    index: u64,
    signer: Digest,
    subject: Digest,
    what: Dataset,
}

impl Owned {
    fn said(&self) -> Said<'_, Dataset> {
        Said {
            link: self.link,
            index: self.index,
            signer: self.signer,
            subject: self.subject,
            what: &self.what,
        }
    }
}

impl DataBehind {
    /// The leaves of all of them.
    ///
    /// # Errors
    /// What of them cannot be read, or is not what its statement says.
    pub fn leaves(&self, pieces: &dyn Pieces) -> Result<Leaves, Vec<Denial>> {
        let datasets: Vec<Said<'_, Dataset>> = self.0.iter().map(Owned::said).collect();
        let mut denials = Vec::new();
        let leaves = files::leaves(&datasets, pieces, &mut denials);
        match denials.is_empty() {
            true => Ok(Leaves(leaves)),
            false => Err(denials),
        }
    }
}

/// The datasets behind an evaluation; none where no record was ever withdrawn, and nothing is to be read.
///
/// # Errors
/// The first statement on the way that is missing or speaks of something else.
pub fn data_behind(history: &History, evaluation: &Link) -> Result<Option<DataBehind>, Denial> {
    if !standing::records_withdrawn(history) {
        return Ok(None);
    }
    let datasets = walk::datasets_behind(history, evaluation)?.into_iter();
    let owned = datasets.map(|it| Owned {
        link: it.link,
        index: it.index,
        signer: it.signer,
        subject: it.subject,
        what: it.what.clone(),
    });
    Ok(Some(DataBehind(owned.collect())))
}

/// The leaves behind an evaluation; none where no record was ever withdrawn, and nothing is read.
///
/// # Errors
/// What of its statements is missing or out of place, or cannot be read.
pub fn leaves_behind(
    history: &History,
    evaluation: &Link,
    pieces: &dyn Pieces,
) -> Result<Option<Leaves>, Vec<Denial>> {
    match data_behind(history, evaluation).map_err(|denial| vec![denial])? {
        None => Ok(None),
        Some(data) => data.leaves(pieces).map(Some),
    }
}

/// What was withdrawn of the data behind an evaluation. Without its leaves only what was taken back as a whole
/// is found.
///
/// # Errors
/// The first statement on the way that is missing or speaks of something else.
pub fn withdrawn_behind(
    history: &History,
    evaluation: &Link,
    leaves: Option<&Leaves>,
) -> Result<Vec<TakenBack>, Denial> {
    let datasets = walk::datasets_behind(history, evaluation)?;
    let leaves = leaves.map_or(&[][..], |it| &it.0[..]);
    Ok(standing::taken(history, &datasets, leaves))
}
