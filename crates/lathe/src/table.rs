//! Rows for people: aligned columns, the first row the heading. Chinese
//! characters count two columns.

use serde_json::Value;

/// Prints `rows` under `heading`, or nothing but `empty` when there are none.
pub fn print(heading: &[&str], rows: &[Vec<String>], empty: &str) {
    if rows.is_empty() {
        println!("{empty}");
        return;
    }
    let heading: Vec<String> = heading.iter().map(|text| (*text).to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        println!("{}", line(row, &widths(&heading, rows)));
    }
}

fn widths(heading: &[String], rows: &[Vec<String>]) -> Vec<usize> {
    let widest = |column: usize| {
        std::iter::once(heading)
            .chain(rows.iter().map(Vec::as_slice))
            .filter_map(|row| row.get(column))
            .map(|cell| width(cell))
            .max()
            .unwrap_or(0)
    };
    (0..heading.len()).map(widest).collect()
}

fn line(row: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (cell, wide) in row.iter().zip(widths) {
        out.push_str(cell);
        out.push_str(&" ".repeat(wide.saturating_sub(width(cell)) + 2));
    }
    out.trim_end().to_owned()
}

/// Columns of a terminal that `text` takes: two for the wide scripts, one for all else.
pub fn width(text: &str) -> usize {
    let wide = |c: char| matches!(u32::from(c), 0x1100..=0x115f | 0x2e80..=0xa4cf | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff00..=0xff60 | 0x20000..=0x3fffd);
    text.chars().map(|c| if wide(c) { 2 } else { 1 }).sum()
}

/// Milliseconds since 1970 as "2026-11-25 17:38" in UTC.
pub use lathe_evidence::moment::minute;

/// Bytes as "98.4 MB" or "1.2 GB", in powers of ten.
pub fn megabytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    if bytes >= 1e9 {
        return format!("{:.1} GB", bytes / 1e9);
    }
    format!("{:.1} MB", bytes / 1e6)
}

/// Prints a JSON value as indented lines, one member a line.
pub fn tree(value: &Value) {
    branch(value, 0);
}

fn branch(value: &Value, depth: usize) {
    let pad = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match plain(member) {
                    Some(text) => println!("{pad}{name}: {text}"),
                    None => {
                        println!("{pad}{name}:");
                        branch(member, depth + 1);
                    }
                }
            }
        }
        Value::Array(items) => {
            for item in items {
                match plain(item) {
                    Some(text) => println!("{pad}- {text}"),
                    None => {
                        println!("{pad}-");
                        branch(item, depth + 1);
                    }
                }
            }
        }
        Value::String(text) => {
            for line in text.lines() {
                println!("{pad}{line}");
            }
        }
        other => println!("{pad}{other}"),
    }
}

/// The value on one line, if it has one.
fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.contains('\n') => None,
        Value::String(text) => Some(text.clone()),
        Value::Null => Some("-".to_owned()),
        Value::Object(members) if members.is_empty() => Some("-".to_owned()),
        Value::Array(items) if items.is_empty() => Some("-".to_owned()),
        Value::Object(_) | Value::Array(_) => None,
        other => Some(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(megabytes(98_400_000), "98.4 MB");
        assert_eq!(megabytes(1_250_000_000), "1.2 GB");
    }

    #[test]
    fn chinese_and_english_align() {
        let rows = vec![vec!["工场".to_owned(), "x".to_owned()]];
        let heading = vec!["name".to_owned(), "y".to_owned()];
        let widths = widths(&heading, &rows);
        assert_eq!(line(&rows[0], &widths), "工场  x");
        assert_eq!(line(&heading, &widths), "name  y");
    }
}
