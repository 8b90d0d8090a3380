//! Bringing a source's file into the cache, checked.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lathe_evidence::Digest;

use crate::{DataError, Source};

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
/// nothing depends on the process's own.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    /// The variables by name.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self {
            variables: std::env::vars().collect(),
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
/// Network, digest, archive and file system errors; nothing half-written stays behind, except a
/// cut download's part file, which the next fetch resumes.
pub fn fetch(
    _source: &Source,
    _options: &FetchOptions,
    _on: &mut dyn FnMut(FetchProgress<'_>),
) -> Result<Fetched, DataError> {
    todo!()
}
