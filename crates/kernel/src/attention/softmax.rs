//! Rows of queries that take in blocks of keys and values one after the other.
//!
//! With scores `z_j = scale · q · k_j`, a row keeps the largest score `m` seen so far, the sum
//! `l = Σ exp(z_j - m)` and `o = Σ exp(z_j - m) · v_j`; a block with a larger score first shrinks
//! `l` and `o` by `exp(m_old - m_new)`. At the end the result is `o / l` and the logarithm of the
//! softmax's denominator is `m + log l`.
//!
//! Blocks begin at multiples of [`KEYS`] positions of the sequence and a row takes them in order, so
//! what a row computes depends on its own position alone: values past it only add zeros, as long as they
//! are numbers, and so do those before its window in the block where that begins. A row takes in no
//! earlier block.

use std::ops::Range;

use super::Shape;
use super::forward::ROWS_AHEAD;
use super::panels::{Factors, KEYS, Panels, seen_or};
use crate::buffer::{FloatScratch, Scratch};
use crate::gemm::Unit;
use crate::simd::{self, Simd, map_vectors, prefetch, vector_at};

/// Consecutive rows of one sequence, and what they see of it.
#[derive(Clone, Copy)]
pub(super) struct Sight {
    /// The first of the rows.
    pub(super) first: usize,
    /// The row after the last.
    pub(super) end: usize,
    /// Positions the first row of the batch among them sees; each further one sees one more.
    pub(super) visible: usize,
}

/// Query rows of one kv head, `group` heads for each row of the batch, sorted by what they see; of
/// several sequences, which take turns.
pub(super) struct QueryRows<S, U> {
    panels: Panels<S, U>,
    shape: Shape,
    rows: usize,
    /// Heads that share a position.
    group: usize,
    sight: Sight,
    queries: Scratch,
    scores: FloatScratch,
    factors: Scratch,
    max: FloatScratch,
    sum: FloatScratch,
    out: FloatScratch,
}

impl<S: Simd, U: Unit> QueryRows<S, U> {
    /// Takes `rows` queries, `query(row)` being one of `head_dim`; all of one sequence until
    /// [`QueryRows::look`] says otherwise.
    #[inline(always)]
    pub(super) fn new<'q>(
        panels: Panels<S, U>,
        shape: &Shape,
        rows: usize,
        visible: usize,
        query: impl Fn(usize) -> &'q [f32],
    ) -> Self {
        let words = panels.row_words();
        let mut queries = Scratch::words(rows * words);
        for (row, to) in queries.chunks_exact_mut(words).enumerate() {
            if row + ROWS_AHEAD < rows {
                prefetch(panels.simd, query(row + ROWS_AHEAD));
            }
            panels.write_flat(to, query(row));
        }
        let (mut max, mut sum) = (Scratch::floats(rows), Scratch::floats(rows));
        max.fill(f32::NEG_INFINITY);
        sum.fill(0.0);
        let mut out = Scratch::floats(rows * panels.head_dim);
        out.fill(0.0);
        let (scores, factors) = (
            Scratch::floats(rows * KEYS),
            Scratch::words(rows * (KEYS / U::DEPTH)),
        );
        QueryRows {
            panels,
            shape: *shape,
            rows,
            group: shape.heads / shape.kv_heads,
            sight: Sight {
                first: 0,
                end: rows,
                visible,
            },
            queries,
            scores,
            factors,
            max,
            sum,
            out,
        }
    }

    /// The rows of one sequence are next.
    #[inline(always)]
    pub(super) fn look(&mut self, sight: Sight) {
        self.sight = sight;
    }

    /// Positions that row `row` sees.
    #[inline(always)]
    fn visible(&self, row: usize) -> usize {
        self.sight.visible + (row - self.sight.first) / self.group
    }

    /// Positions at the beginning that row `row` does not see.
    #[inline(always)]
    fn hidden(&self, row: usize) -> usize {
        self.shape.hidden(self.visible(row))
    }

    /// Blocks that the rows need, from the first row's first to the last row's last.
    #[inline(always)]
    pub(super) fn blocks(&self) -> Range<usize> {
        let Sight { first, end, .. } = self.sight;
        self.hidden(first) / KEYS..self.visible(end - 1).div_ceil(KEYS)
    }

    /// The rows that see something of the block at position `start`: others end before it, or their
    /// window begins after it.
    #[inline(always)]
    fn rows_of_block(&self, start: usize) -> Range<usize> {
        let Sight {
            first,
            end,
            visible,
        } = self.sight;
        let begin = (start + 1).saturating_sub(visible) * self.group;
        // The first row of the batch whose window begins after the block.
        let through = self.shape.window.map_or(usize::MAX, |window| {
            (start + KEYS)
                .saturating_add(window)
                .saturating_sub(visible)
        });
        let past = through.saturating_mul(self.group).saturating_add(first);
        first + begin..end.min(past)
    }

    /// Takes in a block that all rows of all sequences see whole.
    #[inline(always)]
    pub(super) fn take_in_whole(&mut self, keys: &[u32], values: &[u32]) {
        let rows = self.rows;
        self.panels
            .scores(&self.queries, rows, keys, KEYS, &mut self.scores);
        for row in 0..rows {
            self.weigh(row, row, KEYS, KEYS);
        }
        let factors = Factors {
            words: &self.factors,
            row_stride: KEYS / U::DEPTH,
            unit_stride: 1,
        };
        self.panels
            .weighted_sums(factors, rows, values, KEYS, &mut self.out);
    }

    /// Takes in block number `block`: keys by columns, values by depth.
    #[inline(always)]
    pub(super) fn take_in(&mut self, block: usize, keys: &[u32], values: &[u32]) {
        let start = block * KEYS;
        let Range { start: first, end } = self.rows_of_block(start);
        let rows = end - first;
        let seen = (self.visible(end - 1) - start).min(KEYS);
        let (words, factor_words) = (self.panels.row_words(), KEYS / U::DEPTH);
        self.panels.scores(
            &self.queries[first * words..],
            rows,
            keys,
            seen,
            &mut self.scores,
        );
        for row in 0..rows {
            // A score of minus infinity weighs nothing: the columns need no second bound.
            let hidden = self.hidden(first + row).saturating_sub(start);
            self.scores[row * KEYS..][..hidden].fill(f32::NEG_INFINITY);
            self.weigh(
                row,
                first + row,
                (self.visible(first + row) - start).min(KEYS),
                seen,
            );
        }
        let factors = Factors {
            words: &self.factors,
            row_stride: factor_words,
            unit_stride: 1,
        };
        let out = &mut self.out[first * self.panels.head_dim..];
        self.panels.weighted_sums(factors, rows, values, seen, out);
    }

    /// Turns a row of scores into factors, of which the first `seen` of `columns` may be other than
    /// zero, and brings the row's maximum, sum and output up to date.
    #[inline(always)]
    fn weigh(&mut self, at: usize, row: usize, seen: usize, columns: usize) {
        let s = self.panels.simd;
        let start = at * KEYS;
        let seen = s.splat(seen as f32);
        let mut largest = s.splat(f32::NEG_INFINITY);
        for column in (0..columns).step_by(S::LANES) {
            let score = vector_at(s, &self.scores, start + column);
            let hidden = s.splat(f32::NEG_INFINITY);
            largest = s.max(seen_or(s, column, seen, score, hidden), largest);
        }
        self.raise_max(row, s.max_lanes(largest) * self.shape.scale);

        let (scale, shift) = (s.splat(self.shape.scale), s.splat(-self.max[row]));
        let factors = &mut self.factors[at * (KEYS / U::DEPTH)..(at + 1) * (KEYS / U::DEPTH)];
        let (mut sum, zero) = (s.splat(0.0), s.splat(0.0));
        for column in (0..columns).step_by(2 * S::LANES) {
            let next = column + S::LANES;
            let low = simd::exp(
                s,
                s.fma(vector_at(s, &self.scores, start + column), scale, shift),
            );
            let high = simd::exp(
                s,
                s.fma(vector_at(s, &self.scores, start + next), scale, shift),
            );
            let low = seen_or(s, column, seen, low, zero);
            let high = seen_or(s, next, seen, high, zero);
            sum = s.add(sum, s.add(low, high));
            // SAFETY: a row of factors has room for `KEYS` elements, a multiple of two vectors.
            unsafe { U::store(s, factors.as_mut_ptr().add(column / U::DEPTH), low, high) };
        }
        self.sum[row] += s.sum_lanes(sum);
    }

    /// Makes `max` the maximum of a row, if it is larger than before, and shrinks what was summed up
    /// under the old one.
    #[inline(always)]
    fn raise_max(&mut self, row: usize, max: f32) {
        if max > self.max[row] {
            let shrink = (self.max[row] - max).exp();
            self.max[row] = max;
            self.sum[row] *= shrink;
            let (s, dim) = (self.panels.simd, self.panels.head_dim);
            let shrink = s.splat(shrink);
            map_vectors!(s, out in &mut self.out[row * dim..(row + 1) * dim], [] => s.mul(out, shrink));
        }
    }

    /// Writes the result of `row` to `out` and returns the logarithm of its denominator.
    #[inline(always)]
    pub(super) fn finish(&self, row: usize, out: &mut [f32]) -> f32 {
        let s = self.panels.simd;
        let dim = self.panels.head_dim;
        let inverse = s.splat(1.0 / self.sum[row]);
        let sums = &self.out[row * dim..(row + 1) * dim];
        map_vectors!(s, _ in out, [sum in sums] => s.mul(sum, inverse));
        self.max[row] + self.sum[row].ln()
    }
}
