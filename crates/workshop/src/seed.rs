//! Filling a workshop with very much, to see whether its pages stay fast: copies of what one finished order
//! left, written through the store's own changes and said in the ledger like anything else.
//!
//! For benches alone: what is made here was never done. Its deployments name statements that stand, but
//! nothing of it would pass admission, which looks at files.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_evidence::receipt::{Part, Receipt, Span};
use lathe_evidence::statement::{
    Approval, DatasetUse, Deployment, Evaluation, Link, Predicate, Registration, Training, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::catalogue::{DatasetRequest, ModelView};
use crate::error::WorkshopError;
use crate::home::Home;
use crate::ops::Operation;
use crate::order::{CurvePoint, OrderId, OrderState, Output, StepError, StepName};
use crate::people::{COMMON, ProjectRequest};
use crate::rehearsal::Nobody;
use crate::steps;
use crate::store::change::{self, Finished, NewArtifact, NewOrder};
use crate::store::orders::{OrderRow, StepRow};
use crate::store::receipts::{ClosedReceipt, OpenReceipt};
use crate::store::{Change, Speaker};
use crate::workshop::{Workshop, WorkshopOptions};

/// Changes of one transaction.
const GROUP: usize = 2_000;
/// The project that a third of everything belongs to.
pub const LARGE: &str = "ward";
/// The project of the first orders, models and answers alone: what a list of it shows is farthest from where a
/// list begins.
pub const SMALL: &str = "attic";
/// How many orders, names and answers are of [`SMALL`].
const SMALL_COUNT: u32 = 10;

/// How much there shall be.
#[derive(Debug, Clone, Copy)]
pub struct Amounts {
    /// Orders.
    pub orders: u32,
    /// Records of one dataset.
    pub records: u32,
    /// Closed receipts.
    pub receipts: u32,
    /// Registrations, each deployed under a name of its own.
    pub registrations: u32,
    /// Points of one order's loss curve, and lines of its log.
    pub points: u32,
}

/// What to look at afterwards.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seeded {
    /// The finished order that all are copies of.
    pub order: String,
    /// The model that it tuned.
    pub model: String,
    /// An order with a long curve and a long log.
    pub long_order: String,
    /// The digest of the large dataset.
    pub dataset: String,
    /// The leaf of a record in it that receipts name.
    pub leaf: String,
    /// A receipt that names that record.
    pub receipt: String,
    /// A receipt in the middle of them all.
    pub middle: String,
    /// A name of the common project that receipts are of, and its number in the register.
    pub name: String,
    /// That number.
    pub number: String,
}

fn lacking(what: &str) -> WorkshopError {
    WorkshopError::new(
        "internal",
        format!("the home has no {what} to make copies of"),
        "run the tiny pack to its end in it first",
    )
}

/// Opens the workshop of a home that nobody else has open. It is not started: no order runs, no model
/// answers.
///
/// # Errors
/// As [`Workshop::open`].
pub async fn open(home: &Path) -> Result<Workshop, WorkshopError> {
    let options = WorkshopOptions {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        key: None,
        worker: PathBuf::new(),
        approval: Default::default(),
        keeps_texts: false,
        scrub_every: Duration::from_secs(86_400),
    };
    let home = Home::locate(Some(home.to_owned()))?;
    Workshop::open(home, Arc::new(Nobody), options).await
}

/// Fills a workshop in which one order was run to its end, and which is not started.
///
/// # Errors
/// `seed` where the order is missing; the store's, the ledger's, those of reading data.
pub async fn fill(shop: &Workshop, amounts: Amounts) -> Result<Seeded, WorkshopError> {
    let orders = shop.store().orders(1, 0).await?;
    let id = orders.first().ok_or_else(|| lacking("order"))?.id.clone();
    let order = shop.store().order(&id).await?;
    let order = order.ok_or_else(|| lacking("order"))?;
    let steps = shop.store().steps(&id).await?;
    for id in [LARGE, SMALL] {
        let request = ProjectRequest {
            id: id.to_owned(),
            name: String::new(),
        };
        shop.operate(Operation::ProjectCreate(request)).await?;
    }
    let tuned = steps.iter().find(|step| step.name == StepName::Tune);
    let model = tuned.and_then(|step| step.artifact.clone());
    let long_order = copy_orders(shop, &order, &steps, amounts).await?;
    let (dataset, leaf) = add_records(shop, amounts.records).await?;
    let number = register(shop, dataset, amounts.registrations).await?;
    let (receipt, middle) = answer(shop, leaf, amounts.receipts).await?;
    Ok(Seeded {
        order: id.0,
        model: model.ok_or_else(|| lacking("model"))?,
        long_order: long_order.0,
        dataset: dataset.to_string(),
        leaf: leaf.to_string(),
        receipt,
        middle,
        name: name_of(COMMON_AT),
        number,
    })
}

/// The first whose name is the common project's.
const COMMON_AT: u32 = SMALL_COUNT;

/// The project of the order, the name or the answer that is made as the `at`th.
fn project_of(at: u32) -> &'static str {
    match at {
        0..SMALL_COUNT => SMALL,
        _ if at % 3 == 2 => LARGE,
        _ => COMMON,
    }
}

/// The name of the `at`th registration: of a project its id comes first.
fn name_of(at: u32) -> String {
    match project_of(at) {
        COMMON => format!("seeded-{at}"),
        project => format!("{project}.seeded-{at}"),
    }
}

/// Whether every closed receipt is in a batch; the workshop makes them while it is open.
///
/// # Errors
/// The store's.
pub async fn is_batched(shop: &Workshop) -> Result<bool, WorkshopError> {
    Ok(shop.store().unbatched(1).await?.is_empty())
}

async fn copy_orders(
    shop: &Workshop,
    order: &OrderRow,
    steps: &[StepRow],
    amounts: Amounts,
) -> Result<OrderId, WorkshopError> {
    let mut changes = Vec::new();
    let mut last = order.id.clone();
    for at in 0..amounts.orders {
        last = OrderId::new();
        copy_order(&mut changes, &last, order, steps, at);
        if changes.len() >= GROUP {
            shop.apply(&std::mem::take(&mut changes)).await?;
        }
    }
    for step in 1..=amounts.points {
        let at = f64::from(step);
        let point = CurvePoint {
            step: u64::from(step),
            steps: u64::from(amounts.points),
            loss: 0.3 + 2.0 / at.sqrt(),
            learning_rate: 5e-4,
            tokens_per_s: 250.0,
            eta_s: 0.0,
            ..CurvePoint::default()
        };
        let order = last.clone();
        changes.push(Change::Point { order, point });
        changes.push(Change::Log {
            order: last.clone(),
            step: StepName::Tune,
            text: format!("step {step}: nothing to tell"),
            at_ms: order_ms(step),
        });
        if changes.len() >= GROUP {
            shop.apply(&std::mem::take(&mut changes)).await?;
        }
    }
    shop.apply(&changes).await?;
    Ok(last)
}

fn order_ms(at: u32) -> i64 {
    1_790_000_000_000 + i64::from(at) * 60_000
}

/// An order of which nine in ten are done, and the rest stand in every other state.
fn copy_order(changes: &mut Vec<Change>, id: &OrderId, of: &OrderRow, steps: &[StepRow], at: u32) {
    let placed = NewOrder {
        id: id.clone(),
        pack: format!("{}-{}", of.pack, at % 20),
        title: of.title.clone(),
        demonstration: at.is_multiple_of(7),
        offline: of.offline,
        folder: of.folder.clone(),
        pack_sha256: of.pack_sha256.clone(),
        spec: of.spec.clone(),
        origin: None,
        project: project_of(at).to_owned(),
    };
    changes.push(Change::Placed {
        order: Box::new(placed),
        at_ms: order_ms(at),
    });
    let state = match at % 20 {
        0 => OrderState::Paused,
        1 => OrderState::Failed,
        2 if at < 2_000 => OrderState::Queued,
        _ => OrderState::Done,
    };
    let done = match state {
        OrderState::Done => steps.len(),
        OrderState::Queued => 0,
        _ => steps.len() / 2,
    };
    for step in &steps[..done] {
        changes.push(Change::StepReuses {
            order: id.clone(),
            step: step.name,
            input: step.input.clone().unwrap_or_default(),
            at_ms: order_ms(at) + 1_000,
        });
    }
    if state == OrderState::Done {
        changes.push(tuned_model(id, at));
    }
    let at_ms = order_ms(at) + 2_000 + i64::from(at % 977) * 1_000;
    if state == OrderState::Failed {
        changes.push(Change::StepFails {
            order: id.clone(),
            step: steps[done].name,
            error: StepError {
                code: "data-digest".to_owned(),
                text: "the file has another SHA-256 than the pack pins".to_owned(),
                next: "compare the digest with the publisher's".to_owned(),
            },
            at_ms,
        });
    } else if state != OrderState::Queued {
        let order = id.clone();
        changes.push(Change::OrderIs {
            order,
            state,
            at_ms,
        });
    }
}

/// A model of its own that an order tuned; its files are nowhere.
fn tuned_model(order: &OrderId, at: u32) -> Change {
    let file = ManifestFile {
        path: "adapter_model.safetensors".to_owned(),
        size: 19_700_000,
        sha256: Digest::of(order.0.as_bytes()),
    };
    let manifest = Manifest::new(vec![file]).expect("one plain path");
    let digest = manifest.digest().to_string();
    let model = ModelView {
        digest: digest.clone(),
        kind: "tuned".to_owned(),
        name: format!("model-{}", at % 100),
        source: format!("order:{order}"),
        licence: "Apache-2.0".to_owned(),
        owner: "somebody".to_owned(),
        bytes: 19_700_000,
        demonstration: at.is_multiple_of(7),
        created_ms: order_ms(at),
    };
    let finished = Finished {
        order: order.clone(),
        step: StepName::Tune,
        input: digest.clone(),
        output: Output::default(),
        artifact: Some(NewArtifact { digest, manifest }),
        registers: vec![change::Registration::Model(model)],
    };
    Change::StepDone {
        finished: Box::new(finished),
        at_ms: order_ms(at) + 1_500,
    }
}

/// A dataset of this many records, read from a file like anybody's, and said in the ledger.
async fn add_records(shop: &Workshop, records: u32) -> Result<(Digest, Digest), WorkshopError> {
    let file = shop.home().tmp().join("seeded.csv");
    write_csv(&file, records).map_err(|error| crate::home::io_error("write", &file, &error))?;
    let request = DatasetRequest {
        name: "seeded".to_owned(),
        file,
        licence: "CC0-1.0".to_owned(),
        owner: "the bench".to_owned(),
        group: None,
        dedupe: None,
        project: None,
    };
    let view = shop.add_dataset(request).await?;
    let digest = steps::digest(&view.digest)?;
    let folder = crate::objects::path(shop.home(), &view.digest);
    let said = steps::prepare::statement(&folder)?;
    shop.apply_said(|speaker| {
        let at_ms = speaker.at_ms();
        let name = said.name.clone();
        speaker.ensure(
            &name,
            digest,
            lathe_evidence::statement::Dataset { at_ms, ..said },
        )?;
        Ok((Vec::new(), ()))
    })
    .await?;
    let first = lathe_data::Dataset::first(&folder, 1)
        .map_err(|error| WorkshopError::new("home-io", error.to_string(), "look at the folder"))?;
    let leaf = first.first().ok_or_else(|| lacking("record"))?.leaf;
    Ok((digest, leaf))
}

fn write_csv(file: &Path, records: u32) -> std::io::Result<()> {
    let mut text = "id,mean,text\n".to_owned();
    for at in 0..records {
        let mean = f64::from(at % 81) / 10.0 - 4.0;
        // No two are alike, and none is empty.
        let _ = writeln!(
            text,
            "{at}_{},{mean},\"Sentence {at} of many, about product {} and its {}.\"",
            at % 10,
            at % 997,
            at % 89
        );
    }
    std::fs::write(file, text)
}

/// The newest standing statement of a kind.
fn newest<T: Clone>(speaker: &Speaker<'_>, kind: &str) -> Result<(Digest, T), WorkshopError>
where
    for<'a> &'a T: TryFrom<&'a Predicate>,
{
    let found = speaker.history().of_kind(kind).next_back();
    let entry = found.ok_or_else(|| lacking(kind))?;
    let said = <&T>::try_from(&entry.statement.predicate).map_err(|_| lacking(kind))?;
    Ok((entry.statement.subject(), said.clone()))
}

/// Says a training on the dataset with all that follows from it, once, and registrations and deployments of
/// that model, each under a name of its own. Gives the number of the first of the common project.
async fn register(
    shop: &Workshop,
    dataset: Digest,
    registrations: u32,
) -> Result<String, WorkshopError> {
    let mut first = String::new();
    let mut verdict = None;
    for group in 0..registrations.div_ceil(100) {
        let from = group * 100;
        let to = registrations.min(from + 100);
        let (said, number) = shop
            .apply_said(|speaker| {
                let verdict = match verdict {
                    Some(link) => link,
                    None => judge(speaker, dataset)?,
                };
                let mut first = String::new();
                for at in from..to {
                    let number = enter(speaker, verdict, at)?;
                    if at == COMMON_AT {
                        first = number;
                    }
                }
                Ok((Vec::new(), (verdict, first)))
            })
            .await?;
        verdict = Some(said);
        if group == 0 {
            first = number;
        }
    }
    Ok(first)
}

fn judge(speaker: &mut Speaker<'_>, dataset: Digest) -> Result<Link, WorkshopError> {
    let at_ms = speaker.at_ms();
    let statement = speaker.history().find("dataset", &dataset);
    let statement = statement.ok_or_else(|| lacking("dataset"))?.link;
    let (model, training) = newest::<Training>(speaker, "training")?;
    let root = training
        .datasets
        .first()
        .ok_or_else(|| lacking("dataset"))?
        .root;
    let used = DatasetUse {
        statement,
        dataset,
        root,
    };
    let training = Training {
        datasets: vec![used],
        at_ms,
        ..training
    };
    let training = speaker.say("seeded", model, training)?;
    let (subject, evaluation) = newest::<Evaluation>(speaker, "evaluation")?;
    let evaluation = Evaluation {
        training: Some(training),
        dataset: statement,
        at_ms,
        ..evaluation
    };
    let evaluation = speaker.say("seeded", subject, evaluation)?;
    let (subject, verdict) = newest::<Verdict>(speaker, "verdict")?;
    let verdict = Verdict {
        evaluation,
        at_ms,
        ..verdict
    };
    speaker.say("seeded", subject, verdict)
}

fn enter(speaker: &mut Speaker<'_>, verdict: Link, at: u32) -> Result<String, WorkshopError> {
    let at_ms = speaker.at_ms();
    let (name, number) = (name_of(at), format!("2027-{:05}", at + 1));
    let (model, registration) = newest::<Registration>(speaker, "registration")?;
    let (_, approval) = newest::<Approval>(speaker, "approval")?;
    let approval = Approval {
        number: number.clone(),
        verdict,
        at_ms,
        ..approval
    };
    let approval = speaker.say(&name, model, approval)?;
    let registration = Registration {
        number: number.clone(),
        name: name.clone(),
        previous: None,
        verdict,
        approval: Some(approval),
        at_ms,
        ..registration
    };
    let registration = speaker.say(&name, model, registration)?;
    let (subject, deployment) = newest::<Deployment>(speaker, "deployment")?;
    let deployment = Deployment {
        name: name.clone(),
        registration,
        verdict,
        previous: None,
        at_ms,
        ..deployment
    };
    speaker.say(&name, subject, deployment)?;
    Ok(number)
}

async fn deployment_of(shop: &Workshop, name: &str) -> Result<Link, WorkshopError> {
    let history = shop.store().ledger()?.read().await;
    let mut all = history.of_kind("deployment");
    let found = all.find(|entry| match &entry.statement.predicate {
        Predicate::Deployment(said) => said.name == name,
        _ => false,
    });
    Ok(found.ok_or_else(|| lacking("deployment"))?.link)
}

/// Answers of a deployment of each project; gives the id of the last of the common one that names the record, and
/// of one in the middle of all.
async fn answer(
    shop: &Workshop,
    leaf: Digest,
    receipts: u32,
) -> Result<(String, String), WorkshopError> {
    let mut by_project = BTreeMap::new();
    for at in [0, COMMON_AT, COMMON_AT + 1] {
        let name = name_of(at);
        let deployment = deployment_of(shop, &name).await?;
        by_project.insert(project_of(at), (name, deployment));
    }
    let ledger_size = shop.store().ledger()?.size();
    let (mut last, mut middle) = (String::new(), String::new());
    let mut changes = Vec::new();
    for at in 0..receipts {
        let (name, deployment) = by_project[project_of(at)].clone();
        let open = OpenReceipt {
            id: uuid::Uuid::now_v7().to_string(),
            name,
            deployment,
            model: Digest::of(b"model"),
            policy: Digest::of(b"policy"),
            prompt: Digest::of(&at.to_le_bytes()),
            breaker: Default::default(),
            relayed: false,
            ledger_size,
            opened_ms: order_ms(0) + i64::from(at) * 250,
        };
        let closed = closed(&open, leaf, at);
        if at == receipts / 2 {
            middle.clone_from(&open.id);
        }
        if at == 0 || project_of(at) == COMMON {
            last.clone_from(&open.id);
        }
        changes.push(Change::ReceiptOpened(Box::new(open)));
        changes.push(Change::ReceiptClosed(Box::new(closed)));
        if changes.len() >= GROUP * 4 {
            shop.apply(&std::mem::take(&mut changes)).await?;
        }
    }
    shop.apply(&changes).await?;
    Ok((last, middle))
}

fn closed(open: &OpenReceipt, leaf: Digest, at: u32) -> ClosedReceipt {
    let span = Span {
        leaf,
        part: Part::Prompt,
        start: 0,
        bytes: 24,
        text: Digest::of(b"a passage"),
    };
    let receipt = Receipt {
        id: open.id.clone(),
        name: open.name.clone(),
        deployment: open.deployment,
        model: open.model,
        policy: open.policy,
        prompt: open.prompt,
        answer: Digest::of(&at.to_be_bytes()),
        ended: lathe_evidence::receipt::Ended::Stop,
        prompt_tokens: 74,
        answer_tokens: 14,
        breaker: open.breaker,
        ledger_size: open.ledger_size,
        // One in a thousand names the record.
        spans: if at.is_multiple_of(1_000) {
            vec![span]
        } else {
            Vec::new()
        },
        opened_ms: open.opened_ms,
        closed_ms: open.opened_ms + 900,
        upstream: None,
    };
    let bytes = receipt
        .to_bytes()
        .expect("its numbers are counts and times, far below 2^53");
    // What every prompt begins with, and what only this one says.
    let shingles = lathe_data::shingles::shingles("Say how the customer feels, as JSON");
    let own = lathe_data::shingles::shingles(&format!("only answer{at} says precisely this"));
    ClosedReceipt {
        leaf: Receipt::leaf(&bytes),
        bytes,
        receipt,
        texts: None,
        shingles: shingles
            .into_iter()
            .take(2)
            .chain(own.into_iter().take(2))
            .collect(),
    }
}
