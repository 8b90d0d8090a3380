//! The depths of a row at which a first look reads the lower halves of split codes after all.
//!
//! ```text
//! out[j] += Σ_{d heavy} s[j, b] · t[b] · (l[j, d] − 8) · a[d]
//! ```
//! The last states of a language model have a few values far larger than the rest ("massive
//! activations", Sun et al. 2024), whose weights' lower halves make up most of what a first look
//! leaves out. Few depths are a few lines of memory for a panel, where all are a hundred and fifty.

use std::cmp::Ordering;
use std::ops::Range;

use super::BLOCK;
use super::input::{BLOCK_WORDS, Input};
use super::pack::{Bits, Lower, QuantisedMatrix, VECTORS};
use crate::parallel::SharedMut;
use crate::simd::{Kernel, Simd};

/// Heavy depths of a row, at most.
const DEPTHS_MAX: usize = 4;
/// A depth is heavy that makes up at least one part of so many of what a first look leaves out.
const PART_MIN: f32 = 64.0;
/// How many panels ahead of its use a line is asked for.
const AHEAD: usize = 4;

/// What a first look has to know of a row.
pub(super) struct Heavy {
    pub(super) depths: Vec<usize>,
    /// The standard deviation of what is left out of an output of usual scales, the heavy depths apart.
    pub(super) deviation: f32,
}

impl Heavy {
    /// Of a row of inputs and the variances of what is left out of weights.
    pub(super) fn of(x: &[f32], lower: &Lower) -> Heavy {
        let terms = x.iter().zip(&lower.variances).map(|(x, v)| x * x * v);
        let mut terms: Vec<(usize, f32)> = terms.enumerate().collect();
        let all: f32 = terms.iter().map(|(_, term)| term).sum();
        let count = DEPTHS_MAX.min(terms.len());
        let largest_first = |a: &(_, f32), b: &(_, f32)| -> Ordering { b.1.total_cmp(&a.1) };
        if count < terms.len() {
            terms.select_nth_unstable_by(count, largest_first);
        }
        let heavy = |(_, term): &&(usize, f32)| term * PART_MIN >= all;
        let depths: Vec<usize> = terms[..count].iter().filter(heavy).map(|it| it.0).collect();
        let rest = terms.iter().filter(|(depth, _)| !depths.contains(depth));
        let deviation = rest.map(|(_, term)| term).sum::<f32>().sqrt();
        Heavy { depths, deviation }
    }
}

/// Adds the heavy depths of a row to what a first look found for some panels.
pub(super) struct Addition<'a> {
    pub(super) heavy: &'a Heavy,
    pub(super) input: &'a Input,
    pub(super) row: usize,
    pub(super) weights: &'a QuantisedMatrix,
    pub(super) lower: &'a Lower,
    pub(super) panels: Range<usize>,
    /// All outputs of all rows.
    pub(super) out: &'a SharedMut<'a, f32>,
}

/// A heavy depth as the panels know it.
struct Depth {
    /// Where its words and its scales begin in a panel's part of the lower and of the upper halves.
    word: usize,
    scale: usize,
    in_high_nibbles: bool,
    /// The input's code at its byte of a word, nothing at the others.
    code: u32,
    /// What stands for the lower half in a first look, taken off.
    taken_off: u32,
    input_scale: f32,
}

impl Addition<'_> {
    fn depth(&self, depth: usize, width: usize) -> Depth {
        let (block, within) = (depth / BLOCK, depth % BLOCK);
        let at = self.row * self.input.blocks + block;
        let bits = 8 * (within % 4);
        let code = self.input.codes()[at * BLOCK_WORDS + within / 4] & (0xff << bits);
        let value = i32::from((code >> bits) as u8 as i8);
        let words = Bits::Four.block_words();
        Depth {
            word: (block * words + within / 8) * width,
            scale: block * self.weights.record_words() + words * width,
            in_high_nibbles: within % 8 >= 4,
            code,
            taken_off: (-8 * value) as u32,
            input_scale: self.input.scales()[at],
        }
    }
}

impl Kernel for Addition<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let (w, width) = (self.weights, VECTORS * S::LANES);
        let lower_words = self.input.blocks * Bits::Four.block_words() * width;
        let depths = self.heavy.depths.iter();
        let depths: Vec<Depth> = depths.map(|&it| self.depth(it, width)).collect();
        for panel in self.panels.clone() {
            let lower = self.lower.words[panel * lower_words..].as_ptr();
            let upper = w.words[panel * w.panel_words()..].as_ptr();
            for depth in &depths {
                let ahead = lower.wrapping_add(AHEAD * lower_words + depth.word);
                (0..VECTORS).for_each(|it| s.prefetch(ahead.wrapping_add(it * S::LANES).cast()));
            }
            let first = panel * width;
            let start = self.row * w.columns + first;
            let columns = first..(first + width).min(w.columns);
            // SAFETY: nobody else writes to these columns of this row.
            let out = unsafe { self.out.slice(start..start + columns.len()) };
            for (vector, out) in out.chunks_mut(S::LANES).enumerate() {
                // SAFETY: as many elements are there.
                let mut sum = unsafe { s.load_first(out.as_ptr(), out.len()) };
                for depth in &depths {
                    // SAFETY: the panel has the depth's words and scales, whole vectors each.
                    let (codes, scales) = unsafe {
                        let scales = upper.add(depth.scale).cast::<u16>();
                        (
                            s.load_words(lower.add(depth.word + vector * S::LANES)),
                            s.load_halves(scales.add(vector * S::LANES)),
                        )
                    };
                    let codes = if depth.in_high_nibbles {
                        s.high_nibbles(codes)
                    } else {
                        s.low_nibbles(codes)
                    };
                    let taken_off = s.splat_words(depth.taken_off);
                    let product = s.dot_bytes(taken_off, codes, s.splat_words(depth.code));
                    let both = s.mul(scales, s.splat(depth.input_scale));
                    sum = s.fma(s.integers_as_floats(product), both, sum);
                }
                // SAFETY: as above.
                unsafe { s.store_first(out.as_mut_ptr(), sum, out.len()) };
            }
        }
    }
}
