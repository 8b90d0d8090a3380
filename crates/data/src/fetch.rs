//! Bringing a source's file into the cache, checked.
//!
//! A source that was fetched before is answered from the cache, without the network; delete the
//! cache, or pin another digest, to fetch anew. `sha256` is always the digest of the final file,
//! after the last `#`; the archives on the way are held against what their index promises. Nothing
//! half-written stays, except the part of a cut download, which the next fetch goes on with.
//!
//! Only what a source names is ever asked for: the index that pip is configured with, a hub, or an
//! address as it is written.

mod cache;
mod download;
mod environment;
mod folder;
mod http;
mod hub;
mod local;
mod package;
mod pip;
mod proxy;
mod pypi;

use std::fs::File;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use url::Url;

use self::cache::{Cache, Entry, Locked, hash_file};
use self::download::Download;
pub use self::environment::{Environment, Timeouts};
use self::http::{Client, Request};
use self::hub::Repository;
use self::pip::PipSettings;
use crate::error::Promise;
use crate::source::Origin;
use crate::{DataError, Source, archive};

/// How a source is fetched.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The cache's folder; made if absent.
    pub cache: PathBuf,
    /// Whether the network may not be used.
    pub offline: bool,
    /// The digest the final file must have (after the last `#`).
    pub sha256: Option<Digest>,
    /// What a relative `file:` path is relative to: the pack's folder.
    pub base_dir: PathBuf,
    /// Index, proxy, certificate and token settings.
    pub environment: Environment,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy)]
pub struct FetchProgress<'a> {
    /// Bytes done of the file at hand.
    pub done: u64,
    /// Its size in bytes where known.
    pub total: Option<u64>,
    /// The file at hand.
    pub what: &'a str,
}

/// A fetched file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it lies: in the cache under its own name, or where a `file:` source points. A folder
    /// for a `file:` folder and an `hf:` repository without a path.
    pub path: PathBuf,
    /// Its digest; of a folder, its manifest's.
    pub sha256: Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// Whether it was there already.
    pub cached: bool,
}

/// Fetches `source`.
///
/// # Errors
/// Network, digest, archive and file system errors, each with the next step.
pub fn fetch(
    source: &Source,
    options: &FetchOptions,
    on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<Fetched, DataError> {
    let pip = PipSettings::new(&options.environment);
    let fetcher = Fetcher {
        source,
        options,
        cache: Cache::new(&options.cache),
        client: Client::new(&options.environment, &pip),
        pip: &pip,
    };
    fetcher.fetch(on)
}

struct Fetcher<'a> {
    source: &'a Source,
    options: &'a FetchOptions,
    cache: Cache,
    client: Client<'a>,
    pip: &'a PipSettings,
}

type Progress<'a> = &'a mut dyn FnMut(FetchProgress<'_>);

impl Fetcher<'_> {
    fn fetch(&self, on: Progress<'_>) -> Result<Fetched, DataError> {
        match &self.source.origin {
            Origin::File { path } => self.local(path),
            Origin::Pypi { name, version } => {
                self.through_cache(|locked| self.package(name, version, locked, on))
            }
            Origin::Http { url } => {
                let request = Request::new(&parse_url(url)?);
                self.through_cache(|locked| self.address(&request, locked, on))
            }
            Origin::Hf {
                dataset,
                repository,
                revision,
                path,
            } => {
                let repository = Repository {
                    dataset: *dataset,
                    name: repository,
                    revision,
                };
                let Some(path) = path else {
                    return self.hub_folder(&repository, on);
                };
                let request = repository.file(path, &self.options.environment)?;
                self.through_cache(|locked| self.address(&request, locked, on))
            }
        }
    }

    /// What the cache has, else what `bring` brings into it.
    fn through_cache(
        &self,
        bring: impl FnOnce(&Locked<'_>) -> Result<Entry, DataError>,
    ) -> Result<Fetched, DataError> {
        if let Some(entry) = self.cached() {
            return Ok(self.fetched(&entry, true));
        }
        let locked = self.cache.lock()?;
        // Another process may have fetched it while this one waited.
        if let Some(entry) = self.cached() {
            return Ok(self.fetched(&entry, true));
        }
        let entry = bring(&locked)?;
        locked.remember(&self.source.to_string(), &entry)?;
        Ok(self.fetched(&entry, false))
    }

    /// What the cache has for the source, or under the pinned digest whoever asked for it.
    fn cached(&self) -> Option<Entry> {
        let pinned = self.options.sha256;
        let by_source = self.cache.find(&self.source.to_string());
        by_source
            .filter(|entry| pinned.is_none_or(|pinned| entry.sha256 == pinned))
            .or_else(|| self.cache.find_object(&pinned?))
    }

    fn fetched(&self, entry: &Entry, cached: bool) -> Fetched {
        Fetched {
            path: self.cache.path(entry),
            sha256: entry.sha256,
            bytes: entry.bytes,
            cached,
        }
    }

    /// The file of an address, or what is wanted out of it.
    fn address(
        &self,
        request: &Request,
        locked: &Locked<'_>,
        on: Progress<'_>,
    ) -> Result<Entry, DataError> {
        let url = request.url.to_string();
        // An archive that is here already may hold another path that is wanted; but a file that is
        // not the one wanted may have changed at its address.
        if let Some(archive) = self.cache.find(&url) {
            let taken = self.take(&archive, locked);
            if taken.is_ok() || self.options.offline {
                return taken;
            }
        }
        self.refuse_offline()?;
        let last = request
            .url
            .path_segments()
            .and_then(|mut parts| parts.next_back());
        let name = String::from_utf8(http::percent_decoded(last.unwrap_or("file")));
        let download = Download {
            request,
            name: &name.unwrap_or_else(|_| "file".to_owned()),
            expected: self.options.sha256.filter(|_| self.source.inner.is_empty()),
            promised_by: Promise::Pack,
        };
        let archive = self.download(&download, locked, on)?;
        locked.remember(&url, &archive)?;
        self.take(&archive, locked)
    }

    fn download(
        &self,
        download: &Download<'_>,
        locked: &Locked<'_>,
        on: Progress<'_>,
    ) -> Result<Entry, DataError> {
        let retry_ms = self.options.environment.timeouts.retry_ms;
        download::download(&self.client, locked, download, retry_ms, on)
    }

    /// Walks from the archive to the wanted file, and holds it against the pinned digest.
    fn take(&self, archive: &Entry, locked: &Locked<'_>) -> Result<Entry, DataError> {
        if self.source.inner.is_empty() {
            self.check_pinned(archive.sha256)?;
            return Ok(archive.clone());
        }
        let (path, sha256) = self.walk(&self.cache.path(archive), &archive.name, locked)?;
        let inner = self.source.inner.last().map_or("file", String::as_str);
        let name = inner.rsplit('/').next().unwrap_or(inner);
        locked.keep(&path, sha256, name)
    }

    /// Unpacks step by step; gives the final file, still to be kept, and its digest.
    fn walk(
        &self,
        archive: &Path,
        label: &str,
        locked: &Locked<'_>,
    ) -> Result<(PathBuf, Digest), DataError> {
        let mut path = archive.to_owned();
        let mut label = label.to_owned();
        for (step, inner) in self.source.inner.iter().enumerate() {
            let out_path = locked.tmp_path(&format!("step-{step}"));
            let fail = |error| DataError::file("write", &out_path, error);
            let mut out = File::create(&out_path).map_err(fail)?;
            archive::extract(&path, &label, inner, &mut out, &out_path)?;
            out.sync_all().map_err(fail)?;
            label = format!("{label}#{inner}");
            path = out_path;
        }
        let (sha256, _) =
            hash_file(&path).map_err(|error| DataError::file("read", &path, error))?;
        self.check_pinned(sha256)?;
        Ok((path, sha256))
    }

    fn check_pinned(&self, found: Digest) -> Result<(), DataError> {
        check_digest(
            &self.source.to_string(),
            Promise::Pack,
            self.options.sha256,
            found,
        )
    }

    fn refuse_offline(&self) -> Result<(), DataError> {
        if self.options.offline {
            return Err(self.offline_error());
        }
        Ok(())
    }

    fn offline_error(&self) -> DataError {
        DataError::Offline {
            what: self.source.to_string(),
        }
    }
}

fn parse_url(text: &str) -> Result<Url, DataError> {
    Url::parse(text).map_err(|error| DataError::Source {
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

fn check_digest(
    what: &str,
    promised_by: Promise,
    expected: Option<Digest>,
    found: Digest,
) -> Result<(), DataError> {
    match expected.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => Err(DataError::Mismatch {
            what: what.to_owned(),
            promised_by,
            expected,
            found,
        }),
    }
}

/// Reads outside bytes as index pages; for fuzzing.
pub fn fuzz_index(bytes: &[u8]) {
    pypi::fuzz(bytes);
}

#[cfg(test)]
mod tests;
