//! Writing a bundle.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_evidence::statement::{Deployment, Link};
use lathe_ledger::history::History;
use lathe_register::chain::{self, Chain};
use lathe_register::ml_bom::ml_bom;

use super::card::{
    ARTIFACTS, CARD, CHECKPOINT, Card, CardObject, CardOrder, CardStep, Carried, LEDGER, OBJECTS,
    ORDER, SEAL, SEAL_TYPE, VERSION, carried_steps,
};
use super::{ExportRequest, Exported, views};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;
use crate::order::StepName;
use crate::people::reach;
use crate::pieces::Folders;
use crate::steps;
use crate::store::orders::{OrderRow, StepRow};
use crate::workshop::Workshop;

impl Workshop {
    /// Writes what is deployed under a name, its chain and its artifacts into a new folder. What does
    /// not hold is not handed on.
    ///
    /// # Errors
    /// `deployment-unknown`; `bundle-broken`, naming what does not hold; `bundle-exists`; the ledger's
    /// and the file system's.
    pub async fn export_bundle(&self, request: &ExportRequest) -> Result<Exported, WorkshopError> {
        let (order, rows) = self.deployed(&request.name).await?;
        let key = self.store().ledger()?.model_key().await;
        let carried = carried(&order, &rows, key.public_pem())?;
        let carried = serde_json::to_vec(&carried).expect("an order is plain JSON");
        let digest = Digest::of(&carried).to_string().into_bytes();
        let seal = self.store().ledger()?.seal(SEAL_TYPE, digest).await?;
        // Held to the end: envelopes and checkpoint are of one size.
        let history = self.store().ledger()?.read().await;
        let envelopes = self.store().envelopes().await?;
        let checkpoint = self.store().checkpoint().await?.unwrap_or_default();
        let root_key = history.workshop().key.id;
        let (home, asked) = (self.home().clone(), request.clone());
        let write = move || -> Result<(u64, Vec<Digest>, Link), WorkshopError> {
            let chain = whole(&history, &home, &asked.name)?;
            let objects = objects_of(&home, &order, &rows)?;
            let bom = format!("{:#}\n", ml_bom(&history, &chain));
            let bundle = Bundle {
                views: views::files(&key, &objects, &bom),
                card: Card {
                    version: VERSION,
                    name: asked.name,
                    deployment: chain.deployment,
                },
                ledger: lines(&envelopes),
                checkpoint,
                objects,
                carried,
                seal: seal.into_bytes(),
            };
            let bytes = bundle.write(&home, &asked.folder)?;
            let artifacts = bundle.objects.iter().map(|object| object.digest);
            Ok((bytes, artifacts.collect(), chain.deployment))
        };
        let written = reach::spawn_blocking(write).await;
        let (bytes, artifacts, deployment) = written.map_err(stumbled)??;
        Ok(Exported {
            folder: request.folder.clone(),
            bytes,
            artifacts,
            deployment,
            root_key,
        })
    }

    /// The order that is deployed under a name, with its steps.
    async fn deployed(&self, name: &str) -> Result<(OrderRow, Vec<StepRow>), WorkshopError> {
        let deployments = self.store().deployments().await?;
        let row = deployments.into_iter().find(|row| row.name == name);
        let row = row.ok_or_else(|| unknown(name))?;
        let order = self.store().order(&row.order).await?;
        let order = order.ok_or_else(|| unknown(name))?;
        let steps = self.store().steps(&order.id).await?;
        Ok((order, steps))
    }
}

/// The chain of the newest deployment of this name.
pub(super) fn whole(history: &History, home: &Home, name: &str) -> Result<Chain, WorkshopError> {
    let newest = history.of_kind("deployment").rev().find(|entry| {
        let said = history.said::<Deployment>(&entry.link);
        said.is_some_and(|it| it.name == name)
    });
    let link = newest.ok_or_else(|| unknown(name))?.link;
    let pieces = Folders::new(home.objects());
    chain::verify(history, &link, &pieces, now_ms()).map_err(|denials| {
        let texts: Vec<String> = denials.iter().map(ToString::to_string).collect();
        WorkshopError::new(
            "bundle-broken",
            format!("{name} is not handed on: {}", texts.join("; ")),
            "run the order again, then export it",
        )
    })
}

fn unknown(name: &str) -> WorkshopError {
    WorkshopError::new(
        "deployment-unknown",
        format!("nothing is deployed under the name {name}"),
        "list the deployments with GET /api/deployments or on the page",
    )
}

fn not_deployed(order: &OrderRow) -> WorkshopError {
    WorkshopError::new(
        "bundle-not-deployed",
        format!(
            "the order {} was not finished, so nothing of it can go along",
            order.id
        ),
        "let the order end: `lathe order show` says where it stands",
    )
}

pub(super) fn stumbled(error: tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("working on the bundle stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// A bundle to be written.
struct Bundle {
    card: Card,
    ledger: Vec<u8>,
    checkpoint: String,
    objects: Vec<CardObject>,
    carried: Vec<u8>,
    seal: Vec<u8>,
    /// Name and content of what other people's tools read.
    views: Vec<(String, String)>,
}

/// What a finished step made; that of an order not deployed may be missing.
fn artifact_of(
    order: &OrderRow,
    rows: &[StepRow],
    name: StepName,
) -> Result<Digest, WorkshopError> {
    let row = rows.iter().find(|row| row.name == name);
    let artifact = row.and_then(|row| row.artifact.as_ref());
    steps::digest(artifact.ok_or_else(|| not_deployed(order))?)
}

/// The artifacts that the chain and the carried steps rest on.
fn objects_of(
    home: &Home,
    order: &OrderRow,
    rows: &[StepRow],
) -> Result<Vec<CardObject>, WorkshopError> {
    let mut digests = BTreeSet::new();
    let carried = carried_steps(&order.spec).into_iter();
    for name in carried.chain([StepName::Evaluate]) {
        digests.insert(artifact_of(order, rows, name)?);
    }
    digests
        .into_iter()
        .map(|digest| object(home, digest))
        .collect()
}

fn carried(
    order: &OrderRow,
    rows: &[StepRow],
    model_key: String,
) -> Result<Carried, WorkshopError> {
    let step = |name: StepName| {
        let row = rows.iter().find(|row| row.name == name);
        let output = row.and_then(|row| row.output.clone());
        Ok(CardStep {
            name,
            output: output.ok_or_else(|| not_deployed(order))?,
            artifact: artifact_of(order, rows, name)?,
        })
    };
    let steps = carried_steps(&order.spec).into_iter().map(step);
    Ok(Carried {
        steps: steps.collect::<Result<_, WorkshopError>>()?,
        order: CardOrder {
            pack: order.pack.clone(),
            title: order.title.clone(),
            demonstration: order.demonstration,
            pack_sha256: order.pack_sha256.clone(),
            spec: order.spec.clone(),
        },
        model_key,
    })
}

/// Hashes the artifact anew: what is altered does not leave the house.
pub(super) fn object(home: &Home, digest: Digest) -> Result<CardObject, WorkshopError> {
    let folder = objects::path(home, &digest.to_string());
    let manifest = objects::manifest_of(&folder)?;
    if manifest.digest() != digest {
        return Err(WorkshopError::new(
            "bundle-broken",
            format!(
                "{} is altered: its files hash to {}",
                folder.display(),
                manifest.digest()
            ),
            "remove it and run the order again: it is made anew",
        ));
    }
    Ok(CardObject { digest, manifest })
}

impl Bundle {
    /// Writes it beside `to` and renames it, so that a bundle is whole or not there; gives its size.
    fn write(&self, home: &Home, to: &Path) -> Result<u64, WorkshopError> {
        let draft = draft(to)?;
        let fail = |error: io::Error| io_error("write", &draft, &error);
        let mut bytes = 0;
        for (name, text) in self.files() {
            let path = draft.join(name);
            fs::create_dir_all(path.parent().unwrap_or(&draft)).map_err(fail)?;
            durable(&path, &text).map_err(fail)?;
            bytes += text.len() as u64;
        }
        for object in &self.objects {
            let digest = object.digest.to_string();
            copy(
                &objects::path(home, &digest),
                &draft.join(OBJECTS).join(&digest),
                object,
            )?;
            bytes += object.manifest.bytes();
        }
        fs::rename(&draft, to).map_err(fail)?;
        Ok(bytes)
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let pretty = |value: &serde_json::Value| format!("{value:#}\n").into_bytes();
        let mut artifacts = Vec::new();
        for object in &self.objects {
            serde_json::to_writer(&mut artifacts, object).expect("a manifest is plain JSON");
            artifacts.push(b'\n');
        }
        let own = [
            (CARD, pretty(&serde_json::json!(self.card))),
            (ORDER, self.carried.clone()),
            (SEAL, self.seal.clone()),
            (ARTIFACTS, artifacts),
            (CHECKPOINT, self.checkpoint.clone().into_bytes()),
            (LEDGER, self.ledger.clone()),
        ];
        let own = own
            .into_iter()
            .map(|(name, bytes)| (name.to_owned(), bytes));
        let views = self.views.iter().cloned();
        own.chain(views.map(|(name, text)| (name, text.into_bytes())))
            .collect()
    }
}

/// The folder in which `to` is made: new and empty.
pub(super) fn draft(to: &Path) -> Result<PathBuf, WorkshopError> {
    if to.exists() {
        return Err(WorkshopError::new(
            "bundle-exists",
            format!("{} is there already", to.display()),
            "name a folder that is not there yet",
        ));
    }
    let draft = PathBuf::from(format!("{}.part", to.display()));
    objects::remove(&draft)?;
    fs::create_dir_all(&draft).map_err(|error| io_error("create the folder", &draft, &error))?;
    Ok(draft)
}

pub(super) fn durable(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Copies the listed files of an artifact and nothing else; gives the manifest of what was copied.
///
/// # Errors
/// The file system's.
pub(super) fn copy(from: &Path, to: &Path, object: &CardObject) -> Result<Manifest, WorkshopError> {
    let mut copied = Vec::new();
    for file in object.manifest.files() {
        // The manifest's paths were checked to be plain when it was read.
        let (from, to) = (from.join(&file.path), to.join(&file.path));
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder)
            .map_err(|error| io_error("create the folder", folder, &error))?;
        let mut source = File::open(&from).map_err(|error| io_error("read", &from, &error))?;
        let fail = |error: io::Error| io_error("write", &to, &error);
        let mut target = File::create(&to).map_err(fail)?;
        // A file longer than listed is cut, and then hashes to something else.
        let mut bounded = io::Read::take(&mut source, file.size.saturating_add(1));
        let (size, sha256) = objects::copy_hashed(&mut bounded, &mut target).map_err(fail)?;
        target.sync_all().map_err(fail)?;
        copied.push(ManifestFile {
            path: file.path.clone(),
            size,
            sha256,
        });
    }
    Ok(Manifest::new(copied).expect("the paths are those of a manifest"))
}

/// Envelopes are canonical JSON, which has no line breaks.
fn lines(envelopes: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for envelope in envelopes {
        bytes.extend_from_slice(envelope);
        bytes.push(b'\n');
    }
    bytes
}
