//! The ledger (存证账本): what was said, by whom, in an order that cannot be changed unseen.
//!
//! Envelopes are DSSE over in-toto statements, the log is RFC 6962's tree, its head a C2SP
//! checkpoint. Pure: no input or output, no clock, no randomness; keeping the entries is the
//! store's work, and whether statements make a chain is for the register.
//!
//! [`history::History`] is the one reading of a ledger: whoever has one knows that every entry
//! holds.

pub mod checkpoint;
pub mod dsse;
#[cfg(any(test, feature = "fixture"))]
pub mod fixture;
#[doc(hidden)]
pub mod fuzz;
pub mod history;
pub mod keys;
pub mod model_signing;
pub mod note;
pub mod proofs;
pub mod receipts;
pub mod tiles;
pub mod tree;
pub mod witness;

pub use checkpoint::Checkpoint;
pub use dsse::Envelope;
pub use history::History;
pub use keys::{PublicKey, SigningKey};
pub use tree::Tree;
pub use witness::Witness;
