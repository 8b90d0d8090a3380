//! Step `tune`: supervised tuning of an adapter on the training records. The
//! artifact is the adapter's folder in PEFT's format; checkpoints lie in the
//! step's work folder and are taken up again after a kill.

use lathe_evidence::Digest;
use lathe_evidence::statement::{DatasetUse, Training};
use lathe_tune::pack::pack;
use lathe_tune::sft::{self, SftJob, TuneEvent};
use serde_json::{Value, json};

use super::compute::{self, Machine, Records};
use super::figures::{figure, grouped, members};
use super::{Context, Say, WorkerStep, digest_figure};
use crate::catalogue::ModelView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::key::digest_of;
use crate::objects::{self, Sealed};
use crate::order::{CurvePoint, Output, StepError, StepName};
use crate::pause;
use crate::store::change::Registration;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key,
    run,
    registers,
    says,
};

/// The fact that names the engine's version.
pub(crate) const ENGINE: &str = "engine";
/// The fact that names the instructions it computed with.
pub(crate) const MACHINE: &str = "machine";

fn key(context: &Context) -> Result<Value, WorkshopError> {
    Ok(json!({
        "model": context.artifact(StepName::Model)?,
        "dataset": context.artifact(StepName::Prepare)?,
        "task": context.pack.task,
        "sft": context.pack.tune.sft,
        "demonstration": context.order.demonstration,
        "machine": compute::kind(),
    }))
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let machine = Machine::load(job, true)?;
    let records = Records::load(job)?;
    let examples = records.train()?;
    let name = compute::model_name(job)?;
    let packed = pack(&machine.model, &examples, &job.pack.tune.sft)?;
    let sft_job = SftJob {
        model: &machine.model,
        pool: &machine.pool,
        packed: &packed,
        start: None,
        spec: &job.pack.tune.sft,
        base_name: &name,
        work_dir: &job.work,
        out_dir: &job.out,
    };
    let mut tokens_per_s = 0.0;
    let outcome = sft::run(&sft_job, &mut |event| {
        tokens_per_s = event.tokens_per_s;
        tell(emit, event);
        if 2 * event.step >= event.steps {
            pause::at(&job.home, StepName::Tune, "half");
        }
    })?;
    for id in outcome.over_long.iter().chain(&outcome.unanswered) {
        emit.log(format!(
            "record {id} kept out: over the cutoff, or without an answer"
        ));
    }
    let (_, weights) = objects::hash_file(&job.out.join("adapter_model.safetensors"))?;
    Ok(Output {
        figure: figure(
            "figure.tune",
            &[
                ("steps", &grouped(outcome.steps)),
                ("loss", &format!("{:.4}", outcome.final_loss)),
                ("speed", &grouped(tokens_per_s.max(0.0) as u64)),
            ],
        ),
        figures: members(json!({
            "steps": outcome.steps,
            "final_loss": outcome.final_loss,
            "tokens": outcome.tokens,
            "examples": outcome.examples,
            "tokens_per_s": tokens_per_s,
            "resumed_from": outcome.resumed_from,
            "batch_order_root": outcome.batch_order_root,
            "weights_sha256": weights,
        })),
        facts: members(json!({
            "name": name,
            ENGINE: compute::engine(),
            MACHINE: compute::instructions(),
        })),
    })
}

fn tell(emit: &mut Emit<'_>, event: &TuneEvent) {
    emit.point(CurvePoint {
        step: event.step,
        steps: event.steps,
        loss: event.loss,
        learning_rate: event.learning_rate,
        tokens_per_s: event.tokens_per_s,
        eta_s: event.eta_s,
    });
    emit.progress_with_eta(event.step, event.steps, "unit.steps", Some(event.eta_s));
}

fn registers(
    context: &Context,
    sealed: &Sealed,
    _: &Output,
) -> Result<Vec<Registration>, WorkshopError> {
    let base = &context.pack.model;
    Ok(vec![Registration::Model(ModelView {
        digest: sealed.digest.to_string(),
        kind: "tuned".to_owned(),
        name: super::deploy::name_of(context),
        source: format!("order:{}", context.order.id),
        licence: base.licence.clone(),
        owner: base.owner.clone(),
        bytes: sealed.bytes,
        demonstration: context.order.demonstration,
        created_ms: now_ms(),
    })])
}

/// Where and by which engine it was tuned: for an order that was brought in, not here.
fn fact(output: &Output, name: &str) -> Option<String> {
    let text = output.facts.get(name)?.as_str()?;
    Some(text.to_owned())
}

/// `training`: how the adapter was tuned.
fn says(
    context: &Context,
    artifact: Digest,
    output: &Output,
) -> Result<Option<Say>, WorkshopError> {
    let steps = output.figures.get("steps").and_then(Value::as_u64);
    let sft = &context.pack.tune.sft;
    let (base, dataset) = (
        context.link(StepName::Model)?,
        context.link(StepName::Prepare)?,
    );
    let prepared = context.made(StepName::Prepare)?;
    let said = Training {
        order: context.order.id.0.clone(),
        stage: "sft".to_owned(),
        base,
        base_model: context.digest(StepName::Model)?,
        datasets: vec![DatasetUse {
            statement: dataset,
            dataset: context.digest(StepName::Prepare)?,
            root: digest_figure(&prepared.output, "root")?,
        }],
        config: digest_of(&json!(sft)),
        seed: sft.seed,
        batch_order_root: digest_figure(output, "batch_order_root")?,
        steps: steps.unwrap_or_default(),
        weights: digest_figure(output, "weights_sha256")?,
        engine: fact(output, ENGINE).unwrap_or_else(compute::engine),
        machine: fact(output, MACHINE).unwrap_or_else(compute::instructions),
        at_ms: 0,
    };
    let name = super::deploy::name_of(context);
    Ok(Some(Box::new(move |speaker| {
        let at_ms = speaker.at_ms();
        speaker.ensure(&name, artifact, Training { at_ms, ..said })
    })))
}
