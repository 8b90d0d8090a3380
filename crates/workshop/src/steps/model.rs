//! Step `model`: fetch the base model and check that it opens.
//!
//! The artifact is the .gguf file, or the folder's files; the weights are not
//! computed with here.

use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::statement::BaseModel;
use serde_json::{Value, json};

use super::fetching::{fetch, keep_fetched, source_key};
use super::figures::{self, figure_by, megabytes, members};
use super::{Context, Say, WorkerStep, digest_figure, public_source};
use crate::catalogue::ModelView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::objects::{self, Sealed};
use crate::order::{Output, StepError};
use crate::store::change::Registration;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key,
    run,
    registers,
    says,
};

fn key(context: &Context) -> Result<Value, WorkshopError> {
    let model = &context.pack.model;
    source_key(
        &model.source,
        model.sha256,
        &context.shop.home().away(&context.order.folder),
    )
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let spec = &job.pack.model;
    let fetched = fetch(job, &spec.source, spec.sha256, emit)?;
    keep_fetched(job, &fetched)?;
    let raw = lathe_engine::open(&weights(&job.out)?)?;
    let name = name_of(job, &fetched.path);
    let parameters = raw.config.parameters();
    Ok(Output {
        figure: figure_by("figure.model", |lang| {
            vec![
                ("name", name.clone()),
                ("parameters", figures::parameters(lang, parameters)),
                ("size", megabytes(fetched.bytes)),
            ]
        }),
        figures: members(json!({
            "name": name,
            "parameters": parameters,
            "bytes": fetched.bytes,
            "sha256": fetched.sha256,
        })),
        facts: members(json!({ "name": name })),
    })
}

/// The pack's name for it, else the file's without its ending.
fn name_of(job: &Job, path: &Path) -> String {
    let stem = || {
        let name = if path.is_dir() {
            path.file_name()
        } else {
            path.file_stem()
        };
        name.map_or("model".into(), |name| name.to_string_lossy().into_owned())
    };
    job.pack.model.name.clone().unwrap_or_else(stem)
}

/// What the engine opens in a model's artifact: its .gguf file, else the folder.
///
/// # Errors
/// When the folder cannot be listed.
pub fn weights(folder: &Path) -> Result<PathBuf, WorkshopError> {
    let gguf = objects::entries(folder)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|ending| ending == "gguf"));
    Ok(gguf.unwrap_or_else(|| folder.to_path_buf()))
}

fn registers(
    context: &Context,
    sealed: &Sealed,
    output: &Output,
) -> Result<Vec<Registration>, WorkshopError> {
    let spec = &context.pack.model;
    let name = output.facts.get("name").and_then(Value::as_str);
    Ok(vec![Registration::Model(ModelView {
        digest: sealed.digest.to_string(),
        kind: "base".to_owned(),
        name: name.unwrap_or("model").to_owned(),
        source: spec.source.to_string(),
        licence: spec.licence.clone(),
        owner: spec.owner.clone(),
        bytes: sealed.bytes,
        demonstration: false,
        created_ms: now_ms(),
    })])
}

/// `base-model`: a model as it came in.
fn says(
    context: &Context,
    artifact: Digest,
    output: &Output,
) -> Result<Option<Say>, WorkshopError> {
    let spec = context.pack.model.clone();
    let name = output.facts.get("name").and_then(Value::as_str);
    let name = name.unwrap_or("model").to_owned();
    let bytes = output.figures.get("bytes").and_then(Value::as_u64);
    let said = BaseModel {
        name: name.clone(),
        source: public_source(&spec.source),
        file: digest_figure(output, "sha256")?,
        licence: spec.licence,
        owner: spec.owner,
        bytes: bytes.unwrap_or_default(),
        at_ms: 0,
    };
    Ok(Some(Box::new(move |speaker| {
        let at_ms = speaker.at_ms();
        speaker.ensure(&name, artifact, BaseModel { at_ms, ..said })
    })))
}
