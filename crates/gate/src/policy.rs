//! What a pack demands before a model is admitted, read strictly.
//!
//! Every section but the thresholds may be left out, and what is left out is not asked. Reading
//! refuses what can mean nothing; whether a rule can ever bite is for [`lint`](crate::lint).

use lathe_evidence::statement::Predicate;
use lathe_evidence::{Digest, canonical};
use serde::{Deserialize, Serialize};

pub use crate::threshold::{Bound, Reference, Rule, SliceRule, Slices, Threshold};

/// The longest time a verdict may hold, in days.
pub const EXPIRES_DAYS_MAX: u32 = 3660;

/// The demands of a pack, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The thresholds in the order of the pack. An empty list admits nothing.
    pub thresholds: Vec<Threshold>,
    /// The statements that have to stand in the ledger before the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub require: Vec<Required>,
    /// What the licences of base model and data have to permit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub licences: Option<LicenceRules>,
    /// What the scan of the data may find.
    #[serde(default, skip_serializing_if = "DataRules::is_empty")]
    pub data: DataRules,
    /// For how many days the verdict holds; for good if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_days: Option<ExpiryDays>,
}

/// The name of a kind of statement, as the table of predicates has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Required(String);

/// What the licences have to permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LicenceRules {
    /// What the model is for.
    #[serde(rename = "use")]
    pub purpose: Use,
    /// Licences that permit it although the table does not say so: a contract of your own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<String>,
    /// Licences that are refused whatever the table says. It wins over `allow`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deny: Vec<String>,
}

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Use {
    /// It earns money, or is offered to others.
    Commercial,
    /// Inside one organisation.
    Internal,
    /// Research and teaching.
    Research,
}

/// What the scan of each dataset may find.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataRules {
    /// The largest share of records with personal data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personal_max_share: Option<Share>,
    /// The largest share of records with harmful words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub harmful_max_share: Option<Share>,
    /// The largest share of rows that repeated an earlier one and were left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duplicates_max_share: Option<Share>,
    /// The most held-out records whose text is trained on too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_max_records: Option<u64>,
}

/// A share, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Share(f64);

/// Whole days, 1 to [`EXPIRES_DAYS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct ExpiryDays(u32);

/// Why a policy is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Neither or both of the two kinds.
    #[error("threshold on {metric}: give exactly one of at_least and above")]
    OneKind {
        /// The metric of the threshold.
        metric: String,
    },
    /// A floor that no figure can be compared with.
    #[error("threshold on {metric}: at_least must be a finite number")]
    NotFinite {
        /// The metric of the threshold.
        metric: String,
    },
    /// `paired_lower` compares two subjects, a floor has one.
    #[error(
        "threshold on {metric}: bound paired_lower goes with above, not with at_least; use bound: lower"
    )]
    PairedFloor {
        /// The metric of the threshold.
        metric: String,
    },
    /// Slices have values without intervals, and the base is measured on fewer records.
    #[error(
        "threshold on {metric}: a slice goes with at_least or above: best_challenger and no bound, for slices have no intervals"
    )]
    SliceKind {
        /// The metric of the threshold.
        metric: String,
    },
    /// Neither or both of one value and each value.
    #[error("threshold on {metric}: a slice gives exactly one of value and each: true")]
    SliceValue {
        /// The metric of the threshold.
        metric: String,
    },
    /// Not a kind of statement.
    #[error("require: there is no statement `{0}`; known: {known}", known = Predicate::NAMES.join(", "))]
    Statement(String),
    /// Outside 0 to 1.
    #[error("{0} is not a share: write a number from 0 to 1")]
    Share(String),
    /// Outside the bounds.
    #[error("expires_days is {0}; write 1 to {EXPIRES_DAYS_MAX}")]
    Days(u32),
    /// Kept text that is not a policy in canonical form.
    #[error("the policy is not one in canonical form: {0}")]
    Canonical(String),
}

impl Policy {
    /// The policy as a verdict keeps it: canonical JSON with decimals as text.
    pub fn to_canonical(&self) -> String {
        let value = serde_json::to_value(self).expect("a policy is plain JSON");
        let bytes = canonical::to_bytes(&canonical::decimals_as_text(&value))
            .expect("decimals are texts and a policy is shallow");
        String::from_utf8(bytes).expect("canonical JSON is UTF-8")
    }

    /// Reads what [`to_canonical`](Self::to_canonical) wrote, and nothing else.
    ///
    /// # Errors
    /// [`PolicyError::Canonical`].
    pub fn from_canonical(text: &str) -> Result<Self, PolicyError> {
        let refuse = |error: serde_json::Error| PolicyError::Canonical(error.to_string());
        let value = serde_json::from_str(text).map_err(refuse)?;
        let value = canonical::text_as_decimals(&value)
            .ok_or_else(|| PolicyError::Canonical("a decimal is no number".to_owned()))?;
        let policy: Self = serde_json::from_value(value).map_err(refuse)?;
        if policy.to_canonical() == text {
            Ok(policy)
        } else {
            Err(PolicyError::Canonical("it is written otherwise".to_owned()))
        }
    }

    /// The digest of the canonical form, which receipts name.
    pub fn digest(&self) -> Digest {
        Digest::of(self.to_canonical().as_bytes())
    }

    /// When a verdict given at `at_ms` goes stale, if it does.
    pub fn expires_ms(&self, at_ms: i64) -> Option<i64> {
        const DAY_MS: i64 = 24 * 60 * 60 * 1000;
        let days = i64::from(self.expires_days?.0);
        Some(at_ms.saturating_add(days * DAY_MS))
    }
}

impl DataRules {
    /// Whether nothing is asked.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Required {
    /// The kind of statement.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Required {
    type Error = PolicyError;

    fn try_from(name: String) -> Result<Self, PolicyError> {
        if Predicate::NAMES.contains(&name.as_str()) {
            Ok(Self(name))
        } else {
            Err(PolicyError::Statement(name))
        }
    }
}

impl From<Required> for String {
    fn from(required: Required) -> Self {
        required.0
    }
}

impl Share {
    /// The share as a number.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Share {
    type Error = PolicyError;

    fn try_from(share: f64) -> Result<Self, PolicyError> {
        if (0.0..=1.0).contains(&share) {
            Ok(Self(share))
        } else {
            Err(PolicyError::Share(share.to_string()))
        }
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl ExpiryDays {
    /// The days.
    pub fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for ExpiryDays {
    type Error = PolicyError;

    fn try_from(days: u32) -> Result<Self, PolicyError> {
        if (1..=EXPIRES_DAYS_MAX).contains(&days) {
            Ok(Self(days))
        } else {
            Err(PolicyError::Days(days))
        }
    }
}

impl From<ExpiryDays> for u32 {
    fn from(days: ExpiryDays) -> Self {
        days.0
    }
}

impl Use {
    /// Its name in a policy.
    pub fn name(self) -> &'static str {
        match self {
            Use::Commercial => "commercial",
            Use::Internal => "internal",
            Use::Research => "research",
        }
    }
}
