//! Supervised fine-tuning of an adapter: rows of tokens, some of them supervised.
//!
//! Continued pretraining is the same with every token supervised. The loop is [`crate::learn`]'s;
//! the result is a folder that PEFT loads:
//!
//! ```text
//! <out folder>/adapter_config.json  adapter_model.safetensors  training.json
//! ```

use std::path::Path;

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, LossSum, Model};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::Pool;

use crate::TuneError;
use crate::batching::micro_batches;
use crate::learn;
pub use crate::learn::{Outcome, TRAINING, TuneEvent};
use crate::learner::{Account, Learner, Measured};
use crate::pack::Packed;
pub use crate::spec::SftSpec;

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

/// Tunes an adapter. `on` hears of every step.
///
/// # Errors
/// As [`learn::run`].
pub fn run(job: &SftJob<'_>, on: &mut dyn FnMut(&TuneEvent)) -> Result<Outcome, TuneError> {
    job.spec.check()?;
    let adapter = match job.start {
        Some(adapter) => adapter.clone(),
        None => Adapter::on(job.model, job.pool, &job.spec.lora(), job.spec.seed)?,
    };
    let mut learner = AdapterRows::new("sft", (job.model, adapter), job.pool, job.packed, job.spec);
    let mut job = learn::Job {
        spec: job.spec,
        base_name: job.base_name,
        work_dir: job.work_dir,
        out_dir: job.out_dir,
        watch: None,
        place: None,
    };
    learn::run(&mut job, &mut learner, on)
}

/// An adapter that learns from rows.
pub struct AdapterRows<'a> {
    stage: &'static str,
    model: &'a Model,
    pool: &'a Pool,
    packed: &'a Packed,
    rows_max: usize,
    trainer: Trainer<'a>,
    adapter: Adapter,
    start: Digest,
}

impl<'a> AdapterRows<'a> {
    /// An adapter of a model loaded as trainable, as it starts.
    pub fn new(
        stage: &'static str,
        (model, adapter): (&'a Model, Adapter),
        pool: &'a Pool,
        packed: &'a Packed,
        spec: &SftSpec,
    ) -> Self {
        Self {
            stage,
            model,
            pool,
            packed,
            rows_max: spec.rows_max,
            trainer: Trainer::new(model, pool),
            start: digest(&adapter.values),
            adapter,
        }
    }

    /// Fills the gradient, divided by the supervised tokens of all records whatever the
    /// micro-batches hold of them; returns the summed loss and the token rows computed.
    fn sum(&mut self, records: &[usize], gradients: &mut [f32]) -> (LossSum, u64) {
        gradients.fill(0.0);
        let batches = micro_batches(self.packed, records, self.rows_max);
        let targets = batches.iter().flat_map(|batch| &batch.targets);
        let supervised: f64 = targets.map(|target| f64::from(target.weight)).sum();
        let scale = (1.0 / supervised) as f32;
        let (mut sum, mut tokens) = (LossSum::default(), 0);
        for batch in &batches {
            sum += self
                .trainer
                .loss_and_gradients(&self.adapter, batch, scale, gradients);
            tokens += batch.tokens.len() as u64;
        }
        (sum, tokens)
    }
}

impl Learner for AdapterRows<'_> {
    fn stage(&self) -> &'static str {
        self.stage
    }

    fn pool(&self) -> &Pool {
        self.pool
    }

    fn model(&self) -> &Model {
        self.model
    }

    fn records(&self) -> usize {
        self.packed.rows.len()
    }

    fn leaf(&self, record: usize) -> Digest {
        self.packed.rows.leaf(record)
    }

    fn identify(&self, hasher: &mut Hasher) {
        identify_model(hasher, self.model);
        identify_rows(hasher, self.packed);
        hasher.update(&self.start.0);
    }

    fn values(&self) -> &[f32] {
        &self.adapter.values
    }

    fn change(&mut self, change: &mut dyn FnMut(&Pool, &mut [f32])) {
        change(self.pool, &mut self.adapter.values);
    }

    fn gradients(&mut self, records: &[usize], gradients: &mut [f32]) -> Measured {
        let (sum, tokens) = self.sum(records, gradients);
        Measured {
            loss: sum.mean(),
            tokens,
            preferred: None,
        }
    }

    fn adapter(&self) -> Option<&Adapter> {
        Some(&self.adapter)
    }

    fn save(&self, folder: &Path, base_name: &str) -> Result<(), TuneError> {
        Ok(self.adapter.save_peft(folder, base_name)?)
    }

    fn account(&self) -> Account {
        account(self.model, self.packed)
    }
}

/// What the base model is, and how its weights are kept, for a run's identity.
pub(crate) fn identify_model(hasher: &mut Hasher, model: &Model) {
    for text in [format!("{:?}", model.config), model.identity()] {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
}

/// What rows are learnt from, for a run's identity.
pub(crate) fn identify_rows(hasher: &mut Hasher, packed: &Packed) {
    for row in packed.rows.iter() {
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
}

/// The digest of numbers.
pub(crate) fn digest(values: &[f32]) -> Digest {
    let mut hasher = Hasher::new();
    for value in values {
        hasher.update(&value.to_le_bytes());
    }
    hasher.finish()
}

/// What training.json says of rows on a model.
pub(crate) fn account(model: &Model, packed: &Packed) -> Account {
    Account {
        base_format: model.format_name(),
        tokens: (0..packed.rows.len())
            .map(|at| packed.rows.tokens_len(at) as u64)
            .sum(),
        prefix_tokens: packed.prefix_len,
        over_long: packed.over_long.clone(),
        unanswered: packed.unanswered.clone(),
    }
}

#[cfg(test)]
mod tests;
