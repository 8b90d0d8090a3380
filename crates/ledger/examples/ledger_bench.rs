//! `ledger_bench [LEAVES]`: how long one thread takes to hash, log and prove a ledger's entries.
//!
//! Each entry has the bytes of a real training envelope with a number of its own in it. Every entry
//! is hashed, pushed and has its inclusion proof made and verified; the growth from every 1024th
//! size is shown by a consistency proof. Signatures are measured apart, over fewer entries, since
//! they cost more than all the rest. Prints one line of JSON.

use std::time::Instant;

use lathe_evidence::merkle::leaf_hash;
use lathe_evidence::statement::{ApprovalPolicy, BaseModel, Statement};
use lathe_ledger::Tree;
use lathe_ledger::fixture::{Ledger, digest, key, whole};
use lathe_ledger::history::{History, Trust};
use lathe_ledger::proofs::{verify_consistency, verify_inclusion};

/// Leaves, where none are asked for.
const LEAVES: u64 = 1_000_000;
/// How far apart the sizes are whose growth is shown.
const GROWTH_STEP: usize = 1024;
/// Entries that are signed and read back.
const SIGNED: usize = 20_000;

fn main() {
    let leaves = std::env::args().nth(1).map_or(Ok(LEAVES), |it| it.parse());
    let leaves: u64 = leaves.expect("LEAVES is a whole number");
    let mut envelope = whole().0.envelopes[4].bytes().to_vec();
    let bytes = envelope.len();

    let start = Instant::now();
    let mut hashes = Vec::with_capacity(leaves as usize);
    for number in 0..leaves {
        envelope[20..28].copy_from_slice(&number.to_be_bytes());
        hashes.push(leaf_hash(&envelope));
    }
    let hash_s = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let tree: Tree = hashes.iter().copied().collect();
    let root = tree.root();
    let log_s = start.elapsed().as_secs_f64();

    let start = Instant::now();
    for index in 0..leaves {
        let proof = tree.inclusion(index, leaves).expect("it is in the tree");
        let leaf = &hashes[index as usize];
        verify_inclusion(leaf, index, leaves, &proof, &root).expect("the proof shows it");
    }
    for size in (0..=leaves).step_by(GROWTH_STEP) {
        let proof = tree.consistency(size, leaves).expect("it is a beginning");
        let old = tree.root_at(size).expect("it is a beginning");
        verify_consistency(size, &old, leaves, &root, &proof).expect("the proof shows it");
    }
    let prove_s = start.elapsed().as_secs_f64();

    let (seal_s, read_s) = signed();
    let total_s = hash_s + log_s + prove_s;
    println!(
        "{{\"leaves\":{leaves},\"bytes_each\":{bytes},\"hash_s\":{hash_s:.3},\"log_s\":{log_s:.3},\
         \"prove_s\":{prove_s:.3},\"total_s\":{total_s:.3},\"signed\":{SIGNED},\"seal_s\":{seal_s:.3},\
         \"read_s\":{read_s:.3}}}"
    );
}

/// Seconds to seal and take in [`SIGNED`] statements, and to verify the whole ledger of them anew.
fn signed() -> (f64, f64) {
    let mut ledger = Ledger::new(key(1), ApprovalPolicy::Itself);
    let start = Instant::now();
    for number in 0..SIGNED {
        let name = format!("base {number}");
        let said = BaseModel {
            name: name.clone(),
            source: "pypi:base==1.0#model.gguf".to_owned(),
            file: digest("model.gguf"),
            licence: "Apache-2.0".to_owned(),
            owner: "its makers".to_owned(),
            bytes: 1000,
            at_ms: ledger.at_ms,
        };
        let statement = Statement::of(name.as_str(), digest(&name), said);
        ledger.say(&statement).expect("it holds");
    }
    let seal_s = start.elapsed().as_secs_f64();
    let (rows, note) = (ledger.rows(), ledger.note());
    let start = Instant::now();
    let history = History::verify(rows, &note, &Trust::default()).expect("it holds");
    assert_eq!(history.root(), ledger.history.root());
    (seal_s, start.elapsed().as_secs_f64())
}
