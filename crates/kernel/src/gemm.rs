//! Matrix products with weights packed for the machine.
//!
//! `y = x · wᵀ` where `w` is packed once ([`PackedMatrix`]) and used many times. Rows of `x` are
//! rounded to bfloat16 once per call where the weights are bfloat16; sums are `f32` and run over the
//! depth in order, in registers. Work is split over rows and columns, never over the depth, so the
//! split has no influence on the result. Products whose depth is the number of rows, as gradients of
//! weights need, are [`matmul_tn`]'s; there the operands change every time and nothing is packed.

mod micro;
mod pack;
mod transposed;

use crate::Pool;
use crate::buffer::Scratch;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd};
pub(crate) use micro::{FloatUnit, PairUnit, TileProduct, Unit};
pub use pack::PackedMatrix;
pub(crate) use pack::lanes;
pub use transposed::matmul_tn;

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
    let (isa, depth) = (first.weights.isa, first.weights.depth);
    assert_eq!(
        x.len(),
        m * depth,
        "an input of [{m}, {depth}] was expected"
    );
    for Product { weights, out, .. } in products.iter() {
        assert_eq!(
            (weights.isa, weights.depth),
            (isa, depth),
            "the weights of a group differ in kind"
        );
        assert_eq!(
            out.len(),
            m * weights.columns,
            "an output of [{m}, {}] was expected",
            weights.columns
        );
    }
    if m == 0 {
        return;
    }
    let pairs = products
        .iter()
        .any(|product| product.weights.precision == Precision::Bf16);
    let narrow = pairs.then(|| narrow_rows(pool, x, m, depth, isa));
    let jobs: Vec<Job<'_>> = products
        .iter_mut()
        .map(|product| Job {
            weights: product.weights,
            x: match (&narrow, product.weights.precision) {
                (Some(narrow), Precision::Bf16) => narrow.as_ptr(),
                _ => x.as_ptr().cast(),
            },
            out: SharedMut::new(product.out),
            accumulate: product.accumulate,
        })
        .collect();
    let plan = Plan::new(m, &jobs);
    pool.run(plan.tasks(), &|task| {
        simd::vectorize(isa, plan.tile(task, &jobs))
    });
}

/// Rounds the rows of `x` to bfloat16, each padded to whole words.
fn narrow_rows(pool: &Pool, x: &[f32], m: usize, depth: usize, isa: crate::Isa) -> Scratch {
    /// Elements a task converts; less than this is not worth waking anybody.
    const TASK_ELEMENTS: usize = 32 * 1024;
    let words = depth.div_ceil(2);
    let mut narrow = Scratch::words(m * words);
    let target = SharedMut::new(&mut narrow[..]);
    let per_task = (TASK_ELEMENTS / depth.max(1)).max(1);
    pool.run(m.div_ceil(per_task), &|task| {
        let rows = task * per_task..((task + 1) * per_task).min(m);
        let x = &x[rows.start * depth..rows.end * depth];
        // SAFETY: tasks convert different rows.
        let out = unsafe { target.slice(rows.start * words..rows.end * words) };
        simd::vectorize(isa, NarrowRows { x, depth, out });
    });
    narrow
}

struct NarrowRows<'a> {
    x: &'a [f32],
    depth: usize,
    out: &'a mut [u32],
}

impl Kernel for NarrowRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.depth == 0 {
            return;
        }
        let rows = self
            .x
            .chunks_exact(self.depth)
            .zip(self.out.chunks_exact_mut(self.depth.div_ceil(2)));
        for (from, to) in rows {
            narrow_row(s, from, to);
        }
    }
}

/// Rounds a row to bfloat16; an odd last element is paired with zero.
#[inline(always)]
pub(crate) fn narrow_row<S: Simd>(s: S, from: &[f32], to: &mut [u32]) {
    assert_eq!(to.len(), from.len().div_ceil(2), "two elements make a word");
    let whole = from.len() / (2 * S::LANES);
    for i in 0..whole {
        // SAFETY: two vectors of elements from `2 · i · LANES` on, and the vector of words they make,
        // are inside the slices.
        unsafe {
            let at = from.as_ptr().add(2 * i * S::LANES);
            s.store_words(
                to.as_mut_ptr().add(i * S::LANES),
                s.narrow(s.load(at), s.load(at.add(S::LANES))),
            );
        }
    }
    let rest = from[2 * whole * S::LANES..]
        .chunks(2)
        .zip(&mut to[whole * S::LANES..]);
    for (pair, word) in rest {
        *word = pack::pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0));
    }
}

/// One product as its tasks see it.
struct Job<'a> {
    weights: &'a PackedMatrix,
    /// Rows of `units` words each.
    x: *const u32,
    out: SharedMut<'a, f32>,
    accumulate: bool,
}

// SAFETY: `x` is only read, and the borrow it comes from outlives the call.
unsafe impl Sync for Job<'_> {}

/// How a group is cut into tasks: by runs of rows and, within each product, by runs of panels.
struct Plan {
    m: usize,
    rows: usize,
    panels: usize,
    /// Tasks of the products before each one, in one run of rows.
    starts: Vec<usize>,
    per_run: usize,
}

/// Rows in a task: few enough that the input of one fits the second-level cache.
const TASK_ROWS: usize = 96;
/// Work in a task, in words times rows: about 100 µs for many rows, about 10 µs of reading for one.
const TASK_WORDS_MIN: usize = 64 * 1024;

impl Plan {
    fn new(m: usize, jobs: &[Job<'_>]) -> Plan {
        let rows = m.min(TASK_ROWS);
        let panel_work = jobs
            .iter()
            .map(|job| job.weights.panel_words())
            .max()
            .unwrap_or(0)
            .max(1);
        let panels = (TASK_WORDS_MIN / panel_work)
            .max(TASK_WORDS_MIN * 64 / (panel_work * rows))
            .max(1);
        let mut per_run = 0;
        let starts = jobs
            .iter()
            .map(|job| {
                let start = per_run;
                per_run += job
                    .weights
                    .columns
                    .div_ceil(job.weights.panel_columns())
                    .div_ceil(panels);
                start
            })
            .collect();
        Plan {
            m,
            rows,
            panels,
            starts,
            per_run,
        }
    }

    fn tasks(&self) -> usize {
        self.per_run * self.m.div_ceil(self.rows)
    }

    fn tile<'a>(&self, task: usize, jobs: &'a [Job<'a>]) -> TileTask<'a> {
        // Neighbouring tasks share panels: those of a wide output are read from memory once, and it
        // is the narrow input that is read again, from the cache.
        let runs = self.m.div_ceil(self.rows);
        let (run, within) = (task % runs, task / runs);
        let job = self.starts.partition_point(|&start| start <= within) - 1;
        TileTask {
            job: &jobs[job],
            row: run * self.rows,
            rows: self.rows.min(self.m - run * self.rows),
            panel: (within - self.starts[job]) * self.panels,
            panels: self.panels,
        }
    }
}

/// Some rows of some panels of one product.
struct TileTask<'a> {
    job: &'a Job<'a>,
    row: usize,
    rows: usize,
    panel: usize,
    panels: usize,
}

impl Kernel for TileTask<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = self.job.weights;
        let column = self.panel * w.panel_columns();
        let product = TileProduct {
            // SAFETY: the row is inside the input.
            x: unsafe { self.job.x.add(self.row * w.units()) },
            x_row_stride: w.units(),
            x_unit_stride: 1,
            w: w.words[self.panel * w.panel_words()..].as_ptr(),
            w_panel_stride: w.panel_words(),
            out: self.job.out.address(self.row * w.columns + column),
            out_stride: w.columns,
            rows: self.rows,
            units: w.units(),
            columns: (self.panels * w.panel_columns()).min(w.columns - column),
            accumulate: self.job.accumulate,
        };
        // SAFETY: the input has these rows, the weights these panels, and no other task writes to
        // these rows and columns of the output.
        unsafe {
            match (w.precision, w.vectors) {
                (Precision::Bf16, 1) => product.run::<S, PairUnit, 1>(s),
                (Precision::Bf16, _) => product.run::<S, PairUnit, 2>(s),
                (Precision::F32, 1) => product.run::<S, FloatUnit, 1>(s),
                (Precision::F32, _) => product.run::<S, FloatUnit, 2>(s),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;
    use crate::bf16::{from_bf16, to_bf16};
    use crate::testing::{
        assert_close, assert_same_bits, assert_thread_count_is_invisible, for_each_isa, random,
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
            for (m, n, k) in SHAPES {
                let (x, w) = (random(1, m * k), random(2, n * k));
                for precision in [Precision::Bf16, Precision::F32] {
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
            let (m, n, k) = (14, 37, 50);
            let (x, w, before) = (random(1, m * k), random(2, n * k), random(3, m * n));
            let packed = PackedMatrix::pack(pool.isa(), Precision::F32, &w, n, k);
            let mut out = before.clone();
            matmul(pool, &x, m, &packed, &mut out, true);
            let product = reference(&x, m, &w, n, k, Precision::F32);
            let expected: Vec<f32> = before.iter().zip(product).map(|(b, p)| b + p).collect();
            assert_close(&out, &expected, 3e-6, "accumulated");
        });
    }

    #[test]
    fn an_empty_depth_gives_zeros() {
        let pool = Pool::new(1);
        for precision in [Precision::Bf16, Precision::F32] {
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
            for precision in [Precision::Bf16, Precision::F32] {
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
        let (m, k) = (131, 70);
        let x = random(1, m * k);
        let widths = [16, 300, 1, 64];
        assert_thread_count_is_invisible(|pool| {
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
        });
    }

    #[test]
    #[should_panic(expected = "an input of [2, 3] was expected")]
    fn a_wrong_input_is_refused() {
        let packed = PackedMatrix::pack(Isa::Portable, Precision::F32, &[0.0; 3], 1, 3);
        matmul(&Pool::new(1), &[0.0; 5], 2, &packed, &mut [0.0; 2], false);
    }
}
