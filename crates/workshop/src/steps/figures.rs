//! Figures for people: one line in both languages, numbers as they are read.

use serde_json::{Map, Value};

use crate::order::Title;
use crate::words::{self, Lang};

/// A one-line figure in both languages.
pub(crate) fn figure(key: &str, args: &[(&str, &str)]) -> Title {
    Title {
        en: words::get(Lang::En, key, args),
        zh: words::get(Lang::Zh, key, args),
    }
}

/// `12345` as "12,345".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes for people: "93.1 MB".
pub(crate) fn megabytes(bytes: u64) -> String {
    if bytes < 100_000 {
        return format!("{:.1} kB", bytes as f64 / 1e3);
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The members of a JSON object, for figures and facts.
pub(crate) fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(3708), "3,708");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(megabytes(93_123_456), "93.1 MB");
        assert_eq!(megabytes(1_500), "1.5 kB");
    }
}
