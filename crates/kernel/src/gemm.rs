//! Matrix products with weights packed for the machine.
//!
//! `y = x · wᵀ` where `w` is packed once ([`PackedMatrix`]) and used many times. Rows of `x` are
//! rounded to bfloat16 once per call where the weights are bfloat16; sums are `f32` and run over the
//! depth in order, in registers. Work is split over rows and columns, never over the depth, so the
//! split has no influence on the result. Products whose depth is the number of rows, as gradients of
//! weights need, are [`matmul_tn`]'s; there the operands change every time and nothing is packed.

mod input;
mod micro;
mod pack;
mod parts;
mod plan;
mod repack;
mod transposed;

use crate::Pool;
use input::Input;
pub(crate) use micro::{FloatUnit, PairUnit, Term, TileProduct, Unit};
pub use pack::PackedMatrix;
pub(crate) use pack::lanes;
pub use parts::{PartialLowRank, matmul_low_rank_parts};
pub use transposed::{matmul_tn, matmul_tn_bf16};

/// How the operands of a product are held. Sums are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Both operands rounded to bfloat16. Where the machine has no bfloat16 arithmetic the same
    /// rounding is applied and the products are computed in `f32`.
    Bf16,
    /// Both operands as they are.
    F32,
}

/// One product of a [`matmul_group`]: where the weights are and where the result goes.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights; their depth is the width of the shared input.
    pub weights: &'a PackedMatrix,
    /// `[m, weights.rows_out()]`.
    pub out: &'a mut [f32],
    /// Add to `out` instead of overwriting it.
    pub accumulate: bool,
}

/// `out[m, rows_out] (+)= x[m, depth] · w`. A row's result is the same bits for every `m`, whatever
/// the other rows hold and however many threads work.
///
/// # Panics
/// If `x` or `out` does not have `m` rows of the width that `w` asks for.
pub fn matmul(
    pool: &Pool,
    x: &[f32],
    m: usize,
    w: &PackedMatrix,
    out: &mut [f32],
    accumulate: bool,
) {
    matmul_group(
        pool,
        x,
        m,
        &mut [Product {
            weights: w,
            out,
            accumulate,
        }],
    );
}

/// Several products of the same input, as Q, K and V or gate and up are: the input is converted once
/// and the pool is entered once. Each gives the same bits as [`matmul`] alone.
///
/// # Panics
/// If `x` or an output does not have `m` rows of the width that the weights ask for, or the weights
/// differ in instruction set.
pub fn matmul_group(pool: &Pool, x: &[f32], m: usize, products: &mut [Product<'_>]) {
    let Some(first) = products.first() else {
        return;
    };
    let input = Input::new(
        pool,
        x,
        m,
        first.weights,
        products.iter().map(|p| p.weights),
    );
    let jobs = products
        .iter_mut()
        .map(|p| input.job(p.weights, p.out, p.accumulate));
    plan::run(pool, m, jobs.collect());
}

/// A low-rank term of a product: `low = x · down`, and `low · up` is added to the product's output.
#[derive(Debug)]
pub struct LowRank<'a> {
    /// From the input to the rank.
    pub down: &'a PackedMatrix,
    /// From the rank to the output.
    pub up: &'a PackedMatrix,
    /// Receives `x · down`, `[m, rank]`.
    pub low: &'a mut [f32],
}

/// A product and, if the layer has one, its low-rank term.
#[derive(Debug)]
pub struct AdaptedProduct<'a> {
    /// The product with the layer's own weights.
    pub product: Product<'a>,
    /// What is added to it.
    pub low_rank: Option<LowRank<'a>>,
}

/// [`matmul_group`] of layers with low-rank terms: `out (+)= x · w + (x · down) · up`. The output is
/// written once, which spares reading and writing it again for the second term.
///
/// # Panics
/// As [`matmul_group`], and if a low-rank term does not fit its product in shape or kind.
pub fn matmul_adapted(pool: &Pool, x: &[f32], m: usize, products: &mut [AdaptedProduct<'_>]) {
    let Some(first) = products.first() else {
        return;
    };
    let downs = products
        .iter()
        .filter_map(|p| p.low_rank.as_ref().map(|term| term.down));
    let weights = products.iter().map(|p| p.product.weights);
    let input = Input::new(pool, x, m, first.product.weights, weights.chain(downs));
    let lows = products.iter_mut().filter_map(|p| {
        let term = p.low_rank.as_mut()?;
        Some(input.job(term.down, term.low, false))
    });
    plan::run(pool, m, lows.collect());

    let parts = products
        .iter_mut()
        .map(|p| (&mut p.product, p.low_rank.as_ref()));
    let (mains, terms): (Vec<_>, Vec<_>) = parts.unzip();
    let lows: Vec<_> = terms
        .iter()
        .map(|term| term.map(|term| low_input(pool, m, term)))
        .collect();
    let jobs = mains
        .into_iter()
        .zip(terms.iter().zip(&lows))
        .map(|(main, (term, low))| {
            let mut job = input.job(main.weights, main.out, main.accumulate);
            job.second = term
                .zip(low.as_ref())
                .map(|(term, low)| low.operand(term.up));
            if let Some(term) = term {
                let kind = |w: &PackedMatrix| (w.isa, w.precision, w.columns);
                assert_eq!(
                    kind(term.up),
                    kind(main.weights),
                    "a low-rank term is of another kind than its product"
                );
            }
            job
        });
    plan::run(pool, m, jobs.collect());
}

/// Low-rank terms by themselves: `out += (x · down) · up` for each, where the layers' own products
/// were computed another way, as [`crate::quantised`] does.
///
/// # Panics
/// If `x` or an output does not have `m` rows of the width that its term asks for, or the terms
/// differ in instruction set or depth.
pub fn matmul_low_rank(pool: &Pool, x: &[f32], m: usize, terms: &mut [(LowRank<'_>, &mut [f32])]) {
    let Some(first) = terms.first().map(|(term, _)| term.down) else {
        return;
    };
    let downs = terms.iter().map(|(term, _)| term.down);
    let input = Input::new(pool, x, m, first, downs);
    let lows = terms
        .iter_mut()
        .map(|(term, _)| input.job(term.down, term.low, false));
    plan::run(pool, m, lows.collect());
    let (terms, outs): (Vec<_>, Vec<_>) = terms.iter_mut().map(|(term, out)| (&*term, out)).unzip();
    let lows: Vec<_> = terms.iter().map(|term| low_input(pool, m, term)).collect();
    let jobs = lows
        .iter()
        .zip(terms.iter().zip(outs))
        .map(|(low, (term, out))| low.job(term.up, out, true));
    plan::run(pool, m, jobs.collect());
}

/// What a term has put down in `low`, as the input of its second half.
fn low_input<'a>(pool: &Pool, m: usize, term: &'a LowRank<'_>) -> Input<'a> {
    Input::new(pool, term.low, m, term.up, std::iter::once(term.up))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::bf16::{from_bf16, to_bf16};
    use crate::testing::{
        assert_close, assert_same_bits, assert_thread_count_is_invisible, for_each_isa, random,
        shapes,
    };

    const SHAPES: [(usize, usize, usize); 9] = [
        (0, 5, 7),
        (1, 1, 1),
        (1, 16, 33),
        (3, 17, 64),
        (5, 32, 2),
        (7, 33, 31),
        (13, 100, 65),
        (40, 48, 96),
        (97, 70, 130),
    ];

    const BOTH: [Precision; 2] = [Precision::Bf16, Precision::F32];

    /// `x · wᵀ` as one would write it down.
    fn reference(
        x: &[f32],
        m: usize,
        w: &[f32],
        n: usize,
        k: usize,
        precision: Precision,
    ) -> Vec<f32> {
        let held = |value: f32| match precision {
            Precision::Bf16 => f64::from(from_bf16(to_bf16(value))),
            Precision::F32 => f64::from(value),
        };
        let element = |i: usize, j: usize| {
            (0..k)
                .map(|d| held(x[i * k + d]) * held(w[j * k + d]))
                .sum::<f64>() as f32
        };
        (0..m * n).map(|at| element(at / n, at % n)).collect()
    }

    fn transposed(w: &[f32], n: usize, k: usize) -> Vec<f32> {
        (0..n * k).map(|at| w[at % n * k + at / n]).collect()
    }

    #[test]
    fn both_packings_agree_with_the_reference() {
        for_each_isa(|pool| {
            for (m, n, k) in shapes(&SHAPES, 11, 12, [40, 90, 200]) {
                let (x, w) = (random(1, m * k), random(2, n * k));
                for precision in BOTH {
                    let what = format!("{} {precision:?} {m}x{n}x{k}", pool.isa());
                    let expected = reference(&x, m, &w, n, k, precision);
                    let mut out = vec![f32::NAN; m * n];
                    let packed = PackedMatrix::pack(pool.isa(), precision, &w, n, k);
                    assert_eq!((packed.rows_out(), packed.depth()), (n, k));
                    matmul(pool, &x, m, &packed, &mut out, false);
                    assert_close(&out, &expected, 3e-6, &what);
                    let other = PackedMatrix::pack_transposed(
                        pool.isa(),
                        precision,
                        &transposed(&w, n, k),
                        k,
                        n,
                    );
                    let mut same = vec![f32::NAN; m * n];
                    matmul(pool, &x, m, &other, &mut same, false);
                    assert_same_bits(&same, &out, &what);
                }
            }
        });
    }

    #[test]
    fn accumulating_adds_to_what_is_there() {
        for_each_isa(|pool| {
            for (m, n, k) in shapes(&SHAPES, 32, 6, [40, 90, 200]) {
                let (x, w, before) = (random(1, m * k), random(2, n * k), random(3, m * n));
                for precision in BOTH {
                    let packed = PackedMatrix::pack(pool.isa(), precision, &w, n, k);
                    let mut out = before.clone();
                    matmul(pool, &x, m, &packed, &mut out, true);
                    let product = reference(&x, m, &w, n, k, precision);
                    let sums = before.iter().zip(product).map(|(b, p)| b + p);
                    let what = format!("{precision:?} {m}x{n}x{k} accumulated");
                    assert_close(&out, &sums.collect::<Vec<f32>>(), 3e-6, &what);
                }
            }
        });
    }

    #[test]
    fn an_empty_depth_gives_zeros() {
        let pool = Pool::new(1);
        for precision in BOTH {
            let packed = PackedMatrix::pack(pool.isa(), precision, &[], 5, 0);
            let mut out = vec![f32::NAN; 10];
            matmul(&pool, &[], 2, &packed, &mut out, false);
            assert_eq!(out, [0.0; 10]);
        }
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        for_each_isa(|pool| {
            let (rows, n, k) = (210, 85, 131);
            let (x, w) = (random(1, rows * k), random(2, n * k));
            for precision in BOTH {
                let packed = PackedMatrix::pack(pool.isa(), precision, &w, n, k);
                let mut whole = vec![0.0; rows * n];
                matmul(pool, &x, rows, &packed, &mut whole, false);
                for m in (1..=40).chain([95, 96, 97, 150]) {
                    let start = rows - m;
                    let mut part = vec![0.0; m * n];
                    matmul(pool, &x[start * k..], m, &packed, &mut part, false);
                    assert_same_bits(
                        &part,
                        &whole[start * n..],
                        &format!("{precision:?}, {m} rows"),
                    );
                }
            }
        });
    }

    #[test]
    fn a_group_gives_the_bits_of_its_members_at_any_thread_count() {
        let (rows, k) = ([0, 1, 5, 131], 70);
        let widths = [16, 300, 1, 64];
        let group = |pool: &Pool, m: usize| {
            let x = random(1, m * k);
            let packed: Vec<PackedMatrix> = widths
                .iter()
                .zip([
                    Precision::F32,
                    Precision::Bf16,
                    Precision::Bf16,
                    Precision::F32,
                ])
                .map(|(&n, precision)| {
                    PackedMatrix::pack(pool.isa(), precision, &random(n as u64, n * k), n, k)
                })
                .collect();
            let mut outs: Vec<Vec<f32>> = widths.iter().map(|&n| vec![0.5; m * n]).collect();
            let products = packed.iter().zip(&mut outs);
            let mut products: Vec<Product<'_>> = products
                .map(|(weights, out)| Product {
                    weights,
                    out,
                    accumulate: true,
                })
                .collect();
            matmul_group(pool, &x, m, &mut products);
            for (weights, out) in packed.iter().zip(&outs) {
                let mut alone = vec![0.5; m * weights.rows_out()];
                matmul(pool, &x, m, weights, &mut alone, true);
                assert_same_bits(out, &alone, "a member alone");
            }
            outs.concat()
        };
        assert_thread_count_is_invisible(|pool| rows.map(|m| group(pool, m)).concat());
    }

    #[test]
    fn a_low_rank_term_adds_to_its_product_at_any_thread_count() {
        let (n, k, rank) = (75, 90, 7);
        let (w, down, up) = (random(2, n * k), random(3, rank * k), random(4, n * rank));
        for (m, precision) in [0, 1, 6, 130]
            .into_iter()
            .flat_map(|m| BOTH.map(|it| (m, it)))
        {
            let x = random(1, m * k);
            assert_thread_count_is_invisible(|pool| {
                let pack = |w, n, k| PackedMatrix::pack(pool.isa(), precision, w, n, k);
                let (w, down, up) = (pack(&w, n, k), pack(&down, rank, k), pack(&up, n, rank));
                let (mut low, mut out, mut plain) =
                    (vec![0.0; m * rank], vec![1.0; m * n], vec![1.0; m * n]);
                let product = Product {
                    weights: &w,
                    out: &mut out,
                    accumulate: true,
                };
                let low_rank = Some(LowRank {
                    down: &down,
                    up: &up,
                    low: &mut low,
                });
                let other = Product {
                    weights: &w,
                    out: &mut plain,
                    accumulate: true,
                };
                let mut products = [
                    AdaptedProduct { product, low_rank },
                    AdaptedProduct {
                        product: other,
                        low_rank: None,
                    },
                ];
                matmul_adapted(pool, &x, m, &mut products);
                let (mut expected_low, mut expected) = (vec![0.0; m * rank], vec![1.0; m * n]);
                matmul(pool, &x, m, &down, &mut expected_low, false);
                matmul(pool, &x, m, &w, &mut expected, true);
                assert_same_bits(&plain, &expected, "without a term");
                matmul(pool, &low, m, &up, &mut expected, true);
                assert_same_bits(&low, &expected_low, "low");
                assert_same_bits(&out, &expected, "with a term");
                out
            });
        }
    }

    #[test]
    fn a_low_rank_term_alone_adds_to_what_is_there() {
        let (n, k, rank) = (33, 64, 5);
        let (down, up) = (random(3, rank * k), random(4, n * rank));
        for (m, precision) in [0, 1, 9, 130]
            .into_iter()
            .flat_map(|m| BOTH.map(|it| (m, it)))
        {
            let x = random(1, m * k);
            assert_thread_count_is_invisible(|pool| {
                let pack = |w, n, k| PackedMatrix::pack(pool.isa(), precision, w, n, k);
                let (down, up) = (pack(&down, rank, k), pack(&up, n, rank));
                let (mut low, mut out) = (vec![0.0; m * rank], vec![1.0; m * n]);
                let term = LowRank {
                    down: &down,
                    up: &up,
                    low: &mut low,
                };
                matmul_low_rank(pool, &x, m, &mut [(term, &mut out)]);
                let (mut expected_low, mut expected) = (vec![0.0; m * rank], vec![1.0; m * n]);
                matmul(pool, &x, m, &down, &mut expected_low, false);
                matmul(pool, &low, m, &up, &mut expected, true);
                assert_same_bits(&low, &expected_low, "low");
                assert_same_bits(&out, &expected, "out");
                out
            });
        }
    }

    #[test]
    #[should_panic(expected = "an input of [2, 3] was expected")]
    fn a_wrong_input_is_refused() {
        let packed = PackedMatrix::pack(Isa::Portable, Precision::F32, &[0.0; 3], 1, 3);
        matmul(&Pool::new(1), &[0.0; 5], 2, &packed, &mut [0.0; 2], false);
    }

    /// From 3 to 1, and from 1 to 20 for each of two instruction sets.
    pub(super) fn for_two_machines() -> (PackedMatrix, [PackedMatrix; 2]) {
        let pack = |isa, n, k| PackedMatrix::pack(isa, Precision::F32, &vec![0.0; n * k], n, k);
        let ups = [Isa::Portable, Isa::Avx512Bf16].map(|isa| pack(isa, 20, 1));
        (pack(Isa::Portable, 1, 3), ups)
    }

    #[test]
    #[should_panic(expected = "differ in instruction set")]
    fn terms_for_different_machines_are_refused() {
        let (down, ups) = for_two_machines();
        let (mut lows, mut outs) = ([[0.0; 1]; 2], [[0.0; 20]; 2]);
        let terms = ups.iter().zip(&mut lows).map(|(up, low)| LowRank {
            down: &down,
            up,
            low,
        });
        let terms = terms.zip(&mut outs).map(|(term, out)| (term, &mut out[..]));
        matmul_low_rank(&Pool::new(1), &[0.0; 3], 1, &mut terms.collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn a_matrix_whose_size_wraps_around_is_refused() {
        PackedMatrix::pack(Isa::Portable, Precision::F32, &[], 1 << 33, 1 << 31);
    }
}
