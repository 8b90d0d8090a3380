//! Attention of a packed batch.
//!
//! A task is a run of rows of one span and one kv head. It lays out the keys and values that its
//! rows see, in the order of the sequence and in blocks that begin with it, exactly as a cache would
//! hold them, and lets its queries take them in ([`super::softmax`]).

use std::marker::PhantomData;
use std::ops::Range;

use super::panels::{KEYS, Panels};
use super::softmax::QueryRows;
use super::{Shape, Span};
use crate::Pool;
use crate::buffer::Scratch;
use crate::gemm::Unit;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, prefetch};

/// Rows of the batch in a task: enough that laying out their keys does not count.
const TASK_ROWS: usize = 256;
/// How many rows ahead of their use keys, values and queries are asked for: a row of one head is a
/// few cache lines, and the next one lies a whole row of all heads further on.
pub(super) const ROWS_AHEAD: usize = 8;
/// Query rows (rows of the batch times heads of the group) that take in a block together.
const BLOCK_QUERIES: usize = 96;

/// Inputs of one call.
#[derive(Clone, Copy)]
pub(super) struct Inputs<'a> {
    pub(super) shape: &'a Shape,
    pub(super) q: &'a [f32],
    pub(super) k: &'a [f32],
    pub(super) v: &'a [f32],
}

impl Shape {
    /// Keys or values of a row and kv head.
    #[inline(always)]
    pub(super) fn narrow<'t>(&self, of: &'t [f32], row: usize, kv_head: usize) -> &'t [f32] {
        &of[(row * self.kv_heads + kv_head) * self.head_dim..][..self.head_dim]
    }

    /// Row and query head of a tensor with the shape of the queries.
    #[inline(always)]
    pub(super) fn wide<'t>(&self, of: &'t [f32], row: usize, head: usize) -> &'t [f32] {
        &of[(row * self.heads + head) * self.head_dim..][..self.head_dim]
    }
}

/// The row of the batch that holds position `position` of a span's sequence, prefix included.
#[inline(always)]
pub(super) fn row_of(span: &Span, position: usize) -> usize {
    let (start, len) = span.prefix.unwrap_or((0, 0));
    if position < len {
        start + position
    } else {
        span.start + position - len
    }
}

/// Runs the forward pass with operands of kind `U`.
pub(super) fn run<U: Unit>(
    pool: &Pool,
    inputs: Inputs<'_>,
    spans: &[Span],
    out: &mut [f32],
    lse: &mut [f32],
) {
    let kv_heads = inputs.shape.kv_heads;
    let runs: Vec<(Span, Range<usize>)> = spans
        .iter()
        .flat_map(|span| {
            let starts = (0..span.len).step_by(TASK_ROWS);
            starts.map(|start| (*span, start..(start + TASK_ROWS).min(span.len)))
        })
        .collect();
    let (out, lse) = (SharedMut::new(out), SharedMut::new(lse));
    pool.run(runs.len() * kv_heads, &|task| {
        let (span, rows) = runs[task / kv_heads].clone();
        let kv_head = task % kv_heads;
        simd::vectorize(
            pool.isa(),
            Run {
                inputs,
                span,
                rows,
                kv_head,
                out,
                lse,
                unit: PhantomData::<U>,
            },
        );
    });
}

/// The rows `rows` of a span, for the query heads of one kv head.
struct Run<'a, U> {
    inputs: Inputs<'a>,
    span: Span,
    rows: Range<usize>,
    kv_head: usize,
    out: SharedMut<'a, f32>,
    lse: SharedMut<'a, f32>,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for Run<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panels = Panels::<S, U>::new(s, self.inputs.shape.head_dim);
        let prefix = self.span.prefix.map_or(0, |(_, len)| len);
        // Blocks before the first row's window are not laid out.
        let hidden = self.inputs.shape.hidden(prefix + self.rows.start + 1);
        let positions = hidden / KEYS * KEYS..prefix + self.rows.end;
        let keys = by_columns(
            &panels,
            &self.inputs,
            self.inputs.k,
            &self.span,
            self.kv_head,
            positions.clone(),
        );
        let values = by_depth(
            &panels,
            &self.inputs,
            self.inputs.v,
            &self.span,
            self.kv_head,
            positions.clone(),
        );
        let group = self.inputs.shape.heads / self.inputs.shape.kv_heads;
        let step = (BLOCK_QUERIES / group).max(1);
        for start in self.rows.clone().step_by(step) {
            let rows = start..(start + step).min(self.rows.end);
            let first_block = positions.start / KEYS;
            self.rows_together(&panels, rows, prefix, first_block, (&keys, &values));
        }
    }
}

impl<U: Unit> Run<'_, U> {
    #[inline(always)]
    fn rows_together<S: Simd>(
        &self,
        panels: &Panels<S, U>,
        rows: Range<usize>,
        prefix: usize,
        first_block: usize,
        (keys, values): (&[u32], &[u32]),
    ) {
        let Inputs { shape, q, .. } = self.inputs;
        let group = shape.heads / shape.kv_heads;
        let place = |query: usize| {
            (
                self.span.start + rows.start + query / group,
                self.kv_head * group + query % group,
            )
        };
        let query = |query: usize| {
            let (row, head) = place(query);
            shape.wide(q, row, head)
        };
        let count = rows.len() * group;
        let visible = prefix + rows.start + 1;
        let mut queries = QueryRows::new(*panels, shape, count, visible, query);
        let (keys_words, values_words) = (panels.by_columns_words(), panels.by_depth_words());
        for block in queries.blocks() {
            let at = block - first_block;
            let keys = &keys[at * keys_words..][..keys_words];
            let values = &values[at * values_words..][..values_words];
            queries.take_in(block, keys, values);
        }
        for query in 0..count {
            let (row, head) = place(query);
            let at = row * shape.heads + head;
            // SAFETY: each row and head belongs to one span, one task and one iteration.
            let (out, lse) = unsafe {
                let out = self
                    .out
                    .slice(at * shape.head_dim..(at + 1) * shape.head_dim);
                (out, self.lse.slice(at..at + 1))
            };
            lse[0] = queries.finish(query, out);
        }
    }
}

/// The rows at `positions` of a span's sequence in `of` (keys or values), as blocks by columns; the
/// first position begins a block.
#[inline(always)]
pub(super) fn by_columns<S: Simd, U: Unit>(
    panels: &Panels<S, U>,
    inputs: &Inputs<'_>,
    of: &[f32],
    span: &Span,
    kv_head: usize,
    positions: Range<usize>,
) -> Scratch {
    let words = panels.by_columns_words();
    let mut blocks = Scratch::words(positions.len().div_ceil(KEYS) * words);
    for (index, block) in blocks.chunks_exact_mut(words).enumerate() {
        let start = positions.start + index * KEYS;
        for position in start..(start + KEYS).min(positions.end) {
            if position + ROWS_AHEAD < positions.end {
                let row = row_of(span, position + ROWS_AHEAD);
                prefetch(panels.simd, inputs.shape.narrow(of, row, kv_head));
            }
            let row = inputs.shape.narrow(of, row_of(span, position), kv_head);
            panels.write_column(block, position - start, row);
        }
    }
    blocks
}

/// The rows at `positions` of a span's sequence in `of`, as blocks by depth; the first position
/// begins a block. Where the last word has room for one more row it is zero.
#[inline(always)]
pub(super) fn by_depth<S: Simd, U: Unit>(
    panels: &Panels<S, U>,
    inputs: &Inputs<'_>,
    of: &[f32],
    span: &Span,
    kv_head: usize,
    positions: Range<usize>,
) -> Scratch {
    let words = panels.by_depth_words();
    let mut blocks = Scratch::words(positions.len().div_ceil(KEYS) * words);
    let mut zeros = Scratch::floats(panels.head_dim);
    zeros.fill(0.0);
    let row = |position: usize| {
        if position < positions.end {
            inputs.shape.narrow(of, row_of(span, position), kv_head)
        } else {
            &zeros[..]
        }
    };
    for (index, block) in blocks.chunks_exact_mut(words).enumerate() {
        let start = positions.start + index * KEYS;
        for unit in 0..KEYS.min(positions.end - start).div_ceil(U::DEPTH) {
            let first = start + unit * U::DEPTH;
            for ahead in first + ROWS_AHEAD..(first + ROWS_AHEAD + U::DEPTH).min(positions.end) {
                prefetch(panels.simd, row(ahead));
            }
            panels.write_depth(block, unit, row(first), row(first + U::DEPTH - 1));
        }
    }
    blocks
}
