//! The backward pass of attention.
//!
//! With `P = exp(scale · q·kᵀ - lse)` recomputed block by block, `D = Σ dout · out` of each row and
//! `dS = scale · P ∘ (dout·vᵀ - D)`: `dv = Pᵀ·dout`, `dq = dS·k`, `dk = dSᵀ·q`.
//!
//! A task is one span and one kv head. The gradients of the keys and values it sees gather in a
//! buffer of its own; those of its own rows are then written out, those of its prefix are put down
//! and added at the end, in the order of the spans. So no sum depends on who ran what when.

use std::marker::PhantomData;

use super::Span;
use super::forward::{Inputs, ROWS_AHEAD, by_columns, by_depth};
use super::panels::{Factors, KEYS, Panels, seen_or};
use crate::Pool;
use crate::buffer::{FloatScratch, Scratch};
use crate::gemm::Unit;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, prefetch, sum_vectors, vector_at};

/// What the forward pass gave and the gradient of its output.
#[derive(Clone, Copy)]
pub(super) struct Given<'a> {
    pub(super) out: &'a [f32],
    pub(super) lse: &'a [f32],
    pub(super) dout: &'a [f32],
}

/// Where the gradients go.
#[derive(Clone, Copy)]
pub(super) struct Gradients<'a> {
    pub(super) dq: SharedMut<'a, f32>,
    pub(super) dk: SharedMut<'a, f32>,
    pub(super) dv: SharedMut<'a, f32>,
}

/// Runs the backward pass with operands of kind `U`.
pub(super) fn run<U: Unit>(
    pool: &Pool,
    inputs: Inputs<'_>,
    spans: &[Span],
    given: Given<'_>,
    gradients: Gradients<'_>,
) {
    let shape = inputs.shape;
    let (kv_heads, dim) = (shape.kv_heads, shape.head_dim);
    // Where the gradients of each span's prefix are put down: of keys, then of values, of each head.
    let mut starts = Vec::with_capacity(spans.len());
    let mut floats = 0;
    for span in spans {
        starts.push(floats);
        floats += span.prefix.map_or(0, |(_, len)| 2 * len * kv_heads * dim);
    }
    let mut prefixes = Scratch::floats(floats);
    let shared = SharedMut::new(&mut prefixes[..]);
    pool.run(spans.len() * kv_heads, &|task| {
        let (index, kv_head) = (task / kv_heads, task % kv_heads);
        let span = spans[index];
        let words = 2 * span.prefix.map_or(0, |(_, len)| len) * dim;
        let start = starts[index] + kv_head * words;
        // SAFETY: the pieces of different spans and heads do not overlap.
        let prefix = unsafe { shared.slice(start..start + words) };
        let task = SpanHead {
            inputs,
            span,
            kv_head,
            given,
            gradients,
            prefix,
            unit: PhantomData::<U>,
        };
        simd::vectorize(pool.isa(), task);
    });
    pool.run(kv_heads, &|kv_head| {
        for (span, start) in spans.iter().zip(&starts) {
            let Some((row, len)) = span.prefix else {
                continue;
            };
            let start = start + kv_head * 2 * len * dim;
            let (dk, dv) = prefixes[start..start + 2 * len * dim].split_at(len * dim);
            for (all, part) in [(gradients.dk, dk), (gradients.dv, dv)] {
                for (i, part) in part.chunks_exact(dim.max(1)).enumerate() {
                    let at = ((row + i) * kv_heads + kv_head) * dim;
                    // SAFETY: each task adds to the rows of its own kv head.
                    let all = unsafe { all.slice(at..at + dim) };
                    all.iter_mut()
                        .zip(part)
                        .for_each(|(all, part)| *all += part);
                }
            }
        }
    });
}

/// One span and one kv head.
struct SpanHead<'a, U> {
    inputs: Inputs<'a>,
    span: Span,
    kv_head: usize,
    given: Given<'a>,
    gradients: Gradients<'a>,
    /// The gradients of the prefix's keys, then of its values.
    prefix: &'a mut [f32],
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for SpanHead<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let Inputs { shape, k, v, .. } = self.inputs;
        let panels = Panels::<S, U>::new(s, shape.head_dim);
        let positions = self.span.prefix.map_or(0, |(_, len)| len) + self.span.len;
        let mut keys = Keys {
            keys: by_columns(
                &panels,
                &self.inputs,
                k,
                &self.span,
                self.kv_head,
                0..positions,
            ),
            keys_by_depth: by_depth(
                &panels,
                &self.inputs,
                k,
                &self.span,
                self.kv_head,
                0..positions,
            ),
            values: by_columns(
                &panels,
                &self.inputs,
                v,
                &self.span,
                self.kv_head,
                0..positions,
            ),
            dk: Scratch::floats(positions * shape.head_dim),
            dv: Scratch::floats(positions * shape.head_dim),
            positions,
        };
        keys.dk.fill(0.0);
        keys.dv.fill(0.0);
        let mut rows = Rows::new(&panels);
        let group = shape.heads / shape.kv_heads;
        for start in (0..self.span.len * group).step_by(KEYS) {
            let count = KEYS.min(self.span.len * group - start);
            self.block_of_rows(&panels, &mut rows, &mut keys, start, count);
        }
        self.write_out(&keys);
    }
}

/// The keys and values of a sequence, and their gradients so far.
struct Keys {
    keys: Scratch,
    keys_by_depth: Scratch,
    values: Scratch,
    dk: FloatScratch,
    dv: FloatScratch,
    positions: usize,
}

/// A block of up to [`KEYS`] query rows, in the forms the products need.
struct Rows {
    q: Scratch,
    q_by_depth: Scratch,
    dout: Scratch,
    dout_by_depth: Scratch,
    lse: [f32; KEYS],
    /// `Σ dout · out`
    dot: [f32; KEYS],
    dq: FloatScratch,
    scores: FloatScratch,
    dscores: FloatScratch,
    /// `dS` flat, and `P` and `dS` with the rows along the depth.
    ds: Scratch,
    p_by_rows: Scratch,
    ds_by_rows: Scratch,
}

impl Rows {
    fn new<S: Simd, U: Unit>(panels: &Panels<S, U>) -> Rows {
        let square = KEYS * KEYS;
        Rows {
            q: Scratch::words(KEYS * panels.row_words()),
            q_by_depth: Scratch::words(panels.by_depth_words()),
            dout: Scratch::words(KEYS * panels.row_words()),
            dout_by_depth: Scratch::words(panels.by_depth_words()),
            lse: [0.0; KEYS],
            dot: [0.0; KEYS],
            dq: Scratch::floats(KEYS * panels.head_dim),
            scores: Scratch::floats(square),
            dscores: Scratch::floats(square),
            ds: Scratch::words(square / U::DEPTH),
            p_by_rows: Scratch::words(square / U::DEPTH),
            ds_by_rows: Scratch::words(square / U::DEPTH),
        }
    }
}

impl<U: Unit> SpanHead<'_, U> {
    /// The row of the batch and the head of a query row of this task.
    #[inline(always)]
    fn place(&self, query: usize) -> (usize, usize) {
        let group = self.inputs.shape.heads / self.inputs.shape.kv_heads;
        (
            self.span.start + query / group,
            self.kv_head * group + query % group,
        )
    }

    /// Query rows `start..start + count` against all keys they see.
    #[inline(always)]
    fn block_of_rows<S: Simd>(
        &self,
        panels: &Panels<S, U>,
        rows: &mut Rows,
        keys: &mut Keys,
        start: usize,
        count: usize,
    ) {
        self.load(panels, rows, start, count);
        let group = self.inputs.shape.heads / self.inputs.shape.kv_heads;
        let prefix = keys.positions - self.span.len;
        let visible = |query: usize| prefix + (start + query) / group + 1;
        let dim = panels.head_dim;
        rows.dq[..count * dim].fill(0.0);
        let hidden = |query: usize| self.inputs.shape.hidden(visible(query));
        for first in (hidden(0) / KEYS * KEYS..visible(count - 1)).step_by(KEYS) {
            let seen = (visible(count - 1) - first).min(KEYS);
            let seen_by = |query: usize| {
                if query < count {
                    visible(query).saturating_sub(first)
                } else {
                    0
                }
            };
            let hidden = |query: usize| hidden(query).saturating_sub(first).min(seen);
            self.meet_keys(panels, rows, keys, (first, seen), count, (hidden, seen_by));
        }
        for query in 0..count {
            let (row, head) = self.place(start + query);
            let at = (row * self.inputs.shape.heads + head) * dim;
            // SAFETY: each row and head belongs to one span, one task and one iteration.
            unsafe { self.gradients.dq.slice(at..at + dim) }
                .copy_from_slice(&rows.dq[query * dim..(query + 1) * dim]);
        }
    }

    /// `count` query rows against the `seen` keys from position `first` on, of which row `query` sees
    /// those from `hidden(query)` to `visible(query)`: adds to the gradients of both.
    #[inline(always)]
    fn meet_keys<S: Simd>(
        &self,
        panels: &Panels<S, U>,
        rows: &mut Rows,
        keys: &mut Keys,
        (first, seen): (usize, usize),
        count: usize,
        (hidden, visible): (impl Fn(usize) -> usize, impl Fn(usize) -> usize),
    ) {
        let (dim, block) = (panels.head_dim, first / KEYS);
        let (columns_words, depth_words) = (panels.by_columns_words(), panels.by_depth_words());
        let by_columns = block * columns_words..(block + 1) * columns_words;
        panels.scores(
            &rows.q,
            count,
            &keys.keys[by_columns.clone()],
            seen,
            &mut rows.scores,
        );
        for query in 0..count {
            // Of a score of minus infinity both P and dS are zero.
            rows.scores[query * KEYS..][..hidden(query)].fill(f32::NEG_INFINITY);
        }
        panels.scores(
            &rows.dout,
            count,
            &keys.values[by_columns],
            seen,
            &mut rows.dscores,
        );
        score_gradients(panels, rows, self.inputs.shape.scale, count, seen, visible);
        let here = first * dim..(first + seen) * dim;
        let by_rows = |words| Factors {
            words,
            row_stride: 1,
            unit_stride: KEYS,
        };
        panels.weighted_sums(
            by_rows(&rows.p_by_rows),
            seen,
            &rows.dout_by_depth,
            count,
            &mut keys.dv[here.clone()],
        );
        panels.weighted_sums(
            by_rows(&rows.ds_by_rows),
            seen,
            &rows.q_by_depth,
            count,
            &mut keys.dk[here],
        );
        let flat = Factors {
            words: &rows.ds,
            row_stride: KEYS / U::DEPTH,
            unit_stride: 1,
        };
        let by_depth = &keys.keys_by_depth[block * depth_words..(block + 1) * depth_words];
        panels.weighted_sums(flat, count, by_depth, seen, &mut rows.dq);
    }

    /// Lays out a block of query rows and of the gradients of their results.
    #[inline(always)]
    fn load<S: Simd>(&self, panels: &Panels<S, U>, rows: &mut Rows, start: usize, count: usize) {
        let (s, words) = (panels.simd, panels.row_words());
        let Given { out, lse, dout } = self.given;
        let wide = |of, query: usize| {
            let (row, head) = self.place(start + query);
            self.inputs.shape.wide(of, row, head)
        };
        let mut zeros = Scratch::floats(panels.head_dim);
        zeros.fill(0.0);
        for query in 0..count {
            if query + ROWS_AHEAD < count {
                for tensor in [self.inputs.q, dout, out] {
                    prefetch(s, wide(tensor, query + ROWS_AHEAD));
                }
            }
            let here = query * words..(query + 1) * words;
            panels.write_flat(&mut rows.q[here.clone()], wide(self.inputs.q, query));
            panels.write_flat(&mut rows.dout[here], wide(dout, query));
            let (row, head) = self.place(start + query);
            rows.lse[query] = lse[row * self.inputs.shape.heads + head];
            let (dout, out) = (wide(dout, query), wide(out, query));
            rows.dot[query] = sum_vectors!(s, [a in dout, b in out] => s.mul(a, b));
        }
        for first in (0..count).step_by(U::DEPTH) {
            let second = first + U::DEPTH - 1;
            let pair = |of| {
                (
                    wide(of, first),
                    if second < count {
                        wide(of, second)
                    } else {
                        &zeros[..]
                    },
                )
            };
            let ((q, q_next), (dout, dout_next)) = (pair(self.inputs.q), pair(dout));
            panels.write_depth(&mut rows.q_by_depth, first / U::DEPTH, q, q_next);
            panels.write_depth(&mut rows.dout_by_depth, first / U::DEPTH, dout, dout_next);
        }
    }

    /// Writes the gradients of the span's own keys and values to their rows, and those of the prefix
    /// to where they wait.
    #[inline(always)]
    fn write_out(&mut self, keys: &Keys) {
        let (dim, kv_heads) = (self.inputs.shape.head_dim, self.inputs.shape.kv_heads);
        let prefix = (keys.positions - self.span.len) * dim;
        let (dk, dv) = self.prefix.split_at_mut(prefix);
        dk.copy_from_slice(&keys.dk[..prefix]);
        dv.copy_from_slice(&keys.dv[..prefix]);
        for (all, own) in [
            (self.gradients.dk, &keys.dk[prefix..]),
            (self.gradients.dv, &keys.dv[prefix..]),
        ] {
            for (row, own) in own.chunks_exact(dim.max(1)).enumerate() {
                let at = ((self.span.start + row) * kv_heads + self.kv_head) * dim;
                // SAFETY: each row and kv head belongs to one span and one task.
                unsafe { all.slice(at..at + dim) }.copy_from_slice(own);
            }
        }
    }
}

/// Turns the scores and the products `dout·vᵀ` of a block into `P` and `dS`, in the forms the
/// products need. `visible(row)` of the `seen` keys are visible to a row.
#[inline(always)]
fn score_gradients<S: Simd, U: Unit>(
    panels: &Panels<S, U>,
    rows: &mut Rows,
    scale: f32,
    count: usize,
    seen: usize,
    visible: impl Fn(usize) -> usize,
) {
    let s = panels.simd;
    for first in (0..count).step_by(U::DEPTH) {
        // Where a word holds one row, both halves of the pair are that row.
        let second = first + U::DEPTH - 1;
        let upper = RowGradient::new(s, rows, first, scale, visible(first));
        let lower = RowGradient::new(s, rows, second, scale, visible(second));
        for column in (0..seen).step_by(2 * S::LANES) {
            let next = column + S::LANES;
            let (p, ds) = upper.at(s, rows, column);
            let (p_below, ds_below) = lower.at(s, rows, column);
            let (p_next, ds_next) = upper.at(s, rows, next);
            let (p_next_below, ds_next_below) = lower.at(s, rows, next);
            // SAFETY: `column` begins two vectors inside a row of `KEYS`, in all three arrays.
            unsafe {
                let at = first / U::DEPTH * KEYS + column;
                let p_by_rows = rows.p_by_rows.as_mut_ptr().add(at);
                s.store_words(p_by_rows, U::combine(s, p, p_below));
                s.store_words(p_by_rows.add(S::LANES), U::combine(s, p_next, p_next_below));
                let ds_by_rows = rows.ds_by_rows.as_mut_ptr().add(at);
                s.store_words(ds_by_rows, U::combine(s, ds, ds_below));
                s.store_words(
                    ds_by_rows.add(S::LANES),
                    U::combine(s, ds_next, ds_next_below),
                );
                let flat = rows.ds.as_mut_ptr();
                U::store(s, flat.add((first * KEYS + column) / U::DEPTH), ds, ds_next);
                U::store(
                    s,
                    flat.add((second * KEYS + column) / U::DEPTH),
                    ds_below,
                    ds_next_below,
                );
            }
        }
    }
}

/// What turns a row's scores into gradients.
struct RowGradient<F> {
    row: usize,
    scale: F,
    lse: F,
    dot: F,
    visible: F,
}

impl<F: Copy> RowGradient<F> {
    #[inline(always)]
    fn new<S: Simd<F = F>>(s: S, rows: &Rows, row: usize, scale: f32, visible: usize) -> Self {
        RowGradient {
            row,
            scale: s.splat(scale),
            lse: s.splat(rows.lse[row]),
            dot: s.splat(rows.dot[row]),
            visible: s.splat(visible as f32),
        }
    }

    /// `P` and `dS` of a vector of columns.
    #[inline(always)]
    fn at<S: Simd<F = F>>(&self, s: S, rows: &Rows, column: usize) -> (F, F) {
        let at = self.row * KEYS + column;
        let (score, dscore) = (
            vector_at(s, &rows.scores, at),
            vector_at(s, &rows.dscores, at),
        );
        let zero = s.splat(0.0);
        let p = simd::exp(s, s.sub(s.mul(score, self.scale), self.lse));
        let p = seen_or(s, column, self.visible, p, zero);
        let ds = s.mul(s.mul(p, s.sub(dscore, self.dot)), self.scale);
        // Past the visible keys `dscore` is whatever was there before, perhaps no number.
        (p, seen_or(s, column, self.visible, ds, zero))
    }
}
