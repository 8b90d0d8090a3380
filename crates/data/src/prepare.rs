//! From records as read to records ready for tuning: check → dedupe → derive → split → sample →
//! seal, one file for each. Sealing also scans, see [`scan`].
//!
//! The same file, specification and seeds give the same records, salts, leaves and root. Whatever
//! is left out is listed or counted with its reason. Splits never tear a group apart.

mod check;
mod dedupe;
mod derive;
mod overlap;
mod seal;
mod split;
mod statistics;

use std::collections::{BTreeSet, HashSet};

use lathe_evidence::leaf::Salt;
use lathe_evidence::statement::Scan;
use lathe_evidence::{Digest, merkle};
use serde::{Deserialize, Serialize};

pub use overlap::letters;
pub use seal::{content_of, leaf_of};
pub use statistics::{FieldStatistics, Statistics};

use crate::reader::{Broken, Read, Record};
use crate::{DataError, DataSpec, nearest, scan};

/// What preparing needs beside the records.
#[derive(Debug, Clone, Default)]
pub struct PrepareOptions {
    /// The most records to keep over both splits, whole groups at a time; all if absent.
    pub records_max: Option<usize>,
    /// The seed that the salts are worked out from; secret where the data is.
    pub salt_seed: [u8; 32],
    /// Records to leave out because they were withdrawn: by the leaf they had, or by the digest of
    /// their content, which stays the same when terms or scan change the leaf.
    pub withdrawn: BTreeSet<Digest>,
}

/// Which side of the split a record is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Tuned on.
    Train,
    /// Held out.
    Test,
}

/// A record with the leaf that the dataset's root commits to.
#[derive(Debug, Clone, PartialEq)]
pub struct Sealed {
    /// The leaf's hash: the record's identity in evidence.
    pub leaf: Digest,
    /// The salt the leaf was hashed with.
    pub salt: Salt,
    /// What the scan found in it, as its leaf says.
    pub risk: Vec<String>,
    /// The record.
    pub record: Record,
}

/// A record left out because an earlier one says the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Duplicate {
    /// Its id.
    pub id: String,
    /// Its line.
    pub line: u64,
    /// The id of the record that stayed.
    pub same_as: String,
}

/// A prepared dataset.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// The records to tune on, in the file's order.
    pub train: Vec<Sealed>,
    /// The records held out, in the file's order.
    pub test: Vec<Sealed>,
    /// Records left out because an earlier one says the same.
    pub duplicates: Vec<Duplicate>,
    /// Rows kept out, by the reader and by the checks, by line; the first
    /// [`BROKEN_ROWS_KEPT_MAX`](crate::bounds::BROKEN_ROWS_KEPT_MAX) of each.
    pub broken: Vec<Broken>,
    /// The Merkle root over the leaves of train, then test.
    pub root: Digest,
    /// Counts.
    pub statistics: Statistics,
    /// What was looked for in the records kept, and found.
    pub scan: Scan,
}

/// Checks, dedupes, derives, splits, samples and seals what was read.
///
/// # Errors
/// A specification that names absent fields or gives nothing to tune or test on.
pub fn prepare(
    mut read: Read,
    spec: &DataSpec,
    options: &PrepareOptions,
) -> Result<Prepared, DataError> {
    let rows = read.records.len() as u64 + read.broken_rows;
    check::check(&mut read, &spec.check)?;
    let duplicates = match &spec.dedupe {
        Some(dedupe) => dedupe::dedupe(&mut read, dedupe)?,
        None => Vec::new(),
    };
    derive::derive(&mut read, &spec.derive)?;
    split::group(&mut read, &spec.split)?;
    seal::refuse_unsealable(&mut read);
    if read.records.is_empty() {
        return Err(nothing_left(&read));
    }
    let (train, test) = split::split(std::mem::take(&mut read.records), &spec.split)?;
    let whole = (train.len() + test.len()) as u64;
    let (train, test) = split::sample(train, test, options.records_max, &spec.split)?;
    let left_out = whole - (train.len() + test.len()) as u64;
    let repeated = repeats(&duplicates, train.iter().chain(&test));
    let (train, test, withdrawn) = seal_all(train, test, spec, options)?;
    read.broken.sort_by_key(|broken| broken.line);
    let scan = Scan {
        duplicates: repeated,
        overlap: overlap::count(&train, &test, spec),
        ..scan_of(&train, &test)
    };
    Ok(Prepared {
        root: root(&train, &test),
        statistics: Statistics {
            rows,
            broken: read.broken_rows,
            duplicates: duplicates.len() as u64,
            left_out,
            withdrawn,
            ..Statistics::of(&train, &test)
        },
        duplicates,
        broken: read.broken,
        train,
        test,
        scan,
    })
}

/// How many of the duplicates repeat one of these records: of a sample, those of what was left out are not its own.
fn repeats<'r>(duplicates: &[Duplicate], records: impl Iterator<Item = &'r Record>) -> u64 {
    let ids: HashSet<&str> = records.map(|record| record.id.as_str()).collect();
    let own = |duplicate: &&Duplicate| ids.contains(duplicate.same_as.as_str());
    duplicates.iter().filter(own).count() as u64
}

/// Seals both sides and leaves out what was withdrawn; the rest stays on its side of the split.
fn seal_all(
    train: Vec<Record>,
    test: Vec<Record>,
    spec: &DataSpec,
    options: &PrepareOptions,
) -> Result<(Vec<Sealed>, Vec<Sealed>, u64), DataError> {
    let seal = |records| seal::seal(records, spec, options);
    let (train, withdrawn_train) = seal(train)?;
    let (test, withdrawn_test) = seal(test)?;
    if train.is_empty() || test.is_empty() {
        return Err(DataError::Spec {
            key: "data".to_owned(),
            reason: "so many records were withdrawn that none is left to tune or test on"
                .to_owned(),
        });
    }
    Ok((train, test, withdrawn_train + withdrawn_test))
}

/// The counts of what the scan found; duplicates and overlap are for the caller to add.
pub(crate) fn scan_of(train: &[Sealed], test: &[Sealed]) -> Scan {
    scan::summary(
        train
            .iter()
            .chain(test)
            .map(|sealed| sealed.risk.as_slice()),
    )
}

/// The Merkle root over the leaves of `train`, then of `test`.
pub(crate) fn root(train: &[Sealed], test: &[Sealed]) -> Digest {
    let leaves: Vec<_> = train.iter().chain(test).map(|sealed| sealed.leaf).collect();
    merkle::root(&leaves)
}

fn nothing_left(read: &Read) -> DataError {
    let why = match read.broken.first() {
        Some(Broken { line, reason }) => format!(
            "all {} rows are broken, the first on line {line}: {reason}",
            read.broken_rows
        ),
        None => "the file has no rows".to_owned(),
    };
    DataError::Spec {
        key: "data".to_owned(),
        reason: format!("no record is left: {why}"),
    }
}

/// Refuses a field that no record has.
fn check_field(read: &Read, key: &str, field: &str) -> Result<(), DataError> {
    if read.records.is_empty() || read.records.iter().any(|r| r.fields.contains_key(field)) {
        return Ok(());
    }
    let known = read
        .records
        .iter()
        .take(100)
        .flat_map(|record| record.fields.keys());
    let mut known: Vec<_> = known.map(String::as_str).collect();
    known.sort_unstable();
    known.dedup();
    Err(DataError::Spec {
        key: format!("data.{key}"),
        reason: format!(
            "no record has a field `{field}`{}",
            nearest::hint(field, known)
        ),
    })
}

/// Keeps the records for which `keep` gives none, and reports the others with the reason it gives.
fn keep_or_report(read: &mut Read, mut keep: impl FnMut(&mut Record) -> Result<(), String>) {
    let mut kept = Vec::with_capacity(read.records.len());
    for mut record in std::mem::take(&mut read.records) {
        match keep(&mut record) {
            Ok(()) => kept.push(record),
            Err(reason) => read.report(record.line, reason),
        }
    }
    read.records = kept;
}

#[cfg(test)]
mod tests;
