//! A bundle: one deployment with all it rests on, as a folder that goes from one workshop to another.
//!
//! | path | holds |
//! |---|---|
//! | `bundle.json` | `{"version": 1, "name": …, "deployment": link}` |
//! | `ledger.jsonl` | the whole ledger, one envelope a line, verbatim (an envelope has no line end in it) |
//! | `checkpoint` | the newest checkpoint's note |
//! | `artifacts.jsonl` | `{"digest": …, "manifest": {"files": […]}}` of each artifact |
//! | `objects/DIGEST/` | the artifacts: base model, adapter, datasets, report |
//!
//! The ledger goes whole: its checkpoint is over all of it. Receipts and other models stay at home.

use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use crate::VerifyError;
use crate::store::{Material, StoredEntry};

/// What the folder is known by.
pub const CARD: &str = "bundle.json";

/// The layout that is read.
const VERSION: u64 = 1;

/// The most bytes of each file but the artifacts' own.
const FILE_BYTES_MAX: u64 = 4 << 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Card {
    version: u64,
    name: String,
    deployment: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Artifact {
    digest: String,
    manifest: Value,
}

/// Reads a bundle.
///
/// # Errors
/// A file is not there, is too long, or is not of its layout.
pub fn read(folder: &Path) -> Result<Material, VerifyError> {
    let card: Card = parse(&folder.join(CARD), &text(&folder.join(CARD))?)?;
    if card.version != VERSION {
        let why = format!("it has the layout {}, this reads {VERSION}", card.version);
        return Err(given(&folder.join(CARD), why));
    }
    let ledger = text(&folder.join("ledger.jsonl"))?;
    let entries = ledger.lines().zip(0..).map(|(line, seq)| StoredEntry {
        seq,
        link: lathe_evidence::merkle::leaf_hash(line.as_bytes()).to_string(),
        envelope: line.as_bytes().to_vec(),
    });
    let path = folder.join("artifacts.jsonl");
    let artifacts = text(&path)?;
    let artifacts = artifacts.lines().map(|line| {
        let artifact: Artifact = parse(&path, line)?;
        Ok((artifact.digest, artifact.manifest.to_string()))
    });
    Ok(Material {
        entries: entries.collect(),
        note: text(&folder.join("checkpoint"))?,
        artifacts: artifacts.collect::<Result<_, _>>()?,
        served: vec![(card.name, Some(card.deployment))],
        is_bundle: true,
        ..Material::default()
    })
}

fn text(path: &Path) -> Result<String, VerifyError> {
    let length = std::fs::metadata(path)
        .map_err(VerifyError::io(path))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(given(
            path,
            format!("it has more than {FILE_BYTES_MAX} bytes"),
        ));
    }
    std::fs::read_to_string(path).map_err(VerifyError::io(path))
}

fn parse<T: for<'de> Deserialize<'de>>(path: &Path, text: &str) -> Result<T, VerifyError> {
    serde_json::from_str(text).map_err(|error| given(path, error.to_string()))
}

fn given(path: &Path, why: String) -> VerifyError {
    VerifyError::Given {
        given: path.to_string_lossy().into_owned(),
        why,
    }
}
