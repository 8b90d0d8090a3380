//! `restored` and `imported`: evidence that came from a backup or from another workshop.

use serde::{Deserialize, Serialize};

use super::Link;
use crate::Digest;

/// The home was restored from a backup. Subject: the root of the checkpoint restored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Restored {
    /// The size of the ledger in the backup.
    pub size: u64,
    /// Its root.
    pub root: Digest,
    /// Why, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// A statement came in a bundle and was verified again. Subject: that statement's subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Imported {
    /// The origin of the ledger it came from.
    pub origin: String,
    /// The id of that workshop's root key.
    pub root_key: Digest,
    /// The checkpoint it was verified against: the size of that ledger.
    pub size: u64,
    /// And its root.
    pub root: Digest,
    /// The deployment taken over: its statement there.
    pub deployment: Link,
    /// The digest of the artifact that keeps that ledger and its checkpoint as they came.
    pub evidence: Digest,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}
