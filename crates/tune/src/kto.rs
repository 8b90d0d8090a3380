//! Learning from answers that were judged one by one (KTO, Ethayarajh et al. 2024, arXiv 2402.01306).
//!
//! ```text
//! r  = log π(answer) − log ref(answer)         z = mean over the step of log π(y′) − log ref(y′), at least 0
//! loss of a wanted answer    w₊ · (1 − σ(β · (r − z)))
//! loss of an unwanted one    w₋ · (1 − σ(β · (z − r)))
//! ```
//! y′ is the answer of the next record of the step, put after this record's prompt; z has no
//! gradient. A step of one record has no other answer and z = 0. The reference is what the adapter
//! starts as; what it says of an answer is remembered. The loop is [`crate::learn`]'s.

use std::path::Path;

use lathe_engine::train::Trainer;
use lathe_engine::{Adapter, Model, Tokenizer};
use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_kernel::Pool;

use crate::TuneError;
use crate::answers::{self, Answers, identify, split};
use crate::learner::{Account, Learner, Measured};
use crate::sft::{digest, identify_model};
use crate::spec::SftSpec;

/// One judged answer as tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedAnswer {
    /// The record's id.
    pub id: String,
    /// What the record is committed to by.
    pub leaf: Digest,
    /// What the answer follows.
    pub prompt: Vec<u32>,
    /// The answer and the token that ends it.
    pub answer: Vec<u32>,
    /// Whether it is wanted.
    pub wanted: bool,
}

impl JudgedAnswer {
    /// Tokenises a rendered prompt and the text of an answer, which `end` ends.
    ///
    /// # Errors
    /// [`TuneError::Boundary`] when the prompt's tokens change where the answer follows.
    pub fn encode(
        tokenizer: &Tokenizer,
        end: u32,
        id: &str,
        prompt: &str,
        (answer, wanted): (&str, bool),
    ) -> Result<Self, TuneError> {
        let verdict = if wanted { "wanted" } else { "unwanted" };
        let leaf = Digest::of([prompt, answer, verdict].join("\0").as_bytes());
        let (prompt, [answer]) = split(tokenizer, end, id, prompt, [answer])?;
        Ok(Self {
            id: id.to_owned(),
            leaf,
            prompt,
            answer,
            wanted,
        })
    }
}

impl Answers for JudgedAnswer {
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
        vec![&self.answer]
    }
}

/// The constants of the loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KtoSpec {
    /// β: how dear it is to leave the reference.
    pub beta: f64,
    /// w₊, what a wanted answer counts.
    pub wanted_weight: f64,
    /// w₋, what an unwanted answer counts.
    pub unwanted_weight: f64,
}

impl Default for KtoSpec {
    fn default() -> Self {
        Self {
            beta: 0.1,
            wanted_weight: 1.0,
            unwanted_weight: 1.0,
        }
    }
}

impl KtoSpec {
    fn check(&self) -> Result<(), TuneError> {
        let positive = |value: f64| value.is_finite() && value > 0.0;
        let rules = [
            ("beta", self.beta),
            ("wanted_weight", self.wanted_weight),
            ("unwanted_weight", self.unwanted_weight),
        ];
        match rules.iter().find(|(_, value)| !positive(*value)) {
            None => Ok(()),
            Some((key, _)) => Err(TuneError::Spec {
                stage: "kto",
                key,
                reason: "must be positive".to_owned(),
            }),
        }
    }

    /// The loss of an answer with the log ratio `ratio`, and its slope by that.
    fn loss(&self, ratio: f64, drift: f64, wanted: bool) -> (f64, f64) {
        let (sign, weight) = match wanted {
            true => (1.0, self.wanted_weight),
            false => (-1.0, self.unwanted_weight),
        };
        let sigma = 1.0 / (1.0 + (-self.beta * sign * (ratio - drift)).exp());
        let slope = -weight * self.beta * sign * sigma * (1.0 - sigma);
        (weight * (1.0 - sigma), slope)
    }
}

/// An adapter that learns from judged answers.
pub struct Kto<'a> {
    model: &'a Model,
    trainer: Trainer<'a>,
    pool: &'a Pool,
    spec: KtoSpec,
    rows_max: usize,
    records: Vec<JudgedAnswer>,
    over_long: Vec<String>,
    common: usize,
    /// Log probabilities under the reference, of the answers met so far.
    references: Vec<Option<f64>>,
    reference: Option<Adapter>,
    start: Digest,
    adapter: Adapter,
}

impl<'a> Kto<'a> {
    /// An adapter of a model loaded as trainable, as it starts: `start`, or a fresh one. Answers over
    /// the cutoff are left out.
    ///
    /// # Errors
    /// When a constant cannot be used, no answer is left, or all are judged alike.
    pub fn new(
        (model, start): (&'a Model, Option<&Adapter>),
        pool: &'a Pool,
        records: Vec<JudgedAnswer>,
        (spec, kto): (&SftSpec, KtoSpec),
    ) -> Result<Self, TuneError> {
        spec.check()?;
        kto.check()?;
        let given = records.len();
        let (records, over_long) = answers::within(records, spec.tokens_max);
        if records.is_empty() {
            return Err(TuneError::NoPairs {
                pairs: given,
                tokens_max: spec.tokens_max,
            });
        }
        let wanted = records.iter().filter(|it| it.wanted).count();
        if wanted == 0 || wanted == records.len() {
            return Err(TuneError::OneSided {
                answers: records.len(),
                wanted: wanted > 0,
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
            spec: kto,
            rows_max: spec.rows_max,
            references: vec![None; records.len()],
            common: answers::common(&records, spec.batch_records),
            records,
            over_long,
            reference: start.cloned(),
            start: digest(&adapter.values),
            adapter,
        })
    }

    /// z: how far the adapter has drifted from the reference, by answers to other prompts.
    fn drift(&mut self, records: &[usize]) -> f64 {
        if records.len() < 2 {
            return 0.0;
        }
        let others = records.iter().cycle().skip(1);
        let crossed: Vec<JudgedAnswer> = records
            .iter()
            .zip(others)
            .map(|(&at, &other)| JudgedAnswer {
                answer: self.records[other].answer.clone(),
                ..self.records[at].clone()
            })
            .collect();
        let all: Vec<usize> = (0..crossed.len()).collect();
        let mut sum = 0.0;
        for part in answers::parts(&crossed, &all, self.common, self.rows_max) {
            let batch = answers::batch(&crossed, part, self.common);
            let policy = self.trainer.answer_log_probs(Some(&self.adapter), &batch);
            let reference = self.reference.as_ref();
            let reference = self.trainer.answer_log_probs(reference, &batch);
            sum += policy.iter().sum::<f64>() - reference.iter().sum::<f64>();
        }
        (sum / records.len() as f64).max(0.0)
    }

    /// What the reference says of the answers of a part.
    fn references(&mut self, part: &[usize]) -> Vec<f64> {
        if part.iter().any(|&at| self.references[at].is_none()) {
            let batch = answers::batch(&self.records, part, self.common);
            let found = self
                .trainer
                .answer_log_probs(self.reference.as_ref(), &batch);
            for (&at, found) in part.iter().zip(found) {
                self.references[at] = Some(found);
            }
        }
        let known = part.iter().map(|&at| self.references[at]);
        known.map(|it| it.expect("asked for above")).collect()
    }
}

impl Learner for Kto<'_> {
    fn stage(&self) -> &'static str {
        "kto"
    }

    fn pool(&self) -> &Pool {
        self.pool
    }

    fn model(&self) -> &Model {
        self.model
    }

    fn records(&self) -> usize {
        self.records.len()
    }

    fn leaf(&self, record: usize) -> Digest {
        self.records[record].leaf
    }

    fn identify(&self, hasher: &mut Hasher) {
        identify_model(hasher, self.model);
        identify(hasher, &self.records);
        let verdicts: Vec<u8> = self.records.iter().map(|it| it.wanted.into()).collect();
        hasher.update(&verdicts);
        let KtoSpec {
            beta,
            wanted_weight,
            unwanted_weight,
        } = self.spec;
        for constant in [beta, wanted_weight, unwanted_weight] {
            hasher.update(&constant.to_le_bytes());
        }
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
        let drift = self.drift(records);
        let (mut loss, mut preferred, mut tokens) = (0.0, 0, 0);
        for part in answers::parts(&self.records, records, self.common, self.rows_max) {
            let references = self.references(part);
            let batch = answers::batch(&self.records, part, self.common);
            tokens += batch.batch.tokens.len() as u64;
            let (spec, all) = (self.spec, &self.records);
            let mut slopes = |policy: &[f64]| -> Vec<f64> {
                let ratios = policy.iter().zip(&references).map(|(a, b)| a - b);
                let judged = part.iter().zip(ratios);
                judged
                    .map(|(&at, ratio)| {
                        let wanted = all[at].wanted;
                        let (of_one, slope) = spec.loss(ratio, drift, wanted);
                        loss += scale * of_one;
                        preferred += usize::from((ratio > drift) == wanted);
                        scale * slope
                    })
                    .collect()
            };
            self.trainer
                .answer_gradients(&self.adapter, &batch, &mut slopes, gradients);
        }
        Measured {
            loss,
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
            tokens: answers::tokens(&self.records),
            prefix_tokens: self.common,
            over_long: self.over_long.clone(),
            unanswered: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Whole};
    use lathe_engine::model::LoadOptions;
    use lathe_engine::safetensors::parse;
    use lathe_kernel::Precision;

    fn answers(model: &Model, count: usize) -> Vec<JudgedAnswer> {
        let answer = |at: usize| {
            let prompt = format!("The camera is great, number {at}.\n");
            let judged = [("{\"feeling\": 2.5}", true), ("{\"feeling\": -1.5}", false)][at % 2];
            let id = at.to_string();
            JudgedAnswer::encode(&model.tokenizer, 2, &id, &prompt, judged).expect("cut there")
        };
        (0..count).map(answer).collect()
    }

    fn spec() -> SftSpec {
        SftSpec {
            rank: 4,
            alpha: 8.0,
            learning_rate: 1e-2,
            epochs: 8.0,
            batch_records: 4,
            checkpoint_steps: 5,
            ..SftSpec::default()
        }
    }

    fn kto<'a>(model: &'a Model, pool: &'a Pool, spec: &SftSpec) -> Kto<'a> {
        let records = answers(model, 10);
        Kto::new((model, None), pool, records, (spec, KtoSpec::default())).expect("sound")
    }

    #[test]
    fn wanted_answers_become_likelier_and_the_others_less_likely() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        let mut run = kto(&model, &pool, &spec);
        let whole = Whole::of(&mut run, &spec);
        assert!((whole.losses[0] - 0.5).abs() < 1e-3, "{:?}", whole.losses);
        // A last step of two records may hold one kind alone, whose loss the drift makes large.
        let last: f64 = whole.losses[whole.losses.len() - 8..].iter().sum();
        assert!(last / 8.0 < 0.3, "{:?}", whole.losses);
        let all: Vec<usize> = (0..10).collect();
        let mut gradients = vec![0.0; run.values().len()];
        let last = run.gradients(&all, &mut gradients);
        assert!(last.preferred >= Some(0.8), "{last:?}");
    }

    #[test]
    fn stopped_after_any_step_it_ends_with_the_same_bits() {
        let (model, pool, spec) = (testing::model(), Pool::new(2), spec());
        Whole::stopped_anywhere(&spec, &mut || kto(&model, &pool, &spec));
    }

    #[test]
    fn slopes_are_those_of_the_loss() {
        let spec = KtoSpec {
            beta: 0.3,
            wanted_weight: 1.5,
            unwanted_weight: 0.5,
        };
        for (ratio, drift, wanted) in [(0.4, 0.1, true), (-2.0, 0.0, true), (1.0, 0.7, false)] {
            let step = 1e-5;
            let at = |ratio| spec.loss(ratio, drift, wanted).0;
            let slope = (at(ratio + step) - at(ratio - step)) / (2.0 * step);
            assert!((slope - spec.loss(ratio, drift, wanted).1).abs() < 1e-8);
        }
    }

    /// Against TRL; `tests/reference/make_kto_vectors.py` says how.
    #[test]
    fn loss_and_gradients_are_trls() {
        let file = testing::repository_file("tests/reference/kto-vectors.safetensors");
        let bytes = std::fs::read(file).expect("the vectors are committed");
        let entries = parse(&bytes).expect("sound");
        let tensor = |name: &str| entries[name].values(&bytes, name).expect("numbers");
        let whole = |name: String| -> Vec<u32> {
            let entry = &entries[&name];
            let words = bytes[entry.bytes.clone()].as_chunks::<4>().0.iter();
            words.map(|word| u32::from_le_bytes(*word)).collect()
        };
        let wanted = whole("wanted".to_owned());
        let record = |(at, wanted): (usize, &u32)| JudgedAnswer {
            id: at.to_string(),
            leaf: Digest::of(&[at as u8]),
            prompt: whole(format!("prompt.{at}")),
            answer: whole(format!("answer.{at}")),
            wanted: *wanted == 1,
        };
        let records = wanted.iter().enumerate().map(record).collect();
        let options = LoadOptions {
            trainable: true,
            precision: Precision::F32,
            ..LoadOptions::default()
        };
        let model = Model::load(&testing::model_path(), options).expect("loads");
        let (pool, spec) = (Pool::new(2), spec());
        let kto = KtoSpec {
            beta: 0.3,
            wanted_weight: 1.0,
            unwanted_weight: 1.5,
        };
        let mut run = Kto::new((&model, None), &pool, records, (&spec, kto)).expect("sound");
        let tensors = run.adapter.tensors.clone();
        let flat = |kind: &str| -> Vec<f32> {
            let named = tensors.iter().map(|it| format!("{kind}.model.{}", it.name));
            named.flat_map(|name| tensor(&name)).collect()
        };
        run.adapter.values = flat("adapter");
        let mut found = vec![0.0; run.adapter.values.len()];
        let measured = run.gradients(&[0, 1, 2, 3], &mut found);
        let near = |found: f64, expected: f64| (found - expected).abs() < 1e-5 * (1.0 + expected);
        let drift = run.drift(&[0, 1, 2, 3]);
        assert!(
            near(drift, f64::from(tensor("drift")[0])) && drift > 0.0,
            "{drift}"
        );
        let loss = f64::from(tensor("loss")[0]);
        assert!(near(measured.loss, loss), "{} and {loss}", measured.loss);
        let expected = flat("gradient");
        let square = |values: &mut dyn Iterator<Item = f32>| values.map(|it| it * it).sum::<f32>();
        let apart = square(&mut found.iter().zip(&expected).map(|(a, b)| a - b));
        let error = (apart / square(&mut expected.iter().copied())).sqrt();
        assert!(error < 1e-4, "gradients off by {error}");
    }

    #[test]
    fn answers_that_are_all_judged_alike_are_refused() {
        let (model, pool) = (testing::model(), Pool::new(1));
        let mut all = answers(&model, 4);
        all.iter_mut().for_each(|it| it.wanted = true);
        let error = Kto::new((&model, None), &pool, all, (&spec(), KtoSpec::default()));
        let error = error.err().expect("nothing to tell apart");
        assert!(error.to_string().contains("all 4"), "{error}");
    }
}
