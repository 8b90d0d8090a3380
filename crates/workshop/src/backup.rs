//! Backups: a home as one file, made while it is served, and a home made of one.
//!
//! A backup is a tar archive, compressed with zstd where its name ends in `.zst`. First comes
//! `card::NAME`, which lists every file with its size and SHA-256, then the files in the order of the
//! list: the store as one transaction saw it, all artifacts that this store knows, packs and files that people
//! brought (`own`), and, only where asked for, the private keys with the seed of the salts. Downloads, caches
//! and checkpoints of unfinished steps stay out: they are made anew.
//!
//! Restoring believes nothing: names are those a home has and no other, entries come in the order of the
//! list or not at all, nothing is longer than listed, every digest is held, and only then is anything put
//! into its place. The list is signed by the key that continues the ledger (`seal`), which the ledger in the
//! archive has to know. Whoever writes both anew is found out by a key or a checkpoint kept elsewhere.
//!
//! Not here: carrying one deployment to another workshop ([`crate::bundle`]), and saying that a home was
//! restored (`Operation::Restored`).

mod card;
mod own;
mod restore;
mod save;
mod seal;

use std::path::PathBuf;

use lathe_evidence::Digest;
use serde::Serialize;

pub use restore::restore;
pub use save::save;

/// Told how many bytes are done, and of how many.
pub type OnBytes<'a> = &'a mut dyn FnMut(u64, u64);

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Saved {
    /// The file.
    pub file: PathBuf,
    /// Its size.
    pub file_bytes: u64,
    /// What its files have together.
    pub bytes: u64,
    /// How many artifacts.
    pub artifacts: usize,
    /// Whether the private keys are in it.
    pub with_keys: bool,
    /// The newest signed checkpoint of the ledger in it; absent before the ledger began.
    pub checkpoint: Option<String>,
    /// The id of the key that signed its list; absent where the home has none that may.
    pub signed_by: Option<Digest>,
}

/// What was put back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PutBack {
    /// What its files have together.
    pub bytes: u64,
    /// How many artifacts.
    pub artifacts: usize,
    /// Whether private keys were in it.
    pub with_keys: bool,
    /// The version of Lathe that made it.
    pub lathe: String,
    /// When, milliseconds since 1970.
    pub made_ms: i64,
    /// The id of the key that signed its list; absent where nobody did.
    pub signed_by: Option<Digest>,
}

#[cfg(test)]
mod tests;
