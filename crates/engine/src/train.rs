//! Loss and gradients over a packed batch.
//!
//! Forward through the blocks with their activations kept, loss on the target rows
//! only, backward through the blocks in turn. There is no tape: every block knows
//! its own backward pass. Either an adapter has gradients and the model is frozen
//! ([`Trainer`]), or all weights of the model have ([`crate::full`]). Batches of any
//! composition give the same bits at any number of threads.
//!
//! Not here: the optimizer, the schedule, and how records become batches.

mod look;
mod preference;

use crate::adapter::Adapter;
use crate::batch::{Batch, LossSum};
use crate::block::{Activations, Attend, AttendBack, Block, Heads, Learning, Work};
use crate::head::{Back, Head, HeadLearning, HeadWork};
use crate::linear::Packing;
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use crate::parameters::Places;
use crate::rows::{Rows, read_and_write};
use crate::standing::Standing;
use lathe_kernel::Pool;
use lathe_kernel::attention::{self, Shape, Span};
use look::See;
pub use preference::{LogProbs, PairLoss};

/// Computes losses and gradients; keeps its buffers from step to step.
pub struct Trainer<'a> {
    pub(crate) model: &'a Model,
    pub(crate) pool: &'a Pool,
    pub(crate) buffers: Buffers,
}

/// What has gradients.
#[derive(Clone, Copy)]
pub(crate) enum Learner<'a> {
    /// An adapter; its gradients are added to what is there.
    Adapter(&'a PackedAdapter),
    /// The model's own weights; with `from`, of the blocks from that one on only.
    Weights {
        places: &'a Places,
        add: bool,
        from: Option<usize>,
    },
}

impl<'a> Learner<'a> {
    fn adapter(self) -> Option<&'a PackedAdapter> {
        match self {
            Self::Adapter(adapter) => Some(adapter),
            Self::Weights { .. } => None,
        }
    }

    fn layer(self, layer: usize) -> Option<Learning<'a>> {
        match self {
            Self::Adapter(_) => None,
            Self::Weights { places, add, .. } => Some(Learning {
                places: &places.layers[layer],
                add,
            }),
        }
    }

    /// The lowest block in which something learns.
    fn lowest(self) -> usize {
        match self {
            Self::Weights { from, .. } => from.unwrap_or(0),
            Self::Adapter(_) => 0,
        }
    }
}

/// Everything a step writes. Grows to the largest batch seen.
#[derive(Default)]
pub(crate) struct Buffers {
    standing: Standing,
    spans: Vec<Span>,
    /// The residual stream before each block and after the last.
    streams: Vec<Rows>,
    activations: Vec<Activations>,
    /// The softmax denominators of each block's attention.
    denominators: Vec<Rows>,
    work: Work,
    head: HeadWork,
    /// Of the loss by the residual stream.
    pub(crate) gradient: Rows,
    losses: Vec<f32>,
}

impl<'a> Trainer<'a> {
    /// A trainer for a model loaded as trainable; for losses alone any model does.
    pub fn new(model: &'a Model, pool: &'a Pool) -> Self {
        Self {
            model,
            pool,
            buffers: Buffers::default(),
        }
    }

    /// The loss of a batch, with the adapter or without it.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse the batch.
    pub fn loss(&mut self, adapter: Option<&Adapter>, batch: &Batch) -> LossSum {
        self.token_losses(adapter, batch);
        self.sum(batch)
    }

    /// The negative log-likelihood of every target, in nats and without its weight.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse the batch.
    pub fn token_losses(&mut self, adapter: Option<&Adapter>, batch: &Batch) -> &[f32] {
        let packing = Packing {
            trainable: false,
            ..self.model.packing
        };
        let adapter = adapter.map(|it| PackedAdapter::pack(self.model, it, packing, self.pool));
        self.forward(adapter.as_ref(), batch, false);
        let Buffers {
            streams,
            head,
            losses,
            ..
        } = &mut self.buffers;
        let stream = &streams[self.model.layers.len() % 2];
        losses.clear();
        let at = Head {
            model: self.model,
            pool: self.pool,
        };
        at.losses(stream, &batch.targets, None, head, losses);
        losses
    }

    /// The loss of a batch, and its gradient times `scale` added to `gradients`, which
    /// is laid out as [`Adapter::values`].
    ///
    /// # Panics
    /// If the model was not loaded as trainable, `gradients` has another length than
    /// the adapter, or [`Batch::check`] would refuse the batch.
    pub fn loss_and_gradients(
        &mut self,
        adapter: &Adapter,
        batch: &Batch,
        scale: f32,
        gradients: &mut [f32],
    ) -> LossSum {
        assert_eq!(
            gradients.len(),
            adapter.values.len(),
            "one gradient for every value"
        );
        let packed = PackedAdapter::pack(self.model, adapter, self.model.packing, self.pool);
        self.backpropagate(Learner::Adapter(&packed), batch, scale, gradients)
    }

    /// The loss of a batch, and the gradient times `scale` of what learns.
    pub(crate) fn backpropagate(
        &mut self,
        learner: Learner<'_>,
        batch: &Batch,
        scale: f32,
        gradients: &mut [f32],
    ) -> LossSum {
        self.forward(learner.adapter(), batch, true);
        let Buffers {
            streams,
            head,
            losses,
            gradient,
            ..
        } = &mut self.buffers;
        let stream = &streams[self.model.layers.len()];
        gradient
            .fit(batch.tokens.len(), self.model.config.hidden)
            .fill(0.0);
        losses.clear();
        let at = Head {
            model: self.model,
            pool: self.pool,
        };
        let weights = match learner {
            Learner::Weights {
                places,
                add,
                from: None,
            } => Some(HeadLearning {
                gradients: &mut *gradients,
                places,
                add,
            }),
            Learner::Adapter(_) | Learner::Weights { .. } => None,
        };
        let back = Back {
            stream: gradient,
            scale,
            weights,
        };
        at.losses(stream, &batch.targets, Some(back), head, losses);
        self.backward(learner, gradients);
        self.sum(batch)
    }

    /// Runs the blocks and looks into none; `keep` as in [`Trainer::run_blocks`].
    fn forward(&mut self, adapter: Option<&PackedAdapter>, batch: &Batch, keep: bool) {
        self.run_blocks(adapter, batch, keep, None);
    }

    /// Runs the blocks. With `keep`, every block's input and activations stay for the
    /// backward pass; without, blocks take turns in the same buffers. `see` is shown what the linear
    /// layers read.
    fn run_blocks(
        &mut self,
        adapter: Option<&PackedAdapter>,
        batch: &Batch,
        keep: bool,
        mut see: Option<&mut See<'_>>,
    ) {
        batch
            .check(&self.model.config)
            .expect("the caller packs sound batches");
        let (model, pool) = (self.model, self.pool);
        let (rows, layers) = (batch.tokens.len(), model.layers.len());
        let buffers = &mut self.buffers;
        buffers.standing.set(model, pool, batch.positions());
        batch.spans(&mut buffers.spans);
        let (streams, kept) = if keep { (layers + 1, layers) } else { (2, 1) };
        buffers.reserve(streams, kept);
        let first = buffers.streams[0].fit(rows, model.config.hidden);
        model.look_up(batch.tokens.iter().copied(), first);
        for layer in 0..layers {
            let (input, output) =
                read_and_write(&mut buffers.streams, layer % streams, (layer + 1) % streams);
            let block = Block::new(model, pool, adapter, layer, &buffers.standing);
            let mut attend = Packed {
                shape: model.attention_shape(layer),
                spans: &buffers.spans,
                denominators: &mut buffers.denominators[layer % kept],
            };
            let saved = &mut buffers.activations[layer % kept];
            let output = output.fit(rows, model.config.hidden);
            block.forward(&mut attend, input, saved, &mut buffers.work, output);
            if let Some(see) = &mut see {
                look::show(see, (&block, layer), (input, saved), &mut buffers.work);
            }
        }
    }

    /// Takes the gradient of the last stream down through the blocks.
    fn backward(&mut self, learner: Learner<'_>, gradients: &mut [f32]) {
        let (model, pool) = (self.model, self.pool);
        let Buffers {
            standing,
            spans,
            streams,
            activations,
            denominators,
            work,
            gradient,
            ..
        } = &mut self.buffers;
        for layer in (learner.lowest()..model.layers.len()).rev() {
            let block = Block::new(model, pool, learner.adapter(), layer, standing)
                .learning(learner.layer(layer));
            let mut attend = Packed {
                shape: model.attention_shape(layer),
                spans,
                denominators: &mut denominators[layer],
            };
            let kept = (&*streams[layer], &activations[layer]);
            // Weights learn by the gradient of the block's input, too: its norm's.
            let first = layer == 0 && matches!(learner, Learner::Adapter(_));
            block.backward(&mut attend, kept, work, gradient, first, gradients);
        }
    }

    fn sum(&self, batch: &Batch) -> LossSum {
        let mut sum = LossSum::default();
        for (target, &loss) in batch.targets.iter().zip(&self.buffers.losses) {
            let weight = f64::from(target.weight);
            sum += LossSum {
                loss: weight * f64::from(loss),
                weight,
            };
        }
        sum
    }
}

impl Buffers {
    fn reserve(&mut self, streams: usize, kept: usize) {
        if self.streams.len() < streams {
            self.streams.resize_with(streams, Rows::default);
        }
        if self.activations.len() < kept {
            self.activations.resize_with(kept, Activations::default);
            self.denominators.resize_with(kept, Rows::default);
        }
    }
}

/// Attention within the segments of a packed batch.
struct Packed<'a> {
    shape: Shape,
    spans: &'a [Span],
    denominators: &'a mut Rows,
}

impl Attend for Packed<'_> {
    fn attend(&mut self, pool: &Pool, heads: &Heads, out: &mut [f32]) {
        let rows = out.len() / (self.shape.heads * self.shape.head_dim);
        let lse = self.denominators.fit(rows, self.shape.heads);
        let Heads { query, key, value } = heads;
        attention::forward(pool, &self.shape, self.spans, query, key, value, out, lse);
    }
}

impl AttendBack for Packed<'_> {
    fn attend_back(&mut self, pool: &Pool, saved: &Activations, dout: &[f32], grads: &mut Heads) {
        let Heads { query, key, value } = &saved.heads;
        attention::backward(
            pool,
            &self.shape,
            self.spans,
            query,
            key,
            value,
            &saved.attended,
            self.denominators,
            dout,
            &mut grads.query,
            &mut grads.key,
            &mut grads.value,
        );
    }
}
