//! From an answer to a model that learnt better: answer, receipt, correction, review, dataset version,
//! a stage more behind the same gate; and complaints that move the breaker.

use std::fs;
use std::path::PathBuf;

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";
const DATASET: &str = "tiny-pack-corrections";

/// Few complaints are many here.
const BREAKER: &str = "breaker:
  complaints: {window_answers: 8, answers_min: 4, complaints_min: 2, restrict_percent: 30, open_percent: 90}
";

/// tiny-pack with bounds that a test reaches, beside its data.
fn pack(home: &Home) -> PathBuf {
    let folder = home.path().join("pack");
    fs::create_dir_all(&folder).expect("makes");
    let model = format!("file:{}", fixture("tiny-model").display());
    let plain = fs::read_to_string(fixture("tiny-pack/pack.yaml")).expect("reads");
    let whole = plain.replace("file:../tiny-model", &model) + BREAKER;
    fs::write(folder.join("pack.yaml"), whole).expect("writes");
    let feelings = fixture("tiny-pack/feelings.tsv");
    fs::copy(feelings, folder.join("feelings.tsv")).expect("copies");
    folder
}

fn up(home: &Home) -> Serving {
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(home, &mut command);
    wait_for("the deployment", || {
        (serving.get_text("/health/ready").0 == 200).then_some(())
    });
    serving
}

/// What is asked, as the model is measured.
fn messages(text: &str) -> Value {
    json!([
        {"role": "system", "content": "Rate it."},
        {"role": "user", "content": text},
    ])
}

/// Asks in the knowledge that it may be restricted: status and answer.
fn ask(serving: &Serving, text: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into();
    let body = json!({"model": NAME, "messages": messages(text), "max_tokens": 4});
    let mut response = agent
        .post(format!("{}/v1/chat/completions", serving.url))
        .header("x-lathe-accept-restricted", "1")
        .send_json(&body)
        .expect("the daemon answers");
    let status = response.status().as_u16();
    let answer = response.body_mut().read_to_string().expect("a text");
    (status, serde_json::from_str(&answer).expect("JSON"))
}

fn receipt(serving: &Serving, text: &str) -> String {
    let (status, answer) = ask(serving, text);
    assert_eq!(status, 200, "{answer}");
    let receipt = answer["lathe"]["receipt"].as_str();
    receipt.expect("a receipt").to_owned()
}

/// Gives feedback, which is taken; its id.
fn give(serving: &Serving, body: &Value) -> String {
    let (status, given) = serving.post("/v1/feedback", body);
    assert_eq!(status, 200, "{given}");
    given["id"].as_str().expect("an id").to_owned()
}

fn correct(serving: &Serving, asked: &str, right: &str) -> String {
    give(
        serving,
        &json!({
            "receipt": receipt(serving, asked),
            "kind": "correction",
            "correction": right,
            "messages": messages(asked),
        }),
    )
}

fn complain(serving: &Serving, asked: &str) {
    let receipt = receipt(serving, asked);
    let complaint = json!({"receipt": receipt, "kind": "complaint", "reason": "of no use"});
    give(serving, &complaint);
}

/// Runs a command that has to be refused with this code.
fn refused(home: &Home, args: &[&str], code: &str) {
    let output = home.output(args);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(code), "no {code} in {stderr}");
}

fn accept(home: &Home, id: &str) -> Value {
    home.json(&["feedback", "accept", id, "--by", "Li Lei", "--json"])
}

fn step(order: &Value, name: &str) -> Value {
    let mut steps = order["steps"].as_array().expect("steps").iter();
    let found = steps.find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name}")).clone()
}

/// The state of a deployment's breaker, and why.
fn breaker(serving: &Serving) -> (String, String) {
    let all = serving.get("/api/deployments");
    let rows = all["deployments"].as_array().expect("a list");
    let row = rows.iter().find(|row| row["name"] == NAME).expect("it is");
    let word = |name: &str| row[name].as_str().expect("a text").to_owned();
    (word("breaker"), word("breaker_reason"))
}

#[test]
fn corrections_are_reviewed_made_a_dataset_and_learnt_behind_the_same_gate() {
    let home = Home::new();
    home.finish(&pack(&home), &[]);
    let serving = up(&home);
    let right = [
        ("2.0", "positive"),
        ("-2.0", "negative"),
        ("0.0", "neutral"),
    ];
    let asked = ["the kettle sings", "the lamp glows", "the door is green"];
    let ids = [0, 1, 2].map(|at| {
        let (feeling, class) = right[at];
        let right = format!(r#"{{"feeling":{feeling},"class":"{class}"}}"#);
        correct(&serving, asked[at], &right)
    });
    let unfit = correct(&serving, "the roof leaks", "it leaks");
    let listed = home.json(&["feedback", "list", "--state", "received", "--json"]);
    assert_eq!(listed["feedback"].as_array().map(Vec::len), Some(4));
    let shown = home.json(&["feedback", "show", &ids[0], "--json"]);
    assert_eq!(shown["messages"], messages(asked[0]));
    refused(&home, &["feedback", "accept", &unfit], "feedback-answer");
    let reason = "no JSON";
    let by = [
        "feedback", "reject", &unfit, "--by", "Li Lei", "--reason", reason,
    ];
    assert!(home.output(&by).status.success());
    // One accepted correction is too few.
    let first = accept(&home, &ids[0]);
    assert_eq!(first["feedback"][0]["review"]["by"], "Li Lei");
    let make = ["feedback", "dataset", DATASET, "--of", NAME, "--json"];
    refused(&home, &make, "feedback-few");
    accept(&home, &ids[1]);
    let one = home.json(&make);
    assert_eq!(
        (&one["new"], &one["corrections"]),
        (&json!(true), &json!(2))
    );
    assert_eq!(home.json(&make)["new"], false, "nothing has changed");
    accept(&home, &ids[2]);
    let placed = tuned(&home);
    let version = &placed["corrections"];
    assert_eq!(version["previous"], one["dataset"], "the one before it");
    assert_eq!(version["corrections"], 3);
    let id = placed["order"].as_str().expect("an id");
    let order = home.json(&["order", "show", id, "--json"]);
    is_whole(&home, &order, version);
    let folder = home.path().join("objects");
    let folder = folder.join(version["dataset"].as_str().expect("a digest"));
    let records = fs::read_to_string(folder.join("records.jsonl")).expect("reads");
    assert!(ids.iter().all(|id| records.contains(id)), "{records}");
    assert!(records.contains("Li Lei"), "{records}");
    assert!(!records.contains(&unfit), "{records}");
    refused(&home, &["feedback", "tune", NAME], "feedback-nothing-new");
    receipt(&serving, "the lamp glows");
    assert!(home.output(&["verify"]).status.success());
    assert!(serving.interrupt().success());
}

/// That only the last stage and what follows it was done anew, on that very version, and is what answers.
fn is_whole(home: &Home, order: &Value, version: &Value) {
    for (name, state) in [
        ("model", "reused"),
        ("tune", "reused"),
        ("corrections-data", "done"),
        ("corrections-prepare", "done"),
        ("corrections", "done"),
        ("evaluate", "done"),
        ("deploy", "done"),
    ] {
        assert_eq!(step(order, name)["state"], state, "{name}");
    }
    let prepared = step(order, "corrections-prepare")["artifact"].clone();
    assert_eq!(prepared, version["dataset"]);
    let models = home.json(&["model", "list", "--json"]);
    let adapter = step(order, "corrections")["artifact"].clone();
    assert_ne!(adapter, step(order, "tune")["artifact"]);
    let models = models.as_array().expect("a list");
    assert!(models.iter().any(|model| model["digest"] == adapter));
    assert_eq!(order["deployment"], NAME);
}

/// Places the order and waits for its end.
fn tuned(home: &Home) -> Value {
    // The tiny model forgets how to answer at all at the usual rate, and its gate refuses it.
    let rate = "tune.corrections.learn.learning_rate=0.0001";
    let placed = home.json(&["feedback", "tune", NAME, "--set", rate, "--json"]);
    let id = placed["order"].as_str().expect("an order").to_owned();
    wait_for("the order to end", || {
        let order = home.json(&["order", "show", &id, "--json"]);
        assert_ne!(order["state"], "failed", "{order}");
        (order["state"] == "done").then_some(())
    });
    placed
}

#[test]
fn complaints_restrict_then_open_the_breaker_and_closing_begins_anew() {
    let home = Home::new();
    home.finish(&pack(&home), &[]);
    let serving = up(&home);
    for text in ["one", "two", "three"] {
        receipt(&serving, text);
    }
    complain(&serving, "four");
    assert_eq!(breaker(&serving).0, "closed", "one is too few");
    // A correction is none.
    correct(&serving, "five", r#"{"feeling":2.0,"class":"positive"}"#);
    complain(&serving, "six");
    complain(&serving, "seven");
    let (state, reason) = breaker(&serving);
    assert_eq!(state, "restricted", "{reason}");
    assert!(reason.starts_with("3 of the last 8 answers"), "{reason}");
    assert!(reason.contains("投诉"), "{reason}");
    let plain = json!({"model": NAME, "messages": messages("eight"), "max_tokens": 2});
    let (status, said) = serving.post("/v1/chat/completions", &plain);
    assert_eq!(
        (status, &said["error"]["code"]),
        (403, &json!("restricted"))
    );
    // Counted is from where it moved: eight of eight.
    for number in 0..7 {
        complain(&serving, &format!("again {number}"));
    }
    assert_eq!(breaker(&serving).0, "restricted");
    complain(&serving, "again 7");
    assert_eq!(breaker(&serving).0, "open");
    let (status, said) = ask(&serving, "nine");
    assert_eq!(
        (status, &said["error"]["code"]),
        (503, &json!("breaker_open"))
    );
    let message = said["error"]["message"].as_str().expect("a text");
    assert!(message.contains("were complained about"), "{message}");
    let moves = serving.get(&format!("/api/breakers/{NAME}"));
    assert!(moves.to_string().contains("\"complaints\""), "{moves}");
    let close = ["breaker", NAME, "close", "--reason", "looked at them"];
    assert!(home.output(&close).status.success());
    complain(&serving, "ten");
    assert_eq!(
        breaker(&serving).0,
        "closed",
        "what was known counts no more"
    );
    assert!(serving.interrupt().success());
}
