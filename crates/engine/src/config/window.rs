//! Attention that some layers limit to the last positions.

use super::{CONTEXT_TOKENS_MAX, bounded, damaged, positive};
use crate::error::EngineError;

/// Layers whose rows see only the last positions, with rotary frequencies of their own.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// Positions a row sees at most, its own included.
    pub positions: usize,
    /// Base of the rotary frequencies in these layers.
    pub rope_theta: f32,
    /// For every layer, whether it is one of them.
    pub layers: Vec<bool>,
}

impl Window {
    /// Angle per position of each pair in a head, in these layers.
    pub fn inverse_frequencies(&self, head_dim: usize) -> Vec<f32> {
        lathe_kernel::rope::inverse_frequencies(self.rope_theta, head_dim)
    }

    /// Whether a layer is one of them.
    pub(crate) fn is_in(&self, layer: usize) -> bool {
        self.layers[layer]
    }

    pub(super) fn check(&self, layers: usize) -> Result<(), EngineError> {
        bounded("window in tokens", self.positions, CONTEXT_TOKENS_MAX)?;
        positive("the rotary base in windows", self.rope_theta)?;
        if self.layers.len() != layers {
            let named = self.layers.len();
            return Err(damaged(format!(
                "it says of {named} layers whether they have a window, but there are {layers}"
            )));
        }
        Ok(())
    }
}
