//! An order of several stages on the tiny model: each stage's adapter goes on from the one before, is
//! said in the ledger, and is evidence as the last one is.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use lathe_tests::{Home, Serving, fixture, forge, text, wait_for, wait_for_end};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";

const PRETRAIN: &str = "  pretrain:
    data: {name: texts, source: \"file:texts.jsonl\", licence: MIT, owner: a publisher}
    text: \"{{ text }}\"
    learn: {learning_rate: 0.001, batch_records: 4, checkpoint_steps: 2}
";

const PREFERENCE: &str = "  preference:
    data: {name: pairs, source: \"file:pairs.jsonl\", licence: CC-BY-4.0, owner: some readers}
    chosen: \"{{ better }}\"
    rejected: \"{{ worse }}\"
    learn: {learning_rate: 0.001, epochs: 2, batch_records: 4, checkpoint_steps: 2}
";

/// Judged answers that are made of the pack's own records.
const KTO: &str = "  preference:
    method: kto
    answer: '{\"feeling\":2.0,\"class\":\"positive\"}'
    wanted: \"{{ mean > 0 }}\"
    learn: {learning_rate: 0.001, batch_records: 8}
";

/// tiny-pack with further stages, beside its data and theirs.
fn pack(home: &Home, stages: &[&str]) -> PathBuf {
    let folder = home.path().join("pack");
    fs::create_dir_all(&folder).expect("makes");
    let model = format!("file:{}", fixture("tiny-model").display());
    let plain = fs::read_to_string(fixture("tiny-pack/pack.yaml")).expect("reads");
    let tune = format!("tune:\n{}", stages.concat());
    let whole = plain
        .replace("file:../tiny-model", &model)
        .replacen("tune:\n", &tune, 1);
    fs::write(folder.join("pack.yaml"), whole).expect("writes");
    let feelings = fixture("tiny-pack/feelings.tsv");
    fs::copy(feelings, folder.join("feelings.tsv")).expect("copies");
    // The texts hold the sentences that the model is measured by, too.
    let feelings = fs::read_to_string(folder.join("feelings.tsv")).expect("reads");
    let sentences = feelings.lines().filter_map(|line| line.split('\t').nth(2));
    let pages = (0..20).map(|at| format!("the manual of the camera, page {at}: it is fine"));
    let texts: Vec<String> = pages.chain(sentences.map(str::to_owned)).collect();
    let text = |at: usize| json!({"text": texts[at]});
    write_lines(&folder.join("texts.jsonl"), texts.len(), &text);
    let pairs = |at: usize| {
        json!({
            "text": format!("the kettle of the neighbour sings every morning number {at}"),
            "better": r#"{"feeling":2.5,"class":"positive"}"#,
            "worse": r#"{"feeling":-2.5,"class":"negative"}"#,
        })
    };
    write_lines(&folder.join("pairs.jsonl"), 20, &pairs);
    folder
}

fn write_lines(path: &Path, count: usize, line: &dyn Fn(usize) -> Value) {
    let lines: String = (0..count).map(|at| format!("{}\n", line(at))).collect();
    fs::write(path, lines).expect("writes");
}

fn step(order: &Value, name: &str) -> Value {
    let mut steps = order["steps"].as_array().expect("steps").iter();
    let found = steps.find(|step| step["name"] == name);
    found.unwrap_or_else(|| panic!("no step {name}")).clone()
}

fn artifact(order: &Value, name: &str) -> String {
    let artifact = step(order, name)["artifact"].clone();
    artifact.as_str().expect("an artifact").to_owned()
}

/// What the ledger says of trainings, in its order: the adapter, and what is said.
fn trainings(home: &Home) -> Vec<(String, Value)> {
    let told = forge::told(home.path()).into_iter();
    let trainings = told.filter(|it| it.kind() == "training");
    trainings
        .map(|it| {
            let adapter = it.said["subject"][0]["digest"]["sha256"].clone();
            let adapter = adapter.as_str().expect("a digest").to_owned();
            (adapter, it.said["predicate"].clone())
        })
        .collect()
}

fn up(home: &Home) -> Serving {
    Serving::start(home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]))
}

/// Asks until the model answers; the receipt's id.
fn ask(serving: &Serving, question: &str) -> String {
    let body = json!({
        "model": NAME,
        "messages": [{"role": "system", "content": "Rate it."}, {"role": "user", "content": question}],
        "max_tokens": 8,
    });
    let answer = wait_for("an answer", || {
        let (status, answer) = serving.post("/v1/chat/completions", &body);
        (status == 200).then_some(answer)
    });
    answer["lathe"]["receipt"]
        .as_str()
        .expect("a receipt")
        .to_owned()
}

fn check_statements(home: &Home, order: &Value) {
    let said = trainings(home);
    let stages: Vec<&Value> = said.iter().map(|(_, said)| &said["stage"]).collect();
    assert_eq!(stages, ["pt", "sft", "dpo"]);
    let made = ["pretrain", "tune", "preference"].map(|name| artifact(order, name));
    for (place, (adapter, said)) in said.iter().enumerate() {
        assert_eq!(*adapter, made[place]);
        let data = ["pretrain-prepare", "prepare", "preference-prepare"][place];
        assert_eq!(said["datasets"][0]["dataset"], artifact(order, data));
        match place.checked_sub(1) {
            Some(before) => assert_eq!(said["previous"]["model"], made[before]),
            None => assert!(said.get("previous").is_none(), "{said}"),
        }
        let file = home
            .path()
            .join("objects")
            .join(adapter)
            .join("training.json");
        let file = fs::read_to_string(file).expect("reads");
        let file: Value = serde_json::from_str(&file).expect("JSON");
        assert_eq!(file["stage"], said["stage"]);
        assert_eq!(
            file.get("previous"),
            said.get("previous").map(|it| &it["model"])
        );
    }
    assert_eq!(step(order, "deploy")["figures"]["adapter"], made[2]);
    let datasets = home.ledger_kinds().into_iter().filter(|it| it == "dataset");
    assert_eq!(datasets.count(), 3);
}

/// The answer's trace names all stages and datasets, and the record that says what was asked.
fn check_trace(home: &Home, order: &Value) {
    let (_, asked) = a_record(home, &artifact(order, "preference-prepare"));
    let asked = &asked["text"];
    let serving = up(home);
    let receipt = ask(&serving, asked.as_str().expect("a sentence"));
    let trace = serving.get(&format!("/api/receipts/{receipt}"));
    let chain = &trace["chain"];
    assert_eq!(chain["training"]["said"]["stage"], "dpo");
    let earlier = chain["earlier"].as_array().expect("stages").iter();
    let earlier: Vec<&Value> = earlier.map(|it| &it["said"]["stage"]).collect();
    assert_eq!(earlier, ["pt", "sft"]);
    let datasets = chain["datasets"].as_array().expect("datasets").iter();
    let mut names: Vec<&str> = datasets
        .filter_map(|it| it["said"]["name"].as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["feelings", "pairs", "texts"]);
    let records = trace["records"].as_array().expect("records").iter();
    let said: Vec<&Value> = records.map(|it| &it["fields"]["text"]).collect();
    assert!(said.contains(&asked), "{trace}");
    let (_, page) = serving.get_text(&format!("/receipts/{receipt}?lang=en"));
    for stage in [
        "Continued pretraining, ",
        "Supervised fine-tuning, ",
        "Preference alignment (DPO), ",
    ] {
        assert!(page.contains(stage), "{stage}: {page}");
    }
    // From the record of an earlier stage one walks to what answers.
    let (leaf, _) = a_record(home, &artifact(order, "pretrain-prepare"));
    let record = serving.get(&format!("/api/records/{leaf}"));
    assert_eq!(record["trainings"].as_array().map(Vec::len), Some(3));
    assert_eq!(record["deployments"].as_array().map(Vec::len), Some(1));
    assert_eq!(serving.interrupt().code(), Some(0));
}

/// The records on one side of a dataset.
fn records(home: &Home, dataset: &str, side: &str) -> Vec<Value> {
    let path = home
        .path()
        .join("objects")
        .join(dataset)
        .join("records.jsonl");
    let records = fs::read_to_string(path).expect("reads");
    let records = records
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"));
    records.filter(|it: &Value| it["split"] == side).collect()
}

/// The leaf and the fields of a dataset's first training record.
fn a_record(home: &Home, dataset: &str) -> (String, Value) {
    let first = records(home, dataset, "train").remove(0);
    let leaf = first["leaf"].as_str().expect("a leaf").to_owned();
    (leaf, first["fields"].clone())
}

/// Texts that the model is measured by are not learnt.
fn check_held_out(home: &Home, order: &Value) {
    let held_out = records(home, &artifact(order, "prepare"), "test");
    let texts = records(home, &artifact(order, "pretrain-prepare"), "train");
    let said = |it: &Value| it["fields"]["text"].clone();
    let held_out: Vec<Value> = held_out.iter().map(said).collect();
    let (seen, learnt): (Vec<Value>, Vec<Value>) =
        texts.iter().map(said).partition(|it| held_out.contains(it));
    assert!(!seen.is_empty());
    assert_eq!(step(order, "pretrain")["figures"]["examples"], learnt.len());
    let log = home.output(&["order", "log", order["id"].as_str().expect("an id")]);
    let told = text(&log.stdout);
    let told = told.matches("says what a held-out record does").count();
    assert_eq!(told, seen.len());
}

/// The bundle carries every stage, and arrives.
fn check_bundle(home: &Home) {
    let outside = tempfile::tempdir().expect("a folder");
    let bundle = outside.path().join("bundle");
    let bundle = bundle.to_str().expect("a plain name");
    let made = home.json(&["bundle", "export", NAME, bundle, "--json"]);
    // Base model, report; of three stages data as read and as prepared, and adapter.
    assert_eq!(made["artifacts"].as_array().map(Vec::len), Some(2 + 9));
    let whole = home.output(&["verify", "--home", bundle]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
    let key = made["root_key"].as_str().expect("a key");
    let there = Home::new();
    let out = there.output(&["bundle", "import", bundle, "--key", key, "--json"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let serving = up(&there);
    ask(&serving, "good");
    assert_eq!(serving.interrupt().code(), Some(0));
    let adapters = |home: &Home| -> Vec<String> {
        let said = trainings(home).into_iter();
        said.map(|(adapter, _)| adapter).collect()
    };
    assert_eq!(adapters(&there), adapters(home));
    let whole = there.output(&["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
}

/// One bit of the first stage's weights, and nothing answers or leaves the house.
fn check_altered(home: &Home, order: &Value) {
    let first = home
        .path()
        .join("objects")
        .join(artifact(order, "pretrain"));
    let weights = first.join("adapter_model.safetensors");
    let mut bytes = fs::read(&weights).expect("reads");
    *bytes.last_mut().expect("not empty") ^= 1;
    fs::remove_file(&weights).expect("removes");
    fs::write(&weights, bytes).expect("writes");
    let serving = up(home);
    let id = order["id"].as_str().expect("an id");
    let log = wait_for("the refusal in the log", || {
        let log = text(&home.output(&["order", "log", id]).stdout);
        log.contains("altered").then_some(log)
    });
    assert!(log.contains("the adapter of the stage pt"), "{log}");
    let body = json!({"model": NAME, "messages": [{"role": "user", "content": "good"}]});
    assert_eq!(serving.post("/v1/chat/completions", &body).0, 404);
    assert_eq!(serving.interrupt().code(), Some(0));
    let bundle = home.path().join("refused");
    let bundle = bundle.to_str().expect("a plain name");
    let refused = home.output(&["bundle", "export", NAME, bundle]);
    assert!(
        text(&refused.stderr).contains("bundle-broken"),
        "{}",
        text(&refused.stderr)
    );
    let verified = home.output(&["verify"]);
    assert_ne!(
        verified.status.code(),
        Some(0),
        "{}",
        text(&verified.stdout)
    );
}

#[test]
fn every_stage_is_said_traced_carried_and_held_against_its_evidence() {
    let home = Home::new();
    let pack = pack(&home, &[PRETRAIN, PREFERENCE]);
    let lines = home.finish(&pack, &[]);
    let steps: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["step"].as_str())
        .collect();
    let expected = "model data pretrain-data preference-data prepare pretrain-prepare \
                    preference-prepare base challengers pretrain tune preference evaluate deploy ask";
    assert_eq!(steps, expected.split_whitespace().collect::<Vec<_>>());
    let order = home.newest_order();
    check_statements(&home, &order);
    check_held_out(&home, &order);
    let lines = home.finish(&pack, &["--offline"]);
    let reused = lines
        .iter()
        .filter(|line| line["state"] == "reused")
        .count();
    assert_eq!(reused, 14);
    assert_eq!(trainings(&home).len(), 3);
    let whole = home.output(&["verify"]);
    assert_eq!(whole.status.code(), Some(0), "{}", text(&whole.stdout));
    check_trace(&home, &order);
    check_bundle(&home);
    let order = home.newest_order();
    check_altered(&home, &order);
}

#[test]
fn killed_in_the_preference_stage_it_ends_with_the_same_adapter() {
    let like = Home::new();
    like.finish(&pack(&like, &[PREFERENCE]), &[]);
    let home = Home::new();
    let pack = pack(&home, &[PREFERENCE]);
    let mut child = home
        .run(&pack, &[])
        .env("LATHE_TEST_PAUSE_AT", "preference:half")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("lathe starts");
    wait_for("the middle of the stage", || {
        let ended = child.try_wait().expect("a child");
        assert!(ended.is_none(), "it ended before: {ended:?}");
        home.path().join("tmp/paused").exists().then_some(())
    });
    child.kill().expect("kills");
    wait_for_end(&mut child);
    wait_for("the end of the workers", || {
        home.workers().is_empty().then_some(())
    });
    let before = step(&home.newest_order(), "tune");
    assert_eq!(before["state"], "done");
    home.finish(&pack, &[]);
    let order = home.newest_order();
    assert_eq!(
        step(&order, "tune")["ended_ms"],
        before["ended_ms"],
        "not done twice"
    );
    let figures = &step(&order, "preference")["figures"];
    assert!(figures["resumed_from"].as_u64() > Some(0), "{figures}");
    let wanted = like.newest_order();
    for name in ["tune", "preference"] {
        assert_eq!(artifact(&order, name), artifact(&wanted, name), "{name}");
    }
    for folder in ["tmp", "work"] {
        assert_eq!(home.names(folder), Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn a_pair_that_is_withdrawn_restricts_and_only_its_stage_learns_anew() {
    let home = Home::new();
    let pack = pack(&home, &[PREFERENCE]);
    home.finish(&pack, &[]);
    let pairs = artifact(&home.newest_order(), "preference-prepare");
    let (leaf, fields) = a_record(&home, &pairs);
    let done = home.json(&[
        "withdraw",
        &leaf,
        "--reason",
        "asked by its reader",
        "--json",
    ]);
    assert_eq!(done["restricted"], json!([NAME]));
    home.finish(&pack, &[]);
    let order = home.newest_order();
    assert_eq!(step(&order, "tune")["state"], "reused");
    assert_eq!(step(&order, "preference")["state"], "done");
    let (_, first) = a_record(&home, &artifact(&order, "preference-prepare"));
    assert_ne!(first["text"], fields["text"]);
    ask(&up(&home), "good");
}

#[test]
fn judged_answers_can_be_made_of_the_packs_own_records() {
    let home = Home::new();
    let lines = home.finish(&pack(&home, &[KTO]), &["--quick"]);
    let steps: Vec<&str> = lines
        .iter()
        .filter_map(|line| line["step"].as_str())
        .collect();
    assert_eq!(steps.len(), 10, "{steps:?}");
    let said = trainings(&home);
    assert_eq!(said[1].1["stage"], "kto");
    assert_eq!(said[1].1["datasets"], said[0].1["datasets"]);
    let order = home.newest_order();
    assert_ne!(artifact(&order, "preference"), artifact(&order, "tune"));
}

#[test]
fn a_stage_that_cannot_run_is_refused_before_anything_is_fetched() {
    for (stages, wanted) in [
        ("  preference: {beta: 0.1}\n", "tune.preference.rejected"),
        (
            "  preference: {method: kto, answer: x}\n",
            "tune.preference.wanted",
        ),
        (
            "  preference: {rejected: \"{{ x\"}\n",
            "tune.preference.rejected",
        ),
        ("  preference: {rejected: x, bta: 1}\n", "beta"),
        (
            "  preference: {rejected: x, learn: {learning_rate: 0}}\n",
            "tune.preference.learn.learning_rate",
        ),
        ("  pretrain: {text: x}\n", "data"),
    ] {
        let home = Home::new();
        let pack = pack(&home, &[stages]);
        let output = home.output(&["pack", "check", pack.to_str().expect("a plain name")]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(
            said.contains("pack-invalid") && said.contains(wanted),
            "{said}"
        );
    }
}
