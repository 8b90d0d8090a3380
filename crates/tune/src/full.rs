//! Tuning of a model's own weights: all of them, or some layers with the others frozen.
//!
//! Moments and weights are f32, products bf16 or f32. The first batch of a step writes its gradients
//! and the others add theirs, so nothing is zeroed. The loop is [`crate::learn`]'s; how the result is
//! written is the caller's, because it is a whole model.

use std::ops::Range;
use std::path::Path;

use lathe_engine::{FullTrainer, LossSum, Model, Parameters};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::{Pool, slab};

use crate::TuneError;
use crate::batching::micro_batches;
use crate::learner::{Account, Learner, Measured};
use crate::pack::Packed;
use crate::sft::{account, identify_model, identify_rows};

/// Which weights learn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Learns {
    /// All.
    All,
    /// The last `layers` blocks; of these the tensors whose names hold one of `modules`, or all
    /// where none is named.
    Last {
        /// How many blocks.
        layers: usize,
        /// Parts of names, such as `mlp`.
        modules: Vec<String>,
    },
}

/// Writes weights as a model into a folder; `base_name` is what they were before.
pub type Writer<'a> = dyn Fn(&Parameters, &Path, &str) -> Result<(), TuneError> + 'a;

/// Weights that learn from rows.
pub struct Weights<'a> {
    stage: &'static str,
    pool: &'a Pool,
    trainer: FullTrainer<'a>,
    parameters: Parameters,
    packed: &'a Packed,
    rows_max: usize,
    part: Option<Part>,
    learns: Learns,
    write: &'a Writer<'a>,
}

/// The part of the weights that learns, one range after another.
struct Part {
    ranges: Vec<Range<usize>>,
    values: Vec<f32>,
    /// As long as all parameters.
    gradients: Vec<f32>,
}

impl<'a> Weights<'a> {
    /// The weights of a model that was opened for it.
    ///
    /// # Errors
    /// [`TuneError::Spec`] where no weight would learn.
    pub fn new(
        stage: &'static str,
        (mut trainer, parameters): (FullTrainer<'a>, Parameters),
        pool: &'a Pool,
        (packed, rows_max): (&'a Packed, usize),
        learns: Learns,
        write: &'a Writer<'a>,
    ) -> Result<Self, TuneError> {
        let part = match &learns {
            Learns::All => None,
            Learns::Last { layers, modules } => {
                let all = trainer.model().config.layers;
                let from = all.checked_sub(*layers).filter(|&from| from < all);
                let from = from.ok_or_else(|| TuneError::Spec {
                    stage: "freeze",
                    key: "layers",
                    reason: format!("must be 1 to {all}, the model's"),
                })?;
                trainer.freeze_below(from);
                Some(Part::of(&parameters, from..all, modules)?)
            }
        };
        Ok(Self {
            stage,
            pool,
            trainer,
            parameters,
            packed,
            rows_max,
            part,
            learns,
            write,
        })
    }

    /// How many numbers learn.
    pub fn len(&self) -> usize {
        self.values().len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Part {
    fn of(
        parameters: &Parameters,
        blocks: Range<usize>,
        modules: &[String],
    ) -> Result<Self, TuneError> {
        let learns = |name: &str| {
            let inside = |block: usize| name.starts_with(&format!("model.layers.{block}."));
            let named = |module: &String| name.contains(&**module);
            blocks.clone().any(inside) && (modules.is_empty() || modules.iter().any(named))
        };
        let tensors = parameters.tensors.iter();
        let ranges: Vec<Range<usize>> = tensors
            .filter(|tensor| learns(&tensor.name))
            .map(|tensor| tensor.range())
            .collect();
        if ranges.is_empty() {
            return Err(TuneError::Spec {
                stage: "freeze",
                key: "modules",
                reason: format!(
                    "no tensor of the blocks {blocks:?} is called {}: nothing would learn",
                    modules.join(" or ")
                ),
            });
        }
        let values = gather(&ranges, &parameters.values);
        Ok(Self {
            ranges,
            values,
            gradients: slab::zeros(parameters.values.len()),
        })
    }
}

fn gather(ranges: &[Range<usize>], from: &[f32]) -> Vec<f32> {
    let pieces = ranges.iter().map(|range| &from[range.clone()]);
    pieces.flatten().copied().collect()
}

impl Learner for Weights<'_> {
    fn stage(&self) -> &'static str {
        self.stage
    }

    fn pool(&self) -> &Pool {
        self.pool
    }

    fn model(&self) -> &Model {
        self.trainer.model()
    }

    fn records(&self) -> usize {
        self.packed.rows.len()
    }

    fn leaf(&self, record: usize) -> Digest {
        self.packed.rows.leaf(record)
    }

    fn identify(&self, hasher: &mut Hasher) {
        identify_model(hasher, self.trainer.model());
        identify_rows(hasher, self.packed);
        hasher.update(format!("{:?}", self.learns).as_bytes());
    }

    fn values(&self) -> &[f32] {
        match &self.part {
            None => &self.parameters.values,
            Some(part) => &part.values,
        }
    }

    fn change(&mut self, change: &mut dyn FnMut(&Pool, &mut [f32])) {
        let all = &mut self.parameters.values;
        match &mut self.part {
            None => change(self.pool, all),
            Some(part) => {
                change(self.pool, &mut part.values);
                let mut rest = &part.values[..];
                for range in &part.ranges {
                    let (own, after) = rest.split_at(range.len());
                    all[range.clone()].copy_from_slice(own);
                    rest = after;
                }
            }
        }
        self.trainer.take_up(all);
    }

    fn gradients(&mut self, records: &[usize], gradients: &mut [f32]) -> Measured {
        let batches = micro_batches(self.packed, records, self.rows_max);
        let targets = batches.iter().flat_map(|batch| &batch.targets);
        let supervised: f64 = targets.map(|target| f64::from(target.weight)).sum();
        let scale = (1.0 / supervised) as f32;
        let (mut sum, mut tokens) = (LossSum::default(), 0);
        for (index, batch) in batches.iter().enumerate() {
            let into = match &mut self.part {
                None => &mut *gradients,
                Some(part) => &mut part.gradients,
            };
            sum += self
                .trainer
                .loss_and_gradients(batch, scale, into, index > 0);
            tokens += batch.tokens.len() as u64;
        }
        if let Some(part) = &self.part {
            gradients.copy_from_slice(&gather(&part.ranges, &part.gradients));
        }
        Measured {
            loss: sum.mean(),
            tokens,
            preferred: None,
        }
    }

    fn save(&self, folder: &Path, base_name: &str) -> Result<(), TuneError> {
        (self.write)(&self.parameters, folder, base_name)
    }

    fn account(&self) -> Account {
        account(self.trainer.model(), self.packed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::pack;
    use crate::spec::SftSpec;
    use crate::testing::{self, Whole};
    use lathe_engine::ByteProducts;
    use lathe_kernel::Precision;

    fn spec() -> SftSpec {
        SftSpec {
            learning_rate: 3e-3,
            epochs: 2.0,
            batch_records: 4,
            checkpoint_steps: 3,
            ..SftSpec::default()
        }
    }

    fn nowhere(_: &Parameters, _: &Path, _: &str) -> Result<(), TuneError> {
        Ok(())
    }

    fn weights<'a>(pool: &'a Pool, packed: &'a Packed, learns: Learns) -> Weights<'a> {
        let loaded = FullTrainer::load(
            &testing::model_path(),
            Precision::Bf16,
            ByteProducts::None,
            pool,
        )
        .expect("loads");
        let rows = (packed, spec().rows_max);
        Weights::new("sft", loaded, pool, rows, learns, &nowhere).expect("something learns")
    }

    fn packed() -> Packed {
        pack(&testing::model(), &testing::examples(13), &spec()).expect("packs")
    }

    fn last(layers: usize, modules: &[&str]) -> Learns {
        Learns::Last {
            layers,
            modules: modules.iter().map(|&name| name.to_owned()).collect(),
        }
    }

    #[test]
    fn the_loss_falls_with_all_weights_and_with_the_last_block() {
        let (pool, packed) = (Pool::new(2), packed());
        for learns in [Learns::All, last(1, &[])] {
            let whole = Whole::of(&mut weights(&pool, &packed, learns), &spec());
            let end = whole.losses[whole.losses.len() - 1];
            assert!(end < 0.8 * whole.losses[0], "{:?}", whole.losses);
        }
    }

    #[test]
    fn stopped_after_any_step_it_ends_with_the_same_bits() {
        let (pool, packed) = (Pool::new(2), packed());
        for learns in [Learns::All, last(1, &["mlp"])] {
            Whole::stopped_anywhere(&spec(), &mut || weights(&pool, &packed, learns.clone()));
        }
    }

    #[test]
    fn what_is_frozen_stays_bit_for_bit() {
        let (pool, packed) = (Pool::new(2), packed());
        let before = weights(&pool, &packed, Learns::All).parameters;
        let mut after = weights(&pool, &packed, last(1, &["mlp"]));
        Whole::of(&mut after, &spec());
        for tensor in &before.tensors {
            let range = tensor.range();
            let same = before.values[range.clone()] == after.parameters.values[range];
            let learns = tensor.name.starts_with("model.layers.1.mlp");
            assert_eq!(same, !learns, "{}", tensor.name);
        }
    }

    #[test]
    fn nothing_that_learns_is_refused_by_name() {
        let (pool, packed) = (Pool::new(1), packed());
        for (learns, words) in [(last(3, &[]), "1 to 2"), (last(1, &["lm_head"]), "lm_head")] {
            let loaded = FullTrainer::load(
                &testing::model_path(),
                Precision::F32,
                ByteProducts::None,
                &pool,
            );
            let rows = (&packed, 64);
            let refused =
                Weights::new("sft", loaded.expect("loads"), &pool, rows, learns, &nowhere);
            let error = refused.err().expect("nothing learns").to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
