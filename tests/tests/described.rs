//! The description at /openapi.json, before the programs that other people hold such descriptions and
//! servers against each other with.

use std::process::Command;

use lathe_tests::{Home, Serving, fixture, root, text, wait_for};
use serde_json::json;

/// `cargo xtask ci` makes an environment with the pinned packages and names its interpreter.
#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    let Some(python) = std::env::var_os("LATHE_TEST_PYTHON") else {
        eprintln!(
            "not run: LATHE_TEST_PYTHON names no interpreter with schemathesis; cargo xtask ci sets it"
        );
        return;
    };
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    // Relative paths that are made up are looked for in an empty folder.
    let empty = tempfile::tempdir().expect("a folder");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_logged(
        &home,
        command.current_dir(empty.path()),
        &home.path().join("log.txt"),
    );
    wait_for("the deployment to be opened", || {
        let body = json!({"model": "tiny-pack", "prompt": "hello", "max_tokens": 1});
        (serving.post("/v1/completions", &body).0 == 200).then_some(())
    });
    let output = Command::new(python)
        .arg(root().join("tests/python/described.py"))
        .env("LATHE_URL", &serving.url)
        .env("LATHE_MODEL", "tiny-pack")
        .output()
        .expect("python starts");
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("openapi-spec-validator: "), "{said}");
    // What it found once.
    assert_eq!(serving.get_text("/api/trace?q=").0, 400);
    // And after all that it answers.
    assert_eq!(serving.get_text("/health").0, 200);
}
