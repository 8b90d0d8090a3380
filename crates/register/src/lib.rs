//! The register (算法登记) and the chain behind every deployment.
//!
//! [`chain`] answers the one question that admission asks: is this deployment whole, from the data
//! to the approval? Everything else is a view over the same verified history: the life of
//! registrations, the dossier, what a filing needs, the bill of materials.
//!
//! Pure: no input or output, no clock. Files are asked for through [`chain::Pieces`]; time is passed
//! in. Nothing here grants a filing (备案): that is the authority's act, kept as evidence.

pub mod chain;
pub mod dossier;
pub mod filing;
pub mod ml_bom;
pub mod registrations;
mod words;

pub use chain::{Chain, Denial, Pieces};
pub use words::Lang;
