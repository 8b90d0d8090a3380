//! Rotary position embedding in the half-split layout of Hugging Face.
//!
//! Element `i` of a head's first half and element `i` of its second half are the two coordinates of
//! a point that is rotated by `position · inv_freq[i]`. A rotation's gradient is the rotation back.

use crate::Pool;
use crate::buffer::Scratch;
use crate::buffer::area;
use crate::parallel::for_each_rows;
use crate::simd::{self, Kernel, Simd, map_vectors};

/// The usual frequencies `theta^(-2i / head_dim)` for `i` in `0..head_dim / 2`.
pub fn inverse_frequencies(theta: f32, head_dim: usize) -> Vec<f32> {
    let exponent = |i: usize| -2.0 * i as f64 / head_dim as f64;
    (0..head_dim / 2)
        .map(|i| f64::from(theta).powf(exponent(i)) as f32)
        .collect()
}

/// Cosines and sines of the angles that rows are turned by: computed once for all heads of all layers that
/// have the same frequencies. Its memory outlives its contents.
#[derive(Debug, Default)]
pub struct Turns {
    rows: usize,
    half: usize,
    /// `[rows, half]` cosines, then as many sines.
    values: Vec<f32>,
}

impl Turns {
    /// Takes up rows at `positions`, turned by `inv_freq`. The angle itself is rounded to `f32`, as the
    /// models were trained with.
    pub fn set(&mut self, pool: &Pool, positions: &[u32], inv_freq: &[f32]) {
        (self.rows, self.half) = (positions.len(), inv_freq.len());
        let count = self.rows * self.half;
        if self.values.len() < 2 * count {
            self.values = vec![0.0; 2 * count];
        }
        let (cos, sin) = self.values[..2 * count].split_at_mut(count);
        let both = [(cos, self.half), (sin, self.half)];
        for_each_rows(pool, positions.len(), both, |run, [cos, sin]| {
            let angles = positions[run].iter().flat_map(|&position| {
                let angles = inv_freq.iter();
                angles.map(move |freq| position as f32 * freq)
            });
            for ((angle, cos), sin) in angles.zip(cos).zip(sin) {
                (*sin, *cos) = angle.sin_cos();
            }
        });
    }

    /// Cosines and sines of one row.
    fn row(&self, row: usize) -> (&[f32], &[f32]) {
        let (cos, sin) = self.values.split_at(self.rows * self.half);
        let place = row * self.half..(row + 1) * self.half;
        (&cos[place.clone()], &sin[place])
    }
}

/// Rotates every head of every row of `x`, `[rows, heads, head_dim]`, in place; `inverse` rotates back,
/// which is also the backward pass.
///
/// # Panics
/// If `x` has another shape.
pub fn apply(pool: &Pool, x: &mut [f32], heads: usize, turns: &Turns, inverse: bool) {
    let (rows, width) = (turns.rows, area(heads, 2 * turns.half));
    assert_eq!(
        x.len(),
        area(rows, width),
        "an x of [{rows}, {heads}, {}] was expected",
        2 * turns.half
    );
    for_each_rows(pool, rows, [(x, width)], |run, [x]| {
        simd::vectorize(
            pool.isa(),
            Rotate {
                x,
                heads,
                turns,
                first: run.start,
                sign: if inverse { -1.0 } else { 1.0 },
            },
        );
    });
}

struct Rotate<'a> {
    x: &'a mut [f32],
    heads: usize,
    turns: &'a Turns,
    /// Which row `x` begins with.
    first: usize,
    /// Of the sines.
    sign: f32,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let half = self.turns.half;
        if half == 0 || self.heads == 0 {
            return;
        }
        let sign = s.splat(self.sign);
        let mut room = Scratch::floats(half);
        let rotated = &mut room[..half];
        let rows = self.x.chunks_exact_mut(self.heads * 2 * half);
        for (row, at) in rows.zip(self.first..) {
            let (cos, sin) = self.turns.row(at);
            for head in row.chunks_exact_mut(2 * half) {
                let (first, second) = head.split_at_mut(half);
                rotated.copy_from_slice(first);
                map_vectors!(s, a in first, [cos in cos, sin in sin, b in second] => {
                    s.sub(s.mul(a, cos), s.mul(b, s.mul(sin, sign)))
                });
                map_vectors!(s, b in second, [cos in cos, sin in sin, a in rotated] => {
                    s.fma(b, cos, s.mul(a, s.mul(sin, sign)))
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, assert_thread_count_is_invisible, drawn, for_each_isa, random,
    };

    fn reference(x: &[f32], heads: usize, positions: &[u32], inv_freq: &[f32]) -> Vec<f32> {
        let half = inv_freq.len();
        let mut out = x.to_vec();
        for (at, value) in out.iter_mut().enumerate() {
            let (row, i) = (at / (heads * 2 * half), at % (2 * half));
            let angle = f64::from(positions[row] as f32 * inv_freq[i % half]);
            let turned = if i < half {
                -x[at + half]
            } else {
                x[at - half]
            };
            *value = (f64::from(x[at]) * angle.cos() + f64::from(turned) * angle.sin()) as f32;
        }
        out
    }

    #[test]
    fn it_agrees_with_the_reference_and_turns_back() {
        for_each_isa(|pool| {
            let drawn = drawn(21, 12, [9, 64]).into_iter();
            let drawn = drawn.map(|[heads, pairs]| (heads, 2 * pairs));
            let edges = [(1, 2), (3, 64), (2, 6), (9, 16), (0, 4), (1, 0)];
            for (heads, head_dim) in edges.into_iter().chain(drawn) {
                for positions in [&[][..], &[0], &[5, 1000, 3]] {
                    let x = random(1, positions.len() * heads * head_dim);
                    let inv_freq = inverse_frequencies(10_000.0, head_dim);
                    let mut turned = x.clone();
                    // What a longer batch left is not read.
                    let mut turns = Turns::default();
                    turns.set(pool, &[9; 5], &inv_freq);
                    turns.set(pool, positions, &inv_freq);
                    apply(pool, &mut turned, heads, &turns, false);
                    assert_close(
                        &turned,
                        &reference(&x, heads, positions, &inv_freq),
                        1e-6,
                        "turned",
                    );
                    apply(pool, &mut turned, heads, &turns, true);
                    assert_close(&turned, &x, 1e-6, "turned back");
                }
            }
        });
    }

    #[test]
    fn frequencies_fall_from_one() {
        let frequencies = inverse_frequencies(10_000.0, 4);
        assert_eq!(frequencies, [1.0, 0.01]);
    }

    #[test]
    fn thread_count_is_invisible() {
        let positions: Vec<u32> = (0..500).collect();
        let inv_freq = inverse_frequencies(10_000.0, 64);
        assert_thread_count_is_invisible(|pool| {
            let mut x = random(1, 500 * 3 * 64);
            let mut turns = Turns::default();
            turns.set(pool, &positions, &inv_freq);
            apply(pool, &mut x, 3, &turns, false);
            x
        });
    }
}
