//! `dataset`: a dataset version. Subject: the digest of the artifact's manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A dataset version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Its name.
    pub name: String,
    /// The Merkle root over the leaves of its records, train before test.
    pub root: Digest,
    /// Records to tune on.
    pub train: u64,
    /// Records held out.
    pub test: u64,
    /// Where it came from, as the pack wrote it; withheld where that is a path of one machine.
    pub source: String,
    /// The digest of the file that was read.
    pub file: Digest,
    /// Its licence, an SPDX expression where there is one.
    pub licence: String,
    /// Whose it is.
    pub owner: String,
    /// The agreement it is used under, if one was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// The version that this one follows, by the digest of its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// What was looked for in it, and found.
    pub scan: Scan,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What a scan of all records found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Scan {
    /// The version of the rules; 0 when nothing was scanned.
    pub version: u64,
    /// Records in which a kind of personal data was found, by kind (`phone`, `id-card`, …).
    pub personal: BTreeMap<String, u64>,
    /// Records in which any kind of personal data was found.
    pub personal_records: u64,
    /// Records in which harmful words were found.
    pub harmful: u64,
    /// Rows left out because an earlier one says the same.
    pub duplicates: u64,
    /// Held-out records whose text stands in the training records too.
    pub overlap: u64,
}
