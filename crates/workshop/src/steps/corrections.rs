//! Step `corrections`: the adapter goes on from the last stage and learns what people said the right
//! answers would have been. Only where an order was placed to learn some (`feedback::retune`). The
//! artifact is the adapter's folder.
//!
//! A correction whose question is among the held-out records of the pack is kept out: the model is
//! measured by those. Of a conversation the correction alone is learnt, none of the answers before it.

use lathe_data::dataset::Dataset;
use lathe_data::task::Task;
use lathe_engine::Adapter;
use lathe_tune::chat::Conversations;
use lathe_tune::pack::{Packed, Row};
use lathe_tune::sft::AdapterRows;
use serde_json::{Map, json};

use super::compute::Machine;
use super::stage::{self, HeldOut, Plan};
use super::{WorkerStep, chat};
use crate::error::WorkshopError;
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::pack::corrections::CorrectionsSpec;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| stage::key(context, StepName::Corrections, &plan(&context.pack)?),
    run,
    registers: stage::registers,
    says: |context, artifact, output| {
        let plan = plan(&context.pack)?;
        stage::says(context, StepName::Corrections, &plan, (artifact, output))
    },
};

fn plan(pack: &Pack) -> Result<Plan, WorkshopError> {
    let spec = pack.tune.corrections.as_ref();
    let spec = spec.ok_or_else(|| stage::not_asked(StepName::Corrections))?;
    Ok(Plan {
        stage: "sft",
        spec: spec.learn.over(&pack.tune.sft),
        told: Map::from_iter([("of".to_owned(), json!("corrections"))]),
    })
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let plan = plan(&job.pack)?;
    plan.spec.check()?;
    let machine = Machine::load(job, true)?;
    let (model, pool) = (&machine.model, &machine.pool);
    let rows = rows(job, &machine, emit)?;
    let packed = Packed::of(rows, &chat::within(&plan.spec, model.config.context))?;
    let adapter = match stage::start(job, &machine)? {
        Some(adapter) => adapter,
        None => Adapter::new(&model.config, &plan.spec.lora(), plan.spec.seed)?,
    };
    let mut learner = AdapterRows::new(plan.stage, (model, adapter), pool, &packed, &plan.spec);
    stage::learn(job, emit, &mut learner, &plan, None)
}

/// The corrected conversations that are learnt.
fn rows(job: &Job, machine: &Machine, emit: &mut Emit<'_>) -> Result<Vec<Row>, StepError> {
    let task = Task::new(CorrectionsSpec::task())?;
    let held_out = HeldOut::load(job)?;
    let dataset = Dataset::load(&job.artifact(StepName::CorrectionsPrepare)?)?;
    let conversations = Conversations::new(&machine.model, &task)?;
    let train = &dataset.prepared.train;
    let mut rows = Vec::new();
    for sealed in train {
        let asked = task.render(sealed)?.prompt;
        if !held_out.says(sealed, &asked, emit) {
            rows.extend(conversations.rows(sealed)?);
        }
    }
    if rows.is_empty() {
        return Err(StepError {
            code: "tune-nothing-to-learn".to_owned(),
            text: format!(
                "none of {} corrections is left: each asks what a held-out record does",
                train.len()
            ),
            next: "accept corrections of other questions, then `lathe feedback tune` again"
                .to_owned(),
        });
    }
    Ok(rows)
}
