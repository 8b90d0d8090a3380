//! Judging what was read: the ledger, its rows, artifacts, receipts. No clock, nothing written.

use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{Link, Receipts};
use lathe_ledger::history::{History, Trust};
use lathe_ledger::receipts;

use crate::Findings;
use crate::findings::Mismatch;
use crate::objects::Objects;
use crate::store::{Material, StoredReceipt};

/// Judges everything; `at_ms` is the moment to judge what expires at.
pub fn check(material: &Material, objects: &Objects, trust: &Trust, at_ms: i64) -> Findings {
    judge(material, objects, trust, at_ms).0
}

/// Like [`check`], with the ledger as it was read, if it holds.
pub fn judge(
    material: &Material,
    objects: &Objects,
    trust: &Trust,
    at_ms: i64,
) -> (Findings, Option<History>) {
    let mut findings = Findings::default();
    check_objects(objects, &mut findings);
    let history = check_ledger(material, trust, &mut findings);
    if let Some(history) = &history {
        check_rows(material, history, &mut findings);
        crate::chains::check(material, history, objects, at_ms, &mut findings);
        if !material.is_bundle {
            check_batches(material, history, &mut findings);
        }
    }
    (findings, history)
}

/// Every artifact is what it is named after.
fn check_objects(objects: &Objects, findings: &mut Findings) {
    let mut count = 0;
    for artifact in objects.stored() {
        let differences = objects.differences(artifact);
        count += 1;
        for difference in differences {
            findings.fails(
                format!("artifact {}", artifact.short()),
                Mismatch::Artifact.code(),
                difference,
            );
        }
    }
    if findings.failures().next().is_none() {
        findings.holds("artifacts", format!("{count} hashed anew, file by file"));
    }
}

fn check_ledger(material: &Material, trust: &Trust, findings: &mut Findings) -> Option<History> {
    let envelopes = material.entries.iter().map(|it| it.envelope.clone());
    match History::verify(envelopes, &material.note, trust) {
        Ok(history) => {
            let anchor = history.anchor();
            findings.anchored = anchor.is_anchored();
            let mut text = format!(
                "{} entries of {}, root {}",
                history.len(),
                history.origin(),
                history.root()
            );
            if anchor.key {
                text.push_str("; a key you pinned stands behind it");
            }
            if let Some(size) = anchor.minimum {
                text.push_str(&format!(
                    "; it continues your checkpoint over {size} entries"
                ));
            }
            findings.holds("ledger", text);
            Some(history)
        }
        Err(problems) => {
            for problem in problems {
                findings.fails("ledger", problem.code(), problem.to_string());
            }
            None
        }
    }
}

/// The store's own columns say what the envelopes say.
fn check_rows(material: &Material, history: &History, findings: &mut Findings) {
    for (row, entry) in material.entries.iter().zip(history.entries()) {
        if row.seq as u64 != entry.index || row.link != entry.link.to_string() {
            let text = format!(
                "the row of entry {} says place {} and link {}",
                entry.index, row.seq, row.link
            );
            findings.fails("store", Mismatch::Row.code(), text);
        }
    }
}

/// Every batch of receipts has the root that the ledger says, and every receipt says of its
/// deployment what the ledger says.
fn check_batches(material: &Material, history: &History, findings: &mut Findings) {
    let before = findings.failures().count();
    let mut rest = &material.receipts[..];
    for entry in history.of_kind("receipts") {
        let Some(said) = history.said::<Receipts>(&entry.link) else {
            continue;
        };
        let end = rest.partition_point(|it| it.batch as u64 <= said.batch);
        let (own, after) = rest.split_at(end);
        rest = after;
        check_batch(said, &entry.link, own, material, findings);
        for receipt in own {
            check_receipt(history, receipt, findings);
        }
    }
    for left in rest {
        let text = format!(
            "it is of batch {}, which the ledger does not have",
            left.batch
        );
        findings.fails(
            format!("receipt {}", left.id),
            Mismatch::Receipt.code(),
            text,
        );
    }
    if findings.failures().count() == before {
        let count = material.receipts.len();
        let text = format!("{count} in {} batches", history.last_batch());
        findings.holds("receipts", text);
    }
}

fn check_batch(
    said: &Receipts,
    link: &Link,
    own: &[StoredReceipt],
    material: &Material,
    findings: &mut Findings,
) {
    let what = || format!("batch {} of receipts", said.batch);
    let leaves: Vec<_> = own.iter().map(|it| Receipt::leaf(&it.bytes)).collect();
    let in_order = own
        .iter()
        .enumerate()
        .all(|(at, it)| it.position == at as i64 && it.batch as u64 == said.batch);
    if leaves.len() as u64 != said.count || !in_order {
        let text = format!("{} receipts are there of {}", leaves.len(), said.count);
        return findings.fails(what(), Mismatch::Receipt.code(), text);
    }
    let root = receipts::batch_root(&leaves);
    if root != said.root {
        let text = format!(
            "its receipts make the root {root}, but the ledger says {}",
            said.root
        );
        return findings.fails(what(), Mismatch::Receipt.code(), text);
    }
    let row = material
        .batches
        .iter()
        .find(|it| it.batch as u64 == said.batch);
    if row.is_none_or(|row| row.link != link.to_string()) {
        findings.fails(
            what(),
            Mismatch::Row.code(),
            "its row names another statement",
        );
    }
}

fn check_receipt(history: &History, stored: &StoredReceipt, findings: &mut Findings) {
    let outcome = receipts::parse(&stored.bytes).and_then(|receipt| {
        receipts::agrees(history, &receipt)?;
        Ok(receipt)
    });
    let text = match outcome {
        Ok(receipt) if receipt.id == stored.id => return,
        Ok(receipt) => format!("its bytes are the receipt {}", receipt.id),
        Err(error) => error.to_string(),
    };
    findings.fails(
        format!("receipt {}", stored.id),
        Mismatch::Receipt.code(),
        text,
    );
}
