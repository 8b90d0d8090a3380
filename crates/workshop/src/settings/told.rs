//! A setting in words, for pages and for the command line alike: its name, and its value with the unit that its
//! name has.

use serde_json::{Number, Value};

use super::{SettingLine, SettingsSection};
use crate::words::{self, Lang};

impl SettingsSection {
    /// What it is called.
    pub fn title(&self, lang: Lang) -> String {
        words::get(lang, &format!("web.settings.section.{}", self.name), &[])
    }
}

impl SettingLine {
    /// What it is called.
    pub fn title(&self, lang: Lang) -> String {
        words::get(lang, &format!("web.settings.name.{}", self.name), &[])
    }

    /// Its value.
    pub fn text(&self, lang: Lang) -> String {
        match &self.value {
            Value::Null => word(lang, "none"),
            Value::Bool(true) => word(lang, "yes"),
            Value::Bool(false) => word(lang, "no"),
            Value::Number(number) => self.number(lang, number),
            Value::String(text) => word(lang, text),
            Value::Array(all) if all.is_empty() => word(lang, "none"),
            Value::Array(all) => {
                let texts = all.iter().filter_map(Value::as_str);
                let texts: Vec<String> = texts.map(|text| word(lang, text)).collect();
                texts.join(&words::get(lang, "web.people.join", &[]))
            }
            Value::Object(_) => self.value.to_string(),
        }
    }

    fn number(&self, lang: Lang, number: &Number) -> String {
        let Some(whole) = number.as_u64() else {
            return format!("{:.1}", number.as_f64().unwrap_or_default());
        };
        let name = self.name.strip_suffix("_max").unwrap_or(&self.name);
        match name.rsplit('_').next().unwrap_or_default() {
            "bytes" => binary(whole),
            "s" => duration(lang, whole),
            "ms" if whole >= 1000 && whole.is_multiple_of(1000) => duration(lang, whole / 1000),
            "ms" => unit(lang, "ms", whole),
            "percent" => format!("{whole} %"),
            _ => grouped(whole),
        }
    }
}

/// The word for a value that is one of ours; the text itself for what somebody else wrote.
fn word(lang: Lang, text: &str) -> String {
    let key = format!("web.settings.is.{text}");
    match words::has(&key) {
        true => words::get(lang, &key, &[]),
        false => text.to_owned(),
    }
}

fn unit(lang: Lang, name: &str, number: u64) -> String {
    let number = number.to_string();
    let holes = [("value", number.as_str())];
    words::get(lang, &format!("web.settings.unit.{name}"), &holes)
}

/// In the largest unit of which it is a whole number.
fn duration(lang: Lang, seconds: u64) -> String {
    match seconds {
        3600.. if seconds.is_multiple_of(3600) => unit(lang, "h", seconds / 3600),
        60.. if seconds.is_multiple_of(60) => unit(lang, "min", seconds / 60),
        _ => unit(lang, "s", seconds),
    }
}

/// A size in binary units with one decimal: `86.5 MiB`.
fn binary(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1024.0, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A whole number with its thousands set apart: `1,000,000`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + 6);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn text(name: &str, value: Value) -> String {
        let line = SettingLine {
            name: name.to_owned(),
            value,
            changed_by: Vec::new(),
        };
        line.text(Lang::En)
    }

    #[test]
    fn a_value_is_told_with_the_unit_of_its_name() {
        for (name, value, expected) in [
            ("scrub_s", json!(60), "1 min"),
            ("scrub_s", json!(90), "90 s"),
            ("session_s", json!(43_200), "12 h"),
            ("wait_ms_max", json!(60_000), "1 min"),
            ("step_ms_max", json!(100), "100 ms"),
            ("cache_bytes_max", json!(1_u64 << 30), "1.0 GiB"),
            ("restrict_percent", json!(5), "5 %"),
            ("audit_rows_max", json!(1_000_000), "1,000,000"),
            ("cgroup_processors", json!(1.5), "1.5"),
            ("tls", json!(false), "no"),
            ("audit_syslog", Value::Null, "none"),
            ("features", json!([]), "none"),
            ("home", json!("/srv/lathe"), "/srv/lathe"),
        ] {
            assert_eq!(text(name, value), expected, "{name}");
        }
        let ways = text("sign_in", json!(["password", "ldap"]));
        assert_eq!(ways, "password, LDAP");
    }
}
