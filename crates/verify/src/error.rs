//! Why something could not be read.

use std::path::PathBuf;

/// Why nothing could be judged.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A file or a folder.
    #[error("reading {path}: {source}; check that it is there and may be read")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The store.
    #[error("reading the store of {path}: {source}; it has to be a home of this version of Lathe")]
    Store {
        /// Of which home.
        path: PathBuf,
        /// Why.
        source: sqlx::Error,
    },
    /// Too much of it.
    #[error("{what} in {path} are more than {max}; this is no home")]
    TooMany {
        /// What.
        what: &'static str,
        /// Of which home.
        path: PathBuf,
        /// How many there may be.
        max: u64,
    },
    /// A key or a checkpoint that was given.
    #[error("{given}: {why}")]
    Given {
        /// What was given.
        given: String,
        /// Why it is none.
        why: String,
    },
}

impl VerifyError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
