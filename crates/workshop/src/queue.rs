//! The queue: works through the orders one after another, step by step.
//!
//! A step whose effect is already stored for the digest of its inputs is taken
//! over; any other is run, and its result, its artifact's row and its state are
//! stored in one transaction. So a kill at any moment costs at most the step
//! that ran, which resumes from its own checkpoints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_evidence::statement::Link;
use tokio::sync::watch;

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::executor::{End, Running};
use crate::key::digest_of;
use crate::objects::{self, Sealed};
use crate::order::{OrderId, OrderState, Output, StepError, StepName, StepState};
use crate::pack::Pack;
use crate::pause;
use crate::people::reach;
use crate::steps::{self, Context, Say, WorkerStep};
use crate::store::Change;
use crate::store::change::{Finished, NewArtifact};
use crate::store::orders::{OrderRow, StepRow};
use crate::turn::Signals;
use crate::withdrawn::WithdrawnData;
use crate::worker::{Event, Job, Made};
use crate::workshop::Workshop;

/// How often a worker that crashes is started in all.
const ATTEMPTS_MAX: u32 = 3;

/// Why an order does not go on.
pub(crate) enum Halt {
    /// A step failed.
    Failed(StepError),
    /// This process is to end; the order resumes later.
    Stopped,
    /// Somebody has to decide first; the order goes on when that arrives.
    Waits(StepError),
    /// Somebody set the order aside; it goes on when it is resumed.
    Paused,
}

impl From<WorkshopError> for Halt {
    fn from(error: WorkshopError) -> Self {
        Halt::Failed(error.into())
    }
}

impl From<StepError> for Halt {
    fn from(error: StepError) -> Self {
        Halt::Failed(error)
    }
}

/// Works until told to stop, or until the store can no longer be written.
pub(crate) async fn work(shop: Workshop, stop: watch::Receiver<bool>) {
    let mut signals = shop.turn().signals(stop);
    shop.reopen_deployments().await;
    if shop.store().ledger().is_err() {
        // Nothing can be said, so nothing is worked on: what is wrong was said when it opened.
        return;
    }
    while !signals.stopping() {
        let more = shop.notified();
        let next = match begin_next(&shop).await {
            Ok(next) => next,
            Err(error) => return shop.halt(error),
        };
        match next {
            Some(order) => {
                let driven = drive(&shop, &order, &mut signals).await;
                shop.turn().end();
                if let Err(error) = driven {
                    return shop.halt(error);
                }
            }
            None => {
                tokio::select! {
                    () = more => {}
                    () = signals.stopped() => {}
                }
            }
        }
    }
}

/// The oldest order that is queued; it is its turn now.
async fn begin_next(shop: &Workshop) -> Result<Option<OrderRow>, WorkshopError> {
    let _deciding = shop.turn().decide().await;
    let next = shop.store().unfinished().await?.into_iter().next();
    if let Some(order) = &next {
        shop.turn().begin(&order.id);
    }
    Ok(next)
}

/// Runs the order to its end, to its failure, or until stopped or set aside.
///
/// # Errors
/// Only when the store cannot be written, so that nothing more can be recorded.
async fn drive(
    shop: &Workshop,
    order: &OrderRow,
    signals: &mut Signals,
) -> Result<(), WorkshopError> {
    shop.apply(&[Change::OrderIs {
        order: order.id.clone(),
        state: OrderState::Running,
        at_ms: now_ms(),
    }])
    .await?;
    let rows = shop.store().steps(&order.id).await?;
    let pack: Pack = match crate::store::orders::parse("an order's pack", &order.spec) {
        Ok(pack) => pack,
        // Placed by another version: this order cannot go on, the others can.
        Err(error) => return fail(shop, &order.id, StepName::Model, error.into()).await,
    };
    let mut context = Context {
        shop: shop.clone(),
        order: order.clone(),
        pack,
        upstream: BTreeMap::new(),
        links: BTreeMap::new(),
        withdrawn: WithdrawnData::now(shop).await?,
    };
    for row in &rows {
        let step = row.name;
        let result = match signals.pausing() {
            true => Err(Halt::Paused),
            false => advance(&mut context, row, signals).await,
        };
        shop.forget_progress(&order.id);
        match result {
            Ok(made) => {
                context.upstream.insert(step, made);
            }
            Err(Halt::Failed(error)) => {
                return fail(shop, &order.id, step, error).await;
            }
            Err(Halt::Stopped) => return requeue(shop, &order.id, step).await,
            Err(Halt::Waits(error)) => return wait(shop, &order.id, step, error).await,
            Err(Halt::Paused) => return set_aside(shop, &order.id, row).await,
        }
    }
    shop.apply(&[Change::OrderIs {
        order: order.id.clone(),
        state: OrderState::Done,
        at_ms: now_ms(),
    }])
    .await
}

async fn fail(
    shop: &Workshop,
    order: &OrderId,
    step: StepName,
    error: StepError,
) -> Result<(), WorkshopError> {
    shop.apply(&[Change::StepFails {
        order: order.clone(),
        step,
        error,
        at_ms: now_ms(),
    }])
    .await
}

/// Sets an order aside until somebody decides; its log says what is needed.
async fn wait(
    shop: &Workshop,
    order: &OrderId,
    step: StepName,
    error: StepError,
) -> Result<(), WorkshopError> {
    let at_ms = now_ms();
    shop.apply(&[
        Change::StepWaits {
            order: order.clone(),
            step,
            at_ms: Some(at_ms),
        },
        Change::OrderIs {
            order: order.clone(),
            state: OrderState::Waiting,
            at_ms,
        },
        Change::Log {
            order: order.clone(),
            step,
            text: format!("{}; {}", error.text, error.next),
            at_ms,
        },
    ])
    .await
}

/// Sets an order aside until somebody resumes it; the interrupted step keeps its checkpoints.
async fn set_aside(shop: &Workshop, order: &OrderId, row: &StepRow) -> Result<(), WorkshopError> {
    let at_ms = now_ms();
    let mut changes = vec![
        Change::OrderIs {
            order: order.clone(),
            state: OrderState::Paused,
            at_ms,
        },
        Change::Log {
            order: order.clone(),
            step: row.name,
            text: format!("paused; lathe order resume {order}"),
            at_ms,
        },
    ];
    if !matches!(row.state, StepState::Done | StepState::Reused) {
        changes.push(Change::StepWaits {
            order: order.clone(),
            step: row.name,
            at_ms: Some(at_ms),
        });
    }
    shop.apply(&changes).await
}

/// Puts an interrupted order back as it will be found by the next daemon.
async fn requeue(shop: &Workshop, order: &OrderId, step: StepName) -> Result<(), WorkshopError> {
    shop.apply(&[
        Change::StepWaits {
            order: order.clone(),
            step,
            at_ms: Some(now_ms()),
        },
        Change::OrderIs {
            order: order.clone(),
            state: OrderState::Queued,
            at_ms: now_ms(),
        },
    ])
    .await
}

/// Brings one step to its end: kept, taken over, or run.
async fn advance(
    context: &mut Context,
    row: &StepRow,
    signals: &mut Signals,
) -> Result<Made, Halt> {
    let step = steps::worker_step(row.name);
    refuse_withdrawn(context, row.name)?;
    if let Some(made) = kept(context, row) {
        if let Some(step) = step {
            let say = says(context, row.name, step, &made).await?;
            let link = match say {
                Some(say) => Some(
                    context
                        .shop
                        .apply_said(|speaker| {
                            let link = say(speaker)?;
                            Ok((Vec::new(), link))
                        })
                        .await?,
                ),
                None => None,
            };
            context.links.extend(link.map(|link| (row.name, link)));
        }
        return Ok(made);
    }
    match step {
        Some(step) => {
            let (made, link) = advance_worker(context, row.name, step, signals).await?;
            context.links.extend(link.map(|link| (row.name, link)));
            Ok(made)
        }
        None => steps::run_in_daemon(context, row.name).await,
    }
}

/// Stops before data is fetched whose agreement was withdrawn, and before a file is read that was.
fn refuse_withdrawn(context: &Context, name: StepName) -> Result<(), WorkshopError> {
    let Some(of) = context.pack.data_of(name) else {
        return Ok(());
    };
    let (data, withdrawn) = (of.spec, &context.withdrawn);
    if name == of.fetched {
        return withdrawn.refuse_agreement(&data.name, data.agreement.as_deref());
    }
    if name != of.prepared {
        return Ok(());
    }
    let file = &context.made(of.fetched)?.output.facts;
    let file = file.get("sha256").and_then(|it| it.as_str());
    match file.and_then(|it| it.parse().ok()) {
        Some(file) => withdrawn.refuse_file(&data.name, &file),
        None => Ok(()),
    }
}

/// What the step says of what it made; reads the artifact, so not on an async thread.
async fn says(
    context: &Context,
    name: StepName,
    step: &'static WorkerStep,
    made: &Made,
) -> Result<Option<Say>, Halt> {
    let Some(text) = made.artifact.clone() else {
        return Ok(None);
    };
    let digest = steps::digest(&text)?;
    let (context, output) = (context.clone(), made.output.clone());
    let said = reach::spawn_blocking(move || (step.says)(&context, digest, &output))
        .await
        .map_err(|error| crashed(name, &error))??;
    Ok(said)
}

/// What this order's finished step left, if it is all still there.
fn kept(context: &Context, row: &StepRow) -> Option<Made> {
    let finished = matches!(row.state, StepState::Done | StepState::Reused);
    let output = row.output.clone().filter(|_| finished)?;
    let made = Made {
        artifact: row.artifact.clone(),
        output,
    };
    context.present(&made).then_some(made)
}

async fn advance_worker(
    context: &Context,
    name: StepName,
    step: &'static WorkerStep,
    signals: &mut Signals,
) -> Result<(Made, Option<Link>), Halt> {
    let input = input_of(context, name, step).await?;
    if let Some(effect) = context.shop.store().effect(name, &input).await? {
        let made = Made {
            artifact: effect.artifact,
            output: effect.output,
        };
        if context.present(&made) {
            let say = says(context, name, step, &made).await?;
            let link = context.reuse(name, &input, say).await?;
            return Ok((made, link));
        }
    }
    context.begin(name, &input).await?;
    let output = attempt(context, name, &input, signals).await?;
    finish(context, name, step, &input, output).await
}

/// The digest of a step's inputs; local files are hashed for it, so not on an async thread.
async fn input_of(
    context: &Context,
    name: StepName,
    step: &'static WorkerStep,
) -> Result<String, Halt> {
    let context = context.clone();
    let key = reach::spawn_blocking(move || (step.key)(&context))
        .await
        .map_err(|error| crashed(name, &error))??;
    let input = serde_json::json!({ "step": name, "inputs": key });
    Ok(digest_of(&input).to_string())
}

fn crashed(step: StepName, error: &tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("the daemon stumbled in the step {step}: {error}"),
        "this is a mistake in Lathe; please report it with the order's log",
    )
}

/// Runs the worker, again when it crashes, at most [`ATTEMPTS_MAX`] times.
async fn attempt(
    context: &Context,
    name: StepName,
    input: &str,
    signals: &mut Signals,
) -> Result<Output, Halt> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        let out = out_folder(context, name, input);
        blocking_remove(name, out.clone()).await?;
        let ended = listen(context, name, input, signals).await;
        if matches!(ended, Err(Halt::Paused)) {
            // What was half-built is made anew from the checkpoints; this daemon may live long.
            blocking_remove(name, out.clone()).await?;
        }
        match ended? {
            End::Done(output) => return Ok(output),
            End::Failed(error) => return Err(error.into()),
            End::Crashed(error) if attempts == ATTEMPTS_MAX => return Err(error.into()),
            End::Crashed(error) => {
                let text = format!("{}; attempt {} of {ATTEMPTS_MAX}", error.text, attempts + 1);
                context.log(name, text).await?;
            }
        }
    }
}

/// Where the step builds its artifact.
fn out_folder(context: &Context, name: StepName, input: &str) -> PathBuf {
    context.shop.home().tmp().join(folder_name(name, input))
}

/// The name of a step's folders under tmp/ and work/.
pub(crate) fn folder_name(name: StepName, input: &str) -> String {
    format!("{name}-{}", &input[..input.len().min(24)])
}

async fn blocking_remove(name: StepName, folder: PathBuf) -> Result<(), Halt> {
    reach::spawn_blocking(move || objects::remove(&folder))
        .await
        .map_err(|error| crashed(name, &error))??;
    Ok(())
}

/// Starts a worker and stores what it says until it ends.
async fn listen(
    context: &Context,
    name: StepName,
    input: &str,
    signals: &mut Signals,
) -> Result<End, Halt> {
    let job = Job {
        home: context.shop.home().root().to_path_buf(),
        order: context.order.id.clone(),
        step: name,
        pack: context.pack.clone(),
        folder: context.shop.home().away(&context.order.folder),
        offline: context.order.offline,
        demonstration: context.order.demonstration,
        out: out_folder(context, name, input),
        work: context.shop.home().work().join(folder_name(name, input)),
        upstream: context.upstream.clone(),
        withdrawn: context.withdrawn.leaves.clone(),
    };
    let mut running = Running::start(context.shop.worker(), &job).await?;
    loop {
        let event = tokio::select! {
            event = running.next() => event,
            halt = signals.interrupted() => {
                running.stop().await;
                return Err(halt);
            }
        };
        match event {
            Some(event) => hear(context, name, event).await?,
            None => return Ok(running.end().await),
        }
    }
}

async fn hear(context: &Context, name: StepName, event: Event) -> Result<(), WorkshopError> {
    let order = context.order.id.clone();
    match event {
        Event::Progress(progress) => context.shop.note_progress(&order, name, progress),
        Event::Point(point) => {
            context
                .shop
                .apply(&[Change::Point { order, point }])
                .await?;
        }
        Event::Log { text } => context.log(name, text).await?,
        Event::Result(_) | Event::Error(_) => {}
    }
    Ok(())
}

/// Puts the artifact into place, then stores everything in one transaction.
async fn finish(
    context: &Context,
    name: StepName,
    step: &'static WorkerStep,
    input: &str,
    output: Output,
) -> Result<(Made, Option<Link>), Halt> {
    let home = context.shop.home().clone();
    let out = out_folder(context, name, input);
    let sealed = reach::spawn_blocking(move || objects::seal(&home, &out))
        .await
        .map_err(|error| crashed(name, &error))??;
    pause::at(context.shop.home().root(), name, "sealed");
    let registers = (step.registers)(context, &sealed, &output)?;
    let finished = Finished {
        order: context.order.id.clone(),
        step: name,
        input: input.to_owned(),
        output: output.clone(),
        artifact: Some(new_artifact(&sealed)),
        registers,
    };
    let made = Made {
        artifact: Some(sealed.digest.to_string()),
        output,
    };
    let say = says(context, name, step, &made).await?;
    let link = context.done(finished, say).await?;
    pause::at(context.shop.home().root(), name, "stored");
    // The checkpoints have served; a kill before this line leaves them to the next sweep.
    let work = context.shop.home().work().join(folder_name(name, input));
    blocking_remove(name, work).await?;
    Ok((made, link))
}

fn new_artifact(sealed: &Sealed) -> NewArtifact {
    NewArtifact {
        digest: sealed.digest.to_string(),
        manifest: sealed.manifest.clone(),
    }
}

/// Whether the artifact, if there is one, lies in the home.
pub(crate) fn present(objects: &Path, made: &Made) -> bool {
    made.artifact
        .as_ref()
        .is_none_or(|digest| objects.join(digest).is_dir())
}
