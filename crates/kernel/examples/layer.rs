//! Prints where the time of one decoder layer goes when a LoRA adapter is tuned, operation by
//! operation, at the shapes of SmolLM2-135M and about 1000 rows that share a prefix:
//! `cargo run --release -p lathe-kernel --example layer`
//!
//! Each figure is the shortest of many repetitions of the operation alone, with warm caches.

use std::time::Instant;

use lathe_kernel::attention::{self, CachedQuery, KvLayer, Shape, Span};
use lathe_kernel::gated::{self, Activation};
use lathe_kernel::{
    AdaptedProduct, LowRank, PackedMatrix, Pool, Precision, Product, cross_entropy,
    default_threads, matmul, matmul_adapted, matmul_tn_bf16, rmsnorm, rope,
};

const HIDDEN: usize = 576;
const INNER: usize = 1536;
const SHAPE: Shape = Shape {
    heads: 9,
    kv_heads: 3,
    head_dim: 64,
    scale: 0.125,
    window: None,
    precision: Precision::Bf16,
};
const KEYS: usize = SHAPE.kv_heads * SHAPE.head_dim;
const RANK: usize = 16;
const VOCAB: usize = 49152;
const PREFIX: usize = 40;
const SPAN: usize = 60;
const SPANS: usize = 16;
const ROWS: usize = PREFIX + SPAN * SPANS;

fn main() {
    let pool = Pool::new(default_threads());
    println!("{ROWS} rows, {} threads, {}", pool.threads(), pool.isa());
    let total = weights(&pool) + low_rank(&pool) + row_wise(&pool) + span_attention(&pool);
    let rows = ROWS as f64;
    println!(
        "sum: {:.3} ms a layer, {:.0} rows/s through 30 layers",
        total * 1e3,
        rows / total / 30.0
    );
    head(&pool);
    cache_attention(&pool);
}

/// The frozen matrices with their low-rank terms, forward and backward.
fn weights(pool: &Pool) -> f64 {
    [
        ("q, k, v", HIDDEN, &[HIDDEN, KEYS, KEYS][..]),
        ("o", HIDDEN, &[HIDDEN]),
        ("gate, up", HIDDEN, &[INNER, INNER]),
        ("down", INNER, &[HIDDEN]),
    ]
    .into_iter()
    .map(|(name, k, columns)| {
        let matrices: Vec<Matrix> = columns.iter().map(|&n| Matrix::new(pool, n, k)).collect();
        let mut outs: Vec<Vec<f32>> = columns.iter().map(|n| vec![0.0; ROWS * n]).collect();
        let mut lows = vec![vec![0.0; ROWS * RANK]; columns.len()];
        let x = values(ROWS * k);
        let forward = report(&format!("{name} forward"), || {
            let products = matrices.iter().zip(&mut outs).zip(&mut lows);
            let products =
                products.map(|((matrix, out), low)| matrix.forward.product(out, low, false));
            matmul_adapted(pool, &x, ROWS, &mut products.collect::<Vec<_>>());
        });
        let mut dx = vec![0.0; ROWS * k];
        let backward = report(&format!("{name} backward"), || {
            for ((matrix, dy), low) in matrices.iter().zip(&outs).zip(&mut lows) {
                matmul_adapted(
                    pool,
                    dy,
                    ROWS,
                    &mut [matrix.backward.product(&mut dx, low, true)],
                );
            }
        });
        forward + backward
    })
    .sum()
}

/// A frozen matrix and its adapter, packed for both directions.
struct Matrix {
    forward: Adapted,
    backward: Adapted,
}

struct Adapted {
    weights: PackedMatrix,
    down: PackedMatrix,
    up: PackedMatrix,
}

impl Matrix {
    fn new(pool: &Pool, n: usize, k: usize) -> Matrix {
        let (w, a, b) = (values(n * k), values(RANK * k), values(n * RANK));
        let pack = |w: &[f32], n, k| PackedMatrix::pack(pool.isa(), Precision::Bf16, w, n, k);
        let back =
            |w: &[f32], n, k| PackedMatrix::pack_transposed(pool.isa(), Precision::Bf16, w, n, k);
        Matrix {
            forward: Adapted {
                weights: pack(&w, n, k),
                down: pack(&a, RANK, k),
                up: pack(&b, n, RANK),
            },
            backward: Adapted {
                weights: back(&w, n, k),
                down: back(&b, n, RANK),
                up: back(&a, RANK, k),
            },
        }
    }
}

impl Adapted {
    fn product<'a>(
        &'a self,
        out: &'a mut [f32],
        low: &'a mut [f32],
        accumulate: bool,
    ) -> AdaptedProduct<'a> {
        AdaptedProduct {
            product: Product {
                weights: &self.weights,
                out,
                accumulate,
            },
            low_rank: Some(LowRank {
                down: &self.down,
                up: &self.up,
                low,
            }),
        }
    }
}

/// The gradients of all adapters of a layer.
fn low_rank(pool: &Pool) -> f64 {
    let mut total = [0.0; 2];
    for (k, n) in [
        (HIDDEN, HIDDEN),
        (HIDDEN, KEYS),
        (HIDDEN, KEYS),
        (HIDDEN, HIDDEN),
        (HIDDEN, INNER),
        (HIDDEN, INNER),
        (INNER, HIDDEN),
    ] {
        let (x, low, dy) = (values(ROWS * k), values(ROWS * RANK), values(ROWS * n));
        let (mut da, mut db) = (vec![0.0; RANK * k], vec![0.0; n * RANK]);
        total[0] += shortest(|| matmul_tn_bf16(pool, &low, &x, ROWS, RANK, k, &mut da, 1.0, true));
        total[1] += shortest(|| matmul_tn_bf16(pool, &dy, &low, ROWS, n, RANK, &mut db, 1.0, true));
    }
    for (name, total) in ["dA", "dB"].iter().zip(total) {
        println!("{name:24} {:8.3} ms", total * 1e3);
    }
    total.iter().sum()
}

/// Norms, rotation and activation: all of a layer, forward, recomputed and backward.
fn row_wise(pool: &Pool) -> f64 {
    let (x, weight, dout) = (values(ROWS * HIDDEN), values(HIDDEN), values(ROWS * HIDDEN));
    let mut out = values(ROWS * HIDDEN);
    let positions: Vec<u32> = (0..ROWS as u32).collect();
    let mut turns = rope::Turns::default();
    let frequencies = rope::inverse_frequencies(1e4, SHAPE.head_dim);
    turns.set(pool, &positions, &frequencies);
    let (gate, up, wide) = (
        values(ROWS * INNER),
        values(ROWS * INNER),
        values(ROWS * INNER),
    );
    let (mut dgate, mut dup) = (values(ROWS * INNER), values(ROWS * INNER));
    let norms = report("4 norms", || {
        (0..4).for_each(|_| rmsnorm::forward(pool, &x, &weight, 1e-5, HIDDEN, &mut out));
    });
    let norms_back = report("2 norms backward", || {
        (0..2).for_each(|_| rmsnorm::backward(pool, &x, &weight, 1e-5, HIDDEN, &dout, &mut out));
    });
    let rotations = report("rotations", || {
        for inverse in [false, true] {
            rope::apply(pool, &mut out, SHAPE.heads, &turns, inverse);
            let keys = &mut out[..ROWS * KEYS];
            rope::apply(pool, keys, SHAPE.kv_heads, &turns, inverse);
        }
    });
    let activation = report("2 activations", || {
        (0..2).for_each(|_| gated::forward(pool, Activation::Silu, &gate, &up, &mut dgate));
    });
    let activation_back = report("activation backward", || {
        gated::backward(
            pool,
            Activation::Silu,
            (&gate, &up),
            &wide,
            &mut dgate,
            &mut dup,
        )
    });
    norms + norms_back + rotations + activation + activation_back
}

fn span_attention(pool: &Pool) -> f64 {
    let mut spans = vec![Span {
        start: 0,
        len: PREFIX,
        prefix: None,
    }];
    spans.extend((0..SPANS).map(|i| Span {
        start: PREFIX + i * SPAN,
        len: SPAN,
        prefix: Some((0, PREFIX)),
    }));
    let (q, k, v, dout) = (
        values(ROWS * HIDDEN),
        values(ROWS * KEYS),
        values(ROWS * KEYS),
        values(ROWS * HIDDEN),
    );
    let (mut out, mut lse) = (vec![0.0; ROWS * HIDDEN], vec![0.0; ROWS * SHAPE.heads]);
    let forward = report("attention forward", || {
        attention::forward(pool, &SHAPE, &spans, &q, &k, &v, &mut out, &mut lse)
    });
    let (mut dq, mut dk, mut dv) = (
        values(ROWS * HIDDEN),
        values(ROWS * KEYS),
        values(ROWS * KEYS),
    );
    let backward = report("attention backward", || {
        attention::backward(
            pool, &SHAPE, &spans, &q, &k, &v, &out, &lse, &dout, &mut dq, &mut dk, &mut dv,
        );
    });
    forward + backward
}

/// 128 supervised rows.
fn head(pool: &Pool) {
    const TARGETS: usize = 128;
    let (x, w) = (values(TARGETS * HIDDEN), values(VOCAB * HIDDEN));
    let forward = PackedMatrix::pack(pool.isa(), Precision::Bf16, &w, VOCAB, HIDDEN);
    let backward = PackedMatrix::pack_transposed(pool.isa(), Precision::Bf16, &w, VOCAB, HIDDEN);
    let mut logits = vec![0.0; TARGETS * VOCAB];
    report("head forward, 128 rows", || {
        matmul(pool, &x, TARGETS, &forward, &mut logits, false)
    });
    let (targets, mut losses) = ([(7, 1.0); TARGETS], [0.0; TARGETS]);
    report("cross entropy", || {
        cross_entropy::forward_backward(pool, &mut logits, VOCAB, &targets, &mut losses)
    });
    let mut dx = values(TARGETS * HIDDEN);
    report("head backward", || {
        matmul(pool, &logits, TARGETS, &backward, &mut dx, false)
    });
}

/// One token and a prompt over caches.
fn cache_attention(pool: &Pool) {
    for (rows, len) in [(1, 500), (512, 512)] {
        let (q, k) = (values(rows * HIDDEN), values(len * KEYS));
        let mut cache = KvLayer::new(pool.isa(), SHAPE.kv_heads, SHAPE.head_dim);
        let append = shortest(|| {
            cache.truncate(0);
            cache.append(&k, &k);
        });
        let mut out = vec![0.0; rows * HIDDEN];
        println!("append {len:5}             {:8.3} ms", append * 1e3);
        let query = CachedQuery {
            row: 0,
            rows,
            cache: &cache,
            visible: len - rows + 1,
        };
        report(&format!("{rows} rows over {len}"), || {
            attention::cached(pool, &SHAPE, &[query], &q, &mut out)
        });
    }
}

fn report(name: &str, call: impl FnMut()) -> f64 {
    let seconds = shortest(call);
    println!("{name:24} {:8.3} ms", seconds * 1e3);
    seconds
}

fn values(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0)
        .collect()
}

/// Shortest time of a call in seconds: other work on the machine only ever adds to it.
fn shortest(mut call: impl FnMut()) -> f64 {
    const REPETITIONS: usize = 60;
    let time = |_| {
        let start = Instant::now();
        call();
        start.elapsed().as_secs_f64()
    };
    (0..REPETITIONS).map(time).fold(f64::INFINITY, f64::min)
}
