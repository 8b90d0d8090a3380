//! Low-rank terms of some rows each, as rows that go through several adapters need them.
//!
//! ```text
//! out[r] += (x[r] · down) · up        for the rows r of each part, with the part's own down and up
//! ```
//! All first halves are one call of the pool and all second halves another, however many parts there
//! are: few rows of one adapter are less than a thread's work, those of several are not. A row gets the
//! bits that [`matmul_low_rank`](super::matmul_low_rank) gives it, which knows of no other rows either.
//!
//! A product that adds goes on, in order, from what is there. So a term that is added after its product
//! gives the bits of one that is computed within it ([`matmul_adapted`](super::matmul_adapted)), and a
//! product that is added to zeros those of one that is written.

use std::ops::Range;

use super::input::Input;
use super::{LowRank, low_input, plan};
use crate::Pool;

/// A low-rank term of some rows that lie side by side.
#[derive(Debug)]
pub struct PartialLowRank<'a> {
    /// Which rows of the input.
    pub rows: Range<usize>,
    /// The term; its `low` has as many rows.
    pub term: LowRank<'a>,
    /// What it is added to: these rows of the output alone.
    pub out: &'a mut [f32],
}

/// Adds the term of each part to its rows; other rows of `x[m, depth]` are of no account.
///
/// # Panics
/// If `x` does not have `m` rows of the width that the terms ask for, a part is outside of them or its
/// output of another shape, or the terms differ in instruction set or depth.
pub fn matmul_low_rank_parts(pool: &Pool, x: &[f32], m: usize, parts: &mut [PartialLowRank<'_>]) {
    let Some(first) = parts.first().map(|part| part.term.down) else {
        return;
    };
    let downs = parts.iter().map(|part| part.term.down);
    let input = Input::new(pool, x, m, first, downs);
    let lows = parts.iter_mut().map(|part| {
        let (rows, term) = (part.rows.clone(), &mut part.term);
        (rows.len(), input.part(rows, term.down, term.low))
    });
    plan::run_each(pool, lows.collect());
    let halves = parts
        .iter_mut()
        .map(|part| ((part.rows.len(), &part.term), &mut *part.out));
    let (terms, outs): (Vec<_>, Vec<_>) = halves.unzip();
    let lows = terms
        .iter()
        .map(|(rows, term)| low_input(pool, *rows, term));
    let lows: Vec<Input<'_>> = lows.collect();
    let ups = lows.iter().zip(terms.iter().zip(outs));
    let ups = ups.map(|(low, ((rows, term), out))| (*rows, low.job(term.up, out, true)));
    plan::run_each(pool, ups.collect());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gemm::tests::for_two_machines;
    use crate::gemm::{
        AdaptedProduct, PackedMatrix, Precision, Product, matmul, matmul_adapted, matmul_low_rank,
    };
    use crate::testing::{assert_same_bits, assert_thread_count_is_invisible, random};

    const OUT: usize = 75;
    const DEPTH: usize = 90;
    /// Rows of each part and its rank; between them rows of none.
    const PARTS: [&[(Range<usize>, usize)]; 4] = [
        &[(0..1, 7), (3..8, 16), (8..211, 3), (212..212, 5)],
        // An answer each.
        &[(0..1, 7), (1..2, 16), (2..3, 3), (4..6, 8)],
        &[(0..1, 8)],
        // A term of no rank adds nothing.
        &[(0..2, 0), (2..3, 4)],
    ];

    /// Of all parts, and one of none.
    fn rows_of(parts: &[(Range<usize>, usize)]) -> usize {
        parts[parts.len() - 1].0.end + 1
    }

    struct Term {
        down: PackedMatrix,
        up: PackedMatrix,
        low: Vec<f32>,
    }

    fn terms(pool: &Pool, parts: &[(Range<usize>, usize)], precision: Precision) -> Vec<Term> {
        let pack = |seed, n, k| {
            let w = random(seed, n * k);
            PackedMatrix::pack(pool.isa(), precision, &w, n, k)
        };
        let parts = parts.iter().zip(10..);
        let term = |((rows, rank), seed): (&(Range<usize>, usize), u64)| Term {
            down: pack(seed, *rank, DEPTH),
            up: pack(seed + 100, OUT, *rank),
            low: vec![f32::NAN; rows.len() * rank],
        };
        parts.map(term).collect()
    }

    /// The parts' terms added to `out`.
    fn add_parts(
        pool: &Pool,
        x: &[f32],
        of: &[(Range<usize>, usize)],
        terms: &mut [Term],
        out: &mut [f32],
    ) {
        let (mut rest, mut end) = (out, 0);
        let mut parts = Vec::new();
        for ((rows, _), term) in of.iter().zip(terms) {
            let (_, after) = std::mem::take(&mut rest).split_at_mut((rows.start - end) * OUT);
            let (out, after) = after.split_at_mut(rows.len() * OUT);
            (rest, end) = (after, rows.end);
            let Term { down, up, low } = term;
            parts.push(PartialLowRank {
                rows: rows.clone(),
                term: LowRank { down, up, low },
                out,
            });
        }
        matmul_low_rank_parts(pool, x, rows_of(of), &mut parts);
    }

    fn every_way() -> impl Iterator<Item = (&'static [(Range<usize>, usize)], Precision)> {
        let precisions = [Precision::Bf16, Precision::F32];
        PARTS
            .into_iter()
            .flat_map(move |parts| precisions.map(|it| (parts, it)))
    }

    #[test]
    fn parts_have_the_bits_of_their_terms_alone_and_other_rows_are_left_as_they_are() {
        for (parts, precision) in every_way() {
            let rows = rows_of(parts);
            let (x, before) = (random(1, rows * DEPTH), random(2, rows * OUT));
            assert_thread_count_is_invisible(|pool| {
                let mut terms = terms(pool, parts, precision);
                let (mut out, mut expected) = (before.clone(), before.clone());
                add_parts(pool, &x, parts, &mut terms, &mut out);
                for ((rows, rank), term) in parts.iter().zip(&terms) {
                    let mut low = vec![0.0; rows.len() * rank];
                    let alone = LowRank {
                        down: &term.down,
                        up: &term.up,
                        low: &mut low,
                    };
                    let x = &x[rows.start * DEPTH..rows.end * DEPTH];
                    let out = &mut expected[rows.start * OUT..rows.end * OUT];
                    matmul_low_rank(pool, x, rows.len(), &mut [(alone, out)]);
                    assert_same_bits(&term.low, &low, "low");
                }
                assert_same_bits(&out, &expected, "out");
                assert!(out != before);
                out
            });
        }
    }

    #[test]
    fn a_term_after_its_product_has_the_bits_of_one_within_it() {
        let w = random(2, OUT * DEPTH);
        for (parts, precision) in every_way() {
            let m = rows_of(parts);
            let x = random(1, m * DEPTH);
            assert_thread_count_is_invisible(|pool| {
                let weights = PackedMatrix::pack(pool.isa(), precision, &w, OUT, DEPTH);
                let mut terms = terms(pool, parts, precision);
                // What is added to zeros is what is written.
                let mut out = vec![0.0; m * OUT];
                matmul(pool, &x, m, &weights, &mut out, true);
                add_parts(pool, &x, parts, &mut terms, &mut out);
                for ((rows, _), term) in parts.iter().zip(&mut terms) {
                    let mut within = vec![f32::NAN; rows.len() * OUT];
                    let product = AdaptedProduct {
                        product: Product {
                            weights: &weights,
                            out: &mut within,
                            accumulate: false,
                        },
                        low_rank: Some(LowRank {
                            down: &term.down,
                            up: &term.up,
                            low: &mut term.low,
                        }),
                    };
                    let x = &x[rows.start * DEPTH..rows.end * DEPTH];
                    matmul_adapted(pool, x, rows.len(), &mut [product]);
                    let after = &out[rows.start * OUT..rows.end * OUT];
                    assert_same_bits(after, &within, "within");
                }
                out
            });
        }
    }

    #[test]
    #[should_panic(expected = "differ in instruction set")]
    fn terms_for_different_machines_are_refused() {
        let (down, ups) = for_two_machines();
        let mut room = [([0.0; 1], [0.0; 20]), ([0.0; 1], [0.0; 20])];
        let parts = ups.iter().zip(&mut room).map(|(up, (low, out))| {
            let term = LowRank {
                down: &down,
                up,
                low,
            };
            PartialLowRank {
                rows: 0..1,
                term,
                out,
            }
        });
        matmul_low_rank_parts(&Pool::new(1), &[0.0; 3], 1, &mut parts.collect::<Vec<_>>());
    }

    #[test]
    #[should_panic(expected = "rows 1..3 are outside of 2")]
    fn rows_that_are_not_there_are_refused() {
        let pool = Pool::new(1);
        let pack = |n, k| PackedMatrix::pack(pool.isa(), Precision::F32, &vec![0.0; n * k], n, k);
        let (down, up) = (pack(1, 3), pack(2, 1));
        let part = PartialLowRank {
            rows: 1..3,
            term: LowRank {
                down: &down,
                up: &up,
                low: &mut [0.0; 2],
            },
            out: &mut [0.0; 4],
        };
        matmul_low_rank_parts(&pool, &[0.0; 6], 2, &mut [part]);
    }
}
