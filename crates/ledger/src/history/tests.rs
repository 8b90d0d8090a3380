//! Tests of the verified reading: every rule is broken once and refused by its name.

use super::*;
use crate::dsse::Envelope;
use crate::keys::SigningKey;
use lathe_evidence::statement::*;

const ORIGIN: &str = "lathe/test";

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

/// A ledger being written: the envelopes, and the history that took them.
struct Ledger {
    envelopes: Vec<Vec<u8>>,
    history: History,
    at_ms: i64,
}

impl Ledger {
    fn new() -> Self {
        let genesis = genesis(&key(1), &Role::ALL);
        let envelope = seal(&genesis, &key(1));
        Self {
            history: History::begin(&envelope).unwrap(),
            envelopes: vec![envelope],
            at_ms: 1,
        }
    }

    fn now(&mut self) -> i64 {
        self.at_ms += 1;
        self.at_ms
    }

    fn say(&mut self, statement: &Statement, by: &SigningKey) -> Result<Link, Problem> {
        let envelope = seal(statement, by);
        let link = self.history.extend(&envelope)?.link;
        self.envelopes.push(envelope);
        Ok(link)
    }

    fn key(
        &mut self,
        action: KeyAction,
        of: &SigningKey,
        roles: &[Role],
        by: &SigningKey,
    ) -> Result<Link, Problem> {
        let at_ms = self.now();
        let record = of.public().to_record("workshop", roles);
        let said = Key {
            key: record,
            action,
            reason: "test".to_owned(),
            at_ms,
        };
        self.say(&Statement::of("key", of.id(), said), by)
    }

    fn base(&mut self, name: &str, by: &SigningKey) -> Result<Link, Problem> {
        let at_ms = self.now();
        self.say(&base(name, at_ms), by)
    }

    fn note(&self, by: &SigningKey) -> String {
        self.history.checkpoint().sign(by).unwrap()
    }

    fn verify(&self, note: &str, trust: &Trust) -> Result<History, Vec<Problem>> {
        History::verify(self.envelopes.clone(), note, trust)
    }
}

fn seal(statement: &Statement, by: &SigningKey) -> Vec<u8> {
    Envelope::seal(statement, by).unwrap().into_bytes()
}

fn genesis(by: &SigningKey, roles: &[Role]) -> Statement {
    let said = Workshop {
        origin: ORIGIN.to_owned(),
        key: by.public().to_record("workshop", roles),
        approval: ApprovalPolicy::Itself,
        at_ms: 1,
    };
    Statement::of("workshop", by.id(), said)
}

fn base(name: &str, at_ms: i64) -> Statement {
    let said = BaseModel {
        name: name.to_owned(),
        source: "file:model.gguf".to_owned(),
        file: digest("file"),
        licence: "Apache-2.0".to_owned(),
        owner: "somebody".to_owned(),
        bytes: 7,
        at_ms,
    };
    Statement::of(name, digest(name), said)
}

fn verdict(evaluation: Link, at_ms: i64) -> Statement {
    let said = Verdict {
        order: "o".to_owned(),
        evaluation,
        policy: "{}".to_owned(),
        passed: true,
        outcomes: Vec::new(),
        expires_ms: None,
        at_ms,
    };
    Statement::of("verdict", digest("model"), said)
}

fn receipts(batch: u64, at_ms: i64) -> Statement {
    let root = digest(&format!("root {batch}"));
    let said = Receipts {
        batch,
        count: 1,
        root,
        at_ms,
    };
    Statement::of("batch", root, said)
}

fn flaw<T: std::fmt::Debug>(outcome: Result<T, Problem>) -> Flaw {
    outcome.unwrap_err().flaw
}

fn flaws(outcome: Result<History, Vec<Problem>>) -> Vec<Flaw> {
    outcome.unwrap_err().iter().map(|it| it.flaw).collect()
}

#[test]
fn what_was_written_is_read_and_found() {
    let mut ledger = Ledger::new();
    let base = ledger.base("b", &key(1)).unwrap();
    let at_ms = ledger.now();
    ledger.say(&receipts(1, at_ms), &key(1)).unwrap();
    let history = ledger
        .verify(&ledger.note(&key(1)), &Trust::default())
        .unwrap();
    assert_eq!(history.len(), 3);
    assert_eq!(history.root(), ledger.history.root());
    assert_eq!(history.get(&base).unwrap().index, 1);
    assert_eq!(history.find("base-model", &digest("b")).unwrap().link, base);
    assert!(history.find("base-model", &digest("c")).is_none());
    assert_eq!(history.said::<BaseModel>(&base).unwrap().name, "b");
    assert!(history.said::<Dataset>(&base).is_none());
    assert_eq!(history.of_kind("receipts").count(), 1);
    assert_eq!((history.last_batch(), history.last_ms()), (1, at_ms));
    assert!(!history.anchor().is_anchored());
}

#[test]
fn the_beginning_is_one_and_names_its_key() {
    let begin = |statement: &Statement, by: u8| flaw(History::begin(&seal(statement, &key(by))));
    assert_eq!(begin(&base("b", 1), 1), Flaw::Genesis);
    assert_eq!(begin(&genesis(&key(1), &Role::ALL), 2), Flaw::Genesis);
    assert_eq!(begin(&genesis(&key(1), &[Role::Tuner]), 1), Flaw::Genesis);
    let mut odd = genesis(&key(1), &Role::ALL);
    odd.subjects[0].digest.sha256 = digest("other");
    assert_eq!(begin(&odd, 1), Flaw::Subject);
    if let Predicate::Workshop(it) = &mut odd.predicate {
        it.origin = "two words".to_owned();
    }
    assert_eq!(begin(&odd, 1), Flaw::Genesis);
    let mut ledger = Ledger::new();
    assert_eq!(
        flaw(ledger.say(&genesis(&key(1), &Role::ALL), &key(1))),
        Flaw::Replayed
    );
    assert_eq!(
        flaw(ledger.say(&genesis(&key(2), &Role::ALL), &key(2))),
        Flaw::Genesis
    );
    assert_eq!(
        flaws(History::verify([], "", &Trust::default())),
        [Flaw::Length]
    );
}

#[test]
fn only_known_keys_with_the_role_sign() {
    let mut ledger = Ledger::new();
    assert_eq!(flaw(ledger.base("b", &key(2))), Flaw::Signer);
    ledger
        .key(KeyAction::Added, &key(2), &[Role::Approver], &key(1))
        .unwrap();
    assert_eq!(flaw(ledger.base("b", &key(2))), Flaw::Role);
    ledger
        .key(KeyAction::Added, &key(3), &[Role::Tuner], &key(1))
        .unwrap();
    ledger.base("b", &key(3)).unwrap();
    assert_eq!(
        flaw(ledger.key(KeyAction::Added, &key(4), &[Role::Tuner], &key(3))),
        Flaw::Role
    );
    ledger
        .key(KeyAction::Retired, &key(3), &[Role::Tuner], &key(1))
        .unwrap();
    assert_eq!(flaw(ledger.base("c", &key(3))), Flaw::Signer);
    assert_eq!(
        ledger.history.of_kind("base-model").count(),
        1,
        "what it signed stands"
    );
}

/// Each statement may be signed by the roles of its table and by no other.
#[test]
fn every_kind_is_refused_from_every_other_role() {
    for role in Role::ALL {
        let mut ledger = Ledger::new();
        ledger
            .key(KeyAction::Added, &key(2), &[role], &key(1))
            .unwrap();
        let at_ms = ledger.now();
        for statement in [
            base("b", at_ms),
            receipts(1, at_ms),
            verdict(digest("e"), at_ms),
        ] {
            let allowed = statement.predicate.signers().contains(&role);
            let refused = ledger
                .say(&statement, &key(2))
                .is_err_and(|it| it.flaw == Flaw::Role);
            assert_eq!(refused, !allowed, "{role:?} {}", statement.predicate.name());
        }
    }
}

#[test]
fn a_signature_is_over_the_bytes() {
    let mut ledger = Ledger::new();
    ledger
        .key(KeyAction::Added, &key(2), &[Role::Tuner], &key(1))
        .unwrap();
    let at_ms = ledger.now();
    let ours = String::from_utf8(seal(&base("b", at_ms), &key(1))).unwrap();
    let theirs = String::from_utf8(seal(&base("c", at_ms), &key(1))).unwrap();
    let payload = |text: &str| text[..text.find(",\"payloadType").unwrap()].to_owned();
    let swapped = ours.replace(&payload(&ours), &payload(&theirs));
    assert_eq!(
        flaw(ledger.history.extend(swapped.as_bytes()).cloned()),
        Flaw::Signature
    );
    let renamed = ours.replace(&key(1).id().to_string(), &key(2).id().to_string());
    assert_eq!(
        flaw(ledger.history.extend(renamed.as_bytes()).cloned()),
        Flaw::Signature
    );
    assert_eq!(flaw(ledger.history.extend(b"{}").cloned()), Flaw::Envelope);
    let bytes = base("b", at_ms).to_bytes().unwrap();
    let twice = Envelope::seal_bytes(PAYLOAD_TYPE, bytes, &[&key(1), &key(2)]).unwrap();
    assert_eq!(
        flaw(ledger.history.extend(twice.bytes()).cloned()),
        Flaw::Envelope
    );
    ledger.history.extend(ours.as_bytes()).unwrap();
}

#[test]
fn time_goes_forward_and_batches_have_no_gap() {
    let mut ledger = Ledger::new();
    ledger.say(&base("b", 10), &key(1)).unwrap();
    assert_eq!(flaw(ledger.say(&base("c", 9), &key(1))), Flaw::Time);
    ledger.say(&base("c", 10), &key(1)).unwrap();
    assert_eq!(flaw(ledger.say(&receipts(2, 10), &key(1))), Flaw::Batch);
    ledger.say(&receipts(1, 10), &key(1)).unwrap();
    assert_eq!(flaw(ledger.say(&receipts(1, 11), &key(1))), Flaw::Batch);
    let mut odd = receipts(2, 10);
    odd.subjects[0].digest.sha256 = digest("other");
    assert_eq!(flaw(ledger.say(&odd, &key(1))), Flaw::Subject);
}

#[test]
fn links_lead_to_earlier_statements_of_the_kind() {
    let mut ledger = Ledger::new();
    let base = ledger.base("b", &key(1)).unwrap();
    let at_ms = ledger.now();
    assert_eq!(
        flaw(ledger.say(&verdict(digest("none"), at_ms), &key(1))),
        Flaw::Link
    );
    assert_eq!(flaw(ledger.say(&verdict(base, at_ms), &key(1))), Flaw::Link);
}

#[test]
fn keys_come_once_and_the_last_root_stays() {
    let mut ledger = Ledger::new();
    let root = [Role::Root];
    let refuse = |ledger: &mut Ledger, action, of: u8, roles: &[Role]| {
        assert_eq!(
            flaw(ledger.key(action, &key(of), roles, &key(1))),
            Flaw::Key
        );
    };
    refuse(&mut ledger, KeyAction::Retired, 1, &Role::ALL);
    refuse(&mut ledger, KeyAction::Compromised, 1, &Role::ALL);
    refuse(&mut ledger, KeyAction::Retired, 2, &root);
    refuse(&mut ledger, KeyAction::Added, 1, &Role::ALL);
    refuse(&mut ledger, KeyAction::Added, 2, &[]);
    ledger
        .key(KeyAction::Added, &key(2), &root, &key(1))
        .unwrap();
    refuse(&mut ledger, KeyAction::Added, 2, &root);
    refuse(
        &mut ledger,
        KeyAction::Retired,
        2,
        &[Role::Root, Role::Tuner],
    );
    ledger
        .key(KeyAction::Retired, &key(2), &root, &key(1))
        .unwrap();
    refuse(&mut ledger, KeyAction::Retired, 2, &root);
    refuse(&mut ledger, KeyAction::Added, 2, &root);
}

#[test]
fn a_stolen_key_voids_what_it_signed_and_what_rests_on_it() {
    let mut ledger = Ledger::new();
    let honest = ledger.base("honest", &key(1)).unwrap();
    ledger
        .key(
            KeyAction::Added,
            &key(2),
            &[Role::Root, Role::Tuner],
            &key(1),
        )
        .unwrap();
    let stolen = ledger.base("stolen", &key(2)).unwrap();
    ledger
        .key(
            KeyAction::Added,
            &key(3),
            &[Role::Tuner, Role::Operator],
            &key(2),
        )
        .unwrap();
    let thief = ledger.base("thief", &key(3)).unwrap();
    ledger
        .key(
            KeyAction::Compromised,
            &key(2),
            &[Role::Root, Role::Tuner],
            &key(1),
        )
        .unwrap();
    let history = ledger
        .verify(&ledger.note(&key(1)), &Trust::default())
        .unwrap();
    assert!(history.get(&honest).is_some());
    for void in [stolen, thief] {
        assert!(history.get(&void).is_none());
        assert_eq!(history.lookup(&void).unwrap().void, Some(6));
    }
    assert!(history.find("base-model", &digest("stolen")).is_none());
    assert_eq!(history.of_kind("base-model").count(), 1);
    assert_eq!(flaw(ledger.base("more", &key(2))), Flaw::Signer);
    assert_eq!(flaw(ledger.base("more", &key(3))), Flaw::Signer);
    let note = ledger.note(&key(2));
    assert_eq!(
        flaws(ledger.verify(&note, &Trust::default())),
        [Flaw::Checkpoint]
    );
}

/// After a rotation the first key was stolen: its successor says so and stands.
#[test]
fn a_successor_outlives_the_first_key() {
    let mut ledger = Ledger::new();
    let old = ledger.base("old", &key(1)).unwrap();
    ledger
        .key(KeyAction::Added, &key(2), &Role::ALL, &key(1))
        .unwrap();
    ledger
        .key(KeyAction::Retired, &key(1), &Role::ALL, &key(2))
        .unwrap();
    assert_eq!(
        flaws(ledger.verify(&ledger.note(&key(1)), &Trust::default())),
        [Flaw::Checkpoint]
    );
    assert!(
        ledger
            .verify(&ledger.note(&key(2)), &Trust::default())
            .unwrap()
            .get(&old)
            .is_some()
    );
    let said = Key {
        key: key(1).public().to_record("workshop", &Role::ALL),
        action: KeyAction::Compromised,
        reason: String::new(),
        at_ms: ledger.now(),
    };
    ledger
        .say(&Statement::of("key", key(1).id(), said), &key(2))
        .unwrap();
    let history = ledger
        .verify(&ledger.note(&key(2)), &Trust::default())
        .unwrap();
    assert!(history.get(&old).is_none());
    assert!(history.key(&key(2).id()).unwrap().stands());
    assert_eq!(history.origin(), ORIGIN);
}

#[test]
fn a_checkpoint_is_over_these_entries_and_by_a_root() {
    let mut ledger = Ledger::new();
    let early = ledger.note(&key(1));
    ledger.base("b", &key(1)).unwrap();
    ledger
        .key(KeyAction::Added, &key(2), &[Role::Tuner], &key(1))
        .unwrap();
    let check = |note: &str| flaws(ledger.verify(note, &Trust::default()));
    assert_eq!(check(&early), [Flaw::Checkpoint]);
    assert_eq!(check(""), [Flaw::Checkpoint]);
    assert_eq!(check(&ledger.note(&key(2))), [Flaw::Checkpoint]);
    let mut other = ledger.history.checkpoint();
    other.origin = "lathe/other".to_owned();
    assert_eq!(check(&other.sign(&key(1)).unwrap()), [Flaw::Checkpoint]);
    let mut other = ledger.history.checkpoint();
    other.root = digest("other");
    assert_eq!(check(&other.sign(&key(1)).unwrap()), [Flaw::Rewritten]);
    other.size += 1;
    assert_eq!(check(&other.sign(&key(1)).unwrap()), [Flaw::Truncated]);
}

/// Whoever holds all local keys can write a whole new ledger; one older checkpoint catches it.
#[test]
fn a_rewritten_or_shortened_ledger_is_caught_with_one_older_checkpoint() {
    let mut ledger = Ledger::new();
    for name in ["a", "b", "c"] {
        ledger.base(name, &key(1)).unwrap();
    }
    let minimum = Some(ledger.history.checkpoint());
    let trust = Trust {
        roots: vec![key(1).id()],
        minimum,
    };
    ledger.base("d", &key(1)).unwrap();
    let anchor = ledger
        .verify(&ledger.note(&key(1)), &trust)
        .unwrap()
        .anchor();
    assert_eq!((anchor.key, anchor.minimum), (true, Some(4)));

    let mut shorter = Ledger::new();
    shorter.base("a", &key(1)).unwrap();
    assert!(
        shorter
            .verify(&shorter.note(&key(1)), &Trust::default())
            .is_ok()
    );
    assert_eq!(
        flaws(shorter.verify(&shorter.note(&key(1)), &trust)),
        [Flaw::Truncated]
    );
    let mut rewritten = Ledger::new();
    for name in ["a", "B", "c", "d"] {
        rewritten.base(name, &key(1)).unwrap();
    }
    assert!(
        rewritten
            .verify(&rewritten.note(&key(1)), &Trust::default())
            .is_ok()
    );
    assert_eq!(
        flaws(rewritten.verify(&rewritten.note(&key(1)), &trust)),
        [Flaw::Rewritten]
    );

    let other = Trust {
        roots: vec![key(9).id()],
        minimum: None,
    };
    assert_eq!(
        flaws(ledger.verify(&ledger.note(&key(1)), &other)),
        [Flaw::NotPinned]
    );
}

#[test]
fn the_same_entry_does_not_stand_twice() {
    let mut ledger = Ledger::new();
    let again = base("a", 5);
    ledger.say(&again, &key(1)).unwrap();
    assert_eq!(flaw(ledger.say(&again, &key(1))), Flaw::Replayed);
}

#[test]
fn dropping_moving_or_doubling_an_entry_is_seen() {
    let mut ledger = Ledger::new();
    for name in ["a", "b", "c"] {
        ledger.base(name, &key(1)).unwrap();
    }
    let note = ledger.note(&key(1));
    let verify = |envelopes: Vec<Vec<u8>>| History::verify(envelopes, &note, &Trust::default());
    for at in 0..ledger.envelopes.len() {
        let mut changed = ledger.envelopes.clone();
        let taken = changed.remove(at);
        assert!(verify(changed.clone()).is_err(), "{at} dropped");
        changed.insert((at + 1) % 4, taken.clone());
        assert!(verify(changed.clone()).is_err(), "{at} moved");
        let mut doubled = ledger.envelopes.clone();
        doubled.insert(at, taken);
        assert!(verify(doubled).is_err(), "{at} doubled");
    }
}

#[test]
fn taking_back_leaves_the_history_as_it_was() {
    let mut ledger = Ledger::new();
    let first = ledger.base("a", &key(1)).unwrap();
    ledger
        .key(
            KeyAction::Added,
            &key(2),
            &[Role::Root, Role::Tuner],
            &key(1),
        )
        .unwrap();
    let by_second = ledger.base("b", &key(2)).unwrap();
    let (root, last_ms) = (ledger.history.root(), ledger.history.last_ms());
    let at_ms = ledger.now();
    ledger.say(&receipts(1, at_ms), &key(1)).unwrap();
    ledger
        .key(
            KeyAction::Compromised,
            &key(2),
            &[Role::Root, Role::Tuner],
            &key(1),
        )
        .unwrap();
    assert!(ledger.history.get(&by_second).is_none());
    ledger.history.rewind(4);
    assert_eq!(
        (ledger.history.root(), ledger.history.last_ms()),
        (root, last_ms)
    );
    assert_eq!(ledger.history.last_batch(), 0);
    assert!(ledger.history.get(&first).is_some());
    assert!(ledger.history.get(&by_second).is_some());
    assert!(ledger.history.key(&key(2).id()).unwrap().stands());
    ledger.say(&receipts(1, at_ms), &key(1)).unwrap();
    ledger.history.rewind(0);
    assert_eq!((ledger.history.len(), ledger.history.origin()), (1, ORIGIN));
}

#[test]
fn all_problems_are_reported_up_to_a_bound() {
    let mut ledger = Ledger::new();
    let good = ledger.envelopes[0].clone();
    ledger.base("a", &key(1)).unwrap();
    ledger.envelopes.insert(1, b"{}".to_vec());
    ledger.envelopes.insert(2, good);
    let found = flaws(ledger.verify(&ledger.note(&key(1)), &Trust::default()));
    assert_eq!(found, [Flaw::Envelope, Flaw::Replayed, Flaw::Rewritten]);
    ledger.envelopes.splice(1..1, vec![b"{}".to_vec(); 100]);
    let many = ledger
        .verify(&ledger.note(&key(1)), &Trust::default())
        .unwrap_err();
    assert_eq!(many.len(), PROBLEMS_MAX);
    assert_eq!(
        many[0].to_string(),
        "ledger entry 1: the envelope is not one: missing field `payload` at line 1 column 2"
    );
}
