//! Rotary position embedding in the half-split layout of Hugging Face: element `i` of a head's first
//! half is rotated with element `i` of its second half by the angle `position · inv_freq[i]`.

use crate::Pool;

/// The usual frequencies `theta^(-2i / head_dim)` for `i` in `0..head_dim / 2`.
pub fn inverse_frequencies(_theta: f32, _head_dim: usize) -> Vec<f32> {
    todo!()
}

/// Rotates every head of every row of `x`, `[positions.len(), heads, 2 · inv_freq.len()]`, in place;
/// `inverse` rotates back, which is also the backward pass.
pub fn apply(
    _pool: &Pool,
    _x: &mut [f32],
    _heads: usize,
    _positions: &[u32],
    _inv_freq: &[f32],
    _inverse: bool,
) {
    todo!()
}
