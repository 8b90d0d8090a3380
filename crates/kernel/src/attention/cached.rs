//! Attention of query rows over caches, for inference.
//!
//! A task is some rows of one query and one kv head; blocks of keys and values are read as the cache
//! holds them. What a row computes depends on its own position alone ([`super::softmax`]).

use super::panels::Panels;
use super::softmax::QueryRows;
use super::{CachedQuery, Shape};
use crate::Pool;
use crate::gemm::PairUnit;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd};

/// Query rows (rows of the batch times heads of the group) in a task.
const TASK_QUERIES: usize = 96;

/// Runs the tasks of all queries.
pub(super) fn run(
    pool: &Pool,
    shape: &Shape,
    queries: &[CachedQuery<'_>],
    q: &[f32],
    out: &mut [f32],
) {
    let group = shape.heads / shape.kv_heads;
    let step = (TASK_QUERIES / group).max(1);
    let pieces: Vec<CachedQuery<'_>> = queries
        .iter()
        .flat_map(|query| {
            (0..query.rows).step_by(step).map(|start| CachedQuery {
                row: query.row + start,
                rows: step.min(query.rows - start),
                visible: query.visible + start,
                ..*query
            })
        })
        .collect();
    let out = SharedMut::new(out);
    pool.run(pieces.len() * shape.kv_heads, &|task| {
        let (query, kv_head) = (pieces[task / shape.kv_heads], task % shape.kv_heads);
        simd::vectorize(
            pool.isa(),
            Piece {
                shape,
                query,
                kv_head,
                q,
                out,
            },
        );
    });
}

/// Rows that take in the blocks together, for the query heads of one kv head.
struct Piece<'a> {
    shape: &'a Shape,
    query: CachedQuery<'a>,
    kv_head: usize,
    q: &'a [f32],
    out: SharedMut<'a, f32>,
}

impl Kernel for Piece<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Piece {
            shape,
            query,
            kv_head,
            q,
            out,
        } = self;
        let (group, dim) = (shape.heads / shape.kv_heads, shape.head_dim);
        let range = |i: usize| {
            let at = ((query.row + i / group) * shape.heads + kv_head * group + i % group) * dim;
            at..at + dim
        };
        let panels = Panels::<S, PairUnit>::new(s, dim);
        let count = query.rows * group;
        let mut rows = QueryRows::new(panels, shape, count, query.visible, |i| &q[range(i)]);
        for block in rows.blocks() {
            let (keys, values) = query.cache.block(block, kv_head);
            rows.take_in(block, keys, values);
        }
        for i in 0..count {
            // SAFETY: the caller checked that queries name different rows; tasks and iterations
            // take different heads and rows of them.
            let _log_sum = rows.finish(i, unsafe { out.slice(range(i)) });
        }
    }
}
