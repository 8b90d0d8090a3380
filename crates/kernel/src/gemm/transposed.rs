//! `aᵀ · b`, whose depth is the number of rows: the gradients of weights.
//!
//! `out[p, q] (+)= scale · a[m, p]ᵀ · b[m, q]`. Both operands are new in every call. One, `a` or a
//! narrow `b`, is laid out once, as the left side of the micro-kernels. So is the other where several
//! tasks read its columns; else each task lays out its own, some rows at a time, and uses them while
//! they are in the nearest cache. The output is cut into tasks by its shape alone, and the sums over
//! the rows are never cut.

use std::marker::PhantomData;
use std::ops::Range;

use super::micro::{FloatUnit, PairUnit, Term, TileProduct, Unit};
use crate::Pool;
use crate::buffer::{Scratch, area};
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, map_vectors, vector_at};

/// Columns of the other operand in a task.
const TASK_COLUMNS: usize = 128;
/// Columns of the operand laid out once in a task: whole panels of any instruction set.
const TASK_ROWS: usize = 96;
/// Rows of the wider operand that a task lays out at a time, even.
const BLOCK: usize = 256;
/// Rows that are multiplied at a time where both are laid out, even: a task's share of them fits the
/// second-level cache.
const LAID_OUT_BLOCK: usize = 512;
/// Columns that are laid out at a time: whole strips of either side.
const LAY_OUT_COLUMNS: usize = 4 * 384;
/// Words that are laid out in a task, about.
const LAY_OUT_WORDS: usize = 24 * 1024;
/// Vectors of columns in a panel.
const VECTORS: usize = 2;

/// `out[p, q] = scale · a[m, p]ᵀ · b[m, q]`, added to `out` if `accumulate`, with the operands as they
/// are. For the gradients of weights. The same bits at any number of threads.
///
/// # Panics
/// If a slice does not have the length its shape asks for.
#[expect(
    clippy::too_many_arguments,
    reason = "a BLAS-like signature reads best flat"
)]
pub fn matmul_tn(
    pool: &Pool,
    a: &[f32],
    b: &[f32],
    m: usize,
    p: usize,
    q: usize,
    out: &mut [f32],
    scale: f32,
    accumulate: bool,
) {
    run::<FloatUnit>(pool, (a, p), (b, q), m, out, Finish { scale, accumulate });
}

/// [`matmul_tn`] with the operands rounded to bfloat16, as [`super::Precision::Bf16`] has it: about
/// twice as fast where the machine multiplies them.
///
/// # Panics
/// As [`matmul_tn`].
#[expect(
    clippy::too_many_arguments,
    reason = "a BLAS-like signature reads best flat"
)]
pub fn matmul_tn_bf16(
    pool: &Pool,
    a: &[f32],
    b: &[f32],
    m: usize,
    p: usize,
    q: usize,
    out: &mut [f32],
    scale: f32,
    accumulate: bool,
) {
    run::<PairUnit>(pool, (a, p), (b, q), m, out, Finish { scale, accumulate });
}

/// What happens to the sums on their way out.
#[derive(Clone, Copy)]
struct Finish {
    scale: f32,
    accumulate: bool,
}

impl Finish {
    /// Whether the sums need no more than to be written or added.
    fn is_plain(self) -> bool {
        self.scale.to_bits() == 1f32.to_bits()
    }
}

fn run<U: Unit>(
    pool: &Pool,
    (a, p): (&[f32], usize),
    (b, q): (&[f32], usize),
    m: usize,
    out: &mut [f32],
    finish: Finish,
) {
    assert_eq!(
        a.len(),
        area(m, p),
        "a left side of [{m}, {p}] was expected"
    );
    assert_eq!(
        b.len(),
        area(m, q),
        "a right side of [{m}, {q}] was expected"
    );
    assert_eq!(
        out.len(),
        area(p, q),
        "an output of [{p}, {q}] was expected"
    );
    // The other way round is dear to write out: only where it saves laying out a wide side again.
    let swapped = p > q && q <= TASK_ROWS;
    let (narrow, wide) = if swapped {
        ((b, q), (a, p))
    } else {
        ((a, p), (b, q))
    };
    let left = LaidOut::new::<U>(pool, narrow, m, Side::Left);
    let read_again = narrow.1 > TASK_ROWS;
    let right = read_again.then(|| LaidOut::new::<U>(pool, wide, m, Side::Right));
    let out = SharedMut::new(out);
    let across = wide.1.div_ceil(TASK_COLUMNS);
    pool.run(narrow.1.div_ceil(TASK_ROWS) * across, &|task| {
        let (row, column) = (task / across * TASK_ROWS, task % across * TASK_COLUMNS);
        let task = Task {
            left: &left,
            right: right.as_ref(),
            wide,
            m,
            rows: row..(row + TASK_ROWS).min(left.columns),
            columns: column..(column + TASK_COLUMNS).min(wide.1),
            swapped,
            finish,
            out,
            unit: PhantomData::<U>,
        };
        simd::vectorize(pool.isa(), task);
    });
}

/// What an operand is to the micro-kernels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    /// Read a word at a time: word `u` of column `c` of a strip is at `u · strip + c`.
    Left,
    /// Read in panels, one after another in a strip.
    Right,
}

impl Side {
    /// Columns that one task reads.
    const fn strip(self) -> usize {
        match self {
            Side::Left => TASK_ROWS,
            Side::Right => TASK_COLUMNS,
        }
    }

    /// Columns whose words of one unit lie together.
    const fn piece(self, lanes: usize) -> usize {
        match self {
            Side::Left => TASK_ROWS,
            Side::Right => VECTORS * lanes,
        }
    }
}

/// An operand that is laid out once, in strips: what a task reads of it lies together.
struct LaidOut {
    words: Scratch,
    columns: usize,
    strip_words: usize,
}

impl LaidOut {
    fn new<U: Unit>(
        pool: &Pool,
        (from, columns): (&[f32], usize),
        m: usize,
        side: Side,
    ) -> LaidOut {
        let units = m.div_ceil(U::DEPTH);
        let strip_words = units * side.strip();
        let mut words = Scratch::words(columns.div_ceil(side.strip()) * strip_words);
        let shared = SharedMut::new(&mut words[..]);
        // By rows, as they lie: a strip's part of a row alone is too short for what fetches ahead.
        let across = columns.div_ceil(LAY_OUT_COLUMNS);
        let per_task = (LAY_OUT_WORDS / columns.clamp(1, LAY_OUT_COLUMNS)).max(1);
        pool.run(units.div_ceil(per_task) * across, &|task| {
            let unit = task / across * per_task;
            let column = task % across * LAY_OUT_COLUMNS;
            let lay_out = LayOut {
                from,
                width: columns,
                columns: column..(column + LAY_OUT_COLUMNS).min(columns),
                units: unit..(unit + per_task).min(units),
                units_in_all: units,
                to: shared,
                side,
                unit: PhantomData::<U>,
            };
            simd::vectorize(pool.isa(), lay_out);
        });
        LaidOut {
            words,
            columns,
            strip_words,
        }
    }
}

/// Lays out some columns of some rows, with the rows along the depth.
struct LayOut<'a, U> {
    from: &'a [f32],
    width: usize,
    /// From the beginning of a piece.
    columns: Range<usize>,
    units: Range<usize>,
    units_in_all: usize,
    to: SharedMut<'a, u32>,
    side: Side,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for LayOut<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (from, piece) = (self.from, self.side.piece(S::LANES));
        // Empty past the end.
        let row = |row: usize| {
            from.get(row * self.width..(row + 1) * self.width)
                .unwrap_or(&[])
        };
        for unit in self.units {
            let first = row(unit * U::DEPTH);
            let second = row(unit * U::DEPTH + U::DEPTH - 1);
            for start in self.columns.clone().step_by(piece) {
                let columns = start..(start + piece).min(self.columns.end);
                let at = (start / piece * self.units_in_all + unit) * piece;
                // SAFETY: tasks lay out different units or different pieces.
                let to = unsafe { self.to.slice(at..at + piece) };
                let second = second.get(columns.clone()).unwrap_or(&[]);
                lay_out_unit::<S, U>(s, &first[columns], second, to);
            }
        }
    }
}

/// Lays out one word of the depth: `first` and, where a word holds two rows, `second`, which is empty
/// past the end.
#[inline(always)]
fn lay_out_unit<S: Simd, U: Unit>(s: S, first: &[f32], second: &[f32], to: &mut [u32]) {
    let vectors = first.len().div_ceil(S::LANES);
    assert!(
        to.len() >= vectors * S::LANES,
        "there is room for all columns"
    );
    let whole = if second.len() == first.len() {
        first.len() / S::LANES
    } else {
        0
    };
    for vector in 0..vectors {
        let at = vector * S::LANES;
        let (first, second) = if vector < whole {
            // SAFETY: both rows hold this whole vector.
            unsafe {
                (
                    s.load(first.as_ptr().add(at)),
                    s.load(second.as_ptr().add(at)),
                )
            }
        } else {
            (vector_at(s, first, at), vector_at(s, second, at))
        };
        // SAFETY: the room is checked above.
        unsafe { s.store_words(to.as_mut_ptr().add(at), U::combine(s, first, second)) };
    }
}

/// A piece of the output.
struct Task<'a, U> {
    left: &'a LaidOut,
    /// The wider operand where it is laid out.
    right: Option<&'a LaidOut>,
    wide: (&'a [f32], usize),
    m: usize,
    /// Columns of the narrower operand.
    rows: Range<usize>,
    /// Columns of the wider operand.
    columns: Range<usize>,
    /// Whether the output is the other way round.
    swapped: bool,
    finish: Finish,
    out: SharedMut<'a, f32>,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for Task<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if let Some(right) = self.right
            && self.finish.is_plain()
            && !self.swapped
        {
            return self.straight(s, right);
        }
        let mut sums = Scratch::floats(self.rows.len() * TASK_COLUMNS);
        sums.fill(0.0);
        let mut own = Scratch::words(match self.right {
            Some(_) => 0,
            None => TASK_COLUMNS * BLOCK / U::DEPTH,
        });
        for start in (0..self.m).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(self.m);
            let (panels, panel_rows) = match self.right {
                Some(right) => (self.strip_of(right, start, VECTORS * S::LANES), self.m),
                None => {
                    self.lay_out(s, block.clone(), &mut own);
                    (&own[..], BLOCK)
                }
            };
            let panel_words = VECTORS * S::LANES * panel_rows.div_ceil(U::DEPTH);
            let to = (sums.as_mut_ptr(), TASK_COLUMNS, true);
            // SAFETY: the sums hold `TASK_COLUMNS` for each row.
            unsafe { self.multiply(s, block, (panels, panel_words), to) };
        }
        self.write(s, &sums);
    }
}

impl<U: Unit> Task<'_, U> {
    /// Lays out the task's columns of some rows of the wider operand in panels.
    #[inline(always)]
    fn lay_out<S: Simd>(&self, s: S, block: Range<usize>, panels: &mut [u32]) {
        let (wide, width) = self.wide;
        let panel_words = VECTORS * S::LANES * BLOCK / U::DEPTH;
        let row = |row: usize| match row < block.end {
            true => &wide[row * width + self.columns.start..row * width + self.columns.end],
            false => &[],
        };
        for (unit, first) in block.clone().step_by(U::DEPTH).enumerate() {
            let panel = VECTORS * S::LANES;
            let (first, second) = (row(first), row(first + U::DEPTH - 1));
            for (index, first) in first.chunks(panel).enumerate() {
                let second = second.get(index * panel..).unwrap_or(&[]);
                let second = &second[..second.len().min(first.len())];
                let to = &mut panels[index * panel_words + unit * panel..][..panel];
                lay_out_unit::<S, U>(s, first, second, to);
            }
        }
    }

    /// The products of all rows, from the registers to where they belong.
    #[inline(always)]
    fn straight<S: Simd>(&self, s: S, right: &LaidOut) {
        let width = self.wide.1;
        let out = self.rows.start * width + self.columns.start;
        let panel_words = VECTORS * S::LANES * self.m.div_ceil(U::DEPTH);
        // At least once: nothing multiplied is nothing, and has to be written.
        for start in (0..self.m.max(1)).step_by(LAID_OUT_BLOCK) {
            let block = start..(start + LAID_OUT_BLOCK).min(self.m);
            let panels = self.strip_of(right, start, VECTORS * S::LANES);
            let add = self.finish.accumulate || start > 0;
            let to = (self.out.address(out), width, add);
            // SAFETY: tasks write to different rows or columns of the output.
            unsafe { self.multiply(s, block, (panels, panel_words), to) };
        }
    }

    /// The task's panels of `right`, from row `start` on.
    fn strip_of<'r>(&self, right: &'r LaidOut, start: usize, panel: usize) -> &'r [u32] {
        let strip = self.columns.start / TASK_COLUMNS * right.strip_words;
        &right.words[strip + start / U::DEPTH * panel..]
    }

    /// The products of some rows, written or added to rows that lie `stride` apart.
    ///
    /// # Safety
    /// The task's rows and columns from `out` on must be writable, by nobody else meanwhile.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(
        &self,
        s: S,
        block: Range<usize>,
        (panels, panel_words): (&[u32], usize),
        (out, stride, accumulate): (*mut f32, usize, bool),
    ) {
        let units = block.len().div_ceil(U::DEPTH);
        let strip = self.rows.start / TASK_ROWS * self.left.strip_words;
        let first = strip + block.start / U::DEPTH * TASK_ROWS;
        let term = Term {
            x: self.left.words[first..first + units * TASK_ROWS].as_ptr(),
            x_row_stride: 1,
            x_unit_stride: TASK_ROWS,
            w: panels.as_ptr(),
            w_panel_stride: panel_words,
            units,
        };
        let product = TileProduct {
            terms: [term, Term::NONE],
            out,
            out_stride: stride,
            rows: self.rows.len(),
            columns: self.columns.len(),
            accumulate,
        };
        let whole = self.columns.len().div_ceil(VECTORS * S::LANES);
        assert!(
            whole == 0 || panels.len() >= (whole - 1) * panel_words + units * VECTORS * S::LANES,
            "the panels hold the task's columns"
        );
        // SAFETY: the left words are sliced above, the panels are checked; of the output the caller
        // vouches.
        unsafe { product.run::<S, U, VECTORS>(s) }
    }

    /// Brings the sums to the output.
    #[inline(always)]
    fn write<S: Simd>(&self, s: S, sums: &[f32]) {
        let Finish { scale, accumulate } = self.finish;
        if !self.swapped {
            let (scale, keep) = (s.splat(scale), s.splat(if accumulate { 1.0 } else { 0.0 }));
            for (row, sums) in self.rows.clone().zip(sums.chunks_exact(TASK_COLUMNS)) {
                let start = row * self.wide.1;
                // SAFETY: tasks write to different rows or columns.
                let out = unsafe {
                    self.out
                        .slice(start + self.columns.start..start + self.columns.end)
                };
                if !accumulate {
                    out.fill(0.0);
                }
                map_vectors!(s, old in out, [sum in &sums[..self.columns.len()]] => {
                    s.fma(sum, scale, s.mul(old, keep))
                });
            }
            return;
        }
        for (index, column) in self.columns.clone().enumerate() {
            let start = column * self.left.columns;
            // SAFETY: tasks write to different rows or columns.
            let out = unsafe {
                self.out
                    .slice(start + self.rows.start..start + self.rows.end)
            };
            for (out, sums) in out.iter_mut().zip(sums.chunks_exact(TASK_COLUMNS)) {
                let sum = scale * sums[index];
                *out = if accumulate { *out + sum } else { sum };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bf16::{from_bf16, to_bf16};
    use crate::testing::{
        assert_close, assert_thread_count_is_invisible, for_each_isa, random, shapes,
    };

    const SHAPES: [(usize, usize, usize); 10] = [
        (0, 100, 130),
        (1027, 97, 130),
        (0, 3, 4),
        (1, 1, 1),
        (5, 16, 7),
        (33, 200, 16),
        (129, 16, 300),
        (100, 2, 576),
        (64, 193, 385),
        (257, 100, 97),
    ];

    fn reference(a: &[f32], b: &[f32], (m, p, q): (usize, usize, usize), scale: f32) -> Vec<f32> {
        let dot = |i: usize, j: usize| {
            (0..m)
                .map(|r| f64::from(a[r * p + i]) * f64::from(b[r * q + j]))
                .sum::<f64>()
        };
        (0..p * q)
            .map(|at| (f64::from(scale) * dot(at / q, at % q)) as f32)
            .collect()
    }

    fn rounded(values: &[f32]) -> Vec<f32> {
        values
            .iter()
            .map(|value| from_bf16(to_bf16(*value)))
            .collect()
    }

    #[test]
    fn both_precisions_agree_with_the_reference() {
        for_each_isa(|pool| {
            for shape in shapes(&SHAPES, 12, 12, [150, 130, 150]) {
                // Sums that are not scaled go straight to the output.
                for scale in [0.25, 1.0] {
                    agrees(pool, shape, scale);
                }
            }
        });
    }

    fn agrees(pool: &Pool, shape: (usize, usize, usize), scale: f32) {
        let (m, p, q) = shape;
        let (a, b, before) = (random(1, m * p), random(2, m * q), random(3, p * q));
        type Product = fn(&Pool, &[f32], &[f32], usize, usize, usize, &mut [f32], f32, bool);
        let products = [
            (matmul_tn as Product, reference(&a, &b, shape, scale)),
            (
                matmul_tn_bf16,
                reference(&rounded(&a), &rounded(&b), shape, scale),
            ),
        ];
        for (at, (product, expected)) in products.iter().enumerate() {
            let what = format!("{shape:?} times {scale}, kind {at}");
            let mut out = vec![f32::NAN; p * q];
            product(pool, &a, &b, m, p, q, &mut out, scale, false);
            assert_close(&out, expected, 3e-6, &what);
            let mut out = before.clone();
            product(pool, &a, &b, m, p, q, &mut out, scale, true);
            let sums = before.iter().zip(expected).map(|(b, p)| b + p);
            assert_close(&out, &sums.collect::<Vec<f32>>(), 3e-6, &what);
        }
    }

    #[test]
    fn thread_count_is_invisible() {
        // The last has more rows than are taken at a time, either way.
        for (m, p, q) in [
            (150, 16, 1000),
            (150, 1000, 16),
            (150, 130, 140),
            (1100, 100, 140),
        ] {
            let (a, b) = (random(1, m * p), random(2, m * q));
            assert_thread_count_is_invisible(|pool| {
                let (mut out, mut rounded) = (vec![0.0; p * q], vec![0.0; p * q]);
                matmul_tn(pool, &a, &b, m, p, q, &mut out, 2.0, false);
                matmul_tn_bf16(pool, &a, &b, m, p, q, &mut rounded, 1.0, false);
                matmul_tn(pool, &a, &b, m, p, q, &mut rounded, 1.0, true);
                matmul_tn_bf16(pool, &a, &b, m, p, q, &mut out, 0.5, true);
                [out, rounded].concat()
            });
        }
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn a_shape_whose_size_wraps_around_is_refused() {
        let (m, p) = (1 << 33, 1 << 31);
        matmul_tn(&Pool::new(1), &[], &[], m, p, 0, &mut [], 1.0, false);
    }
}
