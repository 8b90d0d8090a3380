//! `access`: a key of the API was issued, or taken back.
//!
//! Subject: the SHA-256 of the key, which is all that the workshop keeps of it. The key is 256 random
//! bits, so its digest tells nothing about it.

use serde::{Deserialize, Serialize};

/// What happened to a key of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Its id in the workshop.
    pub id: String,
    /// Whom or what it is for, for people.
    pub name: String,
    /// What happened.
    pub action: AccessAction,
    /// What it opens; sorted, none twice.
    pub scopes: Vec<AccessScope>,
    /// The models it may ask, by name; empty for all.
    pub models: Vec<String>,
    /// Milliseconds since 1970 after which it opens nothing; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// Why, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What can happen to a key of the API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AccessAction {
    /// It opens from here on.
    Issued,
    /// It opens nothing more.
    Revoked,
}

/// What a key of the API opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum AccessScope {
    /// Answers of the deployed models, and their list.
    Answer,
    /// Corrections and complaints about answers.
    Feedback,
    /// Files handed over and models tuned on them.
    Tune,
    /// The registered models and their files, for other people's clients.
    Models,
    /// The figures at `/metrics`.
    Metrics,
    /// Everything: pages, orders, evidence, keys.
    Admin,
}

impl AccessScope {
    /// All scopes.
    pub const ALL: [AccessScope; 6] = [
        AccessScope::Answer,
        AccessScope::Feedback,
        AccessScope::Tune,
        AccessScope::Models,
        AccessScope::Metrics,
        AccessScope::Admin,
    ];

    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            AccessScope::Answer => "answer",
            AccessScope::Feedback => "feedback",
            AccessScope::Tune => "tune",
            AccessScope::Models => "models",
            AccessScope::Metrics => "metrics",
            AccessScope::Admin => "admin",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_written_ones() {
        for scope in AccessScope::ALL {
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.name());
        }
    }
}
