//! What has to be done again, and what may not be: data that was taken back as a whole, and a home
//! that was put back from a backup.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_tests::{Home, Serving, copy_folder, fixture, text, wait_for};
use serde_json::{Value, json};

fn up(home: &Home) -> Serving {
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    Serving::start(home, &mut command)
}

fn ask(serving: &Serving) -> (u16, String) {
    let question = json!({
        "model": "tiny-pack",
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 4,
    });
    let (status, answer) = serving.post("/v1/chat/completions", &question);
    (status, answer.to_string())
}

fn wait_for_status(serving: &Serving, wanted: u16) -> String {
    wait_for(&format!("status {wanted}"), || {
        let (status, answer) = ask(serving);
        (status == wanted).then_some(answer)
    })
}

/// Runs the pack, which must be refused in this step with this code; gives the error.
fn refused(home: &Home, pack: &Path, more: &[&str], step: &str, code: &str) -> Value {
    let output = home.run(pack, more).output().expect("lathe starts");
    assert!(!output.status.success(), "{}", text(&output.stdout));
    let order = home.newest_order();
    let steps = order["steps"].as_array().expect("steps").iter();
    let failed = steps.clone().find(|it| it["state"] == "failed");
    let failed = failed.expect("a step that failed");
    assert_eq!(
        (&failed["name"], &failed["error"]["code"]),
        (&json!(step), &json!(code))
    );
    failed["error"].clone()
}

/// The tiny pack, its data under an agreement.
fn under(packs: &Path, agreement: &str) -> PathBuf {
    for name in ["tiny-model", "tiny-pack"] {
        copy_folder(&fixture(name), &packs.join(name));
    }
    let file = packs.join("tiny-pack/pack.yaml");
    let written = fs::read_to_string(&file).expect("reads");
    let name = "  name: feelings\n";
    let changed = written.replace(name, &format!("{name}  agreement: {agreement}\n"));
    assert_ne!(written, changed);
    fs::write(&file, changed).expect("writes");
    packs.join("tiny-pack")
}

fn a_dataset(home: &Home) -> String {
    let data = home.json(&["data", "list", "--json"]);
    data[0]["digest"].as_str().expect("a digest").to_owned()
}

#[test]
fn a_dataset_taken_back_is_not_prepared_again_in_any_version() {
    let home = Home::new();
    let pack = fixture("tiny-pack");
    home.finish(&pack, &[]);
    let whole = a_dataset(&home);
    let reason = ["--reason", "its owner wants it back", "--json"];
    let done = home.json(&[&["withdraw", "--dataset", &whole], &reason[..]].concat());
    assert_eq!(done["restricted"], json!(["tiny-pack"]));
    assert_eq!(done["retune"], json!([]), "nothing is left to tune on");
    let error = refused(&home, &pack, &[], "prepare", "dataset-withdrawn");
    let said = error["text"].as_str().expect("a text");
    assert!(
        said.contains("feelings") && said.contains("its owner wants it back"),
        "{said}"
    );
    assert!(
        error["next"]
            .as_str()
            .expect("a text")
            .contains("data.source")
    );
    // Fewer of its records make another version of the same file.
    refused(&home, &pack, &["--quick"], "prepare", "dataset-withdrawn");
    let file = pack.join("feelings.tsv");
    let file = file.to_str().expect("a plain name");
    let terms = ["--licence", "CC0-1.0", "--owner", "me", "--name", "again"];
    let output = home.output(&[&["data", "add", file], &terms[..]].concat());
    // The terminal's line breaks taken out.
    let said = text(&output.stderr).replace('│', " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let refused = said.contains("data-add") && said.contains("was withdrawn as a whole in entry");
    assert!(!output.status.success() && refused, "{said}");
}

#[test]
fn an_agreement_taken_back_stops_the_order_before_its_data_is_fetched() {
    let packs = tempfile::tempdir().expect("a folder");
    let pack = under(packs.path(), "A-17");
    let home = Home::new();
    home.finish(&pack, &[]);
    let reason = ["--reason", "ended by its owner", "--json"];
    let done = home.json(&[&["withdraw", "--agreement", "A-17"], &reason[..]].concat());
    assert_eq!(done["restricted"], json!(["tiny-pack"]));
    let error = refused(&home, &pack, &[], "data", "agreement-withdrawn");
    let said = error["text"].as_str().expect("a text");
    assert!(
        said.contains("A-17") && said.contains("ended by its owner"),
        "{said}"
    );
    assert!(
        error["next"]
            .as_str()
            .expect("a text")
            .contains("data.agreement")
    );
    // Under another agreement the same records are another version, and may be used.
    under(packs.path(), "A-18");
    home.finish(&pack, &[]);
    wait_for_status(&up(&home), 200);
}

#[test]
fn a_record_taken_back_stays_out_under_other_terms() {
    let records = |home: &Home| {
        let folder = home.path().join("objects").join(a_dataset(home));
        let lines = fs::read(folder.join("records.jsonl")).expect("reads");
        lathe_tests::lines(&lines)
    };
    let ids = |lines: &[Value]| -> Vec<Value> { lines.iter().map(|it| it["id"].clone()).collect() };
    let packs = tempfile::tempdir().expect("a folder");
    let pack = under(packs.path(), "A-17");
    let home = Home::new();
    home.finish(&pack, &[]);
    let all = records(&home);
    let leaf = all[3]["leaf"].as_str().expect("a leaf");
    home.json(&["withdraw", leaf, "--reason", "asked", "--json"]);
    under(packs.path(), "A-18");
    home.finish(&pack, &[]);
    let mut left = ids(&records(&home));
    assert_eq!(left.len() + 1, all.len());
    assert!(!left.contains(&all[3]["id"]), "its leaf is another now");
    left.push(all[3]["id"].clone());
    let (mut before, mut after) = (ids(&all), left);
    before.sort_by_key(Value::to_string);
    after.sort_by_key(Value::to_string);
    assert_eq!(before, after);
}

#[test]
fn after_a_restore_nothing_answers_until_it_is_deployed_afresh() {
    let home = Home::new();
    let pack = fixture("tiny-pack");
    home.finish(&pack, &[]);
    let serving = up(&home);
    wait_for_status(&serving, 200);
    let done = home.json(&["restored", "--reason", "the disk was replaced", "--json"]);
    assert_eq!(done["stopped"], json!(["tiny-pack"]));
    let again = done["redeploy"][0].as_str().expect("a command");
    assert!(again.starts_with("lathe order clone "), "{again}");
    // At once, and nobody closes the breaker over it.
    let (status, answer) = ask(&serving);
    assert_eq!(status, 503, "{answer}");
    assert!(answer.contains("restored from a backup"), "{answer}");
    let close = ["breaker", "tiny-pack", "close", "--reason", "please"];
    let output = home.output(&close);
    let said = text(&output.stderr);
    assert!(
        !output.status.success() && said.contains("breaker-stays"),
        "{said}"
    );
    serving.interrupt();
    // The next daemon does not open the door either, and says why.
    let log = home.path().join("log.txt");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_logged(&home, &mut command, &log);
    wait_for("the refusal", || {
        let said = text(&fs::read(&log).expect("reads"));
        said.contains("was restored from a backup").then_some(())
    });
    assert_eq!(ask(&serving).0, 404);
    let verified = home.output(&["verify"]);
    assert!(
        text(&verified.stdout).contains("chain-restored"),
        "{}",
        text(&verified.stdout)
    );
    // The order run again on that daemon keeps its steps and says one fresh deployment.
    home.finish(&pack, &[]);
    wait_for_status(&serving, 200);
    serving.interrupt();
    let said = home.ledger_kinds();
    let count = |kind: &str| said.iter().filter(|it| *it == kind).count();
    assert_eq!(
        (count("deployment"), count("training"), count("restored")),
        (2, 1, 1)
    );
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
