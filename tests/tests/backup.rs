//! A home is saved while it answers and put back elsewhere: whole, verified, answering; and an archive
//! in which a byte was flipped is refused by the name of the file.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lathe_tests::{Home, Serving, fixture, text, wait_for};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";

fn ask(serving: &Serving) -> (u16, Value) {
    let question = json!({
        "model": NAME,
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 2,
    });
    serving.post("/v1/chat/completions", &question)
}

fn serve(home: &Home) -> Serving {
    let serving = Serving::start(home, &mut home.lathe(&["up", "--listen", "127.0.0.1:0"]));
    wait_for("an answer", || (ask(&serving).0 == 200).then_some(()));
    serving
}

/// `lathe backup` while several callers have answers written into the store without a pause; gives the
/// file and the ids of receipts that were there before it began.
fn saved_under_load(home: &Home, folder: &Path) -> (PathBuf, Vec<String>) {
    let serving = serve(home);
    for _ in 0..3 {
        assert_eq!(ask(&serving).0, 200);
    }
    let before = receipts(&serving);
    assert!(before.len() >= 4, "{before:?}");
    let file = folder.join("home.tar.zst");
    let (ended, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !ended.load(Ordering::Relaxed) {
                    assert_eq!(ask(&serving).0, 200);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        wait_for("writes", || {
            (answered.load(Ordering::Relaxed) > 0).then_some(())
        });
        let name = file.to_str().expect("plain");
        let output = home.output(&["backup", name, "--with-keys", "--json"]);
        let during = answered.load(Ordering::Relaxed);
        // It goes on answering after as before.
        wait_for("writes", || {
            (answered.load(Ordering::Relaxed) > during).then_some(())
        });
        ended.store(true, Ordering::Relaxed);
        assert!(output.status.success(), "{}", text(&output.stderr));
        let saved: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(saved["with_keys"], true);
        assert!(
            saved["checkpoint"]
                .as_str()
                .is_some_and(|note| note.contains("lathe.workshop/"))
        );
    });
    assert!(serving.interrupt().success());
    (file, before)
}

fn receipts(serving: &Serving) -> Vec<String> {
    let list = serving.get("/api/receipts?limit=200");
    let list = list["receipts"].as_array().expect("a list").iter();
    list.map(|it| it["id"].as_str().expect("an id").to_owned())
        .collect()
}

fn restore(home: &Home, file: &Path) -> std::process::Output {
    home.output(&["restore", file.to_str().expect("plain"), "--json"])
}

#[test]
fn a_backup_made_under_load_comes_back_verified_and_answers() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let (file, before) = saved_under_load(&home, folder.path());

    let back = Home::bare();
    let output = restore(&back, &file);
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    let said: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(said["verified"]["holds"], true, "{said}");
    let signer = said["restored"]["signed_by"].as_str().expect("signed");
    let named = file.to_str().expect("plain");
    let (right, wrong) = (Home::bare(), Home::bare());
    let pinned = right.output(&["restore", named, "--key", signer]);
    assert!(pinned.status.success(), "{}", text(&pinned.stderr));
    let other = wrong.output(&["restore", named, "--key", &"5".repeat(64)]);
    assert!(text(&other.stderr).contains("backup-damaged"));
    let verified = back.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));

    let list = ["order", "list", "--json"];
    assert_eq!(back.json(&list), home.json(&list));
    assert_eq!(back.names("objects"), home.names("objects"));
    let serving = serve(&back);
    let there = receipts(&serving);
    for id in &before {
        assert!(there.contains(id), "the receipt {id} is lost");
        assert_eq!(
            serving.get(&format!("/api/receipts/{id}"))["receipt"]["id"],
            **id
        );
    }
    assert!(serving.interrupt().success());

    // Never into a home that holds something.
    let again = restore(&back, &file);
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("restore-not-empty"));
}

#[test]
fn a_flipped_byte_is_refused_by_the_name_of_its_file() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("home.tar");
    home.json(&["backup", file.to_str().expect("plain"), "--json"]);
    let weights = home.path().join("objects").join(home.adapter());
    let weights = fs::read(weights.join("adapter_model.safetensors")).expect("reads");
    let mut archive = fs::read(&file).expect("reads");
    let at = archive.windows(weights.len()).position(|it| it == weights);
    archive[at.expect("the weights are in it") + weights.len() / 2] ^= 1;
    fs::write(&file, archive).expect("writes");

    let back = Home::bare();
    let output = restore(&back, &file);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    let named = format!(
        "objects/{}/adapter_model.safetensors has other bytes",
        home.adapter()
    );
    assert!(
        said.contains("backup-damaged") && said.contains(&named),
        "{said}"
    );
    assert!(!back.path().join("store.sqlite").exists());
    assert!(back.names("objects").is_empty());
}

#[test]
fn without_its_keys_a_home_is_read_and_verified_and_not_continued() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("home.tar");
    let output = home.output(&["backup", file.to_str().expect("plain")]);
    assert!(text(&output.stdout).contains("private keys are not in it"));

    let back = Home::bare();
    assert!(restore(&back, &file).status.success());
    assert!(back.output(&["verify"]).status.success());
    let up = back.output(&["up", "--listen", "127.0.0.1:0"]);
    assert!(
        text(&up.stderr).contains("ledger-key-missing"),
        "{}",
        text(&up.stderr)
    );
    // Put back by hand, it goes on.
    fs::create_dir_all(back.path().join("keys")).expect("makes");
    for secret in ["keys/workshop.key", "salt.seed"] {
        fs::copy(home.path().join(secret), back.path().join(secret)).expect("copies");
    }
    assert!(serve(&back).interrupt().success());
}
