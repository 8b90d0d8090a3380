//! Gated activation with GELU, element by element.
//!
//! Forward: `out = gelu(gate) · up`, GELU in its tanh form, which a sigmoid says as well:
//! `gelu(g) = g/2 · (1 + tanh(u)) = g · σ(2u)` with `u = √(2/π) · (g + 0.044715 · g³)`.
//!
//! Backward, `dout` given: `dup = dout · gelu(gate)` and, with `s = σ(2u)`,
//! `dgate = dout · up · (s + g · s · (1 - s) · 2u')`, `u' = √(2/π) · (1 + 3 · 0.044715 · g²)`.

use crate::Pool;
use crate::parallel::for_each_rows;
use crate::simd::{self, Kernel, Simd, map_vectors};

/// `2 · √(2/π)`
const TWICE_ROOT: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;

/// Computes `out` from `gate` and `up`, all of one length.
///
/// # Panics
/// If the lengths differ.
pub fn forward(pool: &Pool, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let len = out.len();
    assert!(
        gate.len() == len && up.len() == len,
        "gate, up and out differ in length"
    );
    for_each_rows(pool, len, [(out, 1)], |run, [out]| {
        let (gate, up) = (&gate[run.clone()], &up[run]);
        simd::vectorize(pool.isa(), Forward { gate, up, out });
    });
}

/// Overwrites `dgate` and `dup` with the gradients, given `dout`; all of one length.
///
/// # Panics
/// If the lengths differ.
pub fn backward(
    pool: &Pool,
    gate: &[f32],
    up: &[f32],
    dout: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    let len = dout.len();
    assert!(
        gate.len() == len && up.len() == len,
        "gate, up and dout differ in length"
    );
    for_each_rows(pool, len, [(dgate, 1), (dup, 1)], |run, [dgate, dup]| {
        let (gate, up, dout) = (&gate[run.clone()], &up[run.clone()], &dout[run]);
        let backward = Backward {
            gate,
            up,
            dout,
            dgate,
            dup,
        };
        simd::vectorize(pool.isa(), backward);
    });
}

/// `σ(2u)`, the share of the gate that passes.
#[inline(always)]
fn share<S: Simd>(s: S, gate: S::F) -> S::F {
    let square = s.mul(gate, gate);
    let slope = s.fma(square, s.splat(TWICE_ROOT * CUBIC), s.splat(TWICE_ROOT));
    simd::sigmoid(s, s.mul(gate, slope))
}

struct Forward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map_vectors!(s, _ in self.out, [gate in self.gate, up in self.up] => {
            s.mul(s.mul(gate, share(s, gate)), up)
        });
    }
}

struct Backward<'a> {
    gate: &'a [f32],
    up: &'a [f32],
    dout: &'a [f32],
    dgate: &'a mut [f32],
    dup: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Backward {
            gate,
            up,
            dout,
            dgate,
            dup,
        } = self;
        let one = s.splat(1.0);
        // The share is put down in `dup` first, so that it is computed once.
        map_vectors!(s, _ in dup, [gate in gate] => share(s, gate));
        map_vectors!(s, _ in dgate, [gate in gate, up in up, dout in dout, share in dup] => {
            let square = s.mul(gate, gate);
            let slope = s.fma(square, s.splat(3.0 * TWICE_ROOT * CUBIC), s.splat(TWICE_ROOT));
            let along = s.fma(s.mul(gate, s.sub(one, share)), slope, one);
            s.mul(s.mul(dout, up), s.mul(share, along))
        });
        map_vectors!(s, share in dup, [gate in gate, dout in dout] => s.mul(dout, s.mul(gate, share)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, assert_is_gradient, assert_thread_count_is_invisible, for_each_isa, random,
    };

    fn reference(gate: &[f32], up: &[f32]) -> Vec<f32> {
        let element = |(g, u): (&f32, &f32)| {
            let (g, u) = (f64::from(*g), f64::from(*u));
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044715 * g.powi(3));
            (0.5 * g * (1.0 + inner.tanh()) * u) as f32
        };
        gate.iter().zip(up).map(element).collect()
    }

    /// Gates far into both tails too.
    fn gates(len: usize) -> Vec<f32> {
        let numbers = random(1, len);
        let spread = |(i, x): (usize, &f32)| if i % 7 == 0 { x * 200.0 } else { x * 4.0 };
        numbers.iter().enumerate().map(spread).collect()
    }

    #[test]
    fn small_gates_are_exact_too() {
        for_each_isa(|pool| {
            let (gate, up) = (random(1, 100), vec![1.0; 100]);
            let mut out = vec![f32::NAN; 100];
            forward(pool, &gate, &up, &mut out);
            assert_close(&out, &reference(&gate, &up), 1e-6, "within one");
        });
    }

    #[test]
    fn forward_agrees_with_the_reference() {
        for_each_isa(|pool| {
            for len in [0, 1, 7, 16, 333] {
                let (gate, up) = (gates(len), random(2, len));
                let mut out = vec![f32::NAN; len];
                forward(pool, &gate, &up, &mut out);
                assert_close(&out, &reference(&gate, &up), 1e-6, &format!("{len}"));
            }
        });
    }

    #[test]
    fn backward_gives_both_gradients() {
        for_each_isa(|pool| {
            let len = 45;
            let (gate, up, dout) = (gates(len), random(2, len), random(3, len));
            let (mut dgate, mut dup) = (vec![f32::NAN; len], vec![f32::NAN; len]);
            backward(pool, &gate, &up, &dout, &mut dgate, &mut dup);
            let loss = |gate: &[f32], up: &[f32]| {
                let out = reference(gate, up);
                out.iter()
                    .zip(&dout)
                    .map(|(out, dout)| f64::from(*out) * f64::from(*dout))
                    .sum()
            };
            assert_is_gradient(&gate, &dgate, 1, 3e-3, |gate| loss(gate, &up));
            assert_is_gradient(&up, &dup, 1, 3e-3, |up| loss(&gate, up));
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let len = 100_003;
        let (gate, up, dout) = (gates(len), random(2, len), random(3, len));
        assert_thread_count_is_invisible(|pool| {
            let mut outs = [vec![0.0; len], vec![0.0; len], vec![0.0; len]];
            let [out, dgate, dup] = &mut outs;
            forward(pool, &gate, &up, out);
            backward(pool, &gate, &up, &dout, dgate, dup);
            outs.concat()
        });
    }
}
