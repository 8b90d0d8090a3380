//! `hf:` sources without a path: a model's files, fetched one by one and put together as a folder
//! under their manifest's digest.

use std::path::Path;

use super::cache::{Entry, make_folder};
use super::download::Download;
use super::hub::Repository;
use super::local::manifest_of;
use super::{Fetched, Fetcher, Progress};
use crate::DataError;
use crate::error::Promise;

impl Fetcher<'_> {
    /// A hub's model as a folder: its files fetched one by one, then put together under their
    /// manifest's digest.
    pub(super) fn hub_folder(
        &self,
        repository: &Repository<'_>,
        on: Progress<'_>,
    ) -> Result<Fetched, DataError> {
        let key = self.source.to_string();
        if let Some(fetched) = self.cached_folder(&key) {
            return Ok(fetched);
        }
        let locked = self.cache.lock()?;
        self.refuse_offline()?;
        let tmp = locked.tmp_path("folder");
        make_folder(&tmp)?;
        for (path, request) in repository.model_files(&self.client, &self.options.environment)? {
            let download = Download {
                request: &request,
                name: &path,
                expected: None,
                promised_by: Promise::Pack,
            };
            let url = request.url.to_string();
            let entry = match self.cache.find(&url) {
                Some(entry) => entry,
                None => {
                    let entry = self.download(&download, &locked, on)?;
                    locked.remember(&url, &entry)?;
                    entry
                }
            };
            put(&self.cache.path(&entry), &tmp.join(&path))?;
        }
        let manifest = manifest_of(&tmp)?;
        let sha256 = manifest.digest();
        self.check_pinned(sha256)?;
        let folder = self.cache.folder_path(&sha256);
        if folder.exists() {
            // It was found not to be whole.
            std::fs::remove_dir_all(&folder)
                .map_err(|error| DataError::file("clear", &folder, error))?;
        }
        std::fs::rename(&tmp, &folder).map_err(|error| DataError::file("write", &folder, error))?;
        let entry = Entry {
            key: String::new(),
            sha256,
            name: "folder".to_owned(),
            bytes: manifest.bytes(),
        };
        locked.remember(&key, &entry)?;
        Ok(Fetched {
            path: folder,
            sha256,
            bytes: manifest.bytes(),
            cached: false,
        })
    }

    fn cached_folder(&self, key: &str) -> Option<Fetched> {
        let entry = self.cache.find_folder(key)?;
        let path = self.cache.folder_path(&entry.sha256);
        let whole = manifest_of(&path).is_ok_and(|manifest| manifest.digest() == entry.sha256);
        let wanted = self
            .options
            .sha256
            .is_none_or(|pinned| pinned == entry.sha256);
        (whole && wanted).then_some(Fetched {
            path,
            sha256: entry.sha256,
            bytes: entry.bytes,
            cached: true,
        })
    }
}

/// Puts a file into a folder without a second copy where the file system allows it.
fn put(from: &Path, to: &Path) -> Result<(), DataError> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| DataError::file("write", to, error))
}
