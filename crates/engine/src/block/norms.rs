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
        let Activations {
            heads: Heads { query, key, value },
            unnormed,
            low,
            ..
        } = saved;
        let rows = self.positions.len();
        let Unnormed {
            query: raw_query,
            key: raw_key,
        } = unnormed;
        let (norms_query, norms_key) = (self.has(Norm::Query), self.has(Norm::Key));
        let query_to = if norms_query {
            raw_query.fit(rows, query.len() / rows.max(1))
        } else {
            &mut *query
        };
        let key_to = if norms_key {
            raw_key.fit(rows, key.len() / rows.max(1))
        } else {
            &mut *key
        };
        self.project(
            [Query, Key, Value],
            x,
            low,
            [query_to, key_to, value],
            false,
        );
        if norms_query {
            self.norm(Norm::Query, raw_query, query);
        }
        if norms_key {
            self.norm(Norm::Key, raw_key, key);
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
        let unadded = unadded.fit(self.positions.len(), width);
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
