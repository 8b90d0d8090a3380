//! Divisors of the rotary frequencies for contexts stretched after training.
//!
//! Formulas as `transformers` computes them (`modeling_rope_utils.py`): `linear`
//! divides all frequencies alike, `llama3` only those whose wavelength is long
//! against the original context, with a smooth passage between.

use std::f64::consts::TAU;

/// Constants of Llama 3.1's rule.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Llama3 {
    pub(super) factor: f64,
    pub(super) low_freq_factor: f64,
    pub(super) high_freq_factor: f64,
    pub(super) original_context: f64,
}

/// One divisor for all frequencies.
pub(super) fn linear(head_dim: usize, factor: f64) -> Vec<f32> {
    vec![factor as f32; head_dim / 2]
}

/// Llama 3.1's divisors.
pub(super) fn llama3(head_dim: usize, theta: f64, rule: Llama3) -> Vec<f32> {
    (0..head_dim / 2)
        .map(|i| {
            let frequency = theta.powf(-2.0 * i as f64 / head_dim as f64);
            // How many waves fit into the original context.
            let waves = rule.original_context * frequency / TAU;
            let kept = if waves < rule.low_freq_factor {
                0.0
            } else if waves > rule.high_freq_factor {
                1.0
            } else {
                (waves - rule.low_freq_factor) / (rule.high_freq_factor - rule.low_freq_factor)
            };
            (1.0 / ((1.0 - kept) / rule.factor + kept)) as f32
        })
        .collect()
}
