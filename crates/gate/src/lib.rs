//! The gate: (report, policy) → verdict.
//!
//! A pure decision. No file, no network, no clock and no randomness is touched here, so that the
//! same evidence and policy give the same verdict anywhere and a stored verdict need never be
//! believed: it is computed again. Measuring is done by `lathe-eval`, admission by the workshop.

mod check;
mod policy;

pub use check::{Finding, Verdict, check};
pub use policy::{Bound, Policy, PolicyError, Reference, Rule, Threshold};
