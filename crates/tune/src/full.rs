//! One step of full tuning: gradients of all weights, clipping, AdamW, and the model made anew from
//! the moved weights.
//!
//! Moments and weights are f32, products bf16 or f32; one vector of gradients serves all steps. The
//! first batch of a step writes its gradients and the others add theirs, so nothing is zeroed. Which
//! batches make a step is the caller's.

use lathe_engine::{Batch, FullTrainer, LossSum, Parameters};
use lathe_kernel::{Pool, slab};

use crate::TuneError;
use crate::adamw::{AdamW, AdamWSpec};
use crate::clip;
use crate::schedule::Schedule;

/// How weights move.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullSpec {
    /// The optimizer's constants.
    pub adamw: AdamWSpec,
    /// The learning rate of every step.
    pub schedule: Schedule,
    /// Steps of the whole run.
    pub steps: u64,
    /// Largest global gradient norm.
    pub max_grad_norm: f64,
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FullStep {
    /// Mean loss per supervised token, before the step.
    pub loss: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
}

/// Takes steps; holds the weights and the optimizer's state.
pub struct FullTuner<'a> {
    pool: &'a Pool,
    trainer: FullTrainer<'a>,
    parameters: Parameters,
    optimizer: AdamW,
    gradients: Vec<f32>,
    spec: FullSpec,
}

impl<'a> FullTuner<'a> {
    /// A tuner of a trainer and its weights, at step 0.
    pub fn new(
        pool: &'a Pool,
        (trainer, parameters): (FullTrainer<'a>, Parameters),
        spec: FullSpec,
    ) -> Self {
        let len = parameters.values.len();
        Self {
            pool,
            trainer,
            optimizer: AdamW::new(spec.adamw, len),
            gradients: slab::zeros(len),
            parameters,
            spec,
        }
    }

    /// The weights as the last step left them.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// The loss of a batch with the weights as they are.
    pub fn loss(&mut self, batch: &Batch) -> LossSum {
        self.trainer.loss(batch)
    }

    /// Moves all weights by one step on the mean loss per supervised token of all `batches`.
    ///
    /// # Errors
    /// [`TuneError::Diverged`] when loss or gradient is not finite; the weights are then unchanged.
    ///
    /// # Panics
    /// If a batch does not fit the model.
    pub fn step(&mut self, batches: &[Batch]) -> Result<FullStep, TuneError> {
        let sum = self.gradients(batches);
        let loss = sum.mean();
        self.finite("loss", loss)?;
        let grad_norm = clip::norm(self.pool, &self.gradients);
        self.finite("gradient norm", grad_norm)?;
        let factor = clip::factor(grad_norm, self.spec.max_grad_norm);
        let learning_rate = self.spec.schedule.learning_rate(self.optimizer.steps());
        let (values, gradients) = (&mut self.parameters.values, &self.gradients);
        self.optimizer
            .step(self.pool, values, gradients, factor, learning_rate);
        self.trainer.take_up(values);
        Ok(FullStep {
            loss,
            grad_norm,
            learning_rate,
        })
    }

    /// Fills the gradients, divided by the supervised tokens of all batches.
    fn gradients(&mut self, batches: &[Batch]) -> LossSum {
        let targets = batches.iter().flat_map(|batch| &batch.targets);
        let supervised: f64 = targets.map(|target| f64::from(target.weight)).sum();
        let scale = (1.0 / supervised) as f32;
        let mut sum = LossSum::default();
        for (index, batch) in batches.iter().enumerate() {
            let (gradients, add) = (&mut self.gradients, index > 0);
            sum += self
                .trainer
                .loss_and_gradients(batch, scale, gradients, add);
        }
        sum
    }

    fn finite(&self, what: &'static str, value: f64) -> Result<(), TuneError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(TuneError::Diverged {
            stage: "full",
            step: self.optimizer.steps() + 1,
            steps: self.spec.steps,
            what,
            value,
        })
    }
}
