//! Preference tuning: an adapter learns to prefer one answer to another (DPO, Rafailov et al. 2023).
//!
//! The loss and its gradient are the engine's (`lathe_engine::train`); here are the pairs as tokens,
//! the order they come in, and the optimizer's steps. What prompts share goes through the model
//! once: a pair's prompt for both its answers, or for all pairs of a batch what all prompts begin
//! with, whichever leaves fewer rows. The reference is the base model without the adapter, asked
//! for a pair when it is first met and remembered. Absent so far: checkpoints, a log, a place among
//! an order's stages.

mod spec;

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, LogProbs, Model, PairBatch, PairLoss, Tokenizer};
use lathe_kernel::Pool;
pub use spec::DpoSpec;

use crate::TuneError;
use crate::adamw::AdamW;
use crate::clip::clip;
use crate::plan::{Batches, Plan};
use crate::schedule::Schedule;

/// One pair as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpoPair {
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
        [chosen, rejected]: [&str; 2],
    ) -> Result<Self, TuneError> {
        let served = tokenizer.encode(prompt);
        let answer = |text: &str| {
            let whole = tokenizer.encode(&format!("{prompt}{text}"));
            match whole.strip_prefix(&served[..]) {
                Some(answer) if !served.is_empty() => Ok([answer, &[end]].concat()),
                _ => Err(TuneError::Boundary { id: id.to_owned() }),
            }
        };
        let (chosen, rejected) = (answer(chosen)?, answer(rejected)?);
        Ok(Self {
            prompt: served,
            chosen,
            rejected,
        })
    }

    /// Tokens of both sequences, the prompt counted in each.
    pub fn tokens(&self) -> usize {
        2 * self.prompt.len() + self.chosen.len() + self.rejected.len()
    }

    /// Tokens of the longer sequence.
    fn longest(&self) -> usize {
        self.prompt.len() + self.chosen.len().max(self.rejected.len())
    }

    /// Rows that it takes in a batch after `common` tokens.
    fn rows(&self, common: usize) -> usize {
        PairBatch::rows_of(common, &self.prompt, &self.chosen, &self.rejected)
    }
}

/// What a step did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DpoStep {
    /// Mean loss of the pairs, before the step.
    pub loss: f64,
    /// Share of the pairs whose margin was above zero.
    pub preferred: f64,
    /// Global gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate used.
    pub learning_rate: f64,
    /// Pairs in the step.
    pub pairs: usize,
    /// Tokens of all their sequences, prompts counted twice.
    pub tokens: usize,
}

/// A run over pairs, step by step.
pub struct Dpo<'a> {
    trainer: Trainer<'a>,
    pool: &'a Pool,
    spec: &'a DpoSpec,
    pairs: Vec<DpoPair>,
    /// Tokens that all prompts begin with, if sharing them saves more than sharing prompts.
    common: usize,
    /// Log probabilities under the base, of the pairs met so far.
    references: Vec<Option<LogProbs>>,
    adapter: Adapter,
    optimizer: AdamW,
    schedule: Schedule,
    steps: u64,
    batches: Batches,
    gradients: Vec<f32>,
    over_long: usize,
}

impl<'a> Dpo<'a> {
    /// A run with a fresh adapter; pairs over the cutoff are left out.
    ///
    /// # Errors
    /// When the spec cannot be used or no pair is left.
    pub fn new(
        model: &'a Model,
        pool: &'a Pool,
        mut pairs: Vec<DpoPair>,
        spec: &'a DpoSpec,
    ) -> Result<Self, TuneError> {
        spec.check()?;
        let given = pairs.len();
        pairs.retain(|pair| pair.longest() <= spec.tokens_max);
        if pairs.is_empty() {
            return Err(TuneError::NoPairs {
                pairs: given,
                tokens_max: spec.tokens_max,
            });
        }
        let adapter = Adapter::new(&model.config, &spec.lora(), spec.seed)?;
        let plan = Plan::new(pairs.len(), spec.batch_pairs, spec.epochs, spec.seed);
        let (steps, values) = (plan.steps(), adapter.values.len());
        Ok(Self {
            trainer: Trainer::new(model, pool),
            pool,
            spec,
            references: vec![None; pairs.len()],
            common: common(&pairs, spec.batch_pairs),
            over_long: given - pairs.len(),
            pairs,
            adapter,
            optimizer: AdamW::new(spec.adamw(), values),
            schedule: Schedule::new(spec.schedule, spec.learning_rate, spec.warmup_ratio, steps),
            steps,
            batches: plan.batches(0),
            gradients: vec![0.0; values],
        })
    }

    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// Pairs left out because they are over the cutoff.
    pub fn over_long(&self) -> usize {
        self.over_long
    }

    /// The adapter as it is now.
    pub fn adapter(&self) -> &Adapter {
        &self.adapter
    }

    /// Takes the next step; `None` after the last.
    ///
    /// # Errors
    /// [`TuneError::Diverged`] when loss or gradient is not finite; the adapter is then unchanged.
    pub fn step(&mut self) -> Result<Option<DpoStep>, TuneError> {
        let Some(indices) = self.batches.next() else {
            return Ok(None);
        };
        let step = self.optimizer.steps();
        let losses = self.gradients(&indices);
        let pairs = losses.len();
        let mean = losses.iter().map(|it| it.loss).sum::<f64>() / pairs as f64;
        self.finite(step, "loss", mean)?;
        let grad_norm = clip(&mut self.gradients, self.spec.max_grad_norm);
        self.finite(step, "gradient norm", grad_norm)?;
        let learning_rate = self.schedule.learning_rate(step);
        let values = &mut self.adapter.values;
        self.optimizer
            .step(self.pool, values, &self.gradients, 1.0, learning_rate);
        let preferred = losses.iter().filter(|it| it.margin > 0.0).count();
        Ok(Some(DpoStep {
            loss: mean,
            preferred: preferred as f64 / pairs as f64,
            grad_norm,
            learning_rate,
            pairs,
            tokens: indices.iter().map(|&at| self.pairs[at].tokens()).sum(),
        }))
    }

    /// Fills the gradient buffer with that of the mean loss over the pairs.
    fn gradients(&mut self, indices: &[usize]) -> Vec<PairLoss> {
        self.gradients.fill(0.0);
        let scale = 1.0 / indices.len() as f64;
        let mut losses = Vec::with_capacity(indices.len());
        for part in self.micro_batches(indices) {
            let mut batch = PairBatch::after(&self.pairs[part[0]].prompt[..self.common]);
            for &at in part {
                let pair = &self.pairs[at];
                batch.push(&pair.prompt, &pair.chosen, &pair.rejected);
            }
            let references = self.references(part, &batch);
            losses.extend(self.trainer.preference_loss_and_gradients(
                &self.adapter,
                &batch,
                &references,
                (self.spec.beta, scale),
                &mut self.gradients,
            ));
        }
        losses
    }

    /// Cuts a step into parts of at most `rows_max` rows; a larger pair is a part of its own.
    fn micro_batches<'b>(&self, indices: &'b [usize]) -> Vec<&'b [usize]> {
        let (mut parts, mut start, mut rows) = (Vec::new(), 0, self.common);
        for (at, &index) in indices.iter().enumerate() {
            let more = self.pairs[index].rows(self.common);
            if at > start && rows + more > self.spec.rows_max {
                parts.push(&indices[start..at]);
                (start, rows) = (at, self.common);
            }
            rows += more;
        }
        parts.push(&indices[start..]);
        parts
    }

    /// What the base says of the pairs of a batch.
    fn references(&mut self, indices: &[usize], batch: &PairBatch) -> Vec<LogProbs> {
        if indices.iter().any(|&at| self.references[at].is_none()) {
            let found = self.trainer.pair_log_probs(None, batch);
            for (&at, found) in indices.iter().zip(found) {
                self.references[at] = Some(found);
            }
        }
        let known = indices.iter().map(|&at| self.references[at]);
        known.map(|it| it.expect("asked for above")).collect()
    }

    fn finite(&self, step: u64, what: &'static str, value: f64) -> Result<(), TuneError> {
        if value.is_finite() {
            return Ok(());
        }
        Err(TuneError::Diverged {
            stage: "dpo",
            step: step + 1,
            steps: self.steps,
            what,
            value,
        })
    }
}

/// How many first tokens a batch should share: those that all prompts begin with, or none where
/// both answers sharing their prompt leaves fewer rows. One choice for all batches of a run.
fn common(pairs: &[DpoPair], batch_pairs: usize) -> usize {
    let [first, rest @ ..] = pairs else { return 0 };
    let common = rest.iter().fold(first.prompt.len(), |common, pair| {
        let same = first.prompt.iter().zip(&pair.prompt);
        same.take(common).take_while(|(a, b)| a == b).count()
    });
    // Every prompt keeps a row of its own, which predicts its answers' first tokens.
    let shortest = pairs.iter().map(|pair| pair.prompt.len()).min();
    let common = common.min(shortest.unwrap_or(0).saturating_sub(1));
    let batches = pairs.len().div_ceil(batch_pairs);
    let rows = |common: usize| {
        let pairs = pairs.iter().map(|pair| pair.rows(common));
        batches * common + pairs.sum::<usize>()
    };
    if rows(common) < rows(0) { common } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn pairs(model: &Model, count: usize) -> Vec<DpoPair> {
        let pair = |at: usize| {
            let prompt = format!("The camera is great, number {at}.\n");
            let answers = ["{\"feeling\": 2.5}", "{\"feeling\": -1.5}"];
            let id = at.to_string();
            DpoPair::encode(&model.tokenizer, 2, &id, &prompt, answers).expect("it is cut there")
        };
        (0..count).map(pair).collect()
    }

    fn spec() -> DpoSpec {
        DpoSpec {
            learning_rate: 5e-3,
            epochs: 6.0,
            batch_pairs: 4,
            ..DpoSpec::default()
        }
    }

    fn run(model: &Model, spec: &DpoSpec) -> (Vec<DpoStep>, Adapter) {
        let pool = Pool::new(2);
        let mut run = Dpo::new(model, &pool, pairs(model, 10), spec).expect("sound");
        let mut steps = Vec::new();
        while let Some(step) = run.step().expect("it goes on") {
            steps.push(step);
        }
        assert_eq!(steps.len() as u64, run.steps());
        (steps, run.adapter().clone())
    }

    #[test]
    fn the_chosen_answers_become_the_likelier_ones() {
        let model = testing::model();
        let (steps, _) = run(&model, &spec());
        let (first, last) = (steps[0], steps[steps.len() - 1]);
        assert_eq!(steps.len(), 18);
        assert!((first.loss - std::f64::consts::LN_2).abs() < 1e-3);
        assert!(last.loss < 0.2 && last.preferred == 1.0, "{last:?}");
        assert_eq!((first.pairs, steps[2].pairs), (4, 2));
    }

    #[test]
    fn the_same_run_has_the_same_bits() {
        let model = testing::model();
        assert_eq!(run(&model, &spec()), run(&model, &spec()));
        let other = DpoSpec { seed: 2, ..spec() };
        assert_ne!(run(&model, &spec()).1, run(&model, &other).1);
    }

    #[test]
    fn how_a_step_is_cut_does_not_change_it() {
        let model = testing::model();
        let whole = run(&model, &spec()).0;
        let small = DpoSpec {
            rows_max: 1,
            ..spec()
        };
        for (whole, cut) in whole.iter().zip(run(&model, &small).0) {
            assert_eq!(cut.tokens, whole.tokens);
            assert!((cut.loss - whole.loss).abs() < 0.02, "{cut:?}, {whole:?}");
        }
    }

    #[test]
    fn the_cheaper_way_of_sharing_is_taken() {
        let pair = |own: u32, own_len: usize| DpoPair {
            prompt: [vec![9; 10], vec![own; own_len]].concat(),
            chosen: vec![1, 2],
            rejected: vec![3, 2],
        };
        let short = [pair(4, 3), pair(5, 3), pair(6, 3), pair(7, 3)];
        assert_eq!(common(&short, 4), 10);
        assert_eq!(common(&short, 1), 0, "alone, a pair shares its prompt");
        let long = [pair(4, 30), pair(5, 30), pair(6, 30)];
        assert_eq!(common(&long, 3), 0);
        let same = [pair(4, 3), pair(4, 3), pair(4, 3)];
        assert_eq!(common(&same, 3), 12, "a row of its own is left");
    }

    #[test]
    fn both_ways_of_sharing_learn_the_same() {
        let model = testing::model();
        let pool = Pool::new(2);
        let spec = spec();
        let losses = [0, 3].map(|common| {
            let mut run = Dpo::new(&model, &pool, pairs(&model, 8), &spec).expect("sound");
            assert!(run.common > 3);
            run.common = common;
            std::iter::from_fn(|| run.step().expect("it goes on"))
                .map(|step| step.loss)
                .collect::<Vec<_>>()
        });
        assert_eq!(losses[0].len(), 12);
        for (a, b) in losses[0].iter().zip(&losses[1]) {
            assert!((a - b).abs() < 0.02, "{losses:?}");
        }
    }

    #[test]
    fn answers_end_and_pairs_over_the_cutoff_are_left_out() {
        let (model, pool) = (testing::model(), Pool::new(1));
        let mut all = pairs(&model, 3);
        assert!(all.iter().all(|pair| pair.chosen.ends_with(&[2])));
        all[1].prompt = vec![5; 400];
        let cut = DpoSpec {
            tokens_max: 200,
            ..spec()
        };
        let run = Dpo::new(&model, &pool, all.clone(), &cut).expect("two are left");
        assert_eq!((run.over_long(), run.pairs.len()), (1, 2));
        let none = DpoSpec {
            tokens_max: 3,
            ..spec()
        };
        let error = Dpo::new(&model, &pool, all, &none)
            .err()
            .expect("none is left");
        assert!(error.to_string().contains("all 3 pairs"), "{error}");
        assert_eq!(error.code(), "tune-nothing-to-learn");
    }
}
