//! Bundles: an order with its chain, model, terms and pack, carried to another workshop.
//!
//! A bundle is a folder: `bundle.json`, the whole ledger as `ledger.jsonl` (one envelope a line,
//! verbatim) with its `checkpoint`, `artifacts.jsonl` and `objects/DIGEST/`, all of which strangers
//! read with `lathe-verify`, and `order.json` for the workshop that takes it over. For other tools
//! there are `model.pub` with `signatures/DIGEST.sig` (OpenSSF model signing) and `ml-bom.json`
//! (CycloneDX). Its data goes along,
//! since the model is measured again where it arrives. Nothing of it is believed: the ledger
//! is held against a key that the receiver names, the chain is walked with every file hashed, and
//! only then do the artifacts become the receiver's. What arrives is an order whose model, data and
//! tuning are taken over and whose evaluation, gate, registration and approval happen anew, with the
//! receiver's keys; the foreign ledger is kept as an artifact beside it.
//!
//! Not here: the order's further way (the queue), and moving a whole home, which is a copy.

mod archive;
mod bring;
mod card;
mod export;
mod model;
mod unpack;
mod views;

use std::path::PathBuf;

use lathe_evidence::Digest;
use lathe_evidence::statement::Link;
use serde::{Deserialize, Serialize};

use crate::order::OrderId;

pub use model::ExportedModel;

/// What is exported, and where to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// The deployment's name.
    pub name: String,
    /// The folder to write; it must not be there yet.
    pub folder: PathBuf,
}

/// What was exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exported {
    /// The folder.
    pub folder: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// The artifacts that go along.
    pub artifacts: Vec<Digest>,
    /// The statement of the deployment that goes along.
    pub deployment: Link,
    /// The id of the key that the receiver should pin, told by another way than the bundle.
    pub root_key: Digest,
}

/// Which bundle is brought in, and whom the receiver trusts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportRequest {
    /// The folder.
    pub from: PathBuf,
    /// Ids of root keys, one of which must stand behind the bundle's ledger; never empty.
    pub keys: Vec<Digest>,
    /// Take the name over even if another model answers under it here.
    #[serde(default)]
    pub replace: bool,
}

/// What was brought in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// The order placed here.
    pub order: OrderId,
    /// The name its model will answer under once it has passed here.
    pub name: String,
    /// The origin of the ledger it came from.
    pub origin: String,
    /// The statement, here, that it was brought in.
    pub imported: Link,
}
