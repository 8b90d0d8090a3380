//! One step of the optimizer: gradients over the micro-batches, clipping, AdamW.

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, LossSum};
use lathe_kernel::Pool;

use crate::TuneError;
use crate::adamw::AdamW;
use crate::batching::micro_batches;
use crate::clip::clip;
use crate::pack::Packed;
use crate::schedule::Schedule;
use crate::spec::SftSpec;

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StepDone {
    /// Mean loss per supervised token, before the step.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Token rows that went through the model.
    pub tokens: u64,
}

/// Takes steps; keeps its buffers from one to the next.
pub(crate) struct Stepper<'a> {
    trainer: Trainer<'a>,
    pool: &'a Pool,
    packed: &'a Packed,
    spec: &'a SftSpec,
    schedule: Schedule,
    steps: u64,
    gradients: Vec<f32>,
}

impl<'a> Stepper<'a> {
    /// A stepper for an adapter of `values` numbers and a run of `steps` steps.
    pub fn new(
        trainer: Trainer<'a>,
        pool: &'a Pool,
        packed: &'a Packed,
        spec: &'a SftSpec,
        steps: u64,
        values: usize,
    ) -> Self {
        let schedule = Schedule::new(spec.schedule, spec.learning_rate, spec.warmup_ratio, steps);
        Self {
            trainer,
            pool,
            packed,
            spec,
            schedule,
            steps,
            gradients: vec![0.0; values],
        }
    }

    /// Trains on the rows with the given indices. The optimizer knows which step it is.
    ///
    /// # Errors
    /// [`TuneError::Diverged`] when loss or gradient is not finite; the adapter is then unchanged.
    pub fn step(
        &mut self,
        adapter: &mut Adapter,
        optimizer: &mut AdamW,
        indices: &[usize],
    ) -> Result<StepDone, TuneError> {
        let step = optimizer.steps();
        let (sum, tokens) = self.gradients(adapter, indices);
        let loss = sum.mean();
        self.finite(step, "loss", loss)?;
        let grad_norm = clip(&mut self.gradients, self.spec.max_grad_norm);
        self.finite(step, "gradient norm", grad_norm)?;
        let learning_rate = self.schedule.learning_rate(step);
        let values = &mut adapter.values;
        optimizer.step(self.pool, values, &self.gradients, 1.0, learning_rate);
        Ok(StepDone {
            loss,
            grad_norm,
            learning_rate,
            tokens,
        })
    }

    /// Fills the gradient buffer, divided by the supervised tokens of the whole step whatever the
    /// micro-batches hold of them; returns the summed loss and the token rows computed.
    pub(crate) fn gradients(&mut self, adapter: &Adapter, indices: &[usize]) -> (LossSum, u64) {
        self.gradients.fill(0.0);
        let batches = micro_batches(self.packed, indices, self.spec.rows_max);
        let targets = batches.iter().flat_map(|batch| &batch.targets);
        let supervised: f64 = targets.map(|target| f64::from(target.weight)).sum();
        let scale = (1.0 / supervised) as f32;
        let mut sum = LossSum::default();
        let mut tokens = 0;
        for batch in &batches {
            let gradients = &mut self.gradients;
            sum += self
                .trainer
                .loss_and_gradients(adapter, batch, scale, gradients);
            tokens += batch.tokens.len() as u64;
        }
        (sum, tokens)
    }

    /// The gradients of the last step.
    #[cfg(test)]
    pub fn into_gradients(self) -> Vec<f32> {
        self.gradients
    }

    fn finite(&self, step: u64, what: &'static str, value: f64) -> Result<(), TuneError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(TuneError::Diverged {
            stage: "sft",
            step: step + 1,
            steps: self.steps,
            what,
            value,
        })
    }
}
