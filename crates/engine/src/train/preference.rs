//! The preference loss: direct preference optimisation (Rafailov et al. 2023, arXiv 2305.18290).
//!
//! ```text
//! margin = β · [(log π(chosen) − log ref(chosen)) − (log π(rejected) − log ref(rejected))]
//! loss   = −log σ(margin)          dloss/dmargin = −σ(−margin)
//! ```
//! With an anchor γ, γ · (−log π(chosen)) / tokens(chosen) is added (Pang et al. 2024, arXiv 2404.19733,
//! equation 1): the margin alone may grow while both answers become less likely, until the model says
//! neither.
//!
//! log π is the sum over an answer's tokens. The reference is the model as the adapter
//! starts, so without one where it starts afresh; what it says does not change while the adapter learns, so
//! the caller asks once for a pair ([`Trainer::pair_log_probs`]) and remembers it. Absent: label smoothing and the other losses of
//! the family.

use super::{Learner, Trainer};
use crate::adapter::Adapter;
use crate::head::Head;
use crate::packed_adapter::PackedAdapter;
use crate::pairs::AnswerBatch;
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
    /// −log σ(margin), and the anchor's part.
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
    /// The log probability of every answer, in nats, with the adapter or without it.
    ///
    /// # Panics
    /// If [`crate::Batch::check`] would refuse the batch.
    pub fn answer_log_probs(&mut self, adapter: Option<&Adapter>, batch: &AnswerBatch) -> Vec<f64> {
        let losses = self.token_losses(adapter, &batch.batch);
        log_probs(batch, losses)
    }

    /// Adds to `gradients`, laid out as [`Adapter::values`], that of a loss of the answers' log
    /// probabilities: `slopes` is given these and says the derivative by each.
    ///
    /// # Panics
    /// If the model was not loaded as trainable, a length does not fit, or
    /// [`crate::Batch::check`] would refuse the batch.
    pub fn answer_gradients(
        &mut self,
        adapter: &Adapter,
        batch: &AnswerBatch,
        slopes: &mut dyn FnMut(&[f64]) -> Vec<f64>,
        gradients: &mut [f32],
    ) {
        assert_eq!(
            gradients.len(),
            adapter.values.len(),
            "one gradient for every value"
        );
        let packed = PackedAdapter::pack(self.model, adapter, self.model.packing, self.pool);
        self.forward(Some(&packed), &batch.batch, true);
        self.answers_back(batch, slopes);
        self.backward(Learner::Adapter(&packed), gradients);
    }

    /// The head's part: the gradient at the last stream.
    fn answers_back(&mut self, batch: &AnswerBatch, slopes: &mut dyn FnMut(&[f64]) -> Vec<f64>) {
        let (model, pool) = (self.model, self.pool);
        let targets = &batch.batch.targets;
        let buffers = &mut self.buffers;
        let stream = &buffers.streams[model.layers.len()];
        let at = Head { model, pool };
        buffers.losses.clear();
        at.losses_apart(stream, targets, &mut buffers.head, &mut buffers.losses);
        let slopes = slopes(&log_probs(batch, &buffers.losses));
        assert_eq!(slopes.len(), batch.answers.len(), "one slope an answer");
        let mut weights = vec![0.0; targets.len()];
        for (answer, slope) in batch.answers.iter().zip(slopes) {
            // Targets have the gradient of the negative logarithm.
            weights[answer.clone()].fill(-slope as f32);
        }
        let (rows, width) = (batch.batch.tokens.len(), model.config.hidden);
        let gradient = buffers.gradient.fit(rows, width);
        gradient.fill(0.0);
        at.scatter_weighted(targets, &weights, gradient, &buffers.head);
    }

    /// The log probabilities of pairs, each an answer that was preferred and then the other.
    ///
    /// # Panics
    /// As [`Trainer::answer_log_probs`], or if the number of answers is odd.
    pub fn pair_log_probs(
        &mut self,
        adapter: Option<&Adapter>,
        batch: &AnswerBatch,
    ) -> Vec<LogProbs> {
        pairs(&self.answer_log_probs(adapter, batch))
    }

    /// The preference loss of every pair with β and the anchor γ, and the gradient of their sum times
    /// `scale` added to `gradients`. `references` are what [`Trainer::pair_log_probs`] gives under the reference.
    ///
    /// # Panics
    /// As [`Trainer::answer_gradients`], or if there are not as many references as pairs.
    pub fn preference_loss_and_gradients(
        &mut self,
        adapter: &Adapter,
        batch: &AnswerBatch,
        references: &[LogProbs],
        (beta, anchor, scale): (f64, f64, f64),
        gradients: &mut [f32],
    ) -> Vec<PairLoss> {
        assert_eq!(
            2 * references.len(),
            batch.answers.len(),
            "one reference for every pair"
        );
        let mut losses = Vec::with_capacity(references.len());
        let mut slopes = |found: &[f64]| {
            let policies = pairs(found).into_iter().zip(references);
            let both = policies.zip(batch.answers.iter().step_by(2));
            let mut slopes = Vec::with_capacity(found.len());
            for ((policy, &reference), chosen) in both {
                let mut loss = PairLoss::new(policy, reference, beta);
                let anchor = anchor / chosen.len() as f64;
                let pull = beta * loss.pull();
                slopes.extend([scale * (-pull - anchor), scale * pull]);
                loss.loss -= anchor * policy.chosen;
                losses.push(loss);
            }
            slopes
        };
        self.answer_gradients(adapter, batch, &mut slopes, gradients);
        losses
    }
}

/// Log probabilities from the negative log-likelihoods of the targets.
fn log_probs(batch: &AnswerBatch, losses: &[f32]) -> Vec<f64> {
    let sum = |targets: &Range<usize>| {
        let losses = losses[targets.clone()].iter();
        -losses.map(|&loss| f64::from(loss)).sum::<f64>()
    };
    batch.answers.iter().map(sum).collect()
}

fn pairs(answers: &[f64]) -> Vec<LogProbs> {
    let (pairs, rest) = answers.as_chunks::<2>();
    assert!(rest.is_empty(), "an answer without its other");
    let pair = |&[chosen, rejected]: &[f64; 2]| LogProbs { chosen, rejected };
    pairs.iter().map(pair).collect()
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
