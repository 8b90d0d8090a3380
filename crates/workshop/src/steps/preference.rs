//! Step `preference`: the tuned adapter learns to prefer one answer to another, from pairs (DPO) or
//! judged answers (KTO): those of a source of their own, or made by the pack's templates of its
//! training records. Only where the pack asks for it. The artifact is the adapter's folder.

use lathe_data::dataset::Dataset;
use lathe_data::prepare::Sealed;
use lathe_data::task::{Example, Task};
use lathe_data::template::Template;
use lathe_tune::kto::{Kto, KtoSpec};
use lathe_tune::stages::{self, Method, PreferenceSpec};
use lathe_tune::{Dpo, DpoPair, TuneError};

use super::compute::{Machine, Records};
use super::stage::{self, HeldOut, Plan};
use super::{WorkerStep, chat};
use crate::error::WorkshopError;
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::worker::{Emit, Job};

/// This step.
pub const STEP: WorkerStep = WorkerStep {
    key: |context| stage::key(context, StepName::Preference, &plan(&context.pack)?),
    run,
    registers: stage::registers,
    says: |context, artifact, output| {
        let plan = plan(&context.pack)?;
        stage::says(context, StepName::Preference, &plan, (artifact, output))
    },
};

fn asked(pack: &Pack) -> Result<&PreferenceSpec, WorkshopError> {
    let spec = pack.tune.preference.as_ref();
    spec.ok_or_else(|| stage::not_asked(StepName::Preference))
}

fn plan(pack: &Pack) -> Result<Plan, WorkshopError> {
    let spec = asked(pack)?;
    Ok(Plan {
        stage: match spec.method {
            Method::Dpo => "dpo",
            Method::Kto => "kto",
        },
        spec: spec.learn.over(&pack.tune.sft),
        told: spec.told(),
    })
}

fn run(job: &Job, emit: &mut Emit<'_>) -> Result<Output, StepError> {
    let (spec, plan) = (asked(&job.pack)?, plan(&job.pack)?);
    match job.pack.task.chat {
        Some(_) => spec.check_conversations()?,
        None => spec.check()?,
    }
    let machine = Machine::load(job, true)?;
    let (model, pool) = (&machine.model, &machine.pool);
    let start = stage::start(job, &machine)?;
    let records = Answers::load(job, spec)?;
    match spec.method {
        Method::Dpo => {
            let pairs = match records.conversations(job, &machine, emit)? {
                Some(pairs) => pairs,
                None => stages::pairs(model, &records.pairs(emit)?)?,
            };
            let within = chat::within(&plan.spec, model.config.context);
            let mut learner = Dpo::new((model, start.as_ref()), pool, pairs, &within, spec.beta)?;
            stage::learn(job, emit, &mut learner, &plan, None)
        }
        Method::Kto => {
            let judged = stages::judged(model, &records.judged(emit)?)?;
            let kto = KtoSpec {
                beta: spec.beta,
                ..KtoSpec::default()
            };
            let start = (model, start.as_ref());
            let mut learner = Kto::new(start, pool, judged, (&plan.spec, kto))?;
            stage::learn(job, emit, &mut learner, &plan, None)
        }
    }
}

/// Training records, and how a pack makes answers of them.
struct Answers {
    records: Vec<Sealed>,
    held_out: HeldOut,
    task: Task,
    prompt: Template,
    /// The better answer, or the one that was judged; the task's right one where absent.
    answer: Option<Template>,
    /// The other answer, or whether the answer is wanted.
    beside: Option<Template>,
}

impl Answers {
    fn load(job: &Job, spec: &PreferenceSpec) -> Result<Self, StepError> {
        let data = job.pack.data_of(job.step);
        let data = data.ok_or_else(|| stage::not_asked(job.step))?;
        let task = Task::new(job.pack.task.clone())?;
        let templates = spec.templates()?;
        let prompt = match templates.prompt {
            Some(prompt) => prompt,
            None => Template::new("task.prompt", &task.spec().prompt)?,
        };
        let (answer, beside) = match spec.method {
            Method::Dpo => (templates.chosen, templates.rejected),
            Method::Kto => (templates.answer, templates.wanted),
        };
        Ok(Self {
            records: Dataset::load(&job.artifact(data.prepared)?)?.prepared.train,
            held_out: HeldOut::load(job)?,
            task,
            prompt,
            answer,
            beside,
        })
    }

    /// The pairs that records are, where they are conversations. One that asks what the model is
    /// measured by is kept out.
    fn conversations(
        &self,
        job: &Job,
        machine: &Machine,
        emit: &mut Emit<'_>,
    ) -> Result<Option<Vec<DpoPair>>, StepError> {
        if self.task.spec().chat.is_none() {
            return Ok(None);
        }
        let mut learnt = Vec::new();
        for sealed in &self.records {
            let example = self.task.render(sealed)?;
            if !self.held_out.says(sealed, &example.prompt, emit) {
                learnt.push(sealed);
            }
        }
        if learnt.is_empty() {
            return Err(self.nothing());
        }
        chat::pairs(machine, &Records::load(job)?, learnt.into_iter()).map(Some)
    }

    /// Each record with what its other template writes. One that asks what the model is measured by
    /// is kept out.
    fn all(&self, emit: &mut Emit<'_>) -> Result<Vec<(Example, String)>, StepError> {
        let beside = self.beside.as_ref();
        let beside = beside.ok_or_else(|| stage::not_asked(StepName::Preference))?;
        let mut all = Vec::new();
        for sealed in &self.records {
            let example = self.example(sealed)?;
            if !self.held_out.says(sealed, &example.prompt, emit) {
                all.push((example, beside.fill(&sealed.record)?));
            }
        }
        match all.is_empty() {
            true => Err(self.nothing()),
            false => Ok(all),
        }
    }

    fn nothing(&self) -> StepError {
        StepError {
            code: "tune-nothing-to-learn".to_owned(),
            text: format!(
                "none of {} records is left: each has twice the same answer, or says what a held-out \
                 record does",
                self.records.len()
            ),
            next:
                "correct the templates or the data of `tune.preference`, then run the same command"
                    .to_owned(),
        }
    }

    fn example(&self, sealed: &Sealed) -> Result<Example, StepError> {
        let record = &sealed.record;
        Ok(Example {
            leaf: sealed.leaf,
            id: record.id.clone(),
            group: record.group.clone(),
            system: self.task.spec().system.clone(),
            prompt: self.prompt.fill(record)?,
            answer: match &self.answer {
                Some(template) => template.fill(record)?,
                None => self.task.render(sealed)?.answer,
            },
        })
    }

    /// Pairs; a record whose answers are the same prefers nothing and is kept out.
    fn pairs(&self, emit: &mut Emit<'_>) -> Result<Vec<(Example, String)>, StepError> {
        let mut pairs = self.all(emit)?;
        pairs.retain(|(example, rejected)| {
            let differ = example.answer != *rejected;
            if !differ {
                let id = &example.id;
                emit.log(format!("record {id} kept out: both answers are the same"));
            }
            differ
        });
        match pairs.is_empty() {
            true => Err(self.nothing()),
            false => Ok(pairs),
        }
    }

    /// Judged answers.
    fn judged(&self, emit: &mut Emit<'_>) -> Result<Vec<(Example, bool)>, StepError> {
        let judged = self.all(emit)?.into_iter().map(|(example, wanted)| {
            // Templates write their own truth values with a capital.
            let wanted = match wanted.trim().to_lowercase().as_str() {
                "true" => true,
                "false" => false,
                other => {
                    return Err(TuneError::Sample {
                        id: example.id,
                        reason: format!(
                            "tune.preference.wanted writes {other:?}: let it write true or false"
                        ),
                    });
                }
            };
            Ok((example, wanted))
        });
        Ok(judged.collect::<Result<_, TuneError>>()?)
    }
}
