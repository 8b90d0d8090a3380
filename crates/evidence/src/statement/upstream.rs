//! `upstream`: another server answers under a name of this workshop, or does so no more.
//!
//! Nobody here has seen its weights: an answer from it has a receipt that says so, and rests on no
//! report, no gate and no registration. What the statement holds is who decided that text goes there.
//!
//! Subject: the SHA-256 of the canonical JSON `[url, model]` ([`Upstream::subject_of`]).

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Digest, canonical};

/// What happened to an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// The name it answers under here.
    pub name: String,
    /// What happened.
    pub action: UpstreamAction,
    /// Where it is: `http` or `https`, with the path that `/chat/completions` follows, without a key.
    pub url: String,
    /// The name that it is asked for there.
    pub model: String,
    /// Whether text may leave this machine for it.
    pub remote: bool,
    /// The upstream that is asked instead while this one is down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failover: Option<String>,
    /// How often it is asked again where nothing has come yet.
    pub retries: u32,
    /// Longest wait for a connection, in milliseconds.
    pub connect_ms_max: u64,
    /// Longest silence, before the first token and between two, in milliseconds.
    pub silence_ms_max: u64,
    /// Whether it is asked with a key.
    pub keyed: bool,
    /// Why, for people.
    pub reason: String,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What can happen to an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum UpstreamAction {
    /// It answers from here on, in place of what answered under the name before.
    Added,
    /// It answers no more.
    Removed,
}

impl Upstream {
    /// The subject of its statement, which stands for the weights that nobody has seen.
    pub fn subject(&self) -> Digest {
        Upstream::subject_of(&self.url, &self.model)
    }

    /// The subject for a place and the name that is asked for there.
    pub fn subject_of(url: &str, model: &str) -> Digest {
        let bytes = canonical::to_bytes(&json!([url, model])).expect("texts alone");
        Digest::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_where_and_what() {
        let subject = Upstream::subject_of("http://127.0.0.1:8000/v1", "m");
        assert_eq!(subject, Digest::of(br#"["http://127.0.0.1:8000/v1","m"]"#));
        assert_ne!(
            subject,
            Upstream::subject_of("http://127.0.0.1:8001/v1", "m")
        );
    }
}
