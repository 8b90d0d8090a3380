//! A gain: every column of some rows times a number of its own.
//!
//! ```text
//! y[r, j] (+)= gain[j] · z[r, j]
//! ```
//! Backward: `dz[r, j] = gain[j] · dy[r, j]`, which is the same product, and
//! `dgain[j] = Σ dy[r, j] · z[r, j]` over the rows.

use crate::Pool;
use crate::buffer::Scratch;
use crate::parallel::for_each_rows;

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
    /// Rows that are summed by one task; the sums of the tasks are added in order.
    const BLOCK_ROWS: usize = 32;
    let width = dgain.len();
    check(width, z.len(), dy.len());
    let blocks = (dy.len() / width).div_ceil(BLOCK_ROWS);
    let mut partial = Scratch::floats(blocks * width);
    for_each_rows(pool, blocks, [(&mut partial[..], width)], |run, [sums]| {
        sums.fill(0.0);
        let start = run.start * BLOCK_ROWS * width;
        let both = dy[start..]
            .chunks(BLOCK_ROWS * width)
            .zip(z[start..].chunks(BLOCK_ROWS * width));
        for (sums, (dy, z)) in sums.chunks_exact_mut(width).zip(both) {
            for (dy, z) in dy.chunks_exact(width).zip(z.chunks_exact(width)) {
                let products = dy.iter().zip(z).map(|(dy, z)| dy * z);
                sums.iter_mut()
                    .zip(products)
                    .for_each(|(sum, it)| *sum += it);
            }
        }
    });
    for sums in partial.chunks_exact(width) {
        dgain.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
    }
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
    use crate::testing::{assert_close, assert_thread_count_is_invisible, random};

    #[test]
    fn every_column_has_its_own() {
        let pool = Pool::new(3);
        for (rows, width) in [(0, 5), (1, 1), (7, 3), (90, 1000)] {
            let (gain, z) = (random(1, width), random(2, rows * width));
            let before = random(3, rows * width);
            let (mut written, mut added) = (before.clone(), before.clone());
            apply(&pool, &gain, &z, &mut written, false);
            apply(&pool, &gain, &z, &mut added, true);
            for at in 0..rows * width {
                assert_eq!(written[at], gain[at % width] * z[at]);
                assert_eq!(added[at], before[at] + written[at]);
            }
        }
    }

    #[test]
    fn the_gradient_is_the_sum_of_the_products_at_any_thread_count() {
        for (rows, width) in [(0, 5), (1, 1), (7, 3), (90, 1000)] {
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
