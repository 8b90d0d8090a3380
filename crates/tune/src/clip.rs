//! Clipping by the global norm (Pascanu et al. 2013), as `torch.nn.utils.clip_grad_norm_`.

use lathe_kernel::Pool;
use std::sync::OnceLock;

/// Added to the norm before dividing, as PyTorch does.
const EPSILON: f64 = 1e-6;

/// Scales `gradients` down so that their L2 norm is at most `norm_max`; returns the norm before.
///
/// The sum runs in f64 from the first to the last element, so that it is the same on every machine
/// and at any number of threads. A norm that is not finite is returned as it is and nothing is
/// scaled: the caller has to stop.
pub fn clip(gradients: &mut [f32], norm_max: f64) -> f64 {
    let norm = squares(gradients).sqrt();
    let factor = factor(norm, norm_max);
    if norm.is_finite() && factor < 1.0 {
        for gradient in gradients {
            *gradient *= factor;
        }
    }
    norm
}

/// What gradients of this norm are multiplied by so that it is at most `norm_max`.
pub fn factor(norm: f64, norm_max: f64) -> f32 {
    (norm_max / (norm + EPSILON)).min(1.0) as f32
}

/// The L2 norm of very many gradients. The sums of runs of fixed length are added in order, so that
/// it is the same at any number of threads.
pub fn norm(pool: &Pool, gradients: &[f32]) -> f64 {
    const RUN: usize = 64 * 1024;
    let runs: Vec<&[f32]> = gradients.chunks(RUN).collect();
    let sums: Vec<OnceLock<f64>> = runs.iter().map(|_| OnceLock::new()).collect();
    pool.run(runs.len(), &|run| {
        sums[run].get_or_init(|| squares(runs[run]));
    });
    let sums = sums
        .iter()
        .map(|sum| sum.get().expect("every run is summed"));
    sums.sum::<f64>().sqrt()
}

/// Σ x². Eight running sums let the processor overlap the additions; their number is fixed.
fn squares(values: &[f32]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0f64; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks
        .remainder()
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum();
    for chunk in chunks {
        for (sum, &value) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(value) * f64::from(value);
        }
    }
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::{self, close};

    #[test]
    fn follows_pytorch() {
        let all = vectors::load();
        let cases = all["clip"].as_array().expect("clip cases");
        assert_eq!(cases.len(), 2, "one that clips and one that does not");
        for case in cases {
            let mut gradients = vectors::floats(&case["gradients"]);
            let found = clip(&mut gradients, case["norm_max"].as_f64().expect("a number"));
            let expected = case["norm"].as_f64().expect("a number");
            assert!(
                (found - expected).abs() < 1e-5 * expected,
                "{found} and {expected}"
            );
            close(&gradients, &vectors::floats(&case["clipped"]), 1e-6);
        }
    }

    #[test]
    fn many_gradients_have_the_same_norm_at_any_number_of_threads() {
        let gradients: Vec<f32> = (0..300_001).map(|i| (i % 7) as f32 - 3.0).collect();
        let alone = norm(&Pool::new(1), &gradients);
        let expected = squares(&gradients).sqrt();
        assert!((alone - expected).abs() < 1e-9 * expected);
        for threads in [2, 3, 8] {
            let found = norm(&Pool::new(threads), &gradients);
            assert_eq!(found.to_bits(), alone.to_bits());
        }
        assert_eq!(norm(&Pool::new(2), &[]), 0.0);
        assert_eq!((factor(3.999_999, 1.0), factor(0.5, 1.0)), (0.25, 1.0));
    }

    #[test]
    fn leaves_what_is_not_finite() {
        let mut gradients = [1.0, f32::NAN];
        assert!(clip(&mut gradients, 1.0).is_nan());
        assert_eq!(gradients[0], 1.0);
        let mut gradients = [1.0, f32::INFINITY];
        assert!(clip(&mut gradients, 1.0).is_infinite());
        assert_eq!(gradients[0], 1.0);
    }
}
