//! Clipping by the global norm (Pascanu et al. 2013), as `torch.nn.utils.clip_grad_norm_`.

/// Added to the norm before dividing, as PyTorch does.
const EPSILON: f64 = 1e-6;

/// Scales `gradients` down so that their L2 norm is at most `norm_max`; returns the norm before.
///
/// The sum runs in f64 from the first to the last element, so that it is the same on every machine
/// and at any number of threads. A norm that is not finite is returned as it is and nothing is
/// scaled: the caller has to stop.
pub fn clip(gradients: &mut [f32], norm_max: f64) -> f64 {
    let norm = norm(gradients);
    let factor = norm_max / (norm + EPSILON);
    if norm.is_finite() && factor < 1.0 {
        let factor = factor as f32;
        for gradient in gradients {
            *gradient *= factor;
        }
    }
    norm
}

/// The L2 norm. Eight running sums let the processor overlap the additions; their number is fixed.
fn norm(values: &[f32]) -> f64 {
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
    (sums.iter().sum::<f64>() + rest).sqrt()
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
    fn leaves_what_is_not_finite() {
        let mut gradients = [1.0, f32::NAN];
        assert!(clip(&mut gradients, 1.0).is_nan());
        assert_eq!(gradients[0], 1.0);
        let mut gradients = [1.0, f32::INFINITY];
        assert!(clip(&mut gradients, 1.0).is_infinite());
        assert_eq!(gradients[0], 1.0);
    }
}
