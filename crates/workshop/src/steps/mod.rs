//! The steps of an order, one file each, and the table of them.
//!
//! A step that computes is a [`WorkerStep`]: what it depends on (its key), what
//! it does in the worker, and what it enters into the catalogue. Deploying and
//! asking happen in the daemon, which holds the door.

pub mod ask;
pub mod base;
pub mod challengers;
pub(crate) mod chat;
pub mod compute;
pub mod corrections;
pub mod data;
pub mod deploy;
pub mod evaluate;
pub(crate) mod fetching;
pub(crate) mod figures;
mod look;
pub mod model;
pub mod preference;
pub mod prepare;
pub mod pretrain;
pub(crate) mod register;
pub(crate) mod stage;
pub mod tune;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_data::Source;
use lathe_data::source::Origin;
use lathe_evidence::Digest;
use lathe_evidence::statement::Link;
use serde_json::Value;

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::objects::{self, Sealed};
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::queue::{self, Halt};
use crate::store::change::{Finished, Registration};
use crate::store::orders::OrderRow;
use crate::store::{Change, Speaker};
use crate::withdrawn::WithdrawnData;
use crate::worker::{Emit, Job, Made};
use crate::workshop::Workshop;

/// An order at work: what its steps may look at in the daemon.
#[derive(Clone)]
pub struct Context {
    /// The workshop.
    pub shop: Workshop,
    /// The order.
    pub order: OrderRow,
    /// Its effective pack.
    pub pack: Pack,
    /// What its finished steps left.
    pub upstream: BTreeMap<StepName, Made>,
    /// The statements about what they left.
    pub links: BTreeMap<StepName, Link>,
    /// What was withdrawn: single records are left out.
    pub withdrawn: WithdrawnData,
}

/// What a step says in the ledger, spoken in the transaction that stores what it made.
pub(crate) type Say =
    Box<dyn FnOnce(&mut Speaker<'_>) -> Result<Link, WorkshopError> + Send + 'static>;

/// A step that runs in a worker.
pub struct WorkerStep {
    /// All that the result depends on: neither time nor path.
    pub key: fn(&Context) -> Result<Value, WorkshopError>,
    /// Does the work, writing into `job.out`.
    pub run: fn(&Job, &mut Emit<'_>) -> Result<Output, StepError>,
    /// What its artifact is in the catalogue.
    pub registers: fn(&Context, &Sealed, &Output) -> Result<Vec<Registration>, WorkshopError>,
    /// What is said of its artifact, whose digest is given; nothing for most.
    pub(crate) says: fn(&Context, Digest, &Output) -> Result<Option<Say>, WorkshopError>,
}

/// The step as a worker runs it, or `None` for those of the daemon.
pub fn worker_step(step: StepName) -> Option<&'static WorkerStep> {
    match step {
        StepName::Model => Some(&model::STEP),
        StepName::Data => Some(&data::STEP),
        StepName::PretrainData => Some(&data::OF_PRETRAIN),
        StepName::PreferenceData => Some(&data::OF_PREFERENCE),
        StepName::CorrectionsData => Some(&data::OF_CORRECTIONS),
        StepName::Prepare => Some(&prepare::STEP),
        StepName::PretrainPrepare => Some(&prepare::OF_PRETRAIN),
        StepName::PreferencePrepare => Some(&prepare::OF_PREFERENCE),
        StepName::CorrectionsPrepare => Some(&prepare::OF_CORRECTIONS),
        StepName::Base => Some(&base::STEP),
        StepName::Challengers => Some(&challengers::STEP),
        StepName::Pretrain => Some(&pretrain::STEP),
        StepName::Tune => Some(&tune::STEP),
        StepName::Preference => Some(&preference::STEP),
        StepName::Corrections => Some(&corrections::STEP),
        StepName::Evaluate => Some(&evaluate::STEP),
        StepName::Deploy | StepName::Ask => None,
    }
}

/// Runs a step of the daemon.
pub(crate) async fn run_in_daemon(context: &Context, step: StepName) -> Result<Made, Halt> {
    match step {
        StepName::Deploy => deploy::run(context).await,
        StepName::Ask => ask::run(context).await,
        other => Err(Halt::Failed(StepError {
            code: "step-misplaced".to_owned(),
            text: format!("the step {other} does not run in the daemon"),
            next: "this is a mistake in Lathe; please report it".to_owned(),
        })),
    }
}

/// For steps that enter nothing into the catalogue.
fn registers_nothing(
    _: &Context,
    _: &Sealed,
    _: &Output,
) -> Result<Vec<Registration>, WorkshopError> {
    Ok(Vec::new())
}

/// A digest in the store is always one, unless the file was changed by hand.
pub(crate) fn not_a_digest(text: &str) -> WorkshopError {
    WorkshopError::new(
        "store-unreadable",
        format!("the store holds {text:?} where a digest should stand"),
        "use the version of Lathe that wrote this home",
    )
}

/// A digest as the store writes it.
///
/// # Errors
/// `store-unreadable`.
pub(crate) fn digest(text: &str) -> Result<Digest, WorkshopError> {
    text.parse().map_err(|_| not_a_digest(text))
}

/// For steps that say nothing in the ledger.
fn says_nothing(_: &Context, _: Digest, _: &Output) -> Result<Option<Say>, WorkshopError> {
    Ok(None)
}

/// A figure of a step's output, read as a digest.
fn digest_figure(output: &Output, name: &str) -> Result<Digest, WorkshopError> {
    let text = output.figures.get(name).and_then(Value::as_str);
    text.and_then(|text| text.parse().ok()).ok_or_else(|| {
        WorkshopError::new(
            "store-unreadable",
            format!("a step's output has no digest called {name}"),
            "remove the artifact's folder and run the order again: it is made anew",
        )
    })
}

/// A source as a statement may name it: the path of one machine is withheld.
fn public_source(source: &Source) -> String {
    match &source.origin {
        Origin::File { path } if Path::new(path).is_absolute() => "file:(withheld)".to_owned(),
        _ => source.to_string(),
    }
}

impl Context {
    /// The statement about what an earlier step made.
    ///
    /// # Errors
    /// `order-incomplete` when it said none.
    pub(crate) fn link(&self, step: StepName) -> Result<Link, WorkshopError> {
        self.links.get(&step).copied().ok_or_else(|| {
            WorkshopError::new(
                "order-incomplete",
                format!("the step {step} has no statement in the ledger"),
                "this is a mistake in Lathe; please report it",
            )
        })
    }

    /// What an earlier step left.
    ///
    /// # Errors
    /// `order-incomplete` when it is not finished.
    pub fn made(&self, step: StepName) -> Result<&Made, WorkshopError> {
        self.upstream.get(&step).ok_or_else(|| {
            WorkshopError::new(
                "order-incomplete",
                format!("the step {step} has to be finished first"),
                "this is a mistake in Lathe; please report it",
            )
        })
    }

    /// The digest of the artifact an earlier step made.
    ///
    /// # Errors
    /// `order-incomplete` when it made none.
    pub fn artifact(&self, step: StepName) -> Result<&str, WorkshopError> {
        self.made(step)?.artifact.as_deref().ok_or_else(|| {
            WorkshopError::new(
                "order-incomplete",
                format!("the step {step} left no artifact"),
                "this is a mistake in Lathe; please report it",
            )
        })
    }

    /// The digest of the artifact an earlier step made, as one.
    ///
    /// # Errors
    /// `order-incomplete` when it made none.
    pub(crate) fn digest(&self, step: StepName) -> Result<Digest, WorkshopError> {
        digest(self.artifact(step)?)
    }

    /// The folder of the artifact an earlier step made.
    ///
    /// # Errors
    /// `order-incomplete` when it made none.
    pub fn folder(&self, step: StepName) -> Result<PathBuf, WorkshopError> {
        Ok(objects::path(self.shop.home(), self.artifact(step)?))
    }

    pub(crate) fn present(&self, made: &Made) -> bool {
        queue::present(&self.shop.home().objects(), made)
    }

    pub(crate) async fn begin(&self, step: StepName, input: &str) -> Result<(), WorkshopError> {
        self.shop
            .apply(&[Change::StepBegins {
                order: self.order.id.clone(),
                step,
                input: input.to_owned(),
                at_ms: now_ms(),
            }])
            .await
    }

    /// Takes over an earlier effect; what is said of it stands already, or is said now.
    pub(crate) async fn reuse(
        &self,
        step: StepName,
        input: &str,
        say: Option<Say>,
    ) -> Result<Option<Link>, WorkshopError> {
        let change = Change::StepReuses {
            order: self.order.id.clone(),
            step,
            input: input.to_owned(),
            at_ms: now_ms(),
        };
        self.store(change, say).await
    }

    /// Stores what a step did, and says it.
    pub(crate) async fn done(
        &self,
        finished: Finished,
        say: Option<Say>,
    ) -> Result<Option<Link>, WorkshopError> {
        let change = Change::StepDone {
            finished: Box::new(finished),
            at_ms: now_ms(),
        };
        self.store(change, say).await
    }

    async fn store(&self, change: Change, say: Option<Say>) -> Result<Option<Link>, WorkshopError> {
        let Some(say) = say else {
            self.shop.apply(&[change]).await?;
            return Ok(None);
        };
        let spoken = self.shop.apply_said(|speaker| {
            let link = say(speaker)?;
            Ok((vec![change], link))
        });
        spoken.await.map(Some)
    }

    pub(crate) async fn log(&self, step: StepName, text: String) -> Result<(), WorkshopError> {
        self.shop
            .apply(&[Change::Log {
                order: self.order.id.clone(),
                step,
                text,
                at_ms: now_ms(),
            }])
            .await
    }
}

/// Writes a JSON file of the artifact, readable by people.
fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), StepError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| {
        WorkshopError::new(
            "step-output",
            format!("cannot write {}: {error}", path.display()),
            "this is a mistake in Lathe; please report it",
        )
    })?;
    text.push(b'\n');
    std::fs::write(path, text).map_err(|error| io_error("write", path, &error))?;
    Ok(())
}

/// Reads a JSON file of an artifact.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StepError> {
    let text = std::fs::read(path).map_err(|error| io_error("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| StepError {
        code: "artifact-altered".to_owned(),
        text: format!("{} is not what was written: {error}", path.display()),
        next: "remove its folder and run the order again: it is made anew".to_owned(),
    })
}

/// What follows an error whose text ends with what to do.
pub(crate) const AGAIN: &str = "then run the same command: finished steps are kept";

/// Errors of the crates that do the work, as errors of a step. Their texts end with the next
/// step; the code is theirs.
macro_rules! step_error_from {
    ($($error:ty),+) => {$(
        impl From<$error> for StepError {
            fn from(error: $error) -> Self {
                StepError {
                    code: error.code().to_owned(),
                    text: error.to_string(),
                    next: AGAIN.to_owned(),
                }
            }
        }
    )+};
}

step_error_from!(
    lathe_data::DataError,
    lathe_engine::EngineError,
    lathe_tune::TuneError,
    lathe_eval::EvalError
);
