//! `pypi:` sources: which file of a version, and what is wanted out of it.

use std::path::Path;

use lathe_evidence::Digest;

use super::cache::{Entry, Locked, hash_file};
use super::download::Download;
use super::http::Request;
use super::{Fetcher, Progress, check_digest, pypi};
use crate::DataError;
use crate::error::Promise;
use crate::source::normalised_name;

/// How many files of a version are looked into for the wanted path.
const CANDIDATES_MAX: usize = 4;

impl Fetcher<'_> {
    /// A package's file: the likeliest of the version's files that has what is wanted.
    pub(super) fn package(
        &self,
        name: &str,
        version: &str,
        locked: &Locked<'_>,
        on: Progress<'_>,
    ) -> Result<Entry, DataError> {
        let inner = self.source.inner.first().map(String::as_str);
        let key = format!("pypi:{}=={version}", normalised_name(name));
        // A file of the version that is here already may hold another path of it.
        if let Some(archive) = self.cache.find(&key).filter(|_| inner.is_some()) {
            let taken = self.take(&archive, locked);
            if taken.is_ok() || self.options.offline {
                return taken;
            }
        }
        self.refuse_offline()?;
        let wanted = pypi::Wanted {
            name,
            version,
            inner,
            sha256: self.options.sha256.filter(|_| inner.is_none()),
        };
        let mut first_error = None;
        for candidate in pypi::candidates(&self.client, self.pip, &wanted)?
            .iter()
            .take(CANDIDATES_MAX)
        {
            let archive = self.bring_candidate(candidate, locked, on)?;
            match self.take(&archive, locked) {
                Ok(entry) => {
                    locked.remember(&key, &archive)?;
                    return Ok(entry);
                }
                Err(error @ (DataError::Missing { .. } | DataError::Mismatch { .. })) => {
                    first_error.get_or_insert(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(first_error.unwrap_or_else(|| self.offline_error()))
    }

    fn bring_candidate(
        &self,
        candidate: &pypi::Candidate,
        locked: &Locked<'_>,
        on: Progress<'_>,
    ) -> Result<Entry, DataError> {
        if let Some(entry) = candidate
            .sha256
            .and_then(|sha256| self.cache.find_object(&sha256))
        {
            return Ok(entry);
        }
        if let Ok(path) = candidate.url.to_file_path() {
            return self.copy_in(&path, &candidate.name, candidate.sha256, locked);
        }
        let download = Download {
            request: &Request::new(&candidate.url),
            name: &candidate.name,
            expected: candidate.sha256,
            promised_by: Promise::Index,
        };
        self.download(&download, locked, on)
    }

    /// A file of a find-links folder or a file: index.
    fn copy_in(
        &self,
        path: &Path,
        name: &str,
        expected: Option<Digest>,
        locked: &Locked<'_>,
    ) -> Result<Entry, DataError> {
        let tmp = locked.tmp_path("copied");
        std::fs::copy(path, &tmp).map_err(|error| DataError::file("copy", path, error))?;
        let (found, _) = hash_file(&tmp).map_err(|error| DataError::file("read", &tmp, error))?;
        check_digest(&path.display().to_string(), Promise::Index, expected, found)?;
        locked.keep(&tmp, found, name)
    }
}
