//! The `data` section of a pack.
//!
//! Plain structures as they are written; what they name is checked where it is used.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};

use crate::Source;
use crate::ends::Ends;
use crate::reader::{FieldType, ReaderSpec};

/// The whole section, as the pack writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// The dataset's name.
    pub name: String,
    /// Where the file comes from.
    pub source: Source,
    /// The digest of the final file.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The licence, as an SPDX identifier where there is one.
    pub licence: String,
    /// Who owns the data.
    pub owner: String,
    /// The agreement under which it may be used, if one was signed.
    #[serde(default)]
    pub agreement: Option<String>,
    /// Who labelled it, if known.
    #[serde(default)]
    pub annotator: Option<String>,
    /// The dataset version that this one follows, by its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Digest>,
    /// How the file is read.
    #[serde(default)]
    pub reader: ReaderSpec,
    /// What every record must satisfy.
    #[serde(default)]
    pub check: CheckSpec,
    /// What counts as the same record; nothing if absent.
    #[serde(default)]
    pub dedupe: Option<DedupeSpec>,
    /// Fields worked out from others, in this order.
    #[serde(default)]
    pub derive: Vec<DeriveSpec>,
    /// How training and test records are told apart.
    #[serde(default)]
    pub split: SplitSpec,
}

/// What every record must satisfy; one that does not is reported as broken and kept out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CheckSpec {
    /// Fields that must be there and not empty.
    pub required: Vec<String>,
    /// Bounds on number fields.
    pub ranges: BTreeMap<String, Range>,
}

/// An inclusive range of numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Range {
    /// The smallest allowed.
    pub min: Option<f64>,
    /// The largest allowed.
    pub max: Option<f64>,
}

/// Which records are the same: the first stays, the others are listed as duplicates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DedupeSpec {
    /// The text field that is compared, after NFKC, lower case and with white space collapsed.
    pub by: String,
}

/// One field worked out from another; exactly one of `pattern`, `bins` and `count`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeriveSpec {
    /// The new field.
    pub field: String,
    /// The field it is worked out from.
    pub from: String,
    /// A regular expression; its first group, else its whole match, is the value.
    #[serde(default)]
    pub pattern: Option<String>,
    /// Names for ranges of a number.
    #[serde(default)]
    pub bins: Option<Vec<Bin>>,
    /// A measure of a text.
    #[serde(default)]
    pub count: Option<Count>,
    /// What a `pattern` gives; text if absent.
    #[serde(default, rename = "type")]
    pub kind: Option<FieldType>,
}

/// What is counted in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Count {
    /// Words between white space.
    Words,
    /// Characters.
    Characters,
}

/// A named range of numbers. Bins are tried in order; the first that holds names the number, and
/// one without a bound holds for all that is left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bin {
    /// Holds for numbers smaller than this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub below: Option<f64>,
    /// Holds for numbers up to and including this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<f64>,
    /// The name.
    pub name: String,
}

impl Bin {
    /// The name that `bins` give to `number`, if one of them holds.
    pub fn name_of(bins: &[Bin], number: f64) -> Option<&str> {
        bins.iter()
            .find(|bin| {
                bin.below.is_none_or(|below| number < below) && bin.to.is_none_or(|to| number <= to)
            })
            .map(|bin| bin.name.as_str())
    }
}

/// Between which ends the share of the records to test on lies.
pub const TEST_SHARE: Ends = Ends::above(0).below(1);

/// How training and test records are told apart: by group, never inside one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitSpec {
    /// The field whose equal values stay together, lists and objects by their JSON; every record for
    /// itself if absent.
    pub group: Option<String>,
    /// The share of the records to test on.
    pub test_share: f64,
    /// The seed.
    pub seed: u64,
    /// The field that says of every record whether it is held out, in place of a share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held_out: Option<String>,
}

impl Default for SplitSpec {
    fn default() -> Self {
        Self {
            group: None,
            test_share: 0.2,
            seed: 0,
            held_out: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_tried_in_order_with_open_and_closed_ends() {
        let yaml = "[{below: -0.5, name: negative}, {to: 0.5, name: neutral}, {name: positive}]";
        let bins: Vec<Bin> = serde_saphyr::from_str(yaml).unwrap();
        let check = |number, name| assert_eq!(Bin::name_of(&bins, number), Some(name));
        check(-0.6, "negative");
        check(-0.5, "neutral");
        check(0.5, "neutral");
        check(0.51, "positive");
        assert_eq!(Bin::name_of(&bins[..1], 3.0), None);
    }

    #[test]
    fn an_unknown_key_is_refused() {
        let error = serde_saphyr::from_str::<SplitSpec>("{test_shaer: 0.5}").unwrap_err();
        assert!(error.to_string().contains("test_shaer"), "{error}");
    }
}
