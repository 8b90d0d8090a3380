//! The fields of the form: which settings they are of, how a request is written into them and read from
//! them. A field that says what the pack says changes nothing.

use std::collections::BTreeMap;

use lathe_workshop::draft::{is_same, setting};
use lathe_workshop::pack::change;
use lathe_workshop::{OrderRequest, WorkshopError};
use serde_json::{Number, Value};

use super::super::alert::{Alert, Mistake};
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

/// The settings without which nothing can be run, or nobody may say what it rests on.
const NEEDED: [&str; 6] = [
    "model.source",
    "model.licence",
    "model.owner",
    "data.source",
    "data.licence",
    "data.owner",
];

/// The setting that may be left out, and means something else then: all records.
const RECORDS: &str = "records";

/// Stages that a pack may have beside the supervised one; each can be left out.
const STAGES: [&str; 3] = ["pretrain", "preference", "corrections"];

/// A source, and the digest that pins it: of another source the digest is another.
const PINNED: [(&str, &str); 2] = [
    ("model.source", "model.sha256"),
    ("data.source", "data.sha256"),
];

/// The code of a field that is needed and empty.
const EMPTY: &str = "field-empty";

/// Fields of one kind.
pub(in crate::pages) struct Group {
    pub title: String,
    pub fields: Vec<Field>,
}

/// One setting.
pub(in crate::pages) struct Field {
    pub key: &'static str,
    pub label: String,
    pub value: String,
    /// What the pack says, or the order that is cloned, in a sentence; empty where this one says the same.
    pub own: String,
    pub numeric: bool,
    pub needed: bool,
    pub mistakes: Vec<Mistake>,
}

/// A stage that can be left out.
pub(in crate::pages) struct Stage {
    pub name: &'static str,
    pub label: String,
    pub ticked: bool,
}

/// Needed fields that were sent empty, each with what is wrong.
pub(in crate::pages) fn emptied(say: Say, pairs: &[(String, String)]) -> Vec<Mistake> {
    let is_empty = |key: &&str| {
        let mut sent = pairs.iter().filter(|(name, _)| name == *key);
        sent.any(|(_, value)| value.trim().is_empty())
    };
    let mistake = |key: &str| Mistake {
        key: key.to_owned(),
        code: EMPTY.to_owned(),
        told: Alert::own(&say.it("web.form.empty"), &say.it("web.form.empty.next")),
    };
    NEEDED.into_iter().filter(is_empty).map(mistake).collect()
}

/// The fields as an order has them; their mistakes are taken out of `mistakes`. What the pack or the order
/// that is cloned says is told in the words of `own_key`.
pub(in crate::pages) fn groups(
    say: Say,
    own: &BTreeMap<String, Value>,
    set: &BTreeMap<String, Value>,
    mistakes: &mut Vec<Mistake>,
    own_key: &str,
) -> Vec<Group> {
    let mut field = |key: &'static str| {
        let (at, rest) = std::mem::take(mistakes)
            .into_iter()
            .partition(|mistake| mistake.key == key);
        *mistakes = rest;
        let pack = own.get(key).map(text_of).unwrap_or_default();
        let is_emptied = |it: &Mistake| it.code == EMPTY;
        let changed = match at.iter().any(is_emptied) {
            true => Some(String::new()),
            false => set.get(key).map(text_of),
        };
        let told = changed.as_ref().filter(|_| !pack.is_empty());
        Field {
            key,
            label: say.it_of("web.new.field", key),
            own: told.map_or_else(String::new, |_| say.of(own_key, &pack)),
            value: changed.unwrap_or(pack),
            numeric: is_numeric(key),
            needed: NEEDED.contains(&key),
            mistakes: at,
        }
    };
    let mut group = |(name, keys): (&str, &[&'static str])| Group {
        title: say.it_of("web.new.group", name),
        fields: keys.iter().copied().map(&mut field).collect(),
    };
    GROUPS.map(&mut group).into()
}

/// Where something is wrong: the id and the name of each input, as they stand in the form. `mistakes` are those that
/// no field has; of a setting they are mended among the other ones, whose name is `more`.
pub(in crate::pages) fn wrong(
    groups: &[Group],
    mistakes: &[Mistake],
    more: String,
) -> Vec<(String, String)> {
    let fields = groups.iter().flat_map(|group| &group.fields);
    let wrong = fields.filter(|field| !field.mistakes.is_empty());
    let of_field = wrong.map(|field| (format!("f-{}", field.key), field.label.clone()));
    let is_other = mistakes.iter().any(|mistake| !mistake.key.is_empty());
    let others = is_other.then(|| ("f-more".to_owned(), more));
    of_field.chain(others).collect()
}

/// The stages that the pack has beside the supervised one.
pub(in crate::pages) fn stages(
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
pub(in crate::pages) fn rest(
    own: &BTreeMap<String, Value>,
    set: &BTreeMap<String, Value>,
) -> String {
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
pub(in crate::pages) fn request_of(
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
        let to = match value(key) {
            None => continue,
            Some("") if *key == RECORDS && own.contains_key(RECORDS) => Value::Null,
            Some("") => continue,
            Some(text) if is_numeric(key) => change::parse(&format!("{key}={text}"))?.1,
            // An owner may be called 2024.
            Some(text) => Value::String(text.to_owned()),
        };
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

/// Whether a number stands in the field; a text in all others.
fn is_numeric(key: &str) -> bool {
    key.starts_with("tune.") || matches!(key, RECORDS | "data.split.test_share")
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
pub(in crate::pages) fn number_text(number: &Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use lathe_workshop::words::Lang;
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
            ("model.owner", "2024"),
            ("more", "ask.records=1\n"),
            ("has_stage", "pretrain"),
        ]);
        let request = request_of(&form, &own()).expect("an order");
        let expected = json!({
            "ask.records": 1, "model.owner": "2024", "model.sha256": null, "model.source": "file:other.gguf",
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

    #[test]
    fn a_bound_on_the_records_is_taken_away_by_emptying_its_field() {
        let mut own = own();
        let form = pairs(&[("records", " ")]);
        assert!(request_of(&form, &own).expect("an order").set.is_empty());
        own.insert("records".to_owned(), json!(400));
        let request = request_of(&form, &own).expect("an order");
        assert_eq!(json!(request.set), json!({"records": null}));
    }

    #[test]
    fn what_is_needed_and_empty_is_a_mistake_at_its_field() {
        let say = Say::new(Lang::Zh);
        let form = pairs(&[
            ("model.licence", " "),
            ("data.owner", "Our shop"),
            ("records", ""),
        ]);
        let mut mistakes = emptied(say, &form);
        let keys: Vec<&str> = mistakes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(keys, ["model.licence"]);
        let own = BTreeMap::from([("model.licence".to_owned(), json!("MIT"))]);
        let groups = groups(say, &own, &BTreeMap::new(), &mut mistakes, "web.new.own");
        assert!(mistakes.is_empty());
        let field = &groups[0].fields[1];
        assert_eq!((field.key, &field.value[..]), ("model.licence", ""));
        assert!(field.needed && field.mistakes[0].told.text.contains("必填"));
        assert!(field.own.contains("MIT"), "{}", field.own);
    }

    #[test]
    fn what_is_wrong_is_listed_by_its_inputs() {
        let say = Say::new(Lang::En);
        let form = pairs(&[("data.owner", ""), ("model.licence", "")]);
        let mut mistakes = emptied(say, &form);
        let own = BTreeMap::new();
        let groups = groups(say, &own, &own, &mut mistakes, "web.new.own");
        let ids = |mistakes: &[Mistake]| -> Vec<String> {
            let wrong = wrong(&groups, mistakes, "Other settings".to_owned());
            wrong.into_iter().map(|(id, _)| id).collect()
        };
        // In the order of the form.
        assert_eq!(ids(&mistakes), ["f-model.licence", "f-data.owner"]);
        let other = |key: &str| Mistake {
            key: key.to_owned(),
            code: "pack-invalid".to_owned(),
            told: Alert::own("it is odd", ""),
        };
        // What is of no setting alone has no input.
        assert_eq!(ids(&[other("")]).len(), 2);
        assert_eq!(ids(&[other("ask.records")])[2], "f-more");
    }
}
