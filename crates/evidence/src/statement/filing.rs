//! `filing`: an authority's act (备案), as evidence. Subject: the digest of the authority's document.

use serde::{Deserialize, Serialize};

/// An authority's act. Nothing here is the workshop's to grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Filing {
    /// The registration it belongs to.
    pub registration: String,
    /// Which kind.
    pub kind: FilingKind,
    /// The authority.
    pub authority: String,
    /// The number the authority gave.
    pub number: String,
    /// The day on the document, YYYY-MM-DD.
    pub date: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// The kinds of filing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FilingKind {
    /// 算法备案.
    Algorithm,
    /// 生成式人工智能服务备案.
    GenerativeService,
    /// 生成式人工智能服务登记: a filed model called unchanged.
    GenerativeRegistration,
}
