//! Rounding to few bits by what a model is asked for, and what that costs.
//!
//! Some records run through the tuned model and show what goes into its linear layers
//! ([`lathe_engine::Importance`]); the blocks of the written file are chosen for that. Other records of the
//! same data, none of which was among them, are held out: on their supervised tokens the model before
//! rounding, the file as it is written without calibration, and the calibrated file are measured, the
//! files opened again and computed in f32.
//!
//! What is held out says what rounding costs on data like these, not on others.

use std::collections::BTreeSet;
use std::path::Path;

use lathe_engine::export::Written;
use lathe_engine::gguf::blocks::BlockType;
use lathe_engine::random::Random;
use lathe_engine::{Adapter, Batch, Config, Fidelity, Importance, Likelihoods, LoadOptions, Model};
use lathe_kernel::Pool;
use serde::{Deserialize, Serialize};

use crate::TuneError;
use crate::batching::micro_batches;
use crate::merge::Form;
use crate::pack::Packed;
use crate::rows::Rows;
use crate::spec::SftSpec;

/// Records that calibrate where nothing else is said.
pub const RECORDS: usize = 128;
/// Most tokens of a record where nothing else is said.
pub const TOKENS_MAX: usize = 1024;
/// The share of the records taken that is held out.
pub const HELD_OUT_SHARE: f64 = 0.2;
/// The file in the written folder that says what rounding cost.
pub const REPORT: &str = "quantisation.json";
/// Most token rows that calibrate at once.
const ROWS_MAX: usize = 1024;
/// Most token rows measured at once: every one of them may have logits.
const MEASURED_ROWS_MAX: usize = 256;

/// How records are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CalibrationSpec {
    /// How many calibrate, where there are so many.
    pub records: usize,
    /// Most tokens a row may have; longer ones are left out.
    pub tokens_max: usize,
    /// Says which.
    pub seed: u64,
}

impl Default for CalibrationSpec {
    fn default() -> Self {
        Self {
            records: RECORDS,
            tokens_max: TOKENS_MAX,
            seed: 0,
        }
    }
}

/// Records that calibrate, and records that are held out.
pub struct CalibrationSet {
    taken: Packed,
    held: Packed,
    /// What there is of both.
    pub counts: Counts,
}

/// Records and tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Records that calibrate.
    pub records: usize,
    /// Their tokens.
    pub tokens: u64,
    /// Further records, which are held out.
    pub held_out: usize,
    /// The share of these in all that were taken.
    pub held_out_share: f64,
    /// Their supervised tokens, on which the loss is measured.
    pub held_out_tokens: u64,
    /// Rows that are too long or without an answer.
    pub left_out: usize,
}

/// How a model does on what is held out, before rounding and after.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct RoundingLoss {
    /// What it was measured on.
    #[serde(flatten)]
    pub counts: Counts,
    /// Base and adapter as they are.
    pub unquantised: Measured,
    /// The file that is written without calibration.
    pub plain: Measured,
    /// The file that is kept.
    pub calibrated: Measured,
}

/// One row of that table.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// Mean negative log-likelihood of the supervised tokens, in nats.
    pub nll: f64,
    /// e to the power of that.
    pub perplexity: f64,
    /// Mean of KL(unquantised‖this), in nats.
    pub mean_kl: f64,
    /// Largest of them.
    pub largest_kl: f64,
    /// Share of these tokens where both hold the same for the likeliest.
    pub same_tokens: f64,
}

impl From<Fidelity> for Measured {
    fn from(found: Fidelity) -> Self {
        Self {
            nll: found.nll,
            perplexity: found.nll.exp(),
            mean_kl: found.mean_kl,
            largest_kl: found.largest_kl,
            same_tokens: found.same_tokens,
        }
    }
}

/// Whether a form and a type can be calibrated: blocks of few bits are chosen, other types round every
/// number by itself.
///
/// # Errors
/// [`TuneError::Calibration`].
pub fn check(form: Form, format: BlockType) -> Result<(), TuneError> {
    if form == Form::Gguf && BlockType::WEIGHTED.contains(&format) {
        return Ok(());
    }
    let names = BlockType::WEIGHTED.map(|it| it.name().to_lowercase());
    let reason = format!(
        "{} is not rounded in blocks: calibrate GGUF files in {}",
        format.name(),
        names.join(", ")
    );
    Err(TuneError::Calibration { reason })
}

impl CalibrationSet {
    /// Takes records out of `rows`, a fifth of them to be held out; of records that say the same only one
    /// is taken, and of one that is several rows one row.
    ///
    /// # Errors
    /// [`TuneError::Calibration`] where fewer than two are left, one for each use.
    pub fn of(rows: Rows, spec: CalibrationSpec, config: &Config) -> Result<Self, TuneError> {
        let tokens_max = spec.tokens_max.min(config.context);
        let packing = SftSpec {
            tokens_max,
            prefix_sharing: false,
            ..SftSpec::default()
        };
        let all = rows.len();
        let packed = match Packed::of(rows, &packing) {
            Err(TuneError::NothingToLearn { over_long, .. }) => {
                return Err(refuse(match all {
                    0 => "there is no record".to_owned(),
                    _ => format!(
                        "of {all} rows {over_long} are over {tokens_max} tokens and the others have no \
                         answer: allow longer ones, or give shorter ones"
                    ),
                }));
            }
            packed => packed?,
        };
        let left_out = all - packed.rows.len();
        let [taken, held] = split(&packed.rows, spec)?;
        let held = at_most(&packed.rows, held, Likelihoods::targets_max(config));
        let part = |places: &[usize]| Packed {
            rows: packed.rows.pick(places.iter().copied()),
            prefix_len: 0,
            over_long: Vec::new(),
            unanswered: Vec::new(),
        };
        let (records, held_out) = (taken.len(), held.len());
        let (taken, held) = (part(&taken), part(&held));
        let tokens = |packed: &Packed, len: &dyn Fn(&Rows, usize) -> usize| -> u64 {
            let places = 0..packed.rows.len();
            places.map(|at| len(&packed.rows, at) as u64).sum()
        };
        let counts = Counts {
            records,
            tokens: tokens(&taken, &Rows::tokens_len),
            held_out,
            held_out_share: held_out as f64 / (records + held_out) as f64,
            held_out_tokens: tokens(&held, &Rows::supervised_len),
            left_out,
        };
        Ok(Self {
            taken,
            held,
            counts,
        })
    }

    /// What goes into the linear layers of the base with the adapter.
    ///
    /// # Errors
    /// What opening the base reports.
    pub(crate) fn importance(
        &self,
        base: &Path,
        adapter: &Adapter,
        pool: &Pool,
    ) -> Result<Importance, TuneError> {
        // In 16 bits: what is summed over thousands of tokens does not ask for more.
        let model = Model::load(base, LoadOptions::default())?;
        let batches = batches(&self.taken, ROWS_MAX);
        Ok(Importance::of(&model, pool, Some(adapter), &batches))
    }

    /// What a model with an adapter holds for likely on what is held out.
    pub(crate) fn likelihoods(&self, model: &Model, adapter: &Adapter, pool: &Pool) -> Likelihoods {
        let batches = batches(&self.held, MEASURED_ROWS_MAX);
        Likelihoods::of(model, pool, Some(adapter), batches)
    }
}

/// What a calibrated file is written by, and measured against.
pub(crate) struct Calibration {
    pub(crate) importance: Importance,
    pub(crate) likelihoods: Likelihoods,
    pub(crate) counts: Counts,
}

impl Calibration {
    /// Writes the file without calibration, measures and removes it; then writes it calibrated. `write`
    /// writes into an empty place, `open` opens what is there, `clear` empties it.
    pub(crate) fn written(
        &self,
        pool: &Pool,
        write: &dyn Fn(Option<&Importance>) -> Result<Written, TuneError>,
        open: &dyn Fn() -> Result<Model, TuneError>,
        clear: &dyn Fn() -> Result<(), TuneError>,
    ) -> Result<(Written, Fidelity), TuneError> {
        write(None)?;
        let plain = self.likelihoods.of_other(&open()?, pool);
        clear()?;
        Ok((write(Some(&self.importance))?, plain))
    }

    /// The table, of a file that was measured without calibration and the opened one that is kept.
    pub(crate) fn loss(&self, plain: Fidelity, kept: &Model, pool: &Pool) -> RoundingLoss {
        RoundingLoss {
            counts: self.counts,
            unquantised: self.likelihoods.own(pool).into(),
            plain: plain.into(),
            calibrated: self.likelihoods.of_other(kept, pool).into(),
        }
    }
}

fn batches(packed: &Packed, rows_max: usize) -> Vec<Batch> {
    let all: Vec<usize> = (0..packed.rows.len()).collect();
    micro_batches(packed, &all, rows_max)
}

/// The places of the rows that calibrate, and of those that are held out, each in the data's order.
fn split(rows: &Rows, spec: CalibrationSpec) -> Result<[Vec<usize>; 2], TuneError> {
    let (mut seen, mut random) = (BTreeSet::new(), Random::new(spec.seed));
    let records = rows.by_record().into_iter().flatten();
    let records = records.filter(|places| seen.insert(rows.leaf(places[0])));
    let records = records.map(|places| places[random.below(places.len())]);
    let records: Vec<usize> = records.collect();
    if records.len() < 2 || spec.records == 0 {
        return Err(refuse(format!(
            "{} records of usable length that differ are too few: one calibrates and one is held out \
             at least",
            records.len().min(spec.records)
        )));
    }
    let wanted = (spec.records as f64 / (1.0 - HELD_OUT_SHARE)).round() as usize;
    let count = wanted.clamp(2, records.len());
    let held = ((count as f64 * HELD_OUT_SHARE).round() as usize).clamp(1, count - 1);
    let order = random.order(records.len());
    let part = |order: &[usize]| {
        let mut places: Vec<usize> = order.iter().map(|&at| records[at]).collect();
        places.sort_unstable();
        places
    };
    Ok([part(&order[held..count]), part(&order[..held])])
}

/// The first of some rows, as many as have no more than `targets_max` supervised tokens; one at least.
fn at_most(rows: &Rows, mut places: Vec<usize>, targets_max: usize) -> Vec<usize> {
    let mut sum = 0;
    let fits = places.iter().take_while(|&&at| {
        sum += rows.supervised_len(at);
        sum <= targets_max
    });
    let fits = fits.count();
    places.truncate(fits.max(1));
    places
}

fn refuse(reason: String) -> TuneError {
    TuneError::Calibration { reason }
}

#[cfg(test)]
mod tests;
