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

#[cfg(test)]
mod tests {
    use crate::simd::{self, Kernel, Simd, map_vectors};
    use crate::testing::{for_each_isa, random};

    struct Exp<'a>(&'a mut [f32]);

    impl Kernel for Exp<'_> {
        type Output = ();
        #[inline(always)]
        fn run<S: Simd>(self, s: S) {
            map_vectors!(s, x in self.0, [] => simd::exp(s, x));
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
}
