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
mod http;
mod hub;
mod pip;
mod proxy;
mod pypi;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use url::Url;

use self::cache::{Cache, Entry, Locked, hash_file, make_folder};
use self::download::Download;
use self::http::{Client, Request};
use self::hub::Repository;
use self::pip::PipSettings;
use crate::source::{Origin, normalised_name};
use crate::{DataError, Source, archive};

/// How many files of a version are looked into for the wanted path.
const CANDIDATES_MAX: usize = 4;

/// The most files a folder that is taken whole may have.
const FOLDER_FILES_MAX: usize = 10_000;

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

/// The environment variables that fetching looks at (PIP_*, HF_*, proxies …), passed in so that
/// nothing depends on the process's own; and how long a server may take.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables by name.
    pub variables: BTreeMap<String, String>,
    /// How long to wait.
    pub timeouts: Timeouts,
}

/// How long to wait for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect_ms: u64,
    /// For the head of an answer.
    pub answer_ms: u64,
    /// For the next bytes; a download as a whole may take as long as it takes.
    pub silence_ms: u64,
    /// Before a first second attempt; doubled with each further one.
    pub retry_ms: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect_ms: 30_000,
            answer_ms: 60_000,
            silence_ms: 60_000,
            retry_ms: 500,
        }
    }
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars_os()
                .filter_map(|(name, value)| {
                    Some((name.into_string().ok()?, value.into_string().ok()?))
                })
                .collect(),
            timeouts: Timeouts::default(),
        }
    }

    /// A variable that is set and not empty.
    fn get(&self, name: &str) -> Option<&str> {
        let value = self.variables.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    }

    /// For tests: these variables alone.
    #[cfg(test)]
    fn of(variables: &[(&str, &str)]) -> Self {
        let pairs = variables.iter();
        Self {
            variables: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            timeouts: Timeouts::default(),
        }
    }
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
        if let Origin::File { path } = &self.source.origin {
            return self.local(path);
        }
        if let Origin::Hf { path: None, .. } = &self.source.origin {
            return self.hub_folder(on);
        }
        if let Some(entry) = self.cached() {
            return Ok(self.fetched(&entry, true));
        }
        let locked = self.cache.lock()?;
        // Another process may have fetched it while this one waited.
        if let Some(entry) = self.cached() {
            return Ok(self.fetched(&entry, true));
        }
        let entry = match &self.source.origin {
            Origin::Pypi { name, version } => self.package(name, version, &locked, on)?,
            Origin::Http { url } => {
                let url = parse_url(url)?;
                self.from_request(&Request::new(&url), &locked, on)?
            }
            Origin::Hf {
                path: Some(path), ..
            } => {
                let request = self.repository().file(path, &self.options.environment)?;
                self.from_request(&request, &locked, on)?
            }
            Origin::File { .. } | Origin::Hf { path: None, .. } => {
                unreachable!("answered before the cache is asked")
            }
        };
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

    fn repository(&self) -> Repository<'_> {
        match &self.source.origin {
            Origin::Hf {
                dataset,
                repository,
                revision,
                ..
            } => Repository {
                dataset: *dataset,
                name: repository,
                revision,
            },
            _ => unreachable!("only asked for hub sources"),
        }
    }

    /// A package's file: the likeliest of the version's files that has what is wanted.
    fn package(
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
        check_digest(&path.display().to_string(), "its index", expected, found)?;
        locked.keep(&tmp, found, name)
    }

    /// The file of an address, or what is wanted out of it.
    fn from_request(
        &self,
        request: &Request,
        locked: &Locked<'_>,
        on: Progress<'_>,
    ) -> Result<Entry, DataError> {
        let url = request.url.to_string();
        let archive = match self.cache.find(&url) {
            Some(archive) if !self.source.inner.is_empty() => archive,
            _ => {
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
                };
                let archive = self.download(&download, locked, on)?;
                locked.remember(&url, &archive)?;
                archive
            }
        };
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
            "the pack",
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

    /// A `file:` source: used where it lies, or unpacked into the cache.
    fn local(&self, path: &str) -> Result<Fetched, DataError> {
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

    /// A hub's model as a folder: its files fetched one by one, then put together under their
    /// manifest's digest.
    fn hub_folder(&self, on: Progress<'_>) -> Result<Fetched, DataError> {
        let key = self.source.to_string();
        if let Some(fetched) = self.cached_folder(&key) {
            return Ok(fetched);
        }
        let locked = self.cache.lock()?;
        self.refuse_offline()?;
        let tmp = locked.tmp_path("folder");
        make_folder(&tmp)?;
        for (path, request) in self
            .repository()
            .model_files(&self.client, &self.options.environment)?
        {
            let download = Download {
                request: &request,
                name: &path,
                expected: None,
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
        if !folder.exists() {
            std::fs::rename(&tmp, &folder)
                .map_err(|error| DataError::file("write", &folder, error))?;
        }
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

fn parse_url(text: &str) -> Result<Url, DataError> {
    Url::parse(text).map_err(|error| DataError::Source {
        text: text.to_owned(),
        reason: error.to_string(),
    })
}

fn check_digest(
    what: &str,
    promised_by: &str,
    expected: Option<Digest>,
    found: Digest,
) -> Result<(), DataError> {
    match expected.filter(|expected| *expected != found) {
        None => Ok(()),
        Some(expected) => Err(DataError::Mismatch {
            what: what.to_owned(),
            promised_by: promised_by.to_owned(),
            expected,
            found,
            next: "if the new file is the one you want, write its digest into the pack; it was not used".to_owned(),
        }),
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

/// The manifest of a folder of plain files; links and folders in it are refused.
fn manifest_of(folder: &Path) -> Result<Manifest, DataError> {
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

/// Reads outside bytes as index pages; for fuzzing.
pub fn fuzz_index(bytes: &[u8]) {
    pypi::fuzz(bytes);
}

#[cfg(test)]
mod tests;
