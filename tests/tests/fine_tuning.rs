//! OpenAI's fine-tuning API through the real `openai` package, with keys of two scopes.

use lathe_tests::{Home, Serving, fixture, text};

#[test]
fn the_openai_package_tunes_a_model_and_asks_it() {
    let Some(python) = std::env::var_os("LATHE_TEST_PYTHON") else {
        eprintln!(
            "not run: LATHE_TEST_PYTHON names no interpreter with openai; cargo xtask ci sets it"
        );
        return;
    };
    let home = Home::new();
    // An order has brought the base model in.
    home.finish(&fixture("tiny-pack"), &[]);
    let key = |scope: &str| {
        let said = home.json(&[
            "token", "create", "--name", scope, "--scope", scope, "--json",
        ]);
        said["key"].as_str().expect("a key").to_owned()
    };
    let keys = format!("{} {}", key("tune"), key("answer"));
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(&home, &mut command);
    let output = std::process::Command::new(python)
        .arg(lathe_tests::root().join("tests/python/test_fine_tuning.py"))
        .env("LATHE_BASE_URL", format!("{}/v1", serving.url))
        .env("LATHE_BASE_MODEL", "tiny-model")
        .env("LATHE_KEYS", keys)
        .output()
        .expect("python starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Every job is an order with its statements, and the whole stands up to a stranger.
    let kinds = home.ledger_kinds();
    assert!(
        kinds.iter().filter(|kind| *kind == "deployment").count() >= 4,
        "{kinds:?}"
    );
    assert!(home.output(&["verify"]).status.success());
}
