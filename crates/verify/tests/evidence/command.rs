//! The binary before a real store: exit codes, what it names, what it takes from outside.

use std::path::Path;
use std::process::{Command, Output};

use crate::world::{self, World, key};
use lathe_ledger::history::{History, Trust};
use lathe_ledger::note::Note;
use lathe_ledger::{Checkpoint, Witness};
use lathe_register::Lang;
use lathe_register::dossier::dossier;
use serde_json::Value;
use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode};

/// The workshop's own tables.
const MIGRATIONS: [&str; 2] = [
    include_str!("../../../workshop/migrations/0001_workshop.sql"),
    include_str!("../../../workshop/migrations/0002_evidence.sql"),
];

/// Writes the world's rows into a store beside its artifacts. The connection that comes back is
/// open: what it wrote may still lie in the write-ahead log.
async fn store(world: &World) -> Result<SqliteConnection, sqlx::Error> {
    let options = SqliteConnectOptions::new()
        .filename(world.home().join("store.sqlite"))
        .create_if_missing(true)
        .foreign_keys(false)
        .journal_mode(SqliteJournalMode::Wal);
    let mut connection = SqliteConnection::connect_with(&options).await?;
    for migration in MIGRATIONS {
        sqlx::raw_sql(migration).execute(&mut connection).await?;
    }
    let material = world.material();
    for entry in &material.entries {
        sqlx::query("INSERT INTO ledger VALUES (?, '', '', ?, ?, 0)")
            .bind(entry.seq)
            .bind(&entry.link)
            .bind(&entry.envelope)
            .execute(&mut connection)
            .await?;
    }
    sqlx::query("INSERT INTO checkpoints VALUES (?, '', ?), (1, '', 'an older one')")
        .bind(material.entries.len() as i64)
        .bind(&material.note)
        .execute(&mut connection)
        .await?;
    for batch in &material.batches {
        sqlx::query("INSERT INTO batches VALUES (?, '', 3, ?, 0)")
            .bind(batch.batch)
            .bind(&batch.link)
            .execute(&mut connection)
            .await?;
    }
    for receipt in &material.receipts {
        sqlx::query(
            "INSERT INTO receipts (id, state, name, deployment, opening, opened_ms, bytes, batch, position) \
             VALUES (?, 'closed', '', '', '', 0, ?, ?, ?)",
        )
        .bind(&receipt.id)
        .bind(&receipt.bytes)
        .bind(receipt.batch)
        .bind(receipt.position)
        .execute(&mut connection)
        .await?;
    }
    for (digest, manifest) in &material.artifacts {
        sqlx::query("INSERT INTO artifacts VALUES (?, '', ?, 0, 0)")
            .bind(digest)
            .bind(manifest)
            .execute(&mut connection)
            .await?;
    }
    for (name, link) in &material.served {
        sqlx::query(
            "INSERT INTO deployments (name, input, order_id, base, report, policy, task, demonstration, created_ms, link) \
             VALUES (?, '', '', '', '', '', '', 0, 0, ?)",
        )
        .bind(name)
        .bind(link)
        .execute(&mut connection)
        .await?;
    }
    Ok(connection)
}

fn verify(home: &Path, more: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lathe-verify"))
        .arg(home)
        .args(["--at-ms", &world::NOW_MS.to_string()])
        .args(more)
        .output()
        .expect("it starts")
}

/// Runs it and checks its exit code and that what it printed holds `expected`.
fn check(home: &Path, more: &[&str], code: i32, expected: &str) -> String {
    let output = verify(home, more);
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed).into_owned();
    assert_eq!(output.status.code(), Some(code), "{printed}");
    assert!(printed.contains(expected), "{expected:?} in {printed}");
    printed
}

#[tokio::test(flavor = "current_thread")]
async fn a_home_is_judged_by_what_it_holds_and_what_was_kept_outside() {
    let world = World::new();
    let connection = store(&world).await.expect("the store is written");
    let home = world.home();
    let log = home.join("store.sqlite-wal");
    assert!(std::fs::metadata(&log).expect("there is a log").len() > 0);
    let before = std::fs::read(&log).expect("it can be read");

    check(home, &[], 0, "All holds; self-consistent, not anchored");
    let kept = tempfile::tempdir().expect("a folder");
    let ours = kept.path().join("ours.pub");
    std::fs::write(&ours, key(1).public().to_pem()).expect("written");
    let theirs = key(9).id().to_string();
    let note = kept.path().join("checkpoint");
    std::fs::write(&note, world.material().note).expect("written");
    let (ours, note) = (ours.to_string_lossy(), note.to_string_lossy());
    let anchored = ["--key", &ours, "--checkpoint", &note];
    check(home, &anchored, 0, "All holds; anchored");
    check(home, &["--key", &theirs], 1, "ledger-not-pinned");
    check(home, &["--key", "no-such-file"], 2, "no-such-file");
    check(home, &["--checkpoint", &ours], 2, "not a signed note");
    check(kept.path(), &[], 2, "store.sqlite");
    witness(home, kept.path(), &world.material().note);
    let json = check(home, &["--json"], 0, "\"holds\": true");
    let json: Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["anchored"], false);
    assert!(json["findings"].as_array().is_some_and(|it| it.len() >= 5));

    dossiers(&world, kept.path());
    let after = std::fs::read(&log).expect("it can be read");
    assert!(before == after, "the home was not touched");
    let (digest, manifest) = &world.artifacts[0];
    let file = &manifest.files()[0].path;
    let place = home.join("objects").join(digest.to_string()).join(file);
    std::fs::write(place, b"other weights").expect("written");
    let printed = check(home, &[], 1, "verify-artifact");
    assert!(
        printed.contains(&format!("{file} was changed")),
        "{printed}"
    );
    assert!(printed.contains("chain-altered"), "{printed}");
    drop(connection);
}

/// A pinned witness anchors the ledger if it cosigned what the ledger continues, and fails it if not.
fn witness(home: &Path, kept: &Path, note: &str) {
    const NAME: &str = "witness.example.com/w1";
    let file = kept.join("cosigned");
    let cosigned = file.to_string_lossy();
    let write = |note: &str, by: u8| {
        let mut note = Note::parse(note).expect("a note");
        note.cosign(NAME, &key(by), 1_679_315_147).expect("a name");
        std::fs::write(&file, note.to_string()).expect("written");
    };
    let pinned = Witness::new(NAME, key(7).public()).expect("a name");
    let vkey = kept.join("witness.vkey");
    std::fs::write(&vkey, format!("{pinned}\n")).expect("written");
    let (text, vkey) = (pinned.to_string(), vkey.to_string_lossy());

    write(note, 7);
    for given in [&text[..], &vkey] {
        let given = ["--checkpoint", &cosigned, "--witness", given];
        let printed = check(home, &given, 0, "All holds; anchored");
        assert!(printed.contains("2023-03-20 12:25:47 UTC"), "{printed}");
    }
    // The home's own checkpoint is nobody's but the workshop's.
    check(home, &["--witness", &text], 1, "verify-witness");
    write(note, 8);
    let given = ["--checkpoint", &cosigned, "--witness", &text];
    check(home, &given, 1, "verify-witness");
    // One that it cosigned, of a history that this is not.
    let mut other = Checkpoint::parse(note).expect("a checkpoint");
    other.root = lathe_evidence::Digest::of(b"another history");
    write(&other.sign(&key(1)).expect("a name"), 7);
    check(home, &given, 1, "ledger-rewritten");
    let key = key(7).public().to_pem();
    std::fs::write(kept.join("witness.pem"), key).expect("written");
    let pem = kept.join("witness.pem");
    check(
        home,
        &["--witness", &pem.to_string_lossy()],
        2,
        "NAME+ID+KEY",
    );
}

/// A dossier comes out byte for byte at every size it can be made at, and one changed byte is seen.
fn dossiers(world: &World, kept: &Path) {
    let material = world.material();
    let envelopes = material.entries.iter().map(|it| it.envelope.clone());
    let history = History::verify(envelopes, &material.note, &Trust::default());
    let history = history.expect("it holds");
    let number = format!("L-2026-{}", world::MODELS[0]);
    let file = kept.join("dossier.json");
    let arguments = ["--dossier".to_owned(), file.to_string_lossy().into_owned()];
    let arguments = [&arguments[0][..], &arguments[1]];
    let objects = world.home().join("objects");
    let report = objects
        .join(world.artifacts[3].0.to_string())
        .join("report.json");
    let report = std::fs::read(report).expect("it can be read");
    for (size, report) in [(14, None), (history.len(), Some(&report[..]))] {
        let made = dossier(&history, &number, size, report).expect("it can be made");
        let pages = Lang::ALL.map(|lang| made.to_html(lang).into_bytes());
        for mut bytes in pages.into_iter().chain([made.to_json()]) {
            std::fs::write(&file, &bytes).expect("written");
            check(world.home(), &arguments, 0, "comes out byte for byte");
            let at = bytes.windows(3).position(|it| it == b"MIT").expect("MIT");
            bytes[at] = b'm';
            std::fs::write(&file, &bytes).expect("written");
            check(world.home(), &arguments, 1, "verify-dossier");
        }
    }
    std::fs::write(&file, "<h1>L-2026-none</h1>").expect("written");
    check(world.home(), &arguments, 1, "no dossier's page");
}

/// Writes the first model's bundle: the whole ledger, and its own artifacts alone.
fn bundle(world: &World, folder: &Path) {
    let material = world.material();
    let name = world::MODELS[0];
    let (_, link) = &material.served[0];
    let write = |path: &str, text: String| {
        std::fs::write(folder.join(path), text).expect("written");
    };
    let card = serde_json::json!({ "version": 1, "name": name, "deployment": link });
    write("bundle.json", card.to_string());
    write("checkpoint", material.note.clone());
    let envelopes = material.entries.iter().map(|it| &it.envelope);
    let lines = envelopes.map(|it| format!("{}\n", String::from_utf8_lossy(it)));
    write("ledger.jsonl", lines.collect());
    // The first four artifacts are the first model's.
    let mut lines = String::new();
    for (digest, manifest) in &world.artifacts[..4] {
        let line = serde_json::json!({ "digest": digest, "manifest": manifest });
        lines.push_str(&format!("{line}\n"));
        let from = world.home().join("objects").join(digest.to_string());
        let to = folder.join("objects").join(digest.to_string());
        std::fs::create_dir_all(&to).expect("made");
        for file in manifest.files() {
            std::fs::copy(from.join(&file.path), to.join(&file.path)).expect("copied");
        }
    }
    write("artifacts.jsonl", lines);
}

#[test]
fn a_bundle_holds_without_the_home_it_came_from() {
    let world = World::new();
    let folder = tempfile::tempdir().expect("a folder");
    bundle(&world, folder.path());
    let ours = key(1).id().to_string();
    let printed = check(folder.path(), &["--key", &ours], 0, "All holds; anchored");
    assert!(printed.contains(world::MODELS[0]), "{printed}");
    assert!(!printed.contains(world::MODELS[1]), "{printed}");
    let (digest, manifest) = &world.artifacts[2];
    let place = folder.path().join("objects").join(digest.to_string());
    std::fs::remove_file(place.join(&manifest.files()[0].path)).expect("removed");
    check(folder.path(), &[], 1, "is missing");
    let ledger = folder.path().join("ledger.jsonl");
    let text = std::fs::read_to_string(&ledger).expect("it can be read");
    let shorter: Vec<_> = text.lines().skip(1).collect();
    std::fs::write(&ledger, shorter.join("\n")).expect("written");
    check(folder.path(), &[], 1, "ledger-genesis");
    std::fs::remove_file(&ledger).expect("removed");
    check(folder.path(), &[], 2, "ledger.jsonl");
}
