//! `verdict`: evidence was held against a policy. Subject: the model's digest.
//!
//! It is a record of what was decided, never a pass: whoever admits computes the verdict again from
//! the same report and the same policy, and refuses where the two differ.

use serde::{Deserialize, Serialize};

use super::Link;

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// The order it belongs to.
    pub order: String,
    /// The evaluation judged.
    pub evaluation: Link,
    /// The policy in full, canonical JSON with decimals as text.
    pub policy: String,
    /// Whether every rule held.
    pub passed: bool,
    /// How each rule fared, in the policy's order.
    pub outcomes: Vec<Outcome>,
    /// Milliseconds since 1970 after which it is stale, if the policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// When it was said, milliseconds since 1970: the moment the rules about time were held against.
    pub at_ms: i64,
}

/// How one rule fared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Outcome {
    /// The rule, in words.
    pub rule: String,
    /// Whether it held.
    pub passed: bool,
    /// The figure, as text; empty where there is none.
    pub figure: String,
}
