//! `base-model`: a model as it came in. Subject: the digest of the artifact's manifest.

use serde::{Deserialize, Serialize};

use crate::Digest;

/// A model as it came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct BaseModel {
    /// Its name.
    pub name: String,
    /// Where it came from, as the pack wrote it.
    pub source: String,
    /// The digest of the file that the source gave.
    pub file: Digest,
    /// Its licence, an SPDX expression where there is one.
    pub licence: String,
    /// Whose it is.
    pub owner: String,
    /// The sum of its files' sizes.
    pub bytes: u64,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}
