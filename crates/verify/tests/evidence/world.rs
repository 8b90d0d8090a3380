//! A whole workshop for the mutation test: two orders with real files, every kind of statement, a
//! batch of receipts, and the means to say any of it anew with all local keys.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_evidence::receipt::{Ended, Receipt};
use lathe_evidence::report::{self, Bootstrap, Interval, Report};
use lathe_evidence::statement::*;
use lathe_evidence::{Digest, canonical, merkle};
use lathe_gate::Policy;
use lathe_ledger::fixture;
pub use lathe_ledger::fixture::key;
use lathe_ledger::history::{History, Trust};
use lathe_ledger::{Checkpoint, Envelope, SigningKey, Tree, receipts};
use lathe_register::chain;
use lathe_verify::store::{Material, StoredBatch, StoredEntry, StoredReceipt};
use serde_json::{Value, json};

pub const ORIGIN: &str = "lathe/world";
pub const NOW_MS: i64 = 1_800_000_000_000;
const START_MS: i64 = 1_799_000_000_000;
pub const MODELS: [&str; 2] = ["support", "triage"];

/// A statement as it was said: its slot (`support/training`), and its bytes.
#[derive(Clone)]
pub struct Said {
    pub slot: String,
    pub payload: Vec<u8>,
}

impl Said {
    pub fn kind(&self) -> String {
        let value: Value = serde_json::from_slice(&self.payload).expect("it is sound");
        let uri = value["predicateType"].as_str().expect("it is sound");
        uri.split(':').nth(3).expect("it is sound").to_owned()
    }
}

/// Everything, as it was first said.
pub struct World {
    pub said: Vec<Said>,
    pub receipts: Vec<Vec<u8>>,
    pub artifacts: Vec<(Digest, Manifest)>,
    pub folder: tempfile::TempDir,
}

/// The files of one order's artifacts, by what they are.
struct Files {
    base: Digest,
    dataset: Digest,
    root: Digest,
    adapter: Digest,
    weights: Digest,
    report: Digest,
    report_file: Digest,
    config: Digest,
    read: Report,
}

impl World {
    pub fn new() -> Self {
        let mut world = Self {
            said: Vec::new(),
            receipts: Vec::new(),
            artifacts: Vec::new(),
            folder: tempfile::tempdir().expect("it is sound"),
        };
        let mut scribe = Scribe::begin();
        let deployments = MODELS.map(|name| {
            let files = world.files(name);
            order(&mut scribe, name, &files)
        });
        for (number, deployment) in [0, 0, 1].into_iter().enumerate() {
            let (link, name, model) = deployments[deployment];
            let receipt = receipt(number, &scribe, link, (name, model));
            world.receipts.push(receipt);
        }
        let leaves: Vec<_> = world.receipts.iter().map(|it| Receipt::leaf(it)).collect();
        let root = receipts::batch_root(&leaves);
        scribe.say("receipts", |at_ms| {
            let count = leaves.len() as u64;
            let batch = 1;
            let said = Receipts {
                batch,
                count,
                root,
                at_ms,
            };
            Statement::of("batch 1", root, said)
        });
        afterwards(&mut scribe);
        world.said = scribe.said;
        world
    }

    /// The rows of a home, all of it sound.
    pub fn material(&self) -> Material {
        self.retold(&BTreeMap::new())
    }

    /// The rows of a home whose owner says some statements anew, signs all of it with the keys that
    /// lie there, and corrects every link and root that follows.
    pub fn retold(&self, anew: &BTreeMap<usize, Vec<u8>>) -> Material {
        let mut replaced: Vec<(String, String)> = Vec::new();
        let replace = |bytes: &[u8], replaced: &[(String, String)]| {
            let mut text = String::from_utf8(bytes.to_vec()).expect("it is sound");
            for (from, to) in replaced {
                text = text.replace(from, to);
            }
            text.into_bytes()
        };
        let mut envelopes = Vec::new();
        let mut told = self.receipts.clone();
        for (index, said) in self.said.iter().enumerate() {
            let before = seal(&said.payload);
            if said.slot == "receipts" {
                let leaves = |all: &[Vec<u8>]| {
                    receipts::batch_root(
                        &all.iter().map(|it| Receipt::leaf(it)).collect::<Vec<_>>(),
                    )
                };
                told = self
                    .receipts
                    .iter()
                    .map(|it| replace(it, &replaced))
                    .collect();
                replaced.push((
                    leaves(&self.receipts).to_string(),
                    leaves(&told).to_string(),
                ));
            }
            let payload = anew.get(&index).unwrap_or(&said.payload);
            let envelope = seal(&replace(payload, &replaced));
            if envelope.leaf() != before.leaf() {
                replaced.push((before.leaf().to_string(), envelope.leaf().to_string()));
            }
            envelopes.push(envelope);
        }
        material(&envelopes, &told, &self.said, &self.artifacts)
    }

    pub fn home(&self) -> &Path {
        self.folder.path()
    }

    /// Puts files into their place and gives the artifact's digest.
    fn artifact(&mut self, files: &[(&str, Vec<u8>)]) -> Digest {
        let listed = files.iter().map(|(path, bytes)| ManifestFile {
            path: (*path).to_owned(),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
        });
        let manifest = Manifest::new(listed.collect()).expect("it is sound");
        let digest = manifest.digest();
        let folder = self.home().join("objects").join(digest.to_string());
        std::fs::create_dir_all(&folder).expect("it is sound");
        for (path, bytes) in files {
            std::fs::write(folder.join(path), bytes).expect("it is sound");
        }
        self.artifacts.push((digest, manifest));
        digest
    }

    fn files(&mut self, name: &str) -> Files {
        let base = self.artifact(&[
            (
                "model.gguf",
                format!("weights of the base of {name}").into_bytes(),
            ),
            ("tokenizer.json", b"{}".to_vec()),
        ]);
        let leaves: Vec<_> = (0..10)
            .map(|n| Digest::of(format!("{name} {n}").as_bytes()))
            .collect();
        let root = merkle::root(&leaves);
        let lines: String = leaves
            .iter()
            .map(|leaf| format!("{{\"leaf\":\"{leaf}\"}}\n"))
            .collect();
        let card = json!({
            "spec": { "name": name, "licence": "MIT", "owner": "the factory", "agreement": "agreement 7" },
            "root": root, "file": Digest::of(b"tickets.csv"),
            "statistics": { "train": 8, "test": 2 }, "scan": scan(),
        });
        let dataset = self.artifact(&[
            ("dataset.json", card.to_string().into_bytes()),
            ("records.jsonl", lines.into_bytes()),
        ]);
        let spec = json!({ "seed": 7, "learning_rate": 0.5, "name": name });
        let training = json!({
            "stage": "sft", "steps": 10, "batch_order_root": Digest::of(b"batches"), "spec": spec,
        });
        let weights = format!("adapter of {name}").into_bytes();
        let weights_digest = Digest::of(&weights);
        let adapter = self.artifact(&[
            ("adapter_model.safetensors", weights),
            ("training.json", training.to_string().into_bytes()),
        ]);
        let read = report(name);
        let bytes = serde_json::to_vec(&read).expect("it is sound");
        let report_file = Digest::of(&bytes);
        let report = self.artifact(&[("report.json", bytes)]);
        let config = canonical::to_bytes(&canonical::decimals_as_text(&spec)).expect("it is sound");
        Files {
            base,
            dataset,
            root,
            adapter,
            weights: weights_digest,
            report,
            report_file,
            config: Digest::of(&config),
            read,
        }
    }
}

fn scan() -> Scan {
    Scan {
        version: 1,
        personal: [("phone".to_owned(), 1)].into(),
        personal_records: 1,
        harmful: 0,
        duplicates: 1,
        overlap: 0,
    }
}

fn report(name: &str) -> Report {
    let subject = |role, name: &str, value: f64| report::Subject {
        role,
        name: name.to_owned(),
        note: "measured here".to_owned(),
        records: 2,
        predictions_sha256: None,
        metrics: BTreeMap::from([(
            "accuracy".to_owned(),
            Interval {
                value,
                low: Some(value - 0.05),
                high: Some(value + 0.05),
            },
        )]),
        slices: Vec::new(),
    };
    Report {
        version: Report::VERSION,
        demonstration: false,
        primary_metric: "accuracy".to_owned(),
        records: 2,
        groups: 2,
        subjects: vec![
            subject(report::Role::Base, "base", 0.5),
            subject(report::Role::Tuned, name, 0.9),
            subject(report::Role::Challenger, "linear", 0.7),
        ],
        paired: Vec::new(),
        worst: Vec::new(),
        bootstrap: Bootstrap {
            resamples: 100,
            seed: 1,
        },
    }
}

fn policy() -> Policy {
    let text = json!({
        "thresholds": [{ "metric": "accuracy", "at_least": 0.8, "bound": "lower" }],
        "require": ["training"],
        "expires_days": 100,
    });
    serde_json::from_value(text).expect("it is sound")
}

/// Says statements one after the other and holds them against the rules as they come.
struct Scribe {
    said: Vec<Said>,
    history: History,
}

impl Scribe {
    fn begin() -> Self {
        let said = Workshop {
            origin: ORIGIN.to_owned(),
            key: key(1).public().to_record("workshop", &Role::ALL),
            approval: ApprovalPolicy::Itself,
            at_ms: START_MS,
        };
        let payload = Statement::of("workshop", key(1).id(), said)
            .to_bytes()
            .expect("it is sound");
        let mut scribe = Self {
            history: History::begin(seal(&payload).bytes()).expect("it is sound"),
            said: vec![Said {
                slot: "workshop".to_owned(),
                payload,
            }],
        };
        // Before anything is deployed: what was deployed before a restore does not count.
        scribe.say("restored", backup);
        scribe.say("key", |at_ms| {
            let added = Key {
                key: key(2).public().to_record("auditor", &[Role::Auditor]),
                action: KeyAction::Added,
                reason: "reads the ledger".to_owned(),
                at_ms,
            };
            Statement::of("auditor", key(2).id(), added)
        });
        scribe
    }

    fn say(&mut self, slot: &str, make: impl FnOnce(i64) -> Statement) -> Link {
        let statement = make(self.history.last_ms() + 1000);
        let payload = statement.to_bytes().expect("it is sound");
        let link = self
            .history
            .extend(seal(&payload).bytes())
            .expect("it is sound")
            .link;
        self.said.push(Said {
            slot: slot.to_owned(),
            payload,
        });
        link
    }
}

/// One order from its base model to its deployment, whose link comes back with the model's name.
fn order<'n>(scribe: &mut Scribe, name: &'n str, files: &Files) -> (Link, &'n str, Digest) {
    let slot = |what: &str| format!("{name}/{what}");
    let base = scribe.say(&slot("base-model"), |at_ms| base_model(name, files, at_ms));
    let dataset = scribe.say(&slot("dataset"), |at_ms| dataset(name, files, at_ms));
    let training = scribe.say(&slot("training"), |at_ms| {
        training(name, files, base, dataset, at_ms)
    });
    let evaluation = scribe.say(&slot("evaluation"), |at_ms| {
        evaluation(name, files, [training, base, dataset], at_ms)
    });
    let at_ms = scribe.history.last_ms() + 1000;
    let judged = chain::judge(
        &scribe.history,
        &evaluation,
        &files.read,
        &policy(),
        name,
        at_ms,
    );
    let verdict = scribe.say(&slot("verdict"), |_| {
        Statement::of(name, files.adapter, judged.expect("it is sound").0)
    });
    let registered = register(scribe, name, files.adapter, verdict);
    let deployment = scribe.say(&slot("deployment"), |at_ms| {
        let said = Deployment {
            name: name.to_owned(),
            registration: registered,
            verdict,
            base_model: files.base,
            adapter: Some(files.adapter),
            task: Digest::of(name.as_bytes()),
            demonstration: false,
            previous: None,
            at_ms,
        };
        let mut statement = Statement::of(name, files.adapter, said);
        statement.subjects.push(Subject::new("base", files.base));
        statement
    });
    (deployment, name, files.adapter)
}

/// The life of a registration up to `registered`, whose link comes back.
fn register(scribe: &mut Scribe, name: &str, model: Digest, verdict: Link) -> Link {
    let number = format!("L-2026-{name}");
    let step = |scribe: &mut Scribe, what: &str, action, previous, approval| {
        scribe.say(&format!("{name}/{what}"), |at_ms| {
            let said = Registration {
                number: number.clone(),
                name: name.to_owned(),
                action,
                previous,
                verdict,
                approval,
                note: "complete".to_owned(),
                at_ms,
            };
            Statement::of(name, model, said)
        })
    };
    use RegistrationAction::{Registered, Reviewed, Submitted};
    let submitted = step(scribe, "submitted", Submitted, None, None);
    let reviewed = step(scribe, "reviewed", Reviewed, Some(submitted), None);
    let approval = scribe.say(&format!("{name}/approval"), |at_ms| {
        let said = Approval {
            number: number.clone(),
            verdict,
            decision: Decision::Approved,
            reason: "the figures hold".to_owned(),
            expires_ms: Some(NOW_MS + 1_000_000),
            at_ms,
        };
        Statement::of(name, model, said)
    });
    let previous = Some(reviewed);
    step(scribe, "registered", Registered, previous, Some(approval))
}

fn base_model(name: &str, files: &Files, at_ms: i64) -> Statement {
    let said = BaseModel {
        name: format!("base of {name}"),
        source: "pypi:base==1.0#model.gguf".to_owned(),
        file: Digest::of(b"model.gguf"),
        licence: "Apache-2.0".to_owned(),
        owner: "its makers".to_owned(),
        bytes: 1000,
        at_ms,
    };
    Statement::of("base", files.base, said)
}

fn dataset(name: &str, files: &Files, at_ms: i64) -> Statement {
    let said = Dataset {
        name: name.to_owned(),
        root: files.root,
        train: 8,
        test: 2,
        source: "file:tickets.csv".to_owned(),
        file: Digest::of(b"tickets.csv"),
        licence: "MIT".to_owned(),
        owner: "the factory".to_owned(),
        agreement: Some("agreement 7".to_owned()),
        previous: None,
        scan: scan(),
        at_ms,
    };
    Statement::of(name, files.dataset, said)
}

fn training(name: &str, files: &Files, base: Link, dataset: Link, at_ms: i64) -> Statement {
    let said = Training {
        order: name.to_owned(),
        stage: "sft".to_owned(),
        base,
        base_model: files.base,
        datasets: vec![DatasetUse {
            statement: dataset,
            dataset: files.dataset,
            root: files.root,
        }],
        previous: None,
        config: files.config,
        seed: 7,
        batch_order_root: Digest::of(b"batches"),
        steps: 10,
        weights: files.weights,
        engine: "0.1.0".to_owned(),
        machine: "x86-64 avx2".to_owned(),
        at_ms,
    };
    Statement::of(name, files.adapter, said)
}

fn evaluation(name: &str, files: &Files, links: [Link; 3], at_ms: i64) -> Statement {
    let [training, base, dataset] = links;
    let said = Evaluation {
        order: name.to_owned(),
        training: Some(training),
        base,
        model: files.adapter,
        dataset,
        report: files.report_file,
        format: "bf16".to_owned(),
        task: Digest::of(name.as_bytes()),
        challengers: chain::challengers(&files.read),
        figures: chain::figures(&files.read, true),
        engine: "0.1.0".to_owned(),
        machine: "x86-64 avx2".to_owned(),
        at_ms,
    };
    Statement::of(name, files.report, said)
}

fn receipt(number: usize, scribe: &Scribe, deployment: Link, model: (&str, Digest)) -> Vec<u8> {
    let receipt = Receipt {
        id: format!("01890a5d-ac96-774b-bcce-b302099a805{number}"),
        name: model.0.to_owned(),
        deployment,
        model: model.1,
        policy: policy().digest(),
        prompt: Digest::of(b"prompt"),
        answer: Digest::of(b"answer"),
        ended: Ended::Stop,
        prompt_tokens: 20,
        answer_tokens: 5,
        breaker: BreakerState::Closed,
        ledger_size: scribe.history.len(),
        spans: Vec::new(),
        opened_ms: scribe.history.last_ms(),
        closed_ms: scribe.history.last_ms() + 5,
        upstream: None,
    };
    receipt.to_bytes().expect("it is sound")
}

/// The kinds that no order says.
fn afterwards(scribe: &mut Scribe) {
    let digest = |text: &str| Digest::of(text.as_bytes());
    scribe.say("breaker", |at_ms| {
        let said = Breaker {
            deployment: MODELS[0].to_owned(),
            from: BreakerState::Closed,
            to: BreakerState::Open,
            cause: Cause::Manual,
            reason: "tried".to_owned(),
            at_ms,
        };
        Statement::of(MODELS[0], digest("model"), said)
    });
    scribe.say("withdrawal", |at_ms| {
        let said = Withdrawal {
            what: Withdrawn::Leaf(digest("elsewhere")),
            reason: "asked by its author".to_owned(),
            at_ms,
        };
        Statement::of("record", digest("elsewhere"), said)
    });
    scribe.say("filing", |at_ms| {
        let said = Filing {
            registration: format!("L-2026-{}", MODELS[0]),
            kind: FilingKind::Algorithm,
            authority: "the authority".to_owned(),
            number: "110108000000000000001".to_owned(),
            date: "2026-01-31".to_owned(),
            at_ms,
        };
        Statement::of("notice", digest("document"), said)
    });
    scribe.say("imported", |at_ms| {
        let said = Imported {
            origin: "lathe/elsewhere".to_owned(),
            root_key: key(3).id(),
            size: 12,
            root: digest("their root"),
            deployment: digest("their deployment"),
            evidence: digest("their ledger"),
            at_ms,
        };
        Statement::of("theirs", digest("their model"), said)
    });
    scribe.say("access", |at_ms| {
        let said = Access {
            id: "0123456789ab".to_owned(),
            name: "the shop".to_owned(),
            action: AccessAction::Issued,
            scopes: vec![AccessScope::Answer],
            models: vec![MODELS[0].to_owned()],
            expires_ms: Some(at_ms),
            reason: "issued".to_owned(),
            at_ms,
        };
        Statement::of("the shop", digest("a key"), said)
    });
    scribe.say("upstream", fixture::upstream);
}

/// Any payload, signed by the workshop's key.
pub fn seal(payload: &[u8]) -> Envelope {
    seal_by(payload, &key(1))
}

pub fn seal_by(payload: &[u8], by: &SigningKey) -> Envelope {
    Envelope::seal_bytes(PAYLOAD_TYPE, payload.to_vec(), &[by]).expect("it is sound")
}

/// The checkpoint over these envelopes.
pub fn checkpoint<'e>(envelopes: impl IntoIterator<Item = &'e [u8]>) -> Checkpoint {
    let tree: Tree = envelopes.into_iter().map(merkle::leaf_hash).collect();
    Checkpoint {
        origin: ORIGIN.to_owned(),
        size: tree.len(),
        root: tree.root(),
    }
}

/// The origin that the first entry now says.
fn origin(material: &Material) -> Option<String> {
    let envelope = Envelope::parse(&material.entries.first()?.envelope).ok()?;
    match envelope.statement().ok()?.predicate {
        Predicate::Workshop(it) => Some(it.origin),
        _ => None,
    }
}

/// Signs a fresh checkpoint over the rows as they now are, and sets their columns right.
pub fn sign_anew(material: &mut Material) {
    for (seq, entry) in material.entries.iter_mut().enumerate() {
        entry.seq = seq as i64;
        entry.link = merkle::leaf_hash(&entry.envelope).to_string();
    }
    let envelopes = material.entries.iter().map(|it| &it.envelope[..]);
    let mut checkpoint = checkpoint(envelopes);
    if let Some(origin) = origin(material) {
        checkpoint.origin = origin;
    }
    material.note = checkpoint.sign(&key(1)).expect("it is sound");
}

fn material(
    envelopes: &[Envelope],
    told: &[Vec<u8>],
    said: &[Said],
    artifacts: &[(Digest, Manifest)],
) -> Material {
    let link_of = |slot: &str| {
        let at = said
            .iter()
            .position(|it| it.slot == slot)
            .expect("it is sound");
        envelopes[at].leaf().to_string()
    };
    let mut material = Material {
        entries: envelopes
            .iter()
            .map(|it| StoredEntry {
                seq: 0,
                link: String::new(),
                envelope: it.bytes().to_vec(),
            })
            .collect(),
        note: String::new(),
        batches: vec![StoredBatch {
            batch: 1,
            link: link_of("receipts"),
        }],
        receipts: told
            .iter()
            .enumerate()
            .map(|(position, bytes)| StoredReceipt {
                id: format!("01890a5d-ac96-774b-bcce-b302099a805{position}"),
                batch: 1,
                position: position as i64,
                bytes: bytes.clone(),
            })
            .collect(),
        artifacts: artifacts
            .iter()
            .map(|(digest, manifest)| {
                (
                    digest.to_string(),
                    serde_json::to_string(manifest).expect("it is sound"),
                )
            })
            .collect(),
        served: MODELS
            .iter()
            .map(|name| {
                (
                    (*name).to_owned(),
                    Some(link_of(&format!("{name}/deployment"))),
                )
            })
            .collect(),
        is_bundle: false,
    };
    sign_anew(&mut material);
    material
}

/// What the server's admission says: the ledger, then the chain of everything that is served.
pub fn server(material: &Material, home: &Path, at_ms: i64) -> Vec<String> {
    let envelopes = material.entries.iter().map(|it| it.envelope.clone());
    let history = match History::verify(envelopes, &material.note, &Trust::default()) {
        Ok(history) => history,
        Err(problems) => return problems.iter().map(|it| it.code().to_owned()).collect(),
    };
    let objects = lathe_verify::objects::Objects::new(home, material);
    let mut codes = Vec::new();
    for (_, link) in &material.served {
        let Some(link) = link.as_ref().and_then(|it| it.parse().ok()) else {
            codes.push("chain-missing".to_owned());
            continue;
        };
        if let Err(denials) = chain::verify(&history, &link, &objects, at_ms) {
            codes.extend(denials.iter().map(|it| it.code.to_owned()));
        }
    }
    codes
}

/// A copy of the home's artifacts, to be changed.
pub fn copy_of(home: &Path) -> (tempfile::TempDir, Vec<PathBuf>) {
    let copy = tempfile::tempdir().expect("it is sound");
    let mut files = Vec::new();
    for artifact in std::fs::read_dir(home.join("objects")).expect("it is sound") {
        let artifact = artifact.expect("it is sound");
        let folder = copy.path().join("objects").join(artifact.file_name());
        std::fs::create_dir_all(&folder).expect("it is sound");
        for file in std::fs::read_dir(artifact.path()).expect("it is sound") {
            let file = file.expect("it is sound");
            let to = folder.join(file.file_name());
            std::fs::copy(file.path(), &to).expect("it is sound");
            files.push(to);
        }
    }
    files.sort();
    (copy, files)
}

/// The home was put back from a backup.
fn backup(at_ms: i64) -> Statement {
    let root = Digest::of(b"backup");
    let said = Restored {
        size: 1,
        root,
        reason: "a disk failed".to_owned(),
        at_ms,
    };
    Statement::of("checkpoint", root, said)
}

/// The same, said after everything else.
pub fn restored(said: &[Said]) -> Envelope {
    let last = said.last().expect("it is sound");
    let last: serde_json::Value = serde_json::from_slice(&last.payload).expect("it is sound");
    let at_ms = last["predicate"]["at_ms"].as_i64().expect("it is sound");
    seal(&backup(at_ms + 1).to_bytes().expect("it is sound"))
}
