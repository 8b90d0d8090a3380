//! The bill of materials of a chain: CycloneDX 1.6 with a model card, as JSON.
//!
//! An exported view: every figure comes from the chain and the statements it names. Nothing is read
//! back from it. The format: CycloneDX 1.6 JSON schema (ECMA-424), validated in `cargo xtask
//! acceptance validators`.

use lathe_evidence::report::{Interval, Role};
use lathe_evidence::statement::{BaseModel, Dataset, Deployment, Link};
use lathe_evidence::{Digest, moment};
use lathe_ledger::History;
use serde_json::{Value, json};

use crate::chain::Chain;

/// The bill of materials of `chain`, whose statements `history` holds.
pub fn ml_bom(history: &History, chain: &Chain) -> Value {
    let at_ms = history
        .said::<Deployment>(&chain.deployment)
        .map_or(0, |it| it.at_ms);
    let base_ref = reference("model", &chain.base_model);
    let data_refs: Vec<String> = chain
        .dataset_artifacts
        .iter()
        .map(|digest| reference("data", digest))
        .collect();
    let mut components: Vec<Value> = chain
        .datasets
        .iter()
        .zip(&chain.dataset_artifacts)
        .filter_map(|(link, digest)| dataset(history, link, digest))
        .collect();
    let mut rests_on = data_refs.clone();
    if chain.adapter.is_some() {
        components.extend(base(history, chain));
        rests_on.push(base_ref);
    }
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial(&chain.deployment),
        "version": 1,
        "metadata": {
            "timestamp": moment::utc(at_ms),
            "tools": {"components": [{"type": "application", "name": "Lathe"}]},
            "component": model(chain, &data_refs),
        },
        "components": components,
        "dependencies": [{
            "ref": reference("model", &chain.model()),
            "dependsOn": rests_on,
        }],
    })
}

fn model(chain: &Chain, data: &[String]) -> Value {
    let datasets: Vec<Value> = data.iter().map(|it| json!({"ref": it})).collect();
    json!({
        "type": "machine-learning-model",
        "bom-ref": reference("model", &chain.model()),
        "name": chain.name,
        "version": chain.number,
        "hashes": [hash(&chain.model())],
        "modelCard": {
            "modelParameters": {
                "approach": {"type": "supervised"},
                "datasets": datasets,
                "inputs": [{"format": "text"}],
                "outputs": [{"format": "text"}],
            },
            "quantitativeAnalysis": {"performanceMetrics": metrics(chain)},
        },
        "properties": properties(chain),
    })
}

/// The figures of the model judged, with their intervals.
fn metrics(chain: &Chain) -> Vec<Value> {
    let role = if chain.training.is_some() {
        Role::Tuned
    } else {
        Role::Base
    };
    let judged = chain.report.subjects.iter().filter(|it| it.role == role);
    let of_model = judged
        .flat_map(|it| &it.metrics)
        .map(|(name, figure)| metric(name, None, figure));
    let judged = chain.report.subjects.iter().filter(|it| it.role == role);
    let of_slices = judged.flat_map(|it| &it.slices).flat_map(|slice| {
        slice.metrics.iter().map(|(name, value)| {
            let figure = Interval {
                value: *value,
                low: None,
                high: None,
            };
            metric(
                name,
                Some(format!("{}: {}", slice.by, slice.value)),
                &figure,
            )
        })
    });
    of_model.chain(of_slices).collect()
}

fn metric(name: &str, slice: Option<String>, figure: &Interval) -> Value {
    let mut metric = json!({"type": name, "value": format!("{:.4}", figure.value)});
    if let Some(slice) = slice {
        metric["slice"] = slice.into();
    }
    if let Some((low, high)) = figure.low.zip(figure.high) {
        metric["confidenceInterval"] = json!({
            "lowerBound": format!("{low:.4}"),
            "upperBound": format!("{high:.4}"),
        });
    }
    metric
}

/// The statements behind it, and what has to be said wherever it is shown.
fn properties(chain: &Chain) -> Vec<Value> {
    let mut named = vec![
        ("lathe:deployment", chain.deployment.to_string()),
        ("lathe:registration", chain.registration.to_string()),
        ("lathe:approval", chain.approval.to_string()),
        ("lathe:verdict", chain.verdict.to_string()),
        ("lathe:evaluation", chain.evaluation.to_string()),
        ("lathe:policy", chain.policy.digest().to_string()),
        ("lathe:self-approved", chain.self_approved.to_string()),
        ("lathe:demonstration", chain.demonstration.to_string()),
    ];
    let stages = chain.stages.iter();
    named.extend(stages.map(|(link, _)| ("lathe:training", link.to_string())));
    named
        .into_iter()
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect()
}

fn base(history: &History, chain: &Chain) -> Option<Value> {
    let said = history.said::<BaseModel>(&chain.base)?;
    Some(json!({
        "type": "machine-learning-model",
        "bom-ref": reference("model", &chain.base_model),
        "name": said.name,
        "supplier": {"name": said.owner},
        "hashes": [hash(&chain.base_model)],
        "licenses": [{"license": {"name": said.licence}}],
        "externalReferences": [{"type": "distribution", "url": url(&said.source)}],
    }))
}

fn dataset(history: &History, link: &Link, digest: &Digest) -> Option<Value> {
    let said = history.said::<Dataset>(link)?;
    Some(json!({
        "type": "data",
        "bom-ref": reference("data", digest),
        "name": said.name,
        "supplier": {"name": said.owner},
        "hashes": [hash(digest)],
        "licenses": [{"license": {"name": said.licence}}],
        "data": [{
            "type": "dataset",
            "name": said.name,
            "classification": classification(said),
        }],
        "properties": [
            {"name": "lathe:dataset", "value": link.to_string()},
            {"name": "lathe:records-root", "value": said.root.to_string()},
        ],
    }))
}

/// What the scan found, in words.
fn classification(said: &Dataset) -> &'static str {
    match (said.scan.version, said.scan.personal_records) {
        (0, _) => "not scanned",
        (_, 0) => "scanned: no personal data found",
        _ => "scanned: personal data found",
    }
}

fn hash(digest: &Digest) -> Value {
    json!({"alg": "SHA-256", "content": digest.to_string()})
}

fn reference(kind: &str, digest: &Digest) -> String {
    format!("{kind}:sha256:{digest}")
}

/// A source as an IRI: what stands in it as a name is escaped.
fn url(source: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/#@!$&'()*+,;=".contains(&byte);
    let mut escaped = String::new();
    let mut fragment = false;
    for byte in source.bytes() {
        // A source may name archives inside archives; an IRI has one fragment.
        let again = byte == b'#' && std::mem::replace(&mut fragment, true);
        if plain(byte) && !again {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

/// A UUID worked out from the deployment's statement (version 8, RFC 9562).
fn serial(deployment: &Link) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&deployment.0[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = lathe_evidence::digest::to_hex(&bytes);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    format!("urn:uuid:{}", parts.join("-"))
}
