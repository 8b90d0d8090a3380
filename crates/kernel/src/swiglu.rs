//! Gated activation: `out = silu(gate) · up` with `silu(g) = g / (1 + exp(-g))`, element by element.

use crate::Pool;

/// Computes `out` from `gate` and `up`, all of one length.
pub fn forward(_pool: &Pool, _gate: &[f32], _up: &[f32], _out: &mut [f32]) {
    todo!()
}

/// Overwrites `dgate` and `dup` with the gradients, given `dout`; all of one length.
pub fn backward(
    _pool: &Pool,
    _gate: &[f32],
    _up: &[f32],
    _dout: &[f32],
    _dgate: &mut [f32],
    _dup: &mut [f32],
) {
    todo!()
}
