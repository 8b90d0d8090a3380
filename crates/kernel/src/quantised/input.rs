//! The input of a product, rounded to signed bytes with a scale for every block of a row.

use super::pack::BLOCK;
use crate::buffer::{FloatScratch, Scratch};
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd};
use crate::{Isa, Pool};

/// Words of the codes of a block.
pub(super) const BLOCK_WORDS: usize = BLOCK / 4;

/// Elements a task converts; less than this is not worth waking anybody.
const TASK_ELEMENTS: usize = 16 * 1024;

/// Rows as codes; `blocks` scales and sums of codes a row, the sums as whole numbers and times their scale.
///
/// Two pieces of memory, not four: a row of an answer is quantised hundreds of times for every token.
pub(super) struct Input {
    pub(super) blocks: usize,
    /// Blocks of all rows.
    count: usize,
    /// Words of the codes of a block.
    block_words: usize,
    /// The codes, and after them the sums.
    words: Scratch,
    /// The scales, and after them the sums times their scales.
    floats: FloatScratch,
}

impl Input {
    /// Rounds `m` rows in blocks of `block` values.
    pub(super) fn new(
        pool: &Pool,
        x: &[f32],
        (m, depth): (usize, usize),
        block: usize,
        isa: Isa,
    ) -> Input {
        let (blocks, block_words) = (depth / block, block / 4);
        let count = m * blocks;
        let mut input = Input {
            blocks,
            count,
            block_words,
            words: Scratch::words(count * (block_words + 1)),
            floats: Scratch::floats(2 * count),
        };
        let (codes, sums) = input.words.split_at_mut(count * block_words);
        let (scales, scaled_sums) = input.floats.split_at_mut(count);
        let (codes, sums) = (SharedMut::new(codes), SharedMut::new(sums));
        let (scales, scaled_sums) = (SharedMut::new(scales), SharedMut::new(scaled_sums));
        let per_task = (TASK_ELEMENTS / block).max(1);
        pool.run(count.div_ceil(per_task), &|task| {
            let run = task * per_task..((task + 1) * per_task).min(count);
            // SAFETY: tasks convert different blocks.
            let (codes, scales, sums, scaled_sums) = unsafe {
                (
                    codes.slice(run.start * block_words..run.end * block_words),
                    scales.slice(run.clone()),
                    sums.slice(run.clone()),
                    scaled_sums.slice(run.clone()),
                )
            };
            let x = &x[run.start * block..run.end * block];
            simd::vectorize(
                isa,
                Quantise {
                    x,
                    block_words,
                    codes,
                    scales,
                    sums,
                    scaled_sums,
                },
            );
        });
        input
    }

    /// The words of every block.
    pub(super) fn codes(&self) -> &[u32] {
        &self.words[..self.count * self.block_words]
    }

    /// One for every block, as whole numbers with a sign.
    pub(super) fn sums(&self) -> &[u32] {
        &self.words[self.count * self.block_words..]
    }

    /// One for every block.
    pub(super) fn scales(&self) -> &[f32] {
        &self.floats[..self.count]
    }

    /// One for every block.
    pub(super) fn scaled_sums(&self) -> &[f32] {
        &self.floats[self.count..]
    }
}

struct Quantise<'a> {
    x: &'a [f32],
    block_words: usize,
    codes: &'a mut [u32],
    scales: &'a mut [f32],
    sums: &'a mut [u32],
    scaled_sums: &'a mut [f32],
}

impl Kernel for Quantise<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let blocks = self
            .x
            .chunks_exact(4 * self.block_words)
            .zip(self.codes.chunks_exact_mut(self.block_words));
        let sums = self.sums.iter_mut().zip(self.scaled_sums);
        let figures = self.scales.iter_mut().zip(sums);
        for ((x, codes), (scale, (sum, scaled_sum))) in blocks.zip(figures) {
            let exact;
            (*scale, exact) = quantise_block(s, x, codes);
            (*sum, *scaled_sum) = (exact as i32 as u32, *scale * exact);
        }
    }
}

/// Writes the codes of a block; gives its scale and the sum of its codes, which is a whole number.
#[inline(always)]
fn quantise_block<S: Simd>(s: S, x: &[f32], codes: &mut [u32]) -> (f32, f32) {
    assert!(
        x.len() == 4 * codes.len() && x.len().is_multiple_of(BLOCK),
        "a block was expected"
    );
    let mut top = s.splat(0.0);
    let mut at = 0;
    while at < x.len() {
        // SAFETY: whole vectors of the block.
        let value = unsafe { s.load(x.as_ptr().add(at)) };
        top = s.max(top, s.max(value, s.sub(s.splat(0.0), value)));
        at += S::LANES;
    }
    let scale = s.max_lanes(top) / 127.0;
    // A scale without an inverse is none: its values are nothing beside any other block's.
    let scale = if scale < f32::MIN_POSITIVE {
        0.0
    } else {
        scale
    };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut sum = s.splat(0.0);
    at = 0;
    while at < x.len() {
        // SAFETY: whole vectors of the block, and as many bytes of its codes.
        unsafe {
            let code = s.round(s.mul(s.load(x.as_ptr().add(at)), s.splat(inverse)));
            sum = s.add(sum, code);
            s.store_bytes(codes.as_mut_ptr().cast::<i8>().add(at), code);
        }
        at += S::LANES;
    }
    let sum = s.sum_lanes(sum);
    // A maximum can lose what is not a number; a sum does not, and the outputs shall not either.
    (if sum.is_nan() { f32::NAN } else { scale }, sum)
}
