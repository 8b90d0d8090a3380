//! Bringing a source's file into the home, and what identifies it in a key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_data::Source;
use lathe_data::fetch::{Environment, FetchOptions, Fetched};
use lathe_data::source::Origin;
use lathe_evidence::Digest;
use serde_json::Value;

use crate::error::WorkshopError;
use crate::home::io_error;
use crate::objects;
use crate::order::StepError;
use crate::worker::{Emit, Job};

/// What identifies a source in a key: the pinned digest; for an unpinned local file or folder what
/// it holds now; for an unpinned remote one its text, which names a version.
pub(super) fn source_key(
    source: &Source,
    sha256: Option<Digest>,
    folder: &Path,
) -> Result<Value, WorkshopError> {
    let local = || -> Result<Option<Digest>, WorkshopError> {
        let Some(path) = local_path(source, folder) else {
            return Ok(None);
        };
        let digest = if path.is_dir() {
            objects::manifest_of(&path)?.digest()
        } else {
            objects::hash_file(&path)?.1
        };
        Ok(Some(digest))
    };
    let content = match sha256 {
        Some(digest) => Some(digest),
        None => local()?,
    };
    Ok(serde_json::json!({ "source": source, "sha256": content }))
}

/// Where a `file:` source lies; `None` for the others.
fn local_path(source: &Source, folder: &Path) -> Option<PathBuf> {
    match &source.origin {
        Origin::File { path } => Some(folder.join(path)),
        _ => None,
    }
}

/// Fetches into the home's cache, telling progress in bytes.
pub(super) fn fetch(
    job: &Job,
    source: &Source,
    sha256: Option<Digest>,
    emit: &mut Emit<'_>,
) -> Result<Fetched, StepError> {
    let options = FetchOptions {
        cache: job.home()?.cache(),
        offline: job.offline,
        sha256,
        base_dir: job.folder.clone(),
        environment: Environment::of_process(),
    };
    let mut at_hand = String::new();
    let fetched = lathe_data::fetch::fetch(source, &options, &mut |progress| {
        if progress.what != at_hand {
            progress.what.clone_into(&mut at_hand);
            emit.restart();
        }
        emit.progress(progress.done, progress.total.unwrap_or(0), "unit.bytes");
    })?;
    Ok(fetched)
}

/// Puts what was fetched into the artifact: the file, or the folder's plain files. What lies in
/// the cache is linked, so that large weights are on the disk once; a file of somebody else's is
/// copied, since an artifact's files become read-only.
pub(super) fn keep_fetched(job: &Job, fetched: &Fetched) -> Result<(), StepError> {
    let ours = fetched.path.starts_with(job.home()?.cache());
    for (name, path) in files_of(&fetched.path)? {
        let target = job.out.join(name);
        if ours && std::fs::hard_link(&path, &target).is_ok() {
            continue;
        }
        std::fs::copy(&path, &target)
            .map_err(|error| io_error("copy into the home", &path, &error))?;
    }
    Ok(())
}

/// The file itself, or the files directly in the folder, by name. Hidden ones are left out.
pub(crate) fn files_of(path: &Path) -> Result<BTreeMap<String, PathBuf>, WorkshopError> {
    let paths = if path.is_dir() {
        objects::entries(path)?
    } else {
        vec![path.to_path_buf()]
    };
    Ok(paths
        .into_iter()
        .filter(|path| path.is_file())
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), path)))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect())
}
