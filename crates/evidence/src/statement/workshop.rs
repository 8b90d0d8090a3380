//! `workshop`: the first statement of a ledger. It says which key the ledger starts from.
//!
//! Subject: the digest of the root key's 32 public bytes.

use serde::{Deserialize, Serialize};

use super::KeyRecord;

/// The first statement of a ledger; signed by the very key it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Workshop {
    /// The ledger's origin line: unique to this workshop.
    pub origin: String,
    /// The first key; it has the role of root.
    pub key: KeyRecord,
    /// Who has to approve a registration.
    pub approval: ApprovalPolicy,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// Who has to approve a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalPolicy {
    /// The workshop's own key; shown everywhere as self-approved.
    #[default]
    #[serde(rename = "self")]
    Itself,
    /// A key that signed none of the statements approved and does not lie in the home.
    TwoPerson,
}
