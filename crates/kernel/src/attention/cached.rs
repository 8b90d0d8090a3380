//! Attention of query rows over caches, for inference.
//!
//! A task is some rows and one kv head; blocks of keys and values are read as the cache
//! holds them. Rows of several sequences that begin with the same blocks, a prompt that all share,
//! take those in together, so that they are read once for all of them, and then each its own. What a
//! row computes depends on its own position alone ([`super::softmax`]), and so not on its company.

use super::panels::{KEYS, Panels};
use super::softmax::{QueryRows, Sight};
use super::{CachedQuery, Shape};
use crate::Pool;
use crate::gemm::PairUnit;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd};

/// Query rows (rows of the batch times heads of the group) in a task.
const TASK_QUERIES: usize = 96;
/// The same where they are of several sequences: enough for reading a block once to pay, few enough
/// for every thread to have tasks.
const SHARED_TASK_QUERIES: usize = 24;
/// Fewer blocks that are the same are not worth it.
const SHARED_BLOCKS_MIN: usize = 2;

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
    let mut pieces: Vec<CachedQuery<'_>> = queries
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
    let together = together(shape, &mut pieces);
    let out = SharedMut::new(out);
    pool.run(together.len() * shape.kv_heads, &|task| {
        let ((queries, shared), kv_head) = (together[task / shape.kv_heads], task % shape.kv_heads);
        simd::vectorize(
            pool.isa(),
            Piece {
                shape,
                queries,
                shared,
                kv_head,
                q,
                out,
            },
        );
    });
}

/// The pieces in runs that a task takes together, each with the blocks at the beginning that all of the
/// run share and see whole.
fn together<'p, 'a>(
    shape: &Shape,
    pieces: &'p mut [CachedQuery<'a>],
) -> Vec<(&'p [CachedQuery<'a>], usize)> {
    // Where a window moves on, sequences do not see the same.
    if shape.window.is_some() {
        return pieces.chunks(1).map(|piece| (piece, 0)).collect();
    }
    pieces.sort_by_key(|piece| piece.cache.addresses().next());
    let rows_max = SHARED_TASK_QUERIES / (shape.heads / shape.kv_heads);
    let (mut runs, mut rest) = (Vec::new(), &*pieces);
    while let Some((first, others)) = rest.split_first() {
        let (mut count, mut rows, mut shared) = (1, first.rows, first.visible / KEYS);
        for piece in others {
            let both = first
                .cache
                .blocks_shared(piece.cache)
                .min(shared)
                .min(piece.visible / KEYS);
            rows += piece.rows;
            if rows > rows_max || both < SHARED_BLOCKS_MIN {
                break;
            }
            (count, shared) = (count + 1, both);
        }
        let (run, left) = rest.split_at(count);
        runs.push((run, if count > 1 { shared } else { 0 }));
        rest = left;
    }
    runs
}

/// Rows that take in the blocks together, for the query heads of one kv head.
struct Piece<'a> {
    shape: &'a Shape,
    queries: &'a [CachedQuery<'a>],
    /// Blocks that all of them begin with.
    shared: usize,
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
            queries,
            shared,
            kv_head,
            q,
            out,
        } = self;
        let (group, dim) = (shape.heads / shape.kv_heads, shape.head_dim);
        let own = queries.iter().flat_map(|it| it.row..it.row + it.rows);
        let batch_rows: Vec<usize> = own.collect();
        let range = |i: usize| {
            let at = (batch_rows[i / group] * shape.heads + kv_head * group + i % group) * dim;
            at..at + dim
        };
        let panels = Panels::<S, PairUnit>::new(s, dim);
        let count = batch_rows.len() * group;
        let mut rows = QueryRows::new(panels, shape, count, queries[0].visible, |i| &q[range(i)]);
        for block in 0..shared {
            let (keys, values) = queries[0].cache.block(block, kv_head);
            rows.take_in_whole(keys, values);
        }
        let mut first = 0;
        for query in queries {
            let end = first + query.rows * group;
            rows.look(Sight {
                first,
                end,
                visible: query.visible,
            });
            let blocks = rows.blocks();
            for block in blocks.start.max(shared)..blocks.end {
                let (keys, values) = query.cache.block(block, kv_head);
                rows.take_in(block, keys, values);
            }
            first = end;
        }
        for i in 0..count {
            // SAFETY: the caller checked that queries name different rows; tasks and iterations
            // take different heads and rows of them.
            let _log_sum = rows.finish(i, unsafe { out.slice(range(i)) });
        }
    }
}
