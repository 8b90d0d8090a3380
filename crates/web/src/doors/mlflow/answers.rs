//! Registered models and versions as MLflow writes them.
//!
//! Times are milliseconds. What the workshop knows beyond MLflow's members stands in tags whose names
//! begin with `lathe.`; the stage, which newer clients do not ask for, is `Production` for what answers.

use std::collections::BTreeMap;

use lathe_workshop::shelf::{ShelfFile, ShelfModel, ShelfVersion, Shelved};
use serde_json::{Value, json};

/// What every path of artifacts begins with.
pub(super) const SOURCE: &str = "models/";

/// A registered model.
pub(super) fn model_json(model: &ShelfModel) -> Value {
    let newest = newest_of_stages(model).into_iter();
    let latest: Vec<Value> = newest.map(|it| version_json(&model.name, it)).collect();
    let labels = model.versions.iter().flat_map(|version| {
        let labels = version.labels.iter();
        labels.map(|label| json!({ "alias": label, "version": version.number.to_string() }))
    });
    let created = model.versions.iter().map(|it| it.created_ms).min();
    let updated = model.versions.iter().map(|it| it.updated_ms).max();
    json!({
        "name": model.name,
        "creation_timestamp": created,
        "last_updated_timestamp": updated,
        "description": "",
        "latest_versions": latest,
        "tags": [],
        "aliases": labels.collect::<Vec<_>>(),
    })
}

/// A version.
pub(super) fn version_json(name: &str, version: &ShelfVersion) -> Value {
    let status = match version.standing {
        Shelved::HandedOut => "READY",
        Shelved::Waiting => "PENDING_REGISTRATION",
        Shelved::Withheld => "FAILED_REGISTRATION",
    };
    let message = match version.why.is_empty() {
        true => String::new(),
        false => format!("{}. What to do: {}", version.why, version.next),
    };
    json!({
        "name": name,
        "version": version.number.to_string(),
        "creation_timestamp": version.created_ms,
        "last_updated_timestamp": version.updated_ms,
        "current_stage": stage(version),
        "description": "",
        "source": source(name, version),
        "run_id": "",
        "status": status,
        "status_message": message,
        "tags": tags(version),
        "aliases": version.labels,
    })
}

/// Where a version's files are, as MLflow names a place behind its own server.
pub(super) fn source(name: &str, version: &ShelfVersion) -> String {
    format!("mlflow-artifacts:/{SOURCE}{name}/{}", version.number)
}

/// The stage of a version.
pub(super) fn stage(version: &ShelfVersion) -> &'static str {
    match version.answers {
        true => "Production",
        false => "None",
    }
}

/// The newest version of each stage among those that are handed out, as MLflow tells of no others.
pub(super) fn newest_of_stages(model: &ShelfModel) -> Vec<&ShelfVersion> {
    let ready = model.versions.iter().rev();
    let ready = ready.filter(|it| it.standing == Shelved::HandedOut);
    let mut newest: Vec<&ShelfVersion> = Vec::new();
    for version in ready {
        if newest.iter().all(|it| stage(it) != stage(version)) {
            newest.push(version);
        }
    }
    newest
}

fn tags(version: &ShelfVersion) -> Vec<Value> {
    let parts = version.parts;
    let known = [
        ("lathe.model", Some(version.model.to_string())),
        ("lathe.base", parts.map(|(base, _)| base.to_string())),
        (
            "lathe.adapter",
            parts
                .and_then(|(_, adapter)| adapter)
                .map(|it| it.to_string()),
        ),
        ("lathe.registration", Some(version.registration.clone())),
        (
            "lathe.deployment",
            version.deployment.map(|it| it.to_string()),
        ),
        ("lathe.order", Some(version.order.clone())),
        ("lathe.licence", Some(version.licence.clone())),
        (
            "lathe.demonstration",
            version.demonstration.then(|| "true".to_owned()),
        ),
    ];
    let said = known.into_iter().filter_map(|(key, value)| {
        let value = value.filter(|it| !it.is_empty())?;
        Some(json!({ "key": key, "value": value }))
    });
    said.collect()
}

/// What lies directly under a folder of these files.
pub(super) fn artifacts(files: &[ShelfFile], folder: &str) -> Vec<Value> {
    let mut found: BTreeMap<&str, Option<u64>> = BTreeMap::new();
    for file in files {
        let rest = match folder.is_empty() {
            true => Some(file.path.as_str()),
            false => file
                .path
                .strip_prefix(folder)
                .and_then(|it| it.strip_prefix('/')),
        };
        match rest.map(|it| it.split_once('/').ok_or(it)) {
            Some(Ok((inner, _))) => found.insert(inner, None),
            Some(Err(name)) => found.insert(name, Some(file.size)),
            None => None,
        };
    }
    let rows = found.into_iter().map(|(path, size)| match size {
        Some(size) => json!({ "path": path, "is_dir": false, "file_size": size }),
        None => json!({ "path": path, "is_dir": true }),
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use lathe_evidence::Digest;

    use super::*;

    #[test]
    fn a_folder_is_listed_one_level_deep() {
        let file = |path: &str| ShelfFile {
            path: path.to_owned(),
            size: 3,
            sha256: Digest::of(b"abc"),
            artifact: Digest::of(b""),
            within: path.to_owned(),
        };
        let files = ["a.json", "base/b.gguf", "base/c/d"].map(file);
        let names = |folder: &str| {
            let rows = artifacts(&files, folder).into_iter();
            let rows = rows.map(|it| format!("{} {}", it["path"].as_str().unwrap(), it["is_dir"]));
            rows.collect::<Vec<_>>()
        };
        assert_eq!(names(""), ["a.json false", "base true"]);
        assert_eq!(names("base"), ["b.gguf false", "c true"]);
        assert_eq!(names("base/c"), ["d false"]);
        // A file has nothing under it, and no folder is above the first.
        for nothing in ["a.json", "bas", "..", "base/../base"] {
            assert_eq!(names(nothing), [""; 0], "{nothing}");
        }
    }
}
