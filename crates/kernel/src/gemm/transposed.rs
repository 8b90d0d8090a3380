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
use crate::buffer::Scratch;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, map_vectors, vector_at};

/// Columns of the other operand in a task.
const TASK_COLUMNS: usize = 128;
/// Columns of the operand laid out once in a task: whole panels of any instruction set.
const TASK_ROWS: usize = 96;
/// Rows of the operands that are laid out at a time, even.
const BLOCK: usize = 256;
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

fn run<U: Unit>(
    pool: &Pool,
    (a, p): (&[f32], usize),
    (b, q): (&[f32], usize),
    m: usize,
    out: &mut [f32],
    finish: Finish,
) {
    assert_eq!(a.len(), m * p, "a left side of [{m}, {p}] was expected");
    assert_eq!(b.len(), m * q, "a right side of [{m}, {q}] was expected");
    assert_eq!(out.len(), p * q, "an output of [{p}, {q}] was expected");
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
        let strip_words = m.div_ceil(U::DEPTH) * side.strip();
        let strips = columns.div_ceil(side.strip());
        let mut words = Scratch::words(strips * strip_words);
        let shared = SharedMut::new(&mut words[..]);
        pool.run(strips, &|strip| {
            let start = strip * side.strip();
            let lay_out = LayOut {
                from,
                width: columns,
                columns: start..(start + side.strip()).min(columns),
                // SAFETY: tasks lay out different strips.
                to: unsafe { shared.slice(strip * strip_words..(strip + 1) * strip_words) },
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

/// Lays out a strip with the rows along the depth.
struct LayOut<'a, U> {
    from: &'a [f32],
    width: usize,
    columns: Range<usize>,
    to: &'a mut [u32],
    side: Side,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for LayOut<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (from, columns) = (self.from, self.columns);
        // Empty past the end.
        let row = |row: usize| {
            let row = from.get(row * self.width..(row + 1) * self.width);
            row.map_or(&[][..], |row| &row[columns.clone()])
        };
        let units = self.to.len() / self.side.strip();
        let panel = VECTORS * S::LANES;
        let (step, panel_words) = match self.side {
            Side::Left => (TASK_ROWS, panel),
            Side::Right => (panel, panel * units),
        };
        for unit in 0..units {
            let first = unit * U::DEPTH;
            let to = &mut self.to[unit * step..];
            let second = first + U::DEPTH - 1;
            lay_out_unit::<S, U>(s, row(first), row(second), to, panel_words);
        }
    }
}

/// Lays out one word of the depth: `first` and, where a word holds two rows, `second`, which is empty
/// past the end. Every `VECTORS` vectors of words go `panel_words` after those before.
#[inline(always)]
fn lay_out_unit<S: Simd, U: Unit>(
    s: S,
    first: &[f32],
    second: &[f32],
    to: &mut [u32],
    panel_words: usize,
) {
    let vectors = first.len().div_ceil(S::LANES);
    let place = |vector: usize| vector / VECTORS * panel_words + vector % VECTORS * S::LANES;
    assert!(
        vectors == 0 || to.len() >= place(vectors - 1) + S::LANES,
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
        unsafe {
            s.store_words(
                to.as_mut_ptr().add(place(vector)),
                U::combine(s, first, second),
            )
        };
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
        let mut sums = Scratch::floats(self.rows.len() * TASK_COLUMNS);
        sums.fill(0.0);
        let mut own = Scratch::words(match self.right {
            Some(_) => 0,
            None => TASK_COLUMNS * BLOCK / U::DEPTH,
        });
        for start in (0..self.m).step_by(BLOCK) {
            let block = start..(start + BLOCK).min(self.m);
            let panels = match self.right {
                Some(right) => {
                    let strip = self.columns.start / TASK_COLUMNS * right.strip_words;
                    &right.words[strip + start / U::DEPTH * VECTORS * S::LANES..]
                }
                None => {
                    self.lay_out(s, block.clone(), &mut own);
                    &own[..]
                }
            };
            let panel_rows = self.right.map_or(BLOCK, |_| self.m);
            let panel_words = VECTORS * S::LANES * panel_rows.div_ceil(U::DEPTH);
            self.add(s, block, (panels, panel_words), &mut sums);
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
            let second = first + U::DEPTH - 1;
            let to = &mut panels[unit * VECTORS * S::LANES..];
            lay_out_unit::<S, U>(s, row(first), row(second), to, panel_words);
        }
    }

    /// Adds the products of some rows to the sums.
    #[inline(always)]
    fn add<S: Simd>(
        &self,
        s: S,
        block: Range<usize>,
        (panels, panel_words): (&[u32], usize),
        sums: &mut [f32],
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
            out: sums.as_mut_ptr(),
            out_stride: TASK_COLUMNS,
            rows: self.rows.len(),
            columns: self.columns.len(),
            accumulate: true,
        };
        let whole = self.columns.len().div_ceil(VECTORS * S::LANES);
        assert!(
            whole == 0 || panels.len() >= (whole - 1) * panel_words + units * VECTORS * S::LANES,
            "the panels hold the task's columns"
        );
        // SAFETY: the left words are sliced above, the panels are checked, and the sums hold
        // `TASK_COLUMNS` for each row.
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
    use crate::testing::{assert_close, assert_thread_count_is_invisible, for_each_isa, random};

    const SHAPES: [(usize, usize, usize); 8] = [
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
            for shape in SHAPES {
                let (m, p, q) = shape;
                let (a, b, before) = (random(1, m * p), random(2, m * q), random(3, p * q));
                let exact = reference(&a, &b, shape, 0.25);
                let mut out = vec![f32::NAN; p * q];
                matmul_tn(pool, &a, &b, m, p, q, &mut out, 0.25, false);
                assert_close(&out, &exact, 3e-6, &format!("{shape:?}"));
                let mut out = before.clone();
                matmul_tn_bf16(pool, &a, &b, m, p, q, &mut out, 0.25, true);
                let coarse = reference(&rounded(&a), &rounded(&b), shape, 0.25);
                let expected: Vec<f32> = before.iter().zip(coarse).map(|(b, p)| b + p).collect();
                assert_close(
                    &out,
                    &expected,
                    3e-6,
                    &format!("{shape:?}, rounded and accumulated"),
                );
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let m = 150;
        for (p, q) in [(16, 1000), (1000, 16), (130, 140)] {
            let (a, b) = (random(1, m * p), random(2, m * q));
            assert_thread_count_is_invisible(|pool| {
                let (mut out, mut rounded) = (vec![0.0; p * q], vec![0.0; p * q]);
                matmul_tn(pool, &a, &b, m, p, q, &mut out, 2.0, false);
                matmul_tn_bf16(pool, &a, &b, m, p, q, &mut rounded, 2.0, false);
                out.extend(rounded);
                out
            });
        }
    }
}
