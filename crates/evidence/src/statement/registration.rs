//! `registration`: a step in the life of a registration (算法登记) in the workshop's own register.
//! Subject: the model's digest. Not a filing: that is the authority's act.

use serde::{Deserialize, Serialize};

use super::Link;

/// A step in the life of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Its number in the register of this workshop.
    pub number: String,
    /// The name the model is registered, and answers, under.
    pub name: String,
    /// What is done.
    pub action: RegistrationAction,
    /// The step before it; absent for the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Link>,
    /// The verdict it rests on.
    pub verdict: Link,
    /// The approval it rests on; present from `registered` and `changed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Link>,
    /// Why, or what is asked for, for people.
    pub note: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// The steps, in the order of their life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationAction {
    /// 受理: handed in.
    Submitted,
    /// 预审: complete and passed by the gate.
    Reviewed,
    /// 补正: something is missing.
    CorrectionAsked,
    /// 登记: in the register.
    Registered,
    /// 变更: another model, verdict or approval under the same number.
    Changed,
    /// 注销: out of the register.
    Cancelled,
}
