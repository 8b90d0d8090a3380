//! From records as read to records ready for tuning: check, dedupe, derive, split, seal.

use lathe_evidence::Digest;
use lathe_evidence::leaf::{Leaf, Salt};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::reader::{Broken, Read, Record};
use crate::{DataError, DataSpec};

/// What preparing needs beside the records.
#[derive(Debug, Clone)]
pub struct PrepareOptions {
    /// The most records to keep over both splits, whole groups at a time; all if absent.
    pub records_max: Option<usize>,
    /// The seed that the salts are worked out from; secret where the data is.
    pub salt_seed: [u8; 32],
}

/// Which side of the split a record is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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

/// Counts over a prepared dataset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statistics {
    /// Rows of the file, broken ones included.
    pub rows: u64,
    /// Records kept.
    pub records: u64,
    /// Records to tune on.
    pub train: u64,
    /// Records held out.
    pub test: u64,
    /// Groups on both sides.
    pub groups: u64,
    /// Rows kept out as broken.
    pub broken: u64,
    /// Records left out as duplicates.
    pub duplicates: u64,
    /// Records left out because only some were asked for.
    pub left_out: u64,
    /// By field, in the records' order: see [`FieldStatistics`].
    pub fields: Map<String, Value>,
}

/// Counts over one field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum FieldStatistics {
    /// A number field.
    Number {
        /// The smallest.
        min: f64,
        /// The arithmetic mean.
        mean: f64,
        /// The largest.
        max: f64,
        /// Counts in bins of equal width from min to max.
        histogram: Vec<u64>,
    },
    /// A field with few different values.
    Category {
        /// Counts by value, the most frequent first.
        counts: Vec<(String, u64)>,
    },
    /// A text field.
    Text {
        /// Lengths in characters: smallest, mean, largest.
        characters: (u64, f64, u64),
        /// Lengths in words between white space: smallest, mean, largest.
        words: (u64, f64, u64),
    },
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
    /// Rows kept out, by the reader and by the checks, by line.
    pub broken: Vec<Broken>,
    /// The Merkle root over the leaves of train, then test.
    pub root: Digest,
    /// Counts.
    pub statistics: Statistics,
}

/// Checks, dedupes, derives, splits, samples and seals what was read.
///
/// # Errors
/// A specification that names absent fields or gives nothing to tune or test on.
pub fn prepare(
    _read: Read,
    _spec: &DataSpec,
    _options: &PrepareOptions,
) -> Result<Prepared, DataError> {
    todo!()
}

/// The leaf of `record` under the terms of `spec`.
pub fn leaf_of(_record: &Record, _spec: &DataSpec) -> Leaf {
    todo!()
}
