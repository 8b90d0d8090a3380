//! What the catalogue holds, as pages and commands show it: datasets, models,
//! deployments. Digests are SHA-256 in lower-case hex.
//!
//! No storage here; see `store::catalogue`.

use std::path::PathBuf;

use lathe_evidence::Digest;
use lathe_evidence::statement::{BreakerState, Cause, Link, Withdrawal};
use lathe_gate::Policy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::WorkshopError;
use crate::order::{OrderId, Title};
use crate::trace::Said;

/// A registered dataset version.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetView {
    /// The artifact's digest; its id.
    pub digest: String,
    /// Its name.
    pub name: String,
    /// RFC 6962 root over the leaves.
    pub root: String,
    /// Where it came from.
    pub source: String,
    /// Licence, as the pack or the person states it.
    pub licence: String,
    /// Who owns it.
    pub owner: String,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Registered at, milliseconds since 1970.
    pub created_ms: i64,
    /// dataset.json as written by `data`: counts, statistics, broken rows, duplicates.
    pub card: Value,
    /// How many of its records were withdrawn since, all of them where it was as a whole; absent where the ledger was
    /// not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<u64>,
    /// What took them back, the newest first, at most 50; told of a single version alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub withdrawals: Vec<Said<Withdrawal>>,
}

/// A registered model: a base model or a tuned adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelView {
    /// The artifact's digest; its id.
    pub digest: String,
    /// "base" or "tuned".
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Where it came from: a source, or the order that made it.
    pub source: String,
    /// Licence of the base model.
    pub licence: String,
    /// Owner of the base model.
    pub owner: String,
    /// Bytes on disk.
    pub bytes: u64,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Registered at, milliseconds since 1970.
    pub created_ms: i64,
}

/// A deployment: a name under /v1 and what answers there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentView {
    /// The name: the `model` field of requests.
    pub name: String,
    /// The order it came from.
    pub order: OrderId,
    /// The pack's title.
    pub title: Title,
    /// Digest of the base model's artifact.
    pub base: String,
    /// Digest of the adapter's artifact.
    pub adapter: Option<String>,
    /// Digest of the report's artifact it was admitted on.
    pub report: String,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Deployed at, milliseconds since 1970.
    pub created_ms: i64,
    /// The system message the model was tuned with, for the try page.
    pub system: Option<String>,
    /// A few held-out prompts (rendered user messages), for the try page.
    pub examples: Vec<String>,
    /// The JSON Schema of its answers, for the try page.
    pub schema: Option<Value>,
    /// Its statement in the ledger.
    #[serde(default)]
    pub link: Option<Link>,
    /// How its breaker stands.
    #[serde(default)]
    pub breaker: BreakerState,
    /// Why the breaker is not closed; empty when it is.
    #[serde(default)]
    pub breaker_reason: String,
    /// What moved it there; none where it never moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker_cause: Option<Cause>,
}

/// What the try page shows of a deployment's task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeployedTask {
    /// The pack's title.
    pub title: Title,
    /// The system message the model was tuned with.
    pub system: Option<String>,
    /// A few held-out prompts.
    pub examples: Vec<String>,
    /// The JSON Schema of its answers.
    pub schema: Value,
}

/// A deployment as stored: with all that admission needs to be recomputed.
#[derive(Debug, Clone, PartialEq)]
pub struct DeploymentRow {
    /// The name under /v1.
    pub name: String,
    /// Digest of the deploy step's inputs.
    pub input: String,
    /// The order it came from.
    pub order: OrderId,
    /// Digest of the base model's artifact.
    pub base: String,
    /// Digest of the adapter's artifact.
    pub adapter: Option<String>,
    /// Digest of the report's artifact.
    pub report: String,
    /// The thresholds it has to pass.
    pub policy: Policy,
    /// What the try page shows.
    pub task: DeployedTask,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Deployed at, milliseconds since 1970.
    pub created_ms: i64,
    /// The statement of the deployment; absent in rows from before there was a ledger.
    pub link: Option<Link>,
}

impl DeploymentRow {
    /// The digest of the model: the adapter's manifest, or the base model's.
    ///
    /// # Errors
    /// `store-unreadable` when the row was changed by hand.
    pub fn model(&self) -> Result<Digest, WorkshopError> {
        crate::steps::digest(self.adapter.as_ref().unwrap_or(&self.base))
    }
}

impl From<DeploymentRow> for DeploymentView {
    fn from(row: DeploymentRow) -> Self {
        DeploymentView {
            name: row.name,
            order: row.order,
            title: row.task.title,
            base: row.base,
            adapter: row.adapter,
            report: row.report,
            demonstration: row.demonstration,
            created_ms: row.created_ms,
            system: row.task.system,
            examples: row.task.examples,
            schema: Some(row.task.schema),
            link: row.link,
            breaker: BreakerState::Closed,
            breaker_reason: String::new(),
            breaker_cause: None,
        }
    }
}

/// Data to be registered by hand, without an order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetRequest {
    /// The dataset's name.
    pub name: String,
    /// The file: csv, tsv, jsonl, json, xlsx or parquet; absolute.
    pub file: PathBuf,
    /// The licence, as an SPDX identifier where there is one.
    pub licence: String,
    /// Who owns it.
    pub owner: String,
    /// The column whose equal values stay on one side of the split.
    #[serde(default)]
    pub group: Option<String>,
    /// The column by which duplicates are found.
    #[serde(default)]
    pub dedupe: Option<String>,
    /// The project it belongs to; the common one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}
