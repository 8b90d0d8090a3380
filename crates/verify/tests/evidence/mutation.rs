//! Every way to change the evidence of a workshop that we could think of, generated and counted.
//!
//! Each case is held before the server's own admission and before `lathe-verify`; each must be
//! refused by name. What an owner with all local keys says anew and signs anew is another matter:
//! it is refused where it contradicts a file or another statement, and always by one checkpoint kept
//! outside. What such an owner can say freely is listed ([`FREE`]), and the list is exact.
//!
//! The counts stand at the end, by kind: a kind that vanishes fails the test.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::{self, MODELS, NOW_MS, World, key, seal_by, sign_anew};
use lathe_evidence::statement::{Predicate, Role};
use lathe_ledger::Checkpoint;
use lathe_ledger::history::Trust;
use lathe_verify::objects::Objects;
use lathe_verify::store::Material;
use serde_json::Value;

/// What may be said anew by the owner of all keys without contradicting anything that lies in the
/// home: words for people, and acts that nothing else speaks of; by slot. Everywhere also the names
/// of subjects, and the time so long as the order stays.
const FREE: &[(&str, &str)] = &[
    (
        "access",
        "expires_ms id models/0 name reason subject/0/digest",
    ),
    ("approval", "expires_ms reason"),
    ("base-model", "bytes file licence name owner source"),
    ("breaker", "deployment reason subject/0/digest"),
    ("dataset", "source"),
    ("evaluation", "engine format machine order"),
    (
        "filing",
        "authority date number registration subject/0/digest",
    ),
    (
        "imported",
        "deployment evidence origin root root_key size subject/0/digest",
    ),
    ("key", "key/name reason"),
    ("registered", "note"),
    ("restored", "reason size"),
    ("reviewed", "note"),
    ("submitted", "note"),
    ("training", "engine machine order"),
    (
        "upstream",
        "connect_ms_max keyed name reason remote retries silence_ms_max",
    ),
    ("verdict", "order"),
    ("withdrawal", "reason"),
    ("workshop", "key/name origin"),
];

/// Cases by kind.
#[derive(Default)]
struct Count(BTreeMap<&'static str, usize>);

impl Count {
    fn add(&mut self, kind: &'static str) {
        *self.0.entry(kind).or_default() += 1;
    }
}

/// Holds a case before both, with what an outsider kept.
struct Judge<'w> {
    world: &'w World,
    kept: Trust,
}

impl Judge<'_> {
    /// What `lathe-verify` says without anything from outside.
    fn alone(&self, material: &Material) -> Vec<String> {
        self.codes(material, &Trust::default(), NOW_MS)
    }

    fn codes(&self, material: &Material, trust: &Trust, at_ms: i64) -> Vec<String> {
        let objects = Objects::new(self.world.home(), material);
        let findings = lathe_verify::check::check(material, &objects, trust, at_ms);
        findings
            .failures()
            .map(|it| it.code.unwrap_or_default().to_owned())
            .collect()
    }

    /// Both refuse, and one of the codes is among those expected.
    fn refuse(&self, material: &Material, expected: &[&str], case: &str) {
        let outside = self.alone(material);
        let inside = world::server(material, self.world.home(), NOW_MS);
        for (who, found) in [("lathe-verify", outside), ("the server", inside)] {
            let named = found.iter().any(|it| expected.contains(&it.as_str()));
            assert!(
                named,
                "{case}: {who} says {found:?}, expected one of {expected:?}"
            );
        }
    }

    /// Caught with one older checkpoint, whatever the keys.
    fn catch(&self, material: &Material, expected: &[&str], case: &str) {
        let found = self.codes(material, &self.kept, NOW_MS);
        let named = found.iter().any(|it| expected.contains(&it.as_str()));
        assert!(named, "{case}: {found:?}, expected one of {expected:?}");
    }
}

/// The pointers of everything in a value that is no object and no array with members.
fn scalars(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (name, member) in members {
                scalars(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                scalars(item, &format!("{at}/{index}"), found);
            }
        }
        _ => found.push(at.to_owned()),
    }
}

/// Every member of every object, by pointer.
fn members(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(all) => {
            for (name, member) in all {
                found.push(format!("{at}/{name}"));
                members(member, &format!("{at}/{name}"), found);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                members(item, &format!("{at}/{index}"), found);
            }
        }
        _ => {}
    }
}

fn pointers(payload: &[u8], walk: fn(&Value, &str, &mut Vec<String>)) -> Vec<String> {
    let value: Value = serde_json::from_slice(payload).expect("it is sound");
    let mut found = Vec::new();
    walk(&value, "", &mut found);
    found
}

/// Another value of the same type.
fn altered(value: &Value) -> Value {
    match value {
        Value::Bool(it) => (!it).into(),
        Value::Number(it) => (it.as_i64().expect("it is sound") + 1).into(),
        Value::String(it) if it.len() == 64 => {
            let first = if it.starts_with('0') { '1' } else { '0' };
            format!("{first}{}", &it[1..]).into()
        }
        Value::String(it) => format!("{it}x").into(),
        Value::Array(_) => serde_json::json!(["x"]),
        Value::Object(_) => serde_json::json!({ "x": "x" }),
        Value::Null => 1.into(),
    }
}

fn with(payload: &[u8], pointer: &str, change: impl FnOnce(&Value) -> Value) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(payload).expect("it is sound");
    let place = value.pointer_mut(pointer).expect("it is sound");
    *place = change(place);
    lathe_evidence::canonical::to_bytes(&value).expect("it is sound")
}

fn without(payload: &[u8], pointer: &str) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(payload).expect("it is sound");
    let (parent, name) = pointer.rsplit_once('/').expect("it is sound");
    let parent = value.pointer_mut(parent).expect("it is sound");
    parent.as_object_mut().expect("it is sound").remove(name);
    lathe_evidence::canonical::to_bytes(&value).expect("it is sound")
}

/// The original signature around another payload.
fn forged(original: &[u8], payload: &[u8]) -> Vec<u8> {
    use base64::Engine as _;
    let mut envelope: Value = serde_json::from_slice(original).expect("it is sound");
    let encoded = base64::engine::general_purpose::STANDARD.encode(payload);
    envelope["payload"] = encoded.into();
    lathe_evidence::canonical::to_bytes(&envelope).expect("it is sound")
}

const LEDGER: &[&str] = &[
    "ledger-envelope",
    "ledger-signature",
    "ledger-signer",
    "ledger-role",
    "ledger-genesis",
    "ledger-time",
    "ledger-key",
    "ledger-link",
    "ledger-not-pinned",
    "ledger-replayed",
    "ledger-subject",
    "ledger-batch",
    "ledger-checkpoint",
    "ledger-truncated",
    "ledger-rewritten",
];

#[test]
fn every_change_is_refused_by_name() {
    let world = World::new();
    let material = world.material();
    let minimum = Checkpoint::parse(&material.note).expect("it is sound");
    let judge = Judge {
        world: &world,
        kept: Trust {
            roots: vec![key(1).id()],
            minimum: Some(minimum),
        },
    };
    assert_eq!(judge.alone(&material), [""; 0], "the untouched home holds");
    assert_eq!(judge.codes(&material, &judge.kept, NOW_MS), [""; 0]);
    assert_eq!(world::server(&material, world.home(), NOW_MS), [""; 0]);
    assert_eq!(world.retold(&BTreeMap::new()).note, material.note);
    let kinds: BTreeSet<String> = world.said.iter().map(world::Said::kind).collect();
    assert_eq!(
        kinds.len(),
        Predicate::NAMES.len(),
        "every kind of statement"
    );

    let mut count = Count::default();
    fields(&judge, &material, &mut count);
    let free = retold(&judge, &mut count);
    let free_swaps = swapped(&judge, &material, &mut count);
    moved(&judge, &material, &mut count);
    roles(&judge, &material, &mut count);
    expired(&judge, &material, &mut count);
    deployed(&judge, &material, &mut count);
    files(&judge, &material, &mut count);
    answers(&judge, &material, &mut count);
    rows(&judge, &material, &mut count);
    notes(&judge, &material, &mut count);

    let total: usize = count.0.values().sum();
    println!("{total} cases: {:#?}", count.0);
    let listed: BTreeSet<String> = FREE
        .iter()
        .flat_map(|(slot, all)| all.split_whitespace().map(move |it| format!("{slot} {it}")))
        .collect();
    assert_eq!(free, listed, "what the owner of all keys can say freely");
    let listed = FREE_SWAPS.iter().map(|it| (*it).to_owned()).collect();
    assert_eq!(free_swaps, listed, "what that owner can swap freely");
    for (kind, least) in LEAST {
        let found = count.0.get(kind).copied().unwrap_or_default();
        assert!(found >= *least, "{kind}: {found} cases, there were {least}");
    }
    assert_eq!(count.0.len(), LEAST.len(), "kinds of cases");
    assert!(total >= 500, "{total} cases");
}

/// How many cases of each kind there are at least.
const LEAST: &[(&str, usize)] = &[
    ("checkpoint altered", 172),
    ("deployment from before a restore", 2),
    ("digest swapped with another model's", 75),
    ("entry dropped", 28),
    ("entry dropped, signed anew", 28),
    ("entry moved, signed anew", 28),
    ("entry replayed", 28),
    ("entry replayed, signed anew", 28),
    ("expired", 3),
    ("field altered", 362),
    ("field dropped", 454),
    ("field said anew, caught from inside", 245),
    ("field said anew, caught from outside", 362),
    ("file added", 14),
    ("file altered", 56),
    ("file dropped", 14),
    ("file swapped with another model's", 12),
    ("ledger cut", 27),
    ("older state replayed, signed anew", 27),
    ("predecessor altered", 4),
    ("receipt altered", 90),
    ("receipt doubled", 3),
    ("receipt dropped", 6),
    ("receipt swapped", 3),
    ("row altered", 61),
    ("signed by an unknown key", 27),
    ("signed by the wrong role", 188),
    ("statement swapped with another model's", 20),
];

/// Every field of every statement altered or dropped without the key.
fn fields(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    for (index, said) in judge.world.said.iter().enumerate() {
        let original = &material.entries[index].envelope;
        for pointer in pointers(&said.payload, scalars) {
            let mut changed = material.clone();
            changed.entries[index].envelope =
                forged(original, &with(&said.payload, &pointer, altered));
            judge.refuse(
                &changed,
                LEDGER,
                &format!("{} {pointer} altered", said.slot),
            );
            count.add("field altered");
        }
        for pointer in pointers(&said.payload, members) {
            let mut changed = material.clone();
            changed.entries[index].envelope = forged(original, &without(&said.payload, &pointer));
            judge.refuse(
                &changed,
                LEDGER,
                &format!("{} {pointer} dropped", said.slot),
            );
            count.add("field dropped");
        }
    }
}

/// Every field said anew with all local keys, all that follows corrected, a new checkpoint signed:
/// always caught from outside, and inside wherever it contradicts anything.
fn retold(judge: &Judge<'_>, count: &mut Count) -> BTreeSet<String> {
    let mut free = BTreeSet::new();
    for (index, said) in judge.world.said.iter().enumerate() {
        for pointer in pointers(&said.payload, scalars) {
            let payload = with(&said.payload, &pointer, altered);
            let changed = judge.world.retold(&BTreeMap::from([(index, payload)]));
            let case = format!("{} {pointer} said anew", said.slot);
            judge.catch(&changed, LEDGER, &case);
            count.add("field said anew, caught from outside");
            let outside = judge.alone(&changed);
            if outside.is_empty() {
                let slot = said.slot.rsplit('/').next().unwrap_or_default();
                let member = pointer.trim_start_matches("/predicate");
                let member = member.trim_matches('/').trim_end_matches("/sha256");
                let is_name = member.starts_with("subject/") && member.ends_with("/name");
                if !is_name && member != "at_ms" {
                    free.insert(format!("{slot} {member}"));
                }
            } else {
                count.add("field said anew, caught from inside");
            }
        }
    }
    free
}

/// Statements, links and digests of one model in the place of another's.
fn swapped(judge: &Judge<'_>, material: &Material, count: &mut Count) -> BTreeSet<String> {
    let mut free = BTreeSet::new();
    let said = &judge.world.said;
    let other = |slot: &str| {
        let (model, what) = slot.split_once('/')?;
        let model = MODELS.iter().find(|it| **it != model)?;
        said.iter()
            .position(|it| it.slot == format!("{model}/{what}"))
    };
    for (index, one) in said.iter().enumerate() {
        let Some(place) = other(&one.slot) else {
            continue;
        };
        let mut changed = material.clone();
        changed.entries[index].envelope = material.entries[place].envelope.clone();
        sign_anew(&mut changed);
        judge.refuse(
            &changed,
            LEDGER,
            &format!("{} for {}", said[place].slot, one.slot),
        );
        count.add("statement swapped with another model's");

        let theirs: Value = serde_json::from_slice(&said[place].payload).expect("it is sound");
        for pointer in pointers(&one.payload, scalars) {
            let Some(digest) = theirs.pointer(&pointer).filter(|it| is_digest(it)) else {
                continue;
            };
            let payload = with(&one.payload, &pointer, |_| digest.clone());
            if payload == one.payload {
                continue;
            }
            let changed = judge.world.retold(&BTreeMap::from([(index, payload)]));
            let case = format!("{} {pointer} of the other", one.slot);
            judge.catch(&changed, LEDGER, &case);
            if judge.alone(&changed).is_empty() {
                free.insert(format!("{} {pointer}", one.slot));
                continue;
            }
            judge.refuse(&changed, &[LEDGER, CHAIN].concat(), &case);
            count.add("digest swapped with another model's");
        }
    }
    free
}

/// Swaps that contradict nothing that lies in the home: a report does not say which records it was
/// measured on, only the evaluation does. Caught from outside, like all of them.
const FREE_SWAPS: &[&str] = &["triage/evaluation /predicate/dataset"];

const CHAIN: &[&str] = &[
    "chain-missing",
    "chain-mismatch",
    "chain-altered",
    "chain-unreadable",
    "chain-gate",
    "chain-not-registered",
    "chain-not-approved",
    "chain-replaced",
];

fn is_digest(value: &Value) -> bool {
    value.as_str().is_some_and(|it| it.len() == 64)
}

/// Entries dropped, moved, said twice; older states in the place of the present one.
fn moved(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let entries = material.entries.len();
    for index in 0..entries {
        let slot = &judge.world.said[index].slot;
        let mut dropped = material.clone();
        dropped.entries.remove(index);
        judge.refuse(&dropped, LEDGER, &format!("{slot} dropped"));
        count.add("entry dropped");

        sign_anew(&mut dropped);
        let caught = ["ledger-truncated", "ledger-rewritten"];
        let caught = [&caught[..], LEDGER].concat();
        judge.catch(&dropped, &caught, &format!("{slot} dropped, signed anew"));
        count.add("entry dropped, signed anew");

        let mut replayed = material.clone();
        replayed.entries.push(material.entries[index].clone());
        judge.refuse(&replayed, LEDGER, &format!("{slot} said again"));
        count.add("entry replayed");
        sign_anew(&mut replayed);
        judge.refuse(
            &replayed,
            LEDGER,
            &format!("{slot} said again, signed anew"),
        );
        count.add("entry replayed, signed anew");

        let mut later = material.clone();
        let entry = later.entries.remove(index);
        later.entries.insert((index + 1) % entries, entry);
        sign_anew(&mut later);
        judge.refuse(&later, LEDGER, &format!("{slot} moved, signed anew"));
        count.add("entry moved, signed anew");
    }
    for size in 1..entries {
        let mut older = material.clone();
        older.entries.truncate(size);
        judge.refuse(&older, LEDGER, &format!("cut to {size}"));
        count.add("ledger cut");
        sign_anew(&mut older);
        judge.catch(
            &older,
            &["ledger-truncated"],
            &format!("an older state, {size}"),
        );
        count.add("older state replayed, signed anew");
    }
}

/// Every statement signed by a key with any other role, and by keys that the ledger does not know.
fn roles(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    for (index, said) in judge.world.said.iter().enumerate().skip(1) {
        let mut stranger = material.clone();
        stranger.entries[index].envelope = seal_by(&said.payload, &key(9)).into_bytes();
        sign_anew(&mut stranger);
        judge.refuse(
            &stranger,
            &["ledger-signer"],
            &format!("{} by a stranger", said.slot),
        );
        count.add("signed by an unknown key");

        let kind = said.kind();
        for role in Role::ALL {
            if Predicate::signers_of(&kind).contains(&role) {
                continue;
            }
            let mut changed = with_key(judge, material, role);
            changed.entries[index + 1].envelope = seal_by(&said.payload, &key(8)).into_bytes();
            sign_anew(&mut changed);
            let case = format!("{} by a {}", said.slot, role.name());
            judge.refuse(&changed, &["ledger-role"], &case);
            count.add("signed by the wrong role");
        }
    }
}

/// The home with one more key, of this role, from its second entry on.
fn with_key(judge: &Judge<'_>, material: &Material, role: Role) -> Material {
    use lathe_evidence::statement::{Key, KeyAction, Statement};
    let genesis: Value = serde_json::from_slice(&judge.world.said[0].payload).expect("it is sound");
    let added = Key {
        key: key(8).public().to_record("another", &[role]),
        action: KeyAction::Added,
        reason: String::new(),
        at_ms: genesis["predicate"]["at_ms"].as_i64().expect("it is sound"),
    };
    let payload = Statement::of("another", key(8).id(), added)
        .to_bytes()
        .expect("it is sound");
    let mut changed = material.clone();
    let mut entry = material.entries[0].clone();
    entry.envelope = world::seal(&payload).into_bytes();
    changed.entries.insert(1, entry);
    changed
}

/// The clock past the end of a verdict or an approval.
fn expired(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    const DAY_MS: i64 = 24 * 60 * 60 * 1000;
    for days in [1, 100, 1000] {
        let at_ms = NOW_MS + days * DAY_MS;
        let inside = world::server(material, judge.world.home(), at_ms);
        let outside = judge.codes(material, &Trust::default(), at_ms);
        for found in [inside, outside] {
            let names = found.iter().filter(|it| *it == "chain-expired").count();
            assert!(names >= MODELS.len(), "{days} days: {found:?}");
        }
        count.add("expired");
    }
}

/// What comes before a deployment and after it: a predecessor that it did not have, and a restore
/// since, with all keys.
fn deployed(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let said = &judge.world.said;
    let place = |name: &str, what: &str| {
        let slot = format!("{name}/{what}");
        said.iter().position(|it| it.slot == slot).expect("said")
    };
    let last = &material.entries[place(MODELS[1], "deployment")];
    for (name, other, kind) in [
        (MODELS[1], MODELS[0], "deployment"),
        (MODELS[1], MODELS[0], "training"),
        (MODELS[1], MODELS[1], "verdict"),
        (MODELS[0], MODELS[0], "verdict"),
    ] {
        let index = place(name, "deployment");
        let link = &material.entries[place(other, kind)].link;
        let payload = with(&said[index].payload, "/predicate", |said| {
            let mut said = said.clone();
            said["previous"] = link.as_str().into();
            said
        });
        let changed = judge.world.retold(&BTreeMap::from([(index, payload)]));
        let case = format!("{name} takes its name from the {kind} of {other}");
        judge.refuse(&changed, &["chain-mismatch", "ledger-link"], &case);
        count.add("predecessor altered");
    }
    let mut restored = material.clone();
    let mut entry = last.clone();
    entry.envelope = world::restored(said).into_bytes();
    restored.entries.push(entry);
    sign_anew(&mut restored);
    let found = world::server(&restored, judge.world.home(), NOW_MS);
    let stopped = found.iter().filter(|it| *it == "chain-restored").count();
    assert_eq!(stopped, MODELS.len(), "{found:?}");
    for _ in MODELS {
        judge.refuse(&restored, &["chain-restored"], "restored since");
        count.add("deployment from before a restore");
    }
}

/// Every file of every artifact dropped, altered at places, lengthened, swapped with the other
/// model's; and one file more.
fn files(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let (_whole, originals) = world::copy_of(judge.world.home());
    let refuse = |change: &dyn Fn(&[std::path::PathBuf]), case: &str| {
        let (copy, paths) = world::copy_of(judge.world.home());
        change(&paths);
        let objects = Objects::new(copy.path(), material);
        let findings = lathe_verify::check::check(material, &objects, &Trust::default(), NOW_MS);
        let named = findings
            .failures()
            .any(|it| it.code == Some("verify-artifact"));
        assert!(named, "{case}: {findings}");
        let inside = world::server(material, copy.path(), NOW_MS);
        let altered = ["chain-altered", "chain-unreadable"];
        assert!(
            inside.iter().any(|it| altered.contains(&it.as_str())),
            "{case}: {inside:?}"
        );
    };
    for (at, original) in originals.iter().enumerate() {
        let name = original
            .file_name()
            .expect("it is sound")
            .to_string_lossy()
            .into_owned();
        let bytes = std::fs::read(original).expect("it is sound");
        refuse(
            &|paths| std::fs::remove_file(&paths[at]).expect("it is sound"),
            &format!("{name} dropped"),
        );
        count.add("file dropped");
        for place in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[place] ^= 1;
            let write = |paths: &[std::path::PathBuf]| {
                std::fs::write(&paths[at], &changed).expect("it is sound")
            };
            refuse(&write, &format!("{name} altered at {place}"));
            count.add("file altered");
        }
        let longer = [&bytes[..], b"\n"].concat();
        refuse(
            &|paths| std::fs::write(&paths[at], &longer).expect("it is sound"),
            &format!("{name} longer"),
        );
        count.add("file altered");
        let more = |paths: &[std::path::PathBuf]| {
            std::fs::write(paths[at].with_file_name("more"), b"more").expect("it is sound");
        };
        refuse(&more, &format!("a file beside {name}"));
        count.add("file added");
        for (theirs, other) in originals.iter().enumerate() {
            let same = other.file_name() == original.file_name();
            if theirs != at && same && std::fs::read(other).expect("it is sound") != bytes {
                let swap = |paths: &[std::path::PathBuf]| {
                    std::fs::copy(&paths[theirs], &paths[at]).expect("it is sound");
                };
                refuse(&swap, &format!("{name} of the other"));
                count.add("file swapped with another model's");
            }
        }
    }
}

/// Every field of every receipt altered or dropped; receipts dropped, doubled, out of order.
fn answers(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let refuse = |changed: &Material, case: &str| {
        let found = judge.alone(changed);
        assert!(
            found.iter().any(|it| it == "verify-receipt"),
            "{case}: {found:?}"
        );
    };
    for at in 0..material.receipts.len() {
        let bytes = material.receipts[at].bytes.clone();
        for pointer in pointers(&bytes, scalars) {
            let mut changed = material.clone();
            changed.receipts[at].bytes = with(&bytes, &pointer, altered);
            refuse(&changed, &format!("receipt {at} {pointer} altered"));
            count.add("receipt altered");
            let mut changed = material.clone();
            changed.receipts[at].bytes = without(&bytes, &pointer);
            refuse(&changed, &format!("receipt {at} {pointer} dropped"));
            count.add("receipt altered");
        }
        let mut changed = material.clone();
        let dropped = changed.receipts.remove(at);
        refuse(&changed, "a receipt dropped");
        count.add("receipt dropped");
        changed.receipts.insert(at, dropped.clone());
        changed.receipts.insert(at, dropped);
        refuse(&changed, "a receipt doubled");
        count.add("receipt doubled");
        let mut changed = material.clone();
        let other = (at + 1) % changed.receipts.len();
        changed.receipts[at].bytes = material.receipts[other].bytes.clone();
        refuse(&changed, "a receipt swapped");
        count.add("receipt swapped");
        let mut changed = material.clone();
        changed.receipts[at].batch = 2;
        refuse(&changed, "a receipt of no batch");
        count.add("receipt dropped");
    }
}

/// The store's own columns.
fn rows(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let refuse = |changed: &Material, case: &str| {
        let found = judge.alone(changed);
        assert!(
            found.iter().any(|it| it == "verify-row"),
            "{case}: {found:?}"
        );
        1
    };
    for at in 0..material.entries.len() {
        let mut changed = material.clone();
        changed.entries[at].seq += 1;
        refuse(&changed, "another place");
        count.add("row altered");
        let mut changed = material.clone();
        changed.entries[at].link = material.entries[0].envelope.len().to_string();
        refuse(&changed, "another link");
        count.add("row altered");
    }
    for at in 0..material.served.len() {
        let mut changed = material.clone();
        changed.served[at].1 = None;
        refuse(&changed, "no link of what answers");
        count.add("row altered");
        let mut changed = material.clone();
        changed.served[at].1 = material.served[(at + 1) % 2].1.clone();
        refuse(&changed, "another model under the name");
        count.add("row altered");
    }
    let mut changed = material.clone();
    changed.batches[0].link = material.entries[0].link.clone();
    refuse(&changed, "another statement of the batch");
    count.add("row altered");
}

/// Every byte of the checkpoint.
fn notes(judge: &Judge<'_>, material: &Material, count: &mut Count) {
    let note = material.note.as_bytes();
    for at in 0..note.len() {
        let mut changed = material.clone();
        let mut bytes = note.to_vec();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        changed.note = String::from_utf8_lossy(&bytes).into_owned();
        judge.refuse(&changed, LEDGER, &format!("byte {at} of the checkpoint"));
        count.add("checkpoint altered");
    }
    for by in [2, 9] {
        let mut changed = material.clone();
        let checkpoint = Checkpoint::parse(&material.note).expect("it is sound");
        changed.note = checkpoint.sign(&key(by)).expect("it is sound");
        judge.refuse(&changed, &["ledger-checkpoint"], "signed by another key");
        count.add("checkpoint altered");
    }
}
