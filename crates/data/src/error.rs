//! What can go wrong between a source and a prepared dataset.

use std::fmt;
use std::path::PathBuf;

use lathe_evidence::Digest;

/// Each text says what was being done, to what, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// A source's text cannot be understood.
    #[error("cannot understand the source `{text}`: {reason}")]
    Source {
        /// The source as it was written.
        text: String,
        /// What is wrong with it and how to write it.
        reason: String,
    },
    /// The network, or the server at its other end, failed.
    #[error("cannot download {url}: {reason}")]
    Network {
        /// What was asked for, without credentials.
        url: String,
        /// What happened and what to do next.
        reason: String,
    },
    /// A source is not in the cache and the network may not be used.
    #[error(
        "{what} is not in the cache and --offline forbids fetching it; run once without --offline"
    )]
    Offline {
        /// The source.
        what: String,
    },
    /// A digest is not the one that was pinned or promised.
    #[error("{what} has SHA-256 {found}, but {promised_by} says {expected}; {}", promised_by.next_step())]
    Mismatch {
        /// What was hashed.
        what: String,
        /// Who gave the expected digest.
        promised_by: Promise,
        /// The expected digest.
        expected: Digest,
        /// The digest of the bytes at hand.
        found: Digest,
    },
    /// A package, version, file or inner path does not exist.
    #[error("cannot find {what} in {place}; {next}")]
    Missing {
        /// What was looked for.
        what: String,
        /// Where.
        place: String,
        /// The nearest that exists, or what to check.
        next: String,
    },
    /// An archive is broken, hostile or beyond a bound.
    #[error("cannot unpack {archive}: {reason}")]
    Archive {
        /// The archive, as the source names it.
        archive: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The disk is full.
    #[error(
        "cannot write {path}: the disk is full; free some space there or point LATHE_HOME elsewhere, then run the same command again"
    )]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// The place to write to is read-only or belongs to someone else.
    #[error(
        "cannot write {path}: it is read-only for this user; make it writable or point LATHE_HOME elsewhere"
    )]
    ReadOnly {
        /// What was being written.
        path: PathBuf,
    },
    /// Another failure of the file system.
    #[error("cannot {doing} {path}: {error}")]
    File {
        /// The verb: read, write, rename …
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// A data file cannot be read at all (a broken row is not this: it is reported and kept out).
    #[error("cannot read {path} as {format}: {reason}")]
    Format {
        /// The data file.
        path: PathBuf,
        /// The format it was read as.
        format: &'static str,
        /// What is wrong and what to change.
        reason: String,
    },
    /// A part of the pack's `data` or `task` section cannot work.
    #[error("the pack's `{key}` cannot work: {reason}")]
    Spec {
        /// The key, dotted from the section.
        key: String,
        /// Why, and what to write instead.
        reason: String,
    },
    /// A record cannot be turned into a prompt or an answer.
    #[error("cannot render record {id}: {reason}")]
    Render {
        /// The record's id.
        id: String,
        /// Why.
        reason: String,
    },
    /// A file of training data whose layout cannot be told, or cannot work.
    #[error("cannot read training data from {path}: {reason}")]
    Layout {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A record of training data is no sample of its file's layout.
    #[error("record {record} of {path} cannot be learnt from: {reason}")]
    Sample {
        /// The file.
        path: PathBuf,
        /// The record, counted from 1.
        record: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A dataset that a `dataset_info.json` names cannot be used as it is written there.
    #[error("{path}: {reason}")]
    Info {
        /// The `dataset_info.json`.
        path: PathBuf,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// A stored dataset does not agree with itself.
    #[error("the dataset in {path} is damaged: {reason}; prepare it again")]
    Damaged {
        /// The dataset's folder.
        path: PathBuf,
        /// The file and what disagrees.
        reason: String,
    },
}

/// Who promised a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Promise {
    /// The pack, by its `sha256`.
    Pack,
    /// The package index, beside the file's address.
    Index,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pack => "the pack",
            Self::Index => "the index",
        })
    }
}

impl Promise {
    fn next_step(self) -> &'static str {
        match self {
            Self::Pack => {
                "it was not used; if it is the one you want, write its digest into the pack"
            }
            Self::Index => {
                "it was altered on its way or on the server and was not kept; run the command again, and if this stays, use another index"
            }
        }
    }
}

impl DataError {
    /// A short stable name for the kind of error.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Source { .. } => "data-source",
            Self::Network { .. } => "data-network",
            Self::Offline { .. } => "data-offline",
            Self::Mismatch { .. } => "data-digest",
            Self::Missing { .. } => "data-missing",
            Self::Archive { .. } => "data-archive",
            Self::DiskFull { .. } => "disk-full",
            Self::ReadOnly { .. } => "read-only",
            Self::File { .. } => "data-file",
            Self::Format { .. } => "data-format",
            Self::Spec { .. } => "data-spec",
            Self::Render { .. } => "data-render",
            Self::Layout { .. } => "data-layout",
            Self::Sample { .. } => "data-sample",
            Self::Info { .. } => "data-info",
            Self::Damaged { .. } => "data-damaged",
        }
    }

    /// A failure of the file system, sorted into full disk, read-only place and the rest.
    pub(crate) fn file(doing: &'static str, path: &std::path::Path, error: std::io::Error) -> Self {
        use std::io::ErrorKind;
        let path = path.to_owned();
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull { path },
            ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { path },
            ErrorKind::PermissionDenied if doing != "read" => Self::ReadOnly { path },
            _ => Self::File { doing, path, error },
        }
    }
}
