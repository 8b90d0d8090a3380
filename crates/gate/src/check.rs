//! The decision itself.

use lathe_evidence::report::Report;
use serde::{Deserialize, Serialize};

use crate::policy::Policy;

/// The outcome of holding a report against a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    /// True when every rule holds.
    pub passed: bool,
    /// One finding per rule, in the policy's order.
    pub findings: Vec<Finding>,
}

/// How one rule fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Whether the rule holds.
    pub passed: bool,
    /// The rule in words, for instance `pearson_r at least 0.8`.
    pub rule: String,
    /// Where in the report the figure stands, for instance `tuned: pearson_r on 742 records`.
    pub evidence: String,
    /// The figure compared; absent when the report lacks it.
    pub figure: Option<f64>,
    /// What to do when it fails; empty when it passes.
    pub cure: String,
}

/// Holds `report` against `policy`. Pure: same arguments, same verdict.
pub fn check(report: &Report, policy: &Policy) -> Verdict {
    let _ = (report, policy);
    todo!("compare")
}
