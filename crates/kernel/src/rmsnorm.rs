//! Root-mean-square normalisation: `y_i = w_i · x_i · r` with `r = 1 / sqrt(mean(x²) + eps)`.

use crate::Pool;

/// Normalises each row of `x`, `[rows, width]`, into `out` of the same shape; `weight` is `[width]`.
pub fn forward(
    _pool: &Pool,
    _x: &[f32],
    _weight: &[f32],
    _eps: f32,
    _width: usize,
    _out: &mut [f32],
) {
    todo!()
}

/// Adds the gradient to `dx`, given `dout`, both `[rows, width]`; `r` is recomputed from `x`. The
/// gradient of `weight` is not formed.
pub fn backward(
    _pool: &Pool,
    _x: &[f32],
    _weight: &[f32],
    _eps: f32,
    _width: usize,
    _dout: &[f32],
    _dx: &mut [f32],
) {
    todo!()
}
