//! Step `pretrain`: continued pretraining of the adapter on texts of the pack's own further source,
//! before it is tuned on records. Only where the pack asks for it. The artifact is the adapter's folder.

use lathe_data::dataset::Dataset;
use lathe_engine::Adapter;
use lathe_evidence::Digest;
use lathe_tune::sft::AdapterRows;
use lathe_tune::stages::{self, PretrainSpec};

use super::WorkerStep;
use super::compute::Machine;
use super::stage::{self, HeldOut, Plan};
use crate::error::WorkshopError;
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| stage::key(context, StepName::Pretrain, &plan(&context.pack)?),
    run,
    registers: stage::registers,
    says: |context, artifact, output| {
        let plan = plan(&context.pack)?;
        stage::says(context, StepName::Pretrain, &plan, (artifact, output))
    },
};

fn asked(pack: &Pack) -> Result<&PretrainSpec, WorkshopError> {
    let spec = pack.tune.pretrain.as_ref();
    spec.ok_or_else(|| stage::not_asked(StepName::Pretrain))
}

fn plan(pack: &Pack) -> Result<Plan, WorkshopError> {
    let spec = asked(pack)?;
    Ok(Plan {
        stage: "pt",
        spec: spec.learn.over(&pack.tune.sft),
        told: spec.told(),
    })
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let plan = plan(&job.pack)?;
    plan.spec.check()?;
    let machine = Machine::load(job, true)?;
    let (model, pool) = (&machine.model, &machine.pool);
    let texts = texts(job, emit)?;
    let packed = stages::texts(model, &texts, &plan.spec)?;
    let adapter = match stage::start(job, &machine)? {
        Some(adapter) => adapter,
        None => Adapter::new(&model.config, &plan.spec.lora(), plan.spec.seed)?,
    };
    let mut learner = AdapterRows::new(plan.stage, (model, adapter), pool, &packed, &plan.spec);
    stage::learn(job, emit, &mut learner, &plan, None)
}

/// The texts that are learnt, each with its record's id and leaf. What is held out is not among them,
/// neither of these texts nor of the records that the model is measured by.
fn texts(job: &Job, emit: &mut Emit<'_>) -> Result<Vec<(String, Digest, String)>, StepError> {
    let template = asked(&job.pack)?.text()?;
    let held_out = HeldOut::load(job)?;
    let dataset = Dataset::load(&job.artifact(StepName::PretrainPrepare)?)?;
    let mut texts = Vec::new();
    for sealed in &dataset.prepared.train {
        let text = template.fill(&sealed.record)?;
        if !held_out.says(sealed, &text, emit) {
            texts.push((sealed.record.id.clone(), sealed.leaf, text));
        }
    }
    Ok(texts)
}
