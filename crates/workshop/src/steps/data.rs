//! Step `data`: fetch the data as it is. The artifact is the file itself.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::fetching::{fetch, keep_fetched, source_key};
use super::figures::{figure, megabytes, members};
use super::{Context, WorkerStep, registers_nothing, says_nothing};
use crate::error::WorkshopError;
use crate::objects;
use crate::order::{Output, StepError, StepName};
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key,
    run,
    registers: registers_nothing,
    says: says_nothing,
};

fn key(context: &Context) -> Result<Value, WorkshopError> {
    let data = &context.pack.data;
    let folder = context.shop.home().away(&context.order.folder);
    source_key(&data.source, data.sha256, &folder)
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let spec = &job.pack.data;
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

/// The fetched file inside the artifact of this step.
///
/// # Errors
/// `data-missing` when the source was a folder of several files.
pub fn file(job: &Job) -> Result<PathBuf, StepError> {
    let mut files = objects::entries(&job.artifact(StepName::Data)?)?;
    match (files.pop(), files.is_empty()) {
        (Some(file), true) => Ok(file),
        _ => Err(StepError {
            code: "data-missing".to_owned(),
            text: format!("{} is not one file", job.pack.data.source),
            next: "name one file in `data.source`".to_owned(),
        }),
    }
}
