//! Cross entropy of logits against target tokens, with the gradient in the same pass.

use crate::Pool;

/// For each row of `logits`, `[targets.len(), vocab]`, and its target `(token, weight)`:
/// `losses[row] = -log softmax(logits)[token]`, without the weight, and the row is overwritten with
/// the gradient `weight · (softmax(logits) - onehot(token))`.
pub fn forward_backward(
    _pool: &Pool,
    _logits: &mut [f32],
    _vocab: usize,
    _targets: &[(u32, f32)],
    _losses: &mut [f32],
) {
    todo!()
}

/// The losses of [`forward_backward`] alone; `logits` stay as they are.
pub fn forward(_pool: &Pool, _logits: &[f32], _vocab: usize, _tokens: &[u32], _losses: &mut [f32]) {
    todo!()
}

/// Replaces every row of `logits`, `[rows, vocab]`, by its log softmax.
pub fn log_softmax(_pool: &Pool, _logits: &mut [f32], _vocab: usize) {
    todo!()
}
