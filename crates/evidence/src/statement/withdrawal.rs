//! `withdrawal`: data may no longer be used. Subject: the leaf, the dataset's digest, or the digest
//! of the agreement's name.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// Data may no longer be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Withdrawal {
    /// What is withdrawn.
    pub what: Withdrawn,
    /// Why, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What can be withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Withdrawn {
    /// One record, by its leaf's hash.
    Leaf(Digest),
    /// A dataset version, by the digest of its manifest.
    Dataset(Digest),
    /// All data under an agreement, by its name.
    Agreement(String),
}
