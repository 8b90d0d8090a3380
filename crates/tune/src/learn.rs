//! The loop of a stage: steps, checkpoints, the log, the watch and what is left at the end.
//!
//! Takes up the newest checkpoint of the same job or starts afresh, runs the plan step by step and
//! leaves a folder:
//!
//! ```text
//! <out folder>/training.json, and what the learner writes
//! ```
//!
//! training.json holds the spec, the loss of every step and the batch-order root; no time and no
//! path, so that the folder's digest says what was learnt and nothing about when and where. Times
//! go to the work folder's trainer_log.jsonl. The work folder may be thrown away afterwards.
//!
//! A step that goes wrong (a loss or gradient that is no number, a loss far above the last ones)
//! takes the run back to its last checkpoint with half the learning rate, and is said
//! ([`course::Setback`]); the fourth one ends it.

pub mod course;
mod watch;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::{Isa, slab};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use self::course::{Course, Eval, Setback};
pub use self::watch::{Measure, Watch};
use crate::TuneError;
use crate::adamw::AdamW;
use crate::batch_order::batch_order_root;
use crate::checkpoint::{self, State};
use crate::clip;
use crate::files::write_durably;
use crate::learner::{Learner, Measured};
use crate::plan::Plan;
use crate::schedule::Schedule;
use crate::spec::SftSpec;
use crate::trainer_log::{LogLine, TrainerLog, clock};

/// Name of the account of the run in the out folder.
pub const TRAINING: &str = "training.json";
const TRAINING_VERSION: u32 = 2;
/// Setbacks of a run before it is given up.
const SETBACKS_MAX: usize = 3;

/// One run.
pub struct Job<'a> {
    /// How.
    pub spec: &'a SftSpec,
    /// The base model's name, for the result.
    pub base_name: &'a str,
    /// Folder for checkpoints and the log; made if absent, kept between attempts.
    pub work_dir: &'a Path,
    /// Folder for the result; made if absent.
    pub out_dir: &'a Path,
    /// What is measured on the way, if anything.
    pub watch: Option<Watch<'a>>,
    /// Where it stands in a chain of stages, if in one.
    pub place: Option<&'a Place>,
}

/// The place of a stage in a chain of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Place {
    /// What the stage was told beside its spec: further members of `spec` in training.json.
    pub told: Map<String, Value>,
    /// The digest of the artifact whose adapter it goes on from, if from one.
    pub previous: Option<Digest>,
}

/// What is told after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneEvent {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean loss of this step, in nats.
    pub loss: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Token rows per second since this process began.
    pub tokens_per_s: f64,
    /// Token rows per second of this step alone, without what was measured after it.
    pub step_tokens_per_s: f64,
    /// Seconds until the last step at that rate.
    pub eta_s: f64,
    /// Whether this attempt went on from a checkpoint.
    pub resumed: bool,
    /// What was measured after this step on records that are not learnt from.
    pub eval: Option<f64>,
    /// The step that the run went back to, where this one went wrong.
    pub set_back_to: Option<u64>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// Steps of the whole run, fewer if it was stopped early.
    pub steps: u64,
    /// Mean loss over the last tenth of the steps (at least one).
    pub final_loss: f64,
    /// Token rows that went through the model in all.
    pub tokens: u64,
    /// Records learnt from.
    pub examples: usize,
    /// Tokens of the shared prefix, 0 if none.
    pub prefix_tokens: usize,
    /// RFC 6962 root over the leaves of every step.
    pub batch_order_root: Digest,
    /// Ids kept out because they are over the cutoff.
    pub over_long: Vec<String>,
    /// Ids kept out because their answer is empty.
    pub unanswered: Vec<String>,
    /// The step this attempt went on from, if any.
    pub resumed_from: Option<u64>,
    /// Checkpoints passed over because their bytes had changed.
    pub damaged_checkpoints: usize,
    /// What was measured on the way, and what went wrong.
    pub course: Course,
    /// The step whose numbers are the result.
    pub step_kept: u64,
}

/// training.json: what was learnt from what, without time or path.
#[derive(Serialize)]
struct Training<'a> {
    version: u32,
    stage: &'static str,
    base: &'a str,
    base_format: &'a str,
    instructions: String,
    spec: Told<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<Digest>,
    examples: usize,
    prefix_tokens: usize,
    tokens: u64,
    steps: u64,
    step_kept: u64,
    losses: &'a [f64],
    #[serde(flatten)]
    course: &'a Course,
    batch_order_root: Digest,
    over_long: &'a [String],
    unanswered: &'a [String],
}

/// A spec, and what the stage was told beside it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    spec: &'a SftSpec,
    #[serde(flatten)]
    told: &'a Map<String, Value>,
}

/// Runs a job. `on` hears of every step.
///
/// Killed at any moment and called again with the same job it goes on from its newest checkpoint
/// and ends with the same bytes.
///
/// # Errors
/// See [`TuneError`]. Checkpoints written before an error are sound.
pub fn run(
    job: &mut Job<'_>,
    learner: &mut dyn Learner,
    on: &mut dyn FnMut(&TuneEvent),
) -> Result<Outcome, TuneError> {
    let mut run = Run::new(job, learner)?;
    while run.goes_on() {
        let event = run.advance()?;
        on(&event);
    }
    run.finish()
}

/// Runs a job as long as `on`, which hears of every step, says so. Broken off it leaves a checkpoint of the last step,
/// from which the same job goes on, and no result.
///
/// # Errors
/// As [`run`].
pub fn run_while(
    job: &mut Job<'_>,
    learner: &mut dyn Learner,
    on: &mut dyn FnMut(&TuneEvent) -> ControlFlow<()>,
) -> Result<Option<Outcome>, TuneError> {
    let mut run = Run::new(job, learner)?;
    while run.goes_on() {
        let event = run.advance()?;
        if on(&event).is_break() {
            return run.save_checkpoint().map(|()| None);
        }
    }
    run.finish().map(Some)
}

/// Runs a job until `step`, or to its end if that comes first, and leaves a checkpoint there; the result is not
/// written. The same job goes on from it.
///
/// # Errors
/// As [`run`].
pub fn run_until(
    job: &mut Job<'_>,
    learner: &mut dyn Learner,
    step: u64,
    on: &mut dyn FnMut(&TuneEvent),
) -> Result<(), TuneError> {
    let mut run = Run::new(job, learner)?;
    while run.optimizer.steps() < step && run.goes_on() {
        let event = run.advance()?;
        on(&event);
    }
    run.save_checkpoint()
}

/// Whether `job` would go on from its checkpoint of `step`, or take that for another run's.
///
/// # Errors
/// When that checkpoint is damaged or cannot be read.
pub fn goes_on_from(job: &Job<'_>, learner: &dyn Learner, step: u64) -> Result<bool, TuneError> {
    checkpoint::is_of(job.work_dir, step, &identity(job, learner))
}

/// A run under way.
struct Run<'r, 'a> {
    job: &'r mut Job<'a>,
    learner: &'r mut dyn Learner,
    plan: Plan,
    schedule: Schedule,
    identity: Digest,
    /// The numbers before the first step, for a setback before the first checkpoint.
    first: Vec<f32>,
    optimizer: AdamW,
    gradients: Vec<f32>,
    log: TrainerLog,
    losses: Vec<f64>,
    course: Course,
    tokens: u64,
    resumed_from: Option<u64>,
    damaged: usize,
    began: Began,
}

/// Where and when this process began.
struct Began {
    at: Instant,
    /// Steps taken by it, those taken again counted again.
    steps: u64,
    tokens: u64,
}

impl<'r, 'a> Run<'r, 'a> {
    fn new(job: &'r mut Job<'a>, learner: &'r mut dyn Learner) -> Result<Self, TuneError> {
        let spec = job.spec;
        spec.check()?;
        for folder in [job.work_dir, job.out_dir] {
            fs::create_dir_all(folder).map_err(TuneError::file("create", folder))?;
        }
        let plan = Plan::new(
            learner.records(),
            spec.batch_records,
            spec.epochs,
            spec.seed,
        );
        let identity = identity(job, learner);
        let found = checkpoint::latest(job.work_dir, &identity)?;
        let resumed_from = found.state.as_ref().map(|state| state.step);
        let len = learner.values().len();
        let mut run = Self {
            schedule: Schedule::new(
                spec.schedule,
                spec.learning_rate,
                spec.warmup_ratio,
                plan.steps(),
            ),
            log: TrainerLog::open(job.work_dir, resumed_from.unwrap_or(0))?,
            first: learner.values().to_vec(),
            optimizer: AdamW::new(spec.adamw(), len),
            gradients: slab::zeros(len),
            job,
            learner,
            plan,
            identity,
            losses: Vec::new(),
            course: Course::default(),
            tokens: 0,
            resumed_from,
            damaged: found.damaged.len(),
            began: Began {
                at: Instant::now(),
                steps: 0,
                tokens: 0,
            },
        };
        if let Some(state) = found.state {
            run.restore(state);
        }
        run.began.tokens = run.tokens;
        Ok(run)
    }

    /// The identity covers the shape of what learns, so that a state that was found also fits.
    fn restore(&mut self, state: State) {
        let State {
            step,
            tokens,
            values,
            first,
            second,
            losses,
            course,
        } = state;
        self.learner
            .change(&mut |_, into| into.copy_from_slice(&values));
        self.optimizer = AdamW::restore(self.job.spec.adamw(), step, first, second);
        self.losses = losses;
        self.course = course;
        self.tokens = tokens;
    }

    fn goes_on(&self) -> bool {
        let patience = self.job.watch.as_ref().and_then(|watch| watch.patience);
        let higher = self.job.watch.as_ref().is_some_and(|watch| watch.higher);
        let stopped = patience.is_some_and(|patience| self.course.stalled(higher) >= patience);
        self.optimizer.steps() < self.plan.steps() && !stopped
    }

    /// The next step, or the way back from one that went wrong.
    fn advance(&mut self) -> Result<TuneEvent, TuneError> {
        let began = Instant::now();
        let step = self.optimizer.steps();
        let batch = self.plan.batches(step).next();
        let batch = batch.expect("the run goes on only below the plan's last step");
        let measured = self.learner.gradients(&batch, &mut self.gradients);
        self.began.steps += 1;
        self.tokens += measured.tokens;
        let grad_norm = clip::norm(self.learner.pool(), &self.gradients);
        if let Some((what, value)) = self.wrong(&measured, grad_norm) {
            return self.set_back(what, value);
        }
        let learning_rate = self.schedule.learning_rate(step) * self.course.slowed();
        let factor = clip::factor(grad_norm, self.job.spec.max_grad_norm);
        let Self {
            learner,
            optimizer,
            gradients,
            ..
        } = self;
        learner.change(&mut |pool, values| {
            optimizer.step(pool, values, gradients, factor, learning_rate);
        });
        self.losses.push(measured.loss);
        let speed = measured.tokens as f64 / began.elapsed().as_secs_f64().max(1e-9);
        let eval = self.watch()?;
        let event = self.event(&measured, (learning_rate, grad_norm, speed), eval);
        self.log.write(&self.log_line(&event))?;
        let step = self.optimizer.steps();
        let due = step.is_multiple_of(self.job.spec.checkpoint_steps);
        if due || step == self.plan.steps() || !self.goes_on() {
            self.save_checkpoint()?;
        }
        Ok(event)
    }

    /// What is wrong with a step, if anything.
    fn wrong(&self, measured: &Measured, grad_norm: f64) -> Option<(&'static str, f64)> {
        let loss = measured.loss;
        if !loss.is_finite() {
            return Some(("loss", loss));
        }
        if !grad_norm.is_finite() {
            return Some(("gradient norm", grad_norm));
        }
        course::spikes(&self.losses, loss).then_some(("loss", loss))
    }

    /// Goes back to the last checkpoint, or to the beginning.
    fn set_back(&mut self, what: &'static str, value: f64) -> Result<TuneEvent, TuneError> {
        let step = self.optimizer.steps() + 1;
        if self.course.setbacks.len() >= SETBACKS_MAX {
            return Err(TuneError::Diverged {
                stage: self.learner.stage(),
                step,
                steps: self.plan.steps(),
                what,
                value,
            });
        }
        let mut setbacks = std::mem::take(&mut self.course.setbacks);
        let tokens = self.tokens;
        match checkpoint::latest(self.job.work_dir, &self.identity)?.state {
            Some(state) => self.restore(state),
            None => {
                let first = &self.first;
                self.learner
                    .change(&mut |_, into| into.copy_from_slice(first));
                self.optimizer = AdamW::new(self.job.spec.adamw(), self.first.len());
                self.losses.clear();
                self.course = Course::default();
            }
        }
        let back_to = self.optimizer.steps();
        setbacks.push(Setback {
            step,
            back_to,
            what: what.to_owned(),
            value,
        });
        (self.course.setbacks, self.tokens) = (setbacks, tokens);
        // What was lost is not tried again in the same way after a kill.
        self.save_checkpoint()?;
        self.log = TrainerLog::open(self.job.work_dir, back_to)?;
        let measured = Measured {
            loss: value,
            tokens: 0,
            preferred: None,
        };
        let event = self.event(&measured, (0.0, 0.0, 0.0), None);
        Ok(TuneEvent {
            set_back_to: Some(back_to),
            ..event
        })
    }

    /// Measures where it is time to, and keeps the best numbers.
    fn watch(&mut self) -> Result<Option<f64>, TuneError> {
        let step = self.optimizer.steps();
        let Some(watch) = &mut self.job.watch else {
            return Ok(None);
        };
        if !step.is_multiple_of(watch.every.max(1)) && step != self.plan.steps() {
            return Ok(None);
        }
        let value = (watch.measure)(self.learner)?;
        if watch.only_told {
            return Ok(Some(value));
        }
        let (keep_best, higher) = (watch.keep_best, watch.higher);
        self.course.evals.push(Eval { step, value });
        if keep_best
            && self
                .course
                .best(higher)
                .is_some_and(|best| best.step == step)
        {
            checkpoint::save_best(
                self.job.work_dir,
                &self.identity,
                step,
                self.learner.values(),
            )?;
            checkpoint::prune_bests(self.job.work_dir, higher, Some(step))?;
        }
        Ok(Some(value))
    }

    fn save_checkpoint(&self) -> Result<(), TuneError> {
        let state = checkpoint::Moment {
            step: self.optimizer.steps(),
            tokens: self.tokens,
            values: self.learner.values(),
            first: self.optimizer.first(),
            second: self.optimizer.second(),
            losses: &self.losses,
            course: &self.course,
        };
        let keep = self.job.spec.checkpoints_kept;
        checkpoint::save(self.job.work_dir, &self.identity, &state, keep)?;
        match &self.job.watch {
            Some(watch) if watch.keep_best => {
                checkpoint::prune_bests(self.job.work_dir, watch.higher, None)
            }
            _ => Ok(()),
        }
    }

    /// Tokens per second since this process began, and seconds to go.
    fn pace(&self) -> (f64, f64) {
        let elapsed_s = self.began.at.elapsed().as_secs_f64().max(1e-9);
        let left = self.plan.steps() - self.optimizer.steps();
        let tokens_per_s = (self.tokens - self.began.tokens) as f64 / elapsed_s;
        let a_step_s = elapsed_s / self.began.steps.max(1) as f64;
        (tokens_per_s, a_step_s * left as f64)
    }

    fn event(
        &self,
        measured: &Measured,
        (learning_rate, grad_norm, step_tokens_per_s): (f64, f64, f64),
        eval: Option<f64>,
    ) -> TuneEvent {
        let (tokens_per_s, eta_s) = self.pace();
        TuneEvent {
            step: self.optimizer.steps(),
            steps: self.plan.steps(),
            loss: measured.loss,
            learning_rate,
            grad_norm,
            tokens_per_s,
            step_tokens_per_s,
            eta_s,
            resumed: self.resumed_from.is_some(),
            eval,
            set_back_to: None,
        }
    }

    fn log_line(&self, event: &TuneEvent) -> LogLine {
        let TuneEvent { step, steps, .. } = *event;
        LogLine {
            current_steps: step,
            total_steps: steps,
            loss: event.loss,
            eval_loss: event.eval.filter(|_| self.measures_loss()),
            eval_metric: event.eval.filter(|_| !self.measures_loss()),
            lr: event.learning_rate,
            epoch: step as f64 / self.plan.steps_per_epoch() as f64,
            percentage: 100.0 * step as f64 / steps as f64,
            elapsed_time: clock(self.began.at.elapsed()),
            remaining_time: clock(Duration::from_secs_f64(event.eta_s)),
            throughput: event.tokens_per_s,
            total_tokens: self.tokens,
        }
    }

    fn measures_loss(&self) -> bool {
        self.job.watch.as_ref().is_some_and(|watch| !watch.higher)
    }

    /// Takes up the best numbers if they are asked for, and writes the result.
    fn finish(self) -> Result<Outcome, TuneError> {
        let steps = self.optimizer.steps();
        let mut step_kept = steps;
        let watch = self.job.watch.as_ref().filter(|watch| watch.keep_best);
        if let Some(best) = watch.and_then(|watch| self.course.best(watch.higher))
            && best.step != steps
        {
            let values = checkpoint::best(self.job.work_dir, &self.identity, best.step)?;
            self.learner
                .change(&mut |_, into| into.copy_from_slice(&values));
            step_kept = best.step;
        }
        let account = self.learner.account();
        let leaf = |record: usize| self.learner.leaf(record);
        let outcome = Outcome {
            steps,
            final_loss: tail_mean(&self.losses),
            tokens: self.tokens,
            examples: self.learner.records(),
            prefix_tokens: account.prefix_tokens,
            batch_order_root: batch_order_root(&self.plan, steps, &leaf),
            over_long: account.over_long,
            unanswered: account.unanswered,
            resumed_from: self.resumed_from,
            damaged_checkpoints: self.damaged,
            course: self.course,
            step_kept,
        };
        self.learner.save(self.job.out_dir, self.job.base_name)?;
        let alone = Place::default();
        let place = self.job.place.unwrap_or(&alone);
        let training = Training {
            version: TRAINING_VERSION,
            stage: self.learner.stage(),
            base: self.job.base_name,
            base_format: &account.base_format,
            instructions: Isa::detect().to_string(),
            spec: Told {
                spec: self.job.spec,
                told: &place.told,
            },
            previous: place.previous,
            examples: outcome.examples,
            prefix_tokens: outcome.prefix_tokens,
            tokens: outcome.tokens,
            steps,
            step_kept,
            losses: &self.losses,
            course: &outcome.course,
            batch_order_root: outcome.batch_order_root,
            over_long: &outcome.over_long,
            unanswered: &outcome.unanswered,
        };
        let mut text = serde_json::to_string_pretty(&training).expect("an account is plain JSON");
        text.push('\n');
        write_durably(&self.job.out_dir.join(TRAINING), text.as_bytes())?;
        Ok(outcome)
    }
}

/// What a checkpoint has to agree on to be taken up: spec, learner, watch and machine kind.
fn identity(job: &Job<'_>, learner: &dyn Learner) -> Digest {
    let mut hasher = Hasher::new();
    let spec = serde_json::to_string(job.spec).expect("a spec is plain JSON");
    let watch = job.watch.as_ref().filter(|watch| !watch.only_told);
    let watch = watch.map(Watch::described).unwrap_or_default();
    let machine = Isa::detect().to_string();
    for text in [&spec, learner.stage(), &watch, &machine] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    learner.identify(&mut hasher);
    hasher.finish()
}

/// Mean over the last tenth, at least the last one.
fn tail_mean(losses: &[f64]) -> f64 {
    let tail = &losses[losses.len() - losses.len().div_ceil(10)..];
    tail.iter().sum::<f64>() / tail.len() as f64
}

#[cfg(test)]
mod tests;
