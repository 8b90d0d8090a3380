//! Evidence before use, from outside: two persons, withdrawn data, a rewritten ledger, a moved home,
//! and `kill -9` at every write.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

fn question() -> Value {
    json!({
        "model": "tiny-pack",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 4,
    })
}

fn up(home: &Home, more: &[&str]) -> Serving {
    let mut args = vec!["up", "--listen", "127.0.0.1:0"];
    args.extend(more);
    Serving::start(home, &mut home.lathe(&args))
}

/// Waits until the model answers with `status`, and returns that answer.
fn wait_for_status(serving: &Serving, wanted: u16) -> Value {
    wait_for(&format!("status {wanted}"), || {
        let (status, answer) = serving.post("/v1/chat/completions", &question());
        (status == wanted).then_some(answer)
    })
}

fn refused(home: &Home, args: &[&str], code: &str) {
    let output = home.output(args);
    let said = text(&output.stderr);
    assert!(!output.status.success() && said.contains(code), "{said}");
}

#[test]
fn two_persons_need_a_key_that_does_not_lie_in_the_home() {
    let home = Home::new();
    let outside = tempfile::tempdir().expect("a folder");
    let two = ["--approval", "two-person"];
    let output = home
        .run(&fixture("tiny-pack"), &two)
        .output()
        .expect("starts");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let pending = home.json(&["register", "pending", "--json"]);
    let number = pending["pending"][0]["number"]
        .as_str()
        .expect("a number")
        .to_owned();

    // The workshop's own key may not.
    let own = home.path().join("keys/workshop.key");
    let own = own.to_str().expect("a plain name");
    refused(&home, &["approve", &number, "--key", own], "ledger-role");
    // Nor may a key that nobody added.
    let key = outside.path().join("anna.key");
    let key = key.to_str().expect("a plain name");
    home.json(&["keys", "new", key, "--json"]);
    refused(&home, &["approve", &number, "--key", key], "ledger-signer");
    let public = format!("{key}.pub");
    home.json(&[
        "keys", "add", &public, "--name", "Anna", "--role", "approver", "--json",
    ]);
    let approved = home.json(&[
        "approve", &number, "--key", key, "--reason", "read", "--json",
    ]);
    assert_eq!(approved["decision"], "approved");
    home.finish(&fixture("tiny-pack"), &[]);
    assert_eq!(home.newest_order()["deployment"], "tiny-pack");
    let serving = up(&home, &[]);
    wait_for_status(&serving, 200);
}

#[test]
fn a_rejected_model_is_not_served() {
    let home = Home::new();
    let outside = tempfile::tempdir().expect("a folder");
    let two = ["--approval", "two-person"];
    home.run(&fixture("tiny-pack"), &two)
        .output()
        .expect("starts");
    let key = outside.path().join("anna.key");
    let key = key.to_str().expect("a plain name");
    home.json(&["keys", "new", key, "--json"]);
    let public = format!("{key}.pub");
    home.json(&[
        "keys", "add", &public, "--name", "Anna", "--role", "approver", "--json",
    ]);
    let pending = home.json(&["register", "pending", "--json"]);
    let number = pending["pending"][0]["number"]
        .as_str()
        .expect("a number")
        .to_owned();
    home.json(&[
        "approve", &number, "--key", key, "--reject", "--reason", "no", "--json",
    ]);
    let order = home.newest_order();
    assert_eq!(order["state"], "failed", "{order}");
    assert_eq!(
        home.json(&["register", "pending", "--json"])["pending"],
        json!([])
    );
}

/// The leaf of the first training record.
fn a_leaf(home: &Home) -> String {
    let data = home.json(&["data", "list", "--json"]);
    let digest = data[0]["digest"].as_str().expect("a digest");
    let path = home
        .path()
        .join("objects")
        .join(digest)
        .join("records.jsonl");
    let records = fs::read_to_string(path).expect("reads");
    let first: Value =
        serde_json::from_str(records.lines().next().expect("a record")).expect("JSON");
    first["leaf"].as_str().expect("a leaf").to_owned()
}

#[test]
fn a_withdrawn_record_restricts_and_the_next_order_leaves_it_out() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let leaf = a_leaf(&home);
    let done = home.json(&[
        "withdraw",
        &leaf,
        "--reason",
        "asked by its author",
        "--json",
    ]);
    assert_eq!(done["restricted"], json!(["tiny-pack"]));
    let retune = done["retune"][0].as_str().expect("a command");
    // What the page's button does: the order as it was placed, with what was changed of its pack.
    let order = done["again"][0]["order"].as_str().expect("an order");
    assert_eq!(retune, format!("lathe order clone {order}"));
    let serving = up(&home, &[]);
    wait_for_status(&serving, 403);
    // The record says which order tunes again without it, and its dataset that one is withdrawn.
    let record = serving.get(&format!("/api/records/{leaf}"));
    assert_eq!(record["again"], done["again"], "{record}");
    assert_eq!(record["again"][0]["names"], json!(["tiny-pack"]));
    let entry = record["record"]["entry"].as_u64().expect("an entry");
    let said = serving.get(&format!("/api/ledger/entries/{entry}"));
    assert_eq!(said["entry"]["kind"], "dataset");
    assert_eq!(said["entry"]["subject"], record["record"]["dataset"]);
    assert_eq!(serving.get("/api/data")["data"][0]["withdrawn"], 1);
    // Nobody closes it over evidence that does not hold.
    refused(
        &home,
        &["breaker", "tiny-pack", "close", "--reason", "please"],
        "breaker-stays",
    );
    drop(serving);
    home.finish(&fixture("tiny-pack"), &[]);
    assert_ne!(a_leaf(&home), leaf);
    let serving = up(&home, &[]);
    wait_for_status(&serving, 200);
}

#[test]
fn a_byte_changed_under_a_running_model_forces_its_breaker_open() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let serving = up(&home, &["--scrub-s", "1"]);
    wait_for_status(&serving, 200);
    let weights = home
        .path()
        .join("objects")
        .join(home.adapter())
        .join("adapter_model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    let last = bytes.last_mut().expect("not empty");
    *last ^= 1;
    fs::remove_file(&weights).expect("removes");
    fs::write(&weights, bytes).expect("writes");
    let answer = wait_for_status(&serving, 503);
    assert!(answer.to_string().contains("the adapter"), "{answer}");
}

#[test]
fn a_rewritten_ledger_serves_nothing_and_says_so() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let path = home.path().join("store.sqlite");
    let mut bytes = fs::read(&path).expect("reads");
    let start = b"{\"payload\":\"";
    let found: Vec<usize> = (0..bytes.len() - 400)
        .filter(|at| bytes[*at..].starts_with(start))
        .collect();
    assert!(!found.is_empty(), "envelopes in clear");
    for at in found {
        let changed = &mut bytes[at + start.len() + 200];
        *changed = if *changed == b'A' { b'B' } else { b'A' };
    }
    fs::write(&path, bytes).expect("writes");
    let serving = up(&home, &[]);
    // While it is looked at, it is said to be opening; at no time is it answered.
    wait_for("status 404", || {
        let (status, answer) = serving.post("/v1/chat/completions", &question());
        assert!(matches!(status, 404 | 503), "{status}: {answer}");
        (status == 404).then_some(())
    });
    let pack = fixture("tiny-pack");
    refused(
        &home,
        &["run", pack.to_str().expect("a plain name"), "--exit"],
        "ledger-broken",
    );
}

#[test]
fn the_home_the_bundle_and_the_dossier_hold_until_a_byte_changes() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let whole = home.output(&["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
    let outside = tempfile::tempdir().expect("a folder");
    let bundle = outside.path().join("bundle");
    let bundle = bundle.to_str().expect("a plain name");
    let made = home.json(&["bundle", "export", "tiny-pack", bundle, "--json"]);
    // Base model, adapter, data as read and as prepared, report.
    assert_eq!(made["artifacts"].as_array().map(Vec::len), Some(5));
    let whole = home.output(&["verify", "--home", bundle]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
    let register = home.json(&["register", "list", "--json"]);
    let number = register["register"][0]["number"]
        .as_str()
        .expect("a number");
    let dossier = home.output(&["dossier", number]).stdout;
    assert!(dossier.starts_with(b"{"), "{}", text(&dossier));
    assert_eq!(dossier, home.output(&["dossier", number]).stdout);
    let file = home
        .path()
        .join("objects")
        .join(home.adapter())
        .join("adapter_config.json");
    fs::remove_file(&file).expect("removes");
    fs::write(&file, "{}").expect("writes");
    let output = home.output(&["verify"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    assert!(text(&output.stdout).contains("adapter_config.json"));
}

#[test]
fn a_moved_home_goes_on_and_names_no_place() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let store = fs::read(home.path().join("store.sqlite")).expect("reads");
    let own = home.path().to_str().expect("a plain name").as_bytes();
    assert!(!store.windows(own.len()).any(|window| window == own));
    let outside = tempfile::tempdir().expect("a folder");
    let moved = outside.path().join("elsewhere");
    fs::rename(home.path(), &moved).expect("moves");
    let pack = fixture("tiny-pack");
    let output = home
        .run(
            &pack,
            &["--offline", "--home", moved.to_str().expect("plain")],
        )
        .output()
        .expect("starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let reused = lathe_tests::lines(&output.stdout);
    let reused = reused.iter().filter(|line| line["state"] == "reused");
    assert!(reused.count() >= 7, "{}", text(&output.stdout));
    fs::create_dir_all(home.path()).expect("the test's own folder");
}

/// Kills a fresh order after its `write`-th write and lets it resume. False when it ended before. A quick one:
/// it writes as often, and tunes for less long.
fn killed_at(write: u64, adapter: &str) -> bool {
    let home = Home::new();
    let status = home
        .run(&fixture("tiny-pack"), &["--quick"])
        .env("LATHE_TEST_KILL_AT_WRITE", write.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("lathe starts");
    if status.success() {
        return false;
    }
    assert_eq!(status.signal(), Some(9), "write {write}: {status}");
    // It opens only a ledger that verifies, says nothing twice, and ends where it would have.
    home.finish(&fixture("tiny-pack"), &["--quick"]);
    assert_eq!(home.adapter(), adapter, "write {write}");
    let mut said = home.ledger_kinds();
    said.retain(|kind| kind != "receipts");
    said.sort();
    let expected = [
        "approval",
        "base-model",
        "dataset",
        "deployment",
        "evaluation",
        "registration",
        "registration",
        "registration",
        "training",
        "verdict",
        "workshop",
    ];
    assert_eq!(said, expected, "write {write}");
    true
}

#[test]
fn killed_at_every_write_the_chain_verifies_and_the_order_resumes() {
    let like = Home::new();
    like.finish(&fixture("tiny-pack"), &["--quick"]);
    let adapter = like.adapter();
    let (next, ended) = (AtomicU64::new(1), AtomicBool::new(false));
    // Every single one when asked; ci, where minutes count, takes every third.
    let stride = match std::env::var_os("LATHE_TEST_EVERY_WRITE") {
        Some(_) => 1,
        None => 3,
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    let write = next.fetch_add(stride, Ordering::Relaxed);
                    if !killed_at(write, &adapter) {
                        ended.store(true, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let writes = next.load(Ordering::Relaxed);
    assert!(writes > 60, "only {writes} writes in an order");
    assert!(Path::new(&fixture("tiny-pack")).exists());
}
