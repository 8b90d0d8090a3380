//! Held-out records whose text is trained on too.
//!
//! Dedupe compares whole texts; here only letters and digits count, so that a full stop more does
//! not hide a repeated sentence. Likeness beyond that is not measured.

use std::collections::HashSet;

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::Sealed;
use crate::DataSpec;

/// How many records of `test` say what a record of `train` says: by the field that dedupe compares,
/// else by all text fields together. Records without letters or digits are passed over.
pub(super) fn count(train: &[Sealed], test: &[Sealed], spec: &DataSpec) -> u64 {
    let by = spec.dedupe.as_ref().map(|dedupe| dedupe.by.as_str());
    let trained: HashSet<Digest> = train.iter().filter_map(|it| said(it, by)).collect();
    let repeats = |sealed: &&Sealed| said(sealed, by).is_some_and(|it| trained.contains(&it));
    test.iter().filter(repeats).count() as u64
}

/// The letters and digits of a text, in lower case: texts that agree in them say the same.
pub fn letters(text: &str) -> String {
    text.nfkc()
        .filter(|letter| letter.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// The digest of the letters and digits of a record's text.
fn said(sealed: &Sealed, by: Option<&str>) -> Option<Digest> {
    let record = &sealed.record;
    let (mut hasher, mut empty) = (Hasher::new(), true);
    for (name, value) in &record.fields {
        let Value::String(text) = value else {
            continue;
        };
        let own = *text == record.id || *text == record.group;
        if by.map_or(own, |by| by != name) {
            continue;
        }
        let letters = letters(text);
        empty &= letters.is_empty();
        hasher.update(letters.as_bytes());
        hasher.update(&[0]);
    }
    (!empty).then(|| hasher.finish())
}
