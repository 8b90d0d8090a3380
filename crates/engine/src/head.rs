//! From the residual stream to logits and losses, only where something is asked.
//!
//! ```text
//! logits = norm(x)·Eᵀ      nll = −log softmax(logits)[token]
//! dx     = norm'(x)·(dlogits·E),   dlogits = weight · (softmax(logits) − onehot(token))
//! ```
//! The vocabulary is wide: rows are worked off in chunks, and the gradient of the
//! logits takes the place of the logits.

use crate::batch::Target;
use crate::linear::{Linear, LinearProduct};
use crate::model::Model;
use crate::parameters::Places;
use crate::rows::Rows;
use lathe_kernel::{Pool, cross_entropy, rmsnorm};

/// Rows whose logits exist at the same time.
const CHUNK_ROWS_MAX: usize = 128;
/// The same where the output matrix learns: every chunk reads and writes its whole gradient.
const LEARNING_ROWS_MAX: usize = 512;

/// Buffers of the head.
#[derive(Default)]
pub(crate) struct HeadWork {
    hidden: Rows,
    normed: Rows,
    logits: Rows,
    dnormed: Rows,
    dhidden: Rows,
    /// The gradient of each target's loss at its row of the stream.
    per_target: Rows,
    targets: Vec<(u32, f32)>,
    tokens: Vec<u32>,
    /// Logits that their reader gave back, to be written over.
    pub(crate) spare: Vec<f32>,
}

/// Where the gradients of a loss go.
pub(crate) struct Back<'a> {
    /// Receives the stream's, added to what is there.
    pub(crate) stream: &'a mut [f32],
    /// What each target's weight is multiplied by.
    pub(crate) scale: f32,
    /// Where the model's own weights learn.
    pub(crate) weights: Option<HeadLearning<'a>>,
}

/// Where the gradients of the final norm and the output matrix go.
pub(crate) struct HeadLearning<'a> {
    pub(crate) gradients: &'a mut [f32],
    pub(crate) places: &'a Places,
    /// Whether they are added to what is there.
    pub(crate) add: bool,
}

/// The final norm and the output matrix of a model.
pub(crate) struct Head<'a> {
    pub(crate) model: &'a Model,
    pub(crate) pool: &'a Pool,
}

impl Head<'_> {
    /// Logits `[rows.len(), vocab]` of the given rows of `stream` `[_, hidden]`; of those that come
    /// with `true` only where the largest may be.
    pub(crate) fn logits(
        &self,
        stream: &[f32],
        rows: &[(usize, bool)],
        work: &mut HeadWork,
    ) -> Vec<f32> {
        let vocab = self.model.config.vocab;
        // Every value is written below: clearing megabytes first would take longer than choosing a token.
        let mut logits = std::mem::take(&mut work.spare);
        logits.resize(rows.len() * vocab, 0.0);
        let mut rest = &mut *logits;
        // Runs of one kind: a row's logits do not depend on its neighbours, nor does its largest where
        // that alone is asked for.
        for run in rows.chunk_by(|a, b| a.1 == b.1) {
            for rows in run.chunks(CHUNK_ROWS_MAX) {
                let logits;
                (logits, rest) = rest.split_at_mut(rows.len() * vocab);
                self.gather(stream, rows.iter().map(|row| row.0), rows.len(), work);
                if rows[0].1 {
                    let head = &self.model.head;
                    head.largest(self.pool, &work.normed, rows.len(), logits);
                } else {
                    self.project(&work.normed, rows.len(), logits);
                }
            }
        }
        logits
    }

    /// Appends the negative log-likelihood of every target to `losses`; with `back`,
    /// also brings scale · weight · its gradient where that says.
    pub(crate) fn losses(
        &self,
        stream: &[f32],
        targets: &[Target],
        mut back: Option<Back<'_>>,
        work: &mut HeadWork,
        losses: &mut Vec<f32>,
    ) {
        let vocab = self.model.config.vocab;
        let learns = matches!(
            &back,
            Some(Back {
                weights: Some(_),
                ..
            })
        );
        let chunk_rows = if learns {
            LEARNING_ROWS_MAX
        } else {
            CHUNK_ROWS_MAX
        };
        for chunk in targets.chunks(chunk_rows) {
            let rows = chunk.len();
            self.gather(
                stream,
                chunk.iter().map(|target| target.row as usize),
                rows,
                work,
            );
            let logits = work.logits.fit(rows, vocab);
            self.project(&work.normed, rows, logits);
            let done = losses.len();
            losses.resize(done + rows, 0.0);
            let losses = &mut losses[done..];
            if let Some(back) = &mut back {
                let weigh = |target: &Target| (target.token, target.weight * back.scale);
                work.targets.clear();
                work.targets.extend(chunk.iter().map(weigh));
                cross_entropy::forward_backward(self.pool, logits, vocab, &work.targets, losses);
                self.scatter(chunk, back, work);
            } else {
                work.tokens.clear();
                work.tokens.extend(chunk.iter().map(|target| target.token));
                cross_entropy::forward(self.pool, logits, vocab, &work.tokens, losses);
            }
        }
    }

    /// Appends the negative log-likelihood of every target to `losses`, and keeps the gradient of
    /// each, without weight, in `work` until [`Head::scatter_weighted`].
    ///
    /// For losses whose weights follow from the likelihoods: a row's gradient is linear in its
    /// weight, so the logits need be computed only once.
    pub(crate) fn losses_apart(
        &self,
        stream: &[f32],
        targets: &[Target],
        work: &mut HeadWork,
        losses: &mut Vec<f32>,
    ) {
        let (width, vocab) = (self.model.config.hidden, self.model.config.vocab);
        work.per_target.fit(targets.len(), width);
        for (index, chunk) in targets.chunks(CHUNK_ROWS_MAX).enumerate() {
            let stream_rows = chunk.iter().map(|target| target.row as usize);
            self.gather(stream, stream_rows, chunk.len(), work);
            let logits = work.logits.fit(chunk.len(), vocab);
            self.project(&work.normed, chunk.len(), logits);
            let done = losses.len();
            losses.resize(done + chunk.len(), 0.0);
            work.targets.clear();
            work.targets
                .extend(chunk.iter().map(|target| (target.token, 1.0)));
            let losses = &mut losses[done..];
            cross_entropy::forward_backward(self.pool, logits, vocab, &work.targets, losses);
            self.back_to_hidden(chunk.len(), work);
            let start = index * CHUNK_ROWS_MAX * width;
            work.per_target[start..][..chunk.len() * width].copy_from_slice(&work.dhidden);
        }
    }

    /// Adds the kept gradients, each times its weight, to the targets' rows of `gradient`.
    pub(crate) fn scatter_weighted(
        &self,
        targets: &[Target],
        weights: &[f32],
        gradient: &mut [f32],
        work: &HeadWork,
    ) {
        let width = self.model.config.hidden;
        let rows = work.per_target.chunks_exact(width);
        for ((target, weight), from) in targets.iter().zip(weights).zip(rows) {
            let to = &mut gradient[target.row as usize * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to += weight * from;
            }
        }
    }

    /// Copies and norms the given rows.
    fn gather(
        &self,
        stream: &[f32],
        rows: impl Iterator<Item = usize>,
        count: usize,
        work: &mut HeadWork,
    ) {
        let (width, eps) = (self.model.config.hidden, self.model.config.rms_eps);
        let hidden = work.hidden.fit(count, width);
        for (row, to) in rows.zip(hidden.chunks_exact_mut(width)) {
            to.copy_from_slice(&stream[row * width..][..width]);
        }
        let normed = work.normed.fit(count, width);
        rmsnorm::forward(
            self.pool,
            hidden,
            &self.model.final_norm,
            eps,
            width,
            normed,
        );
    }

    fn project(&self, normed: &[f32], rows: usize, logits: &mut [f32]) {
        let product = LinearProduct {
            linear: &self.model.head,
            low_rank: None,
            gain: None,
            y: logits,
            add: false,
        };
        Linear::multiply(self.pool, normed, rows, vec![product]);
    }

    /// Takes the gradient of the logits back to the rows of the stream and to the weights.
    fn scatter(&self, chunk: &[Target], back: &mut Back<'_>, work: &mut HeadWork) {
        let width = self.model.config.hidden;
        self.back_to_hidden(chunk.len(), work);
        for (target, from) in chunk.iter().zip(work.dhidden.chunks_exact(width)) {
            let to = &mut back.stream[target.row as usize * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
        if let Some(learning) = &mut back.weights {
            self.weight_gradients(learning, work);
            learning.add = true;
        }
    }

    /// From the gradient of a chunk's logits to that of the rows before the final norm.
    fn back_to_hidden(&self, rows: usize, work: &mut HeadWork) {
        let (width, eps) = (self.model.config.hidden, self.model.config.rms_eps);
        let dnormed = work.dnormed.fit(rows, width);
        let head = &self.model.head;
        head.multiply_back(self.pool, (&work.logits, rows), None, (dnormed, false));
        let dhidden = work.dhidden.fit(rows, width);
        dhidden.fill(0.0);
        let weight = &self.model.final_norm;
        rmsnorm::backward(
            self.pool,
            &work.hidden,
            weight,
            eps,
            width,
            dnormed,
            dhidden,
        );
    }

    /// The gradients of the output matrix and the final norm by one chunk.
    fn weight_gradients(&self, learning: &mut HeadLearning<'_>, work: &HeadWork) {
        let (width, eps) = (self.model.config.hidden, self.model.config.rms_eps);
        let HeadLearning {
            gradients,
            places,
            add,
        } = learning;
        let place = &mut gradients[places.head..][..self.model.config.vocab * width];
        let operands = (&*work.normed, &*work.logits);
        self.model.head.gradient(self.pool, operands, place, *add);
        let place = &mut gradients[places.final_norm..][..width];
        let (x, dy) = (&work.hidden, &work.dnormed);
        rmsnorm::weight_gradient(self.pool, x, eps, width, dy, place, *add);
    }
}
