//! A gain: every column of some rows times a number of its own.
//!
//! ```text
//! y[r, j] (+)= gain[j] · z[r, j]
//! ```
//! Backward: `dz[r, j] = gain[j] · dy[r, j]`, which is the same product, and
//! `dgain[j] = Σ dy[r, j] · z[r, j]` over the rows.

use crate::Pool;
use crate::parallel::{for_each_rows, sum_rows};

/// Writes `gain ∘ z` to `y`, or adds it with `add`; both are `[rows, gain.len()]`.
///
/// # Panics
/// If `z` and `y` are not as many whole rows as wide as `gain`.
pub fn apply(pool: &Pool, gain: &[f32], z: &[f32], y: &mut [f32], add: bool) {
    let width = gain.len();
    check(width, z.len(), y.len());
    for_each_rows(pool, y.len() / width, [(y, width)], |run, [y]| {
        let z = z[run.start * width..].chunks_exact(width);
        for (y, z) in y.chunks_exact_mut(width).zip(z) {
            let products = z.iter().zip(gain).map(|(z, gain)| z * gain);
            if add {
                y.iter_mut().zip(products).for_each(|(y, it)| *y += it);
            } else {
                y.iter_mut().zip(products).for_each(|(y, it)| *y = it);
            }
        }
    });
}

/// Adds the gain's gradient to `dgain`. The same bits at any number of threads.
///
/// # Panics
/// If `z` and `dy` are not as many whole rows as wide as `dgain`.
pub fn gradient(pool: &Pool, z: &[f32], dy: &[f32], dgain: &mut [f32]) {
    let width = dgain.len();
    check(width, z.len(), dy.len());
    sum_rows(pool, dy.len() / width, dgain, |rows, sums| {
        let rows = rows.start * width..rows.end * width;
        let both = dy[rows.clone()].chunks_exact(width);
        for (dy, z) in both.zip(z[rows].chunks_exact(width)) {
            let products = dy.iter().zip(z).map(|(dy, z)| dy * z);
            sums.iter_mut()
                .zip(products)
                .for_each(|(sum, it)| *sum += it);
        }
    });
}

fn check(width: usize, z: usize, y: usize) {
    assert!(
        width > 0 && z == y && y.is_multiple_of(width),
        "{z} and {y} values are not the same rows of {width}"
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_thread_count_is_invisible, random, shapes};

    /// Rows and widths.
    const EDGES: [(usize, usize); 4] = [(0, 5), (1, 1), (7, 3), (90, 1000)];

    #[test]
    fn every_column_has_its_own_at_any_thread_count() {
        for (rows, width) in shapes(&EDGES, 31, 6, [90, 300]) {
            let (gain, z) = (random(1, width), random(2, rows * width));
            let before = random(3, rows * width);
            assert_thread_count_is_invisible(|pool| {
                let (mut written, mut added) = (before.clone(), before.clone());
                apply(pool, &gain, &z, &mut written, false);
                apply(pool, &gain, &z, &mut added, true);
                for at in 0..rows * width {
                    assert_eq!(written[at], gain[at % width] * z[at]);
                    assert_eq!(added[at], before[at] + written[at]);
                }
                [written, added].concat()
            });
        }
    }

    #[test]
    fn the_gradient_is_the_sum_of_the_products_at_any_thread_count() {
        for (rows, width) in shapes(&EDGES, 30, 6, [90, 300]) {
            let (z, dy) = (random(1, rows * width), random(2, rows * width));
            let before = random(3, width);
            let sum = |j: usize| -> f64 {
                let all = (0..rows).map(|r| r * width + j);
                all.map(|at| f64::from(z[at]) * f64::from(dy[at])).sum()
            };
            let expected: Vec<f32> = (0..width)
                .map(|j| (f64::from(before[j]) + sum(j)) as f32)
                .collect();
            assert_thread_count_is_invisible(|pool| {
                let mut found = before.clone();
                gradient(pool, &z, &dy, &mut found);
                assert_close(&found, &expected, 1e-5, "added");
                found
            });
        }
    }

    #[test]
    #[should_panic(expected = "6 and 7 values are not the same rows of 3")]
    fn other_rows_are_refused() {
        apply(&Pool::new(1), &[0.0; 3], &[0.0; 6], &mut [0.0; 7], false);
    }
}
