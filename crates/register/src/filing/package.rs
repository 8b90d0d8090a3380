//! The package for a filing: what the ledger knows, in the fields the authority asks for.

use std::collections::BTreeMap;

use lathe_evidence::statement::{Deployment, Link};
use lathe_ledger::History;
use serde::Serialize;

use super::{Applies, Confidence};
use crate::chain::{Denial, DenialKind, Judged, walk_verdict};
use crate::dossier::{Row, Section, Value, model_sections, sections_page, value_text};
use crate::registrations;
use crate::words::{Lang, word};

/// One field of a package, worded in one language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Field {
    /// The section it stands in.
    pub section: String,
    /// What is asked.
    pub field: String,
    /// What the ledger knows; absent where the operator has to give it.
    pub value: Option<String>,
}

/// The answers that the ledger gives itself, whatever anybody says: whether the model was tuned.
///
/// # Errors
/// There is no such number, or what it rests on is not whole.
pub fn known(history: &History, number: &str) -> Result<BTreeMap<String, bool>, Denial> {
    let (_, verdict) = registered(history, number)?;
    let judged = walk_verdict(history, &verdict)?;
    let tuned = judged.trunk.training.is_some();
    Ok(BTreeMap::from([("tuned".to_owned(), tuned)]))
}

/// The name and the newest verdict of a number.
fn registered(history: &History, number: &str) -> Result<(String, Link), Denial> {
    let register = registrations::register(history);
    let entry = register.get(number).ok_or_else(|| {
        let why = format!("the register has no number {number}");
        Denial::new(
            DenialKind::NotRegistered,
            "a package is for a registration",
            why,
        )
    })?;
    Ok((entry.name.clone(), entry.verdict))
}

/// The package for a filing, in the fields the authority asks for.
///
/// # Errors
/// There is no such number, or what it rests on is not whole.
pub fn package(
    history: &History,
    number: &str,
    applies: &[Applies],
) -> Result<Vec<Section>, Denial> {
    let (name, verdict) = registered(history, number)?;
    let judged = walk_verdict(history, &verdict)?;
    let launched = history.of_kind("deployment").find_map(|it| {
        let said = history.said::<Deployment>(&it.link)?;
        (said.name == name).then_some(said.at_ms)
    });
    let launched = launched.map_or(Value::Asked, Value::Time);
    let mut sections = vec![decision(applies), subject(), algorithm(&name, launched)];
    sections.extend([details(&judged), product(), publicity()]);
    sections.extend(model_sections(&judged, None));
    Ok(sections)
}

/// A package as a page to print.
pub fn page(history: &History, number: &str, package: &[Section], lang: Lang) -> String {
    let title = format!("{} {number}", word(lang, "title.filing"));
    let said = format!("{}: {}", word(lang, "made-from"), history.len());
    let footer = format!("{said} {}, {}", word(lang, "entries"), history.root());
    sections_page(&title, word(lang, "intro.filing"), package, &footer, lang)
}

/// A package as fields in one language, in the order of reading.
pub fn fields(package: &[Section], lang: Lang) -> Vec<Field> {
    let of_section = |section: &Section| {
        let heading = word(lang, &format!("section.{}", section.key)).to_owned();
        let field = move |row: &Row| Field {
            section: heading.clone(),
            field: word(lang, &format!("row.{}", row.key)).to_owned(),
            value: value_text(&row.value, lang),
        };
        section.rows.iter().map(field).collect::<Vec<_>>()
    };
    package.iter().flat_map(of_section).collect()
}

/// What the model is and was made of.
fn details(judged: &Judged<'_>) -> Section {
    let trunk = &judged.trunk;
    let data: Vec<String> = trunk
        .datasets
        .iter()
        .map(|it| format!("{} ({}, {})", it.what.name, it.what.owner, it.what.licence))
        .collect();
    let stages: Vec<&str> = trunk.stages().map(|it| it.what.stage.as_str()).collect();
    let strategy = match stages.is_empty() {
        true => "-".to_owned(),
        false => stages.join(", "),
    };
    Section {
        key: "details".to_owned(),
        rows: vec![
            given("modality-in", Value::Word("modality.text".to_owned())),
            given("modality-out", Value::Word("modality.text".to_owned())),
            given("model-used", Value::Text(trunk.base.what.name.clone())),
            given("strategy", Value::Text(strategy)),
            given("training-data", Value::Text(data.join("; "))),
            given("risks", Value::Asked),
        ],
    }
}

fn product() -> Section {
    Section {
        key: "product".to_owned(),
        rows: vec![
            given("product-name", Value::Asked),
            given("form", Value::Asked),
            given("audience", Value::Asked),
            given("access", Value::Word("access.api".to_owned())),
        ],
    }
}

/// What the authority publishes of it (拟公示内容).
fn publicity() -> Section {
    let asked = ["principle", "mechanism", "scenario", "purpose"];
    Section {
        key: "publicity".to_owned(),
        rows: asked.iter().map(|key| given(key, Value::Asked)).collect(),
    }
}

fn given(key: &str, value: Value) -> Row {
    Row {
        key: key.to_owned(),
        value,
    }
}

fn decision(applies: &[Applies]) -> Section {
    let mut rows = Vec::new();
    for it in applies {
        let kind = serde_json::to_value(it.kind).unwrap_or_default();
        let kind = kind.as_str().unwrap_or("nothing");
        let confidence = match it.confidence {
            Confidence::Primary => "confidence.primary",
            Confidence::Secondary => "confidence.secondary",
        };
        rows.push(given("applies", Value::Word(format!("filing.{kind}"))));
        rows.push(given("because", Value::Text(it.because.clone())));
        rows.push(given("source", Value::Text(it.source.clone())));
        rows.push(given("confidence", Value::Word(confidence.to_owned())));
    }
    Section {
        key: "decision".to_owned(),
        rows,
    }
}

fn subject() -> Section {
    let keys = [
        "subject-name",
        "credit-code",
        "contact",
        "safety-officer",
        "commitment",
    ];
    Section {
        key: "subject".to_owned(),
        rows: keys.iter().map(|key| given(key, Value::Asked)).collect(),
    }
}

fn algorithm(name: &str, launched: Value) -> Section {
    Section {
        key: "algorithm".to_owned(),
        rows: vec![
            given(
                "algorithm-type",
                Value::Word("algorithm-type.generative".to_owned()),
            ),
            given("name", Value::Text(name.to_owned())),
            given("launched", launched),
            given("domain", Value::Asked),
            given("self-assessment", Value::Asked),
        ],
    }
}
