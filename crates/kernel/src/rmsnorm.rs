//! Root-mean-square normalisation, row by row.
//!
//! Forward: `y_i = w_i · x_i · r` with `r = 1 / sqrt(mean(x²) + eps)`.
//!
//! Backward, `dy` given: `dx_i = r · (w_i · dy_i - x_i · r² · mean(w · dy · x))`, and where the weight
//! learns, `dw_i = Σ dy_i · x_i · r` over the rows.

use crate::Pool;
use crate::parallel::{for_each_rows, sum_rows};
use crate::simd::{self, Kernel, Simd, map_vectors, sum_vectors};

/// Normalises each row of `x`, `[rows, width]`, into `out` of the same shape; `weight` is `[width]`.
///
/// # Panics
/// If the lengths do not fit `width`.
pub fn forward(pool: &Pool, x: &[f32], weight: &[f32], eps: f32, width: usize, out: &mut [f32]) {
    run::<false>(pool, (x, weight, eps), width, out);
}

/// Adds each row of `x`, normalised, to that of `out`; shapes as for [`forward`].
///
/// # Panics
/// If the lengths do not fit `width`.
pub fn forward_added(
    pool: &Pool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    width: usize,
    out: &mut [f32],
) {
    run::<true>(pool, (x, weight, eps), width, out);
}

fn run<const ADD: bool>(
    pool: &Pool,
    (x, weight, eps): (&[f32], &[f32], f32),
    width: usize,
    out: &mut [f32],
) {
    let rows = check(x, weight, width, out);
    for_each_rows(pool, rows, [(out, width)], |run, [out]| {
        let forward = Forward::<ADD> {
            x: &x[run.start * width..run.end * width],
            weight,
            eps,
            out,
        };
        simd::vectorize(pool.isa(), forward);
    });
}

/// Adds the gradient to `dx`, given `dout`, both `[rows, width]`; `r` is recomputed from `x`.
///
/// # Panics
/// If the lengths do not fit `width`.
pub fn backward(
    pool: &Pool,
    x: &[f32],
    weight: &[f32],
    eps: f32,
    width: usize,
    dout: &[f32],
    dx: &mut [f32],
) {
    let rows = check(x, weight, width, dx);
    assert_eq!(dout.len(), x.len(), "dout and x differ in length");
    for_each_rows(pool, rows, [(dx, width)], |run, [dx]| {
        let run = run.start * width..run.end * width;
        simd::vectorize(
            pool.isa(),
            Backward {
                x: &x[run.clone()],
                weight,
                eps,
                dout: &dout[run],
                dx,
            },
        );
    });
}

/// The gradient of the weight, given `dout`, `[rows, width]` as `x`: written to `dweight`, or added to
/// it if `accumulate`.
///
/// # Panics
/// If the lengths do not fit `width`.
pub fn weight_gradient(
    pool: &Pool,
    x: &[f32],
    eps: f32,
    width: usize,
    dout: &[f32],
    dweight: &mut [f32],
    accumulate: bool,
) {
    let rows = check(x, dweight, width, dout);
    if !accumulate {
        dweight.fill(0.0);
    }
    sum_rows(pool, rows, dweight, |rows, sums| {
        let rows = rows.start * width..rows.end * width;
        let (x, dout) = (&x[rows.clone()], &dout[rows]);
        simd::vectorize(pool.isa(), WeightGradient { x, eps, dout, sums });
    });
}

/// The number of rows.
fn check(x: &[f32], weight: &[f32], width: usize, out: &[f32]) -> usize {
    assert!(
        width > 0 && weight.len() == width,
        "a weight of {width} was expected"
    );
    assert!(
        x.len() == out.len() && x.len().is_multiple_of(width),
        "x and out are not rows of {width}"
    );
    x.len() / width
}

/// `1 / sqrt(mean(x²) + eps)`
#[inline(always)]
fn inverse_rms<S: Simd>(s: S, x: &[f32], eps: f32) -> f32 {
    let squares = sum_vectors!(s, [x in x] => s.mul(x, x));
    1.0 / (squares / x.len() as f32 + eps).sqrt()
}

/// With `ADD` the rows are added to those that are there.
struct Forward<'a, const ADD: bool> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    out: &'a mut [f32],
}

impl<const ADD: bool> Kernel for Forward<'_, ADD> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let rows = self.x.chunks_exact(width);
        for (x, out) in rows.zip(self.out.chunks_exact_mut(width)) {
            let r = s.splat(inverse_rms(s, x, self.eps));
            if ADD {
                map_vectors!(s, old in out, [x in x, w in self.weight] => s.fma(s.mul(x, r), w, old));
            } else {
                map_vectors!(s, _ in out, [x in x, w in self.weight] => s.mul(s.mul(x, r), w));
            }
        }
    }
}

struct Backward<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    eps: f32,
    dout: &'a [f32],
    dx: &'a mut [f32],
}

impl Kernel for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.weight.len();
        let rows = self
            .x
            .chunks_exact(width)
            .zip(self.dout.chunks_exact(width));
        for ((x, dout), dx) in rows.zip(self.dx.chunks_exact_mut(width)) {
            let r = inverse_rms(s, x, self.eps);
            let dot = sum_vectors!(s, [x in x, dout in dout, w in self.weight] => s.mul(s.mul(x, dout), w));
            let along = s.splat(-r * r * r * dot / width as f32);
            let r = s.splat(r);
            map_vectors!(s, dx in dx, [x in x, dout in dout, w in self.weight] => {
                s.fma(x, along, s.fma(s.mul(dout, w), r, dx))
            });
        }
    }
}

/// Adds the rows' part to `sums`.
struct WeightGradient<'a> {
    x: &'a [f32],
    eps: f32,
    dout: &'a [f32],
    sums: &'a mut [f32],
}

impl Kernel for WeightGradient<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let width = self.sums.len();
        let rows = self.x.chunks_exact(width);
        for (x, dout) in rows.zip(self.dout.chunks_exact(width)) {
            let r = s.splat(inverse_rms(s, x, self.eps));
            map_vectors!(s, sum in self.sums, [x in x, dout in dout] => {
                s.fma(s.mul(dout, x), r, sum)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{
        assert_close, assert_is_gradient, assert_thread_count_is_invisible, for_each_isa, random,
        shapes,
    };

    const SHAPES: [(usize, usize); 5] = [(0, 5), (1, 1), (3, 7), (2, 576), (5, 131)];
    const EPS: f32 = 1e-5;

    fn reference(x: &[f32], weight: &[f32], width: usize) -> Vec<f32> {
        let row = |x: &[f32]| {
            let mean = x.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / width as f64;
            let r = 1.0 / (mean + f64::from(EPS)).sqrt();
            x.iter()
                .zip(weight)
                .map(|(x, w)| (f64::from(*x) * r * f64::from(*w)) as f32)
                .collect::<Vec<f32>>()
        };
        x.chunks_exact(width).flat_map(row).collect()
    }

    #[test]
    fn forward_agrees_with_the_reference() {
        for_each_isa(|pool| {
            for (rows, width) in shapes(&SHAPES, 17, 12, [9, 700]) {
                let (x, weight) = (random(1, rows * width), random(2, width));
                let mut out = vec![f32::NAN; rows * width];
                forward(pool, &x, &weight, EPS, width, &mut out);
                assert_close(
                    &out,
                    &reference(&x, &weight, width),
                    1e-6,
                    &format!("{rows}x{width}"),
                );
                let before = random(3, rows * width);
                let mut added = before.clone();
                forward_added(pool, &x, &weight, EPS, width, &mut added);
                let sums: Vec<f32> = before.iter().zip(&out).map(|(b, o)| b + o).collect();
                assert_close(&added, &sums, 1e-6, &format!("{rows}x{width} added"));
            }
        });
    }

    #[test]
    fn backward_adds_the_gradient() {
        for_each_isa(|pool| {
            for (rows, width) in shapes(&[(1, 3), (3, 37)], 18, 6, [5, 90]) {
                let (x, weight, dout) = (
                    random(1, rows * width),
                    random(2, width),
                    random(3, rows * width),
                );
                let before = random(4, rows * width);
                let mut dx = before.clone();
                backward(pool, &x, &weight, EPS, width, &dout, &mut dx);
                let gradient: Vec<f32> = dx
                    .iter()
                    .zip(&before)
                    .map(|(dx, before)| dx - before)
                    .collect();
                assert_is_gradient(&x, &gradient, 1, 3e-3, |x| {
                    let out = reference(x, &weight, width);
                    out.iter()
                        .zip(&dout)
                        .map(|(out, dout)| f64::from(*out) * f64::from(*dout))
                        .sum()
                });
            }
        });
    }

    #[test]
    fn the_gradient_of_the_weight_is_written_or_added() {
        for_each_isa(|pool| {
            let edges = [(0, 5), (1, 3), (3, 37), (75, 20)];
            for (rows, width) in shapes(&edges, 19, 6, [80, 60]) {
                let (x, dout) = (random(1, rows * width), random(3, rows * width));
                let weight = random(2, width);
                let mut dweight = vec![f32::NAN; width];
                weight_gradient(pool, &x, EPS, width, &dout, &mut dweight, false);
                assert_is_gradient(&weight, &dweight, 1, 3e-3, |weight| {
                    let out = reference(&x, weight, width);
                    out.iter()
                        .zip(&dout)
                        .map(|(out, dout)| f64::from(*out) * f64::from(*dout))
                        .sum()
                });
                let mut added = weight.clone();
                weight_gradient(pool, &x, EPS, width, &dout, &mut added, true);
                let expected: Vec<f32> = weight.iter().zip(&dweight).map(|(w, d)| w + d).collect();
                assert_close(&added, &expected, 1e-6, "added");
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let (rows, width) = (150, 577);
        let (x, weight, dout) = (
            random(1, rows * width),
            random(2, width),
            random(3, rows * width),
        );
        assert_thread_count_is_invisible(|pool| {
            let (mut out, mut dx) = (vec![0.0; rows * width], vec![0.0; rows * width]);
            let mut dweight = vec![0.0; width];
            forward(pool, &x, &weight, EPS, width, &mut out);
            let mut added = dout.clone();
            forward_added(pool, &x, &weight, EPS, width, &mut added);
            backward(pool, &x, &weight, EPS, width, &dout, &mut dx);
            weight_gradient(pool, &x, EPS, width, &dout, &mut dweight, false);
            [out, added, dx, dweight].concat()
        });
    }
}
