//! One step of AdamW, element by element (Loshchilov and Hutter 2019, algorithm 2).
//!
//! ```text
//! g ← c·g
//! m ← β₁·m + (1 − β₁)·g          v ← β₂·v + (1 − β₂)·g²
//! p ← k·p − s·m / (√v / q + ε)
//! ```
//! The constants of the step are the caller's: `c` from clipping, `k = 1 − lr·λ`,
//! `s = lr / (1 − β₁ᵗ)`, `q = √(1 − β₂ᵗ)`. Nothing is fused into fewer roundings than written here, so
//! every instruction set gives the same bits. One pass reads and writes each number once: with many
//! parameters memory is the limit.

use crate::Pool;
use crate::parallel::for_each_rows;
use crate::simd::{self, Kernel, Simd, set_vector_at, vector_at};

/// The constants of a step, by the names of the formulas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// β₁
    pub beta1: f32,
    /// 1 − β₁
    pub rest1: f32,
    /// β₂
    pub beta2: f32,
    /// 1 − β₂
    pub rest2: f32,
    /// `c`, what the gradients are multiplied by.
    pub gradient_factor: f32,
    /// `k`, what is kept of a value.
    pub keep: f32,
    /// `s`, the step's size.
    pub step_size: f32,
    /// `q`, the correction of the second moment's root.
    pub correction: f32,
    /// ε
    pub epsilon: f32,
}

/// Moves `values` and both moments by one step.
///
/// # Panics
/// If the lengths differ.
pub fn step(
    pool: &Pool,
    constants: &Constants,
    values: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    gradients: &[f32],
) {
    let len = gradients.len();
    let outputs = [(values, 1), (first, 1), (second, 1)];
    for_each_rows(pool, len, outputs, |run, [values, first, second]| {
        simd::vectorize(
            pool.isa(),
            Step {
                constants,
                values,
                first,
                second,
                gradients: &gradients[run],
            },
        );
    });
}

struct Step<'a> {
    constants: &'a Constants,
    values: &'a mut [f32],
    first: &'a mut [f32],
    second: &'a mut [f32],
    gradients: &'a [f32],
}

impl Kernel for Step<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Step {
            constants: c,
            values,
            first,
            second,
            gradients,
        } = self;
        let (beta1, rest1) = (s.splat(c.beta1), s.splat(c.rest1));
        let (beta2, rest2) = (s.splat(c.beta2), s.splat(c.rest2));
        let (factor, keep) = (s.splat(c.gradient_factor), s.splat(c.keep));
        let (step_size, correction) = (s.splat(c.step_size), s.splat(c.correction));
        let epsilon = s.splat(c.epsilon);
        for at in (0..gradients.len()).step_by(S::LANES) {
            let gradient = s.mul(factor, vector_at(s, gradients, at));
            let old = s.mul(beta1, vector_at(s, first, at));
            let moment = s.add(old, s.mul(rest1, gradient));
            set_vector_at(s, first, at, moment);
            let old = s.mul(beta2, vector_at(s, second, at));
            let square = s.add(old, s.mul(s.mul(rest2, gradient), gradient));
            set_vector_at(s, second, at, square);
            let denominator = s.add(s.div(s.sqrt(square), correction), epsilon);
            let kept = s.mul(keep, vector_at(s, values, at));
            let moved = s.sub(kept, s.div(s.mul(step_size, moment), denominator));
            set_vector_at(s, values, at, moved);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_same_bits, assert_thread_count_is_invisible, drawn, for_each_isa, random,
    };

    const CONSTANTS: Constants = Constants {
        beta1: 0.9,
        rest1: 0.1,
        beta2: 0.999,
        rest2: 0.001,
        gradient_factor: 0.25,
        keep: 0.9999,
        step_size: 0.003,
        correction: 0.07,
        epsilon: 1e-8,
    };

    /// Values and both moments after a step, as one would write it down.
    fn reference(c: &Constants, [p, m, v]: [f32; 3], g: f32) -> [f32; 3] {
        let g = c.gradient_factor * g;
        let m = c.beta1 * m + c.rest1 * g;
        let v = c.beta2 * v + c.rest2 * g * g;
        let p = c.keep * p - c.step_size * m / (v.sqrt() / c.correction + c.epsilon);
        [p, m, v]
    }

    fn start(len: usize) -> ([Vec<f32>; 3], Vec<f32>) {
        let second = random(3, len).iter().map(|v| v * v).collect();
        ([random(1, len), random(2, len), second], random(4, len))
    }

    #[test]
    fn every_instruction_set_gives_the_bits_of_the_reference() {
        for_each_isa(|pool| {
            let drawn = drawn(20, 12, [1000]).into_iter().flatten();
            for len in [0, 1, 7, 16, 333].into_iter().chain(drawn) {
                let (before, gradients) = start(len);
                let mut after = before.clone();
                let [values, first, second] = &mut after;
                step(pool, &CONSTANTS, values, first, second, &gradients);
                for at in 0..len {
                    let before = before.each_ref().map(|values| values[at]);
                    let expected = reference(&CONSTANTS, before, gradients[at]);
                    let found = after.each_ref().map(|values| values[at]);
                    assert_same_bits(&found, &expected, &format!("{at} of {len}"));
                }
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let (before, gradients) = start(100_003);
        assert_thread_count_is_invisible(|pool| {
            let mut after = before.clone();
            let [values, first, second] = &mut after;
            step(pool, &CONSTANTS, values, first, second, &gradients);
            after.concat()
        });
    }

    #[test]
    #[should_panic(expected = "an output is not 2 rows of 1")]
    fn lengths_that_differ_are_refused() {
        let (a, b, c) = (&mut [0.0; 2], &mut [0.0; 2], &mut [0.0; 3]);
        step(&Pool::new(1), &CONSTANTS, a, b, c, &[0.0; 2]);
    }
}
