//! Step `tune`: supervised tuning of an adapter on the training records. The
//! artifact is the adapter's folder in PEFT's format; checkpoints lie in the
//! step's work folder and are taken up again after a kill. On the way the loss on some held-out
//! records is told (`look.rs`).

use lathe_engine::Adapter;
use lathe_tune::pack::pack;
use lathe_tune::sft::AdapterRows;
use serde_json::Map;

use super::compute::{Machine, Records};
use super::stage::{self, Plan};
use super::{WorkerStep, chat, look};
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| stage::key(context, StepName::Tune, &plan(&context.pack)),
    run,
    registers: stage::registers,
    says: |context, artifact, output| {
        let plan = plan(&context.pack);
        stage::says(context, StepName::Tune, &plan, (artifact, output))
    },
};

fn plan(pack: &Pack) -> Plan {
    Plan {
        stage: "sft",
        spec: pack.tune.sft.clone(),
        told: Map::new(),
    }
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let plan = plan(&job.pack);
    plan.spec.check()?;
    let machine = Machine::load(job, true)?;
    let records = Records::load(job)?;
    let (model, pool) = (&machine.model, &machine.pool);
    let packed = match records.is_chat() {
        true => chat::packed(&machine, &records, &plan.spec)?,
        false => pack(model, &records.train()?, &plan.spec)?,
    };
    let adapter = match stage::start(job, &machine)? {
        Some(adapter) => adapter,
        None => Adapter::new(&model.config, &plan.spec.lora(), plan.spec.seed)?,
    };
    let watch = look::watch(&machine, &records, &packed, &plan.spec)?;
    let mut learner = AdapterRows::new(plan.stage, (model, adapter), pool, &packed, &plan.spec);
    stage::learn(job, emit, &mut learner, &plan, watch)
}
