//! `approval`: somebody decided about a model. Subject: the model's digest.

use serde::{Deserialize, Serialize};

use super::Link;

/// Somebody's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The registration's number.
    pub number: String,
    /// The verdict that was read.
    pub verdict: Link,
    /// What was decided.
    pub decision: Decision,
    /// Why, for people.
    pub reason: String,
    /// Milliseconds since 1970 after which it no longer holds; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may be used.
    Approved,
    /// It may not.
    Rejected,
}
