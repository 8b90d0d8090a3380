//! MLflow's client and `huggingface_hub` at a workshop where two persons decide: a model's whole life as they
//! see it, from waiting for its approval to being replaced.

use std::process::Command;

use lathe_tests::{Home, Serving, fixture, root, text, wait_for};
use serde_json::Value;

/// A workshop with its keys, as the scripts are given them.
struct Shop<'a> {
    home: &'a Home,
    serving: Serving,
    keys: String,
    python: std::ffi::OsString,
}

impl Shop<'_> {
    /// Runs one part of `tests/python/test_clients.py`.
    fn ask(&self, part: &str) {
        let output = Command::new(&self.python)
            .arg(root().join("tests/python/test_clients.py"))
            .arg(part)
            .env("LATHE_URL", &self.serving.url)
            .env("LATHE_MODEL", "tiny-pack")
            .env("LATHE_KEYS", &self.keys)
            .output()
            .expect("python starts");
        assert!(output.status.success(), "{part}: {}", text(&output.stderr));
    }

    /// Approves what waits with the key of somebody else, and waits until it answers.
    fn approve(&self, key: &str) {
        let pending = wait_for("what waits for approval", || {
            let pending = self.home.json(&["register", "pending", "--json"]);
            let number = pending["pending"][0]["number"].as_str();
            number.map(str::to_owned)
        });
        self.home.json(&[
            "approve", &pending, "--key", key, "--reason", "read", "--json",
        ]);
        wait_for("the order to be done", || {
            let order = self.home.newest_order();
            assert_ne!(order["state"], "failed", "{order}");
            (order["state"] == "done").then_some(())
        });
    }
}

/// The leaf of the first record of the newest dataset.
fn a_leaf(home: &Home) -> String {
    let data = home.json(&["data", "list", "--json"]);
    let digest = data[0]["digest"].as_str().expect("a digest");
    let records = home
        .path()
        .join("objects")
        .join(digest)
        .join("records.jsonl");
    let records = std::fs::read_to_string(records).expect("reads");
    let first = records.lines().next().expect("a record");
    let first: Value = serde_json::from_str(first).expect("JSON");
    first["leaf"].as_str().expect("a leaf").to_owned()
}

fn key(home: &Home, more: &[&str]) -> String {
    let mut args = vec!["token", "create", "--json", "--name", "test"];
    args.extend(more);
    home.json(&args)["key"].as_str().expect("a key").to_owned()
}

/// `cargo xtask ci` makes an environment with the pinned packages and names its interpreter.
#[test]
fn mlflow_and_the_hub_see_a_model_from_approval_to_withdrawal() {
    let Some(python) = std::env::var_os("LATHE_TEST_PYTHON") else {
        eprintln!(
            "not run: LATHE_TEST_PYTHON names no interpreter with mlflow; cargo xtask ci sets it"
        );
        return;
    };
    let (home, outside) = (Home::new(), tempfile::tempdir().expect("a folder"));
    let two = ["--approval", "two-person"];
    let waits = home
        .run(&fixture("tiny-pack"), &two)
        .output()
        .expect("starts");
    assert_eq!(waits.status.code(), Some(3), "{}", text(&waits.stderr));
    let anna = outside.path().join("anna.key");
    let anna = anna.to_str().expect("a plain name");
    home.json(&["keys", "new", anna, "--json"]);
    let public = format!("{anna}.pub");
    home.json(&[
        "keys", "add", &public, "--name", "Anna", "--role", "approver", "--json",
    ]);
    let keys = [
        key(&home, &["--scope", "models"]),
        key(&home, &["--scope", "admin"]),
        key(&home, &["--scope", "answer"]),
        key(&home, &["--scope", "models", "--model", "another"]),
    ];
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_logged(&home, &mut command, &outside.path().join("log.txt"));
    let shop = Shop {
        home: &home,
        serving,
        keys: keys.join(" "),
        python,
    };
    shop.ask("Waiting");
    shop.approve(anna);
    shop.ask("Answering");
    home.json(&["withdraw", &a_leaf(&home), "--reason", "asked", "--json"]);
    shop.ask("Withdrawn");
    let again = home
        .run(&fixture("tiny-pack"), &[])
        .output()
        .expect("starts");
    assert_eq!(again.status.code(), Some(3), "{}", text(&again.stderr));
    shop.approve(anna);
    shop.ask("Again");
}
