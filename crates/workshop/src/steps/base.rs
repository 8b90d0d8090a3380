//! Step `base`: let the base model answer a fixed subset of the test records, on
//! the very path on which the tuned model will be measured. The artifact is its
//! predictions.

use lathe_eval::answers::base_subset;
use lathe_eval::{Predictions, measure, score};
use lathe_evidence::report::Role;
use serde_json::{Value, json};

use super::compute::{self, Machine, Records};
use super::figures::{figure_by, grouped, members, metrics_line};
use super::{Context, WorkerStep, chat, registers_nothing, says_nothing};
use crate::error::WorkshopError;
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
    Ok(json!({
        "model": context.artifact(StepName::Model)?,
        "dataset": context.artifact(StepName::Prepare)?,
        "task": context.pack.task,
        "records": context.pack.evaluate.base_records,
        "tokens": context.pack.evaluate.tokens_max,
        "machine": compute::answering_kind(),
    }))
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let records = Records::load(job)?;
    let machine = Machine::load(job, false)?;
    let test = &records.dataset.prepared.test;
    let mut subset = base_subset(test, job.pack.evaluate.base_records);
    let note = format!("{} as it came in", compute::model_name(job)?);
    let predictions = if records.is_chat() {
        // A loss costs no more than a look: of all of them, so that both are compared on the same.
        subset.clone_from(test);
        chat::predict(
            (&machine, None),
            &records,
            (Role::Base, "base", &note),
            emit,
        )?
    } else {
        let outputs = compute::answer(job, &machine, None, &records.task, &subset, emit)?;
        score(&records.task, &subset, &outputs, Role::Base, "base", &note)
    };
    predictions.save(&job.out)?;
    let metrics = measure(&records.task, &subset, &predictions)?;
    Ok(Output {
        figure: figure_by("figure.base", |lang| {
            vec![
                ("metrics", metrics_line(lang, &metrics)),
                ("records", grouped(subset.len() as u64)),
            ]
        }),
        figures: members(json!({ "records": subset.len(), "metrics": metrics })),
        facts: serde_json::Map::new(),
    })
}

/// The predictions this step stored.
///
/// # Errors
/// When they are missing or altered.
pub fn load(job: &Job) -> Result<Predictions, StepError> {
    Ok(Predictions::load(&job.artifact(StepName::Base)?)?)
}
