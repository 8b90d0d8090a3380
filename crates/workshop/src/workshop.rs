//! The workshop itself: what the daemon, the pages and the commands call.
//! Digests are SHA-256 in lower-case hex.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::door::Door;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::order::{CurvePoint, LogLine, OrderId, OrderRequest, OrderSummary, OrderView, Title};

/// How a workshop is opened.
#[derive(Clone)]
pub struct WorkshopOptions {
    /// Where this process listens; the orders' URLs and the ask step use it.
    pub listen: SocketAddr,
    /// The key the ask step presents, when the listener wants one.
    pub key: Option<String>,
    /// The program started as `PROGRAM worker` for each step.
    pub worker: PathBuf,
}

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
}

/// One open workshop. Clones share it.
#[derive(Clone)]
pub struct Workshop {
    _inner: Arc<()>,
}

impl Workshop {
    /// Opens the store of this home (the caller holds its lock), sweeps what a dead process left,
    /// re-admits the deployments and opens the door for them. Runs no order before [`Workshop::start`].
    pub async fn open(
        _home: Home,
        _door: Arc<dyn Door>,
        _options: WorkshopOptions,
    ) -> Result<Workshop, WorkshopError> {
        todo!()
    }

    /// Begins to work through the queue.
    pub fn start(&self) {
        todo!()
    }

    /// Places an order; an unfinished one of the same pack and inputs is returned instead.
    pub async fn submit(&self, _request: OrderRequest) -> Result<OrderId, WorkshopError> {
        todo!()
    }

    /// Orders, newest first.
    pub async fn orders(
        &self,
        _limit: u32,
        _offset: u32,
    ) -> Result<Vec<OrderSummary>, WorkshopError> {
        todo!()
    }

    /// One order with its steps.
    pub async fn order(&self, _id: &OrderId) -> Result<Option<OrderView>, WorkshopError> {
        todo!()
    }

    /// The loss curve after `after_step` (0 for all).
    pub async fn curve(
        &self,
        _id: &OrderId,
        _after_step: u64,
    ) -> Result<Vec<CurvePoint>, WorkshopError> {
        todo!()
    }

    /// The order's log after line `after_seq` (0 for all), at most `limit` lines.
    pub async fn log(
        &self,
        _id: &OrderId,
        _after_seq: u64,
        _limit: u32,
    ) -> Result<Vec<LogLine>, WorkshopError> {
        todo!()
    }

    /// Datasets, newest first.
    pub async fn datasets(
        &self,
        _limit: u32,
        _offset: u32,
    ) -> Result<Vec<DatasetView>, WorkshopError> {
        todo!()
    }

    /// One dataset by its digest.
    pub async fn dataset(&self, _digest: &str) -> Result<Option<DatasetView>, WorkshopError> {
        todo!()
    }

    /// Models, newest first.
    pub async fn models(&self, _limit: u32, _offset: u32) -> Result<Vec<ModelView>, WorkshopError> {
        todo!()
    }

    /// The deployments that answer now.
    pub async fn deployments(&self) -> Result<Vec<DeploymentView>, WorkshopError> {
        todo!()
    }

    /// A counter that rises with every visible change: wait on it, then read again.
    pub fn changes(&self) -> watch::Receiver<u64> {
        todo!()
    }
}
