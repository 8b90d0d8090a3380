//! An invented home: keys, files, and a ledger in which one model was tuned, judged and deployed.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;

use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_evidence::report::{Report, Role as Part};
use lathe_evidence::statement::*;
use lathe_evidence::{Digest, canonical, merkle};
use lathe_gate::Policy;
use lathe_ledger::{Envelope, History, SigningKey};
use lathe_register::chain::{self, Pieces};
use serde_json::{Value, json};

pub const NAME: &str = "care";
pub const NUMBER: &str = "R0001";
pub const DAY_MS: i64 = 24 * 60 * 60 * 1000;

pub fn digest(text: &str) -> Digest {
    Digest::of(text.as_bytes())
}

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// Artifacts in memory.
#[derive(Clone, Default)]
pub struct Files(pub HashMap<Digest, BTreeMap<String, Vec<u8>>>);

impl Files {
    /// Keeps an artifact and gives its digest.
    pub fn keep(&mut self, files: &[(&str, Vec<u8>)]) -> Digest {
        let files: BTreeMap<String, Vec<u8>> = files
            .iter()
            .map(|(path, bytes)| ((*path).to_owned(), bytes.clone()))
            .collect();
        let digest = manifest(&files);
        self.0.insert(digest, files);
        digest
    }
}

fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Digest {
    let files = files.iter().map(|(path, bytes)| ManifestFile {
        path: path.clone(),
        size: bytes.len() as u64,
        sha256: Digest::of(bytes),
    });
    Manifest::new(files.collect())
        .expect("plain paths")
        .digest()
}

impl Pieces for Files {
    fn manifest(&self, artifact: Digest) -> Result<Digest, String> {
        let files = self.0.get(&artifact).ok_or("no such folder")?;
        Ok(manifest(files))
    }

    fn open(&self, artifact: Digest, path: &str) -> Result<Box<dyn Read + '_>, String> {
        let files = self.0.get(&artifact).ok_or("no such folder")?;
        let bytes = files.get(path).ok_or("no such file")?;
        Ok(Box::new(bytes.as_slice()))
    }
}

/// A ledger being written.
pub struct Home {
    pub history: History,
    pub files: Files,
    pub at_ms: i64,
    /// Who signs each kind; the workshop's key where nobody is named.
    pub signers: HashMap<&'static str, SigningKey>,
}

impl Home {
    pub fn new(approval: ApprovalPolicy) -> Self {
        let said = Workshop {
            origin: "lathe/invented".to_owned(),
            key: key(1).public().to_record("workshop", &Role::ALL),
            approval,
            at_ms: 0,
        };
        let genesis = Statement::of("workshop", key(1).id(), said);
        let envelope = Envelope::seal(&genesis, &key(1)).expect("seals");
        Self {
            history: History::begin(envelope.bytes()).expect("a beginning"),
            files: Files::default(),
            at_ms: DAY_MS,
            signers: HashMap::new(),
        }
    }

    pub fn now(&mut self) -> i64 {
        self.at_ms += 10;
        self.at_ms
    }

    /// Says a statement, or tells why the ledger does not take it.
    pub fn say(&mut self, statement: &Statement) -> Result<Link, String> {
        let workshop = key(1);
        let signer = self
            .signers
            .get(statement.predicate.name())
            .unwrap_or(&workshop);
        let envelope = Envelope::seal(statement, signer).map_err(|error| error.to_string())?;
        let entry = self
            .history
            .extend(envelope.bytes())
            .map_err(|error| error.to_string())?;
        Ok(entry.link)
    }

    pub fn tell(&mut self, subject: Digest, said: impl Into<Predicate>) -> Link {
        self.say(&Statement::of("it", subject, said))
            .expect("the ledger takes it")
    }
}

/// A model's way, as far as statements name it.
#[derive(Clone)]
pub struct Made {
    pub model: Digest,
    pub base: Digest,
    pub dataset: Digest,
    pub report: Digest,
    pub leaves: Vec<Digest>,
    pub links: BTreeMap<&'static str, Link>,
    /// The stages in their order: statement, adapter, and the leaves of what each was tuned on.
    pub stages: Vec<(Link, Digest, Vec<Digest>)>,
}

impl Made {
    pub fn deployment(&self) -> Link {
        self.links["deployment"]
    }
}

pub fn report(r: f64) -> Report {
    let subject = |role: &str, name: &str, r: f64| {
        json!({"role": role, "name": name, "note": "", "records": 20, "predictions_sha256": null,
               "metrics": {"pearson_r": {"value": r, "low": r - 0.05, "high": r + 0.05}},
               "slices": [{"by": "product", "value": "phone", "records": 20, "metrics": {"pearson_r": r}}]})
    };
    let report = json!({
        "version": 1, "demonstration": false, "primary_metric": "pearson_r", "records": 20, "groups": 4,
        "subjects": [subject("base", "base", 0.1), subject("tuned", "tuned", r),
                     subject("challenger", "linear", 0.5)],
        "paired": [], "worst": [], "bootstrap": {"resamples": 100, "seed": 1}});
    let report: Report = serde_json::from_value(report).expect("a report");
    assert_eq!(report.subjects[1].role, Part::Tuned);
    report
}

pub fn policy() -> Policy {
    serde_json::from_value(json!({
        "thresholds": [{"metric": "pearson_r", "at_least": 0.8}],
        "require": ["dataset", "training"], "licences": {"use": "commercial"},
        "data": {"personal_max_share": 0.1}, "expires_days": 30}))
    .expect("a policy")
}

/// Changes a statement before it is signed.
pub type Tweak<'a> = &'a dyn Fn(&mut Statement);

/// A model on its way: what is said goes through the tweak, and its link is kept.
struct Way<'a> {
    home: &'a mut Home,
    tweak: Tweak<'a>,
    links: BTreeMap<&'static str, Link>,
}

impl Way<'_> {
    fn say(&mut self, subjects: Vec<Subject>, said: impl Into<Predicate>) -> Result<Link, String> {
        let mut statement = Statement {
            subjects,
            predicate: said.into(),
        };
        (self.tweak)(&mut statement);
        let link = self.home.say(&statement)?;
        self.links.insert(statement.predicate.name(), link);
        Ok(link)
    }

    fn step(
        &mut self,
        model: Digest,
        action: RegistrationAction,
        verdict: Link,
        approval: Option<Link>,
    ) -> Result<Link, String> {
        let previous = newest_step(&self.home.history).map(|(link, _)| link);
        let said = step(self.home, action, previous, verdict, approval);
        self.say(of(model), said)
    }
}

fn of(digest: Digest) -> Vec<Subject> {
    vec![Subject::new("it", digest)]
}

/// Tunes, judges, registers and deploys; `salt` makes the model another one.
pub fn make(home: &mut Home, salt: &str, tweak: Tweak<'_>) -> Result<Made, String> {
    make_in(home, salt, &["sft"], tweak)
}

/// The same in several stages, each on data of its own. It is measured on that of `sft`.
pub fn make_in(
    home: &mut Home,
    salt: &str,
    stages: &[&str],
    tweak: Tweak<'_>,
) -> Result<Made, String> {
    let mut way = Way {
        home,
        tweak,
        links: BTreeMap::new(),
    };
    let base = way
        .home
        .files
        .keep(&[("model.gguf", format!("base {salt}").into_bytes())]);
    let at_ms = way.home.now();
    let base_link = way.say(of(base), base_model(at_ms))?;

    let mut told: Vec<Stage> = Vec::new();
    for &stage in stages {
        let made = tune(&mut way, (salt, stage), (base, base_link), told.last())?;
        told.push(made);
    }
    let last = told.last().expect("a stage");
    let (training_link, adapter) = (last.link, last.adapter);
    let measured = stages.iter().position(|it| *it == "sft").expect("it is");
    let (dataset, dataset_link) = (told[measured].dataset, told[measured].data);

    let report = report(0.9);
    let bytes = serde_json::to_vec(&report).expect("writes");
    let files = [
        ("report.json", bytes.clone()),
        ("predictions.jsonl", salt.into()),
    ];
    let artifact = way.home.files.keep(&files);
    let said = Evaluation {
        order: "order".to_owned(),
        training: Some(training_link),
        base: base_link,
        model: adapter,
        dataset: dataset_link,
        report: Digest::of(&bytes),
        format: "bf16".to_owned(),
        task: digest("task"),
        challengers: chain::challengers(&report),
        figures: chain::figures(&report, true),
        engine: "0.1.0".to_owned(),
        machine: "avx2".to_owned(),
        at_ms: way.home.now(),
    };
    let evaluation_link = way.say(of(artifact), said)?;
    let links = decide(&mut way, &report, evaluation_link, base, adapter)?;
    Ok(Made {
        model: adapter,
        base,
        dataset,
        report: artifact,
        leaves: told[measured].leaves.clone(),
        links,
        stages: told
            .into_iter()
            .map(|it| (it.link, it.adapter, it.leaves))
            .collect(),
    })
}

/// A stage that was told.
struct Stage {
    link: Link,
    adapter: Digest,
    dataset: Digest,
    data: Link,
    leaves: Vec<Digest>,
}

/// Prepares a stage's data and tunes on it, going on from the stage before.
fn tune(
    way: &mut Way<'_>,
    (salt, stage): (&str, &str),
    base: (Digest, Link),
    before: Option<&Stage>,
) -> Result<Stage, String> {
    let of_stage = format!("{salt} {stage}");
    let (dataset, leaves, said) = dataset(way.home, &of_stage);
    let at_ms = way.home.now();
    let root = said.root;
    let data = way.say(of(dataset), Dataset { at_ms, ..said })?;
    let used = DatasetUse {
        statement: data,
        dataset,
        root,
    };
    let previous = before.map(|it| PreviousStage {
        statement: it.link,
        model: it.adapter,
    });
    let (adapter, said) = training(way.home, (salt, stage), base, (used, previous));
    let at_ms = way.home.now();
    let link = way.say(of(adapter), Training { at_ms, ..said })?;
    Ok(Stage {
        link,
        adapter,
        dataset,
        data,
        leaves,
    })
}

/// From the evaluation to the deployment.
fn decide(
    way: &mut Way<'_>,
    report: &Report,
    evaluation: Link,
    base: Digest,
    model: Digest,
) -> Result<BTreeMap<&'static str, Link>, String> {
    use RegistrationAction::{Changed, Registered, Reviewed, Submitted};
    let at_ms = way.home.now();
    let judged = chain::judge(
        &way.home.history,
        &evaluation,
        report,
        &policy(),
        "order",
        at_ms,
    );
    let (verdict, _) = judged.map_err(|denial| denial.to_string())?;
    let expires_ms = verdict.expires_ms;
    let verdict = way.say(of(model), verdict)?;
    let newest = newest_step(&way.home.history).map(|(_, action)| action);
    let entered = matches!(newest, Some(Registered | Changed));
    if !entered {
        way.step(model, Submitted, verdict, None)?;
        way.step(model, Reviewed, verdict, None)?;
    }
    let approval = Approval {
        number: NUMBER.to_owned(),
        verdict,
        decision: Decision::Approved,
        reason: "it is good".to_owned(),
        expires_ms,
        at_ms: way.home.now(),
    };
    let approval = way.say(of(model), approval)?;
    let action = if entered { Changed } else { Registered };
    let registration = way.step(model, action, verdict, Some(approval))?;
    let said = Deployment {
        name: NAME.to_owned(),
        registration,
        verdict,
        base_model: base,
        adapter: Some(model),
        task: digest("task"),
        demonstration: false,
        previous: chain::current(&way.home.history).first().copied(),
        at_ms: way.home.now(),
    };
    let subjects = vec![Subject::new(NAME, model), Subject::new("base model", base)];
    way.say(subjects, said)?;
    Ok(std::mem::take(&mut way.links))
}

fn base_model(at_ms: i64) -> BaseModel {
    BaseModel {
        name: "SmolLM".to_owned(),
        source: "pypi:llm==1#a/b.gguf".to_owned(),
        file: digest("base file"),
        licence: "Apache-2.0".to_owned(),
        owner: "somebody".to_owned(),
        bytes: 9,
        at_ms,
    }
}

pub fn newest_step(history: &History) -> Option<(Link, RegistrationAction)> {
    let entry = history.of_kind("registration").next_back()?;
    let said = history.said::<Registration>(&entry.link)?;
    Some((entry.link, said.action))
}

pub fn step(
    home: &mut Home,
    action: RegistrationAction,
    previous: Option<Link>,
    verdict: Link,
    approval: Option<Link>,
) -> Registration {
    Registration {
        number: NUMBER.to_owned(),
        name: NAME.to_owned(),
        action,
        previous,
        verdict,
        approval,
        note: "by the order".to_owned(),
        at_ms: home.now(),
    }
}

fn dataset(home: &mut Home, salt: &str) -> (Digest, Vec<Digest>, Dataset) {
    let leaves: Vec<Digest> = (0..25)
        .map(|n| digest(&format!("{salt} leaf {n}")))
        .collect();
    let lines: String = leaves
        .iter()
        .map(|leaf| format!("{}\n", json!({"id": "1", "leaf": leaf, "fields": {}})))
        .collect();
    let scan = Scan {
        version: 1,
        personal: BTreeMap::from([("name".to_owned(), 1)]),
        personal_records: 1,
        ..Scan::default()
    };
    let said = Dataset {
        name: "reviews".to_owned(),
        root: merkle::root(&leaves),
        train: 20,
        test: 5,
        source: "file:(withheld)".to_owned(),
        file: digest("data file"),
        licence: "MIT".to_owned(),
        owner: "somebody".to_owned(),
        agreement: Some("agreement 7".to_owned()),
        previous: None,
        scan: scan.clone(),
        at_ms: 0,
    };
    let card = json!({
        "spec": {"name": "reviews", "source": "file:/a/b.csv", "licence": "MIT", "owner": "somebody",
                 "agreement": "agreement 7"},
        "file": said.file, "encoding": "UTF-8", "root": said.root,
        "statistics": {"train": 20, "test": 5}, "broken": [], "duplicates": [], "scan": scan});
    let files = [
        ("dataset.json", serde_json::to_vec(&card).expect("writes")),
        ("records.jsonl", lines.into_bytes()),
    ];
    (home.files.keep(&files), leaves, said)
}

fn training(
    home: &mut Home,
    (salt, stage): (&str, &str),
    (base_model, base): (Digest, Link),
    (used, previous): (DatasetUse, Option<PreviousStage>),
) -> (Digest, Training) {
    let spec: Value = json!({"seed": 7, "learning_rate": 0.001});
    let weights = format!("weights {salt} {stage}").into_bytes();
    let order = digest("batch order");
    let mut file =
        json!({"version": 1, "stage": stage, "spec": spec, "steps": 12, "batch_order_root": order});
    if let Some(previous) = &previous {
        file["previous"] = previous.model.to_string().into();
    }
    let adapter = home.files.keep(&[
        ("adapter_model.safetensors", weights.clone()),
        ("adapter_config.json", b"{}".to_vec()),
        ("training.json", serde_json::to_vec(&file).expect("writes")),
    ]);
    let config = canonical::to_bytes(&canonical::decimals_as_text(&spec)).expect("canonical");
    let said = Training {
        order: "order".to_owned(),
        stage: stage.to_owned(),
        base,
        base_model,
        datasets: vec![used],
        previous,
        config: Digest::of(&config),
        seed: 7,
        batch_order_root: order,
        steps: 12,
        weights: Digest::of(&weights),
        engine: "0.1.0".to_owned(),
        machine: "avx2".to_owned(),
        at_ms: 0,
    };
    (adapter, said)
}

/// The codes of why a chain does not hold; empty where it does.
pub fn codes(home: &Home, made: &Made, now_ms: i64) -> Vec<&'static str> {
    match chain::verify(&home.history, &made.deployment(), &home.files, now_ms) {
        Ok(_) => Vec::new(),
        Err(denials) => {
            for denial in &denials {
                assert!(
                    !denial.rule.is_empty() && !denial.evidence.is_empty(),
                    "{denial:?}"
                );
                assert!(!denial.cure.is_empty(), "{denial:?}");
            }
            denials.into_iter().map(|denial| denial.code).collect()
        }
    }
}
