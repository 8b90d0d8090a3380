//! A bias: the same row added to every row.
//!
//! ```text
//! y[r, j] (+)= bias[j]
//! ```
//! Products add to what is there, so a layer with a bias starts its output from it.
//!
//! Backward, where the bias learns: `dbias[j] = Σ dy[r, j]` over the rows.

use crate::Pool;
use crate::parallel::{for_each_rows, sum_rows};

/// Writes `bias` to every row of `y`, `[rows, bias.len()]`, or adds it with `add`.
///
/// # Panics
/// If `y` is not whole rows as wide as `bias`.
pub fn apply(pool: &Pool, bias: &[f32], y: &mut [f32], add: bool) {
    let width = bias.len();
    assert!(
        width > 0 && y.len().is_multiple_of(width),
        "{} values are not rows of {width}",
        y.len()
    );
    for_each_rows(pool, y.len() / width, [(y, width)], |_, [y]| {
        for row in y.chunks_exact_mut(width) {
            if add {
                row.iter_mut().zip(bias).for_each(|(y, bias)| *y += bias);
            } else {
                row.copy_from_slice(bias);
            }
        }
    });
}

/// The gradient of the bias, given that of the rows: written to `dbias`, or added to it if
/// `accumulate`. The same bits at any number of threads.
///
/// # Panics
/// If `dy` is not whole rows as wide as `dbias`.
pub fn gradient(pool: &Pool, dy: &[f32], dbias: &mut [f32], accumulate: bool) {
    let width = dbias.len();
    assert!(
        width > 0 && dy.len().is_multiple_of(width),
        "{} values are not rows of {width}",
        dy.len()
    );
    if !accumulate {
        dbias.fill(0.0);
    }
    sum_rows(pool, dy.len() / width, dbias, |rows, sums| {
        for dy in dy[rows.start * width..rows.end * width].chunks_exact(width) {
            sums.iter_mut().zip(dy).for_each(|(sum, dy)| *sum += dy);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_thread_count_is_invisible, random, shapes};

    /// Rows and widths.
    const EDGES: [(usize, usize); 4] = [(0, 5), (1, 1), (7, 3), (90, 1000)];

    #[test]
    fn the_gradient_is_the_sum_of_the_rows_at_any_thread_count() {
        for (rows, width) in shapes(&EDGES, 28, 6, [90, 300]) {
            let (dy, before) = (random(1, rows * width), random(2, width));
            let sum = |j| (0..rows).map(|r| f64::from(dy[r * width + j])).sum::<f64>();
            let expected: Vec<f32> = (0..width).map(|j| sum(j) as f32).collect();
            assert_thread_count_is_invisible(|pool| {
                let (mut written, mut added) = (vec![f32::NAN; width], before.clone());
                gradient(pool, &dy, &mut written, false);
                gradient(pool, &dy, &mut added, true);
                assert_close(&written, &expected, 1e-5, "written");
                let more: Vec<f32> = added.iter().zip(&before).map(|(a, b)| a - b).collect();
                assert_close(&more, &expected, 1e-5, "added");
                [written, added].concat()
            });
        }
    }

    #[test]
    fn every_row_gets_it_once_at_any_thread_count() {
        for (rows, width) in shapes(&EDGES, 29, 6, [90, 300]) {
            let (bias, before) = (random(1, width), random(2, rows * width));
            assert_thread_count_is_invisible(|pool| {
                let (mut written, mut added) = (before.clone(), before.clone());
                apply(pool, &bias, &mut written, false);
                apply(pool, &bias, &mut added, true);
                for (at, before) in before.iter().enumerate() {
                    assert_eq!(written[at], bias[at % width]);
                    assert_eq!(added[at], before + bias[at % width]);
                }
                [written, added].concat()
            });
        }
    }

    #[test]
    #[should_panic(expected = "7 values are not rows of 3")]
    fn a_part_of_a_row_is_refused() {
        apply(&Pool::new(1), &[0.0; 3], &mut [0.0; 7], false);
    }
}
