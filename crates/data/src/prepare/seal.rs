//! Salts and leaves: what ties each record to the dataset's root.

use lathe_evidence::Digest;
use lathe_evidence::canonical::{self, CanonicalError};
use lathe_evidence::digest::Hasher;
use lathe_evidence::leaf::{Leaf, SALT_BYTES, Salt};
use serde_json::json;

use super::{PrepareOptions, Sealed, keep_or_report};
use crate::reader::{Read, Record};
use crate::{DataError, DataSpec, scan};

/// Reports and keeps out the records that have no canonical bytes: those that nest too deep.
pub(super) fn refuse_unsealable(read: &mut Read) {
    keep_or_report(read, |record| match content(record) {
        Ok(_) => Ok(()),
        Err(error) => Err(error.to_string()),
    });
}

/// The records with their salts, leaves and findings, and how many were left out as withdrawn.
pub(super) fn seal(
    records: Vec<Record>,
    spec: &DataSpec,
    options: &PrepareOptions,
) -> Result<(Vec<Sealed>, u64), DataError> {
    let (mut sealed, mut withdrawn) = (Vec::with_capacity(records.len()), 0);
    for record in records {
        let risk = scan::risks(&record.fields);
        let leaf = leaf_of(&record, spec, &risk)?;
        let salt = salt(&options.salt_seed, &record.id, &leaf.content);
        let hash = leaf
            .hash(&salt)
            .map_err(|error| unsealable(&record, &error))?;
        if [hash, leaf.content]
            .iter()
            .any(|it| options.withdrawn.contains(it))
        {
            withdrawn += 1;
            continue;
        }
        sealed.push(Sealed {
            leaf: hash,
            salt,
            risk,
            record,
        });
    }
    Ok((sealed, withdrawn))
}

/// The leaf of `record` under the terms of `spec`, with what a scan found in it.
///
/// Its content is the digest of the canonical JSON of id, group and fields, decimals as
/// [`canonical::decimals_as_text`] writes them; the line is left out, so that a file that only
/// moved its rows keeps its leaves' contents.
///
/// # Errors
/// A record that nests too deep to have canonical bytes.
pub fn leaf_of(record: &Record, spec: &DataSpec, risk: &[String]) -> Result<Leaf, DataError> {
    Ok(Leaf {
        content: content_of(record)?,
        source: spec.source.to_string(),
        licence: spec.licence.clone(),
        agreement: spec.agreement.clone(),
        annotator: spec.annotator.clone(),
        risk: risk.to_vec(),
    })
}

/// The content that the record's leaf names, whatever the terms.
///
/// # Errors
/// As [`leaf_of`].
pub fn content_of(record: &Record) -> Result<Digest, DataError> {
    content(record).map_err(|error| unsealable(record, &error))
}

/// The digest of the record's canonical content.
fn content(record: &Record) -> Result<Digest, CanonicalError> {
    let content = json!({"id": record.id, "group": record.group, "fields": record.fields});
    Ok(Digest::of(&canonical::to_bytes(
        &canonical::decimals_as_text(&content),
    )?))
}

/// The record's salt: from the seed, so that the same order gives the same bytes; and not to be
/// guessed without it.
fn salt(seed: &[u8; 32], id: &str, content: &Digest) -> Salt {
    let mut hasher = Hasher::new();
    hasher.update(b"lathe salt\0");
    hasher.update(seed);
    hasher.update(&content.0);
    hasher.update(id.as_bytes());
    let digest = hasher.finish().0;
    let mut salt = [0; SALT_BYTES];
    salt.copy_from_slice(&digest[..SALT_BYTES]);
    salt
}

fn unsealable(record: &Record, error: &CanonicalError) -> DataError {
    DataError::Render {
        id: record.id.clone(),
        reason: format!("it has no canonical bytes: {error}"),
    }
}
