//! An order carried to another workshop: verified there as a stranger would, measured and registered
//! anew, refused by name where anything was changed.

use std::fs;
use std::path::{Path, PathBuf};

use lathe_tests::forge;
use lathe_tests::{Home, Serving, copy_folder, fixture, text, wait_for};
use serde_json::{Value, json};

/// A home with a deployed order, its bundle, and the id of its root key.
fn exported() -> (Home, PathBuf, String) {
    let home = Home::new();
    home.finish(&fixture("tiny-pack"), &[]);
    let bundle = home.path().join("order.bundle");
    let name = bundle.to_str().expect("a plain name");
    let said = home.json(&["bundle", "export", "tiny-pack", name, "--json"]);
    let key = said["root_key"].as_str().expect("a key").to_owned();
    (home, bundle, key)
}

fn import(home: &Home, bundle: &Path, key: &str) -> std::process::Output {
    let bundle = bundle.to_str().expect("a plain name");
    home.output(&["bundle", "import", bundle, "--key", key, "--json"])
}

/// Lets the workshop work until the model answers; gives the answer's text.
fn answer(home: &Home) -> Value {
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start(home, &mut command);
    let body = json!({
        "model": "tiny-pack",
        "messages": [{"role": "user", "content": "good"}],
        "temperature": 0,
        "max_tokens": 8,
    });
    let answer = wait_for("the model's answer", || {
        let (status, answer) = serving.post("/v1/chat/completions", &body);
        (status == 200).then_some(answer)
    });
    serving.interrupt();
    answer["choices"][0]["message"]["content"].clone()
}

#[test]
fn an_order_arrives_with_its_weights_and_is_measured_and_registered_anew() {
    let (here, bundle, key) = exported();
    let there = Home::new();
    let out = import(&there, &bundle, &key);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let answered = answer(&there);
    assert_eq!(there.adapter(), here.adapter());
    assert_eq!(answered, answer(&here));
    // The chain stands on its own keys there, and the ledger says where it came from.
    let verified = there.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    let entries = there.json(&["ledger", "list", "--json"]).to_string();
    for kind in [
        "imported",
        "training",
        "evaluation",
        "approval",
        "deployment",
    ] {
        assert!(entries.contains(kind), "{kind}: {entries}");
    }
    assert!(
        !entries.contains(&key),
        "nothing there is signed by the other's key"
    );
}

#[test]
fn the_training_that_arrives_says_where_it_was_done() {
    let home = Home::new();
    let pack = fixture("tiny-pack");
    let mut run = home.run(&pack, &[]);
    let output = run.env("LATHE_ISA", "portable").output().expect("starts");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let bundle = home.path().join("order.bundle");
    let name = bundle.to_str().expect("a plain name");
    let said = home.json(&["bundle", "export", "tiny-pack", name, "--json"]);
    let key = said["root_key"].as_str().expect("a key");
    let there = Home::new();
    let out = import(&there, &bundle, key);
    assert!(out.status.success(), "{}", text(&out.stderr));
    answer(&there);
    let machine = |home: &Home, kind: &str| {
        let told = forge::told(home.path());
        let it = told.iter().find(|it| it.kind() == kind).expect("said");
        it.said["predicate"]["machine"].clone()
    };
    assert_eq!(machine(&home, "training"), "portable");
    assert_eq!(machine(&there, "training"), "portable");
    // What was measured was measured there.
    let measured_here = Home::new();
    measured_here.finish(&pack, &[]);
    let own = machine(&measured_here, "evaluation");
    assert_eq!(machine(&there, "evaluation"), own);
}

/// Every file of a folder, the folder's path left out.
fn files(folder: &Path, inside: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder.join(inside)).expect("lists") {
        let path = inside.join(entry.expect("an entry").file_name());
        if folder.join(&path).is_dir() {
            files(folder, &path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn a_bundle_is_refused_under_another_key_and_wherever_a_file_is_changed_or_gone() {
    let (_here, bundle, key) = exported();
    let there = Home::new();
    let wrong = import(&there, &bundle, &"0".repeat(64));
    let said = text(&wrong.stderr);
    assert!(said.contains("bundle-refused"), "{said}");

    let mut all = Vec::new();
    files(&bundle, Path::new(""), &mut all);
    assert!(
        all.len() >= 12,
        "cards, ledger, model, data, adapter, report: {all:?}"
    );
    for file in &all {
        for gone in [false, true] {
            let changed = there.path().join("changed.bundle");
            copy_folder(&bundle, &changed);
            let path = changed.join(file);
            if gone {
                fs::remove_file(&path).expect("removes");
            } else {
                let mut bytes = fs::read(&path).expect("reads");
                let middle = bytes.len() / 2;
                // Another letter where there is one, so that texts stay texts.
                bytes[middle] = if bytes[middle] == b'a' { b'b' } else { b'a' };
                fs::write(&path, bytes).expect("writes");
            }
            let refused = import(&there, &changed, &key);
            let said = text(&refused.stderr);
            let by_name = said.contains("bundle-refused") || said.contains("bundle-damaged");
            assert!(
                by_name || said.contains("home-io"),
                "{} {gone}: {said}",
                file.display()
            );
            fs::remove_dir_all(&changed).expect("removes");
        }
    }
    assert_eq!(
        there.names("objects"),
        Vec::<String>::new(),
        "nothing was taken"
    );
}
