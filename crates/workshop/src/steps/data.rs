//! Step `data`: fetch the data as it is. The artifact is the file itself. `pretrain-data` and
//! `preference-data` are the same for what those stages name. The file of `corrections-data` lies in the
//! home before the order is placed, which has the step done (`found`).

use std::path::{Path, PathBuf};

use lathe_data::DataSpec;
use lathe_evidence::Digest;
use serde_json::{Value, json};

use super::fetching::{fetch, keep_fetched, source_key};
use super::figures::{figure, megabytes, members};
use super::{Context, WorkerStep, registers_nothing, says_nothing, stage};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::key::digest_of;
use crate::objects;
use crate::order::{OrderId, Output, StepError, StepName};
use crate::pack::stages::DataOf;
use crate::store::Change;
use crate::store::change::{Finished, NewArtifact};
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::Data),
    run,
    registers: registers_nothing,
    says: says_nothing,
};

/// Of the texts of continued pretraining.
pub const OF_PRETRAIN: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::PretrainData),
    ..STEP
};

/// Of the preference stage.
pub const OF_PREFERENCE: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::PreferenceData),
    ..STEP
};

/// Of corrections.
pub const OF_CORRECTIONS: WorkerStep = WorkerStep {
    key: |context| key(context, StepName::CorrectionsData),
    ..STEP
};

fn key(context: &Context, step: StepName) -> Result<Value, WorkshopError> {
    let data = context.pack.data_of(step);
    let data = data.ok_or_else(|| stage::not_asked(step))?.spec;
    let folder = context.shop.home().away(&context.order.folder);
    source_key(&data.source, data.sha256, &folder)
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let spec = of(job)?.spec;
    let fetched = fetch(job, &spec.source, spec.sha256, emit)?;
    keep_fetched(job, &fetched)?;
    let file = fetched
        .path
        .file_name()
        .map_or(String::new(), |name| name.to_string_lossy().into_owned());
    Ok(found(&file, fetched.bytes, &fetched.sha256, &spec.licence))
}

/// What the step finds of a file.
pub(crate) fn found(file: &str, bytes: u64, sha256: &Digest, licence: &str) -> Output {
    Output {
        figure: figure(
            "figure.data",
            &[
                ("file", file),
                ("size", &megabytes(bytes)),
                ("licence", licence),
            ],
        ),
        figures: members(json!({
            "file": file,
            "bytes": bytes,
            "sha256": sha256,
            "licence": licence,
        })),
        facts: members(json!({ "sha256": sha256 })),
    }
}

/// What an order's step `data` is kept under that fetches this data; `folder` is the pack's.
///
/// # Errors
/// The file system's, of data that lies on this machine and is not pinned.
pub(crate) fn input_of(
    step: StepName,
    spec: &DataSpec,
    folder: &Path,
) -> Result<String, WorkshopError> {
    let inputs = source_key(&spec.source, spec.sha256, folder)?;
    Ok(digest_of(&json!({ "step": step, "inputs": inputs })).to_string())
}

/// The step `corrections-data` of an order that is being placed, done: its file lies in the home already,
/// and nothing fetches it.
///
/// # Errors
/// `data-missing` when the artifact is not one file.
pub(crate) fn already(
    order: &OrderId,
    spec: &DataSpec,
    kept: NewArtifact,
) -> Result<Vec<Change>, WorkshopError> {
    let step = StepName::CorrectionsData;
    let [file] = kept.manifest.files() else {
        return Err(WorkshopError::new(
            "data-missing",
            format!("the corrections {} are not one file", spec.name),
            "make their next version: `lathe feedback dataset NAME`",
        ));
    };
    let inputs = source_key(&spec.source, Some(file.sha256), Path::new(""))?;
    let input = digest_of(&json!({ "step": step, "inputs": inputs })).to_string();
    let (order, at_ms) = (order.clone(), now_ms());
    let begins = Change::StepBegins {
        order: order.clone(),
        step,
        input: input.clone(),
        at_ms,
    };
    let output = found(&file.path, file.size, &file.sha256, &spec.licence);
    let finished = Finished {
        order,
        step,
        input,
        output,
        artifact: Some(kept),
        registers: Vec::new(),
    };
    let done = Change::StepDone {
        finished: Box::new(finished),
        at_ms,
    };
    Ok(vec![begins, done])
}

/// The data that a job's step is about.
///
/// # Errors
/// `step-misplaced` when the pack does not have it.
pub fn of(job: &Job) -> Result<DataOf<'_>, StepError> {
    let data = job.pack.data_of(job.step);
    Ok(data.ok_or_else(|| stage::not_asked(job.step))?)
}

/// The fetched file that a job's step is about.
///
/// # Errors
/// `data-missing` when the source was a folder of several files.
pub fn file(job: &Job) -> Result<PathBuf, StepError> {
    let data = of(job)?;
    let mut files = objects::entries(&job.artifact(data.fetched)?)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(StepError {
            code: "data-missing".to_owned(),
            text: format!("{} is not one file", data.spec.source),
            next: "name one file in `data.source`".to_owned(),
        }),
    }
}
