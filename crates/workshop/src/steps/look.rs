//! The loss on some held-out records while the supervised stage tunes, for whoever looks at the order.
//!
//! It is told and nothing more: no step, checkpoint or choice depends on it, and no byte that is hashed has
//! it. Few records, few times: together about a fiftieth of the run. What the model is worth is measured
//! afterwards, on all of them.

use lathe_data::prepare::Sealed;
use lathe_data::task::Example;
use lathe_tune::learn::Watch;
use lathe_tune::learner::Learner;
use lathe_tune::pack::{Packed, pack};
use lathe_tune::plan::Plan;
use lathe_tune::recipe::lesson;
use lathe_tune::sft::SftSpec;

use super::chat;
use super::compute::{Machine, Records, spread};
use crate::order::StepError;

/// Records measured at least, where there are as many, and at most.
const RECORDS: std::ops::RangeInclusive<u64> = 4..=32;
/// Measurements of a run at most.
const LOOKS_MAX: u64 = 10;
/// A run of so many learnt records pays for one that is measured: a forward pass is half of a step's work or
/// less, so that this is a fiftieth.
const LEARNT_FOR_ONE: u64 = 25;

/// How many records are measured, and how many times, where `learnt` are learnt from in all.
fn amounts(learnt: u64) -> (u64, u64) {
    let records = learnt / LEARNT_FOR_ONE / LOOKS_MAX;
    let records = records.clamp(*RECORDS.start(), *RECORDS.end());
    let looks = learnt / LEARNT_FOR_ONE / records;
    (records, looks.clamp(1, LOOKS_MAX))
}

/// What is measured on the way of a run over `learnt`; nothing where no record is held out, or none of those
/// chosen can be measured.
///
/// # Errors
/// A held-out record that does not render.
pub(super) fn watch(
    machine: &Machine,
    records: &Records,
    learnt: &Packed,
    spec: &SftSpec,
) -> Result<Option<Watch<'static>>, StepError> {
    let plan = Plan::new(
        learnt.rows.len(),
        spec.batch_records,
        spec.epochs,
        spec.seed,
    );
    let steps = plan.steps();
    let (wanted, looks) = amounts(steps * spec.batch_records as u64);
    let test = &records.dataset.prepared.test;
    let chosen = spread(test.len(), wanted as usize);
    let chosen = chosen.into_iter().map(|at| &test[at]);
    let Some(held) = packed(machine, records, chosen, spec)? else {
        return Ok(None);
    };
    let rows_max = spec.rows_max;
    Ok(Some(Watch {
        every: steps.div_ceil(looks),
        patience: None,
        keep_best: false,
        higher: false,
        only_told: true,
        measure: Box::new(move |learner: &mut dyn Learner| {
            let (model, pool) = (learner.model(), learner.pool());
            Ok(lesson::loss(
                model,
                pool,
                learner.adapter(),
                &held,
                rows_max,
            ))
        }),
    }))
}

/// These records as rows, as the stage's own are made.
fn packed<'a>(
    machine: &Machine,
    records: &Records,
    chosen: impl Iterator<Item = &'a Sealed>,
    spec: &SftSpec,
) -> Result<Option<Packed>, StepError> {
    if records.is_chat() {
        // Pairs of answers, or none within the cutoff, are no rows: then nothing is told.
        return Ok(chat::packed_of(machine, records, chosen, spec).ok());
    }
    let examples: Vec<Example> = chosen
        .map(|sealed| Ok(records.task.render(sealed)?))
        .collect::<Result<_, StepError>>()?;
    Ok(pack(&machine.model, &examples, spec).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_about_a_fiftieth_of_what_is_learnt() {
        for (learnt, expected) in [
            (40, (4, 1)),
            (800, (4, 8)),
            (5_932, (23, 10)),
            (1_000_000, (32, 10)),
        ] {
            let (records, looks) = amounts(learnt);
            assert_eq!((records, looks), expected, "{learnt}");
            assert!(learnt < 100 || records * looks * LEARNT_FOR_ONE <= learnt);
        }
    }
}
