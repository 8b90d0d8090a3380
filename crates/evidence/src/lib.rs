//! The words every other crate speaks about evidence: digests, canonical bytes, Merkle roots,
//! leaves, manifests and the evaluation report.
//!
//! Pure: no input or output, no clock, no randomness. Signing and the log itself live in the
//! ledger; deciding over evidence lives in the gate.

pub mod canonical;
pub mod digest;
pub mod leaf;
pub mod manifest;
pub mod merkle;
pub mod moment;
pub mod receipt;
pub mod report;
#[cfg(test)]
mod schema;
pub mod statement;

pub use digest::Digest;
