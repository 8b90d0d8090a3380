//! A request as YAML and as a line for a shell: what either says is read back as the same request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

use crate::error::WorkshopError;
use crate::order::{OrderId, OrderRequest};
use crate::pack::change;

/// The longest YAML that is read.
pub const YAML_BYTES_MAX: usize = 64 << 10;

impl OrderRequest {
    /// The order as YAML.
    pub fn yaml(&self) -> String {
        let pack = self.pack.to_string_lossy();
        let mut text = format!("pack: {}\n", scalar(&pack));
        if self.quick {
            text.push_str("quick: true\n");
        }
        if self.offline {
            text.push_str("offline: true\n");
        }
        if let Some(project) = &self.project {
            let _ = writeln!(text, "project: {}", scalar(project));
        }
        if !self.set.is_empty() {
            text.push_str("set:\n");
        }
        for (key, value) in &self.set {
            let _ = writeln!(text, "  {}: {}", scalar(key), flow(value));
        }
        text
    }

    /// Reads what [`OrderRequest::yaml`] wrote, or somebody by hand.
    ///
    /// # Errors
    /// `order-file`, with the line.
    pub fn from_yaml(text: &str) -> Result<OrderRequest, WorkshopError> {
        let refused = |reason: String| {
            WorkshopError::new(
                "order-file",
                format!("cannot read the order: {reason}"),
                "write `pack`, and below `set` one `KEY: VALUE` a line",
            )
        };
        if text.len() > YAML_BYTES_MAX {
            return Err(refused(format!("it has more than {YAML_BYTES_MAX} bytes")));
        }
        serde_saphyr::from_str(text).map_err(|error| refused(error.without_snippet().to_string()))
    }

    /// The order as a line for a shell.
    pub fn command(&self) -> String {
        let mut words = vec!["lathe run".to_owned(), quoted(&self.pack.to_string_lossy())];
        words.extend(self.quick.then(|| "--quick".to_owned()));
        words.extend(self.offline.then(|| "--offline".to_owned()));
        line(words, self.project.as_deref(), &self.set)
    }
}

/// A clone as a line for a shell.
pub(super) fn clone_command(
    of: &OrderId,
    set: &BTreeMap<String, Value>,
    project: Option<&str>,
) -> String {
    let words = vec!["lathe order clone".to_owned(), quoted(&of.0)];
    line(words, project, set)
}

/// A command with the project and the settings that every order may have.
fn line(mut words: Vec<String>, project: Option<&str>, set: &BTreeMap<String, Value>) -> String {
    words.extend(project.map(|it| format!("--project {}", quoted(it))));
    for (key, value) in set {
        words.push(format!("--set {}", quoted(&setting(key, value))));
    }
    words.join(" ")
}

/// A changed setting as `KEY=VALUE`, on one line, which [`change::parse`] reads as the same value.
pub fn setting(key: &str, value: &Value) -> String {
    if let Value::String(text) = value {
        let plain = format!("{key}={text}");
        let is_same = change::parse(&plain).is_ok_and(|(_, read)| read == *value);
        if is_same && !text.chars().any(char::is_control) {
            return plain;
        }
    }
    format!("{key}={value}")
}

/// A word for a shell; single quotes where it is not plain.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// A text in YAML: plain where it is nothing but letters, else as JSON writes it.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let begins = text.starts_with(|c: char| c.is_ascii_alphabetic());
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let lower = text.to_ascii_lowercase();
    if begins && text.chars().all(is_plain) && !is_word.contains(&lower.as_str()) {
        return text.to_owned();
    }
    Value::String(text.to_owned()).to_string()
}

/// A value in YAML's flow style. Numbers have a point and a signed exponent, without which YAML 1.1 reads
/// a text.
pub(crate) fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Number(number) => {
            let text = number.to_string();
            let Some((digits, power)) = text.split_once('e') else {
                return text;
            };
            let point = if digits.contains('.') { "" } else { ".0" };
            let sign = if power.starts_with('-') { "" } else { "+" };
            format!("{digits}{point}e{sign}{}", power.trim_start_matches('+'))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(flow).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(members) => {
            let member =
                |(key, value): (&String, &Value)| format!("{}: {}", scalar(key), flow(value));
            let members: Vec<String> = members.iter().map(member).collect();
            format!("{{{}}}", members.join(", "))
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request() -> OrderRequest {
        let set = [
            ("tune.sft.learning_rate", json!(1e-7)),
            ("tune.sft.rank", json!(8)),
            ("tune.sft.targets", json!(["q_proj", "v_proj"])),
            ("tune.pretrain", json!(null)),
            ("task.system", json!("It's \"so\": 说明\n# no comment")),
            ("name", json!("yes")),
            ("language", json!("5")),
            (
                "gate.thresholds",
                json!([{"metric": "macro_f1", "at_least": 2.5e20}]),
            ),
            ("data.source", json!("file:/a b/c.csv")),
        ];
        OrderRequest {
            pack: "packs/customer-care".into(),
            quick: true,
            offline: true,
            set: set.map(|(key, value)| (key.to_owned(), value)).into(),
            project: Some("ward".to_owned()),
        }
    }

    /// What a POSIX shell makes of a line without variables: words, single quotes, `\'`.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut within) = (Vec::new(), String::new(), false);
        let mut letters = line.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '\'' => within = !within,
                '\\' if !within => word.extend(letters.next()),
                ' ' if !within => words.push(std::mem::take(&mut word)),
                other => word.push(other),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn yaml_is_read_back_as_the_same_order() {
        let request = request();
        let text = request.yaml();
        assert_eq!(OrderRequest::from_yaml(&text).unwrap(), request, "{text}");
        let plain = OrderRequest {
            pack: "a b".into(),
            quick: false,
            offline: false,
            set: BTreeMap::new(),
            project: None,
        };
        assert_eq!(plain.yaml(), "pack: \"a b\"\n");
        assert_eq!(OrderRequest::from_yaml(&plain.yaml()).unwrap(), plain);
    }

    #[test]
    fn the_command_says_the_same_order() {
        let request = request();
        let words = words(&request.command());
        assert_eq!(
            words[..7],
            [
                "lathe",
                "run",
                "packs/customer-care",
                "--quick",
                "--offline",
                "--project",
                "ward"
            ]
        );
        let set = words[7..].chunks(2).map(|pair| {
            assert_eq!(pair[0], "--set");
            change::parse(&pair[1]).unwrap()
        });
        assert_eq!(set.collect::<BTreeMap<_, _>>(), request.set);
        let lines: Vec<String> = request.set.iter().map(|(k, v)| setting(k, v)).collect();
        assert!(lines.iter().all(|line| !line.contains('\n')), "{lines:?}");
    }

    #[test]
    fn yaml_that_is_none_is_refused_with_its_line() {
        for (text, reason) in [
            ("quick: true", "pack"),
            ("pack: a\nquik: true", "quik"),
            ("pack: a\nset: [", "line 2"),
            ("pack: a\nset: {a: 1, a: 2}", "a"),
        ] {
            let error = OrderRequest::from_yaml(text).expect_err(text);
            assert_eq!(error.code(), "order-file");
            assert!(error.to_string().contains(reason), "{text}: {error}");
        }
        let long = format!("pack: {}", "x".repeat(YAML_BYTES_MAX));
        assert!(OrderRequest::from_yaml(&long).is_err());
    }
}
