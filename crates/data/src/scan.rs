//! What is looked for in every record: personal data and harmful words, by rule.
//!
//! Numbers are checked by their own arithmetic (the checksum of 身份证, Luhn for bank cards), names
//! and addresses by the words around them, in Chinese and English; harmful words by a list. What is
//! found enters the record's leaf, so that it cannot be denied later. Recall and precision on
//! generated rows are measured by the tests of this module and printed by them.
//!
//! Rules find what has a form. A name without a title, a hint told in a story, a picture: nothing
//! here sees them, and a clean scan is not a promise that nobody can be recognised. Nothing is
//! removed or replaced; what to do with a finding is for the pack's policy and its owner.

mod harmful;
mod mask;
mod numbers;
mod words;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lathe_evidence::statement::Scan;
use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization;

pub use mask::masked;

/// The version of the rules; it changes whenever they find anything else than before.
pub const VERSION: u64 = 1;

/// The name of what is not personal data but harm.
pub const HARMFUL: &str = "harmful";

/// Whether a text holds a kind of finding.
type Rule = fn(&str) -> bool;

/// The kinds of finding, sorted as leaves name them, each with its rule.
const RULES: [(&str, Rule); 7] = [
    ("address", words::has_address),
    ("bank-card", numbers::has_bank_card),
    ("e-mail", words::has_e_mail),
    (HARMFUL, harmful::has_any),
    ("id-card", numbers::has_id_card),
    ("name", words::has_name),
    ("phone", numbers::has_phone),
];

/// The kinds of finding in the texts and numbers of `fields`; sorted, none twice.
pub fn risks(fields: &Map<String, Value>) -> Vec<String> {
    let mut found = BTreeSet::new();
    for value in fields.values() {
        look(value, &mut found);
    }
    found.into_iter().map(str::to_owned).collect()
}

fn look(value: &Value, found: &mut BTreeSet<&'static str>) {
    match value {
        Value::String(text) => look_at_text(text, found),
        // Spreadsheets keep telephone numbers as numbers.
        Value::Number(number) if !number.is_f64() => look_at_text(&number.to_string(), found),
        Value::Array(items) => items.iter().for_each(|item| look(item, found)),
        Value::Object(members) => members.values().for_each(|item| look(item, found)),
        _ => {}
    }
}

fn look_at_text(text: &str, found: &mut BTreeSet<&'static str>) {
    // Full-width digits are digits.
    let text: String = text.nfkc().collect();
    for (kind, rule) in RULES {
        if !found.contains(kind) && rule(&text) {
            found.insert(kind);
        }
    }
}

/// Counts over the findings of all records.
pub(crate) fn summary<'a>(risks: impl Iterator<Item = &'a [String]>) -> Scan {
    let mut personal: BTreeMap<String, u64> = BTreeMap::new();
    let (mut personal_records, mut harmful) = (0, 0);
    for risks in risks {
        harmful += u64::from(risks.iter().any(|kind| kind == HARMFUL));
        personal_records += u64::from(risks.iter().any(|kind| kind != HARMFUL));
        for kind in risks.iter().filter(|kind| *kind != HARMFUL) {
            *personal.entry(kind.clone()).or_default() += 1;
        }
    }
    Scan {
        version: VERSION,
        personal,
        personal_records,
        harmful,
        ..Scan::default()
    }
}
