//! Step `challengers`: fit the pack's challengers on the training records and let
//! them answer the test records. The artifact holds one folder of predictions
//! for each that is computed here; published figures stay in the pack.

use std::collections::BTreeMap;

use lathe_eval::challengers::run_linear_ngrams;
use lathe_eval::{ChallengerSpec, Predictions, measure};
use serde_json::{Value, json};

use super::compute::Records;
use super::figures::{figure, figure_by, members, metrics_line};
use super::{Context, WorkerStep, registers_nothing, says_nothing, write_json};
use crate::error::WorkshopError;
use crate::order::{Output, StepError, StepName, Title};
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key,
    run,
    registers: registers_nothing,
    says: says_nothing,
};

/// Metric name → figure.
type Metrics = BTreeMap<String, f64>;

fn key(context: &Context) -> Result<Value, WorkshopError> {
    Ok(json!({
        "dataset": context.artifact(StepName::Prepare)?,
        "task": context.pack.task,
        "challengers": context.pack.evaluate.challengers,
        "version": env!("CARGO_PKG_VERSION"),
    }))
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let records = Records::load(job)?;
    let specs = &job.pack.evaluate.challengers;
    let mut measured: Vec<(String, Metrics)> = Vec::new();
    for (index, spec) in specs.iter().enumerate() {
        let metrics = match spec {
            ChallengerSpec::LinearNgrams(linear) => {
                let prepared = &records.dataset.prepared;
                let predictions =
                    run_linear_ngrams(&records.task, &prepared.train, &prepared.test, linear)?;
                predictions.save(&job.out.join(folder_name(index)))?;
                measure(&records.task, &prepared.test, &predictions)?
            }
            ChallengerSpec::Published(published) => published.metrics.clone(),
        };
        measured.push((spec.name().to_owned(), metrics));
        emit.progress(index as u64 + 1, specs.len() as u64, "unit.parts");
    }
    // A list of its own, so that an order without challengers has an artifact too.
    write_json(&job.out.join("challengers.json"), &measured)?;
    Ok(Output {
        figure: line(&measured),
        figures: members(json!({
            "challengers": measured.iter().cloned().collect::<BTreeMap<_, _>>(),
        })),
        facts: serde_json::Map::new(),
    })
}

/// Names the best by the first metric that the task ranks by.
fn line(measured: &[(String, Metrics)]) -> Title {
    let rank = |metrics: &Metrics| {
        let by = ["pearson_r", "macro_f1"];
        by.iter()
            .find_map(|name| metrics.get(*name).copied())
            .unwrap_or(f64::NEG_INFINITY)
    };
    let best = measured
        .iter()
        .max_by(|a, b| rank(&a.1).total_cmp(&rank(&b.1)));
    match best {
        Some((name, metrics)) => figure_by("figure.challengers", |lang| {
            vec![
                ("name", name.clone()),
                ("metrics", metrics_line(lang, metrics)),
            ]
        }),
        None => figure("figure.challengers-none", &[]),
    }
}

/// The predictions this step stored, in the pack's order.
///
/// # Errors
/// When they are missing or altered.
pub fn load(job: &Job) -> Result<Vec<Predictions>, StepError> {
    let folder = job.artifact(StepName::Challengers)?;
    let specs = job.pack.evaluate.challengers.iter().enumerate();
    specs
        .filter(|(_, spec)| matches!(spec, ChallengerSpec::LinearNgrams(_)))
        .map(|(index, _)| Ok(Predictions::load(&folder.join(folder_name(index)))?))
        .collect()
}

/// A folder for the challenger at this place in the pack; its name is for people and may hold
/// anything.
fn folder_name(index: usize) -> String {
    format!("challenger-{}", index + 1)
}
