//! `docs/reference/openapi.json`: the whole HTTP interface, which the server answers at /openapi.json.
//!
//! Paths, and what `/v1` sends and takes, are written by hand beside the routes
//! (`crates/web/src/openapi/*.yaml`): there it is JSON that is made piece by piece. What the
//! workshop's API sends are types, and their schemas are read from the sources ([`types`]). That no
//! path lacks its description, and none is described that does not answer, is a test of the web crate.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::shell::{self, Outcome};
use types::Types;

mod serde_attributes;
mod types;

/// What is written by hand.
const FOLDER: &str = "crates/web/src/openapi";
/// What is made of it.
const DOCUMENT: &str = "docs/reference/openapi.json";
/// How a schema is referred to.
const SCHEMAS: &str = "#/components/schemas/";

/// Writes the document, or with `check` only compares it.
pub fn write(check: bool) -> Outcome {
    let document = document()?;
    let text = serde_json::to_string_pretty(&document).map_err(|error| error.to_string())? + "\n";
    let path = shell::root().join(DOCUMENT);
    if !check {
        return std::fs::write(&path, text).map_err(|error| format!("writing {DOCUMENT}: {error}"));
    }
    if std::fs::read_to_string(&path).unwrap_or_default() == text {
        return Ok(());
    }
    Err(format!(
        "{DOCUMENT} is not what {FOLDER} and the types say; run `cargo xtask docs`"
    ))
}

fn document() -> Result<Value, String> {
    let mut document = json!({});
    for (name, part) in parts()? {
        merge(&mut document, part)
            .map_err(|member| format!("{FOLDER}/{name} says {member} a second time"))?;
    }
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    let mut missing = BTreeSet::new();
    collect_references(&document, &mut missing);
    let written = document["components"]["schemas"].as_object();
    let roots = missing
        .into_iter()
        .filter(|name| written.is_none_or(|it| !it.contains_key(name)));
    let roots: Vec<String> = roots.filter(|name| name != "Digest").collect();
    let read = json!({"components": {"schemas": Types::read()?.schemas(&roots)?}});
    merge(&mut document, read)
        .map_err(|name| format!("{FOLDER} writes {name} by hand, which is a type"))?;
    Ok(document)
}

/// The files by name, in its order.
fn parts() -> Result<Vec<(String, Value)>, String> {
    let folder = shell::root().join(FOLDER);
    let failed = |error: std::io::Error| format!("reading {FOLDER}: {error}");
    let mut parts = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().map(|it| it.to_string_lossy().into_owned());
        let name = name.unwrap_or_default();
        if name.ends_with(".yaml") {
            let text = std::fs::read_to_string(&path).map_err(failed)?;
            let part: Map<String, Value> = serde_saphyr::from_str(&text)
                .map_err(|error| format!("{FOLDER}/{name}: {error}"))?;
            parts.push((name, Value::Object(part)));
        }
    }
    parts.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(parts)
}

/// Lays `part` into `whole`; objects are joined.
///
/// # Errors
/// The member that both have.
fn merge(whole: &mut Value, part: Value) -> Result<(), String> {
    let (Value::Object(whole), Value::Object(part)) = (whole, part) else {
        return Err("what is no object".to_owned());
    };
    for (name, value) in part {
        match whole.get_mut(&name) {
            None => {
                whole.insert(name, value);
            }
            Some(own) if own.is_object() && value.is_object() => merge(own, value)?,
            Some(_) => return Err(name),
        }
    }
    Ok(())
}

/// The names of all schemas that are referred to.
fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str);
            let name = name.and_then(|it| it.strip_prefix(SCHEMAS));
            found.extend(name.map(str::to_owned));
            members
                .values()
                .for_each(|it| collect_references(it, found));
        }
        Value::Array(items) => items.iter().for_each(|it| collect_references(it, found)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_joined_and_nothing_is_said_twice() {
        let mut whole = json!({"paths": {"/a": {"get": 1}}, "tags": []});
        merge(&mut whole, json!({"paths": {"/a": {"post": 2}, "/b": {}}})).expect("they fit");
        assert_eq!(
            whole,
            json!({"paths": {"/a": {"get": 1, "post": 2}, "/b": {}}, "tags": []})
        );
        let twice = merge(&mut whole, json!({"paths": {"/a": {"get": 3}}}));
        assert_eq!(twice, Err("get".to_owned()));
    }
}
