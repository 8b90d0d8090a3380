//! The norms of a block, forward and backward. Which of them there are is the family's; a norm that
//! is not there costs nothing.

use super::activations::{Activations, Heads, Unnormed};
use super::{Block, Learning, PROJECTIONS, Projection};
use crate::architecture::Norm;
use crate::block::Projection::{Key, Query, Value};
use crate::rows::Rows;
use lathe_kernel::rmsnorm;

impl Block<'_> {
    /// Writes the rows of `x` normed to `out`.
    ///
    /// # Panics
    /// If the family has no such norm.
    pub(super) fn norm(&self, norm: Norm, x: &[f32], out: &mut [f32]) {
        let (gains, width) = (self.gains(norm), norm.width(self.config));
        rmsnorm::forward(self.pool, x, gains, self.config.rms_eps, width, out);
    }

    /// Adds the gradient of the norm's input to `dx`.
    pub(super) fn norm_back(&self, norm: Norm, x: &[f32], dy: &[f32], dx: &mut [f32]) {
        let (gains, width) = (self.gains(norm), norm.width(self.config));
        rmsnorm::backward(self.pool, x, gains, self.config.rms_eps, width, dy, dx);
    }

    /// The gradient of the norm's weight, where it learns.
    pub(super) fn norm_gradient(&self, norm: Norm, x: &[f32], dy: &[f32], gradients: &mut [f32]) {
        let Some(Learning { places, add }) = self.learning else {
            return;
        };
        let place = places.norms[norm as usize].expect("a norm that is there has a place");
        let (eps, width) = (self.config.rms_eps, norm.width(self.config));
        let dweight = &mut gradients[place..][..width];
        rmsnorm::weight_gradient(self.pool, x, eps, width, dy, dweight, add);
    }

    pub(super) fn has(&self, norm: Norm) -> bool {
        self.layer.norms[norm as usize].is_some()
    }

    fn gains(&self, norm: Norm) -> &[f32] {
        self.layer.norms[norm as usize]
            .as_deref()
            .expect("only a norm that the family has is asked for")
    }

    /// Queries, keys and values of `x`, heads normed where the family norms them.
    pub(super) fn project_heads(&self, x: &[f32], saved: &mut Activations) {
        let (unnormed, heads) = (&mut saved.unnormed, &mut saved.heads);
        let (raw_query, raw_key) = (&mut unnormed.query, &mut unnormed.key);
        let query = self.normed_heads(Norm::Query, raw_query, &mut heads.query);
        let key = self.normed_heads(Norm::Key, raw_key, &mut heads.key);
        let outputs = [query, key, &mut *heads.value];
        self.project([Query, Key, Value], x, &mut saved.low, outputs, false);
        self.norm_heads(Norm::Query, &saved.unnormed.query, &mut saved.heads.query);
        self.norm_heads(Norm::Key, &saved.unnormed.key, &mut saved.heads.key);
    }

    /// Queries of `x` alone.
    pub(super) fn project_queries(&self, x: &[f32], saved: &mut Activations) {
        let raw = &mut saved.unnormed.query;
        let query = self.normed_heads(Norm::Query, raw, &mut saved.heads.query);
        self.project([Query], x, &mut saved.low, [query], false);
        self.norm_heads(Norm::Query, &saved.unnormed.query, &mut saved.heads.query);
    }

    /// Keys and values of `x` alone.
    pub(super) fn project_keys(&self, x: &[f32], saved: &mut Activations) {
        let (raw, heads) = (&mut saved.unnormed.key, &mut saved.heads);
        let key = self.normed_heads(Norm::Key, raw, &mut heads.key);
        let outputs = [key, &mut *heads.value];
        self.project([Key, Value], x, &mut saved.low, outputs, false);
        self.norm_heads(Norm::Key, &saved.unnormed.key, &mut saved.heads.key);
    }

    /// Where heads are projected to: beside their place, if they are normed from there.
    fn normed_heads<'r>(
        &self,
        norm: Norm,
        raw: &'r mut Rows,
        heads: &'r mut Rows,
    ) -> &'r mut [f32] {
        let rows = self.rows;
        if self.has(norm) {
            return raw.fit(rows, heads.len() / rows.max(1));
        }
        heads
    }

    /// Norms heads into their place, if they are normed.
    fn norm_heads(&self, norm: Norm, raw: &[f32], heads: &mut [f32]) {
        if self.has(norm) {
            self.norm(norm, raw, heads);
        }
    }

    /// total = residual + a projection of x, normed where the family norms it; what is normed is kept.
    pub(super) fn add_projection(
        &self,
        projection: Projection,
        (residual, x): (&[f32], &[f32]),
        low: &mut [Rows; PROJECTIONS],
        (norm, unadded): (Norm, &mut Rows),
        total: &mut [f32],
    ) {
        total.copy_from_slice(residual);
        if !self.has(norm) {
            self.project([projection], x, low, [total], true);
            return;
        }
        let width = norm.width(self.config);
        let unadded = unadded.fit(self.rows, width);
        self.project([projection], x, low, [&mut *unadded], false);
        let (gains, eps) = (self.gains(norm), self.config.rms_eps);
        rmsnorm::forward_added(self.pool, unadded, gains, eps, width, total);
    }

    /// The gradient of a projection that was added to `stream`: the stream's own, taken back through
    /// the norm where there is one.
    pub(super) fn before_adding<'s>(
        &self,
        (norm, unadded): (Norm, &[f32]),
        stream: &'s [f32],
        work: &'s mut Rows,
        gradients: &mut [f32],
    ) -> &'s [f32] {
        if !self.has(norm) {
            return stream;
        }
        self.norm_gradient(norm, unadded, stream, gradients);
        let dunadded = work.fit(1, stream.len());
        dunadded.fill(0.0);
        self.norm_back(norm, unadded, stream, dunadded);
        dunadded
    }

    /// Takes the gradients of queries and keys back through their norms, where they are normed.
    pub(super) fn head_norms_back(
        &self,
        unnormed: &Unnormed,
        heads: &mut Heads,
        work: &mut Rows,
        gradients: &mut [f32],
    ) {
        for (norm, x, dy) in [
            (Norm::Query, &unnormed.query, &mut heads.query),
            (Norm::Key, &unnormed.key, &mut heads.key),
        ] {
            if !self.has(norm) {
                continue;
            }
            self.norm_gradient(norm, x, dy, gradients);
            work.fit(1, dy.len()).fill(0.0);
            self.norm_back(norm, x, dy, work);
            std::mem::swap(dy, work);
        }
    }
}
