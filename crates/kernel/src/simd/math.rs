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

/// Replaces every element of `out` by `f` of the elements at the same place of `inputs` and of the
/// element itself; the last vector is padded with zeros on the way in and cut on the way out.
#[inline(always)]
pub(crate) fn for_each_vector<S: Simd, const N: usize>(
    s: S,
    inputs: [&[f32]; N],
    out: &mut [f32],
    mut f: impl FnMut([S::F; N], S::F) -> S::F,
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
            let value = f(
                inputs.map(|input| s.load(input.as_ptr().add(at))),
                s.load(out.add(at)),
            );
            s.store(out.add(at), value);
        }
        at += S::LANES;
    }
    if at < len {
        let rest = len - at;
        // SAFETY: `rest` elements from `at` on are inside every slice.
        unsafe {
            let inputs = inputs.map(|input| s.load_first(input.as_ptr().add(at), rest));
            let value = f(inputs, s.load_first(out.add(at), rest));
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

/// The largest element; minus infinity if there is none.
#[inline(always)]
pub(crate) fn max<S: Simd>(s: S, values: &[f32]) -> f32 {
    // Several maxima hide the latency of the comparisons.
    const MAXIMA: usize = 4;
    let mut largest = [s.splat(f32::NEG_INFINITY); MAXIMA];
    let blocks = values.chunks_exact(MAXIMA * S::LANES);
    let rest = blocks
        .remainder()
        .iter()
        .fold(f32::NEG_INFINITY, |a, b| a.max(*b));
    for block in blocks {
        for (i, largest) in largest.iter_mut().enumerate() {
            // SAFETY: a block is `MAXIMA` vectors.
            *largest = s.max(*largest, unsafe {
                s.load(block.as_ptr().add(i * S::LANES))
            });
        }
    }
    let [a, b, c, d] = largest;
    s.max_lanes(s.max(s.max(a, b), s.max(c, d))).max(rest)
}

#[cfg(test)]
mod tests {
    use crate::simd::{self, Kernel, Simd};
    use crate::testing::{for_each_isa, random};

    struct Exp<'a>(&'a mut [f32]);

    impl Kernel for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            simd::for_each_vector(s, [], self.0, |[], x| simd::exp(s, x));
        }
    }

    #[test]
    fn exp_is_exact_to_a_few_units_in_the_last_place() {
        for_each_isa(|pool| {
            let inputs: Vec<f32> = random(1, 10_000).iter().map(|x| x * 87.0).collect();
            let mut out = inputs.clone();
            simd::vectorize(pool.isa(), Exp(&mut out));
            for (x, y) in inputs.iter().zip(out) {
                let expected = f64::from(*x).exp();
                let error = (f64::from(y) - expected).abs() / expected;
                assert!(
                    error < 3.0 * f64::from(f32::EPSILON),
                    "exp({x}) is {y}, expected {expected}"
                );
            }
        });
    }

    #[test]
    fn exp_at_its_ends() {
        for_each_isa(|pool| {
            let mut values = [
                0.0,
                -0.0,
                -87.4,
                -1e30,
                f32::NEG_INFINITY,
                1e30,
                f32::INFINITY,
                f32::NAN,
            ];
            simd::vectorize(pool.isa(), Exp(&mut values));
            assert_eq!(values[..5], [1.0, 1.0, 0.0, 0.0, 0.0]);
            assert!(values[5].is_finite() && values[5] > 1e38 && values[6] == values[5]);
            assert!(values[7].is_nan());
        });
    }

    struct SumAndMax<'a>(&'a [f32]);

    impl Kernel for SumAndMax<'_> {
        type Output = (f32, f32);
        #[inline(always)]
        fn run<S: Simd>(self, s: S) -> (f32, f32) {
            (simd::sum(s, [self.0], |[x]| x), simd::max(s, self.0))
        }
    }

    #[test]
    fn sum_and_max_at_every_length() {
        for_each_isa(|pool| {
            for len in 0..200 {
                let values = random(len as u64, len);
                let (sum, max) = simd::vectorize(pool.isa(), SumAndMax(&values));
                let expected: f64 = values.iter().map(|x| f64::from(*x)).sum();
                assert!(
                    (f64::from(sum) - expected).abs() < 1e-5,
                    "{len}: {sum}, expected {expected}"
                );
                assert_eq!(max, values.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b)));
            }
        });
    }
}
