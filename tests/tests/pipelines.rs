//! Orders on one machine, from outside: the queue, pausing, resuming, trying again, cloning with
//! changes, comparing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lathe_tests::{Home, Serving, copy_folder, fixture, text, wait_for};
use serde_json::{Value, json};

fn up(home: &Home) -> Command {
    home.lathe(&["up", "--listen", "127.0.0.1:0"])
}

fn place(serving: &Serving, pack: &Path) -> String {
    let (status, placed) = serving.post("/api/orders", &json!({ "pack": pack }));
    assert_eq!(status, 202, "{placed}");
    placed["id"].as_str().expect("an id").to_owned()
}

fn order(home: &Home, id: &str) -> Value {
    home.json(&["order", "show", id, "--json"])
}

fn step(order: &Value, name: &str) -> Value {
    let mut steps = order["steps"].as_array().expect("steps").iter();
    let found = steps.find(|step| step["name"] == name);
    found.expect("the step").clone()
}

/// Waits until the order is in this state.
fn wait_until(home: &Home, id: &str, state: &str) -> Value {
    wait_for(&format!("{id} to be {state}"), || {
        let order = order(home, id);
        let ended = order["state"] == "failed" && state != "failed";
        assert!(!ended, "{order}");
        (order["state"] == state).then_some(order)
    })
}

/// Fails with the code; returns what it said on one line.
fn refused(home: &Home, args: &[&str], code: &str) -> String {
    let output = home.output(args);
    let said = text(&output.stderr).replace(['│', '\n'], " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(!output.status.success() && said.contains(code), "{said}");
    said
}

/// tiny-pack and its model in a folder of their own.
fn packs() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["tiny-model", "tiny-pack"] {
        copy_folder(&fixture(name), &folder.path().join(name));
    }
    let pack = folder.path().join("tiny-pack");
    (folder, pack)
}

/// A daemon, and an order that it is in the middle of tuning for.
fn halfway(home: &Home) -> (Serving, String) {
    let mut daemon = up(home);
    daemon.env("LATHE_TEST_PAUSE_AT", "tune:half");
    let serving = Serving::start(home, &mut daemon);
    let order = place(&serving, &fixture("tiny-pack"));
    // The worker stands still there; the mark lets no other one do so.
    wait_for("the middle of tuning", || {
        home.path().join("tmp/paused").exists().then_some(())
    });
    (serving, order)
}

#[test]
fn a_paused_order_lets_the_next_run_and_ends_as_if_never_paused() {
    let like = Home::new();
    like.finish(&fixture("tiny-pack"), &[]);
    let home = Home::new();
    let (serving, first) = halfway(&home);
    let second = place(&serving, &fixture("tiny-pack-classes"));
    let list = home.json(&["order", "list", "--json"]);
    assert_eq!(
        (&list[0]["id"], &list[0]["position"]),
        (&json!(second), &json!(1))
    );
    assert_eq!(
        (&list[1]["state"], &list[1]["position"]),
        (&json!("running"), &Value::Null)
    );
    let list = text(&home.output(&["order", "list"]).stdout);
    assert!(list.contains("queued, no. 1"), "{list}");

    let paused = home.json(&["order", "pause", &first, "--json"]);
    assert_eq!(paused, json!({ "order": first, "state": "paused" }));
    refused(&home, &["order", "pause", &first], "order-state");
    wait_until(&home, &second, "done");
    let now = order(&home, &first);
    assert_eq!(
        (&now["state"], &step(&now, "tune")["state"]),
        (&json!("paused"), &json!("waiting"))
    );
    assert_eq!(home.workers(), Vec::<u32>::new(), "its worker is gone");

    // It is still set aside when the daemon is another one, which goes on with what comes.
    assert_eq!(serving.interrupt().code(), Some(0));
    let serving = Serving::start(&home, &mut up(&home));
    let third = place(&serving, &fixture("tiny-pack-classes"));
    wait_until(&home, &third, "done");
    assert_eq!(order(&home, &first)["state"], "paused");

    let resumed = home.json(&["order", "resume", &first, "--json"]);
    assert_eq!(resumed["state"], "queued");
    let done = wait_until(&home, &first, "done");
    let tune = step(&done, "tune");
    // From the step at which it was set aside, where no checkpoint was due.
    let figure = |name: &str| tune["figures"][name].as_u64().expect("a number");
    let halfway = figure("steps").div_ceil(2);
    assert_eq!(figure("resumed_from"), halfway, "{tune}");
    assert_eq!(
        tune["artifact"],
        like.adapter(),
        "the same weights, bit for bit"
    );
    let said = refused(&home, &["order", "resume", &first], "order-state");
    assert!(said.contains("it is done"), "{said}");
    refused(&home, &["order", "pause", "0000"], "order-unknown");
    assert_eq!(serving.interrupt().code(), Some(0));
    for folder in ["tmp", "work"] {
        let mut left = home.names(folder);
        left.retain(|name| name != "paused");
        assert_eq!(left, Vec::<String>::new(), "{folder}");
    }
}

#[test]
fn a_cancelled_order_ends_where_it_stands_and_is_put_back_by_resume() {
    let home = Home::new();
    let (serving, first) = halfway(&home);
    let second = place(&serving, &fixture("tiny-pack-classes"));
    for id in [&second, &first] {
        let cancelled = home.json(&["order", "cancel", id, "--json"]);
        assert_eq!(cancelled, json!({ "order": id, "state": "failed" }));
    }
    assert_eq!(home.workers(), Vec::<u32>::new(), "its worker is gone");
    let now = order(&home, &first);
    let error = &step(&now, "tune")["error"];
    assert_eq!(error["code"], "order-cancelled", "{now}");
    refused(&home, &["order", "cancel", &first], "order-state");
    refused(&home, &["order", "pause", &first], "order-state");
    let rows = home.json(&["order", "list", "--json"]);
    assert_eq!(
        (&rows[0]["ending"], &rows[1]["ending"]),
        (&json!("cancelled"), &json!("cancelled"))
    );
    let list = text(&home.output(&["order", "list"]).stdout);
    assert!(
        list.contains("cancelled") && !list.contains("failed"),
        "{list}"
    );

    home.json(&["order", "resume", &first, "--json"]);
    let done = wait_until(&home, &first, "done");
    let tune = step(&done, "tune");
    assert!(tune["figures"]["resumed_from"].is_u64(), "{tune}");
    let said = refused(&home, &["order", "cancel", &first], "order-state");
    assert!(said.contains("nothing is left to do"), "{said}");
    refused(&home, &["order", "cancel", "0000"], "order-unknown");
    // One that waits for its turn, set aside, is cancelled like any other, by people at the terminal.
    home.json(&["order", "resume", &second, "--json"]);
    wait_until(&home, &second, "done");
    assert_eq!(serving.interrupt().code(), Some(0));
    let third = home.json(&["order", "clone", &second, "--json"]);
    let third = third["order"].as_str().expect("an id");
    home.json(&["order", "pause", third, "--json"]);
    let told = text(&home.output(&["order", "cancel", third]).stdout);
    assert!(told.contains("is cancelled"), "{told}");
    assert_eq!(order(&home, third)["state"], "failed");
}

#[test]
fn a_followed_order_that_is_paused_ends_the_command_which_then_resumes_it() {
    let home = Home::new();
    let mut command = home.run(&fixture("tiny-pack"), &[]);
    command.env("LATHE_TEST_PAUSE_AT", "tune:half");
    command.stdout(std::process::Stdio::null());
    let mut child = command.spawn().expect("lathe starts");
    wait_for("the middle of tuning", || {
        home.path().join("tmp/paused").exists().then_some(())
    });
    let id = home.newest_order()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    home.json(&["order", "pause", &id, "--json"]);
    assert_eq!(lathe_tests::wait_for_end(&mut child).code(), Some(3));
    assert_eq!(order(&home, &id)["state"], "paused");
    home.finish(&fixture("tiny-pack"), &[]);
    assert_eq!(
        order(&home, &id)["state"],
        "done",
        "the same command resumes"
    );
    let tune = step(&order(&home, &id), "tune");
    assert!(tune["figures"]["resumed_from"].is_u64(), "{tune}");
}

#[test]
fn a_failed_order_is_tried_again() {
    let home = Home::new();
    let (_folder, pack) = packs();
    let data = pack.join("feelings.tsv");
    let bytes = fs::read(&data).expect("reads");
    fs::remove_file(&data).expect("removes");
    let output = home.run(&pack, &[]).output().expect("lathe starts");
    assert_eq!(output.status.code(), Some(1));
    let failed = home.newest_order();
    let id = failed["id"].as_str().expect("an id").to_owned();
    assert_eq!(step(&failed, "data")["state"], "failed");
    fs::write(&data, bytes).expect("writes");
    // No daemon runs: it is put back, and whoever works through the queue next takes it up.
    let resumed = home.json(&["order", "resume", &id, "--json"]);
    assert_eq!(
        (&resumed["state"], &resumed["position"]),
        (&json!("queued"), &json!(1))
    );
    let waiting = step(&order(&home, &id), "data");
    assert_eq!(
        (&waiting["state"], &waiting["error"]),
        (&json!("waiting"), &Value::Null)
    );
    refused(&home, &["order", "resume", &id], "order-state");
    let paused = home.json(&["order", "pause", &id, "--json"]);
    assert_eq!(paused["state"], "paused");
    home.json(&["order", "resume", &id, "--json"]);
    let serving = Serving::start(&home, &mut up(&home));
    let done = wait_until(&home, &id, "done");
    assert_eq!(
        step(&done, "model")["state"],
        "done",
        "what was finished is kept"
    );
    assert_eq!(serving.interrupt().code(), Some(0));
    let log = text(&home.output(&["order", "log", &id]).stdout);
    assert!(
        log.contains("tried again") && log.contains("resumed"),
        "{log}"
    );
}

#[test]
fn a_clone_takes_over_what_did_not_change_and_proves_the_rest() {
    let home = Home::new();
    let (folder, pack) = packs();
    home.finish(&pack, &[]);
    let first = home.newest_order()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    // Its pack is gone; what was fetched from it is not.
    drop(folder);
    let clone = |set: &[&str]| {
        let mut args = vec!["order", "clone", &first, "--json"];
        args.extend(set.iter().flat_map(|it| ["--set", *it]));
        let placed = home.json(&args);
        placed["order"].as_str().expect("an id").to_owned()
    };
    let second = clone(&["tune.sft.epochs=20", "evaluate.worst=7"]);
    let strict = clone(&["gate.thresholds.1.at_least=0.9999"]);
    for (set, code, wanted) in [
        ("tune.sft.epoch=1", "pack-invalid", "`epochs`"),
        ("tune.sft.epochs=many", "pack-invalid", "tune.sft.epochs"),
        ("tune", "order-setting", "KEY=VALUE"),
        (
            "data.source=file:other.tsv",
            "order-source-gone",
            "other.tsv",
        ),
    ] {
        let said = refused(&home, &["order", "clone", &first, "--set", set], code);
        assert!(said.contains(wanted), "{set}: {said}");
    }
    let serving = Serving::start(&home, &mut up(&home));
    let done = wait_until(&home, &second, "done");
    let states = |order: &Value| -> Vec<(String, String)> {
        let steps = order["steps"].as_array().expect("steps").iter();
        let text = |value: &Value| value.as_str().expect("a word").to_owned();
        steps
            .map(|step| (text(&step["name"]), text(&step["state"])))
            .collect()
    };
    for (name, state) in states(&done) {
        let changed = ["tune", "evaluate", "deploy", "ask"].contains(&name.as_str());
        assert_eq!(state, if changed { "done" } else { "reused" }, "{name}");
    }
    assert_eq!(
        done["origin"],
        json!({ "order": first, "changes": [
            { "key": "evaluate.worst", "from": 20, "to": 7 },
            { "key": "tune.sft.epochs", "from": 30.0, "to": 20 },
        ]})
    );
    // The gate decides about a clone as about any order; what it refuses takes no name.
    let failed = wait_until(&home, &strict, "failed");
    assert_eq!(step(&failed, "deploy")["error"]["code"], "gate-refused");
    let deployments = serving.get("/api/deployments");
    assert_eq!(deployments["deployments"][0]["order"], second);
    answers_again(&home, &serving, &first, &clone(&[]));
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    compared(&home, &serving, &first, &second);
    assert_eq!(serving.interrupt().code(), Some(0));
}

/// An order placed again with nothing changed: its steps are taken over and its model takes the name back.
fn answers_again(home: &Home, serving: &Serving, first: &str, again: &str) {
    let done = wait_until(home, again, "done");
    assert_eq!(done["origin"], json!({ "order": first, "changes": [] }));
    for step in ["tune", "evaluate"] {
        assert_eq!(self::step(&done, step)["state"], "reused", "{step}");
    }
    let deployments = serving.get("/api/deployments");
    assert_eq!(deployments["deployments"][0]["order"], again);
    let adapter = |id: &str| step(&order(home, id), "deploy")["figures"]["adapter"].clone();
    assert_eq!(adapter(again), adapter(first));
}

/// The two orders side by side: as JSON, over HTTP and as tables.
fn compared(home: &Home, serving: &Serving, first: &str, second: &str) {
    let found = home.json(&["order", "compare", first, second, "--json"]);
    let mut served = serving.get(&format!("/api/orders/compare?ids={first},{second}"));
    // What answers now is known where it answers, and nowhere else.
    let orders = served["orders"].as_array_mut().expect("orders").iter_mut();
    let answering = orders.filter_map(|order| order.as_object_mut()?.remove("answering"));
    let now: Vec<Value> = answering.map(|it| it["now"].clone()).collect();
    // The order that was placed again made the same model, and the name is its own now.
    assert_eq!(now, ["replaced", "replaced"]);
    assert_eq!(served, found);
    assert_eq!(
        found["settings"],
        json!([
            { "key": "tune.sft.epochs", "values": [30.0, 20.0] },
            { "key": "evaluate.worst", "values": [20, 7] },
        ])
    );
    let metrics = found["metrics"].as_array().expect("metrics");
    let names: Vec<_> = metrics.iter().map(|row| &row["metric"]).collect();
    assert_eq!(names, ["pearson_r", "macro_f1", "valid_json"]);
    for row in metrics {
        let value = |at: usize| row["values"][at]["value"].as_f64().expect("a figure");
        let difference = &row["differences"][1]["interval"];
        let expected = value(1) - value(0);
        let is_it = difference["value"]
            .as_f64()
            .map(|it| (it - expected).abs() < 1e-12);
        assert_eq!(is_it, Some(true), "{row}");
        let (low, high) = (&difference["low"], &difference["high"]);
        let beyond = low.as_f64() > Some(0.0) || high.as_f64() < Some(0.0);
        assert_eq!(row["differences"][1]["beyond_chance"], beyond, "{row}");
        assert_eq!(row["differences"][0], Value::Null);
    }
    assert_eq!(found["steps"].as_array().map(Vec::len), Some(9));
    let tables = text(&home.output(&["order", "compare", first, second]).stdout);
    for words in ["pearson_r", "B − A", "chance", "tune.sft.epochs", "reused"] {
        assert!(tables.contains(words), "{words}: {tables}");
    }
    refused(home, &["order", "compare", first, first], "order-compare");
    // Other test records: figures beside each other, and no word about chance.
    let other = fixture("tiny-pack-classes");
    let third = place(serving, &other);
    wait_until(home, &third, "done");
    let found = home.json(&["order", "compare", first, &third, "--json"]);
    assert_eq!(found["orders"][1]["unpaired"], "other-records");
    assert!(found["metrics"][0]["differences"][1].is_null());
}
