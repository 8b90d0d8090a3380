//! `evaluation`: a model was measured, in the very format that is deployed. Subject: the digest of
//! the report's manifest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Link;
use crate::Digest;

/// What was measured, on what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Evaluation {
    /// The order that measured it.
    pub order: String,
    /// The statement of the model's training; absent where a base model is measured as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training: Option<Link>,
    /// The base model's statement.
    pub base: Link,
    /// The digest of the model measured: the adapter's manifest, or the base model's.
    pub model: Digest,
    /// The statement of the dataset whose held-out records were asked.
    pub dataset: Link,
    /// The digest of report.json, the file.
    pub report: Digest,
    /// The format computed in: it is the one that is served.
    pub format: String,
    /// The digest of the task: prompt, answer and schema, canonical JSON with decimals as text.
    pub task: Digest,
    /// The challengers it was held against.
    pub challengers: Vec<String>,
    /// The model's figures as decimal texts with four places, for people; the report has them whole.
    pub figures: BTreeMap<String, String>,
    /// The engine's version.
    pub engine: String,
    /// The instructions it computed with.
    pub machine: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}
