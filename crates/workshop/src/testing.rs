//! A workshop in a folder of its own, for tests of this crate: nobody answers in it, and no order runs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;
use lathe_evidence::statement::{BaseModel, Dataset, Evaluation, Link, Scan};
use serde_json::Value;

use crate::catalogue::{DeployedTask, DeploymentRow};
use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects;
use crate::order::{OrderId, Output, StepName, Title};
use crate::rehearsal::Nobody;
use crate::store::change::{Finished, NewArtifact, NewOrder, Registration};
use crate::store::{Change, Speaker};
use crate::workshop::{Workshop, WorkshopOptions};

/// An empty workshop, gone with the folder.
pub(crate) async fn shop() -> (tempfile::TempDir, Workshop) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = Home::locate(Some(folder.path().join("home"))).expect("a home");
    let shop = open(home).await;
    (folder, shop)
}

/// The workshop of this home.
pub(crate) async fn open(home: Home) -> Workshop {
    let options = WorkshopOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        key: None,
        worker: PathBuf::new(),
        approval: Default::default(),
        keeps_texts: false,
        scrub_every: Duration::from_secs(86_400),
    };
    let shop = Workshop::open(home, Arc::new(Nobody), options).await;
    shop.expect("it opens")
}

/// An order of which nothing is known, placed.
pub(crate) fn placed(id: &OrderId) -> Change {
    let order = NewOrder {
        id: id.clone(),
        pack: "p".to_owned(),
        title: Title::default(),
        demonstration: false,
        offline: true,
        folder: "/p".to_owned(),
        pack_sha256: "0".repeat(64),
        spec: "{}".to_owned(),
        origin: None,
        project: crate::people::COMMON.to_owned(),
    };
    Change::Placed {
        order: Box::new(order),
        at_ms: 1,
    }
}

/// Enters a file as what a step of an order fetched.
pub(crate) async fn fetched(
    shop: &Workshop,
    order: &OrderId,
    (step, input): (StepName, String),
    file: &Path,
) {
    let built = shop.home().tmp().join("built");
    fs::create_dir_all(&built).expect("a folder");
    let name = file.file_name().expect("a file has a name");
    fs::copy(file, built.join(name)).expect("a copy");
    let sealed = objects::seal(shop.home(), &built).expect("an artifact");
    let begins = Change::StepBegins {
        order: order.clone(),
        step,
        input: input.clone(),
        at_ms: 1,
    };
    let finished = Finished {
        order: order.clone(),
        step,
        input,
        output: Output::default(),
        artifact: Some(NewArtifact {
            digest: sealed.digest.to_string(),
            manifest: sealed.manifest,
        }),
        registers: Vec::new(),
    };
    let done = Change::StepDone {
        finished: Box::new(finished),
        at_ms: 2,
    };
    shop.apply(&[begins, done]).await.expect("it is entered");
}

/// Enters a deployment of this name, whose files are nowhere.
pub(crate) async fn deploy(shop: &Workshop, name: &str) {
    let (order, digest) = (OrderId::new(), Digest::of(name.as_bytes()).to_string());
    let artifact = NewArtifact {
        digest: digest.clone(),
        manifest: Manifest::new(Vec::new()).expect("a manifest"),
    };
    let finished = Finished {
        order: order.clone(),
        step: StepName::Evaluate,
        input: digest.clone(),
        output: Output::default(),
        artifact: Some(artifact),
        registers: vec![Registration::Report("{}".to_owned())],
    };
    let row = DeploymentRow {
        name: name.to_owned(),
        input: digest.clone(),
        order: order.clone(),
        base: digest.clone(),
        adapter: None,
        report: digest,
        policy: Default::default(),
        task: DeployedTask {
            title: Title::default(),
            system: None,
            examples: Vec::new(),
            schema: Value::Null,
        },
        demonstration: false,
        created_ms: 1,
        link: None,
    };
    let changes = [
        placed(&order),
        Change::StepDone {
            finished: Box::new(finished),
            at_ms: 2,
        },
        Change::Deployed(Box::new(row)),
    ];
    shop.apply(&changes).await.expect("it is entered");
}

/// The evaluation of a model as it came, measured on a dataset of this root with two records: the base, the model
/// and the report by their digests.
pub(crate) fn evaluated(
    speaker: &mut Speaker<'_>,
    [base, model, report]: [Digest; 3],
    root: Digest,
) -> Result<Link, WorkshopError> {
    let (at_ms, any) = (speaker.at_ms(), Digest::of(b"any"));
    let said = BaseModel {
        name: "base".to_owned(),
        source: "file:base".to_owned(),
        file: any,
        licence: "MIT".to_owned(),
        owner: "its makers".to_owned(),
        bytes: 1,
        at_ms,
    };
    let base = speaker.say("base", base, said)?;
    let said = Dataset {
        name: "tickets".to_owned(),
        root,
        train: 1,
        test: 1,
        source: "file:tickets.csv".to_owned(),
        file: any,
        licence: "MIT".to_owned(),
        owner: "the ward".to_owned(),
        agreement: None,
        previous: None,
        scan: Scan {
            version: 1,
            personal: Default::default(),
            personal_records: 0,
            harmful: 0,
            duplicates: 0,
            overlap: 0,
        },
        at_ms,
    };
    let dataset = speaker.say("tickets", Digest::of(b"tickets"), said)?;
    let said = Evaluation {
        order: "an order".to_owned(),
        training: None,
        base,
        model,
        dataset,
        report: any,
        format: "bf16".to_owned(),
        task: any,
        challengers: Vec::new(),
        figures: Default::default(),
        engine: "0.1.0".to_owned(),
        machine: "any".to_owned(),
        at_ms,
    };
    speaker.say("report", report, said)
}
