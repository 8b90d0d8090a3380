//! A bias: the same row added to every row.
//!
//! ```text
//! y[r, j] (+)= bias[j]
//! ```
//! Products add to what is there, so a layer with a bias starts its output from it.
//!
//! Backward, where the bias learns: `dbias[j] = Σ dy[r, j]` over the rows.

use crate::Pool;
use crate::buffer::Scratch;
use crate::parallel::for_each_rows;

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
    /// Rows that are summed by one task; the sums of the tasks are added in order.
    const BLOCK_ROWS: usize = 32;
    let width = dbias.len();
    assert!(
        width > 0 && dy.len().is_multiple_of(width),
        "{} values are not rows of {width}",
        dy.len()
    );
    let blocks = (dy.len() / width).div_ceil(BLOCK_ROWS);
    let mut partial = Scratch::floats(blocks * width);
    for_each_rows(pool, blocks, [(&mut partial[..], width)], |run, [sums]| {
        sums.fill(0.0);
        let dy = dy[run.start * BLOCK_ROWS * width..].chunks(BLOCK_ROWS * width);
        for (sums, block) in sums.chunks_exact_mut(width).zip(dy) {
            add_rows(sums, block);
        }
    });
    if !accumulate {
        dbias.fill(0.0);
    }
    add_rows(dbias, &partial);
}

fn add_rows(sums: &mut [f32], rows: &[f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut()
            .zip(row)
            .for_each(|(sum, value)| *sum += value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_close, assert_thread_count_is_invisible, random};

    #[test]
    fn the_gradient_is_the_sum_of_the_rows_at_any_thread_count() {
        for (rows, width) in [(0, 5), (1, 1), (7, 3), (90, 1000)] {
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
                written
            });
        }
    }

    #[test]
    fn every_row_gets_it_once() {
        let pool = Pool::new(3);
        for (rows, width) in [(0, 5), (1, 1), (7, 3), (90, 1000)] {
            let (bias, before) = (random(1, width), random(2, rows * width));
            let (mut written, mut added) = (before.clone(), before.clone());
            apply(&pool, &bias, &mut written, false);
            apply(&pool, &bias, &mut added, true);
            for (at, before) in before.iter().enumerate() {
                assert_eq!(written[at], bias[at % width]);
                assert_eq!(added[at], before + bias[at % width]);
            }
        }
    }

    #[test]
    #[should_panic(expected = "7 values are not rows of 3")]
    fn a_part_of_a_row_is_refused() {
        apply(&Pool::new(1), &[0.0; 3], &mut [0.0; 7], false);
    }
}
