//! A bias: the same row added to every row.
//!
//! ```text
//! y[r, j] (+)= bias[j]
//! ```
//! Products add to what is there, so a layer with a bias starts its output from it. Biases are
//! frozen here: there is no gradient.

use crate::Pool;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::random;

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
