//! The files of a bundle beside its artifacts.
//!
//! `bundle.json`, `ledger.jsonl`, `checkpoint` and `artifacts.jsonl` are what `lathe-verify` reads;
//! `order.json` is what another workshop needs to take the order over; `order.dsse` is an envelope
//! over its digest, signed by the workshop that it leaves.

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;
use lathe_evidence::statement::Link;
use serde::{Deserialize, Serialize};

use crate::order::{Output, StepName, Title};
use crate::pack::stages::steps_of;

/// The layout that this version writes and reads.
pub(super) const VERSION: u32 = 1;

pub(super) const CARD: &str = "bundle.json";
pub(super) const LEDGER: &str = "ledger.jsonl";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const ARTIFACTS: &str = "artifacts.jsonl";
pub(super) const ORDER: &str = "order.json";
pub(super) const OBJECTS: &str = "objects";

pub(super) const SEAL: &str = "order.dsse";

/// The media type of what `order.dsse` holds: the SHA-256 of `order.json` in hexadecimal.
pub(super) const SEAL_TYPE: &str = "application/vnd.lathe.order-digest";

/// The steps of an order of this pack (JSON text) whose work is taken over, in the order they run; the
/// others happen anew.
pub(super) fn carried_steps(spec: &str) -> Vec<StepName> {
    use StepName::{Ask, Base, Challengers, Deploy, Evaluate};
    let anew = [Base, Challengers, Evaluate, Deploy, Ask];
    let mut steps = steps_of(spec);
    steps.retain(|step| !anew.contains(step));
    steps
}

/// `bundle.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    pub(super) version: u32,
    /// The name the model answers under.
    pub(super) name: String,
    /// The statement of the deployment, in the ledger that goes along.
    pub(super) deployment: Link,
}

/// `order.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Carried {
    pub(super) order: CardOrder,
    pub(super) steps: Vec<CardStep>,
    /// The public key of the signatures that go along, in PEM.
    pub(super) model_key: String,
}

/// The order as it was placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardOrder {
    pub(super) pack: String,
    pub(super) title: Title,
    pub(super) demonstration: bool,
    pub(super) pack_sha256: String,
    /// The effective pack as JSON text.
    pub(super) spec: String,
}

/// What a carried step left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardStep {
    pub(super) name: StepName,
    pub(super) output: Output,
    pub(super) artifact: Digest,
}

/// A line of `artifacts.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CardObject {
    pub(super) digest: Digest,
    pub(super) manifest: Manifest,
}
