//! The leaf of a record: what a dataset's root commits to, one per record.
//!
//! A leaf names the content by digest, never the content itself. It is hashed with a 16-byte salt of
//! its own; once the salt is deleted, the hash no longer tells anything about the record, and the
//! root still stands.

use serde::{Deserialize, Serialize};

use crate::canonical::{self, CanonicalError};
use crate::{Digest, merkle};

/// The number of bytes in a salt.
pub const SALT_BYTES: usize = 16;

/// The salt of one record.
pub type Salt = [u8; SALT_BYTES];

/// What is claimed of one record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leaf {
    /// The digest of the record's canonical content.
    pub content: Digest,
    /// Where the record came from, as the source was written.
    pub source: String,
    /// The licence it may be used under.
    pub licence: String,
    /// The agreement it may be used under, if one was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agreement: Option<String>,
    /// Who labelled it, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub annotator: Option<String>,
    /// What a scan found in it; empty where nothing was found or nothing scanned.
    #[serde(default)]
    pub risk: Vec<String>,
}

impl Leaf {
    /// The RFC 6962 leaf hash over `salt` followed by the leaf's canonical JSON.
    ///
    /// The salt's length is fixed, so no two pairs of salt and leaf share their bytes.
    ///
    /// # Errors
    /// None that a leaf of texts can reach; the canonical form's are passed on.
    pub fn hash(&self, salt: &Salt) -> Result<Digest, CanonicalError> {
        let value = serde_json::to_value(self).expect("a leaf is plain texts");
        let mut data = salt.to_vec();
        data.extend(canonical::to_bytes(&value)?);
        Ok(merkle::leaf_hash(&data))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        Leaf {
            content: Digest::of(b"content"),
            source: "file:reviews.csv".to_owned(),
            licence: "MIT".to_owned(),
            agreement: None,
            annotator: None,
            risk: Vec::new(),
        }
    }

    #[test]
    fn the_hash_is_over_prefix_salt_and_canonical_json() {
        let salt = [7; SALT_BYTES];
        let json = format!(
            r#"{{"content":"{}","licence":"MIT","risk":[],"source":"file:reviews.csv"}}"#,
            Digest::of(b"content")
        );
        let expected = Digest::of(&[&[0x00], &salt[..], json.as_bytes()].concat());
        assert_eq!(leaf().hash(&salt).unwrap(), expected);
    }

    #[test]
    fn salt_and_every_field_count() {
        let hash = |leaf: &Leaf| leaf.hash(&[0; SALT_BYTES]).unwrap();
        let whole = hash(&leaf());
        assert_ne!(leaf().hash(&[1; SALT_BYTES]).unwrap(), whole);
        let changes: [fn(&mut Leaf); 6] = [
            |leaf| leaf.content = Digest::of(b"other"),
            |leaf| leaf.source.push('x'),
            |leaf| leaf.licence.push('x'),
            |leaf| leaf.agreement = Some(String::new()),
            |leaf| leaf.annotator = Some(String::new()),
            |leaf| leaf.risk.push("e-mail".to_owned()),
        ];
        for change in changes {
            let mut changed = leaf();
            change(&mut changed);
            assert_ne!(hash(&changed), whole, "{changed:?}");
        }
    }

    #[test]
    fn an_unknown_member_is_refused() {
        let mut value = serde_json::to_value(leaf()).unwrap();
        value["extra"] = 1.into();
        assert!(serde_json::from_value::<Leaf>(value).is_err());
    }
}
