//! The gate: (evidence, policy) → verdict.
//!
//! A pure decision. No file, no network, no clock and no randomness is touched here, so that the
//! same evidence and policy give the same verdict anywhere and a stored verdict need never be
//! believed: it is computed again. Measuring is done by `lathe-eval`, admission by the register.

mod check;
mod licence;
mod lint;
mod policy;
mod threshold;

pub use check::{Evidence, Finding, JudgedSlice, Verdict, check, check_report};
pub use lint::{Challenger, Metric, Orphan, Setting, lint};
pub use policy::{
    Bound, DataRules, EXPIRES_DAYS_MAX, ExpiryDays, LicenceRules, Policy, PolicyError, Reference,
    Required, Rule, Share, SliceRule, Slices, Threshold, Use,
};
