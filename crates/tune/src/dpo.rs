//! Preference tuning: an adapter learns to prefer one answer to another (DPO, Rafailov et al. 2023).
//!
//! The loss and its gradient are the engine's (`lathe_engine::train`), the loop is
//! [`crate::learn`]'s; here are the pairs as tokens and what a step computes of them. What prompts
//! share goes through the model once: a pair's prompt for both its answers, or for all pairs of a
//! batch what all prompts begin with, whichever leaves fewer rows. The reference is what the adapter
//! starts as, so the base model where it starts afresh; it is asked for a pair when that is first
//! met, and remembered. Absent: the other losses of the family.

use std::path::Path;

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, AnswerBatch, LogProbs, Model, PairLoss, Tokenizer};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::Pool;

use crate::TuneError;
use crate::answers::{Answers, identify, split};
use crate::learner::{Account, Learner, Measured};
use crate::sft::{digest, identify_model};
use crate::spec::SftSpec;

/// One pair as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpoPair {
    /// The record's id.
    pub id: String,
    /// What the record is committed to by.
    pub leaf: Digest,
    /// What both answers follow.
    pub prompt: Vec<u32>,
    /// The preferred answer and the token that ends it.
    pub chosen: Vec<u32>,
    /// The other answer and the token that ends it.
    pub rejected: Vec<u32>,
}

impl DpoPair {
    /// Tokenises a rendered prompt and the texts of two answers; `end` ends each.
    ///
    /// # Errors
    /// [`TuneError::Boundary`] when the prompt's tokens change where an answer follows.
    pub fn encode(
        tokenizer: &Tokenizer,
        end: u32,
        id: &str,
        prompt: &str,
        answers: [&str; 2],
    ) -> Result<Self, TuneError> {
        let leaf = Digest::of([&[prompt], &answers[..]].concat().join("\0").as_bytes());
        let (prompt, [chosen, rejected]) = split(tokenizer, end, id, prompt, answers)?;
        Ok(Self {
            id: id.to_owned(),
            leaf,
            prompt,
            chosen,
            rejected,
        })
    }

    /// Tokens of both sequences, the prompt counted in each.
    pub fn tokens(&self) -> usize {
        2 * self.prompt.len() + self.chosen.len() + self.rejected.len()
    }
}

impl Answers for DpoPair {
    fn id(&self) -> &str {
        &self.id
    }

    fn leaf(&self) -> Digest {
        self.leaf
    }

    fn prompt(&self) -> &[u32] {
        &self.prompt
    }

    fn answers(&self) -> Vec<&[u32]> {
        vec![&self.chosen, &self.rejected]
    }
}

/// An adapter that learns from pairs.
pub struct Dpo<'a> {
    model: &'a Model,
    trainer: Trainer<'a>,
    pool: &'a Pool,
    pairs: Vec<DpoPair>,
    over_long: Vec<String>,
    /// β: how dear it is to leave the reference.
    beta: f64,
    /// γ: how much the likelihood of the preferred answer counts by itself.
    anchor: f64,
    rows_max: usize,
    /// Tokens that all prompts begin with, if sharing them saves more than sharing prompts.
    common: usize,
    /// Log probabilities under the reference, of the pairs met so far.
    references: Vec<Option<LogProbs>>,
    /// What the adapter started as, where that is not nothing.
    reference: Option<Adapter>,
    start: Digest,
    adapter: Adapter,
}

impl<'a> Dpo<'a> {
    /// An adapter of a model loaded as trainable, as it starts: `start`, or a fresh one. Pairs over
    /// the cutoff are left out.
    ///
    /// # Errors
    /// When the spec or β cannot be used or no pair is left.
    pub fn new(
        (model, start): (&'a Model, Option<&Adapter>),
        pool: &'a Pool,
        pairs: Vec<DpoPair>,
        spec: &SftSpec,
        beta: f64,
    ) -> Result<Self, TuneError> {
        spec.check()?;
        let given = pairs.len();
        let (pairs, over_long) = crate::answers::within(pairs, spec.tokens_max);
        if !(beta.is_finite() && beta > 0.0) {
            return Err(TuneError::Spec {
                stage: "dpo",
                key: "beta",
                reason: "must be positive".to_owned(),
            });
        }
        if pairs.is_empty() {
            return Err(TuneError::NoPairs {
                pairs: given,
                tokens_max: spec.tokens_max,
            });
        }
        let adapter = match start {
            Some(adapter) => adapter.clone(),
            None => Adapter::on(model, pool, &spec.lora(), spec.seed)?,
        };
        Ok(Self {
            model,
            trainer: Trainer::new(model, pool),
            pool,
            references: vec![None; pairs.len()],
            common: crate::answers::common(&pairs, spec.batch_records),
            pairs,
            over_long,
            beta,
            anchor: 0.0,
            rows_max: spec.rows_max,
            reference: start.cloned(),
            start: digest(&adapter.values),
            adapter,
        })
    }

    /// The same with `anchor` times the mean negative log-likelihood of the preferred answers' tokens
    /// in the loss ([`lathe_engine::train`]'s preference loss).
    ///
    /// # Errors
    /// When it is below 0 or no number.
    pub fn anchored(self, anchor: f64) -> Result<Self, TuneError> {
        if !(anchor.is_finite() && anchor >= 0.0) {
            return Err(TuneError::Spec {
                stage: "dpo",
                key: "anchor",
                reason: "must be 0 or more".to_owned(),
            });
        }
        Ok(Self { anchor, ..self })
    }

    /// Pairs that it learns from.
    pub fn pairs(&self) -> &[DpoPair] {
        &self.pairs
    }

    /// What the reference says of the pairs of a batch.
    fn references(&mut self, records: &[usize], batch: &AnswerBatch) -> Vec<LogProbs> {
        if records.iter().any(|&at| self.references[at].is_none()) {
            let found = self.trainer.pair_log_probs(self.reference.as_ref(), batch);
            for (&at, found) in records.iter().zip(found) {
                self.references[at] = Some(found);
            }
        }
        let known = records.iter().map(|&at| self.references[at]);
        known.map(|it| it.expect("asked for above")).collect()
    }
}

impl Learner for Dpo<'_> {
    fn stage(&self) -> &'static str {
        "dpo"
    }

    fn pool(&self) -> &Pool {
        self.pool
    }

    fn model(&self) -> &Model {
        self.model
    }

    fn records(&self) -> usize {
        self.pairs.len()
    }

    fn leaf(&self, record: usize) -> Digest {
        self.pairs[record].leaf
    }

    fn identify(&self, hasher: &mut Hasher) {
        identify_model(hasher, self.model);
        identify(hasher, &self.pairs);
        hasher.update(&self.beta.to_le_bytes());
        hasher.update(&self.anchor.to_le_bytes());
        hasher.update(&self.start.0);
    }

    fn values(&self) -> &[f32] {
        &self.adapter.values
    }

    fn change(&mut self, change: &mut dyn FnMut(&Pool, &mut [f32])) {
        change(self.pool, &mut self.adapter.values);
    }

    fn gradients(&mut self, records: &[usize], gradients: &mut [f32]) -> Measured {
        gradients.fill(0.0);
        let scale = 1.0 / records.len() as f64;
        let mut losses: Vec<PairLoss> = Vec::with_capacity(records.len());
        let mut tokens = 0;
        for part in crate::answers::parts(&self.pairs, records, self.common, self.rows_max) {
            let batch = crate::answers::batch(&self.pairs, part, self.common);
            tokens += batch.batch.tokens.len() as u64;
            let references = self.references(part, &batch);
            losses.extend(self.trainer.preference_loss_and_gradients(
                &self.adapter,
                &batch,
                &references,
                (self.beta, self.anchor, scale),
                gradients,
            ));
        }
        let preferred = losses.iter().filter(|it| it.margin > 0.0).count();
        Measured {
            loss: losses.iter().map(|it| it.loss).sum::<f64>() * scale,
            tokens,
            preferred: Some(preferred as f64 * scale),
        }
    }

    fn adapter(&self) -> Option<&Adapter> {
        Some(&self.adapter)
    }

    fn save(&self, folder: &Path, base_name: &str) -> Result<(), TuneError> {
        Ok(self.adapter.save_peft(folder, base_name)?)
    }

    fn account(&self) -> Account {
        Account {
            base_format: self.model.format_name(),
            tokens: crate::answers::tokens(&self.pairs),
            prefix_tokens: self.common,
            over_long: self.over_long.clone(),
            unanswered: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use crate::testing::Whole;

    fn pairs(model: &Model, count: usize) -> Vec<DpoPair> {
        let pair = |at: usize| {
            let prompt = format!("The camera is great, number {at}.\n");
            let answers = ["{\"feeling\": 2.5}", "{\"feeling\": -1.5}"];
            let id = at.to_string();
            DpoPair::encode(&model.tokenizer, 2, &id, &prompt, answers).expect("it is cut there")
        };
        (0..count).map(pair).collect()
    }

    fn spec() -> SftSpec {
        SftSpec {
            rank: 4,
            alpha: 8.0,
            learning_rate: 5e-3,
            epochs: 6.0,
            batch_records: 4,
            checkpoint_steps: 4,
            ..SftSpec::default()
        }
    }

    fn dpo<'a>(model: &'a Model, pool: &'a Pool, count: usize, spec: &SftSpec) -> Dpo<'a> {
        Dpo::new((model, None), pool, pairs(model, count), spec, 0.1).expect("sound")
    }

    fn run(spec: &SftSpec) -> Whole {
        let (model, pool) = (testing::model(), Pool::new(2));
        Whole::of(&mut dpo(&model, &pool, 10, spec), spec)
    }

    #[test]
    fn an_anchor_keeps_the_preferred_answer_likely() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        let likely = |anchor: f64| {
            let mut run = dpo(&model, &pool, 10, &spec)
                .anchored(anchor)
                .expect("sound");
            Whole::of(&mut run, &spec);
            let all: Vec<usize> = (0..10).collect();
            let batch = crate::answers::batch(&run.pairs, &all, 0);
            let found = run.trainer.pair_log_probs(Some(&run.adapter), &batch);
            found.iter().map(|it| it.chosen).sum::<f64>()
        };
        let (alone, anchored) = (likely(0.0), likely(1.0));
        assert!(anchored > alone + 1.0, "{anchored} and {alone}");
        let refused = dpo(&model, &pool, 2, &spec).anchored(-1.0);
        assert!(refused.is_err());
    }

    #[test]
    fn the_chosen_answers_become_the_likelier_ones() {
        let whole = run(&spec());
        assert_eq!(whole.losses.len(), 18);
        assert!((whole.losses[0] - std::f64::consts::LN_2).abs() < 1e-3);
        assert!(whole.losses[17] < 0.2, "{:?}", whole.losses);
    }

    #[test]
    fn stopped_after_any_step_it_ends_with_the_same_bits() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        Whole::stopped_anywhere(&spec, &mut || dpo(&model, &pool, 10, &spec));
    }

    #[test]
    fn the_seed_decides() {
        let other = SftSpec { seed: 2, ..spec() };
        assert_ne!(run(&spec()).values, run(&other).values);
    }

    #[test]
    fn how_a_step_is_cut_does_not_change_it() {
        let small = SftSpec {
            rows_max: 1,
            ..spec()
        };
        for (whole, cut) in run(&spec()).losses.iter().zip(run(&small).losses) {
            assert!((cut - whole).abs() < 0.02, "{cut:?}, {whole:?}");
        }
    }

    #[test]
    fn both_ways_of_sharing_learn_the_same() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        let losses = [0, 3].map(|common| {
            let mut run = dpo(&model, &pool, 8, &spec);
            assert!(run.common > 3);
            run.common = common;
            Whole::of(&mut run, &spec).losses
        });
        assert_eq!(losses[0].len(), 12);
        for (a, b) in losses[0].iter().zip(&losses[1]) {
            assert!((a - b).abs() < 0.02, "{losses:?}");
        }
    }

    #[test]
    fn the_reference_is_what_the_adapter_starts_as() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        let mut start = Adapter::new(&model.config, &spec.lora(), 9).expect("an adapter");
        let moved = start.values.iter_mut().enumerate();
        moved.for_each(|(at, value)| *value += (at % 7) as f32 * 1e-2);
        let all = pairs(&model, 4);
        let mut run = Dpo::new((&model, Some(&start)), &pool, all, &spec, 0.1).expect("sound");
        let mut gradients = vec![0.0; start.values.len()];
        let first = run.gradients(&[0, 1, 2, 3], &mut gradients);
        assert!(
            (first.loss - std::f64::consts::LN_2).abs() < 1e-3,
            "{first:?}"
        );
        assert_eq!(run.values(), start.values);
    }

    #[test]
    fn answers_end_and_pairs_over_the_cutoff_are_left_out() {
        let (model, pool) = (testing::model(), Pool::new(1));
        let mut all = pairs(&model, 3);
        assert!(all.iter().all(|pair| pair.chosen.ends_with(&[2])));
        all[1].prompt = vec![5; 400];
        let cut = |tokens_max| SftSpec {
            tokens_max,
            ..spec()
        };
        let with = |spec: &SftSpec| Dpo::new((&model, None), &pool, all.clone(), spec, 0.1);
        let run = with(&cut(200)).expect("two are left");
        assert_eq!(
            (run.account().over_long, run.records()),
            (vec!["1".to_owned()], 2)
        );
        let error = with(&cut(3)).err().expect("none is left");
        assert!(error.to_string().contains("all 3 pairs"), "{error}");
        assert_eq!(error.code(), "tune-nothing-to-learn");
        let error = Dpo::new((&model, None), &pool, all.clone(), &spec(), 0.0);
        assert!(error.err().expect("no beta").to_string().contains("beta"));
    }
}
