//! What is signed: in-toto statements, one type of predicate a file.
//!
//! A statement is written once as canonical JSON (RFC 8785, so no floats: figures are decimal texts)
//! and from then on its bytes are kept verbatim; reading never makes bytes anew. It names other
//! statements by [`Link`], the Merkle leaf hash of their envelopes, so that neither order nor place
//! in the ledger can be changed without changing what is named.
//!
//! Format: in-toto Attestation Framework, Statement v1. Signing and the log are in the ledger;
//! whether statements make a chain is for the register.

mod access;
mod approval;
mod base_model;
mod breaker;
mod dataset;
mod deployment;
mod evaluation;
mod filing;
mod key;
mod moved;
mod receipts;
mod registration;
mod role;
mod training;
mod upstream;
mod verdict;
mod withdrawal;
mod workshop;

pub use access::{Access, AccessAction, AccessScope};
pub use approval::{Approval, Decision};
pub use base_model::BaseModel;
pub use breaker::{Breaker, BreakerState, Cause};
pub use dataset::{Dataset, Scan};
pub use deployment::Deployment;
pub use evaluation::Evaluation;
pub use filing::{Filing, FilingKind};
pub use key::{Key, KeyAction, KeyRecord};
pub use moved::{Imported, Restored};
pub use receipts::Receipts;
pub use registration::{Registration, RegistrationAction};
pub use role::Role;
pub use training::{DatasetUse, PreviousStage, Training};
pub use upstream::{Upstream, UpstreamAction};
pub use verdict::{Outcome, Verdict};
pub use withdrawal::{Withdrawal, Withdrawn};
pub use workshop::{ApprovalPolicy, Workshop};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Digest, canonical};

/// The `_type` of every statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// The media type of a statement inside an envelope.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// What the type of a predicate begins with; its name and version follow.
const TYPE_PREFIX: &str = "urn:lathe:statement:";

/// The most subjects a statement may have.
pub const SUBJECTS_MAX: usize = 64;

/// The most bytes a statement may have: its envelope then fits the 65,535 bytes of an entry in a
/// tlog tile.
pub const STATEMENT_BYTES_MAX: usize = 48_000;

/// Names another statement: the RFC 6962 leaf hash of its envelope's bytes.
pub type Link = Digest;

/// What a statement speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// What it is called, for people.
    pub name: String,
    /// Its digest.
    pub digest: SubjectDigest,
}

/// A digest as in-toto writes it: by algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct SubjectDigest {
    /// SHA-256.
    pub sha256: Digest,
}

impl Subject {
    /// The subject of this name and SHA-256.
    pub fn new(name: impl Into<String>, sha256: Digest) -> Self {
        Self {
            name: name.into(),
            digest: SubjectDigest { sha256 },
        }
    }
}

/// A statement: who (by its signature, outside) says what of which things.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// What it speaks of; never empty.
    pub subjects: Vec<Subject>,
    /// What it says.
    pub predicate: Predicate,
}

/// A statement as its JSON is laid out.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "_type")]
    statement_type: String,
    subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    predicate: Value,
}

/// Why bytes are not a statement, or a statement has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StatementError {
    /// Too long to be read.
    #[error("the statement has {0} bytes, more than {STATEMENT_BYTES_MAX}")]
    Bytes(usize),
    /// Not JSON of the layout, or a member that is unknown, missing or of another type.
    #[error("the statement is not one: {0}")]
    Layout(String),
    /// Another `_type`.
    #[error("the statement's _type is {0:?} instead of {STATEMENT_TYPE:?}")]
    Type(String),
    /// A predicate this version does not know.
    #[error(
        "the statement's predicateType {0:?} is not known; use the version of Lathe that wrote it"
    )]
    Unknown(String),
    /// No subject, or too many.
    #[error("the statement has {0} subjects instead of 1 to {SUBJECTS_MAX}")]
    Subjects(usize),
    /// Bytes other than the canonical ones.
    #[error("the statement is not in canonical form (RFC 8785)")]
    NotCanonical,
}

impl Statement {
    /// The statement about one subject.
    pub fn of(name: impl Into<String>, sha256: Digest, predicate: impl Into<Predicate>) -> Self {
        Self {
            subjects: vec![Subject::new(name, sha256)],
            predicate: predicate.into(),
        }
    }

    /// The digest of the first subject, which a statement is found by.
    pub fn subject(&self) -> Digest {
        self.subjects[0].digest.sha256
    }

    /// The canonical bytes, to be signed and kept.
    ///
    /// # Errors
    /// No subject or too many, a number beyond ±(2⁵³ − 1), too many bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, StatementError> {
        check_subjects(&self.subjects)?;
        let written = Written {
            statement_type: STATEMENT_TYPE.to_owned(),
            subject: self.subjects.clone(),
            predicate_type: self.predicate.type_uri(),
            predicate: self.predicate.to_value(),
        };
        let value = serde_json::to_value(written).expect("a statement is plain JSON");
        let bytes =
            canonical::to_bytes(&value).map_err(|e| StatementError::Layout(e.to_string()))?;
        check_length(&bytes)?;
        Ok(bytes)
    }

    /// Reads a statement strictly: canonical, every member known, none missing.
    ///
    /// # Errors
    /// See [`StatementError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StatementError> {
        check_length(bytes)?;
        let layout = |error: serde_json::Error| StatementError::Layout(error.to_string());
        let written: Written = serde_json::from_slice(bytes).map_err(layout)?;
        if written.statement_type != STATEMENT_TYPE {
            return Err(StatementError::Type(written.statement_type));
        }
        check_subjects(&written.subject)?;
        let statement = Self {
            predicate: Predicate::from_value(&written.predicate_type, written.predicate)?,
            subjects: written.subject,
        };
        // Also refuses members given twice, which the parser would merge.
        if statement.to_bytes()? != bytes {
            return Err(StatementError::NotCanonical);
        }
        Ok(statement)
    }
}

fn check_length(bytes: &[u8]) -> Result<(), StatementError> {
    match bytes.len() {
        0..=STATEMENT_BYTES_MAX => Ok(()),
        more => Err(StatementError::Bytes(more)),
    }
}

fn check_subjects(subjects: &[Subject]) -> Result<(), StatementError> {
    match subjects.len() {
        1..=SUBJECTS_MAX => Ok(()),
        other => Err(StatementError::Subjects(other)),
    }
}

/// The table of predicates: variant, its name in the type URI, and who may sign it.
macro_rules! predicates {
    ($($variant:ident $name:literal by $($role:ident)|+;)+) => {
        /// What a statement says.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Predicate {
            $(#[doc = concat!("`", $name, "`; see [`", stringify!($variant), "`](struct@", stringify!($variant), ").")]
            $variant($variant),)+
        }

        $(impl From<$variant> for Predicate {
            fn from(it: $variant) -> Self {
                Predicate::$variant(it)
            }
        }

        impl<'a> TryFrom<&'a Predicate> for &'a $variant {
            type Error = &'static str;

            /// What it says, if it is of this type; else the name of what it is.
            fn try_from(said: &'a Predicate) -> Result<Self, Self::Error> {
                match said {
                    Predicate::$variant(it) => Ok(it),
                    other => Err(other.name()),
                }
            }
        })+

        impl Predicate {
            /// The names of all predicates, in the order of the table.
            pub const NAMES: &[&str] = &[$($name),+];

            /// Its name: `training`.
            pub fn name(&self) -> &'static str {
                match self { $(Predicate::$variant(_) => $name,)+ }
            }

            /// The roles one of which its signer must have.
            pub fn signers(&self) -> &'static [Role] {
                Self::signers_of(self.name())
            }

            /// The roles one of which the signer of a predicate of this name must have; none for a
            /// name that is not in the table.
            pub fn signers_of(name: &str) -> &'static [Role] {
                match name {
                    $($name => &[$(Role::$role),+],)+
                    _ => &[],
                }
            }

            /// When it was said, milliseconds since 1970.
            pub fn at_ms(&self) -> i64 {
                match self { $(Predicate::$variant(it) => it.at_ms,)+ }
            }

            fn to_value(&self) -> Value {
                match self {
                    $(Predicate::$variant(it) => serde_json::to_value(it).expect("a predicate is plain JSON"),)+
                }
            }

            fn from_value(uri: &str, value: Value) -> Result<Self, StatementError> {
                match uri.strip_prefix(TYPE_PREFIX).and_then(|it| it.strip_suffix(":v1")) {
                    $(Some($name) => serde_json::from_value(value)
                        .map(Predicate::$variant)
                        .map_err(|error| StatementError::Layout(format!(concat!($name, ": {}"), error))),)+
                    _ => Err(StatementError::Unknown(uri.chars().take(200).collect())),
                }
            }
        }
    };
}

predicates! {
    Workshop "workshop" by Root;
    Key "key" by Root;
    BaseModel "base-model" by Tuner;
    Dataset "dataset" by DataOwner;
    Training "training" by Tuner;
    Evaluation "evaluation" by Evaluator;
    Verdict "verdict" by Evaluator;
    Registration "registration" by Registrar;
    Approval "approval" by Approver;
    Deployment "deployment" by Operator;
    Withdrawal "withdrawal" by DataOwner | Registrar;
    Breaker "breaker" by Operator;
    Receipts "receipts" by Operator;
    Filing "filing" by Registrar;
    Restored "restored" by Root;
    Imported "imported" by Operator;
    Access "access" by Operator;
    Upstream "upstream" by Operator;
}

impl Predicate {
    /// Its type as a URI: `urn:lathe:statement:training:v1`.
    pub fn type_uri(&self) -> String {
        format!("{TYPE_PREFIX}{}:v1", self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement() -> Statement {
        let said = Withdrawal {
            what: Withdrawn::Leaf(Digest::of(b"leaf")),
            reason: "asked by its author".to_owned(),
            at_ms: 5,
        };
        Statement::of("record", Digest::of(b"leaf"), said)
    }

    #[test]
    fn bytes_are_canonical_in_toto_and_come_back() {
        let bytes = statement().to_bytes().unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        let digest = Digest::of(b"leaf");
        assert_eq!(
            text,
            format!(
                r#"{{"_type":"https://in-toto.io/Statement/v1","predicate":{{"at_ms":5,"reason":"asked by its author","what":{{"leaf":"{digest}"}}}},"predicateType":"urn:lathe:statement:withdrawal:v1","subject":[{{"digest":{{"sha256":"{digest}"}},"name":"record"}}]}}"#
            )
        );
        assert_eq!(Statement::from_bytes(&bytes).unwrap(), statement());
    }

    #[test]
    fn what_is_unknown_missing_or_not_canonical_is_refused() {
        let text = String::from_utf8(statement().to_bytes().unwrap()).unwrap();
        let check = |changed: String, expected: &str| {
            let error = Statement::from_bytes(changed.as_bytes()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check(text.replace("Statement/v1", "Statement/v2"), "_type");
        check(text.replace("withdrawal:v1", "withdrawal:v2"), "not known");
        check(text.replace("\"at_ms\":5,", ""), "at_ms");
        check(
            text.replace("\"at_ms\":5,", "\"at_ms\":5,\"extra\":1,"),
            "extra",
        );
        check(text.replace("\"at_ms\":5,", "\"at_ms\": 5,"), "canonical");
        check(
            text.replace("\"at_ms\":5,", "\"at_ms\":5,\"at_ms\":5,"),
            "canonical",
        );
        check(text[..text.len() - 2].to_owned(), "not one");
        let none = Statement {
            subjects: Vec::new(),
            ..statement()
        };
        assert_eq!(none.to_bytes(), Err(StatementError::Subjects(0)));
    }

    #[test]
    fn names_are_unique() {
        let mut names = Predicate::NAMES.to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Predicate::NAMES.len());
    }
}
