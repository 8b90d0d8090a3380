//! Evaluation: what the tuned model, the base and the challengers are worth on held-out records.
//!
//! [`answers`] lets a model answer as it will be served: greedy, unconstrained, over the very
//! weights and kernels of serving. [`predictions`] reads the answers and keeps them as an artifact;
//! [`challengers`] are what a tuned model has to beat; [`report`] puts all of them side by side with
//! [`metrics`], [`bootstrap`] intervals, slices and the worst samples.
//!
//! Figures only: whether they suffice is decided by `lathe-gate`. Everything is a function of its
//! arguments and a seed; there is no clock here and no network.

pub mod answers;
pub mod bootstrap;
pub mod challengers;
pub mod choices;
pub mod error;
pub mod likelihood;
mod measure;
pub mod metrics;
pub mod paired;
pub mod predictions;
pub mod report;
mod rows;
pub mod spec;
#[cfg(test)]
mod testing;

pub use error::EvalError;
pub use likelihood::Likelihood;
pub use measure::measure;
pub use predictions::{Prediction, Predictions, likely, score};
pub use report::{Assembly, assemble};
pub use spec::{BootstrapSpec, ChallengerSpec, EvaluateSpec};
