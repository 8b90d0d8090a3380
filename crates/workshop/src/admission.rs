//! Admission by type: only what passed the gate becomes an [`Admitted`].
//!
//! A stored verdict is never read back; it is recomputed from the report.

use std::path::PathBuf;

use crate::order::OrderId;

/// A value that passed the gate. Only this module makes one.
#[derive(Debug, Clone)]
pub struct Admitted<T> {
    inner: T,
}

impl<T> Admitted<T> {
    /// The admitted value.
    pub fn get(&self) -> &T {
        &self.inner
    }
}

/// The files of a model that may answer requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployableFiles {
    /// The name it answers under: the `model` field of requests.
    pub name: String,
    /// The base model: a .gguf file or a Hugging Face folder.
    pub base: PathBuf,
    /// The adapter's folder in PEFT's format, if tuned.
    pub adapter: Option<PathBuf>,
    /// The system prompt it was tuned and measured with; the caller sends it.
    pub system: Option<String>,
    /// A user's message as it was measured, to try the model with.
    pub example: Option<String>,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// The order it came from.
    pub order: OrderId,
    /// When it was deployed, milliseconds since 1970.
    pub created_ms: i64,
}
