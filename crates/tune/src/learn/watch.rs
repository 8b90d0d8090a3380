//! What is measured on the way, on records that are not learnt from.

use crate::TuneError;
use crate::learner::Learner;

/// Gives the metric of what was learnt so far.
pub type Measure<'a> = Box<dyn FnMut(&mut dyn Learner) -> Result<f64, TuneError> + 'a>;

/// Measures a metric every so many steps, may keep the best numbers and may stop the run.
pub struct Watch<'a> {
    /// Steps between measurements; the last step is measured too.
    pub every: u64,
    /// Measurements without a new best after which the run ends.
    pub patience: Option<usize>,
    /// Whether the result is the numbers of the best measurement rather than the last.
    pub keep_best: bool,
    /// Whether more is better, as of an accuracy; of a loss, less is.
    pub higher: bool,
    /// Whether what is measured is told and nothing more: the result does not have it, and a run that
    /// is looked at is the same as one that is not.
    pub only_told: bool,
    /// Gives the metric of what was learnt so far.
    pub measure: Measure<'a>,
}

impl Watch<'_> {
    /// What changes the result, in words.
    pub(super) fn described(&self) -> String {
        let Self {
            every,
            patience,
            keep_best,
            higher,
            ..
        } = self;
        format!("every {every}, patience {patience:?}, best {keep_best}, higher {higher}")
    }
}
