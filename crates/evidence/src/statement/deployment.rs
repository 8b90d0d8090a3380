//! `deployment`: a registered model answers from now on. Subjects: the model, then its base.

use serde::{Deserialize, Serialize};

use super::Link;
use crate::Digest;

/// A registered model answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Deployment {
    /// The name it answers under.
    pub name: String,
    /// The registration step it rests on: registered, or changed.
    pub registration: Link,
    /// The verdict it rests on.
    pub verdict: Link,
    /// The digest of the base model's manifest.
    pub base_model: Digest,
    /// The digest of the adapter's manifest; absent where a base model answers as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<Digest>,
    /// The digest of the task it was measured on; the same as the evaluation's.
    pub task: Digest,
    /// Whether it is a demonstration, held to less.
    pub demonstration: bool,
    /// The deployment it takes the name from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Link>,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}
