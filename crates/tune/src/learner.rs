//! What a stage's loop asks of that which learns: numbers that move, and their gradients.
//!
//! The loop ([`crate::learn`]) knows steps, learning rates, checkpoints and the log; a learner knows
//! what its numbers are (an adapter, all weights) and what they learn from (rows, pairs, judged
//! answers). Records are named by their index.

use std::path::Path;

use lathe_engine::{Adapter, Model};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::Pool;

use crate::TuneError;

/// What a step was measured to be, before it moved anything.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// Mean loss: per supervised token, per pair or per judged answer.
    pub loss: f64,
    /// Token rows that went through the model.
    pub tokens: u64,
    /// Share of the pairs whose better answer is ahead, where there are pairs.
    pub preferred: Option<f64>,
}

/// What training.json says of a learner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// How the base model's weights are stored.
    pub base_format: String,
    /// Tokens of all records, what they share counted in each.
    pub tokens: u64,
    /// Tokens that all rows begin with, computed once; 0 if none.
    pub prefix_tokens: usize,
    /// Ids kept out because they are over the cutoff.
    pub over_long: Vec<String>,
    /// Ids kept out because their answer is empty.
    pub unanswered: Vec<String>,
}

/// Numbers that learn.
pub trait Learner {
    /// The stage's name: `sft`, `pt`, `dpo`, `kto`.
    fn stage(&self) -> &'static str;

    /// The threads it computes on.
    fn pool(&self) -> &Pool;

    /// The model that it computes with.
    fn model(&self) -> &Model;

    /// How many records it learns from.
    fn records(&self) -> usize;

    /// What a record is committed to by.
    fn leaf(&self, record: usize) -> Digest;

    /// Feeds in all that another run would have to agree on to go on from this one's checkpoint,
    /// beside the spec.
    fn identify(&self, hasher: &mut Hasher);

    /// The numbers as they are.
    fn values(&self) -> &[f32];

    /// Lends the threads and the numbers to be moved, then takes these up.
    fn change(&mut self, change: &mut dyn FnMut(&Pool, &mut [f32]));

    /// Fills `gradients` with that of the records' mean loss.
    fn gradients(&mut self, records: &[usize], gradients: &mut [f32]) -> Measured;

    /// The adapter, where that is what learns.
    fn adapter(&self) -> Option<&Adapter> {
        None
    }

    /// Writes what was learnt into `folder`; `base_name` is recorded as the model it belongs to.
    ///
    /// # Errors
    /// When the folder cannot be written.
    fn save(&self, folder: &Path, base_name: &str) -> Result<(), TuneError>;

    /// For training.json.
    fn account(&self) -> Account;
}
