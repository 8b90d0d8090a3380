//! `checkpoint` and `ledger export`: what is kept outside, and what mirrors and witnesses read.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_ledger::tiles::export_tiles;
use lathe_ledger::{Envelope, Tree};
use serde_json::{Value, json};

use crate::error::WorkshopError;
use crate::home::io_error;
use crate::people::reach;
use crate::workshop::Workshop;

/// The newest signed checkpoint, to be kept outside the home.
pub(super) async fn checkpoint(shop: &Workshop) -> Result<Value, WorkshopError> {
    let head = {
        let history = shop.store().ledger()?.read().await;
        json!({
            "origin": history.origin(),
            "size": history.len(),
            "root": history.root(),
            "key": history.workshop().key.public,
        })
    };
    let note = shop.store().checkpoint().await?.unwrap_or_default();
    let mut value = head;
    value["note"] = note.into();
    Ok(value)
}

/// Writes the ledger as C2SP tlog tiles.
pub(super) async fn run(shop: &Workshop, folder: PathBuf) -> Result<Value, WorkshopError> {
    // A ledger that does not hold is not handed on.
    shop.store().ledger()?;
    let envelopes = shop.store().envelopes().await?;
    let note = shop.store().checkpoint().await?.unwrap_or_default();
    let size = envelopes.len() as u64;
    let written = reach::spawn_blocking(move || write(&folder, &envelopes, &note))
        .await
        .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))??;
    Ok(json!({ "entries": size, "files": written }))
}

fn write(folder: &Path, envelopes: &[Vec<u8>], note: &str) -> Result<usize, WorkshopError> {
    let failed = |error: String| {
        WorkshopError::new(
            "ledger-export",
            format!("cannot lay the ledger out as tiles: {error}"),
            "look at the ledger with `lathe verify`",
        )
    };
    let envelopes: Vec<Envelope> = envelopes
        .iter()
        .map(|bytes| Envelope::parse(bytes).map_err(|error| failed(error.to_string())))
        .collect::<Result<_, _>>()?;
    let tree: Tree = envelopes.iter().map(Envelope::leaf).collect();
    let files = export_tiles(&tree, &envelopes, note).map_err(|error| failed(error.to_string()))?;
    for (path, bytes) in &files {
        let path = folder.join(path);
        let above = path.parent().unwrap_or(folder);
        fs::create_dir_all(above).map_err(|error| io_error("create the folder", above, &error))?;
        fs::write(&path, bytes).map_err(|error| io_error("write", &path, &error))?;
    }
    Ok(files.len())
}
