//! Greedy generation for many prompts at once.

/// Bounds of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GenerateSpec {
    /// Longest answer in tokens, the stop token included.
    pub tokens_max: usize,
    /// Tokens that end an answer.
    pub stop: Vec<u32>,
    /// Answers computed together.
    pub batch_max: usize,
}
