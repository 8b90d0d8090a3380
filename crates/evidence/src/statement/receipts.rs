//! `receipts`: a batch of answers. Subject: the batch's root.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A batch of receipts, which are the leaves of a Merkle tree of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Receipts {
    /// The batch's number, from 1 and without gaps.
    pub batch: u64,
    /// How many receipts.
    pub count: u64,
    /// The RFC 6962 root over their hashes, in the order they closed.
    pub root: Digest,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}
