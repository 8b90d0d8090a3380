//! Harmful words: a short list in a data file, matched whole in English and anywhere in Chinese.
//!
//! The list is a floor for everybody, far from the 10,000 keywords and more that TC260-003 asks of a
//! public service; a list of that size is its operator's to keep.

use std::sync::LazyLock;

use regex::Regex;

/// One pattern for all entries; `None` could only be if the file were empty.
static ENTRIES: LazyLock<Regex> = LazyLock::new(|| {
    let lines = include_str!("../../data/harmful.txt").lines();
    let entries: Vec<String> = lines
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let escaped = regex::escape(line.trim());
            if line.is_ascii() {
                format!(r"\b{}\b", escaped.replace(' ', r"\s+"))
            } else {
                escaped
            }
        })
        .collect();
    Regex::new(&format!("(?i){}", entries.join("|"))).expect("escaped entries make a sound pattern")
});

/// Whether the text holds an entry of the list.
pub(super) fn has_any(text: &str) -> bool {
    ENTRIES.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_match_whole_in_english_and_anywhere_in_chinese() {
        assert!(has_any("They told him: KILL  yourself!"));
        assert!(has_any("网上出售枪支弹药的"));
        assert!(!has_any("this battery will kill yourselfie time"));
        assert!(!has_any("a killer phone, cheap as chips"));
    }
}
