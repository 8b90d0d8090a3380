//! Gated activation, element by element.
//!
//! Forward: `out = silu(gate) · up` with `silu(g) = g · σ(g)` and `σ(g) = 1 / (1 + exp(-g))`.
//!
//! Backward, `dout` given: `dup = dout · silu(gate)` and
//! `dgate = dout · up · σ(gate) · (1 + gate · (1 - σ(gate)))`.

use crate::Pool;
use crate::parallel::for_each_rows;
use crate::simd::{self, Kernel, Simd, map_vectors};

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
        simd::vectorize(
            pool.isa(),
            Forward {
                gate: &gate[run.clone()],
                up: &up[run],
                out,
            },
        );
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
        simd::vectorize(
            pool.isa(),
            Backward {
                gate,
                up,
                dout,
                dgate,
                dup,
            },
        );
    });
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
            s.mul(s.mul(gate, simd::sigmoid(s, gate)), up)
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
        // σ is put down in `dup` first, so that it is computed once.
        map_vectors!(s, _ in dup, [gate in gate] => simd::sigmoid(s, gate));
        map_vectors!(s, _ in dgate, [gate in gate, up in up, dout in dout, sigma in dup] => {
            let slope = s.mul(sigma, s.fma(gate, s.sub(one, sigma), one));
            s.mul(s.mul(dout, up), slope)
        });
        map_vectors!(s, sigma in dup, [gate in gate, dout in dout] => s.mul(dout, s.mul(gate, sigma)));
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
            (g / (1.0 + (-g).exp()) * u) as f32
        };
        gate.iter().zip(up).map(element).collect()
    }

    /// Gates far into both tails too.
    fn gates(len: usize) -> Vec<f32> {
        random(1, len)
            .iter()
            .enumerate()
            .map(|(i, x)| if i % 7 == 0 { x * 200.0 } else { x * 4.0 })
            .collect()
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
