//! `bundle export`: a deployment with all it rests on, as a folder that goes to another workshop or to
//! an auditor. Its layout is `lathe_verify::bundle`'s. Not here yet: taking one in.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_register::chain;
use serde_json::{Value, json};

use crate::admission::HomePieces;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;
use crate::steps::register::deployment_of;
use crate::workshop::Workshop;

/// Writes the bundle of what is deployed as `name`. What does not hold is not handed on.
pub(super) async fn export(
    shop: &Workshop,
    name: &str,
    folder: PathBuf,
) -> Result<Value, WorkshopError> {
    // Held to the end: envelopes and checkpoint are of one size.
    let history = shop.store().ledger()?.read().await;
    let envelopes = shop.store().envelopes().await?;
    let note = shop.store().checkpoint().await?.unwrap_or_default();
    let (link, _) = deployment_of(&history, name).ok_or_else(|| {
        WorkshopError::new(
            "deployment-unknown",
            format!("nothing is deployed under the name {name}"),
            "list the deployments with GET /api/deployments or on the page",
        )
    })?;
    let (home, name) = (shop.home().clone(), name.to_owned());
    tokio::task::spawn_blocking(move || {
        let whole = chain::verify(&history, &link, &HomePieces { home: &home }, now_ms());
        let whole = whole.map_err(|denials| {
            let texts: Vec<String> = denials.iter().map(ToString::to_string).collect();
            WorkshopError::new(
                "bundle-broken",
                format!("{name} is not handed on: {}", texts.join("; ")),
                "run the order again, then export it",
            )
        })?;
        let mut artifacts = vec![whole.base_model, whole.report_artifact];
        artifacts.extend(whole.adapter);
        artifacts.extend(&whole.dataset_artifacts);
        let card = json!({ "version": 1, "name": name, "deployment": link });
        write(&home, &folder, &card, &envelopes, &note, &artifacts)?;
        Ok(json!({ "name": name, "deployment": link, "artifacts": artifacts }))
    })
    .await
    .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))?
}

fn write(
    home: &Home,
    folder: &Path,
    card: &Value,
    envelopes: &[Vec<u8>],
    note: &str,
    artifacts: &[Digest],
) -> Result<(), WorkshopError> {
    fs::create_dir(folder).map_err(|error| io_error("create the folder", folder, &error))?;
    let put = |path: PathBuf, bytes: &[u8]| {
        fs::write(&path, bytes).map_err(|error| io_error("write", &path, &error))
    };
    let mut lines = String::new();
    for artifact in artifacts {
        let from = objects::path(home, &artifact.to_string());
        let manifest = objects::manifest_of(&from)?;
        let line = json!({ "digest": artifact, "manifest": manifest });
        lines.push_str(&format!("{line}\n"));
        for file in manifest.files() {
            let objects = folder.join("objects").join(artifact.to_string());
            let to = objects.join(&file.path);
            let above = to.parent().unwrap_or(folder);
            fs::create_dir_all(above)
                .map_err(|error| io_error("create the folder", above, &error))?;
            fs::copy(from.join(&file.path), &to)
                .map_err(|error| io_error("copy to", &to, &error))?;
        }
    }
    put(folder.join("artifacts.jsonl"), lines.as_bytes())?;
    let mut ledger = envelopes.join(&b'\n');
    ledger.push(b'\n');
    put(folder.join("ledger.jsonl"), &ledger)?;
    put(folder.join("checkpoint"), note.as_bytes())?;
    put(folder.join("bundle.json"), format!("{card}\n").as_bytes())
}
