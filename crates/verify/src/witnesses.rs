//! Judging witnesses: that each of those pinned cosigned a checkpoint which this ledger continues.

use lathe_ledger::{Checkpoint, History, Witness};
use lathe_register::dossier;

use crate::Findings;
use crate::findings::Mismatch;

/// Looks for every witness's cosignature on the notes: the one that was kept, then the ledger's own.
pub fn check(
    witnesses: &[Witness],
    notes: &[Option<&str>],
    history: &History,
    findings: &mut Findings,
) {
    for witness in witnesses {
        let what = format!("witness {}", witness.name());
        match cosigned(witness, notes, history) {
            Ok(text) => {
                findings.anchored = true;
                findings.holds(what, text);
            }
            Err(why) => findings.fails(what, Mismatch::Witness.code(), why),
        }
    }
}

fn cosigned(
    witness: &Witness,
    notes: &[Option<&str>],
    history: &History,
) -> Result<String, String> {
    let mut why = String::new();
    for note in notes.iter().flatten() {
        match witness.verify(note) {
            Ok((checkpoint, at_s)) => {
                continues(history, &checkpoint)?;
                let at_ms = i64::try_from(at_s).unwrap_or(i64::MAX).saturating_mul(1000);
                let at = dossier::time(at_ms);
                let size = checkpoint.size;
                return Ok(format!(
                    "it saw {size} entries at {at}, and the ledger continues them"
                ));
            }
            // That of the note that was kept tells more than that of the ledger's own.
            Err(error) if why.is_empty() => why = error.to_string(),
            Err(_) => {}
        }
    }
    Err(format!(
        "{why}; give the checkpoint that it cosigned with --checkpoint"
    ))
}

/// The entries that the witness saw are the first of this ledger.
fn continues(history: &History, checkpoint: &Checkpoint) -> Result<(), String> {
    let root = history.tree().root_at(checkpoint.size);
    let same = root.is_ok_and(|root| root == checkpoint.root);
    if same && checkpoint.origin == history.origin() {
        return Ok(());
    }
    Err(format!(
        "it saw {} entries of {:?} that are not the first of this ledger",
        checkpoint.size, checkpoint.origin
    ))
}
