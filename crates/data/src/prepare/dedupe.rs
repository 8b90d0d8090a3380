//! Records that say the same: the first stays, wherever the others are, so that no text stands on
//! both sides of the split.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

use super::{Duplicate, check_field};
use crate::DataError;
use crate::reader::Read;
use crate::spec::DedupeSpec;

/// Takes the duplicates out of the records and lists them.
pub(super) fn dedupe(read: &mut Read, spec: &DedupeSpec) -> Result<Vec<Duplicate>, DataError> {
    check_field(read, "dedupe.by", &spec.by)?;
    let mut first_by_text: HashMap<String, String> = HashMap::new();
    let mut duplicates = Vec::new();
    read.records.retain(|record| {
        let text = match record.fields.get(&spec.by) {
            None | Some(Value::Null) => return true,
            Some(Value::String(text)) => normalised(text),
            Some(other) => other.to_string(),
        };
        match first_by_text.entry(text) {
            Entry::Vacant(vacant) => {
                vacant.insert(record.id.clone());
                true
            }
            Entry::Occupied(first) => {
                duplicates.push(Duplicate {
                    id: record.id.clone(),
                    line: record.line,
                    same_as: first.get().clone(),
                });
                false
            }
        }
    });
    Ok(duplicates)
}

/// The text in NFKC (full-width letters are letters), lower case, white space collapsed.
fn normalised(text: &str) -> String {
    let lower: String = text.nfkc().flat_map(char::to_lowercase).collect();
    lower.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::normalised;

    #[test]
    fn width_case_and_white_space_do_not_tell_texts_apart() {
        assert_eq!(normalised(" Ｇood\u{3000}\tPHONE \n"), "good phone");
        assert_ne!(normalised("good phone"), normalised("good phone!"));
    }
}
