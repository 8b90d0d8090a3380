//! Products with weights of 4 or 8 bits, in the blocks they are stored in.
//!
//! ```text
//! w[j, d] = s[j, b] · (c[j, d] − z)      or      w[j, d] = s[j, b] · c[j, d] + o[j, b]
//! x[i, d] ≈ t[i, b] · a[i, d]            t = max |x| of the block / 127,  a = round(x / t)
//! y[i, j] = Σ_b s[j, b] · t[i, b] · Σ_d c[j, d] · a[i, d]  −  the zero point's or plus the offset's part
//! ```
//! b is the block of 32 values along the depth that d is in, c an unsigned code, z the code of zero.
//! The input is rounded to 8 bits block by block, which is the only loss: the inner sums are exact
//! integers and the weights are the file's. Sums over blocks run in order in `f32`, in one register
//! lane each, so that a row's result depends on neither the other rows nor the number of threads.

mod codes;
mod heavy;
mod input;
mod largest;
mod learning;
mod pack;
mod tile;

use std::ops::Range;

use crate::Pool;
use crate::buffer::area;
use crate::parallel::{Grid, SharedMut};
use crate::simd;
use crate::spans::for_each_span;
use input::Input;
pub use largest::largest_quantised;
pub use pack::{BLOCK, Bits, Blocks, Offsets, QuantisedMatrix, WIDE_BLOCK};
use tile::Rows;

/// Tasks for each thread at most: enough to even out, few enough that a thread reads long stretches of memory.
const TASKS_A_THREAD_MAX: usize = 4;

/// One product of a [`matmul_quantised`].
#[derive(Debug)]
pub struct QuantisedProduct<'a> {
    /// The weights; their depth is the width of the shared input.
    pub weights: &'a QuantisedMatrix,
    /// `[m, weights.rows_out()]`.
    pub out: &'a mut [f32],
    /// Add to `out` instead of overwriting it.
    pub accumulate: bool,
}

/// A product of so many rows waits for its weights; one of more waits for its arithmetic.
const READING_ROWS_MAX: usize = 4;
/// Rows in a task: their codes, scales and sums stay in the first-level cache.
const TASK_ROWS: usize = 24;
/// Work in a task, in words of weights times rows: about 10 µs.
const TASK_WORDS_MIN: usize = 48 * 1024;

/// `out (+)= x · wᵀ` for several weights and one input `x[m, depth]`, which is quantised once.
///
/// # Panics
/// If `x` or an output does not have `m` rows of the width that the weights ask for, or the weights
/// differ in instruction set, depth or how many values share a scale.
pub fn matmul_quantised(pool: &Pool, x: &[f32], m: usize, products: &mut [QuantisedProduct<'_>]) {
    let Some(first) = products.first() else {
        return;
    };
    let (isa, depth, block) = (first.weights.isa, first.weights.depth, first.weights.block);
    let first_words = first.weights.panel_words();
    assert_eq!(
        x.len(),
        area(m, depth),
        "an input of [{m}, {depth}] was expected"
    );
    if m == 0 {
        return;
    }
    let input = Input::new(pool, x, (m, depth), block, isa);
    let jobs: Vec<Job<'_>> = products
        .iter_mut()
        .scan(0, |first, p| {
            Some(Job::new(p, m, (isa, depth, block), first))
        })
        .collect();
    let panels = jobs[jobs.len() - 1].panels.end;
    parts(pool, (m, panels), first_words, |rows, panels| {
        for job in &jobs {
            if let Some(part) = job.rows(&input, rows.clone(), &panels) {
                simd::vectorize(isa, part);
            }
        }
    });
}

/// Cuts `m` rows times `panels` panels of `words` words each into parts, in parallel.
///
/// Where weights are waited for, panels are handed out in spans, so that all threads end together. Else
/// the parts are runs of rows times cuts of the panels, as many for every thread.
fn parts(
    pool: &Pool,
    (m, panels): (usize, usize),
    words: usize,
    f: impl Fn(Range<usize>, Range<usize>) + Sync,
) {
    if m <= READING_ROWS_MAX {
        return for_each_span(pool, panels, |panels| f(0..m, panels));
    }
    let rows = m.min(TASK_ROWS);
    let cuts = cuts(panels, words * rows, pool.threads());
    let grid = Grid::new(pool, m.div_ceil(rows), cuts);
    pool.run(grid.tasks(), &|task| {
        let (run, cut) = grid.at(task);
        let rows = run * rows..((run + 1) * rows).min(m);
        f(rows, cut * panels / cuts..(cut + 1) * panels / cuts);
    });
}

/// How many runs of panels the products of a group are cut into, each panel `work` words times rows:
/// as many for every thread, so that all end together.
fn cuts(panels: usize, work: usize, threads: usize) -> usize {
    let a_thread = panels * work / (threads * TASK_WORDS_MIN);
    (threads * a_thread.clamp(1, TASKS_A_THREAD_MAX)).min(panels)
}

/// A product as its tasks see it.
struct Job<'a> {
    weights: &'a QuantisedMatrix,
    out: SharedMut<'a, f32>,
    accumulate: bool,
    /// Its panels among those of the group.
    panels: Range<usize>,
}

impl<'a> Job<'a> {
    fn new(
        product: &'a mut QuantisedProduct<'_>,
        m: usize,
        kind: (crate::Isa, usize, usize),
        first: &mut usize,
    ) -> Self {
        let weights = product.weights;
        assert_eq!(
            (weights.isa, weights.depth, weights.block),
            kind,
            "weights of one kind were expected"
        );
        let columns = weights.columns;
        assert_eq!(
            product.out.len(),
            area(m, columns),
            "an output of [{m}, {columns}] was expected"
        );
        let start = *first;
        *first += weights.panels();
        Job {
            weights,
            out: SharedMut::new(product.out),
            accumulate: product.accumulate,
            panels: start..*first,
        }
    }

    /// Some rows times those of its panels that are in `panels` of the group.
    fn rows<'b>(
        &'b self,
        input: &'b Input,
        rows: Range<usize>,
        panels: &Range<usize>,
    ) -> Option<Rows<'b>> {
        let w = self.weights;
        let panels = panels.start.max(self.panels.start)..panels.end.min(self.panels.end);
        if panels.is_empty() {
            return None;
        }
        let panel = panels.start - self.panels.start;
        let column = panel * w.panel_columns();
        Some(Rows {
            input,
            first: rows.start,
            rows: rows.len(),
            weights: w,
            panel,
            columns: (panels.len() * w.panel_columns()).min(w.columns - column),
            out: self.out.address(rows.start * w.columns + column),
            accumulate: self.accumulate,
            first_look: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f16::from_f16;
    use crate::testing::{
        assert_close, assert_same_bits, assert_thread_count_is_invisible, drawn, for_each_isa,
        random,
    };

    /// Weights in blocks as a file would hold them.
    pub(super) struct Stored {
        bits: Bits,
        codes: Vec<u8>,
        scales: Vec<u16>,
        offsets: Option<Vec<u16>>,
        n: usize,
        k: usize,
    }

    impl Stored {
        pub(super) fn random(
            seed: u64,
            bits: Bits,
            with_offsets: bool,
            n: usize,
            k: usize,
        ) -> Stored {
            let unit = |seed, len| random(seed, len).into_iter().map(|v| (v + 1.0) / 2.0);
            let top = if bits == Bits::Four { 16.0 } else { 256.0 };
            // Halves between 2⁻¹⁰ and 2⁻⁶, of either sign for the offsets.
            let half = |v: f32| 0x1400 + (v * 4095.0) as u16;
            let blocks = n * k / BLOCK;
            let signed = |v: f32| half((2.0 * v) % 1.0) | if v < 0.5 { 0x8000 } else { 0 };
            Stored {
                bits,
                codes: unit(seed, n * k)
                    .map(|v| (v * top).min(top - 1.0) as u8)
                    .collect(),
                scales: unit(seed + 1, blocks).map(half).collect(),
                offsets: with_offsets.then(|| unit(seed + 2, blocks).map(signed).collect()),
                n,
                k,
            }
        }

        fn zero(&self) -> u8 {
            if self.bits == Bits::Four { 8 } else { 128 }
        }

        pub(super) fn packed(&self, isa: crate::Isa) -> QuantisedMatrix {
            QuantisedMatrix::pack(isa, &self.blocks(), self.n, self.k)
        }

        pub(super) fn split(&self, isa: crate::Isa) -> QuantisedMatrix {
            QuantisedMatrix::pack_split(isa, &self.blocks(), self.n, self.k)
        }

        fn blocks(&self) -> Blocks<'_> {
            let offsets = self.offsets.as_deref();
            Blocks {
                bits: self.bits,
                codes: &self.codes,
                scales: &self.scales,
                offsets: offsets.map_or(Offsets::Zero(self.zero()), Offsets::PerBlock),
            }
        }

        /// What a first look takes a value for: of 8 bits and one zero, with 8 for the lower half.
        pub(super) fn value_at_first(&self, j: usize, d: usize) -> f64 {
            let code = self.codes[j * self.k + d] & 0xf0 | 8;
            let scale = f64::from(from_f16(self.scales[(j * self.k + d) / BLOCK]));
            scale * (f64::from(code) - f64::from(self.zero()))
        }

        pub(super) fn value(&self, j: usize, d: usize) -> f64 {
            let (code, at) = (self.codes[j * self.k + d], (j * self.k + d) / BLOCK);
            let scale = f64::from(from_f16(self.scales[at]));
            match &self.offsets {
                Some(offsets) => scale * f64::from(code) + f64::from(from_f16(offsets[at])),
                None => scale * (f64::from(code) - f64::from(self.zero())),
            }
        }
    }

    /// `x[m, k] · wᵀ`, written over what is no number.
    pub(super) fn product(pool: &Pool, x: &[f32], m: usize, weights: &QuantisedMatrix) -> Vec<f32> {
        let mut out = vec![f32::NAN; m * weights.rows_out()];
        let product = QuantisedProduct {
            weights,
            out: &mut out,
            accumulate: false,
        };
        matmul_quantised(pool, x, m, &mut [product]);
        out
    }

    /// The input as 8 bits a block see it.
    pub(super) fn rounded(x: &[f32]) -> Vec<f64> {
        let block = |block: &[f32]| {
            let scale = block.iter().fold(0.0_f32, |top, v| top.max(v.abs())) / 127.0;
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let code = move |v: &f32| f64::from((v * inverse).round_ties_even()) * f64::from(scale);
            block.iter().map(code).collect::<Vec<f64>>()
        };
        x.chunks(BLOCK).flat_map(block).collect()
    }

    /// `x · wᵀ` as one would write it down.
    fn reference(x: &[f32], m: usize, w: &Stored) -> Vec<f32> {
        let x = rounded(x);
        let element = |i: usize, j: usize| {
            (0..w.k)
                .map(|d| x[i * w.k + d] * w.value(j, d))
                .sum::<f64>() as f32
        };
        (0..m * w.n).map(|at| element(at / w.n, at % w.n)).collect()
    }

    const KINDS: [(Bits, bool); 4] = [
        (Bits::Four, false),
        (Bits::Four, true),
        (Bits::Eight, false),
        (Bits::Eight, true),
    ];

    /// Rows, outputs and depths: the edges, and some that are drawn.
    pub(super) fn shapes(seed: u64) -> impl Iterator<Item = (usize, usize, usize)> {
        let edges = [
            (0, 5, 32),
            (3, 0, 32),
            (3, 5, 0),
            (1, 1, 32),
            (1, 70, 96),
            (5, 33, 64),
            (19, 48, 320),
        ];
        let drawn = drawn(seed, 12, [40, 90, 7]).into_iter();
        let drawn = drawn.map(|[m, n, blocks]| (m, n, BLOCK * blocks));
        edges.into_iter().chain(drawn)
    }

    #[test]
    fn every_kind_agrees_with_the_reference() {
        for_each_isa(|pool| {
            for (m, n, k) in shapes(14) {
                for (bits, offsets) in KINDS {
                    let (x, w) = (random(1, m * k), Stored::random(7, bits, offsets, n, k));
                    let packed = w.packed(pool.isa());
                    assert_eq!((packed.rows_out(), packed.depth()), (n, k));
                    let out = product(pool, &x, m, &packed);
                    let what = format!("{} {bits:?} {offsets} {m}x{n}x{k}", pool.isa());
                    assert_close(&out, &reference(&x, m, &w), 5e-6, &what);
                }
            }
        });
    }

    #[test]
    fn a_group_accumulates_and_gives_the_same_bits_at_any_thread_count() {
        // Few rows are handed out in spans, more in parts.
        let (rows, k) = ([0, 1, READING_ROWS_MAX, 5, 101], 192);
        let stored: Vec<Stored> = KINDS
            .iter()
            .zip([300, 16, 1, 130])
            .map(|(&(bits, offsets), n)| Stored::random(n as u64, bits, offsets, n, k))
            .collect();
        let group = |pool: &Pool, m: usize| {
            let x = random(1, m * k);
            let packed: Vec<_> = stored.iter().map(|w| w.packed(pool.isa())).collect();
            let mut outs: Vec<_> = stored.iter().map(|w| vec![0.5; m * w.n]).collect();
            let mut products: Vec<_> = packed
                .iter()
                .zip(&mut outs)
                .map(|(weights, out)| QuantisedProduct {
                    weights,
                    out,
                    accumulate: true,
                })
                .collect();
            matmul_quantised(pool, &x, m, &mut products);
            for (w, out) in stored.iter().zip(&outs) {
                let product = reference(&x, m, w).into_iter().map(|v| v + 0.5);
                assert_close(out, &product.collect::<Vec<_>>(), 5e-6, "accumulated");
            }
            outs.concat()
        };
        assert_thread_count_is_invisible(|pool| rows.map(|m| group(pool, m)).concat());
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        for_each_isa(|pool| {
            let (rows, n, k) = (110, 75, 96);
            let x = random(1, rows * k);
            for (bits, offsets) in KINDS {
                let packed = Stored::random(3, bits, offsets, n, k).packed(pool.isa());
                let whole = product(pool, &x, rows, &packed);
                for m in (1..=14).chain([47, 48, 49, 97]) {
                    let start = rows - m;
                    let part = product(pool, &x[start * k..], m, &packed);
                    assert_same_bits(&part, &whole[start * n..], &format!("{bits:?}, {m} rows"));
                }
            }
        });
    }

    #[test]
    fn what_is_not_a_number_reaches_every_output_of_its_row() {
        for_each_isa(|pool| {
            let (n, k) = (40, 64);
            for (bits, offsets) in KINDS {
                let packed = Stored::random(3, bits, offsets, n, k).packed(pool.isa());
                for (at, odd) in (0..k).flat_map(|at| [(at, f32::NAN), (at, f32::INFINITY)]) {
                    let mut x = random(1, 2 * k);
                    x[at] = odd;
                    let out = product(pool, &x, 2, &packed);
                    let what = format!("{} {bits:?} {offsets}: {odd} at {at}", pool.isa());
                    assert!(out[..n].iter().all(|it| it.is_nan()), "{what}");
                    assert!(out[n..].iter().all(|it| it.is_finite()), "{what}");
                }
            }
        });
    }

    #[test]
    fn what_is_too_small_for_a_scale_is_nothing() {
        for_each_isa(|pool| {
            let (n, k) = (40, 64);
            for (bits, offsets) in KINDS {
                let packed = Stored::random(3, bits, offsets, n, k).packed(pool.isa());
                for tiny in [1e-45, 1e-39, 1e-38, 1e-37, 3e-37, 1e-36] {
                    let x: Vec<f32> = random(1, k)
                        .iter()
                        .map(|x| (2.0 * x).round() * tiny)
                        .collect();
                    let out = product(pool, &x, 1, &packed);
                    let what = format!("{} {bits:?} {offsets}: {tiny}", pool.isa());
                    assert!(out.iter().all(|it| it.abs() < 1e-30), "{what}");
                }
            }
        });
    }

    #[test]
    fn rows_of_zeros_give_zeros() {
        let pool = Pool::new(1);
        let packed = Stored::random(3, Bits::Eight, true, 20, 64).packed(pool.isa());
        assert_eq!(product(&pool, &[0.0; 128], 2, &packed), [0.0; 40]);
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn rows_whose_size_wraps_around_are_refused() {
        let pool = Pool::new(1);
        let packed = Stored::random(3, Bits::Eight, true, 20, 64).packed(pool.isa());
        let product = QuantisedProduct {
            weights: &packed,
            out: &mut [],
            accumulate: false,
        };
        matmul_quantised(&pool, &[], 1 << 60, &mut [product]);
    }
}
