//! A small ledger for tests and benches: one order with every kind of statement, self-approved.
//!
//! Its digests are of names, not of files; nothing here is evidence of anything.

use lathe_evidence::Digest;
use lathe_evidence::receipt::{Ended, Receipt};
use lathe_evidence::statement::*;

use crate::dsse::Envelope;
use crate::history::{History, Problem};
use crate::keys::SigningKey;
use crate::receipts;

/// The origin of the ledgers made here.
pub const ORIGIN: &str = "lathe/fixture";

/// The policy of the verdicts made here.
pub const POLICY: &str = r#"{"thresholds":[]}"#;

/// The key whose seed is this byte 32 times.
pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The digest of a name.
pub fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

/// A ledger being written.
#[derive(Debug, Clone)]
pub struct Ledger {
    /// The envelopes, in their order.
    pub envelopes: Vec<Envelope>,
    /// The history that took them.
    pub history: History,
    /// The workshop's key.
    pub key: SigningKey,
    /// When the next statement is said.
    pub at_ms: i64,
}

impl Ledger {
    /// One that begins with a workshop whose one key has all roles.
    ///
    /// # Panics
    /// Never: the statement is sound.
    pub fn new(key: SigningKey, approval: ApprovalPolicy) -> Self {
        let said = Workshop {
            origin: ORIGIN.to_owned(),
            key: key.public().to_record("workshop", &Role::ALL),
            approval,
            at_ms: 1_700_000_000_000,
        };
        let at_ms = said.at_ms;
        let statement = Statement::of("workshop", key.id(), said);
        let envelope = Envelope::seal(&statement, &key).expect("the statement is sound");
        Self {
            history: History::begin(envelope.bytes()).expect("it begins a ledger"),
            envelopes: vec![envelope],
            key,
            at_ms,
        }
    }

    /// Says something by the workshop's key, a second after the last.
    ///
    /// # Errors
    /// What the history refuses.
    pub fn say(&mut self, statement: &Statement) -> Result<Link, Problem> {
        let key = self.key.clone();
        self.say_by(statement, &key)
    }

    /// Says something by this key.
    ///
    /// # Errors
    /// What the history refuses.
    ///
    /// # Panics
    /// A statement too long for an envelope.
    pub fn say_by(&mut self, statement: &Statement, key: &SigningKey) -> Result<Link, Problem> {
        let envelope = Envelope::seal(statement, key).expect("it has bytes");
        let link = self.history.extend(envelope.bytes())?.link;
        self.envelopes.push(envelope);
        self.at_ms = statement.predicate.at_ms() + 1000;
        Ok(link)
    }

    /// The newest checkpoint, signed by the workshop's key.
    ///
    /// # Panics
    /// Never: the origin is a name.
    pub fn note(&self) -> String {
        self.history.checkpoint().sign(&self.key).expect("a name")
    }

    /// The envelopes' bytes, as the store keeps them.
    pub fn rows(&self) -> Vec<Vec<u8>> {
        self.envelopes
            .iter()
            .map(|it| it.bytes().to_vec())
            .collect()
    }
}

/// The links of one order's statements, and a receipt of what it deployed.
#[derive(Debug, Clone)]
pub struct Chain {
    /// The deployment.
    pub deployment: Link,
    /// The statement of the batch that has the receipt.
    pub batch: Link,
    /// The leaves of that batch.
    pub leaves: Vec<Digest>,
    /// The receipt's place in it.
    pub position: u64,
    /// Its bytes.
    pub receipt: Vec<u8>,
}

/// A ledger with every kind of statement in it.
///
/// # Panics
/// Never: the statements are sound.
pub fn whole() -> (Ledger, Chain) {
    let mut ledger = Ledger::new(key(1), ApprovalPolicy::Itself);
    let at_ms = ledger.at_ms;
    let auditor = key(2).public().to_record("auditor", &[Role::Auditor]);
    let added = Key {
        key: auditor,
        action: KeyAction::Added,
        reason: "reads the ledger".to_owned(),
        at_ms,
    };
    let say = |ledger: &mut Ledger, it: &Statement| ledger.say(it).expect("it holds");
    say(&mut ledger, &Statement::of("auditor", key(2).id(), added));
    let chain = order(&mut ledger);
    for statement in afterwards(&chain, ledger.at_ms) {
        say(&mut ledger, &statement);
    }
    (ledger, chain)
}

/// Runs an order through its statements, up to a batch of three receipts.
fn order(ledger: &mut Ledger) -> Chain {
    let mut say = |statement: &dyn Fn(i64) -> Statement| {
        let statement = statement(ledger.at_ms);
        ledger.say(&statement).expect("it holds")
    };
    let base = say(&base_model);
    let dataset = say(&dataset);
    let training = say(&|at_ms| training(base, dataset, at_ms));
    let evaluation = say(&|at_ms| evaluation(base, dataset, training, at_ms));
    let verdict = say(&|at_ms| verdict(evaluation, at_ms));
    let submitted =
        say(&|at_ms| registration(RegistrationAction::Submitted, None, verdict, None, at_ms));
    let reviewed = say(&|at_ms| {
        registration(
            RegistrationAction::Reviewed,
            Some(submitted),
            verdict,
            None,
            at_ms,
        )
    });
    let approval = say(&|at_ms| approval(verdict, at_ms));
    let registered = say(&|at_ms| {
        let action = RegistrationAction::Registered;
        registration(action, Some(reviewed), verdict, Some(approval), at_ms)
    });
    let deployment = say(&|at_ms| deployment(registered, verdict, at_ms));
    let all: Vec<_> = (0..3)
        .map(|n| receipt(n, deployment, ledger.history.len(), ledger.at_ms))
        .collect();
    let leaves: Vec<_> = all.iter().map(|bytes| Receipt::leaf(bytes)).collect();
    let said = Receipts {
        batch: 1,
        count: leaves.len() as u64,
        root: receipts::batch_root(&leaves),
        at_ms: ledger.at_ms,
    };
    let batch = ledger.say(&Statement::of("batch 1", said.root, said));
    Chain {
        deployment,
        batch: batch.expect("it holds"),
        leaves,
        position: 1,
        receipt: all[1].clone(),
    }
}

/// What can be said once a model answers: the rest of the kinds.
fn afterwards(chain: &Chain, at_ms: i64) -> [Statement; 7] {
    let breaker = Breaker {
        deployment: "support".to_owned(),
        from: BreakerState::Closed,
        to: BreakerState::Restricted,
        cause: Cause::Withdrawn,
        reason: "a record was withdrawn".to_owned(),
        at_ms,
    };
    let withdrawal = Withdrawal {
        what: Withdrawn::Leaf(digest("leaf")),
        reason: "asked by its author".to_owned(),
        at_ms,
    };
    let filing = Filing {
        registration: "L-2026-0001".to_owned(),
        kind: FilingKind::Algorithm,
        authority: "the authority".to_owned(),
        number: "110108000000000000001".to_owned(),
        date: "2026-01-31".to_owned(),
        at_ms,
    };
    let restored = Restored {
        size: 3,
        root: digest("backup"),
        reason: "a disk failed".to_owned(),
        at_ms,
    };
    let imported = Imported {
        origin: "lathe/elsewhere".to_owned(),
        root_key: key(3).id(),
        size: 12,
        root: digest("their root"),
        deployment: chain.deployment,
        evidence: digest("their ledger"),
        at_ms,
    };
    let access = Access {
        id: "0123456789ab".to_owned(),
        name: "the shop".to_owned(),
        action: AccessAction::Issued,
        scopes: vec![AccessScope::Answer],
        models: vec!["support".to_owned()],
        expires_ms: Some(at_ms),
        reason: "issued".to_owned(),
        at_ms,
    };
    [
        Statement::of("support", digest("adapter"), breaker),
        Statement::of("record", digest("leaf"), withdrawal),
        Statement::of("notice", digest("document"), filing),
        Statement::of("checkpoint", digest("backup"), restored),
        Statement::of("support", digest("adapter"), imported),
        Statement::of("the shop", digest("a key"), access),
        upstream(at_ms),
    ]
}

/// Another server answers as `big`.
pub fn upstream(at_ms: i64) -> Statement {
    let said = Upstream {
        name: "big".to_owned(),
        action: UpstreamAction::Added,
        url: "http://127.0.0.1:8000/v1".to_owned(),
        model: "big-72b".to_owned(),
        remote: false,
        failover: None,
        retries: 0,
        connect_ms_max: 5_000,
        silence_ms_max: 120_000,
        keyed: false,
        reason: "a larger model".to_owned(),
        at_ms,
    };
    Statement::of("big", said.subject(), said)
}

fn base_model(at_ms: i64) -> Statement {
    let said = BaseModel {
        name: "base".to_owned(),
        source: "pypi:base==1.0#model.gguf".to_owned(),
        file: digest("model.gguf"),
        licence: "Apache-2.0".to_owned(),
        owner: "its makers".to_owned(),
        bytes: 1000,
        at_ms,
    };
    Statement::of("base", digest("base"), said)
}

fn dataset(at_ms: i64) -> Statement {
    let said = Dataset {
        name: "tickets".to_owned(),
        root: digest("root"),
        train: 90,
        test: 10,
        source: "file:tickets.csv".to_owned(),
        file: digest("tickets.csv"),
        licence: "MIT".to_owned(),
        owner: "the factory".to_owned(),
        agreement: Some("agreement 7".to_owned()),
        previous: None,
        scan: Scan {
            version: 1,
            personal: [("phone".to_owned(), 2)].into(),
            personal_records: 2,
            harmful: 0,
            duplicates: 1,
            overlap: 0,
        },
        at_ms,
    };
    Statement::of("tickets", digest("dataset"), said)
}

fn training(base: Link, dataset: Link, at_ms: i64) -> Statement {
    let said = Training {
        order: "order 1".to_owned(),
        stage: "sft".to_owned(),
        base,
        base_model: digest("base"),
        datasets: vec![DatasetUse {
            statement: dataset,
            dataset: digest("dataset"),
            root: digest("root"),
        }],
        previous: None,
        config: digest("config"),
        seed: 7,
        batch_order_root: digest("batch order"),
        steps: 10,
        weights: digest("weights"),
        engine: "0.1.0".to_owned(),
        machine: "x86-64 avx2".to_owned(),
        at_ms,
    };
    Statement::of("adapter", digest("adapter"), said)
}

fn evaluation(base: Link, dataset: Link, training: Link, at_ms: i64) -> Statement {
    let said = Evaluation {
        order: "order 1".to_owned(),
        training: Some(training),
        base,
        model: digest("adapter"),
        dataset,
        report: digest("report.json"),
        format: "bf16".to_owned(),
        task: digest("task"),
        challengers: vec!["linear".to_owned()],
        figures: [("accuracy".to_owned(), "0.9000".to_owned())].into(),
        engine: "0.1.0".to_owned(),
        machine: "x86-64 avx2".to_owned(),
        at_ms,
    };
    Statement::of("report", digest("report"), said)
}

fn verdict(evaluation: Link, at_ms: i64) -> Statement {
    let said = Verdict {
        order: "order 1".to_owned(),
        evaluation,
        policy: POLICY.to_owned(),
        passed: true,
        outcomes: vec![Outcome {
            rule: "accuracy at least 0.8".to_owned(),
            passed: true,
            figure: "0.9000".to_owned(),
        }],
        expires_ms: Some(at_ms + 1_000_000_000),
        at_ms,
    };
    Statement::of("support", digest("adapter"), said)
}

fn registration(
    action: RegistrationAction,
    previous: Option<Link>,
    verdict: Link,
    approval: Option<Link>,
    at_ms: i64,
) -> Statement {
    let said = Registration {
        number: "L-2026-0001".to_owned(),
        name: "support".to_owned(),
        action,
        previous,
        verdict,
        approval,
        note: "complete".to_owned(),
        at_ms,
    };
    Statement::of("support", digest("adapter"), said)
}

fn approval(verdict: Link, at_ms: i64) -> Statement {
    let said = Approval {
        number: "L-2026-0001".to_owned(),
        verdict,
        decision: Decision::Approved,
        reason: "the figures hold".to_owned(),
        expires_ms: Some(at_ms + 2_000_000_000),
        at_ms,
    };
    Statement::of("support", digest("adapter"), said)
}

fn deployment(registration: Link, verdict: Link, at_ms: i64) -> Statement {
    let said = Deployment {
        name: "support".to_owned(),
        registration,
        verdict,
        base_model: digest("base"),
        adapter: Some(digest("adapter")),
        task: digest("task"),
        demonstration: false,
        previous: None,
        at_ms,
    };
    let mut statement = Statement::of("support", digest("adapter"), said);
    statement
        .subjects
        .push(Subject::new("base", digest("base")));
    statement
}

fn receipt(number: u64, deployment: Link, ledger_size: u64, at_ms: i64) -> Vec<u8> {
    let receipt = Receipt {
        id: format!("01890a5d-ac96-774b-bcce-b302099a805{number}"),
        name: "support".to_owned(),
        deployment,
        model: digest("adapter"),
        policy: digest(POLICY),
        prompt: digest("prompt"),
        answer: digest("answer"),
        ended: Ended::Stop,
        prompt_tokens: 20,
        answer_tokens: 5,
        breaker: BreakerState::Closed,
        ledger_size,
        spans: Vec::new(),
        opened_ms: at_ms - 5,
        closed_ms: at_ms,
        upstream: None,
    };
    receipt.to_bytes().expect("its numbers are small")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Trust;

    #[test]
    fn every_kind_of_statement_is_there_and_holds() {
        let (ledger, chain) = whole();
        let history = History::verify(ledger.rows(), &ledger.note(), &Trust::default()).unwrap();
        for kind in Predicate::NAMES {
            assert!(history.of_kind(kind).count() > 0, "{kind}");
        }
        assert!(history.said::<Deployment>(&chain.deployment).is_some());
    }
    fn schema(name: &str) -> jsonschema::Validator {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../docs/reference/statements"
        );
        let text = std::fs::read_to_string(format!("{folder}/{name}.json")).unwrap();
        let schema: serde_json::Value = serde_json::from_str(&text).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    }

    /// The published schemas take every statement and the receipt, and refuse each of them with a
    /// member taken out, another put in, or another type named.
    #[test]
    fn the_published_schemas_take_what_is_said_and_nothing_less() {
        let (ledger, chain) = whole();
        let mut all: Vec<(&str, Vec<u8>)> = Vec::new();
        for (entry, envelope) in ledger.history.entries().iter().zip(&ledger.envelopes) {
            all.push((entry.kind(), envelope.payload().to_vec()));
        }
        all.push(("receipt", chain.receipt));
        for (name, bytes) in all {
            let schema = schema(name);
            let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
            assert!(schema.is_valid(&value), "{name}");
            let mut more = value.clone();
            more["extra"] = 1.into();
            assert!(!schema.is_valid(&more), "{name} with another member");
            for member in value.as_object().unwrap().keys() {
                let mut less = value.clone();
                less.as_object_mut().unwrap().remove(member);
                assert!(!schema.is_valid(&less), "{name} without {member}");
            }
            if name != "receipt" {
                let mut other = value;
                other["predicateType"] = "urn:lathe:statement:other:v1".into();
                assert!(!schema.is_valid(&other), "{name} of another type");
            }
        }
    }
}
