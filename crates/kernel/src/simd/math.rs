//! Functions made of vector operations, the same for every instruction set.

use super::Simd;

/// Below this `exp` gives zero: the result would be no normal number.
const EXP_MIN: f32 = -87.3;
/// Above this `exp` stays at its value here, just short of overflow.
const EXP_MAX: f32 = 88.3;

/// `exp(x)` to about two units in the last place; zero below -87.3, no larger than `exp(88.3)`.
///
/// Method: `x = n·ln 2 + r` with `|r| <= ln 2 / 2`, the minimax polynomial of Cephes' `expf` for
/// `exp(r)`, then scaling by `2^n`.
#[inline(always)]
pub(crate) fn exp<S: Simd>(s: S, x: S::F) -> S::F {
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    const COEFFICIENTS: [f32; 6] = [
        1.987_569_1e-4,
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        0.166_666_65,
        0.5,
    ];
    let inside = s.max(s.splat(EXP_MIN), s.min(s.splat(EXP_MAX), x));
    let n = s.round(s.mul(inside, s.splat(std::f32::consts::LOG2_E)));
    let r = s.fma(n, s.splat(-LN2_LOW), s.fma(n, s.splat(-LN2_HIGH), inside));
    let mut polynomial = s.splat(COEFFICIENTS[0]);
    for coefficient in &COEFFICIENTS[1..] {
        polynomial = s.fma(polynomial, r, s.splat(*coefficient));
    }
    let exp_r = s.fma(polynomial, s.mul(r, r), s.add(r, s.splat(1.0)));
    s.select_less(x, s.splat(EXP_MIN), s.splat(0.0), s.times_pow2(exp_r, n))
}

/// `1 / (1 + exp(-x))`
#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(s: S, x: S::F) -> S::F {
    let one = s.splat(1.0);
    s.div(one, s.add(one, exp(s, s.sub(s.splat(0.0), x))))
}

/// Replaces every element of `out` by `f` of the elements at the same place of `inputs`; the last
/// vector is padded with zeros on the way in and cut on the way out.
#[inline(always)]
pub(crate) fn for_each_vector<S: Simd, const N: usize>(
    s: S,
    inputs: [&[f32]; N],
    out: &mut [f32],
    mut f: impl FnMut([S::F; N]) -> S::F,
) {
    let len = out.len();
    assert!(
        inputs.iter().all(|input| input.len() == len),
        "inputs and output differ in length"
    );
    let out = out.as_mut_ptr();
    let mut at = 0;
    while at + S::LANES <= len {
        // SAFETY: `LANES` elements from `at` on are inside every slice.
        unsafe {
            s.store(
                out.add(at),
                f(inputs.map(|input| s.load(input.as_ptr().add(at)))),
            )
        };
        at += S::LANES;
    }
    if at < len {
        let rest = len - at;
        // SAFETY: `rest` elements from `at` on are inside every slice.
        unsafe {
            let value = f(inputs.map(|input| s.load_first(input.as_ptr().add(at), rest)));
            s.store_first(out.add(at), value, rest);
        }
    }
}

/// Sums `f` over the elements of `inputs` in an order that depends on their length alone. `f` of
/// zeros must be zero, because the last vector is padded with them.
#[inline(always)]
pub(crate) fn sum<S: Simd, const N: usize>(
    s: S,
    inputs: [&[f32]; N],
    mut f: impl FnMut([S::F; N]) -> S::F,
) -> f32 {
    // Several sums hide the latency of the additions.
    const SUMS: usize = 4;
    let len = inputs[0].len();
    assert!(
        inputs.iter().all(|input| input.len() == len),
        "inputs differ in length"
    );
    let mut sums = [s.splat(0.0); SUMS];
    let mut at = 0;
    while at < len {
        for sum in &mut sums {
            let rest = len.saturating_sub(at).min(S::LANES);
            if rest == S::LANES {
                // SAFETY: `LANES` elements from `at` on are inside every slice.
                *sum = s.add(
                    *sum,
                    f(inputs.map(|input| unsafe { s.load(input.as_ptr().add(at)) })),
                );
            } else if rest > 0 {
                // SAFETY: `rest` elements from `at` on are inside every slice.
                *sum = s.add(
                    *sum,
                    f(inputs.map(|input| unsafe { s.load_first(input.as_ptr().add(at), rest) })),
                );
            }
            at += S::LANES;
        }
    }
    s.sum_lanes(s.add(s.add(sums[0], sums[1]), s.add(sums[2], sums[3])))
}
