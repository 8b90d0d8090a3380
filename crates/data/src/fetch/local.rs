//! `file:` sources: used where they lie, or unpacked into the cache.

use std::path::{Path, PathBuf};

use lathe_evidence::manifest::{Manifest, ManifestFile};

use super::cache::hash_file;
use super::{Fetched, Fetcher};
use crate::DataError;

/// The most files a folder that is taken whole may have.
const FOLDER_FILES_MAX: usize = 10_000;

impl Fetcher<'_> {
    /// A `file:` source: used where it lies, or unpacked into the cache.
    pub(super) fn local(&self, path: &str) -> Result<Fetched, DataError> {
        let path = self
            .options
            .base_dir
            .join(path.strip_prefix("//").unwrap_or(path));
        let metadata =
            std::fs::metadata(&path).map_err(|error| DataError::file("read", &path, error))?;
        if metadata.is_dir() {
            return self.local_folder(path);
        }
        let (sha256, bytes) =
            hash_file(&path).map_err(|error| DataError::file("read", &path, error))?;
        if self.source.inner.is_empty() {
            self.check_pinned(sha256)?;
            return Ok(Fetched {
                path,
                sha256,
                bytes,
                cached: true,
            });
        }
        // Keyed by content: a file that changed is another archive.
        let key = format!("sha256:{sha256}#{}", self.source.inner.join("#"));
        if let Some(entry) = self.cache.find(&key) {
            self.check_pinned(entry.sha256)?;
            return Ok(self.fetched(&entry, true));
        }
        let locked = self.cache.lock()?;
        let name = path
            .file_name()
            .map(|name| name.to_string_lossy().into_owned());
        let (file, sha256) = self.walk(&path, &name.unwrap_or_default(), &locked)?;
        let inner = self.source.inner.last().map_or("file", String::as_str);
        let entry = locked.keep(&file, sha256, inner.rsplit('/').next().unwrap_or(inner))?;
        locked.remember(&key, &entry)?;
        Ok(self.fetched(&entry, false))
    }

    fn local_folder(&self, path: PathBuf) -> Result<Fetched, DataError> {
        if let Some(inner) = self.source.inner.first() {
            return Err(DataError::Source {
                text: self.source.to_string(),
                reason: format!(
                    "{} is a folder, not an archive; write file:{}/{inner}",
                    path.display(),
                    path.display()
                ),
            });
        }
        let manifest = manifest_of(&path)?;
        let sha256 = manifest.digest();
        self.check_pinned(sha256)?;
        Ok(Fetched {
            sha256,
            bytes: manifest.bytes(),
            path,
            cached: true,
        })
    }
}

/// The manifest of a folder of plain files; links and folders in it are refused.
pub(super) fn manifest_of(folder: &Path) -> Result<Manifest, DataError> {
    let fail = |error| DataError::file("read", folder, error);
    let refuse = |reason: String| DataError::Source {
        text: format!("file:{}", folder.display()),
        reason,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !entry.file_type().map_err(fail)?.is_file() {
            return Err(refuse(format!(
                "`{name}` in it is a folder or a link; a model's folder holds plain files only"
            )));
        }
        if files.len() == FOLDER_FILES_MAX {
            return Err(refuse(format!("it has more than {FOLDER_FILES_MAX} files")));
        }
        let (sha256, size) = hash_file(&entry.path()).map_err(fail)?;
        files.push(ManifestFile {
            path: name,
            size,
            sha256,
        });
    }
    Manifest::new(files).map_err(|error| refuse(error.to_string()))
}
