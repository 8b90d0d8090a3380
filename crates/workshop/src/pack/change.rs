//! A pack's settings by their dotted paths, and a pack with some of them changed, as
//! `lathe order clone --set` asks.
//!
//! A path leads through sections by their keys and through lists by places from 0:
//! `tune.sft.learning_rate`, `gate.thresholds.0.at_least`. What is changed is read as strictly as
//! pack.yaml is.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::{Pack, check, nearest, quoted};
use crate::error::WorkshopError;
use crate::order::SettingChange;

/// What stands in errors where the file of a pack would.
const CHANGED: &str = "the changed pack";

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
        let now = read(&value, key)?;
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

/// The changed pack after its setting `key` was changed.
fn read(value: &Value, key: &str) -> Result<Pack, WorkshopError> {
    serde_json::from_value(value.clone()).map_err(|error| {
        let reason = error.to_string();
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
                "correct the value; docs/guide/pack.md lists the keys".to_owned(),
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
            "docs/guide/pack.md lists the keys".to_owned(),
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
    use serde_json::json;

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
    fn every_setting_can_be_set_to_what_it_is() {
        let pack: Pack = serde_json::from_str(&spec()).expect("a pack");
        let all = settings(&pack);
        assert!(all.len() > 30, "{} settings", all.len());
        let changes = all.into_iter().collect();
        let (same, made) = changed(&spec(), &changes).expect("known keys");
        assert_eq!((same, made), (pack, Vec::new()));
    }
}
