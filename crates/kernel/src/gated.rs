//! The gated activation of a feed-forward network, element by element.
//!
//! Forward: `out = act(gate) · up` with `act(g) = g · s(g)`, where the share `s` that passes is a
//! sigmoid in both:
//!
//! ```text
//! SiLU           s = σ(g)       σ(g) = 1 / (1 + exp(-g))
//! GELU, by tanh  s = σ(2u)      u = √(2/π) · (g + 0.044715 · g³),   g/2 · (1 + tanh(u)) = g · σ(2u)
//! ```
//!
//! Backward, `dout` given: `dup = dout · act(gate)` and
//! `dgate = dout · up · (s + g · s · (1 - s) · k)` with `k = 1` or `2u' = 2√(2/π) · (1 + 3 · 0.044715 · g²)`.

use std::marker::PhantomData;

use crate::Pool;
use crate::parallel::for_each_rows;
use crate::simd::{self, Kernel, Simd, map_vectors};

/// `2 · √(2/π)`
const TWICE_ROOT: f32 = 1.595_769_2;
const CUBIC: f32 = 0.044_715;

/// What the gate goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// `x · σ(x)`, also called swish.
    Silu,
    /// GELU in its tanh form.
    GeluTanh,
}

/// Computes `out` from `gate` and `up`, all of one length.
///
/// # Panics
/// If the lengths differ.
pub fn forward(pool: &Pool, activation: Activation, gate: &[f32], up: &[f32], out: &mut [f32]) {
    match activation {
        Activation::Silu => forward_by::<Silu>(pool, gate, up, out),
        Activation::GeluTanh => forward_by::<GeluTanh>(pool, gate, up, out),
    }
}

/// Overwrites `dgate` and `dup` with the gradients, given `dout`; all of one length.
///
/// # Panics
/// If the lengths differ.
pub fn backward(
    pool: &Pool,
    activation: Activation,
    (gate, up): (&[f32], &[f32]),
    dout: &[f32],
    dgate: &mut [f32],
    dup: &mut [f32],
) {
    match activation {
        Activation::Silu => backward_by::<Silu>(pool, (gate, up), dout, dgate, dup),
        Activation::GeluTanh => backward_by::<GeluTanh>(pool, (gate, up), dout, dgate, dup),
    }
}

fn forward_by<G: Gate>(pool: &Pool, gate: &[f32], up: &[f32], out: &mut [f32]) {
    let len = out.len();
    assert!(
        gate.len() == len && up.len() == len,
        "gate, up and out differ in length"
    );
    for_each_rows(pool, len, [(out, 1)], |run, [out]| {
        let forward = Forward::<G> {
            gate: &gate[run.clone()],
            up: &up[run],
            out,
            by: PhantomData,
        };
        simd::vectorize(pool.isa(), forward);
    });
}

fn backward_by<G: Gate>(
    pool: &Pool,
    (gate, up): (&[f32], &[f32]),
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
        let backward = Backward::<G> {
            gate: &gate[run.clone()],
            up: &up[run.clone()],
            dout: &dout[run],
            dgate,
            dup,
            by: PhantomData,
        };
        simd::vectorize(pool.isa(), backward);
    });
}

/// The mathematics of one activation.
trait Gate: Sync {
    /// `s`, the share of the gate that passes.
    fn share<S: Simd>(s: S, gate: S::F) -> S::F;

    /// `s + g · s · (1 - s) · k`, given `s`.
    fn slope<S: Simd>(s: S, gate: S::F, share: S::F) -> S::F;
}

/// A gate no further from zero than where a share is 0 or 1 to the last bit, and the slope with it: times
/// what is left of a share there, a larger one would not be nothing.
#[inline(always)]
fn bounded<S: Simd>(s: S, gate: S::F) -> S::F {
    const GATE_MAX: f32 = 100.0;
    s.max(s.splat(-GATE_MAX), s.min(s.splat(GATE_MAX), gate))
}

struct Silu;

impl Gate for Silu {
    #[inline(always)]
    fn share<S: Simd>(s: S, gate: S::F) -> S::F {
        simd::sigmoid(s, gate)
    }

    #[inline(always)]
    fn slope<S: Simd>(s: S, gate: S::F, share: S::F) -> S::F {
        let one = s.splat(1.0);
        s.mul(share, s.fma(bounded(s, gate), s.sub(one, share), one))
    }
}

struct GeluTanh;

impl Gate for GeluTanh {
    #[inline(always)]
    fn share<S: Simd>(s: S, gate: S::F) -> S::F {
        let square = s.mul(gate, gate);
        let twice = s.fma(square, s.splat(TWICE_ROOT * CUBIC), s.splat(TWICE_ROOT));
        simd::sigmoid(s, s.mul(gate, twice))
    }

    #[inline(always)]
    fn slope<S: Simd>(s: S, gate: S::F, share: S::F) -> S::F {
        let one = s.splat(1.0);
        let gate = bounded(s, gate);
        let square = s.mul(gate, gate);
        let k = s.fma(
            square,
            s.splat(3.0 * TWICE_ROOT * CUBIC),
            s.splat(TWICE_ROOT),
        );
        s.mul(share, s.fma(s.mul(gate, s.sub(one, share)), k, one))
    }
}

struct Forward<'a, G> {
    gate: &'a [f32],
    up: &'a [f32],
    out: &'a mut [f32],
    by: PhantomData<G>,
}

impl<G: Gate> Kernel for Forward<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        map_vectors!(s, _ in self.out, [gate in self.gate, up in self.up] => {
            s.mul(s.mul(gate, G::share(s, gate)), up)
        });
    }
}

struct Backward<'a, G> {
    gate: &'a [f32],
    up: &'a [f32],
    dout: &'a [f32],
    dgate: &'a mut [f32],
    dup: &'a mut [f32],
    by: PhantomData<G>,
}

impl<G: Gate> Kernel for Backward<'_, G> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Backward {
            gate,
            up,
            dout,
            dgate,
            dup,
            ..
        } = self;
        // The share is put down in `dup` first, so that it is computed once.
        map_vectors!(s, _ in dup, [gate in gate] => G::share(s, gate));
        map_vectors!(s, _ in dgate, [gate in gate, up in up, dout in dout, share in dup] => {
            s.mul(s.mul(dout, up), G::slope(s, gate, share))
        });
        map_vectors!(s, share in dup, [gate in gate, dout in dout] => s.mul(dout, s.mul(gate, share)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, assert_is_gradient, assert_thread_count_is_invisible, drawn, for_each_isa,
        random,
    };

    const BOTH: [Activation; 2] = [Activation::Silu, Activation::GeluTanh];

    fn reference(activation: Activation, gate: &[f32], up: &[f32]) -> Vec<f32> {
        let act = |g: f64| match activation {
            Activation::Silu => g / (1.0 + (-g).exp()),
            Activation::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (g + 0.044715 * g.powi(3));
                0.5 * g * (1.0 + inner.tanh())
            }
        };
        let element = |(g, u): (&f32, &f32)| (act(f64::from(*g)) * f64::from(*u)) as f32;
        gate.iter().zip(up).map(element).collect()
    }

    /// Gates far into both tails too.
    fn gates(len: usize) -> Vec<f32> {
        let numbers = random(1, len);
        let spread = |(i, x): (usize, &f32)| if i % 7 == 0 { x * 200.0 } else { x * 4.0 };
        numbers.iter().enumerate().map(spread).collect()
    }

    #[test]
    fn the_slope_of_gates_far_out_is_none_or_one() {
        for_each_isa(|pool| {
            for activation in BOTH {
                let gate = [-f32::MAX, -1e20, -1e13, -40.0, 40.0, 1e13, 1e20, f32::MAX];
                let (up, dout) = ([1.0; 8], [1.0; 8]);
                let (mut dgate, mut dup) = ([f32::NAN; 8], [f32::NAN; 8]);
                backward(pool, activation, (&gate, &up), &dout, &mut dgate, &mut dup);
                let near = |(found, expected): (&f32, f32)| (found - expected).abs() < 1e-6;
                let expected = [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0];
                let what = format!("{activation:?}: {dgate:?}");
                assert!(dgate.iter().zip(expected).all(near), "{what}");
            }
        });
    }

    #[test]
    fn small_gates_are_exact_too() {
        for_each_isa(|pool| {
            for activation in BOTH {
                let (gate, up) = (random(1, 100), vec![1.0; 100]);
                let mut out = vec![f32::NAN; 100];
                forward(pool, activation, &gate, &up, &mut out);
                let expected = reference(activation, &gate, &up);
                assert_close(&out, &expected, 1e-6, &format!("{activation:?} within one"));
            }
        });
    }

    #[test]
    fn forward_agrees_with_the_reference() {
        for_each_isa(|pool| {
            let lengths = [0, 1, 7, 16, 333].into_iter();
            let lengths = lengths.chain(drawn(23, 8, [1000]).into_iter().flatten());
            for (len, activation) in lengths.flat_map(|len| BOTH.map(|it| (len, it))) {
                let (gate, up) = (gates(len), random(2, len));
                let mut out = vec![f32::NAN; len];
                forward(pool, activation, &gate, &up, &mut out);
                let expected = reference(activation, &gate, &up);
                assert_close(&out, &expected, 1e-6, &format!("{activation:?} {len}"));
            }
        });
    }

    #[test]
    fn backward_gives_both_gradients() {
        for_each_isa(|pool| {
            let lengths = [45]
                .into_iter()
                .chain(drawn(24, 4, [70]).into_iter().flatten());
            for (len, activation) in lengths.flat_map(|len| BOTH.map(|it| (len, it))) {
                let (gate, up, dout) = (gates(len), random(2, len), random(3, len));
                let (mut dgate, mut dup) = (vec![f32::NAN; len], vec![f32::NAN; len]);
                backward(pool, activation, (&gate, &up), &dout, &mut dgate, &mut dup);
                let loss = |gate: &[f32], up: &[f32]| {
                    let out = reference(activation, gate, up);
                    let products = out.iter().zip(&dout);
                    products
                        .map(|(out, dout)| f64::from(*out) * f64::from(*dout))
                        .sum()
                };
                assert_is_gradient(&gate, &dgate, 1, 3e-3, |gate| loss(gate, &up));
                assert_is_gradient(&up, &dup, 1, 3e-3, |up| loss(&gate, up));
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let len = 100_003;
        let (gate, up, dout) = (gates(len), random(2, len), random(3, len));
        for activation in BOTH {
            assert_thread_count_is_invisible(|pool| {
                let mut outs = [vec![0.0; len], vec![0.0; len], vec![0.0; len]];
                let [out, dgate, dup] = &mut outs;
                forward(pool, activation, &gate, &up, out);
                backward(pool, activation, (&gate, &up), &dout, dgate, dup);
                outs.concat()
            });
        }
    }
}
