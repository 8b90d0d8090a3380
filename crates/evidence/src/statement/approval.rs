//! `approval`: somebody decided about a model. Subject: the model's digest.
//!
//! Where the workshop's own key signs for a person, the reason ends with who that is; it is written and read
//! here alone. Whether the key is the workshop's own, so that this counts, is for the register.

use serde::{Deserialize, Serialize};

use super::Link;

/// Somebody's decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// The registration's number.
    pub number: String,
    /// The verdict that was read.
    pub verdict: Link,
    /// What was decided.
    pub decision: Decision,
    /// Why, for people.
    pub reason: String,
    /// Milliseconds since 1970 after which it no longer holds; absent for no end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
}

/// What stands before the name of the person whom the workshop's own key signs for.
const FOR_PERSON: &str = " (decided by person ";

impl Approval {
    /// The reason of a decision that the workshop's own key signs for a person.
    pub fn reason_for(reason: &str, person: &str) -> String {
        format!("{}{FOR_PERSON}{person})", reason.trim())
    }

    /// The reason as it was given, without whom it is signed for.
    pub fn why(&self) -> &str {
        match (self.person(), self.reason.rsplit_once(FOR_PERSON)) {
            (Some(_), Some((why, _))) => why,
            _ => &self.reason,
        }
    }

    /// The person whom it is signed for, as its reason ends with; none where it was nobody's decision, or was
    /// signed with a key of the decider's own. Whatever somebody wrote as a reason stands before that.
    pub fn person(&self) -> Option<&str> {
        let (_, name) = self.reason.strip_suffix(')')?.rsplit_once(FOR_PERSON)?;
        let is_plain = |letter: char| letter.is_ascii_alphanumeric() || ".-_".contains(letter);
        (!name.is_empty() && name.chars().all(is_plain)).then_some(name)
    }
}

/// What can be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// It may be used.
    Approved,
    /// It may not.
    Rejected,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Digest;

    fn approval(reason: String) -> Approval {
        Approval {
            number: "2026-0001".to_owned(),
            verdict: Digest::of(b"verdict"),
            decision: Decision::Approved,
            reason,
            expires_ms: None,
            at_ms: 1,
        }
    }

    #[test]
    fn whoever_decided_is_read_as_it_is_written() {
        let said = approval(Approval::reason_for(" read ", "li.lei-2"));
        assert_eq!(said.reason, "read (decided by person li.lei-2)");
        assert_eq!(said.person(), Some("li.lei-2"));
        // A reason that names somebody else names nobody: who decides is written after it.
        let forged = Approval::reason_for("ok (decided by person wang)", "anna");
        assert_eq!(approval(forged).person(), Some("anna"));
    }

    #[test]
    fn what_nobody_decided_names_nobody() {
        for reason in [
            "self-approved: this workshop's policy is `approval: self`",
            "decided by person wang",
            "read (decided by person )",
            "read (decided by person wang) or not",
            "read (decided by person wang and (others))",
        ] {
            assert_eq!(approval(reason.to_owned()).person(), None, "{reason}");
        }
    }

    #[test]
    fn the_reason_is_told_without_whom_it_is_signed_for() {
        let mut said = approval(Approval::reason_for("too curt (twice)", "wang"));
        assert_eq!(said.why(), "too curt (twice)");
        said.reason = "too curt (twice)".to_owned();
        assert_eq!(said.why(), "too curt (twice)");
    }
}
