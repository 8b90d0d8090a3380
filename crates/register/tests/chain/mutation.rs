//! Every file flipped, cut or lost, and every member of every statement said otherwise by the right
//! key: each is refused by the ledger or by the chain. What only signature and checkpoint protect is
//! listed, so that the list is a decision.

use std::collections::BTreeSet;

use lathe_evidence::statement::*;
use serde_json::Value;

use super::home::*;

/// Members that nothing else in the ledger or the files contradicts: names for people, times, and
/// what is told of machines. Changing them breaks the signature, or the checkpoint kept outside.
pub const ONLY_SIGNED: &[&str] = &[
    "approval/at_ms",
    "approval/expires_ms",
    "approval/reason",
    "base-model/at_ms",
    "base-model/bytes",
    "base-model/file",
    "base-model/name",
    "base-model/owner",
    "base-model/source",
    "dataset/at_ms",
    "dataset/source",
    "deployment/at_ms",
    "evaluation/at_ms",
    "evaluation/engine",
    "evaluation/format",
    "evaluation/machine",
    "evaluation/order",
    "registration/at_ms",
    "registration/note",
    "training/at_ms",
    "training/engine",
    "training/machine",
    "training/order",
    "verdict/order",
];

/// All members of the predicate that hold a plain value, as pointers.
pub fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, item) in members {
                leaves(item, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                leaves(item, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

/// The value, said otherwise.
fn other(value: &Value) -> Value {
    match value {
        Value::String(text) if text.parse::<lathe_evidence::Digest>().is_ok() => {
            digest("something else").to_string().into()
        }
        Value::String(text) => format!("{text}x").into(),
        Value::Number(number) => (number.as_i64().unwrap_or(0) + 1).into(),
        Value::Bool(it) => (!it).into(),
        other => other.clone(),
    }
}

/// The statement with one member of its predicate changed; `None` where that is no statement.
pub fn changed(statement: &Statement, pointer: &str) -> Option<Statement> {
    let bytes = statement.to_bytes().expect("bytes");
    let mut value: Value = serde_json::from_slice(&bytes).expect("JSON");
    let member = value.pointer_mut(&format!("/predicate{pointer}"))?;
    *member = other(member);
    let bytes = lathe_evidence::canonical::to_bytes(&value).ok()?;
    Statement::from_bytes(&bytes).ok()
}

/// The pointers of a kind's newest statement.
fn pointers(home: &Home, made: &Made, kind: &str) -> Vec<String> {
    let entry = home.history.get(&made.links[kind]).expect("said");
    let bytes = entry.statement.to_bytes().expect("bytes");
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    let mut found = Vec::new();
    leaves(&value["predicate"], "", &mut found);
    found
}

#[test]
fn every_member_of_every_statement_counts() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let first = make(&mut home, "one", &|_| {}).expect("whole");
    let (mut cases, mut unnoticed) = (0, BTreeSet::new());
    for kind in first.links.keys() {
        for pointer in pointers(&home, &first, kind) {
            cases += 1;
            let mut home = Home::new(ApprovalPolicy::Itself);
            let made = make(&mut home, "one", &|statement| {
                let is_last = !matches!(&statement.predicate, Predicate::Registration(said)
                    if said.approval.is_none());
                if statement.predicate.name() == *kind && is_last {
                    match changed(statement, &pointer) {
                        Some(other) => *statement = other,
                        // No statement at all: it would not even be read.
                        None => statement.subjects.clear(),
                    }
                }
            });
            let noticed = match made {
                Err(_) => true,
                Ok(made) => !codes(&home, &made, home.at_ms).is_empty(),
            };
            if !noticed {
                unnoticed.insert(format!("{kind}{pointer}"));
            }
        }
    }
    println!(
        "{cases} members changed, {} noticed by the chain itself",
        cases - unnoticed.len()
    );
    assert!(cases > 90, "{cases}");
    let expected: BTreeSet<String> = ONLY_SIGNED.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(unnoticed, expected);
}

#[test]
fn every_subject_counts() {
    for place in 0..8 {
        let mut home = Home::new(ApprovalPolicy::Itself);
        let whole = make(&mut home, "one", &|_| {}).expect("whole");
        let kind = *whole.links.keys().nth(place).expect("eight kinds");
        let mut home = Home::new(ApprovalPolicy::Itself);
        let made = make(&mut home, "one", &|statement| {
            if statement.predicate.name() == kind {
                statement.subjects[0] = Subject::new("another", digest("another"));
            }
        });
        let refused = match made {
            Err(_) => true,
            Ok(made) => !codes(&home, &made, home.at_ms).is_empty(),
        };
        assert!(refused, "{kind}");
    }
}

#[test]
fn every_file_counts() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let made = make(&mut home, "one", &|_| {}).expect("whole");
    let artifacts: Vec<_> = home.files.0.keys().copied().collect();
    let mut cases = 0;
    for artifact in artifacts {
        let paths: Vec<String> = home.files.0[&artifact].keys().cloned().collect();
        for path in paths {
            let before = home.files.clone();
            let bytes = before.0[&artifact][&path].clone();
            let mut flipped = bytes.clone();
            *flipped.last_mut().expect("bytes") ^= 1;
            let cut = bytes[..bytes.len() / 2].to_vec();
            for (what, change) in [
                ("flipped", Some(flipped)),
                ("cut", Some(cut)),
                ("lost", None),
            ] {
                let files = home.files.0.get_mut(&artifact).expect("kept");
                match change {
                    Some(change) => drop(files.insert(path.clone(), change)),
                    None => drop(files.remove(&path)),
                }
                let codes = codes(&home, &made, home.at_ms);
                assert!(codes.contains(&"chain-altered"), "{path} {what}: {codes:?}");
                home.files = before.clone();
                cases += 1;
            }
        }
        let before = home.files.clone();
        home.files.0.remove(&artifact);
        assert!(codes(&home, &made, home.at_ms).contains(&"chain-unreadable"));
        home.files = before;
    }
    assert_eq!(cases, 3 * 8);
    assert!(codes(&home, &made, home.at_ms).is_empty());
}

#[test]
fn pieces_of_another_model_do_not_fit() {
    let mut home = Home::new(ApprovalPolicy::Itself);
    let first = make(&mut home, "one", &|_| {}).expect("whole");
    let links = first.links.clone();
    // Each link of the second model's statements led to the first's.
    for kind in [
        "base-model",
        "dataset",
        "training",
        "evaluation",
        "verdict",
        "approval",
        "registration",
    ] {
        let mut home = Home::new(ApprovalPolicy::Itself);
        make(&mut home, "one", &|_| {}).expect("whole");
        let made = make(&mut home, "two", &|statement| {
            swap(&mut statement.predicate, kind, links[kind])
        });
        let refused = match made {
            Err(_) => true,
            Ok(made) => !codes(&home, &made, home.at_ms).is_empty(),
        };
        assert!(refused, "{kind}");
    }
}

#[test]
fn the_predecessor_of_a_deployment_counts() {
    type Change = fn(&mut Deployment, &[Link]);
    let changes: [(&str, Change); 4] = [
        ("as it is", |_, _| {}),
        ("dropped", |said, _| said.previous = None),
        ("an older one", |said, earlier| {
            said.previous = Some(earlier[0])
        }),
        ("none of its name", |said, _| {
            said.previous = Some(digest("another"));
        }),
    ];
    for (place, (what, change)) in changes.into_iter().enumerate() {
        let mut home = Home::new(ApprovalPolicy::Itself);
        let first = make(&mut home, "one", &|_| {}).expect("whole");
        let second = make(&mut home, "two", &|_| {}).expect("whole");
        let earlier = [first.deployment(), second.deployment()];
        let made = make(&mut home, "three", &|statement| {
            if let Predicate::Deployment(said) = &mut statement.predicate {
                change(said, &earlier);
            }
        });
        match made {
            // What is not in the ledger is not even written into it.
            Err(error) => assert!(place == 3 && error.contains("previous"), "{what}: {error}"),
            Ok(made) => {
                let expected: &[&str] = if place == 0 { &[] } else { &["chain-mismatch"] };
                assert_eq!(codes(&home, &made, home.at_ms), expected, "{what}");
            }
        }
    }
    // The first of a name names none, though there is one to name.
    let mut home = Home::new(ApprovalPolicy::Itself);
    let first = make(&mut home, "one", &|_| {}).expect("whole");
    let other = make(
        &mut home,
        "two",
        &|statement| match &mut statement.predicate {
            Predicate::Deployment(said) => {
                said.name = "another".to_owned();
                said.previous = Some(first.deployment());
            }
            Predicate::Registration(said) => said.name = "another".to_owned(),
            _ => {}
        },
    );
    let made = other.expect("said");
    assert_eq!(codes(&home, &made, home.at_ms), ["chain-mismatch"]);
}

/// Leads every link to a statement of `kind` to another one.
fn swap(said: &mut Predicate, kind: &str, to: Link) {
    match said {
        Predicate::Training(it) if kind == "base-model" => it.base = to,
        Predicate::Training(it) if kind == "dataset" => it.datasets[0].statement = to,
        Predicate::Evaluation(it) if kind == "base-model" => it.base = to,
        Predicate::Evaluation(it) if kind == "dataset" => it.dataset = to,
        Predicate::Evaluation(it) if kind == "training" => it.training = Some(to),
        Predicate::Verdict(it) if kind == "evaluation" => it.evaluation = to,
        Predicate::Approval(it) if kind == "verdict" => it.verdict = to,
        Predicate::Registration(it) if kind == "verdict" => it.verdict = to,
        Predicate::Registration(it) if kind == "approval" && it.approval.is_some() => {
            it.approval = Some(to)
        }
        Predicate::Deployment(it) if kind == "verdict" => it.verdict = to,
        Predicate::Deployment(it) if kind == "registration" => it.registration = to,
        _ => {}
    }
}
