//! `aᵀ · b`, whose depth is the number of rows: the gradients of weights.
//!
//! `out[p, q] (+)= scale · a[m, p]ᵀ · b[m, q]`, all in `f32`, by the `gemm` crate. The output is cut
//! into tasks by its shape alone, and each task is computed by one thread.

use crate::Pool;
use crate::parallel::SharedMut;

/// Edge of the piece of output that one task computes, along its longer side.
const TASK_COLUMNS: usize = 192;
const TASK_ROWS: usize = 192;

/// `out[p, q] = scale · a[m, p]ᵀ · b[m, q]`, added to `out` if `accumulate`; all `f32`. For the
/// gradients of weights. The same bits at any number of threads.
///
/// # Panics
/// If a slice does not have the length its shape asks for.
#[expect(
    clippy::too_many_arguments,
    reason = "a BLAS-like signature reads best flat"
)]
pub fn matmul_tn(
    pool: &Pool,
    a: &[f32],
    b: &[f32],
    m: usize,
    p: usize,
    q: usize,
    out: &mut [f32],
    scale: f32,
    accumulate: bool,
) {
    assert_eq!(a.len(), m * p, "a left side of [{m}, {p}] was expected");
    assert_eq!(b.len(), m * q, "a right side of [{m}, {q}] was expected");
    assert_eq!(out.len(), p * q, "an output of [{p}, {q}] was expected");
    let out = SharedMut::new(out);
    let across = q.div_ceil(TASK_COLUMNS);
    pool.run(p.div_ceil(TASK_ROWS) * across, &|task| {
        let (row, column) = (task / across * TASK_ROWS, task % across * TASK_COLUMNS);
        let (rows, columns) = (TASK_ROWS.min(p - row), TASK_COLUMNS.min(q - column));
        // SAFETY: the strides describe the pieces of the three slices whose lengths are checked
        // above, and the pieces of the output that tasks write to do not overlap.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                m,
                out.address(row * q + column),
                1,
                q as isize,
                accumulate,
                a.as_ptr().add(row),
                p as isize,
                1,
                b.as_ptr().add(column),
                1,
                q as isize,
                1.0_f32,
                scale,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_thread_count_is_invisible, random};

    const SHAPES: [(usize, usize, usize); 6] = [
        (0, 3, 4),
        (1, 1, 1),
        (5, 16, 7),
        (33, 200, 16),
        (100, 16, 576),
        (64, 193, 385),
    ];

    fn reference(a: &[f32], b: &[f32], (m, p, q): (usize, usize, usize), scale: f32) -> Vec<f32> {
        let element = |i: usize, j: usize| {
            (0..m)
                .map(|r| f64::from(a[r * p + i]) * f64::from(b[r * q + j]))
                .sum::<f64>()
        };
        (0..p * q)
            .map(|at| (f64::from(scale) * element(at / q, at % q)) as f32)
            .collect()
    }

    #[test]
    fn it_agrees_with_the_reference() {
        let pool = Pool::new(2);
        for shape in SHAPES {
            let (m, p, q) = shape;
            let (a, b, before) = (random(1, m * p), random(2, m * q), random(3, p * q));
            let mut out = vec![f32::NAN; p * q];
            matmul_tn(&pool, &a, &b, m, p, q, &mut out, 0.25, false);
            let product = reference(&a, &b, shape, 0.25);
            assert_close(&out, &product, 2e-6, &format!("{shape:?}"));
            let mut out = before.clone();
            matmul_tn(&pool, &a, &b, m, p, q, &mut out, 0.25, true);
            let expected: Vec<f32> = before.iter().zip(product).map(|(b, p)| b + p).collect();
            assert_close(&out, &expected, 2e-6, &format!("{shape:?}, accumulated"));
        }
    }

    #[test]
    fn thread_count_is_invisible() {
        let (m, p, q) = (150, 16, 1000);
        let (a, b) = (random(1, m * p), random(2, m * q));
        assert_thread_count_is_invisible(|pool| {
            let mut out = vec![0.0; p * q];
            matmul_tn(pool, &a, &b, m, p, q, &mut out, 2.0, false);
            out
        });
    }
}
