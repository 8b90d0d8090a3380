//! Evidence changed under a real daemon: while it answers, where its scrubber has to notice, and
//! between two starts, by somebody with all the keys of the home, where it has to refuse at admission.
//! Each case names what the daemon must say; the cases are counted by kind, so that none can vanish.
//!
//! The same kinds in all their members and files are generated in `crates/verify/tests/evidence`, over
//! the same functions; here it is the program that refuses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lathe_evidence::statement::Role;
use lathe_tests::forge::{self, Told, deployments, forge, invited, lead, stranger};
use lathe_tests::{Home, Serving, copy_folder, fixture, text, wait_for};
use serde_json::{Value, json};

const NAME: &str = "tiny-pack";
const OTHER: &str = "tiny-pack-classes";

/// How many cases of each kind there are.
const CASES: &[(&str, usize)] = &[
    ("answering: file added", 1),
    ("answering: file altered", 4),
    ("answering: file cut", 1),
    ("answering: file dropped", 2),
    ("answering: file swapped with another model's", 1),
    ("answering: older state replayed", 1),
    ("answering: row swapped with another model's", 1),
    ("starting: digest swapped with another model's", 1),
    ("starting: expired", 1),
    ("starting: field altered", 3),
    ("starting: field said anew", 9),
    ("starting: older state replayed", 2),
    ("starting: restored since", 1),
    ("starting: row swapped with another model's", 1),
    ("starting: signed by a stranger", 1),
    ("starting: signed by the wrong role", 2),
    ("starting: statement dropped", 3),
];

#[derive(Default)]
struct Count(BTreeMap<&'static str, usize>);

impl Count {
    fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }
}

/// A home in which two models answer, the newer in its second deployment.
fn prepared() -> Home {
    let home = Home::new();
    home.finish(&fixture(OTHER), &[]);
    home.finish(&fixture(NAME), &[]);
    // The same model held to another policy: a new verdict, a change in the register, a deployment.
    let packs = tempfile::tempdir().expect("a folder");
    for name in ["tiny-model", NAME] {
        copy_folder(&fixture(name), &packs.path().join(name));
    }
    let pack = packs.path().join(NAME);
    let file = pack.join("pack.yaml");
    let written = fs::read_to_string(&file).expect("reads");
    let limited = written.replace("\ngate:\n", "\ngate:\n  expires_days: 30\n");
    assert_ne!(written, limited);
    fs::write(&file, limited).expect("writes");
    home.finish(&pack, &[]);
    assert_eq!(deployments(home.path(), NAME).len(), 2);
    home
}

fn ask(serving: &Serving) -> (u16, String) {
    let question = json!({
        "model": NAME,
        "messages": [{ "role": "user", "content": "the camera is great" }],
        "max_tokens": 2,
    });
    let (status, answer) = serving.post("/v1/chat/completions", &question);
    (status, answer.to_string())
}

#[test]
fn what_was_changed_does_not_answer_and_the_daemon_names_it() {
    let home = prepared();
    let mut count = Count::default();
    answering(&home, &mut count);
    starting(&home, &mut count);
    let found: Vec<_> = count.0.into_iter().collect();
    assert_eq!(found, CASES, "cases by kind");
}

// While it answers.

/// A file of an artifact, by the step that made it.
fn file_of(home: &Home, step: &str, name: &str) -> PathBuf {
    let order = home.newest_order();
    let steps = order["steps"].as_array().expect("steps").iter();
    let mut made = steps.filter(|it| it["name"] == step);
    let artifact = made.next().expect("the step")["artifact"].clone();
    let artifact = artifact.as_str().expect("a digest");
    home.path().join("objects").join(artifact).join(name)
}

/// Files change under the daemon, one after another; each time it stops answering, names the piece,
/// and answers again once everything is as it was and somebody closes the breaker.
fn answering(prepared: &Home, count: &mut Count) {
    let home = prepared.copy();
    let weights = file_of(&home, "tune", "adapter_model.safetensors");
    let base = file_of(&home, "model", "model.safetensors");
    let records = file_of(&home, "prepare", "records.jsonl");
    let report = file_of(&home, "evaluate", "report.json");
    let [older, newer] = &deployments(home.path(), NAME)[..] else {
        panic!("two deployments");
    };
    let other = &deployments(home.path(), OTHER)[0];
    let log = home.path().join("log.txt");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0", "--scrub-s", "1"]);
    let serving = Serving::start_logged(&home, &mut command, &log);
    wait_for("an answer", || (ask(&serving).0 == 200).then_some(()));
    let mut notice = |kind, piece: &str, change: &dyn Fn(), back: &dyn Fn()| {
        change();
        let said = wait_for(&format!("{kind} of {piece}"), || {
            let (status, answer) = ask(&serving);
            (status == 503).then_some(answer)
        });
        assert!(said.contains(piece), "{kind}: {said}");
        back();
        home.json(&["breaker", NAME, "close", "--reason", "put back", "--json"]);
        let (status, answer) = ask(&serving);
        assert_eq!(status, 200, "{kind} of {piece}: {answer}");
        count.add(kind);
    };
    for (file, piece) in [
        (&weights, "the adapter"),
        (&base, "the base model"),
        (&records, "dataset feelings"),
        (&report, "the report"),
    ] {
        let bytes = fs::read(file).expect("reads");
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let (change, back) = (|| replace(file, &flipped), || replace(file, &bytes));
        notice("answering: file altered", piece, &change, &back);
    }
    let bytes = fs::read(&weights).expect("reads");
    let back = || replace(&weights, &bytes);
    let cut = || replace(&weights, &bytes[..bytes.len() / 2]);
    notice("answering: file cut", "the adapter", &cut, &back);
    let drop_it = || fs::remove_file(&weights).expect("removes");
    notice("answering: file dropped", "the adapter", &drop_it, &back);
    let theirs = theirs(&home, &weights);
    let swap = || replace(&weights, &theirs);
    let kind = "answering: file swapped with another model's";
    notice(kind, "the adapter", &swap, &back);
    let more = weights.with_file_name("more");
    let add = || fs::write(&more, "more").expect("writes");
    let take = || fs::remove_file(&more).expect("removes");
    notice("answering: file added", "the adapter", &add, &take);
    let kept = fs::read(&report).expect("reads");
    let drop_it = || fs::remove_file(&report).expect("removes");
    let back = || replace(&report, &kept);
    notice("answering: file dropped", "the report", &drop_it, &back);
    let back = || lead(home.path(), NAME, newer);
    let replay = || lead(home.path(), NAME, older);
    let kind = "answering: older state replayed";
    notice(kind, "was replaced by entry", &replay, &back);
    let swap = || lead(home.path(), NAME, other);
    let kind = "answering: row swapped with another model's";
    notice(kind, "another name than its chain", &swap, &back);
}

/// Another file under the name: what the daemon mapped into memory stays as it is.
fn replace(file: &Path, bytes: &[u8]) {
    // Nothing is there where the file was dropped.
    let _ = fs::remove_file(file);
    fs::write(file, bytes).expect("writes");
}

/// The other model's weights.
fn theirs(home: &Home, ours: &Path) -> Vec<u8> {
    let name = ours.file_name().expect("a file");
    let folders = home.names("objects").into_iter();
    let paths = folders.map(|it| home.path().join("objects").join(it).join(name));
    let mut others = paths.filter(|path| path != ours && path.exists());
    fs::read(others.next().expect("two adapters")).expect("reads")
}

// Between two starts.

type Change = Box<dyn FnOnce(&mut Vec<Told>)>;

/// What somebody with all keys writes, and what the daemon must say when it starts.
struct Case {
    kind: &'static str,
    expected: &'static str,
    change: Change,
}

fn case(
    kind: &'static str,
    expected: &'static str,
    change: impl FnOnce(&mut Vec<Told>) + 'static,
) -> Case {
    Case {
        kind,
        expected,
        change: Box::new(change),
    }
}

fn starting(prepared: &Home, count: &mut Count) {
    for it in altered().into_iter().chain(said_anew()).chain(others()) {
        let home = prepared.copy();
        forge(home.path(), it.change);
        refuses(&home, it.kind, it.expected);
        count.add(it.kind);
    }
    let replayed = deployments(prepared.path(), NAME)[0].clone();
    let theirs = deployments(prepared.path(), OTHER)[0].clone();
    for (kind, link, expected) in [
        (
            "starting: older state replayed",
            replayed,
            "was replaced by entry",
        ),
        (
            "starting: row swapped with another model's",
            theirs,
            "another name than its chain",
        ),
    ] {
        let home = prepared.copy();
        lead(home.path(), NAME, &link);
        refuses(&home, kind, expected);
        count.add(kind);
    }
}

/// A daemon on this home never answers, and says `expected` of why.
fn refuses(home: &Home, kind: &str, expected: &str) {
    let log = home.path().join("log.txt");
    let mut command = home.lathe(&["up", "--listen", "127.0.0.1:0"]);
    let serving = Serving::start_logged(home, &mut command, &log);
    wait_for(&format!("{kind}: {expected}"), || {
        let (status, answer) = ask(&serving);
        assert_ne!(status, 200, "{kind}, {expected}: {answer}");
        let said = text(&fs::read(&log).expect("reads"));
        let named = said.contains(expected) || answer.contains(expected);
        // Whatever it says of the model under test, it says once.
        let stopped = format!("{NAME} does not answer");
        let refused = [&stopped[..], "does not hold"];
        let other = refused.iter().any(|it| said.contains(*it));
        assert!(named || !other, "{kind}, {expected}: {said}");
        named.then_some(())
    });
}

/// The newest statement of a kind: it is about the model under test.
fn newest<'t>(told: &'t mut [Told], kind: &str) -> &'t mut Told {
    let mut own = told.iter_mut().rev().filter(|it| it.kind() == kind);
    own.next().expect("it was said")
}

/// Without the key: the old signature around another payload.
fn altered() -> Vec<Case> {
    let alter = |kind: &'static str, member: &'static str, expected: &'static str| {
        case("starting: field altered", expected, move |told| {
            let it = newest(told, kind);
            it.predicate()[member] = other(&it.predicate()[member].clone());
            it.unsigned = true;
        })
    };
    vec![
        alter("training", "seed", "training: the signature of key"),
        alter("evaluation", "report", "evaluation: the signature of key"),
        alter("approval", "reason", "approval: the signature of key"),
    ]
}

/// Another value of the same type.
fn other(value: &Value) -> Value {
    match value {
        Value::Number(it) => (it.as_i64().expect("a whole number") + 1).into(),
        Value::String(it) if it.len() == 64 => {
            let first = if it.starts_with('0') { '1' } else { '0' };
            format!("{first}{}", &it[1..]).into()
        }
        Value::String(it) => format!("{it}x").into(),
        it => panic!("{it} has no other value here"),
    }
}

/// With all keys: another value, signed by the workshop itself, and everything after it corrected.
fn said_anew() -> Vec<Case> {
    let anew = |kind: &'static str, member: &'static str, expected: &'static str| {
        case("starting: field said anew", expected, move |told| {
            let it = newest(told, kind);
            it.predicate()[member] = other(&it.predicate()[member].clone());
        })
    };
    vec![
        anew("dataset", "licence", "at /spec/licence"),
        anew("dataset", "root", "the root tuned on is"),
        anew("training", "seed", "at /spec/seed"),
        anew("training", "weights", "the weights hash to"),
        anew("evaluation", "report", "report.json is altered"),
        anew("verdict", "policy", "the verdict keeps its policy"),
        anew("approval", "number", "the number approved is"),
        anew("deployment", "task", "the task deployed is"),
        case(
            "starting: field said anew",
            "the predecessor named is none",
            |told| {
                let it = newest(told, "deployment").predicate();
                it.as_object_mut().expect("members").remove("previous");
            },
        ),
    ]
}

/// Statements dropped, swapped, replayed, expired, or signed by somebody else.
fn others() -> Vec<Case> {
    let mut cases: Vec<Case> = ["training", "approval", "deployment"]
        .into_iter()
        .map(|kind| {
            let expected = match kind {
                // The row names a deployment that nobody said.
                "deployment" => "is not in the ledger",
                "training" => "training of the evaluation names",
                _ => "approval of the registration names",
            };
            case("starting: statement dropped", expected, move |told| {
                let said = newest(told, kind).said.clone();
                told.retain(|it| it.said != said);
            })
        })
        .collect();
    let kind = "starting: digest swapped with another model's";
    cases.push(case(kind, "the subject of the deployment is", |told| {
        let theirs = told
            .iter()
            .find(|it| it.kind() == "deployment" && it.said["predicate"]["name"] == OTHER);
        let theirs = theirs.expect("two models").said["predicate"]["adapter"].clone();
        newest(told, "deployment").predicate()["adapter"] = theirs;
    }));
    cases.push(case(
        "starting: older state replayed",
        "is not in the ledger",
        |told| {
            let last = told.iter().rposition(|it| it.kind() == "deployment");
            told.truncate(last.expect("a deployment"));
        },
    ));
    cases.push(case("starting: expired", "is past its time", long_ago));
    cases.push(case(
        "starting: restored since",
        "restored from a backup",
        |told| {
            let last = told.last().expect("entries").clone();
            told.push(restored(&last));
        },
    ));
    let expected = "which is not known here";
    cases.push(case("starting: signed by a stranger", expected, |told| {
        newest(told, "verdict").by = Some(stranger());
    }));
    for (kind, role) in [("evaluation", Role::Auditor), ("approval", Role::Tuner)] {
        let case = case(
            "starting: signed by the wrong role",
            "lacks the role",
            move |told| {
                newest(told, kind).by = Some(stranger());
                let key = invited(&told[0], role);
                told.insert(1, key);
            },
        );
        cases.push(case);
    }
    cases
}

/// Everything was said a hundred days earlier.
fn long_ago(told: &mut Vec<Told>) {
    const DAYS_MS: i64 = 100 * 24 * 60 * 60 * 1000;
    for it in told {
        for member in ["at_ms", "expires_ms"] {
            if let Some(at_ms) = it.predicate()[member].as_i64() {
                it.predicate()[member] = (at_ms - DAYS_MS).into();
            }
        }
    }
}

/// The statement that the home was put back from a backup.
fn restored(last: &Told) -> Told {
    let root = "0".repeat(64);
    let mut told = last.clone();
    told.said["subject"] = json!([{ "name": "ledger", "digest": { "sha256": root } }]);
    told.said["predicateType"] = "urn:lathe:statement:restored:v1".into();
    told.said["predicate"] = json!({
        "size": 1, "root": root, "reason": "a disk failed",
        "at_ms": last.said["predicate"]["at_ms"],
    });
    told
}

#[test]
fn a_forger_who_changes_nothing_is_not_noticed() {
    let home = Home::new();
    home.finish(&fixture(NAME), &[]);
    forge::forge(home.path(), |_| {});
    let verified = home.output(&["verify"]);
    assert!(verified.status.success(), "{}", text(&verified.stdout));
}
