//! `breaker`: the breaker of a deployment changed its state. Subject: the model's digest.

use serde::{Deserialize, Serialize};

/// A transition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Breaker {
    /// The deployment's name.
    pub deployment: String,
    /// The state it leaves.
    pub from: BreakerState,
    /// The state it enters.
    pub to: BreakerState,
    /// What made it move.
    pub cause: Cause,
    /// The figure or the person behind it, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// The states of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum BreakerState {
    /// It answers.
    #[default]
    Closed,
    /// It answers only those who ask for it in the knowledge of the reason (受限运行).
    Restricted,
    /// It does not answer until it is closed.
    Open,
    /// It does not answer until its evidence is whole again; nobody can close it before.
    ForcedOpen,
}

/// What can make a breaker move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// Somebody's decision.
    Manual,
    /// Too many answers that do not satisfy the task's schema.
    InvalidAnswers,
    /// Too many complaints about its answers.
    Complaints,
    /// A file or a statement is not what it was.
    DigestMismatch,
    /// Data it was tuned on was withdrawn.
    Withdrawn,
    /// A verdict or an approval is past its time.
    Expired,
    /// The home was restored from a backup: it waits for a fresh deployment.
    Restored,
    /// The evidence is whole again, or another deployment took the name.
    Renewed,
}
