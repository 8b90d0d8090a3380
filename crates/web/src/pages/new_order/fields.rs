//! The fields of the form: which settings they are of, how a request is written into them and read from
//! them. A field that says what the pack says changes nothing.

use std::collections::BTreeMap;

use lathe_workshop::draft::{SettingMistake, is_same, setting};
use lathe_workshop::pack::change;
use lathe_workshop::{OrderRequest, WorkshopError};
use serde_json::{Number, Value};

use super::super::projects;
use crate::lang::Say;

/// The settings that have a field, by the group that they stand in.
const GROUPS: [(&str, &[&str]); 3] = [
    ("model", &["model.source", "model.licence", "model.owner"]),
    (
        "data",
        &[
            "data.source",
            "data.licence",
            "data.owner",
            "data.split.test_share",
            "records",
        ],
    ),
    (
        "learn",
        &[
            "tune.sft.rank",
            "tune.sft.alpha",
            "tune.sft.learning_rate",
            "tune.sft.epochs",
            "tune.sft.batch_records",
            "tune.sft.tokens_max",
            "tune.sft.seed",
        ],
    ),
];

/// Stages that a pack may have beside the supervised one; each can be left out.
const STAGES: [&str; 3] = ["pretrain", "preference", "corrections"];

/// A source, and the digest that pins it: of another source the digest is another.
const PINNED: [(&str, &str); 2] = [
    ("model.source", "model.sha256"),
    ("data.source", "data.sha256"),
];

/// Fields of one kind.
pub(super) struct Group {
    pub title: String,
    pub fields: Vec<Field>,
}

/// One setting.
pub(super) struct Field {
    pub key: &'static str,
    pub label: String,
    pub value: String,
    /// What the pack says, where the order says something else.
    pub own: String,
    pub numeric: bool,
    pub mistakes: Vec<SettingMistake>,
}

/// A stage that can be left out.
pub(super) struct Stage {
    pub name: &'static str,
    pub label: String,
    pub ticked: bool,
}

/// The fields as an order has them; their mistakes are taken out of `mistakes`.
pub(super) fn groups(
    say: Say,
    own: &BTreeMap<String, Value>,
    set: &BTreeMap<String, Value>,
    mistakes: &mut Vec<SettingMistake>,
) -> Vec<Group> {
    let mut field = |key: &'static str| {
        let (at, rest) = std::mem::take(mistakes)
            .into_iter()
            .partition(|mistake| mistake.key == key);
        *mistakes = rest;
        let pack = own.get(key).map(text_of).unwrap_or_default();
        let changed = set.get(key).map(text_of);
        Field {
            key,
            label: say.it_of("web.new.field", key),
            own: changed.as_ref().map_or_else(String::new, |_| pack.clone()),
            value: changed.unwrap_or(pack),
            numeric: key.starts_with("tune.") || matches!(key, "records" | "data.split.test_share"),
            mistakes: at,
        }
    };
    let mut group = |(name, keys): (&str, &[&'static str])| Group {
        title: say.it_of("web.new.group", name),
        fields: keys.iter().copied().map(&mut field).collect(),
    };
    GROUPS.map(&mut group).into()
}

/// The stages that the pack has beside the supervised one.
pub(super) fn stages(
    say: Say,
    own: &BTreeMap<String, Value>,
    set: &BTreeMap<String, Value>,
) -> Vec<Stage> {
    let has = |name: &&str| {
        let below = format!("tune.{name}.");
        own.keys().any(|key| key.starts_with(&below))
    };
    let stage = |name: &'static str| Stage {
        name,
        label: say.it_of("step", name),
        ticked: set.get(&format!("tune.{name}")) != Some(&Value::Null),
    };
    STAGES.into_iter().filter(has).map(stage).collect()
}

/// The changes that have no field, one `KEY=VALUE` a line.
pub(super) fn rest(own: &BTreeMap<String, Value>, set: &BTreeMap<String, Value>) -> String {
    let has_field = |key: &str| {
        let of_group = GROUPS.iter().any(|(_, keys)| keys.contains(&key));
        let of_stage = STAGES.iter().any(|name| {
            key.strip_prefix("tune.") == Some(name)
                && own.keys().any(|it| it.starts_with(&format!("{key}.")))
        });
        of_group || of_stage
    };
    let lines = set
        .iter()
        .filter(|(key, value)| !has_field(key) || (key.starts_with("tune.") && value.is_object()))
        .map(|(key, value)| setting(key, value));
    lines.collect::<Vec<_>>().join("\n")
}

/// The order that the form says, over a pack whose own settings are these.
///
/// # Errors
/// `order-setting` for a line of changes that is none.
pub(super) fn request_of(
    pairs: &[(String, String)],
    own: &BTreeMap<String, Value>,
) -> Result<OrderRequest, WorkshopError> {
    let value = |name: &str| {
        pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, it)| it.trim())
    };
    let mut set = change::parse_all(value("more").unwrap_or_default().lines())?;
    for key in GROUPS.iter().flat_map(|(_, keys)| keys.iter()) {
        let Some(text) = value(key).filter(|text| !text.is_empty()) else {
            continue;
        };
        let (_, to) = change::parse(&format!("{key}={text}"))?;
        if !own.get(*key).is_some_and(|from| is_same(from, &to)) {
            set.insert((*key).to_owned(), to);
        }
    }
    for (source, digest) in PINNED {
        let is_pinned = own.get(digest).is_some_and(|it| !it.is_null());
        if is_pinned && set.contains_key(source) && !set.contains_key(digest) {
            set.insert(digest.to_owned(), Value::Null);
        }
    }
    let of = |name: &str, stage: &str| pairs.iter().any(|(key, it)| key == name && it == stage);
    for stage in STAGES {
        if of("has_stage", stage) && !of("stage", stage) {
            set.insert(format!("tune.{stage}"), Value::Null);
        }
    }
    Ok(OrderRequest {
        pack: value("pack").unwrap_or_default().into(),
        quick: value("quick").is_some(),
        offline: value("offline").is_some(),
        set,
        project: projects::named(value("project")),
    })
}

/// A value as it stands in a field; nothing where it is not set.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Number(number) => number_text(number),
        other => other.to_string(),
    }
}

/// Whole numbers without `.0`.
fn number_text(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn own() -> BTreeMap<String, Value> {
        let settings = [
            ("model.source", json!("file:m.gguf")),
            ("model.sha256", json!("ab")),
            ("tune.sft.epochs", json!(3.0)),
            ("tune.sft.rank", json!(16)),
            ("tune.pretrain.text", json!("{{ t }}")),
        ];
        settings.map(|(key, value)| (key.to_owned(), value)).into()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        let owned = pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        owned.collect()
    }

    #[test]
    fn what_the_pack_says_already_is_no_change() {
        let form = pairs(&[
            ("pack", "p"),
            ("tune.sft.epochs", "3"),
            ("tune.sft.rank", "8"),
            ("records", ""),
            ("model.source", "file:other.gguf"),
            ("more", "ask.records=1\n"),
            ("has_stage", "pretrain"),
        ]);
        let request = request_of(&form, &own()).expect("an order");
        let expected = json!({
            "ask.records": 1, "model.sha256": null, "model.source": "file:other.gguf",
            "tune.pretrain": null, "tune.sft.rank": 8,
        });
        assert_eq!(json!(request.set), expected);
        // A stage that is ticked stays.
        let form = [form, pairs(&[("stage", "pretrain")])].concat();
        let request = request_of(&form, &own()).expect("an order");
        assert!(!request.set.contains_key("tune.pretrain"));
    }

    #[test]
    fn what_has_no_field_stands_in_lines() {
        let set = BTreeMap::from([
            ("tune.sft.rank".to_owned(), json!(8)),
            ("tune.pretrain".to_owned(), Value::Null),
            ("model.sha256".to_owned(), Value::Null),
            ("task.system".to_owned(), json!("a\nb")),
        ]);
        let lines = rest(&own(), &set);
        assert_eq!(lines, "model.sha256=null\ntask.system=\"a\\nb\"");
        let read = change::parse_all(lines.lines()).expect("lines");
        assert_eq!(read["task.system"], json!("a\nb"));
    }
}
