//! Reading a bundle: bounded, strict, its artifacts copied into a folder of their own under tmp/.
//!
//! What is verified is the copy, so that nobody can change a file between looking and taking. Nothing
//! is copied but what `artifacts.jsonl` lists.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_register::chain::Pieces;
use serde::de::DeserializeOwned;

use super::card::{
    ARTIFACTS, CARD, CHECKPOINT, Card, CardObject, LEDGER, OBJECTS, ORDER, SEAL, VERSION,
};
use super::export::copy;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::pieces::Folders;

/// Largest ledger.
const LEDGER_BYTES_MAX: u64 = 4 << 30;
/// Largest of the other files.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Most artifacts in a bundle.
const OBJECTS_MAX: usize = 64;

/// The files that are kept as evidence, as they came.
const EVIDENCE: [&str; 6] = [CARD, ORDER, SEAL, ARTIFACTS, CHECKPOINT, LEDGER];

/// A bundle laid out in `folder`, its artifacts hashed. Nothing of what it says is verified yet.
pub(super) struct Unpacked {
    pub(super) card: Card,
    /// `order.json`.
    pub(super) order: Vec<u8>,
    /// `order.dsse`.
    pub(super) seal: Vec<u8>,
    pub(super) objects: Vec<CardObject>,
    /// The envelopes, verbatim.
    pub(super) envelopes: Vec<Vec<u8>>,
    pub(super) checkpoint: String,
    /// Where the copies lie.
    folder: PathBuf,
}

impl Unpacked {
    /// The folder of all artifacts, each under its digest.
    pub(super) fn artifacts(&self) -> PathBuf {
        self.folder.join(OBJECTS)
    }

    /// The artifacts as the chain reads them. Each was hashed while it was copied.
    pub(super) fn pieces(&self) -> Copied {
        Copied {
            known: self.objects.iter().map(|it| it.digest).collect(),
            files: Folders::new(self.artifacts()),
        }
    }

    /// The folder that holds the ledger and the cards as they came.
    pub(super) fn evidence(&self) -> PathBuf {
        self.folder.join("evidence")
    }
}

/// Copies that were hashed as they were made.
pub(super) struct Copied {
    known: BTreeSet<Digest>,
    files: Folders,
}

impl Pieces for Copied {
    fn manifest(&self, artifact: Digest) -> Result<Digest, String> {
        match self.known.get(&artifact) {
            Some(digest) => Ok(*digest),
            None => Err("it does not go along".to_owned()),
        }
    }

    fn open(&self, artifact: Digest, path: &str) -> Result<Box<dyn Read + '_>, String> {
        self.files.open(artifact, path)
    }
}

/// Lays the bundle out in `folder`, which the caller removes, also after an error.
///
/// # Errors
/// `bundle-damaged`, naming what is wrong; the file system's.
pub(super) fn unpack(from: &Path, folder: &Path) -> Result<Unpacked, WorkshopError> {
    let evidence = folder.join("evidence");
    fs::create_dir_all(&evidence)
        .map_err(|error| io_error("create the folder", &evidence, &error))?;
    for name in EVIDENCE {
        let bytes_max = if name == LEDGER {
            LEDGER_BYTES_MAX
        } else {
            FILE_BYTES_MAX
        };
        let bytes = bounded(from, name, bytes_max)?;
        let path = evidence.join(name);
        fs::write(&path, bytes).map_err(|error| io_error("write", &path, &error))?;
    }
    let text = |name: &str| {
        let path = evidence.join(name);
        fs::read_to_string(&path).map_err(|error| damaged(from, format!("{name}: {error}")))
    };
    let card: Card = parse(from, CARD, &text(CARD)?)?;
    if card.version != VERSION {
        let reason = format!(
            "it has the layout {}, this version reads {VERSION}",
            card.version
        );
        return Err(damaged(from, reason));
    }
    let artifacts = text(ARTIFACTS)?;
    let objects: Vec<CardObject> = artifacts
        .lines()
        .take(OBJECTS_MAX + 1)
        .map(|line| parse(from, ARTIFACTS, line))
        .collect::<Result<_, _>>()?;
    if objects.len() > OBJECTS_MAX {
        return Err(damaged(
            from,
            format!("it lists more than {OBJECTS_MAX} artifacts"),
        ));
    }
    take(from, folder, &objects)?;
    Ok(Unpacked {
        card,
        order: text(ORDER)?.into_bytes(),
        seal: text(SEAL)?.into_bytes(),
        objects,
        envelopes: text(LEDGER)?
            .lines()
            .map(|line| line.as_bytes().to_vec())
            .collect(),
        checkpoint: text(CHECKPOINT)?,
        folder: folder.to_owned(),
    })
}

/// Copies the artifacts and hashes what is copied, once: nobody else writes where the copies lie.
fn take(from: &Path, folder: &Path, objects: &[CardObject]) -> Result<(), WorkshopError> {
    for object in objects {
        let inside = Path::new(OBJECTS).join(object.digest.to_string());
        if object.manifest.digest() != object.digest {
            return Err(damaged(
                from,
                format!("{} has another manifest", object.digest),
            ));
        }
        let found = copy(&from.join(&inside), &folder.join(&inside), object)?.digest();
        if found != object.digest {
            let reason = format!("the files of {} hash to {found}", object.digest);
            return Err(damaged(from, reason));
        }
    }
    Ok(())
}

fn damaged(from: &Path, reason: String) -> WorkshopError {
    WorkshopError::new(
        "bundle-damaged",
        format!("{} is no sound bundle: {reason}", from.display()),
        "let the other workshop export it again",
    )
}

fn parse<T: DeserializeOwned>(from: &Path, name: &str, text: &str) -> Result<T, WorkshopError> {
    serde_json::from_str(text).map_err(|error| damaged(from, format!("{name}: {error}")))
}

fn bounded(from: &Path, name: &str, bytes_max: u64) -> Result<Vec<u8>, WorkshopError> {
    let missing = |error: io::Error| damaged(from, format!("{name}: {error}"));
    let mut bytes = Vec::new();
    let file = File::open(from.join(name)).map_err(missing)?;
    file.take(bytes_max + 1)
        .read_to_end(&mut bytes)
        .map_err(missing)?;
    if bytes.len() as u64 > bytes_max {
        return Err(damaged(
            from,
            format!("{name} has more than {bytes_max} bytes"),
        ));
    }
    Ok(bytes)
}

/// A folder of its own under tmp/, which is swept when a daemon starts.
pub(super) fn scratch(home: &Home) -> PathBuf {
    home.tmp()
        .join(format!("bundle-{}", uuid::Uuid::now_v7().simple()))
}
