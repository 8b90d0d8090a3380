//! The files of a version on the shelf: what its manifests name, and nothing else.
//!
//! The adapter's files stand at the top and the base model's under `base/`; of a base model that answers
//! as it came, its own files stand at the top. A path is looked up among the manifest's and never joined
//! from what a caller wrote.
//!
//! A file is hashed before its first byte goes out, so that what is altered is not handed on. What hashed
//! right is not hashed again while its inode, size and times of change stay: nobody who writes into the
//! file or puts another in its place leaves all of these as they were, and a part of a large file (a
//! resumed download) would else cost a reading of the whole.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _};
use std::sync::{Mutex, PoisonError};

use lathe_evidence::Digest;
use lathe_evidence::manifest::ManifestFile;

use super::{ShelfVersion, Shelved, stumbled};
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::identity::Identity;
use crate::objects;
use crate::people::reach;
use crate::workshop::Workshop;

/// Where the base model's files stand beside an adapter's.
const BASE: &str = "base/";

/// A file that is handed out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelfFile {
    /// Its path, as callers name it.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// The digest of its content.
    pub sha256: Digest,
    /// The artifact that holds it.
    pub artifact: Digest,
    /// Its path in there.
    pub within: String,
}

/// The files that hashed right, by artifact and path. No more than the artifacts have.
#[derive(Debug, Default)]
pub(super) struct Hashed(Mutex<BTreeMap<(Digest, String), Identity>>);

impl Hashed {
    fn knows(&self, file: &ShelfFile, identity: Identity) -> bool {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (file.artifact, file.within.clone());
        known.get(&key) == Some(&identity)
    }

    fn right(&self, file: &ShelfFile, identity: Identity) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((file.artifact, file.within.clone()), identity);
    }
}

impl Workshop {
    /// The files of a version, by path.
    ///
    /// # Errors
    /// `model-withheld` where it is not handed out; the store's.
    pub async fn shelf_files(
        &self,
        version: &ShelfVersion,
    ) -> Result<Vec<ShelfFile>, WorkshopError> {
        let (base, adapter) = match (version.standing, version.parts) {
            (Shelved::HandedOut, Some(parts)) => parts,
            _ => return Err(withheld(version)),
        };
        let mut files = match adapter {
            None => self.of_artifact(base, "").await?,
            Some(adapter) => {
                let mut files = self.of_artifact(adapter, "").await?;
                files.extend(self.of_artifact(base, BASE).await?);
                files
            }
        };
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    async fn of_artifact(
        &self,
        artifact: Digest,
        under: &str,
    ) -> Result<Vec<ShelfFile>, WorkshopError> {
        let manifest = self.store().manifest(&artifact).await?;
        let named = |file: &ManifestFile| ShelfFile {
            path: format!("{under}{}", file.path),
            size: file.size,
            sha256: file.sha256,
            artifact,
            within: file.path.clone(),
        };
        Ok(manifest.files().iter().map(named).collect())
    }

    /// One of these files, open at its beginning, its content hashed.
    ///
    /// # Errors
    /// `object-altered` where it is not what its manifest says; the home's.
    pub async fn shelf_open(&self, file: &ShelfFile) -> Result<File, WorkshopError> {
        let (shop, file) = (self.clone(), file.clone());
        let opened = move || open(shop.home(), &shop.shelf_state().hashed, &file);
        reach::spawn_blocking(opened).await.map_err(stumbled)?
    }
}

fn withheld(version: &ShelfVersion) -> WorkshopError {
    WorkshopError::new("model-withheld", version.why.clone(), version.next.clone())
}

fn open(home: &Home, hashed: &Hashed, file: &ShelfFile) -> Result<File, WorkshopError> {
    let path = objects::path(home, &file.artifact.to_string()).join(&file.within);
    let read = || -> io::Result<Option<File>> {
        let mut opened = File::open(&path)?;
        let identity = Identity::of(&opened)?;
        if hashed.knows(file, identity) {
            return Ok(Some(opened));
        }
        // One that is longer than listed is cut, and then has another size.
        let mut bounded = (&mut opened).take(file.size.saturating_add(1));
        let found = objects::copy_hashed(&mut bounded, &mut io::sink())?;
        if found != (file.size, file.sha256) {
            return Ok(None);
        }
        opened.rewind()?;
        hashed.right(file, identity);
        Ok(Some(opened))
    };
    let opened = read().map_err(|error| io_error("read", &path, &error))?;
    opened.ok_or_else(|| {
        WorkshopError::new(
            "object-altered",
            format!(
                "{} of the artifact {} is not handed out: it is not what its manifest says",
                file.within, file.artifact
            ),
            "remove the artifact's folder and run the order again: it is made anew",
        )
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_hashed_before_it_goes_out_and_again_once_it_was_touched() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        home.create().unwrap();
        let built = home.tmp().join("built");
        fs::create_dir_all(&built).unwrap();
        fs::write(built.join("weights"), "eight by").unwrap();
        let sealed = objects::seal(&home, &built).unwrap();
        let listed = &sealed.manifest.files()[0];
        let file = ShelfFile {
            path: "base/weights".to_owned(),
            size: listed.size,
            sha256: listed.sha256,
            artifact: sealed.digest,
            within: listed.path.clone(),
        };
        let hashed = Hashed::default();
        let mut text = String::new();
        let mut opened = open(&home, &hashed, &file).unwrap();
        opened.read_to_string(&mut text).unwrap();
        assert_eq!(text, "eight by");
        let path = objects::path(&home, &sealed.digest.to_string()).join("weights");
        assert!(hashed.knows(&file, Identity::of(&File::open(&path).unwrap()).unwrap()));
        open(&home, &hashed, &file).unwrap();
        // As long as before, written into the same file.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(&path, "eight bY").unwrap();
        let refused = open(&home, &hashed, &file).unwrap_err();
        assert_eq!(refused.code(), "object-altered");
        fs::write(&path, "eight by").unwrap();
        open(&home, &hashed, &file).unwrap();
    }
}
