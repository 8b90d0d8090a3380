//! Loss and gradients of an adapter over a packed batch.

/// A run of tokens that sees itself causally, and its prefix wholly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// First row in [`Batch::tokens`].
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Index of an earlier segment, wholly visible; positions continue after it.
    pub prefix: Option<usize>,
}

/// One supervised prediction: row `row` predicts `token`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Target {
    /// Row in [`Batch::tokens`].
    pub row: u32,
    /// The token that should follow.
    pub token: u32,
    /// Weight of its negative log-likelihood.
    pub weight: f32,
}

/// Packed sequences of one step or part of a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Batch {
    /// All tokens, segment after segment.
    pub tokens: Vec<u32>,
    /// The segments, in order, covering all rows.
    pub segments: Vec<Segment>,
    /// Where logits are computed and what they should say.
    pub targets: Vec<Target>,
}

/// A loss that can be added up over batches.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LossSum {
    /// Σ weight · negative log-likelihood, in nats.
    pub loss: f64,
    /// Σ weight.
    pub weight: f64,
}
