//! A dataset for people: terms, counts, fields, duplicates, broken rows.

use lathe_data::prepare::{Duplicate, FieldStatistics, Statistics};
use lathe_data::reader::Broken;
use lathe_workshop::DatasetView;
use lathe_workshop::words::{self, Lang};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Duplicates, broken rows and categories printed; the rest is counted.
const SHOWN_MAX: usize = 20;

/// The lines that describe a dataset.
pub fn lines(dataset: &DatasetView, lang: Lang) -> Vec<String> {
    let line = |key: &str, value: &str| {
        let name = words::get(lang, &format!("cli.data.{key}"), &[]);
        format!("{name}: {value}")
    };
    let mut lines = vec![
        format!("{}  {}", dataset.name, dataset.digest),
        line("root", &dataset.root),
        line("source", &dataset.source),
        line("licence", &dataset.licence),
        line("owner", &dataset.owner),
    ];
    if dataset.demonstration {
        lines.push(words::get(lang, "mark.demonstration", &[]));
    }
    if let Some(statistics) = part::<Statistics>(dataset, "statistics") {
        lines.push(counts(&statistics, lang));
        for (name, field) in &statistics.fields {
            lines.push(format!("  {name}: {}", field_line(field)));
        }
    }
    let duplicates: Vec<Duplicate> = part(dataset, "duplicates").unwrap_or_default();
    let of_duplicate = |one: &Duplicate| format!("line {}: {} = {}", one.line, one.id, one.same_as);
    list(
        &mut lines,
        &duplicates,
        line("duplicates", ""),
        of_duplicate,
    );
    let broken: Vec<Broken> = part(dataset, "broken").unwrap_or_default();
    let of_broken = |one: &Broken| format!("line {}: {}", one.line, one.reason);
    list(&mut lines, &broken, line("broken", ""), of_broken);
    lines
}

/// One part of the card; absent where another version wrote it.
fn part<T: DeserializeOwned>(dataset: &DatasetView, name: &str) -> Option<T> {
    let value: &Value = dataset.card.get(name)?;
    serde_json::from_value(value.clone()).ok()
}

fn counts(statistics: &Statistics, lang: Lang) -> String {
    let args = [
        ("rows", statistics.rows.to_string()),
        ("records", statistics.records.to_string()),
        ("train", statistics.train.to_string()),
        ("test", statistics.test.to_string()),
        ("groups", statistics.groups.to_string()),
        ("duplicates", statistics.duplicates.to_string()),
        ("broken", statistics.broken.to_string()),
    ];
    let args: Vec<(&str, &str)> = args
        .iter()
        .map(|(key, value)| (*key, value.as_str()))
        .collect();
    words::get(lang, "cli.data.counts", &args)
}

fn field_line(field: &FieldStatistics) -> String {
    match field {
        FieldStatistics::Number { min, mean, max, .. } => format!("{min} .. {max}, mean {mean:.3}"),
        FieldStatistics::Category { counts } => {
            let shown = counts.iter().take(SHOWN_MAX);
            let shown: Vec<String> = shown
                .map(|(value, count)| format!("{value} {count}"))
                .collect();
            let rest = counts.len().saturating_sub(SHOWN_MAX);
            let more = if rest > 0 {
                format!(", … {rest} more")
            } else {
                String::new()
            };
            format!("{}{more}", shown.join(", "))
        }
        FieldStatistics::Text { characters, words } => format!(
            "{} .. {} characters, mean {:.0}; {} .. {} words, mean {:.0}",
            characters.min, characters.max, characters.mean, words.min, words.max, words.mean
        ),
    }
}

fn list<T>(lines: &mut Vec<String>, all: &[T], heading: String, of: impl Fn(&T) -> String) {
    if all.is_empty() {
        return;
    }
    lines.push(heading.trim_end().to_owned());
    lines.extend(
        all.iter()
            .take(SHOWN_MAX)
            .map(|one| format!("  {}", of(one))),
    );
    if all.len() > SHOWN_MAX {
        lines.push(format!("  … {} more", all.len() - SHOWN_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_part_of_a_card_is_told() {
        let card = json!({
            "statistics": {
                "rows": 4, "records": 2, "train": 1, "test": 1, "groups": 2, "broken": 1,
                "duplicates": 1, "left_out": 0,
                "fields": {"mean": {"kind": "number", "min": -1.0, "mean": 0.5, "max": 2.0, "histogram": []}},
            },
            "duplicates": [{"id": "b", "line": 3, "same_as": "a"}],
            "broken": [{"line": 4, "reason": "no text"}],
        });
        let dataset = DatasetView {
            digest: "d".repeat(64),
            name: "reviews".to_owned(),
            root: "r".repeat(64),
            source: "file:reviews.csv".to_owned(),
            licence: "MIT".to_owned(),
            owner: "me".to_owned(),
            demonstration: false,
            created_ms: 0,
            card,
            withdrawn: None,
            withdrawals: Vec::new(),
        };
        let text = lines(&dataset, Lang::En).join("\n");
        for wanted in [
            "MIT",
            "1 duplicates",
            "mean 0.500",
            "line 3: b = a",
            "line 4: no text",
        ] {
            assert!(text.contains(wanted), "no {wanted:?} in:\n{text}");
        }
    }
}
