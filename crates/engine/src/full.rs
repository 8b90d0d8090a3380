//! Loss and gradients of all weights of a model: full tuning.
//!
//! ```text
//! dW = dyᵀ·x   for every linear layer and the head, beside dx = dy·W
//! dw = Σ dy·x·r   for every norm        db = Σ dy   for every bias
//! dE[token] += s·dx   for every row of the batch, s being the factor on embeddings
//! ```
//! Weights that learn are held twice: as [`Parameters`] in f32, which the optimizer
//! moves, and packed in a [`Model`], which computes. After a step the packed form is
//! written anew in its own memory. The blocks are those of every other use. Tied
//! embeddings are one tensor with one gradient, the head's and the look-up's together.
//!
//! Not here: the optimizer and its schedule.

use crate::batch::{Batch, LossSum};
use crate::error::EngineError;
use crate::linear::{ByteProducts, Linear};
use crate::model::{LoadOptions, Model, norm_gains};
use crate::parameters::{Parameters, Places};
use crate::train::{Buffers, Learner, Trainer};
use crate::weights;
use lathe_kernel::{Pool, Precision};
use std::path::Path;

/// Computes losses and gradients of a model's own weights; keeps its buffers from step
/// to step.
pub struct FullTrainer<'a> {
    pool: &'a Pool,
    model: Model,
    places: Places,
    /// Values in all.
    len: usize,
    /// The first block that learns, where not all weights do.
    from: Option<usize>,
    buffers: Buffers,
}

impl<'a> FullTrainer<'a> {
    /// Opens a `.gguf` file or a Hugging Face folder; gives the weights apart, because
    /// they are the optimizer's. Products are computed in `precision` but for those of `bytes`.
    ///
    /// # Errors
    /// What opening the files and reading their tensors reports.
    pub fn load(
        path: &Path,
        precision: Precision,
        bytes: ByteProducts,
        pool: &'a Pool,
    ) -> Result<(Self, Parameters), EngineError> {
        let raw = weights::open(path)?;
        let parameters = Parameters::read(&raw)?;
        let places = parameters.places(&raw.config)?;
        let options = LoadOptions {
            isa: pool.isa(),
            precision,
            trainable: true,
            as_stored: false,
            quantise: None,
            bytes,
        };
        let trainer = Self {
            pool,
            model: Model::pack(raw, options)?,
            places,
            len: parameters.values.len(),
            from: None,
            buffers: Buffers::default(),
        };
        Ok((trainer, parameters))
    }

    /// Lets only blocks from `from` on learn: the gradients of the others, of the embeddings, the head
    /// and the last norm are left as they are, and the backward pass ends there. For a batch without
    /// targets all gradients become zeros.
    ///
    /// # Panics
    /// If there is no such block.
    pub fn freeze_below(&mut self, from: usize) {
        assert!(from < self.model.layers.len(), "a block that there is");
        self.from = Some(from);
    }

    /// The model as it was last taken up.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The same, to give it a template; its weights are [`FullTrainer::take_up`]'s to set.
    pub fn model_mut(&mut self) -> &mut Model {
        &mut self.model
    }

    /// Makes the model compute with these weights, laid out as [`Parameters::values`].
    ///
    /// # Panics
    /// If there are more or fewer than the model has.
    pub fn take_up(&mut self, values: &[f32]) {
        assert_eq!(values.len(), self.len, "one value for every weight");
        let Self {
            pool,
            model,
            places,
            ..
        } = self;
        let (vocab, hidden) = (model.config.vocab, model.config.hidden);
        let set = |linear: &mut Linear, place: usize| {
            let (out, depth) = linear.shape();
            linear.repack(pool, &values[place..][..out * depth]);
        };
        let offset = model.config.architecture.family().norm_offset;
        let norm = |gains: &mut Vec<f32>, place: usize| {
            let weights = &values[place..][..gains.len()];
            gains.copy_from_slice(weights);
            norm_gains(offset, gains);
        };
        let embeddings = &values[places.embeddings..][..vocab * hidden];
        model.embeddings.set(pool, embeddings);
        set(&mut model.head, places.head);
        norm(&mut model.final_norm, places.final_norm);
        for (layer, places) in model.layers.iter_mut().zip(&places.layers) {
            for (gains, place) in layer.norms.iter_mut().zip(places.norms) {
                if let (Some(gains), Some(place)) = (gains, place) {
                    norm(gains, place);
                }
            }
            for (linear, &place) in layer.linears.iter_mut().zip(&places.linears) {
                set(linear, place);
            }
            for (linear, place) in layer.linears.iter_mut().zip(places.biases) {
                if let Some(place) = place {
                    let (out, _) = linear.shape();
                    linear.set_bias(&values[place..][..out]);
                }
            }
        }
    }

    /// The loss of a batch.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse the batch.
    pub fn loss(&mut self, batch: &Batch) -> LossSum {
        self.with_trainer(|trainer, _| trainer.loss(None, batch))
    }

    /// The loss of a batch, and its gradient times `scale`, laid out as
    /// [`Parameters::values`]: written to `gradients`, or added to it if `add`.
    ///
    /// # Panics
    /// If `gradients` has another length than the parameters, or [`Batch::check`] would
    /// refuse the batch.
    pub fn loss_and_gradients(
        &mut self,
        batch: &Batch,
        scale: f32,
        gradients: &mut [f32],
        add: bool,
    ) -> LossSum {
        assert_eq!(gradients.len(), self.len, "one gradient for every value");
        let (vocab, hidden) = (self.model.config.vocab, self.model.config.hidden);
        if batch.targets.is_empty() {
            // No row comes to the head, and so no gradient of a loss to anything.
            if !add {
                gradients.fill(0.0);
            }
            return LossSum::default();
        }
        if let Some(from) = self.from {
            return self.with_trainer(|trainer, places| {
                let from = Some(from);
                let learner = Learner::Weights { places, add, from };
                trainer.backpropagate(learner, batch, scale, gradients)
            });
        }
        let of_embeddings = self.places.embeddings..self.places.embeddings + vocab * hidden;
        if !add && self.places.head != self.places.embeddings {
            gradients[of_embeddings.clone()].fill(0.0);
        }
        self.with_trainer(|trainer, places| {
            let learner = Learner::Weights {
                places,
                add,
                from: None,
            };
            let sum = trainer.backpropagate(learner, batch, scale, gradients);
            let of_rows = trainer.buffers.gradient.chunks_exact(hidden);
            let embeddings = &mut gradients[of_embeddings];
            let scale = trainer.model.config.embedding_scale;
            for (&token, from) in batch.tokens.iter().zip(of_rows) {
                let to = &mut embeddings[token as usize * hidden..][..hidden];
                to.iter_mut()
                    .zip(from)
                    .for_each(|(to, from)| *to += scale * from);
            }
            sum
        })
    }

    /// Lends the buffers to a [`Trainer`] on the model as it is now.
    fn with_trainer<R>(&mut self, work: impl FnOnce(&mut Trainer<'_>, &Places) -> R) -> R {
        let mut trainer = Trainer {
            model: &self.model,
            pool: self.pool,
            buffers: std::mem::take(&mut self.buffers),
        };
        let result = work(&mut trainer, &self.places);
        self.buffers = trainer.buffers;
        result
    }
}
