//! A pack's settings by their dotted paths, and a pack with some of them changed, as
//! `lathe order clone --set` asks.
//!
//! A path leads through sections by their keys and through lists by places from 0:
//! `tune.sft.learning_rate`, `gate.thresholds.0.at_least`. What is changed is read as strictly as
//! pack.yaml is.

use std::collections::BTreeMap;
use std::path::Path;

use lathe_data::ends::Ends;
use lathe_data::spec::{SplitSpec, TEST_SHARE};
use lathe_tune::spec::SftSpec;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{Pack, check, nearest, quoted};
use crate::error::WorkshopError;
use crate::order::SettingChange;
use crate::words::{self, Lang};

/// What stands in errors where the file of a pack would.
const CHANGED: &str = "the changed pack";

/// What has to stand at a setting at which something else stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// A number without a fraction, 0 or more.
    Whole,
    /// A number.
    Number,
    /// `true` or `false`.
    YesNo,
    /// A text.
    Text,
    /// A list.
    List,
    /// Settings of their own below it.
    Section,
    /// One of these words.
    OneOf(Vec<String>),
    /// A number between these ends.
    Within(Ends),
}

impl Expected {
    /// What it is called.
    pub fn told(&self, lang: Lang) -> String {
        let name = match self {
            Expected::Whole => "whole",
            Expected::Number => "number",
            Expected::YesNo => "yes-no",
            Expected::Text => "text",
            Expected::List => "list",
            Expected::Section => "section",
            Expected::Within(ends) => return told_ends(*ends, lang),
            Expected::OneOf(known) => {
                let known = known.join(match lang {
                    Lang::En => ", ",
                    Lang::Zh => "、",
                });
                return words::get(lang, "setting.expected.one-of", &[("value", &known)]);
            }
        };
        words::get(lang, &format!("setting.expected.{name}"), &[])
    }

    /// One as it is written at `key`: what stands there where a pack is silent, if that is a number.
    pub fn example(&self, key: &str) -> String {
        let is_one = |usual: &Value| match self {
            Expected::Whole => usual.is_u64(),
            Expected::Number | Expected::Within(_) => usual.is_number(),
            _ => false,
        };
        let text = usual(key).filter(is_one).map(|it| it.to_string());
        let text = text.unwrap_or_else(|| self.of_no_setting().to_owned());
        text.strip_suffix(".0").unwrap_or(&text).to_owned()
    }

    fn of_no_setting(&self) -> &str {
        match self {
            Expected::Whole | Expected::Within(_) => "1",
            Expected::Number => "0.5",
            Expected::YesNo => "true",
            Expected::Text => "\"16\"",
            Expected::List => "[q_proj, v_proj]",
            Expected::Section => "{rank: 16}",
            Expected::OneOf(known) => known.first().map_or("", String::as_str),
        }
    }

    /// What serde says it wanted in the place of `to`; nothing where it speaks of what stands deeper, or where
    /// a type has words of its own.
    fn read(reason: &str, to: &Value) -> Option<Expected> {
        if reason.starts_with("unknown variant") {
            let known = quoted(reason).into_iter().skip(1).map(str::to_owned);
            return to.is_string().then(|| Expected::OneOf(known.collect()));
        }
        let told = reason.strip_prefix("invalid type: ");
        let told = told.or_else(|| reason.strip_prefix("invalid value: "))?;
        // What was found may be a text that says anything: what was wanted stands last.
        let (found, wanted) = told.rsplit_once(", expected ")?;
        let is_this = match to {
            Value::Null => found.starts_with("null"),
            Value::Bool(_) => found.starts_with("boolean"),
            Value::Number(_) => found.starts_with("integer") || found.starts_with("floating"),
            Value::String(_) => found.starts_with("string"),
            Value::Array(_) => found.starts_with("sequence"),
            Value::Object(_) => found.starts_with("map"),
        };
        let expected = match wanted {
            "u8" | "u16" | "u32" | "u64" | "usize" => Expected::Whole,
            "f32" | "f64" => Expected::Number,
            "a boolean" => Expected::YesNo,
            "a string" => Expected::Text,
            "a sequence" => Expected::List,
            "a map" => Expected::Section,
            _ if wanted.starts_with("struct ") => Expected::Section,
            _ => return None,
        };
        is_this.then_some(expected)
    }
}

/// Reads `KEY=VALUE`. The value is JSON (`5e-4`, `true`, `["a"]`), else YAML, else text as it is.
///
/// # Errors
/// `order-setting` when there is no `=` or no key before it.
pub fn parse(text: &str) -> Result<(String, Value), WorkshopError> {
    let pair = text.split_once('=');
    let (key, value) = pair
        .map(|(key, value)| (key.trim(), value.trim()))
        .filter(|(key, _)| !key.is_empty())
        .ok_or_else(|| {
            WorkshopError::new(
                "order-setting",
                format!("cannot read the change {text:?}: it is not KEY=VALUE"),
                "write for instance tune.sft.learning_rate=5e-4",
            )
        })?;
    let read = serde_json::from_str(value)
        .ok()
        .or_else(|| serde_saphyr::from_str(value).ok());
    let read = read.unwrap_or_else(|| Value::String(value.to_owned()));
    Ok((key.to_owned(), read))
}

/// Reads several changes, one a line; empty lines are left out.
///
/// # Errors
/// As [`parse`]; `order-setting` when a key is changed twice.
pub fn parse_all<'a>(
    lines: impl Iterator<Item = &'a str>,
) -> Result<BTreeMap<String, Value>, WorkshopError> {
    let mut changes = BTreeMap::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let (key, value) = parse(line)?;
        if changes.insert(key.clone(), value).is_some() {
            return Err(WorkshopError::new(
                "order-setting",
                format!("`{key}` is changed twice"),
                "name every key once",
            ));
        }
    }
    Ok(changes)
}

/// An effective pack, given as its JSON text, with `changes` by their paths, and what they changed:
/// what was so already is left out.
///
/// # Errors
/// `pack-invalid` for an unknown key, with the nearest known one, for a value of the wrong kind and
/// for a pack that contradicts itself; `store-unreadable` when the text is no pack.
pub(crate) fn changed(
    spec: &str,
    changes: &BTreeMap<String, Value>,
) -> Result<(Pack, Vec<SettingChange>), WorkshopError> {
    let mut pack: Pack = crate::store::orders::parse("an order's pack", spec)?;
    let mut value = serde_json::to_value(&pack).expect("a pack is JSON values");
    let mut made = Vec::new();
    for (key, to) in changes {
        if key == "quick" || key.starts_with("quick.") {
            return Err(refused(
                format!("`{key}` is not in an order's pack: the overlay was laid over it already"),
                "change the key that it would be laid over".to_owned(),
            ));
        }
        let from = put(&mut value, key, to)?;
        let now = read(&value, key, to)?;
        if now != pack {
            made.push(SettingChange {
                key: key.clone(),
                from,
                to: to.clone(),
            });
        }
        pack = now;
    }
    check(&pack, Path::new(CHANGED))?;
    Ok((pack, made))
}

/// What has to stand at `key`, where `to` is refused for being of another kind or beyond its ends.
pub(crate) fn expected(spec: &str, key: &str, to: &Value) -> Option<Expected> {
    let mut value: Value = serde_json::from_str(spec).ok()?;
    put(&mut value, key, to).ok()?;
    match serde_json::from_value::<Pack>(value) {
        Err(refused) => Expected::read(&refused.to_string(), to),
        Ok(_) => {
            let ends = ends_of(key)?;
            (!ends.holds(to.as_f64()?)).then_some(Expected::Within(ends))
        }
    }
}

/// Between which ends the number at `key` has to lie.
fn ends_of(key: &str) -> Option<Ends> {
    match key {
        "data.split.test_share" => Some(TEST_SHARE),
        _ => SftSpec::bounds(key.strip_prefix("tune.sft.")?),
    }
}

/// What stands at `key` where a pack says nothing of it; of the records, which are all then, a number of them.
fn usual(key: &str) -> Option<Value> {
    let (section, key) = match key.rsplit_once('.') {
        None if key == "records" => return Some(json!(1000)),
        Some(("tune.sft", key)) => (json!(SftSpec::default()), key),
        Some(("data.split", key)) => (json!(SplitSpec::default()), key),
        _ => return None,
    };
    section.get(key).cloned()
}

/// As it follows "must be".
fn told_ends(ends: Ends, lang: Lang) -> String {
    let end = |name: &str, end: u64| {
        let key = format!("setting.expected.{name}");
        words::get(lang, &key, &[("value", &end.to_string())])
    };
    if let (Some(from), Some(to)) = (ends.from, ends.to) {
        let (from, to) = (from.to_string(), to.to_string());
        let ends = [("from", from.as_str()), ("to", to.as_str())];
        return words::get(lang, "setting.expected.between", &ends);
    }
    let ends = [
        ends.from.map(|it| end("from", it)),
        ends.above.map(|it| end("above", it)),
        ends.to.map(|it| end("to", it)),
        ends.below.map(|it| end("below", it)),
    ];
    let ends: Vec<String> = ends.into_iter().flatten().collect();
    ends.join(match lang {
        Lang::En => " and ",
        Lang::Zh => " 且",
    })
}

/// The changed pack after its setting `key` was set to `to`.
fn read(value: &Value, key: &str, to: &Value) -> Result<Pack, WorkshopError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        let reason = error.to_string();
        if let Some(expected) = Expected::read(&reason, to) {
            return refused(
                format!("`{key}` has to be {}, and is {to}", expected.told(Lang::En)),
                format!("write for instance {key}={}", expected.example(key)),
            );
        }
        match quoted(&reason).as_slice() {
            [unknown, known @ ..] if reason.starts_with("unknown field") => {
                let next = match nearest(unknown, known) {
                    Some(near) => format!("write `{near}` if that is meant"),
                    None => format!("known here: {}", known.join(", ")),
                };
                refused(format!("unknown key `{unknown}` in `{key}`"), next)
            }
            _ => refused(
                format!("`{key}` cannot be so: {reason}"),
                "correct the value".to_owned(),
            ),
        }
    })
}

fn refused(text: String, next: String) -> WorkshopError {
    WorkshopError::new("pack-invalid", text, next)
}

/// Puts `to` at the path `key` and returns what stood there, null where nothing did.
fn put(root: &mut Value, key: &str, to: &Value) -> Result<Value, WorkshopError> {
    let mut at = root;
    for part in key.split('.') {
        at = member(at, part, key)?;
    }
    Ok(std::mem::replace(at, to.clone()))
}

/// What stands under `part`; null is put there where nothing does.
fn member<'v>(at: &'v mut Value, part: &str, key: &str) -> Result<&'v mut Value, WorkshopError> {
    if at.is_null() {
        *at = Value::Object(Map::new());
    }
    match at {
        Value::Object(section) => Ok(section.entry(part.to_owned()).or_insert(Value::Null)),
        Value::Array(items) => {
            let count = items.len();
            let place = part.parse::<usize>().ok().filter(|place| *place < count);
            match place {
                Some(place) => Ok(&mut items[place]),
                None => Err(refused(
                    format!("`{part}` in `{key}` is no place of a list of {count}"),
                    "places count from 0; to add one, set the whole list".to_owned(),
                )),
            }
        }
        other => Err(refused(
            format!("`{part}` in `{key}` is looked for in {other}, which is no section"),
            "name a setting by the sections it stands in, as tune.sft.rank".to_owned(),
        )),
    }
}

/// Every setting of a pack by its path, in the pack's order; what is not set is left out.
pub fn settings(pack: &Pack) -> Vec<(String, Value)> {
    let value = serde_json::to_value(pack).expect("a pack is JSON values");
    let mut all = Vec::new();
    flatten(String::new(), value, &mut all);
    all
}

/// Lists of plain values stay whole: they are set whole.
fn flatten(path: String, value: Value, all: &mut Vec<(String, Value)>) {
    let below = |part: &str| match path.is_empty() {
        true => part.to_owned(),
        false => format!("{path}.{part}"),
    };
    let is_deep = |value: &Value| value.is_object() || value.is_array();
    match value {
        Value::Null => {}
        Value::Object(section) if !section.is_empty() => {
            for (key, value) in section {
                flatten(below(&key), value, all);
            }
        }
        Value::Array(items) if items.iter().any(is_deep) => {
            for (place, value) in items.into_iter().enumerate() {
                flatten(below(&place.to_string()), value, all);
            }
        }
        plain => all.push((path, plain)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> String {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack");
        let pack = crate::pack::load(&folder, false).expect("the fixture reads");
        serde_json::to_string(&pack.pack).expect("JSON")
    }

    fn change(lines: &[&str]) -> Result<(Pack, Vec<SettingChange>), WorkshopError> {
        changed(&spec(), &parse_all(lines.iter().copied())?)
    }

    #[test]
    fn values_are_json_then_yaml_then_text() {
        for (text, expected) in [
            ("a=5e-4", json!(5e-4)),
            ("a = true", json!(true)),
            ("a=[1, 2]", json!([1, 2])),
            ("a=[left, right]", json!(["left", "right"])),
            ("a=plain words", json!("plain words")),
            ("a=\"5\"", json!("5")),
            ("a=b=c", json!("b=c")),
            ("a=null", Value::Null),
        ] {
            let (key, value) = parse(text).expect(text);
            assert_eq!((key.as_str(), value), ("a", expected), "{text}");
        }
        for text in ["a", "=1", ""] {
            assert_eq!(
                parse(text).expect_err("refused").code(),
                "order-setting",
                "{text}"
            );
        }
        let twice = parse_all(["a=1", "a=2"].into_iter()).expect_err("refused");
        assert_eq!(twice.code(), "order-setting");
    }

    #[test]
    fn a_setting_is_changed_and_nothing_else() {
        let lines = [
            "tune.sft.learning_rate=0.01",
            "gate.thresholds.1.at_least=0.5",
            "tune.sft.seed=1",
        ];
        let (pack, made) = change(&lines).expect("known keys");
        let keys: Vec<&str> = made.iter().map(|it| it.key.as_str()).collect();
        // The seed was 1 already.
        assert_eq!(
            keys,
            ["gate.thresholds.1.at_least", "tune.sft.learning_rate"]
        );
        assert_eq!((&made[1].from, &made[1].to), (&json!(0.02), &json!(0.01)));
        let before: Pack = serde_json::from_str(&spec()).expect("a pack");
        let differing: Vec<String> = settings(&pack)
            .into_iter()
            .filter(|it| !settings(&before).contains(it))
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            differing,
            ["tune.sft.learning_rate", "gate.thresholds.1.at_least"]
        );
    }

    #[test]
    fn what_is_not_known_is_refused_with_the_nearest() {
        for (line, wanted) in [
            ("tune.sft.learning_rat=1", "learning_rate"),
            ("tune.stf.rank=4", "sft"),
            ("evalute.worst=4", "evaluate"),
        ] {
            let error = change(&[line]).expect_err(line);
            assert_eq!(error.code(), "pack-invalid", "{line}");
            assert!(error.next().contains(wanted), "{line}: {}", error.next());
        }
        for line in [
            "tune.sft.rank=many",
            "gate.thresholds.7.at_least=1",
            "gate.thresholds=[]",
            "name.first=1",
            "name=Not A Name",
            "quick.records=4",
            "tune.sft.rank=null",
        ] {
            let error = change(&[line]).expect_err(line);
            assert_eq!(error.code(), "pack-invalid", "{line}");
        }
    }

    #[test]
    fn what_is_of_another_kind_is_told_what_has_to_stand_there() {
        let one_of =
            |words: &[&str]| Expected::OneOf(words.iter().map(|it| (*it).to_owned()).collect());
        for (line, wanted) in [
            ("tune.sft.rank=many", Some(Expected::Whole)),
            ("tune.sft.rank=1.5", Some(Expected::Whole)),
            ("tune.sft.rank=-1", Some(Expected::Whole)),
            ("tune.sft.rank=null", Some(Expected::Whole)),
            ("tune.sft.rank=[1]", Some(Expected::Whole)),
            ("tune.sft.learning_rate=fast", Some(Expected::Number)),
            (
                "tune.sft.learning_rate=\"x, expected a string\"",
                Some(Expected::Number),
            ),
            ("tune.preference_only=maybe", Some(Expected::YesNo)),
            ("model.licence=5", Some(Expected::Text)),
            ("tune.sft.targets=q_proj", Some(Expected::List)),
            ("tune.sft=5", Some(Expected::Section)),
            (
                "tune.sft.schedule=steep",
                Some(one_of(&["cosine", "linear", "constant"])),
            ),
            // What stands deeper is not of this setting, and a source has words of its own.
            ("tune.sft={\"rank\": \"many\"}", None),
            ("model.source=nowhere", None),
        ] {
            let (key, to) = parse(line).expect(line);
            let found = expected(&spec(), &key, &to);
            match (&found, &wanted) {
                (Some(Expected::OneOf(found)), Some(Expected::OneOf(wanted))) => {
                    assert!(wanted.iter().all(|it| found.contains(it)), "{found:?}");
                }
                _ => assert_eq!(found, wanted, "{line}"),
            }
            let error = change(&[line]).expect_err(line);
            assert_eq!(error.code(), "pack-invalid", "{line}");
            if wanted.is_some() {
                let told = format!("{error} {}", error.next());
                for word in [
                    "invalid type",
                    "invalid value",
                    "unknown variant",
                    "usize",
                    "f64",
                ] {
                    assert!(!told.contains(word), "{line}: {told}");
                }
                assert!(error.to_string().contains("has to be"), "{line}: {error}");
            }
        }
        let whole = Expected::Whole;
        assert_eq!(whole.told(Lang::En), "a whole number");
        assert_eq!(whole.told(Lang::Zh), "整数");
    }

    #[test]
    fn what_is_beyond_its_ends_is_told_them_in_both_languages() {
        for (line, en, zh) in [
            ("tune.sft.rank=0", "between 1 and 1024", "在 1 到 1024 之间"),
            ("tune.sft.learning_rate=-1", "above 0", "大于 0"),
            (
                "tune.sft.epochs=0",
                "above 0 and at most 1000",
                "大于 0 且不超过 1000",
            ),
            ("tune.sft.tokens_max=1", "at least 2", "不小于 2"),
            (
                "tune.sft.adam_beta1=1",
                "at least 0 and below 1",
                "不小于 0 且小于 1",
            ),
            (
                "data.split.test_share=1.5",
                "above 0 and below 1",
                "大于 0 且小于 1",
            ),
            (
                "data.split.test_share=0",
                "above 0 and below 1",
                "大于 0 且小于 1",
            ),
        ] {
            let (key, to) = parse(line).expect(line);
            let found = expected(&spec(), &key, &to).expect(line);
            assert!(matches!(found, Expected::Within(_)), "{line}: {found:?}");
            assert_eq!(found.told(Lang::En), en, "{line}");
            assert_eq!(found.told(Lang::Zh), zh, "{line}");
            let error = change(&[line]).expect_err(line);
            assert_eq!(error.code(), "pack-invalid", "{line}");
            assert!(error.to_string().contains(&key), "{line}: {error}");
            assert!(!error.next().contains("command"), "{}", error.next());
        }
        let written = json!(Expected::Within(TEST_SHARE));
        assert_eq!(written, json!({"within": {"above": 0, "below": 1}}));
    }

    #[test]
    fn an_example_is_one_of_the_setting() {
        for (expected, key, example) in [
            (Expected::Number, "data.split.test_share", "0.2"),
            (Expected::Whole, "records", "1000"),
            (Expected::Whole, "tune.sft.tokens_max", "1024"),
            (Expected::Number, "tune.sft.learning_rate", "0.0005"),
            (Expected::Within(Ends::above(0)), "tune.sft.epochs", "1"),
            (Expected::Whole, "ask.records", "1"),
            (Expected::List, "tune.sft.targets", "[q_proj, v_proj]"),
        ] {
            assert_eq!(expected.example(key), example, "{key}");
        }
    }

    #[test]
    fn every_setting_can_be_set_to_what_it_is() {
        let pack: Pack = serde_json::from_str(&spec()).expect("a pack");
        let all = settings(&pack);
        assert!(all.len() > 30, "{} settings", all.len());
        let changes = all.into_iter().collect();
        let (same, made) = changed(&spec(), &changes).expect("known keys");
        assert_eq!((same, made), (pack, Vec::new()));
    }
}
