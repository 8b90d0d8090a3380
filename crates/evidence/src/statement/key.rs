//! `key`: a key comes, goes, or was lost. Signed by a key that has the role of root at that moment.
//!
//! Subject: the digest of the key's 32 public bytes, which is also its id.

use serde::{Deserialize, Serialize};

use super::Role;
use crate::Digest;

/// What happened to a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// The key.
    pub key: KeyRecord,
    /// What happened.
    pub action: KeyAction,
    /// Why, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// A public key and what it may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// Its id: the SHA-256 of its 32 public bytes.
    pub id: Digest,
    /// Its 32 public bytes, base64.
    pub public: String,
    /// Whose it is, for people.
    pub name: String,
    /// What it may sign; sorted, none twice.
    pub roles: Vec<Role>,
}

/// What can happen to a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum KeyAction {
    /// It signs from here on.
    Added,
    /// It signs no more; what it signed before stands.
    Retired,
    /// It was stolen: nothing that it signed stands, wherever it lies in the ledger.
    Compromised,
}
