//! What the steps that tune share: one adapter goes through all of them.
//!
//! A stage starts from the adapter of the stage before it, the first one from a fresh one (docs/decisions/0008); its
//! artifact is a whole adapter over the base model in PEFT's format. Its statement names the stage
//! before it, so that the last one's leads to all.

use std::collections::HashSet;

use lathe_data::prepare::{Sealed, letters};
use lathe_engine::Adapter;
use lathe_evidence::Digest;
use lathe_evidence::statement::{DatasetUse, PreviousStage, Training};
use lathe_tune::learn::{self, Place, TuneEvent, Watch};
use lathe_tune::learner::Learner;
use lathe_tune::sft::SftSpec;
use serde_json::{Map, Value, json};

use super::compute::{self, Machine, Records};
use super::figures::{figure, grouped, members};
use super::{Context, Say, digest_figure};
use crate::catalogue::ModelView;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::key::digest_of;
use crate::memory;
use crate::objects;
use crate::order::{CurvePoint, Output, StepError, StepName};
use crate::pause;
use crate::store::change::Registration;
use crate::worker::{self, Emit, Job};

/// The fact that names the engine's version.
pub(crate) const ENGINE: &str = "engine";
/// The fact that names the instructions it computed with.
pub(crate) const MACHINE: &str = "machine";

/// A field of fewer letters is not compared with held-out records.
const LETTERS_MIN: usize = 24;

/// How a stage learns, and what it is told beside that.
pub(super) struct Plan {
    /// The stage's name in its statement.
    pub stage: &'static str,
    /// How it learns.
    pub spec: SftSpec,
    /// What it is told beside that.
    pub told: Map<String, Value>,
}

impl Plan {
    /// All of it as one value, as training.json has it.
    fn config(&self) -> Value {
        let mut config = json!(self.spec);
        if let Some(members) = config.as_object_mut() {
            members.extend(self.told.clone());
        }
        config
    }
}

/// For a step of a stage that the pack does not have.
pub(super) fn not_asked(step: StepName) -> WorkshopError {
    WorkshopError::new(
        "step-misplaced",
        format!("the pack does not ask for the step {step}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// What a stage depends on beside the data and the task: how it learns, on what it goes on from.
pub(super) fn key(context: &Context, step: StepName, plan: &Plan) -> Result<Value, WorkshopError> {
    let data = context.pack.data_of(step).ok_or_else(|| not_asked(step))?;
    let mut key = json!({
        "model": context.artifact(StepName::Model)?,
        "dataset": context.artifact(data.prepared)?,
        "task": context.pack.task,
        (plan.stage): plan.config(),
        "demonstration": context.order.demonstration,
        "machine": compute::kind(),
    });
    if let Some(before) = context.pack.stage_before(step) {
        key["start"] = context.artifact(before)?.into();
    }
    if step != StepName::Tune {
        key["held_out"] = context.artifact(StepName::Prepare)?.into();
    }
    Ok(key)
}

/// What the model will be measured by. A stage beside the supervised one reads data of its own, and
/// must not have seen it.
pub(super) struct HeldOut(HashSet<String>);

impl HeldOut {
    /// The held-out records of the pack's own data: their prompts and their longer fields.
    ///
    /// # Errors
    /// The data crate's.
    pub(super) fn load(job: &Job) -> Result<Self, StepError> {
        let records = Records::load(job)?;
        let mut texts = HashSet::new();
        for sealed in &records.dataset.prepared.test {
            texts.insert(letters(&records.task.render(sealed)?.prompt));
            texts.extend(long_fields(sealed));
        }
        Ok(Self(texts))
    }

    /// Whether a record, from which `text` was made, says what a held-out one does; it is told.
    pub(super) fn says(&self, sealed: &Sealed, text: &str, emit: &mut Emit<'_>) -> bool {
        let same = self.0.contains(&letters(text))
            || long_fields(sealed).any(|field| self.0.contains(&field));
        if same {
            let id = &sealed.record.id;
            emit.log(format!(
                "record {id} kept out: it says what a held-out record does"
            ));
        }
        same
    }
}

/// The letters of a record's text fields, those left out that are short enough to be like by chance.
fn long_fields(sealed: &Sealed) -> impl Iterator<Item = String> + '_ {
    let fields = sealed.record.fields.values().filter_map(Value::as_str);
    fields
        .map(letters)
        .filter(|letters| letters.chars().count() >= LETTERS_MIN)
}

/// The adapter that this job's stage starts from, where one made it before.
pub(super) fn start(job: &Job, machine: &Machine) -> Result<Option<Adapter>, StepError> {
    let Some(before) = job.pack.stage_before(job.step) else {
        return Ok(None);
    };
    let folder = job.artifact(before)?;
    Ok(Some(Adapter::load_peft(&folder, &machine.model.config)?))
}

/// Lets `learner` learn as this job's stage; `watch` is what is measured on the way, and only told.
pub(super) fn learn(
    job: &Job,
    emit: &mut Emit<'_>,
    learner: &mut dyn Learner,
    plan: &Plan,
    watch: Option<Watch<'_>>,
) -> Result<Output, StepError> {
    let name = compute::model_name(job)?;
    let before = match job.pack.stage_before(job.step) {
        Some(before) => job.made(before)?.artifact.as_deref(),
        None => None,
    };
    let place = Place {
        told: plan.told.clone(),
        previous: before.map(super::digest).transpose()?,
    };
    let mut run = learn::Job {
        spec: &plan.spec,
        base_name: &name,
        work_dir: &job.work,
        out_dir: &job.out,
        watch,
        place: Some(&place),
    };
    let mut tokens_per_s = 0.0;
    worker::keeps();
    let outcome = learn::run_while(&mut run, learner, &mut |event| {
        tokens_per_s = event.tokens_per_s;
        tell(job, emit, event);
        if 2 * event.step >= event.steps {
            pause::at(&job.home, job.step, "half");
        }
        worker::goes_on()
    })?;
    let Some(outcome) = outcome else {
        worker::leave();
    };
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
                ("loss", &format!("{:.3}", outcome.final_loss)),
                ("speed", &grouped(tokens_per_s.max(0.0).round() as u64)),
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

/// Tells a step. An order has one loss curve, that of the supervised stage where there is one: the losses
/// of the others are not of one kind with it; theirs stand in their training.json.
fn tell(job: &Job, emit: &mut Emit<'_>, event: &TuneEvent) {
    if job.step == job.pack.curve_stage() {
        emit.point(CurvePoint {
            step: event.step,
            steps: event.steps,
            loss: event.loss,
            learning_rate: event.learning_rate,
            tokens_per_s: event.tokens_per_s,
            eta_s: event.eta_s,
            step_tokens_per_s: Some(event.step_tokens_per_s),
            held_out_loss: event.eval,
            memory_bytes: memory::held().map(|it| it.now_bytes),
        });
    }
    emit.progress_with_eta(event.step, event.steps, "unit.steps", Some(event.eta_s));
}

pub(super) fn registers(
    context: &Context,
    sealed: &objects::Sealed,
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

/// The stage whose adapter `step` goes on from, as its statement names it.
fn previous(context: &Context, step: StepName) -> Result<Option<PreviousStage>, WorkshopError> {
    let Some(before) = context.pack.stage_before(step) else {
        return Ok(None);
    };
    Ok(Some(PreviousStage {
        statement: context.link(before)?,
        model: context.digest(before)?,
    }))
}

/// `training`: how the adapter was tuned.
pub(super) fn says(
    context: &Context,
    step: StepName,
    plan: &Plan,
    (artifact, output): (Digest, &Output),
) -> Result<Option<Say>, WorkshopError> {
    let steps = output.figures.get("steps").and_then(Value::as_u64);
    let data = context.pack.data_of(step).ok_or_else(|| not_asked(step))?;
    let prepared = context.made(data.prepared)?;
    let said = Training {
        order: context.order.id.0.clone(),
        stage: plan.stage.to_owned(),
        base: context.link(StepName::Model)?,
        base_model: context.digest(StepName::Model)?,
        datasets: vec![DatasetUse {
            statement: context.link(data.prepared)?,
            dataset: context.digest(data.prepared)?,
            root: digest_figure(&prepared.output, "root")?,
        }],
        previous: previous(context, step)?,
        config: digest_of(&plan.config()),
        seed: plan.spec.seed,
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
