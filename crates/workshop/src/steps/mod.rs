//! The steps of an order, one file each, and the table of them.
//!
//! A step that computes is a [`WorkerStep`]: what it depends on (its key), what
//! it does in the worker, and what it enters into the catalogue. Deploying and
//! asking happen in the daemon, which holds the door.

pub mod ask;
pub mod base;
pub mod challengers;
pub mod compute;
pub mod data;
pub mod deploy;
pub mod evaluate;
pub mod model;
pub mod prepare;
pub mod tune;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_data::Source;
use lathe_data::fetch::{Environment, FetchOptions, Fetched};
use lathe_data::source::Origin;
use lathe_evidence::Digest;
use serde_json::{Map, Value};

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::objects::{self, Sealed};
use crate::order::{Output, StepError, StepName, Title};
use crate::pack::Pack;
use crate::queue::{self, Halt};
use crate::store::Change;
use crate::store::change::{Finished, Registration};
use crate::store::orders::OrderRow;
use crate::words::{self, Lang};
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
}

/// A step that runs in a worker.
pub struct WorkerStep {
    /// All that the result depends on: neither time nor path.
    pub key: fn(&Context) -> Result<Value, WorkshopError>,
    /// Does the work, writing into `job.out`.
    pub run: fn(&Job, &mut Emit<'_>) -> Result<Output, StepError>,
    /// What its artifact is in the catalogue.
    pub registers: fn(&Context, &Sealed, &Output) -> Result<Vec<Registration>, WorkshopError>,
}

/// The step as a worker runs it, or `None` for those of the daemon.
pub fn worker_step(step: StepName) -> Option<&'static WorkerStep> {
    match step {
        StepName::Model => Some(&model::STEP),
        StepName::Data => Some(&data::STEP),
        StepName::Prepare => Some(&prepare::STEP),
        StepName::Base => Some(&base::STEP),
        StepName::Challengers => Some(&challengers::STEP),
        StepName::Tune => Some(&tune::STEP),
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

impl Context {
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

    pub(crate) async fn reuse(&self, step: StepName, input: &str) -> Result<(), WorkshopError> {
        self.shop
            .apply(&[Change::StepReuses {
                order: self.order.id.clone(),
                step,
                input: input.to_owned(),
                at_ms: now_ms(),
            }])
            .await
    }

    pub(crate) async fn done(&self, finished: Finished) -> Result<(), WorkshopError> {
        self.shop
            .apply(&[Change::StepDone {
                finished: Box::new(finished),
                at_ms: now_ms(),
            }])
            .await
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

/// What identifies a source in a key: the pinned digest; for an unpinned local file or folder what
/// it holds now; for an unpinned remote one its text, which names a version.
fn source_key(
    source: &Source,
    sha256: Option<Digest>,
    folder: &Path,
) -> Result<Value, WorkshopError> {
    let local = || -> Result<Option<Digest>, WorkshopError> {
        let Some(path) = local_path(source, folder) else {
            return Ok(None);
        };
        let digest = if path.is_dir() {
            objects::manifest_of(&path)?.digest()
        } else {
            objects::hash_file(&path)?.1
        };
        Ok(Some(digest))
    };
    let content = match sha256 {
        Some(digest) => Some(digest),
        None => local()?,
    };
    Ok(serde_json::json!({ "source": source, "sha256": content }))
}

/// Where a `file:` source lies; `None` for the others.
fn local_path(source: &Source, folder: &Path) -> Option<PathBuf> {
    match &source.origin {
        Origin::File { path } => Some(folder.join(path)),
        _ => None,
    }
}

/// Fetches into the home's cache, telling progress in bytes.
fn fetch(
    job: &Job,
    source: &Source,
    sha256: Option<Digest>,
    emit: &mut Emit<'_>,
) -> Result<Fetched, StepError> {
    let options = FetchOptions {
        cache: job.home()?.cache(),
        offline: job.offline,
        sha256,
        base_dir: job.folder.clone(),
        environment: Environment::of_process(),
    };
    let mut at_hand = String::new();
    let fetched = lathe_data::fetch::fetch(source, &options, &mut |progress| {
        if progress.what != at_hand {
            progress.what.clone_into(&mut at_hand);
            emit.restart();
        }
        emit.progress(progress.done, progress.total.unwrap_or(0), "unit.bytes");
    })?;
    Ok(fetched)
}

/// Puts what was fetched into the artifact: the file, or the folder's plain files.
fn keep_fetched(fetched: &Fetched, out: &Path) -> Result<(), StepError> {
    for (name, path) in files_of(&fetched.path)? {
        objects::link_or_copy(&path, out, &name)?;
    }
    Ok(())
}

/// The file itself, or the files directly in the folder, by name. Hidden ones are left out.
fn files_of(path: &Path) -> Result<BTreeMap<String, PathBuf>, WorkshopError> {
    let paths = if path.is_dir() {
        objects::entries(path)?
    } else {
        vec![path.to_path_buf()]
    };
    Ok(paths
        .into_iter()
        .filter(|path| path.is_file())
        .filter_map(|path| Some((path.file_name()?.to_string_lossy().into_owned(), path)))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect())
}

/// A one-line figure in both languages.
pub(crate) fn figure(key: &str, args: &[(&str, &str)]) -> Title {
    Title {
        en: words::get(Lang::En, key, args),
        zh: words::get(Lang::Zh, key, args),
    }
}

/// `12345` as "12,345".
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Bytes for people: "93.1 MB".
pub(crate) fn megabytes(bytes: u64) -> String {
    if bytes < 100_000 {
        return format!("{:.1} kB", bytes as f64 / 1e3);
    }
    format!("{:.1} MB", bytes as f64 / 1e6)
}

/// The members of a JSON object, for figures and facts.
pub(crate) fn members(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        other => Map::from_iter([("value".to_owned(), other)]),
    }
}

/// Writes a JSON file of the artifact, readable by people.
fn write_json<T: serde::Serialize>(path: &Path, value: &T) -> Result<(), StepError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| StepError {
        code: "step-output".to_owned(),
        text: format!("cannot write {}: {error}", path.display()),
        next: "this is a mistake in Lathe; please report it".to_owned(),
    })?;
    text.push(b'\n');
    std::fs::write(path, text).map_err(|error| crate::home::io_error("write", path, &error))?;
    Ok(())
}

/// Reads a JSON file of an artifact.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, StepError> {
    let text = std::fs::read(path).map_err(|error| crate::home::io_error("read", path, &error))?;
    serde_json::from_slice(&text).map_err(|error| StepError {
        code: "artifact-altered".to_owned(),
        text: format!("{} is not what was written: {error}", path.display()),
        next: "remove its folder and run the order again: it is made anew".to_owned(),
    })
}

/// Errors of the crates that do the work, as errors of a step. Their texts end with the next
/// step; the code is theirs.
macro_rules! step_error_from {
    ($($error:ty),+) => {$(
        impl From<$error> for StepError {
            fn from(error: $error) -> Self {
                StepError {
                    code: error.code().to_owned(),
                    text: error.to_string(),
                    next: "then run the same command: finished steps are kept".to_owned(),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(3708), "3,708");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(megabytes(93_123_456), "93.1 MB");
        assert_eq!(megabytes(1_500), "1.5 kB");
    }
}
