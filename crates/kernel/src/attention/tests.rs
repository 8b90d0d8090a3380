//! Tests of attention as a whole: against the reference, finite differences, chunking and threads.

use super::reference;
use super::*;
use crate::testing::{
    assert_close, assert_is_gradient, assert_same_bits, assert_thread_count_is_invisible, drawn,
    for_each_isa, random,
};

fn shape(heads: usize, kv_heads: usize, head_dim: usize) -> Shape {
    Shape {
        heads,
        kv_heads,
        head_dim,
        scale: 1.0 / (head_dim as f32).sqrt(),
        window: None,
        precision: Precision::Bf16,
    }
}

/// No window, windows inside a block and across blocks, and one that hides nothing.
const WINDOWS: [Option<usize>; 8] = [
    None,
    Some(1),
    Some(5),
    Some(63),
    Some(64),
    Some(70),
    Some(500),
    Some(usize::MAX),
];

fn windowed(shape: Shape, window: Option<usize>) -> Shape {
    Shape { window, ..shape }
}

fn span(start: usize, len: usize, prefix: Option<(usize, usize)>) -> Span {
    Span { start, len, prefix }
}

/// Batches of different make: `(rows, spans)`.
fn batches() -> Vec<(usize, Vec<Span>)> {
    let shared = Some((0, 37));
    let drawn = drawn(26, 3, [90, 90]).into_iter().map(|[first, second]| {
        let behind = span(first, second, Some((0, first)));
        (first + second, vec![span(0, first, None), behind])
    });
    let edges = vec![
        (0, vec![]),
        (1, vec![span(0, 1, None)]),
        (70, vec![span(0, 70, None)]),
        (131, vec![span(1, 130, None)]),
        (
            9,
            vec![span(0, 3, None), span(3, 0, None), span(3, 6, Some((0, 3)))],
        ),
        (
            200,
            vec![
                span(0, 37, None),
                span(37, 90, shared),
                span(127, 1, shared),
                span(128, 70, shared),
            ],
        ),
    ];
    edges.into_iter().chain(drawn).collect()
}

/// Every item without a window and with a narrow one.
fn in_two_windows<T: Clone>(items: Vec<T>) -> impl Iterator<Item = (T, Option<usize>)> {
    let each = |item: T| [None, Some(9)].map(|window| (item.clone(), window));
    items.into_iter().flat_map(each)
}

/// Every item with every window.
fn in_windows<T: Clone>(items: Vec<T>) -> impl Iterator<Item = (T, Option<usize>)> {
    let each = |item: T| WINDOWS.map(|window| (item.clone(), window));
    items.into_iter().flat_map(each)
}

/// Heads, heads of keys and values, and the width of one: the usual ones, odd ones, and some that are drawn.
fn shapes() -> Vec<(usize, usize, usize)> {
    let drawn = drawn(25, 3, [3, 3, 70]).into_iter();
    let drawn = drawn.map(|[kv_heads, group, head_dim]| (kv_heads * group, kv_heads, head_dim));
    let usual = [(3, 1, 64), (4, 4, 8), (4, 2, 40), (2, 1, 5)];
    usual.into_iter().chain(drawn).collect()
}

struct Case {
    shape: Shape,
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
    dout: Vec<f32>,
}

impl Case {
    fn new(shape: Shape, rows: usize) -> Case {
        let (wide, narrow) = (
            rows * shape.heads * shape.head_dim,
            rows * shape.kv_heads * shape.head_dim,
        );
        let large = |seed, len| random(seed, len).iter().map(|x| 3.0 * x).collect();
        Case {
            shape,
            q: large(1, wide),
            k: large(2, narrow),
            v: random(3, narrow),
            dout: random(4, wide),
        }
    }

    fn inputs(&self) -> forward::Inputs<'_> {
        forward::Inputs {
            shape: &self.shape,
            q: &self.q,
            k: &self.k,
            v: &self.v,
        }
    }

    fn forward<U: Unit>(&self, pool: &Pool, spans: &[Span]) -> (Vec<f32>, Vec<f32>) {
        let rows = self.q.len() / (self.shape.heads * self.shape.head_dim);
        let (mut out, mut lse) = (vec![0.0; self.q.len()], vec![0.0; rows * self.shape.heads]);
        forward_with::<U>(pool, spans, self.inputs(), &mut out, &mut lse);
        (out, lse)
    }

    fn backward<U: Unit>(&self, pool: &Pool, spans: &[Span]) -> [Vec<f32>; 3] {
        let (out, lse) = self.forward::<U>(pool, spans);
        let mut gradients = [&self.q, &self.k, &self.v].map(|tensor| vec![0.0; tensor.len()]);
        let given = backward::Given {
            out: &out,
            lse: &lse,
            dout: &self.dout,
        };
        backward_with::<U>(
            pool,
            spans,
            self.inputs(),
            given,
            gradients.each_mut().map(|gradient| &mut gradient[..]),
        );
        gradients
    }

    /// `Σ dout · out` of the reference.
    fn loss(&self, spans: &[Span], q: &[f32], k: &[f32], v: &[f32]) -> f64 {
        let rows = q.len() / (self.shape.heads * self.shape.head_dim);
        let out = reference::forward(&self.shape, spans, q, k, v, rows).out;
        out.iter()
            .zip(&self.dout)
            .map(|(out, dout)| f64::from(*out) * f64::from(*dout))
            .sum()
    }
}

#[test]
fn forward_agrees_with_the_reference() {
    for_each_isa(|pool| {
        for (heads, kv_heads, head_dim) in shapes() {
            for ((rows, spans), window) in in_windows(batches()) {
                let shape = windowed(shape(heads, kv_heads, head_dim), window);
                let case = Case::new(shape, rows);
                let expected =
                    reference::forward(&case.shape, &spans, &case.q, &case.k, &case.v, rows);
                let (out, lse) = case.forward::<FloatUnit>(pool, &spans);
                assert_close(&out, &expected.out, 1e-5, "out in f32");
                assert_close(&lse, &expected.lse, 1e-5, "lse in f32");
                let (out, lse) = case.forward::<PairUnit>(pool, &spans);
                assert_close(&out, &expected.out, 2e-2, "out in bf16");
                assert_close(&lse, &expected.lse, 2e-2, "lse in bf16");
            }
        }
    });
}

#[test]
fn backward_is_the_gradient() {
    let spans = [
        span(0, 23, None),
        span(23, 30, Some((0, 23))),
        span(53, 21, Some((0, 23))),
    ];
    for_each_isa(|pool| {
        for ((heads, kv_heads, head_dim), window) in in_windows(vec![(3, 1, 6), (2, 2, 8)]) {
            let shape = windowed(shape(heads, kv_heads, head_dim), window);
            let case = Case::new(shape, 74);
            let [dq, dk, dv] = case.backward::<FloatUnit>(pool, &spans);
            let (q, k, v) = (&case.q, &case.k, &case.v);
            assert_is_gradient(q, &dq, 41, 3e-3, |q| case.loss(&spans, q, k, v));
            assert_is_gradient(k, &dk, 17, 3e-3, |k| case.loss(&spans, q, k, v));
            assert_is_gradient(v, &dv, 17, 3e-3, |v| case.loss(&spans, q, k, v));
        }
    });
}

/// Asserts that the gradients of a batch are near the reference's, on each instruction set.
fn assert_gradients(case: &Case, spans: &[Span]) {
    let inputs = [&case.q[..], &case.k, &case.v];
    // Of one row the gradients of q and k are zero but for rounding: all are compared as one.
    let expected = reference::backward(&case.shape, spans, inputs, &case.dout).concat();
    for_each_isa(|pool| {
        let exact = case.backward::<FloatUnit>(pool, spans).concat();
        assert_close(&exact, &expected, 1e-5, "gradients in f32");
        let rounded = case.backward::<PairUnit>(pool, spans).concat();
        assert_close(&rounded, &expected, 3e-2, "gradients in bf16");
    });
}

#[test]
fn backward_agrees_with_the_reference() {
    for (heads, kv_heads, head_dim) in shapes() {
        for ((rows, spans), window) in in_windows(batches()) {
            let shape = windowed(shape(heads, kv_heads, head_dim), window);
            assert_gradients(&Case::new(shape, rows), &spans);
        }
    }
}

#[test]
fn rows_outside_the_spans_are_left_alone() {
    let case = Case::new(shape(2, 1, 8), 5);
    let (mut out, mut lse) = (vec![7.0; case.q.len()], vec![7.0; 10]);
    let spans = [span(1, 3, None)];
    forward(
        &Pool::new(1),
        &case.shape,
        &spans,
        &case.q,
        &case.k,
        &case.v,
        &mut out,
        &mut lse,
    );
    assert!(out[..16].iter().chain(&out[64..]).all(|&out| out == 7.0));
    assert!(lse[..2].iter().chain(&lse[8..]).all(|&lse| lse == 7.0));
    assert!(out[16..64].iter().all(|&out| out != 7.0));
}

#[test]
fn training_results_do_not_depend_on_thread_count() {
    // The last span is longer than a task.
    let long = (640, vec![span(0, 40, None), span(40, 600, Some((0, 40)))]);
    let batches = batches().into_iter().chain([long]).collect();
    for ((rows, spans), window) in in_two_windows(batches) {
        let case = Case::new(windowed(shape(6, 2, 16), window), rows);
        assert_thread_count_is_invisible(|pool| {
            let (rounded, lse) = case.forward::<PairUnit>(pool, &spans);
            let (exact, exact_lse) = case.forward::<FloatUnit>(pool, &spans);
            let rounded_back = case.backward::<PairUnit>(pool, &spans).concat();
            let exact_back = case.backward::<FloatUnit>(pool, &spans).concat();
            [rounded, lse, rounded_back, exact, exact_lse, exact_back].concat()
        });
    }
}

/// Runs a whole sequence through a cache in chunks of the given lengths.
fn in_chunks(pool: &Pool, case: &Case, chunks: impl Iterator<Item = usize>) -> Vec<f32> {
    let (wide, narrow) = (
        case.shape.heads * case.shape.head_dim,
        case.shape.kv_heads * case.shape.head_dim,
    );
    let mut cache = KvLayer::new(pool.isa(), case.shape.kv_heads, case.shape.head_dim);
    let mut out = vec![f32::NAN; case.q.len()];
    for rows in chunks {
        let start = cache.len();
        let rows = rows.min(case.q.len() / wide - start);
        let here = start * narrow..(start + rows) * narrow;
        cache.append(&case.k[here.clone()], &case.v[here]);
        let here = start * wide..(start + rows) * wide;
        let query = CachedQuery {
            row: 0,
            rows,
            cache: &cache,
            visible: start + 1,
        };
        cached(
            pool,
            &case.shape,
            &[query],
            &case.q[here.clone()],
            &mut out[here],
        );
    }
    out
}

#[test]
fn cached_rows_do_not_depend_on_chunking_and_equal_training() {
    for_each_isa(|pool| {
        for ((heads, kv_heads, head_dim), window) in in_windows(shapes()) {
            let rows = 170;
            let case = Case::new(windowed(shape(heads, kv_heads, head_dim), window), rows);
            let whole = in_chunks(pool, &case, [rows].into_iter());
            for length in [1, 2, 3, 5, 16, 33, 64, 100] {
                let pieces = in_chunks(
                    pool,
                    &case,
                    std::iter::repeat_n(length, rows.div_ceil(length)),
                );
                assert_same_bits(&pieces, &whole, &format!("chunks of {length}"));
            }
            let (training, _) = case.forward::<PairUnit>(pool, &[span(0, rows, None)]);
            assert_same_bits(&training, &whole, "training");
            let spans = [span(0, 41, None), span(41, rows - 41, Some((0, 41)))];
            let (shared, _) = case.forward::<PairUnit>(pool, &spans);
            assert_same_bits(&shared, &whole, "training with a prefix");
        }
    });
}

#[test]
fn chunks_do_not_depend_on_thread_count() {
    for window in [None, Some(50)] {
        let case = Case::new(windowed(shape(6, 2, 40), window), 170);
        assert_thread_count_is_invisible(|pool| {
            let of = |length| in_chunks(pool, &case, std::iter::repeat_n(length, 170 / length));
            [170, 34, 5].map(of).concat()
        });
    }
}

#[test]
fn cached_rows_do_not_depend_on_the_batch_or_threads() {
    let case = Case::new(shape(3, 1, 16), 90);
    let (wide, narrow) = (3 * 16, 16);
    assert_thread_count_is_invisible(|pool| {
        let lengths = [1, 40, 64, 90];
        let caches = lengths.map(|len| {
            let mut cache = KvLayer::new(pool.isa(), 1, 16);
            cache.append(&case.k[..len * narrow], &case.v[..len * narrow]);
            cache
        });
        // Row 0 is nobody's; the queries of the four sequences lie in reverse order behind it.
        let query = |i: usize| CachedQuery {
            row: 4 - i,
            rows: 1,
            cache: &caches[i],
            visible: lengths[i],
        };
        let queries = [query(0), query(1), query(2), query(3)];
        let q = &case.q[..5 * wide];
        let mut out = vec![7.0; 5 * wide];
        cached(pool, &case.shape, &queries, q, &mut out);
        assert!(out[..wide].iter().all(|&out| out == 7.0));
        for query in queries {
            let mut alone = vec![0.0; wide];
            let here = query.row * wide..(query.row + 1) * wide;
            cached(
                pool,
                &case.shape,
                &[CachedQuery { row: 0, ..query }],
                &q[here.clone()],
                &mut alone,
            );
            assert_same_bits(&alone, &out[here], "a query alone");
        }
        out
    });
}

#[test]
fn sequences_that_share_their_beginning_give_the_bits_of_each_alone() {
    assert_thread_count_is_invisible(|pool| {
        let mut all = Vec::new();
        for ((heads, kv_heads, head_dim), window) in in_windows(vec![(3, 1, 16), (6, 2, 40)]) {
            let case = Case::new(windowed(shape(heads, kv_heads, head_dim), window), 400);
            let (wide, narrow) = (heads * head_dim, kv_heads * head_dim);
            let rows = |of: std::ops::Range<usize>| of.start * narrow..of.end * narrow;
            let mut beginning = KvLayer::new(pool.isa(), kv_heads, head_dim);
            beginning.append(&case.k[rows(0..200)], &case.v[rows(0..200)]);
            // Ends of several lengths after beginnings of several, and one that shares nothing.
            let kept = [200, 200, 199, 130, 128, 127, 64, 63, 200, 0, 190, 200];
            let caches = kept.iter().enumerate().map(|(at, &kept)| {
                let mut cache = beginning.clone();
                cache.truncate(kept);
                let end = 200..203 + 13 * at;
                cache.append(&case.k[rows(end.clone())], &case.v[rows(end)]);
                cache
            });
            let caches: Vec<KvLayer> = caches.collect();
            let mut next = 0;
            let queries = caches.iter().enumerate().map(|(at, cache)| {
                let (row, rows) = (next, 1 + at % 3);
                next += rows;
                CachedQuery {
                    row,
                    rows,
                    cache,
                    visible: cache.len() + 1 - rows,
                }
            });
            let queries: Vec<CachedQuery<'_>> = queries.collect();
            let q = &case.q[..next * wide];
            let mut together = vec![0.0; q.len()];
            cached(pool, &case.shape, &queries, q, &mut together);
            for query in queries {
                let here = query.row * wide..(query.row + query.rows) * wide;
                let mut alone = vec![0.0; here.len()];
                let own = [CachedQuery { row: 0, ..query }];
                cached(pool, &case.shape, &own, &q[here.clone()], &mut alone);
                assert_same_bits(&alone, &together[here], "a sequence alone");
            }
            all.extend(together);
        }
        all
    });
}

#[test]
fn a_window_over_everything_is_none() {
    for (rows, spans) in batches() {
        let of = |window| {
            let case = Case::new(windowed(shape(4, 2, 40), window), rows);
            let (out, lse) = case.forward::<PairUnit>(&Pool::new(1), &spans);
            let gradients = case.backward::<PairUnit>(&Pool::new(1), &spans).concat();
            [out, lse, gradients].concat()
        };
        assert_same_bits(&of(Some(rows + 1)), &of(None), "a wide window");
    }
}

#[test]
fn long_spans_lay_out_no_more_than_their_windows() {
    // More rows than a task has, so that later tasks begin at later blocks.
    let (rows, spans) = (700, [span(0, 90, None), span(90, 610, Some((0, 90)))]);
    for window in [None, Some(3), Some(64), Some(130), Some(300)] {
        let case = Case::new(windowed(shape(2, 1, 40), window), rows);
        let expected = reference::forward(&case.shape, &spans, &case.q, &case.k, &case.v, rows);
        for_each_isa(|pool| {
            let (out, _) = case.forward::<FloatUnit>(pool, &spans);
            assert_close(&out, &expected.out, 1e-5, &format!("{window:?}"));
            let (out, _) = case.forward::<PairUnit>(pool, &spans);
            assert_close(&out, &expected.out, 2e-2, &format!("{window:?} in bf16"));
        });
        assert_gradients(&case, &spans);
    }
}

#[test]
#[should_panic(expected = "overlaps an earlier span")]
fn overlapping_spans_are_refused() {
    let case = Case::new(shape(1, 1, 8), 4);
    case.forward::<PairUnit>(&Pool::new(1), &[span(0, 3, None), span(2, 2, None)]);
}

#[test]
#[should_panic(expected = "is in no earlier span")]
fn a_prefix_that_nobody_computed_is_refused() {
    let case = Case::new(shape(1, 1, 8), 4);
    case.forward::<PairUnit>(&Pool::new(1), &[span(2, 2, Some((0, 2)))]);
}

#[test]
#[should_panic(expected = "more positions than the cache holds")]
fn seeing_more_than_the_cache_holds_is_refused() {
    let pool = Pool::new(1);
    let cache = KvLayer::new(pool.isa(), 1, 8);
    let query = CachedQuery {
        row: 0,
        rows: 1,
        cache: &cache,
        visible: 1,
    };
    cached(&pool, &shape(1, 1, 8), &[query], &[0.0; 8], &mut [0.0; 8]);
}

#[test]
fn a_query_of_no_rows_is_none() {
    let pool = Pool::new(1);
    let cache = KvLayer::new(pool.isa(), 1, 8);
    let query = CachedQuery {
        row: 0,
        rows: 0,
        cache: &cache,
        visible: 0,
    };
    cached(&pool, &shape(1, 1, 8), &[query], &[], &mut []);
}
