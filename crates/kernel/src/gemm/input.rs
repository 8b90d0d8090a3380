//! The left side of products, in the form that the micro-kernels read.

use std::ops::Range;

use super::Precision;
use super::pack::{PackedMatrix, pair_word};
use super::plan::{Job, Operand};
use crate::buffer::{Scratch, area};
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd};
use crate::{Isa, Pool};

/// Rows of floats, and the same rounded to bfloat16 if some weights ask for it.
pub(super) struct Input<'a> {
    x: &'a [f32],
    m: usize,
    depth: usize,
    isa: Isa,
    narrow: Option<Scratch>,
}

impl<'a> Input<'a> {
    /// Takes `m` rows for products with `weights`, which are all of the instruction set and depth of
    /// `first`.
    pub(super) fn new<'w>(
        pool: &Pool,
        x: &'a [f32],
        m: usize,
        first: &PackedMatrix,
        weights: impl Iterator<Item = &'w PackedMatrix>,
    ) -> Self {
        let (isa, depth) = (first.isa, first.depth);
        assert_eq!(
            x.len(),
            area(m, depth),
            "an input of [{m}, {depth}] was expected"
        );
        let mut pairs = false;
        for w in weights {
            assert_eq!(
                (w.isa, w.depth),
                (isa, depth),
                "the weights of a group differ in kind"
            );
            pairs |= w.precision == Precision::Bf16;
        }
        let narrow = pairs.then(|| narrow_rows(pool, x, m, depth, isa));
        Input {
            x,
            m,
            depth,
            isa,
            narrow,
        }
    }

    /// The rows as `weights` read them.
    pub(super) fn operand<'o>(&'o self, weights: &'o PackedMatrix) -> Operand<'o> {
        assert_eq!(
            (weights.isa, weights.depth),
            (self.isa, self.depth),
            "these weights were not announced"
        );
        let words = match (&self.narrow, weights.precision) {
            (Some(narrow), Precision::Bf16) => &narrow[..],
            (None, Precision::Bf16) => {
                unreachable!("the input is rounded if any weights are bfloat16")
            }
            (_, Precision::F32) => float_words(self.x),
        };
        Operand { words, weights }
    }

    /// A product of this input.
    pub(super) fn job<'j>(
        &'j self,
        weights: &'j PackedMatrix,
        out: &'j mut [f32],
        accumulate: bool,
    ) -> Job<'j> {
        let (m, columns) = (self.m, weights.columns);
        assert_eq!(
            out.len(),
            area(m, columns),
            "an output of [{m}, {columns}] was expected"
        );
        Job {
            first: self.operand(weights),
            second: None,
            out: SharedMut::new(out),
            accumulate,
        }
    }

    /// A product of some of the rows, which is written to `out`, as many rows.
    pub(super) fn part<'j>(
        &'j self,
        rows: Range<usize>,
        weights: &'j PackedMatrix,
        out: &'j mut [f32],
    ) -> Job<'j> {
        let (m, units, columns) = (self.m, weights.units(), weights.columns);
        assert!(rows.end <= m, "rows {rows:?} are outside of {m}");
        let count = rows.len();
        assert_eq!(
            out.len(),
            area(count, columns),
            "an output of [{count}, {columns}] was expected"
        );
        let Operand { words, .. } = self.operand(weights);
        let words = &words[rows.start * units..][..count * units];
        Job {
            first: Operand { words, weights },
            second: None,
            out: SharedMut::new(out),
            accumulate: false,
        }
    }
}

/// The bits of floats.
fn float_words(floats: &[f32]) -> &[u32] {
    // SAFETY: floats and words have one size and alignment, and any bits are a word.
    unsafe { std::slice::from_raw_parts(floats.as_ptr().cast(), floats.len()) }
}

/// Rounds the rows of `x` to bfloat16, each padded to whole words.
fn narrow_rows(pool: &Pool, x: &[f32], m: usize, depth: usize, isa: Isa) -> Scratch {
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
        let words = self.depth.div_ceil(2);
        let rows = self
            .x
            .chunks_exact(self.depth)
            .zip(self.out.chunks_exact_mut(words));
        for (from, to) in rows {
            narrow_row(s, from, to);
        }
    }
}

/// Rounds a row to bfloat16; an odd last element is paired with zero.
#[inline(always)]
fn narrow_row<S: Simd>(s: S, from: &[f32], to: &mut [u32]) {
    assert_eq!(to.len(), from.len().div_ceil(2), "two elements make a word");
    let whole = from.len() / (2 * S::LANES);
    for i in 0..whole {
        // SAFETY: two vectors of elements from `2 · i · LANES` on, and the vector of words they make,
        // are inside the slices.
        unsafe {
            let at = from.as_ptr().add(2 * i * S::LANES);
            let words = s.narrow(s.load(at), s.load(at.add(S::LANES)));
            s.store_words(to.as_mut_ptr().add(i * S::LANES), words);
        }
    }
    let rest = from[2 * whole * S::LANES..].chunks(2);
    for (pair, word) in rest.zip(&mut to[whole * S::LANES..]) {
        *word = pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0));
    }
}
