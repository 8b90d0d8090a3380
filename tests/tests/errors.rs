//! What people get wrong, and how it is said: the operation, the object, the
//! next step, a code, and exit code 1.

use std::fs;
use std::path::Path;
use std::process::Output;

use lathe_tests::{Home, fixture, root, text};

/// Fails with the code, and says every one of these.
fn check(output: &Output, code: &str, said: &[&str]) {
    let stderr = text(&output.stderr);
    // Wrapped lines of the report are joined, so that no phrase is cut.
    let flat: String = stderr.replace(['│', '\n'], " ");
    let flat = flat.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    for wanted in [&[code], said].concat() {
        assert!(flat.contains(wanted), "no {wanted:?} in {stderr}");
    }
}

/// tiny-pack with its text changed, in a folder of its own beside its data and model.
fn changed_pack(home: &Home, from: &str, to: &str) -> std::path::PathBuf {
    let folder = home.path().join("changed");
    fs::create_dir_all(&folder).expect("makes");
    let text = fs::read_to_string(fixture("tiny-pack/pack.yaml")).expect("reads");
    assert!(text.contains(from), "the pack has {from:?}");
    let model = fixture("tiny-model");
    let model = format!("file:{}", model.display());
    let text = text.replace("file:../tiny-model", &model).replace(from, to);
    fs::write(folder.join("pack.yaml"), text).expect("writes");
    fs::copy(
        fixture("tiny-pack/feelings.tsv"),
        folder.join("feelings.tsv"),
    )
    .expect("copies");
    folder
}

fn pack_check(home: &Home, pack: &Path) -> Output {
    home.output(&["pack", "check", pack.to_str().expect("a plain name")])
}

#[test]
fn every_pack_of_the_repository_is_sound() {
    let home = Home::new();
    let mut packs = vec![fixture("tiny-pack"), fixture("tiny-pack-classes")];
    for entry in fs::read_dir(root().join("packs")).expect("packs") {
        packs.push(entry.expect("an entry").path());
    }
    assert!(packs.len() >= 3);
    for pack in packs {
        let output = pack_check(&home, &pack);
        assert!(
            output.status.success(),
            "{}: {}",
            pack.display(),
            text(&output.stderr)
        );
    }
}

#[test]
fn an_unknown_key_names_its_line_and_the_nearest_known_one() {
    let home = Home::new();
    let pack = changed_pack(&home, "learning_rate:", "learning_rat:");
    check(
        &pack_check(&home, &pack),
        "pack-invalid",
        &["`learning_rat`", "`learning_rate`"],
    );
    let pack = changed_pack(
        &home,
        "licence: CC0-1.0\n  owner: Lathe's tests\n  reader",
        "licens: CC0-1.0\n  owner: Lathe's tests\n  reader",
    );
    let lines = fs::read_to_string(pack.join("pack.yaml")).expect("reads");
    let line = lines
        .lines()
        .position(|line| line.contains("licens:"))
        .expect("there")
        + 1;
    let place = format!("pack.yaml:{line}");
    check(
        &pack_check(&home, &pack),
        "pack-invalid",
        &[&place, "`licens`", "`licence`"],
    );
}

#[test]
fn a_mistake_in_the_quick_section_is_found_without_quick() {
    let home = Home::new();
    let pack = changed_pack(&home, "sft: {epochs: 20}", "sft: {epoch: 20}");
    check(
        &pack_check(&home, &pack),
        "pack-invalid",
        &["`epoch`", "`epochs`"],
    );
}

#[test]
fn a_pack_that_is_not_there() {
    let home = Home::new();
    let output = home.output(&["run", "no/such/pack"]);
    check(&output, "pack-missing", &["no/such/pack", "pack.yaml"]);
}

#[test]
fn a_gate_that_is_not_passed_refuses_by_name() {
    let home = Home::new();
    let pack = changed_pack(
        &home,
        "{metric: pearson_r, at_least: -1}",
        "{metric: pearson_r, at_least: 0.9999}",
    );
    let output = home.run(&pack, &[]).output().expect("starts");
    check(&output, "gate-refused", &["pearson_r", "0.9999"]);
    let last = lathe_tests::lines(&output.stdout).pop().expect("lines");
    assert!(
        last["metrics"]["tuned"]["pearson_r"].is_number(),
        "measured all the same: {last}"
    );
}

#[test]
fn data_with_another_digest_is_refused() {
    let home = Home::new();
    let pin = format!(
        "source: \"file:feelings.tsv\"\n  sha256: {}",
        "0".repeat(64)
    );
    let pack = changed_pack(&home, "source: \"file:feelings.tsv\"", &pin);
    let output = home.run(&pack, &[]).output().expect("starts");
    check(&output, "data-digest", &["feelings.tsv"]);
}

#[test]
fn a_taken_port_is_said_by_up_and_avoided_by_run() {
    let home = Home::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("an address").to_string();
    let output = home.output(&["up", "--listen", &address]);
    check(&output, "port-taken", &[&address, "--listen"]);
    let pack = fixture("tiny-pack");
    let pack = pack.to_str().expect("a plain name");
    let output = home.output(&["run", pack, "--exit", "--quick", "--listen", &address]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("instead"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn beyond_loopback_a_key_file_is_required() {
    let home = Home::new();
    let output = home.output(&["up", "--listen", "0.0.0.0:0"]);
    check(&output, "key-file-missing", &["--key-file"]);
}

#[test]
fn a_home_that_cannot_be_written_is_said_plainly() {
    let home = Home::new();
    let file = home.path().join("a-file");
    fs::write(&file, "").expect("writes");
    let inside = file.join("home");
    let output = home
        .lathe(&["up", "--listen", "127.0.0.1:0"])
        .arg("--home")
        .arg(&inside)
        .output()
        .expect("starts");
    check(&output, "home-io", &["a-file"]);
    // A file system on which even root cannot make a folder.
    let output = home.output(&["up", "--listen", "127.0.0.1:0", "--home", "/proc/lathe"]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
}

#[test]
fn data_of_ones_own_is_added_listed_and_shown() {
    let home = Home::new();
    let file = fixture("tiny-pack-classes/tickets.csv");
    let file = file.to_str().expect("a plain name");
    let added = home.json(&[
        "data",
        "add",
        file,
        "--licence",
        "CC0-1.0",
        "--owner",
        "me",
        "--dedupe",
        "text",
        "--json",
    ]);
    assert_eq!(added["name"], "tickets");
    let listed = home.json(&["data", "list", "--json"]);
    assert_eq!(listed[0]["digest"], added["digest"]);
    let shown = home.output(&["data", "show", "tickets"]);
    assert!(text(&shown.stdout).contains("CC0-1.0"));
    let output = home.output(&["data", "add", "no.csv", "--licence", "x", "--owner", "x"]);
    check(&output, "data-missing", &["no.csv"]);
}
