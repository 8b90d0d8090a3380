//! Step `evaluate`: let the tuned model answer every test record and write the
//! report beside base and challengers. The adapter lies over the packed base
//! exactly as it will be served. The artifact is report.json and the predictions.

use lathe_engine::Adapter;
use lathe_engine::packed_adapter::PackedAdapter;
use lathe_eval::{Assembly, Predictions, assemble, score};
use lathe_evidence::Digest;
use lathe_evidence::report::{Report, Role, Subject};
use lathe_evidence::statement::Evaluation;
use lathe_register::chain;
use serde_json::{Map, Value, json};

use super::compute::{self, Machine, Records};
use super::figures::{figure_by, grouped, members, metrics_line};
use super::{Context, Say, WorkerStep, chat, read_json, write_json};
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::key::digest_of;
use crate::objects::{self, Sealed};
use crate::order::{Output, StepError, StepName};
use crate::store::change::Registration;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key,
    run,
    registers,
    says,
};

/// The report's file in the artifact.
pub(crate) const REPORT: &str = "report.json";

fn key(context: &Context) -> Result<Value, WorkshopError> {
    Ok(json!({
        "model": context.artifact(StepName::Model)?,
        "adapter": context.artifact(context.pack.last_stage())?,
        "dataset": context.artifact(StepName::Prepare)?,
        "base": context.artifact(StepName::Base)?,
        "challengers": context.artifact(StepName::Challengers)?,
        "task": context.pack.task,
        "evaluate": context.pack.evaluate,
        "demonstration": context.order.demonstration,
        "machine": compute::answering_kind(),
    }))
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let records = Records::load(job)?;
    let machine = Machine::load(job, false)?;
    let tuned = predict(job, &machine, &records, emit)?;
    tuned.save(&job.out)?;
    let assembly = Assembly {
        task: &records.task,
        records: &records.dataset.prepared.test,
        spec: &job.pack.evaluate,
        base: Some(&super::base::load(job)?),
        tuned: &tuned,
        challengers: &super::challengers::load(job)?,
        demonstration: job.demonstration,
    };
    let report = assemble(&assembly)?;
    write_json(&job.out.join(REPORT), &report)?;
    Ok(output_of(&report, &machine.model.arithmetic()))
}

fn predict(
    job: &Job,
    machine: &Machine,
    records: &Records,
    emit: &mut Emit<'_>,
) -> Result<Predictions, StepError> {
    let folder = job.artifact(job.pack.last_stage())?;
    let adapter = Adapter::load_peft(&folder, &machine.model.config)?;
    let packed = PackedAdapter::new(&machine.model, &adapter);
    let note = format!("{} with the tuned adapter", compute::model_name(job)?);
    if records.is_chat() {
        let tuned = (Role::Tuned, "tuned", &note[..]);
        return chat::predict((machine, Some(&packed)), records, tuned, emit);
    }
    let test = &records.dataset.prepared.test;
    let outputs = compute::answer(job, machine, Some(&packed), &records.task, test, emit)?;
    Ok(score(
        &records.task,
        test,
        &outputs,
        Role::Tuned,
        "tuned",
        &note,
    ))
}

fn output_of(report: &Report, format: &str) -> Output {
    let metrics = |subject: &Subject| {
        let values = subject.metrics.iter();
        values
            .map(|(name, interval)| (name.clone(), interval.value))
            .collect()
    };
    let tuned = report.tuned().map(metrics).unwrap_or_default();
    let all: Map<String, Value> = report
        .subjects
        .iter()
        .map(|subject| (subject.name.clone(), json!(subject.metrics)))
        .collect();
    Output {
        figure: figure_by("figure.evaluate", |lang| {
            vec![
                ("metrics", metrics_line(lang, &tuned)),
                ("records", grouped(report.records as u64)),
            ]
        }),
        figures: members(json!({ "records": report.records, "subjects": all })),
        facts: members(json!({ "format": format })),
    }
}

fn registers(
    context: &Context,
    sealed: &Sealed,
    _: &Output,
) -> Result<Vec<Registration>, WorkshopError> {
    let path = objects::path(context.shop.home(), &sealed.digest.to_string()).join(REPORT);
    let text = std::fs::read_to_string(&path).map_err(|error| io_error("read", &path, &error))?;
    Ok(vec![Registration::Report(text)])
}

/// `evaluation`: what was measured, on what, in the format that is served.
fn says(
    context: &Context,
    artifact: Digest,
    output: &Output,
) -> Result<Option<Say>, WorkshopError> {
    let format = output.facts.get("format").and_then(Value::as_str);
    let path = objects::path(context.shop.home(), &artifact.to_string()).join(REPORT);
    let report: Report = read_json(&path)
        .map_err(|error| WorkshopError::new("report-missing", error.text, error.next))?;
    let tuned = context.pack.last_stage();
    let said = Evaluation {
        order: context.order.id.0.clone(),
        training: Some(context.link(tuned)?),
        base: context.link(StepName::Model)?,
        model: context.digest(tuned)?,
        dataset: context.link(StepName::Prepare)?,
        report: objects::hash_file(&path)?.1,
        format: format.unwrap_or_default().to_owned(),
        task: digest_of(&json!(context.pack.task)),
        challengers: chain::challengers(&report),
        figures: chain::figures(&report, true),
        engine: compute::engine(),
        machine: compute::instructions(),
        at_ms: 0,
    };
    Ok(Some(Box::new(move |speaker| {
        let at_ms = speaker.at_ms();
        speaker.ensure("report", artifact, Evaluation { at_ms, ..said })
    })))
}
