//! `lathe data bring` and what belongs to it: the page's way from a file to a pack, without a browser.

use std::fs::{self, File};
use std::path::PathBuf;

use lathe_tests::{Home, text};

/// Where the complaints of a shop go to, as a shop's own table has them.
fn table(home: &Home, rows: usize) -> PathBuf {
    let path = home.path().join("tickets.csv");
    let rows = (0..rows).map(|at| {
        let (about, team) = [("parcel is late", "delivery"), ("bill is wrong", "billing")][at % 2];
        format!("{at},number {at}: the {about},{team}\n")
    });
    let text: String = std::iter::once("id,words,team\n".to_owned())
        .chain(rows)
        .collect();
    fs::write(&path, text).expect("writes");
    path
}

#[test]
fn a_table_becomes_a_pack() {
    let home = Home::new();
    let path = table(&home, 60);
    let path = path.to_str().expect("a plain name");
    // Which column is what is guessed by names and values, and said.
    let guessed = home.output(&["data", "bring", path]);
    let said = text(&guessed.stdout);
    assert!(guessed.status.success(), "{said}");
    for words in ["columns: id, words, team", "--answer 'team'", "60 records"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What cannot be is no success.
    let wrong = home.output(&["data", "bring", path, "--answer", "none"]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stdout).contains("✗ answer"), "{wrong:?}");

    let columns = ["--question", "words", "--answer", "team", "--kind", "label"];
    let look = [&["data", "bring", path, "--json"], &columns[..]].concat();
    let seen = home.json(&look);
    assert_eq!(seen["rows"], 60);
    assert_eq!(seen["found"]["statistics"]["records"], 60);
    assert_eq!(seen["found"]["labels"].as_array().map(Vec::len), Some(2));
    // The second time it is here already.
    let brought = home.json(&["data", "brought", "--json"]);
    assert_eq!(brought["brought"].as_array().map(Vec::len), Some(1));
    assert_eq!(brought["brought"][0]["id"], seen["file"]["id"]);

    let make = ["--name", "tickets", "--licence", "CC0-1.0", "--owner", "us"];
    let made = home.json(&[&look[..], &make].concat());
    assert_eq!(made["pack"], "tickets");
    let packs = home.json(&["pack", "list", "--json"]);
    let mut packs = packs["packs"].as_array().expect("a list").iter();
    assert!(packs.any(|pack| pack["name"] == "tickets" && pack["brought"] == true));
    let shown = home.json(&["pack", "show", "tickets", "--json"]);
    assert_eq!(shown["name"], "tickets");
    let plan = home.output(&["run", "tickets", "--dry-run", "--json"]);
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    let nothing = home.json(&["data", "brought", "--json"]);
    assert_eq!(nothing["brought"].as_array().map(Vec::len), Some(0));
}

#[test]
fn the_next_version_comes_by_a_pipe_and_is_compared() {
    let home = Home::new();
    let columns = ["--question", "words", "--answer", "team", "--kind", "label"];
    let make = ["--name", "tickets", "--licence", "CC0-1.0", "--owner", "us"];
    let version = |rows: usize, more: &[&str]| {
        let path = table(&home, rows);
        let start = ["data", "bring", "-", "--as", "tickets.csv", "--json"];
        let output = home
            .lathe(&[&start[..], &columns, &make, more].concat())
            .stdin(File::open(path).expect("opens"))
            .output()
            .expect("starts");
        assert!(output.status.success(), "{}", text(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        made["dataset"]["digest"].as_str().map(str::to_owned)
    };
    let first = version(40, &[]).expect("a digest");
    version(44, &["--next-version"]);
    // The newest of its name against the one before, by the beginning of its digest.
    let difference = home.json(&["data", "compare", &first[..10], "tickets", "--json"]);
    assert_eq!(difference["same"], 40, "{difference}");
    assert_eq!(difference["added"], 4);
    assert_eq!(difference["removed"], 0);
}

#[test]
fn what_cannot_be_is_said() {
    let home = Home::new();
    let path = table(&home, 12);
    let path = path.to_str().expect("a plain name");
    for (args, said) in [
        (vec!["data", "bring", "-"], "--as"),
        (vec!["data", "bring", "none.csv"], "none.csv"),
        (vec!["data", "bring", path, "--name", "x"], "--licence"),
        (vec!["data", "forget", "none"], "none"),
        (vec!["data", "compare", "a", "b"], "lathe data list"),
        (vec!["pack", "show", "none"], "none"),
    ] {
        let output = home.output(&args);
        assert!(!output.status.success(), "{args:?}");
        assert!(text(&output.stderr).contains(said), "{args:?}: {output:?}");
    }
    let seen = home.json(&[
        "data",
        "bring",
        path,
        "--answer",
        "team",
        "--question",
        "words",
        "--json",
    ]);
    let id = seen["file"]["id"].as_str().expect("an id");
    home.json(&["data", "forget", id, "--json"]);
    let brought = home.json(&["data", "brought", "--json"]);
    assert_eq!(brought["brought"].as_array().map(Vec::len), Some(0));
}
