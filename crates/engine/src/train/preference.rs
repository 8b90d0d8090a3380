//! The preference loss: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).
//!
//! ```text
//! margin = β · [(log π(chosen) − log ref(chosen)) − (log π(rejected) − log ref(rejected))]
//! loss   = −log σ(margin)          dloss/dmargin = −σ(−margin)
//! ```
//! log π is the sum over an answer's tokens. The reference is the same model without the adapter;
//! what it says does not change while the adapter learns, so it is computed once per dataset
//! ([`Trainer::pair_log_probs`] with no adapter). Absent: label smoothing and the other losses of
//! the family.

use super::{Learner, Trainer};
use crate::adapter::Adapter;
use crate::head::Head;
use crate::packed_adapter::PackedAdapter;
use crate::pairs::{Pair, PairBatch};
use std::ops::Range;

/// Log probabilities of a pair's answers, in nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LogProbs {
    /// Of the answer that was preferred.
    pub chosen: f64,
    /// Of the other.
    pub rejected: f64,
}

/// What the loss says of one pair.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLoss {
    /// −log σ(margin).
    pub loss: f64,
    /// β times how much more the adapter has moved towards the chosen answer than the rejected.
    pub margin: f64,
    /// Under the model with its adapter.
    pub policy: LogProbs,
}

impl PairLoss {
    /// The loss of a pair.
    pub fn new(policy: LogProbs, reference: LogProbs, beta: f64) -> Self {
        let moved = |policy: f64, reference: f64| policy - reference;
        let margin = beta
            * (moved(policy.chosen, reference.chosen) - moved(policy.rejected, reference.rejected));
        // log(1 + exp(−margin)), without overflow on either side.
        let loss = (-margin).max(0.0) + (-margin.abs()).exp().ln_1p();
        Self {
            loss,
            margin,
            policy,
        }
    }

    /// −dloss/dmargin = σ(−margin).
    fn pull(&self) -> f64 {
        1.0 / (1.0 + self.margin.exp())
    }
}

impl Trainer<'_> {
    /// The log probabilities of every pair's answers, with the adapter or without it.
    ///
    /// # Panics
    /// If [`crate::Batch::check`] would refuse the batch.
    pub fn pair_log_probs(
        &mut self,
        adapter: Option<&Adapter>,
        batch: &PairBatch,
    ) -> Vec<LogProbs> {
        let losses = self.token_losses(adapter, &batch.batch);
        batch.pairs.iter().map(|pair| sums(pair, losses)).collect()
    }

    /// The preference loss of every pair, and the gradient of their sum times `scale` added to
    /// `gradients`, which is laid out as [`Adapter::values`]. `references` are what
    /// [`Trainer::pair_log_probs`] gives without an adapter.
    ///
    /// # Panics
    /// If the model was not loaded as trainable, a length does not fit, or
    /// [`crate::Batch::check`] would refuse the batch.
    pub fn preference_loss_and_gradients(
        &mut self,
        adapter: &Adapter,
        batch: &PairBatch,
        references: &[LogProbs],
        (beta, scale): (f64, f64),
        gradients: &mut [f32],
    ) -> Vec<PairLoss> {
        assert_eq!(
            gradients.len(),
            adapter.values.len(),
            "one gradient for every value"
        );
        assert_eq!(
            references.len(),
            batch.pairs.len(),
            "one reference for every pair"
        );
        let packed = PackedAdapter::pack(self.model, adapter, self.model.packing, self.pool);
        self.forward(Some(&packed), &batch.batch, true);
        let losses = self.pair_losses(batch, references, beta, scale);
        self.backward(Learner::Adapter(&packed), gradients);
        losses
    }

    /// The head's part: losses, and their gradient at the last stream.
    fn pair_losses(
        &mut self,
        batch: &PairBatch,
        references: &[LogProbs],
        beta: f64,
        scale: f64,
    ) -> Vec<PairLoss> {
        let (model, pool) = (self.model, self.pool);
        let targets = &batch.batch.targets;
        let buffers = &mut self.buffers;
        let stream = &buffers.streams[model.layers.len()];
        let at = Head { model, pool };
        buffers.losses.clear();
        at.losses_apart(stream, targets, &mut buffers.head, &mut buffers.losses);

        let mut weights = vec![0.0; targets.len()];
        let mut losses = Vec::with_capacity(batch.pairs.len());
        for (pair, &reference) in batch.pairs.iter().zip(references) {
            let loss = PairLoss::new(sums(pair, &buffers.losses), reference, beta);
            let pull = (scale * beta * loss.pull()) as f32;
            weights[pair.chosen.clone()].fill(pull);
            weights[pair.rejected.clone()].fill(-pull);
            losses.push(loss);
        }
        let (rows, width) = (batch.batch.tokens.len(), model.config.hidden);
        let gradient = buffers.gradient.fit(rows, width);
        gradient.fill(0.0);
        at.scatter_weighted(targets, &weights, gradient, &buffers.head);
        losses
    }
}

/// Log probabilities from the negative log-likelihoods of the targets.
fn sums(pair: &Pair, losses: &[f32]) -> LogProbs {
    let sum = |targets: &Range<usize>| {
        let losses = losses[targets.clone()].iter();
        -losses.map(|&loss| f64::from(loss)).sum::<f64>()
    };
    LogProbs {
        chosen: sum(&pair.chosen),
        rejected: sum(&pair.rejected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(margin: f64) -> PairLoss {
        let of = |chosen, rejected| LogProbs { chosen, rejected };
        PairLoss::new(of(margin / 2.0 - 7.0, -5.0), of(-7.0, -5.0), 2.0)
    }

    #[test]
    fn margins_of_any_size_have_a_loss_and_a_slope() {
        for (margin, expected) in [
            (0.0, std::f64::consts::LN_2),
            (1.0, (1.0 + (-1.0f64).exp()).ln()),
            (-2.0, (1.0 + 2.0f64.exp()).ln()),
            (2000.0, 0.0),
            (-2000.0, 2000.0),
        ] {
            let found = loss(margin);
            assert!((found.margin - margin).abs() < 1e-9, "{found:?}");
            assert!((found.loss - expected).abs() < 1e-9, "{found:?}");
            let step = 1e-5;
            let slope = (loss(margin + step).loss - loss(margin - step).loss) / (2.0 * step);
            assert!((slope + found.pull()).abs() < 1e-6, "{slope} at {margin}");
        }
    }
}
