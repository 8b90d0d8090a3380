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
use crate::rows::Rows;
use lathe_kernel::{Pool, cross_entropy, matmul_group, rmsnorm};

/// Rows whose logits exist at the same time.
const CHUNK_ROWS_MAX: usize = 128;

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
}

/// The final norm and the output matrix of a model.
pub(crate) struct Head<'a> {
    pub(crate) model: &'a Model,
    pub(crate) pool: &'a Pool,
}

impl Head<'_> {
    /// Logits `[rows.len(), vocab]` of the given rows of `stream` `[_, hidden]`.
    pub(crate) fn logits(&self, stream: &[f32], rows: &[usize], work: &mut HeadWork) -> Vec<f32> {
        let vocab = self.model.config.vocab;
        let mut logits = vec![0.0; rows.len() * vocab];
        let chunks = rows
            .chunks(CHUNK_ROWS_MAX)
            .zip(logits.chunks_mut(CHUNK_ROWS_MAX * vocab));
        for (rows, logits) in chunks {
            self.gather(stream, rows.iter().copied(), rows.len(), work);
            self.project(&work.normed, rows.len(), logits);
        }
        logits
    }

    /// Appends the negative log-likelihood of every target to `losses`; with `scale`,
    /// adds scale · weight · its gradient to the target's row of `gradient`.
    pub(crate) fn losses(
        &self,
        stream: &[f32],
        targets: &[Target],
        mut back: Option<(&mut [f32], f32)>,
        work: &mut HeadWork,
        losses: &mut Vec<f32>,
    ) {
        let vocab = self.model.config.vocab;
        for chunk in targets.chunks(CHUNK_ROWS_MAX) {
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
            if let Some((gradient, scale)) = &mut back {
                let weigh = |target: &Target| (target.token, target.weight * *scale);
                work.targets.clear();
                work.targets.extend(chunk.iter().map(weigh));
                cross_entropy::forward_backward(self.pool, logits, vocab, &work.targets, losses);
                self.scatter(chunk, gradient, work);
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
            y: logits,
            add: false,
        };
        Linear::multiply(self.pool, normed, rows, vec![product]);
    }

    /// Takes the gradient of the logits back to the rows of the stream.
    fn scatter(&self, chunk: &[Target], gradient: &mut [f32], work: &mut HeadWork) {
        let width = self.model.config.hidden;
        self.back_to_hidden(chunk.len(), work);
        for (target, from) in chunk.iter().zip(work.dhidden.chunks_exact(width)) {
            let to = &mut gradient[target.row as usize * width..][..width];
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        }
    }

    /// From the gradient of a chunk's logits to that of the rows before the final norm.
    fn back_to_hidden(&self, rows: usize, work: &mut HeadWork) {
        let (width, eps) = (self.model.config.hidden, self.model.config.rms_eps);
        let dnormed = work.dnormed.fit(rows, width);
        let product = self.model.head.product_back(dnormed, false);
        matmul_group(self.pool, &work.logits, rows, &mut [product]);
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
}
