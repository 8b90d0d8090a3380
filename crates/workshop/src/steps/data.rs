//! Step `data`: fetch the data as it is. The artifact is the file itself. `pretrain-data` and
//! `preference-data` are the same for what those stages name.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::fetching::{fetch, keep_fetched, source_key};
use super::figures::{figure, megabytes, members};
use super::{Context, WorkerStep, registers_nothing, says_nothing, stage};
use crate::error::WorkshopError;
use crate::objects;
use crate::order::{Output, StepError, StepName};
use crate::pack::stages::DataOf;
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
    Ok(Output {
        figure: figure(
            "figure.data",
            &[
                ("file", &file),
                ("size", &megabytes(fetched.bytes)),
                ("licence", &spec.licence),
            ],
        ),
        figures: members(json!({
            "file": file,
            "bytes": fetched.bytes,
            "sha256": fetched.sha256,
            "licence": spec.licence,
        })),
        facts: members(json!({ "sha256": fetched.sha256 })),
    })
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
