//! Figures for people: one line in both languages, numbers as they are read.

use std::collections::BTreeMap;

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

/// The same, of figures that are written differently in each language.
pub(crate) fn figure_by(key: &str, args: impl Fn(Lang) -> Vec<(&'static str, String)>) -> Title {
    let of = |lang| {
        let args = args(lang);
        let args: Vec<(&str, &str)> = args.iter().map(|(name, text)| (*name, &text[..])).collect();
        words::get(lang, key, &args)
    };
    Title {
        en: of(Lang::En),
        zh: of(Lang::Zh),
    }
}

/// Metrics for people, the telling ones first: "Pearson r 0.874, Macro F1 0.781, Valid answers 100.0 %".
pub(crate) fn metrics_line(lang: Lang, metrics: &BTreeMap<String, f64>) -> String {
    let first = ["pearson_r", "macro_f1", "valid_json"];
    let told = first
        .iter()
        .filter_map(|name| Some((*name, metrics.get(*name)?)));
    let rest = metrics
        .iter()
        .filter(|(name, _)| !first.contains(&name.as_str()));
    let parts: Vec<String> = told
        .chain(rest.map(|(name, value)| (name.as_str(), value)))
        .map(|(name, value)| format!("{} {}", metric(lang, name), metric_text(name, *value)))
        .collect();
    parts.join(match lang {
        Lang::En => ", ",
        Lang::Zh => "，",
    })
}

/// A metric as the catalogue calls it; by its own name where a pack chose it.
fn metric(lang: Lang, name: &str) -> String {
    let key = format!("web.metric.{name}");
    match words::has(&key) {
        true => words::get(lang, &key, &[]),
        false => name.to_owned(),
    }
}

/// Shares as percentages, everything else with three decimals, as the pages write them.
fn metric_text(name: &str, value: f64) -> String {
    let text = match name.starts_with("valid") {
        true => format!("{:.1} %", value * 100.0),
        false => format!("{value:.3}"),
    };
    text.replace('-', "−")
}

/// How many parameters a model has: "134.5 M", "约 1.3 亿".
pub(crate) fn parameters(lang: Lang, number: u64) -> String {
    let value = number as f64;
    match lang {
        Lang::En => format!("{:.1} M", value / 1e6),
        Lang::Zh if value >= 1e8 => format!("约 {} 亿", short(value / 1e8)),
        Lang::Zh if value >= 1e4 => format!("约 {} 万", short(value / 1e4)),
        Lang::Zh => format!("{number} "),
    }
}

/// Two digits and more: "1.3", "10", "135".
fn short(value: f64) -> String {
    let text = match value < 10.0 {
        true => format!("{value:.1}"),
        false => format!("{value:.0}"),
    };
    text.trim_end_matches(".0").to_owned()
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

    #[test]
    fn parameters_are_told_as_each_language_counts() {
        let both = |number| [Lang::En, Lang::Zh].map(|lang| parameters(lang, number));
        assert_eq!(both(134_515_008), ["134.5 M", "约 1.3 亿"]);
        assert_eq!(both(100_352), ["0.1 M", "约 10 万"]);
        assert_eq!(both(7_000_000_000)[1], "约 70 亿");
        assert_eq!(both(900)[1], "900 ");
    }

    #[test]
    fn the_telling_metrics_come_first_by_their_proper_names() {
        let metrics = [("valid_json", 0.8667), ("pearson_r", -0.87421), ("a", 0.5)]
            .map(|(name, value)| (name.to_owned(), value));
        let metrics = BTreeMap::from(metrics);
        let line = metrics_line(Lang::En, &metrics);
        assert_eq!(line, "Pearson r −0.874, Valid answers 86.7 %, a 0.500");
        let line = metrics_line(Lang::Zh, &metrics);
        assert_eq!(line, "皮尔逊相关系数 −0.874，有效应答率 86.7 %，a 0.500");
    }
}
