//! `training`: a model was tuned. Subject: the digest of the adapter's manifest.

use serde::{Deserialize, Serialize};

use super::Link;
use crate::Digest;

/// How a model was tuned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Training {
    /// The order that tuned it.
    pub order: String,
    /// The stage: `sft`, `pt` (continued pretraining), `dpo` or `kto` (preference).
    pub stage: String,
    /// The base model's statement.
    pub base: Link,
    /// The digest of the base model's manifest.
    pub base_model: Digest,
    /// What it was tuned on; never empty.
    pub datasets: Vec<DatasetUse>,
    /// The stage whose adapter it goes on from; absent where it starts afresh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousStage>,
    /// The digest of the stage's configuration, canonical JSON with decimals as text.
    pub config: Digest,
    /// The seed of the adapter and the order of records.
    pub seed: u64,
    /// The root over the leaves of every step, in order.
    pub batch_order_root: Digest,
    /// Optimizer steps.
    pub steps: u64,
    /// The digest of the weights' file.
    pub weights: Digest,
    /// The engine's version.
    pub engine: String,
    /// The instructions it computed with: with the engine's version, all that the bits depend on.
    pub machine: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// A stage that another one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct PreviousStage {
    /// Its statement.
    pub statement: Link,
    /// The digest of its adapter's manifest.
    pub model: Digest,
}

/// A dataset version that a model was tuned on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct DatasetUse {
    /// Its statement.
    pub statement: Link,
    /// The digest of its manifest.
    pub dataset: Digest,
    /// The root over its leaves.
    pub root: Digest,
}
