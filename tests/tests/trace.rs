//! From an answer back to its training sentences and from a record to the answers, over HTTP, in the
//! pages, and in the tour.

use std::fs;

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

/// The training records of the home's one dataset.
fn training_records(home: &Home) -> Vec<Value> {
    let mut records = Vec::new();
    for digest in home.names("objects") {
        let path = home
            .path()
            .join("objects")
            .join(digest)
            .join("records.jsonl");
        let Ok(lines) = fs::read_to_string(path) else {
            continue;
        };
        let parse = |line: &str| serde_json::from_str::<Value>(line).expect("a record");
        records.extend(lines.lines().map(parse).filter(|it| it["split"] == "train"));
    }
    assert!(!records.is_empty());
    records
}

/// A daemon of the home whose model answers.
fn serving(home: &Home) -> Serving {
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(home, &mut command);
    wait_for("the model", || {
        let models = serving.get("/v1/models");
        models["data"]
            .as_array()
            .filter(|it| !it.is_empty())
            .map(drop)
    });
    serving
}

/// Asks and returns the answer's text and its receipt's id.
fn ask(serving: &Serving, question: &str) -> (String, String) {
    let body = json!({
        "model": "tiny-pack",
        "messages": [{"role": "system", "content": "Rate it."}, {"role": "user", "content": question}],
        "max_tokens": 40,
    });
    let (status, answer) = serving.post("/v1/chat/completions", &body);
    assert_eq!(status, 200, "{answer}");
    let part = |pointer: &str| {
        let found = answer.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("no {pointer} in {answer}"))
            .to_owned()
    };
    assert_eq!(part("/lathe/aigc/ProduceID"), part("/lathe/receipt"));
    (part("/choices/0/message/content"), part("/lathe/receipt"))
}

/// Each page of the way leads to the next.
fn check_pages(serving: &Serving, receipt: &str, leaf: &str, sentence: &str) {
    let (status, page) = serving.get_text(&format!("/receipts/{receipt}?lang=en"));
    assert_eq!(status, 200);
    assert!(
        page.contains(&format!("href=\"/records/{leaf}\"")),
        "{page}"
    );
    assert!(page.contains(&format!("<mark>{sentence}</mark>")), "{page}");
    for path in [
        "/register",
        "/ledger",
        "/deployments/tiny-pack",
        &format!("/records/{leaf}"),
    ] {
        assert_eq!(serving.get_text(path).0, 200, "{path}");
    }
}

/// The command says the same as the interface, as JSON too.
fn check_command(home: &Home, receipt: &str, leaf: &str) {
    let trace = home.json(&["trace", receipt, "--json"]);
    assert_eq!(trace["receipt"]["id"], receipt);
    let record = home.json(&["trace", "--json", "--record", leaf]);
    assert_eq!(record["record"]["leaf"], leaf);
    for wrong in [
        &["trace", "--json"][..],
        &["trace", receipt, "--record", leaf],
    ] {
        assert_eq!(home.output(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

/// The receipt's batch is a statement of the ledger.
fn check_batch(serving: &Serving, receipt: &str) {
    let batch = wait_for("the receipt's batch", || {
        let trace = serving.get(&format!("/api/receipts/{receipt}"));
        Some(trace["batch"].clone()).filter(|it| !it.is_null())
    });
    let link = batch["link"].as_str().expect("a link");
    let entry = serving.get(&format!("/api/ledger/entries/{link}"));
    assert_eq!(entry["entry"]["kind"], "receipts");
    assert_eq!(entry["statement"]["predicate"]["root"], batch["root"]);
}

#[test]
fn an_answer_leads_to_its_sentences_and_a_record_to_the_answer() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let record = training_records(&home).remove(3);
    let sentence = record["fields"]["text"]
        .as_str()
        .expect("a text")
        .to_owned();
    let leaf = record["leaf"].as_str().expect("a leaf").to_owned();
    let serving = serving(&home);
    let (_, receipt) = ask(&serving, &format!("They say {sentence} indeed"));

    let trace = serving.get(&format!("/api/receipts/{receipt}"));
    let kinds = [
        "deployment",
        "registration",
        "approval",
        "verdict",
        "evaluation",
        "training",
        "base",
    ];
    for kind in kinds {
        assert!(
            trace["chain"][kind]["index"].is_u64(),
            "{kind} in {}",
            trace["chain"]
        );
    }
    assert_eq!(trace["chain"]["self_approved"], true);
    // The answer may share more with the records than the question does.
    let mut passages = trace["passages"].as_array().expect("passages").iter();
    let passage = passages.find(|it| it["text"] == *sentence);
    assert_eq!(passage.expect("the sentence")["leaves"], json!([leaf]));
    let told = trace["records"].as_array().expect("records").iter();
    let told = told
        .clone()
        .find(|it| it["leaf"] == leaf)
        .expect("the record");
    assert_eq!(
        (&told["licence"], &told["prompt"]),
        (&json!("CC0-1.0"), &json!(sentence))
    );

    check_pages(&serving, &receipt, &leaf, &sentence);
    check_command(&home, &receipt, &leaf);

    let back = serving.get(&format!("/api/records/{leaf}"));
    assert_eq!(
        back["deployments"][0]["deployment"]["said"]["name"],
        "tiny-pack"
    );
    let receipts = back["receipts"].as_array().expect("receipts");
    assert!(
        receipts.iter().any(|it| it["receipt"]["id"] == receipt),
        "{back}"
    );
    // A light edit does not hide where a passage came from.
    let quoted = format!("they said: {} INDEED", sentence.replace(' ', "%20"));
    let found = serving.get(&format!("/api/trace?q={}", quoted.replace(' ', "%20")));
    assert_eq!(found["answers"][0]["receipt"]["id"], receipt, "{found}");
    check_batch(&serving, &receipt);
}

#[test]
fn the_tour_shows_it_all_and_leaves_the_home_as_it_was() {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let output = home.output(&["tour"]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    for part in [
        "1  Ask",
        "2  Follow it back",
        "CC0-1.0",
        "(self-approved)",
        "is altered",
        "restricted: ",
        "tune again without it: lathe order clone ",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    assert_eq!(home.names("tmp"), Vec::<String>::new());
    let (answer, _) = ask(&serving(&home), "the price is fine");
    assert!(!answer.is_empty());
}
