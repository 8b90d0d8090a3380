//! Filing and exports from outside: what applies, the package, the authority's act as evidence, and
//! what other people's tools are given.

use std::fs;

use lathe_tests::{Home, Serving, fixture, text};
use serde_json::{Value, json};

/// Answers to all that the ledger does not know itself.
const ANSWERS: [&str; 10] = [
    "--answer",
    "public=yes",
    "--answer",
    "generative=yes",
    "--answer",
    "base-filed=no",
    "--answer",
    "opinion=no",
    "--answer",
    "recommends=no",
];

fn with<'a>(first: &[&'a str], then: &[&'a str]) -> Vec<&'a str> {
    [first, then].concat()
}

#[test]
fn the_questionnaire_needs_no_home_and_decides_once_nothing_is_open() {
    let home = Home::new();
    let open = home.output(&with(&["filing", "check", "--json"], &ANSWERS));
    assert_eq!(open.status.code(), Some(1));
    let checked: Value = serde_json::from_slice(&open.stdout).expect("JSON");
    assert_eq!(checked["open"], json!(["tuned"]));
    assert!(checked["applies"].is_null());
    let answers = home.path().join("answers.yaml");
    fs::write(&answers, "tuned: yes\npublic: no\n").expect("writes");
    let answers = answers.to_str().expect("a plain name");
    // What the command line says stands over the file.
    let first = ["filing", "check", "--json", "--answers", answers];
    let decided = home.json(&with(&first, &ANSWERS));
    assert_eq!(decided["applies"][0]["kind"], "generative-service");
    assert!(decided["applies"][0]["source"].is_string());
    assert!(!home.path().join("store.sqlite").exists());
}

#[test]
fn a_filing_is_shown_only_with_number_date_and_document() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let out = home.path().join("package");
    let out = out.to_str().expect("a plain name");
    let order = home.newest_order();
    let order = order["id"].as_str().expect("an id");
    let first = ["filing", "package", order, "--json", "--out", out];
    let package = home.json(&with(&first, &ANSWERS));
    let number = package["number"].as_str().expect("a number");
    let zh = fs::read_to_string(format!("{out}/package.zh.html")).expect("the page");
    assert!(zh.contains("生成式人工智能服务备案") && zh.contains("由运营者填写"));
    let card = fs::read_to_string(format!("{out}/package.json")).expect("the fields");
    let card: Value = serde_json::from_str(&card).expect("JSON");
    assert_eq!(card["answers"]["tuned"], true, "the ledger's own answer");
    let untrue = [
        "filing",
        "package",
        "tiny-pack",
        "--answer",
        "tuned=no",
        "--out",
        "elsewhere",
    ];
    let refused = home.output(&untrue);
    assert!(text(&refused.stderr).contains("filing-contradicted"));

    let shown = home.json(&["filing", "show", "tiny-pack", "--json"]);
    assert_eq!(
        (&shown["filed"], &shown["filings"]),
        (&json!(false), &json!([]))
    );
    let document = home.path().join("notice.pdf");
    fs::write(&document, "notice").expect("writes");
    let document = document.to_str().expect("a plain name");
    let record = |date: &'static str| {
        vec![
            "filing",
            "record",
            number,
            "--kind",
            "generative-service",
            "--authority",
            "CAC",
            "--number",
            "X-2026-17",
            "--date",
            date,
            "--document",
            document,
            "--json",
        ]
    };
    let refused = home.output(&record("2026-02-30"));
    assert!(text(&refused.stderr).contains("filing-incomplete"));
    home.json(&record("2026-02-28"));
    let shown = home.json(&["filing", "show", "tiny-pack", "--json"]);
    let filing = &shown["filings"][0];
    // printf notice | sha256sum
    let digest = "9368a7d21e018f64ae3327d2f25cd4d7693b2d85328e4bb680bcfcbd4c26b90e";
    assert_eq!(shown["filed"], true);
    assert_eq!(filing["filed_as"], "X-2026-17");
    assert_eq!(filing["date"], "2026-02-28");
    assert_eq!(filing["document"], digest);
}

#[test]
fn weights_are_signed_and_an_altered_model_is_refused_in_a_copy_alone() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let out = home.path().join("weights");
    let folder = out.to_str().expect("a plain name");
    let exported = home.json(&["export", "model", "tiny-pack", folder, "--json"]);
    let keys = home.json(&["keys", "list", "--json"]);
    assert_eq!(exported["public_key"], keys["model_key"]);
    for part in ["base", "adapter"] {
        let signature = fs::read_to_string(out.join(part).join("model.sig")).expect("signed");
        let bundle: Value = serde_json::from_str(&signature).expect("JSON");
        assert!(bundle["dsseEnvelope"]["signatures"][0]["sig"].is_string());
    }
    let bom = out.join("again.json");
    let file = bom.to_str().expect("a plain name");
    home.json(&["export", "ml-bom", "tiny-pack", "--out", file, "--json"]);
    let read = |path| -> Value {
        serde_json::from_str(&fs::read_to_string(path).expect("reads")).expect("JSON")
    };
    assert_eq!(read(bom), read(out.join("ml-bom.json")));

    let serving = Serving::start(&home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]));
    let flip = json!({ "do": "flip", "name": "tiny-pack" });
    let (status, said) = serving.post("/api/operations", &flip);
    assert_eq!(status, 200, "{said}");
    assert_eq!(said["refused"]["code"], "chain-altered", "{said}");
    assert!(
        said["file"]
            .to_string()
            .contains("adapter_model.safetensors")
    );
    assert_eq!(
        home.names("tmp"),
        Vec::<String>::new(),
        "the copy is removed"
    );
    serving.interrupt();
    let whole = home.output(&["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
}
