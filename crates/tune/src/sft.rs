//! Supervised fine-tuning: the stage.
//!
//! Takes packed examples, takes up the newest checkpoint of the same job or starts afresh, runs the
//! plan step by step and leaves a folder that PEFT loads:
//!
//! ```text
//! <out folder>/adapter_config.json  adapter_model.safetensors  training.json
//! ```
//!
//! training.json holds the spec, the loss of every step and the batch-order root; no time and no
//! path, so that the folder's digest says what was learnt and nothing about when and where. Times
//! go to the work folder's trainer_log.jsonl. The work folder may be thrown away afterwards.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, Model};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::{Isa, Pool};
use serde::{Deserialize, Serialize};

use crate::TuneError;
use crate::adamw::AdamW;
use crate::batch_order::batch_order_root;
use crate::checkpoint::{self, State};
use crate::files::write_durably;
use crate::pack::Packed;
use crate::plan::Plan;
pub use crate::spec::SftSpec;
use crate::step::{StepDone, Stepper};
use crate::trainer_log::{LogLine, TrainerLog, clock};

/// Name of the account of the run in the out folder.
pub const TRAINING: &str = "training.json";
const TRAINING_VERSION: u32 = 1;

/// One run.
pub struct SftJob<'a> {
    /// The base model, loaded as trainable.
    pub model: &'a Model,
    /// The threads to compute on.
    pub pool: &'a Pool,
    /// What is learnt from.
    pub packed: &'a Packed,
    /// The adapter that is tuned on; a fresh one if absent.
    pub start: Option<&'a Adapter>,
    /// How.
    pub spec: &'a SftSpec,
    /// The base model's name, for adapter_config.json.
    pub base_name: &'a str,
    /// Folder for checkpoints and the log; made if absent, kept between attempts.
    pub work_dir: &'a Path,
    /// Folder for the result; made if absent.
    pub out_dir: &'a Path,
}

/// What is told after every step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TuneEvent {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean loss per supervised token of this step, in nats.
    pub loss: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Token rows per second since this process began.
    pub tokens_per_s: f64,
    /// Seconds until the last step at that rate.
    pub eta_s: f64,
    /// Whether this attempt went on from a checkpoint.
    pub resumed: bool,
}

/// How the run ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SftOutcome {
    /// Steps of the whole run.
    pub steps: u64,
    /// Mean loss over the last tenth of the steps (at least one).
    pub final_loss: f64,
    /// Token rows that went through the model in all.
    pub tokens: u64,
    /// Examples trained on.
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
}

/// training.json: what was learnt from what, without time or path.
#[derive(Serialize)]
struct Training<'a> {
    version: u32,
    stage: &'static str,
    base: &'a str,
    base_format: String,
    instructions: String,
    spec: &'a SftSpec,
    examples: usize,
    prefix_tokens: usize,
    tokens: u64,
    steps: u64,
    losses: &'a [f64],
    batch_order_root: Digest,
    over_long: &'a [String],
    unanswered: &'a [String],
}

/// Tunes an adapter. `on` hears of every step.
///
/// Killed at any moment and called again with the same job it goes on from its newest checkpoint
/// and ends with the same bytes.
///
/// # Errors
/// See [`TuneError`]. Checkpoints written before an error are sound.
pub fn run(job: &SftJob<'_>, on: &mut dyn FnMut(&TuneEvent)) -> Result<SftOutcome, TuneError> {
    job.spec.check()?;
    let spec = job.spec;
    let packed = job.packed;
    let plan = Plan::new(
        packed.rows.len(),
        spec.batch_records,
        spec.epochs,
        spec.seed,
    );
    for folder in [job.work_dir, job.out_dir] {
        fs::create_dir_all(folder).map_err(TuneError::file("create", folder))?;
    }
    let identity = identity(job);
    let found = checkpoint::latest(job.work_dir, &identity)?;
    let resumed_from = found.state.as_ref().map(|state| state.step);
    let mut run = Run::new(job, &plan, identity, found.state)?;
    for batch in plan.batches(run.optimizer.steps()) {
        let done = run.step(&batch)?;
        on(&run.event(&done, resumed_from.is_some()));
    }
    let outcome = SftOutcome {
        steps: plan.steps(),
        final_loss: tail_mean(&run.losses),
        tokens: run.tokens,
        examples: packed.rows.len(),
        prefix_tokens: packed.prefix_len,
        batch_order_root: batch_order_root(&plan, &packed.rows),
        over_long: packed.over_long.clone(),
        unanswered: packed.unanswered.clone(),
        resumed_from,
        damaged_checkpoints: found.damaged.len(),
    };
    run.save_result(&outcome)?;
    Ok(outcome)
}

/// A run under way.
struct Run<'a> {
    job: &'a SftJob<'a>,
    plan: &'a Plan,
    identity: Digest,
    adapter: Adapter,
    optimizer: AdamW,
    stepper: Stepper<'a>,
    log: TrainerLog,
    losses: Vec<f64>,
    tokens: u64,
    began: Began,
}

/// Where and when this process began.
struct Began {
    at: Instant,
    step: u64,
    tokens: u64,
}

impl<'a> Run<'a> {
    fn new(
        job: &'a SftJob<'a>,
        plan: &'a Plan,
        identity: Digest,
        state: Option<State>,
    ) -> Result<Self, TuneError> {
        let spec = job.spec;
        let mut adapter = match job.start {
            Some(adapter) => adapter.clone(),
            None => Adapter::new(&job.model.config, &spec.lora(), spec.seed)?,
        };
        let len = adapter.values.len();
        let mut optimizer = AdamW::new(spec.adamw(), len);
        let (mut losses, mut tokens) = (Vec::new(), 0);
        // The identity covers the adapter's shape, so that a state that was found also fits.
        if let Some(state) = state {
            adapter.values = state.values;
            optimizer = AdamW::restore(spec.adamw(), state.step, state.first, state.second);
            (losses, tokens) = (state.losses, state.tokens);
        }
        let trainer = Trainer::new(job.model, job.pool);
        let began = Began {
            at: Instant::now(),
            step: optimizer.steps(),
            tokens,
        };
        Ok(Self {
            stepper: Stepper::new(trainer, job.pool, job.packed, spec, plan.steps(), len),
            log: TrainerLog::open(job.work_dir, began.step)?,
            job,
            plan,
            identity,
            adapter,
            optimizer,
            losses,
            tokens,
            began,
        })
    }

    fn step(&mut self, batch: &[usize]) -> Result<StepDone, TuneError> {
        let done = self
            .stepper
            .step(&mut self.adapter, &mut self.optimizer, batch)?;
        self.losses.push(done.loss);
        self.tokens += done.tokens;
        self.log.write(&self.log_line(&done))?;
        let step = self.optimizer.steps();
        if step.is_multiple_of(self.job.spec.checkpoint_steps) || step == self.plan.steps() {
            self.save_checkpoint()?;
        }
        Ok(done)
    }

    fn save_checkpoint(&self) -> Result<(), TuneError> {
        let state = State {
            step: self.optimizer.steps(),
            tokens: self.tokens,
            values: self.adapter.values.clone(),
            first: self.optimizer.first().to_vec(),
            second: self.optimizer.second().to_vec(),
            losses: self.losses.clone(),
        };
        let keep = self.job.spec.checkpoints_kept;
        checkpoint::save(self.job.work_dir, &self.identity, &state, keep)
    }

    /// Tokens per second since this process began, and seconds to go.
    fn pace(&self) -> (f64, f64) {
        let elapsed_s = self.began.at.elapsed().as_secs_f64().max(1e-9);
        let done = self.optimizer.steps() - self.began.step;
        let left = self.plan.steps() - self.optimizer.steps();
        let tokens_per_s = (self.tokens - self.began.tokens) as f64 / elapsed_s;
        (tokens_per_s, elapsed_s / done.max(1) as f64 * left as f64)
    }

    fn event(&self, done: &StepDone, resumed: bool) -> TuneEvent {
        let (tokens_per_s, eta_s) = self.pace();
        TuneEvent {
            step: self.optimizer.steps(),
            steps: self.plan.steps(),
            loss: done.loss,
            learning_rate: done.learning_rate,
            grad_norm: done.grad_norm,
            tokens_per_s,
            eta_s,
            resumed,
        }
    }

    fn log_line(&self, done: &StepDone) -> LogLine {
        let (throughput, eta_s) = self.pace();
        let (step, steps) = (self.optimizer.steps(), self.plan.steps());
        LogLine {
            current_steps: step,
            total_steps: steps,
            loss: done.loss,
            lr: done.learning_rate,
            epoch: step as f64 / self.plan.steps_per_epoch() as f64,
            percentage: 100.0 * step as f64 / steps as f64,
            elapsed_time: clock(self.began.at.elapsed()),
            remaining_time: clock(Duration::from_secs_f64(eta_s)),
            throughput,
            total_tokens: self.tokens,
        }
    }

    fn save_result(&self, outcome: &SftOutcome) -> Result<(), TuneError> {
        let job = self.job;
        self.adapter.save_peft(job.out_dir, job.base_name)?;
        let training = Training {
            version: TRAINING_VERSION,
            stage: "sft",
            base: job.base_name,
            base_format: job.model.format_name(),
            instructions: Isa::detect().to_string(),
            spec: job.spec,
            examples: outcome.examples,
            prefix_tokens: outcome.prefix_tokens,
            tokens: outcome.tokens,
            steps: outcome.steps,
            losses: &self.losses,
            batch_order_root: outcome.batch_order_root,
            over_long: &outcome.over_long,
            unanswered: &outcome.unanswered,
        };
        let mut text = serde_json::to_string_pretty(&training).expect("an account is plain JSON");
        text.push('\n');
        write_durably(&job.out_dir.join(TRAINING), text.as_bytes())
    }
}

/// What a checkpoint has to agree on to be taken up: spec, tokens, leaves, model and machine kind.
fn identity(job: &SftJob<'_>) -> Digest {
    let mut hasher = Hasher::new();
    let spec = serde_json::to_string(job.spec).expect("a spec is plain JSON");
    let config = format!("{:?}", job.model.config);
    for text in [
        &spec,
        &config,
        &job.model.format_name(),
        &Isa::detect().to_string(),
    ] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    for row in &job.packed.rows {
        hasher.update(&row.leaf.0);
        hasher.update(&(row.tokens.len() as u64).to_le_bytes());
        for (token, weight) in row.tokens.iter().zip(&row.weights) {
            hasher.update(&token.to_le_bytes());
            hasher.update(&weight.to_le_bytes());
        }
        for (place, soft) in &row.soft {
            hasher.update(&(*place as u64).to_le_bytes());
            for (token, share) in soft {
                hasher.update(&token.to_le_bytes());
                hasher.update(&share.to_le_bytes());
            }
        }
    }
    for value in job.start.map_or(&[][..], |adapter| &adapter.values) {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finish()
}

/// Mean over the last tenth, at least the last one.
fn tail_mean(losses: &[f64]) -> f64 {
    let tail = &losses[losses.len() - losses.len().div_ceil(10)..];
    tail.iter().sum::<f64>() / tail.len() as f64
}

#[cfg(test)]
mod tests;
