//! Prints the speed of the matrix products at the shapes of small language models:
//! `cargo run --release -p lathe-kernel --example gflops`
//!
//! A figure is the shortest of many repetitions; the number of threads is `LATHE_THREADS` or all.

use std::time::Instant;

use lathe_kernel::quantised::{
    BLOCK, Bits, Blocks, Offsets, QuantisedMatrix, QuantisedProduct, matmul_quantised,
};
use lathe_kernel::{
    PackedMatrix, Pool, Precision, default_threads, matmul, matmul_tn, matmul_tn_bf16,
};

/// `(rows, depth, columns)`
const SHAPES: [(usize, usize, usize); 12] = [
    (1024, 576, 1536),
    (1024, 576, 576),
    (1024, 576, 192),
    (1024, 1536, 576),
    (1024, 1024, 1024),
    (256, 576, 49152),
    (1, 576, 1536),
    (1, 1536, 576),
    (1, 576, 49152),
    (8, 576, 1536),
    (8, 1536, 576),
    (16, 576, 1536),
];

fn main() {
    let pool = Pool::new(default_threads());
    println!("{} threads, {}", pool.threads(), pool.isa());
    for (m, k, n) in SHAPES {
        weights(&pool, Precision::Bf16, m, k, n);
    }
    for (m, k, n) in SHAPES {
        quantised(&pool, Bits::Four, m, k, n);
        quantised(&pool, Bits::Eight, m, k, n);
    }
    for (m, k, n) in SHAPES.into_iter().filter(|(m, ..)| *m > 16) {
        learning(&pool, m, k, n);
        learning(&pool, m, n, k);
    }
    for (m, k, n) in [(1024, 576, 16), (1024, 16, 1536), (1024, 576, 1536)] {
        weights(&pool, Precision::F32, m, k, n);
    }
    for (m, p, q) in [
        (1024, 16, 576),
        (1024, 16, 1536),
        (1024, 1536, 16),
        (1024, 576, 1536),
    ] {
        let (a, b, mut out) = (values(m * p), values(m * q), values(p * q));
        let seconds = shortest(|_| matmul_tn(&pool, &a, &b, m, p, q, &mut out, 1.0, true));
        let rounded = shortest(|_| matmul_tn_bf16(&pool, &a, &b, m, p, q, &mut out, 1.0, true));
        let [exact, rounded] = [seconds, rounded].map(|seconds| flops(m, p, q) / seconds / 1e9);
        println!("tn {m:5} rows {p:5} x {q:5}: {exact:7.1} GFLOP/s, {rounded:7.1} in bf16");
    }
}

/// Weights that learn, rounded to 8 bits anew after every step.
fn learning(pool: &Pool, m: usize, k: usize, n: usize) {
    let (x, w, mut out) = (values(m * k), values(n * k), values(m * n));
    let mut packed = QuantisedMatrix::blank(pool.isa(), n, k);
    let back = shortest(|_| packed.round_transposed(pool, &w));
    let round = shortest(|_| packed.round(pool, &w));
    let seconds = shortest(|_| {
        let product = QuantisedProduct {
            weights: &packed,
            out: &mut out,
            accumulate: false,
        };
        matmul_quantised(pool, &x, m, &mut [product]);
    });
    let read = |seconds| (4 * n * k) as f64 / seconds / 1e9;
    println!(
        "learning {m:5} rows {k:5} -> {n:5}: {:7.1} GOP/s, rounded at {:6.2} GB/s, transposed at {:6.2}",
        flops(m, k, n) / seconds / 1e9,
        read(round),
        read(back),
    );
}

/// Enough copies of the weights that they come from memory when there are few rows.
const COLD_BYTES: usize = 128 << 20;

fn weights(pool: &Pool, precision: Precision, m: usize, k: usize, n: usize) {
    let (x, w, mut out) = (values(m * k), values(n * k), values(m * n));
    let one = PackedMatrix::pack(pool.isa(), precision, &w, n, k);
    let copies = if m < 64 {
        (COLD_BYTES / one.bytes()).clamp(1, 100)
    } else {
        1
    };
    let packed = vec![one; copies];
    let seconds =
        shortest(|repetition| matmul(pool, &x, m, &packed[repetition % copies], &mut out, false));
    let (gflops, gigabytes) = (
        flops(m, k, n) / seconds / 1e9,
        packed[0].bytes() as f64 / seconds / 1e9,
    );
    println!(
        "{precision:?} {m:5} rows {k:5} -> {n:5}: {gflops:7.1} GFLOP/s, weights at {gigabytes:6.2} GB/s"
    );
}

fn quantised(pool: &Pool, bits: Bits, m: usize, k: usize, n: usize) {
    let (x, mut out) = (values(m * k), values(m * n));
    let (codes, scales) = (vec![7; n * k], vec![0x1400; n * k / BLOCK]);
    let offsets = vec![0x9400; n * k / BLOCK];
    let blocks = Blocks {
        bits,
        codes: &codes,
        scales: &scales,
        offsets: match bits {
            Bits::Four => Offsets::PerBlock(&offsets),
            Bits::Eight => Offsets::Zero(128),
        },
    };
    let one = QuantisedMatrix::pack(pool.isa(), &blocks, n, k);
    let copies = if m < 64 {
        (COLD_BYTES / one.bytes()).clamp(1, 100)
    } else {
        1
    };
    let packed = vec![one; copies];
    let seconds = shortest(|repetition| {
        let product = QuantisedProduct {
            weights: &packed[repetition % copies],
            out: &mut out,
            accumulate: false,
        };
        matmul_quantised(pool, &x, m, &mut [product]);
    });
    println!(
        "{bits:?} bits {m:5} rows {k:5} -> {n:5}: {:7.1} GOP/s, weights at {:6.2} GB/s",
        flops(m, k, n) / seconds / 1e9,
        packed[0].bytes() as f64 / seconds / 1e9,
    );
}

fn flops(m: usize, k: usize, n: usize) -> f64 {
    2.0 * (m * k * n) as f64
}

fn values(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0)
        .collect()
}

/// Shortest time of a call in seconds: other work on the machine only ever adds to it.
fn shortest(mut call: impl FnMut(usize)) -> f64 {
    const REPETITIONS: usize = 60;
    let time = |repetition| {
        let start = Instant::now();
        call(repetition);
        start.elapsed().as_secs_f64()
    };
    (0..REPETITIONS).map(time).fold(f64::INFINITY, f64::min)
}
