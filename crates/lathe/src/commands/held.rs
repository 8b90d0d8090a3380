//! What is held back and how a model does on it, on the way and at the end.

use std::collections::BTreeSet;
use std::path::Path;

use lathe_engine::{
    Adapter, AnswerBatch, GenerateSpec, LossSum, Model, PackedAdapter, Trainer, generate_greedy,
};
use lathe_kernel::Pool;
use lathe_tune::TuneError;
use lathe_tune::batching::micro_batches;
use lathe_tune::dpo::DpoPair;
use lathe_tune::kto::JudgedAnswer;
use lathe_tune::pack::Packed;
use lathe_tune::recipe::answer::Reading;
use lathe_tune::recipe::lesson;
use lathe_tune::recipe::table::{Asker, Question};
use serde_json::{Value, json};

use super::eval;
use super::eval::scored::Scored;
use crate::bars::over_records;
use crate::fail::Failure;

/// Records that are not learnt from.
pub enum Held {
    /// None.
    Nothing,
    /// Questions whose answer is a choice or a number.
    Questions(Box<Reading>, Vec<Question>),
    /// Conversations or texts.
    Rows(Packed),
    /// Pairs of answers.
    Pairs(Vec<DpoPair>),
    /// Judged answers.
    Judged(Vec<JudgedAnswer>),
}

impl Held {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Held::Nothing => 0,
            Held::Questions(_, questions) => questions.len(),
            Held::Rows(rows) => rows.rows.len(),
            Held::Pairs(pairs) => pairs.len(),
            Held::Judged(answers) => answers.len(),
        }
    }

    /// Whether a larger metric is a better one.
    pub fn higher(&self) -> bool {
        !matches!(self, Held::Rows(_))
    }

    /// The metric of a model as it is tuned: the loss of rows, the accuracy of choices (the macro-F1
    /// where several may be right), r of numbers, the share of answers told apart rightly.
    pub fn metric(
        &self,
        (model, adapter): (&Model, Option<&Adapter>),
        pool: &Pool,
        reference: Option<&Adapter>,
    ) -> Result<f64, TuneError> {
        match self {
            Held::Nothing => Ok(f64::NAN),
            Held::Rows(rows) => Ok(lesson::loss(model, pool, adapter, rows, ROWS_MAX)),
            Held::Questions(reading, questions) => {
                let adapter = adapter.map(|adapter| PackedAdapter::new(model, adapter));
                let asker = Asker::new(model, reading)?;
                let prompts = questions.iter().map(|it| asker.prompt(&it.text));
                let prompts = prompts.collect::<Result<Vec<_>, _>>()?;
                let choices = &reading.choices;
                let rows =
                    choices.probabilities(model, pool, adapter.as_ref(), &prompts, &mut |_| ());
                eval::one_metric(reading, &eval::answered(rows, questions))
            }
            Held::Pairs(_) | Held::Judged(_) => {
                let outcomes = self.outcomes((model, adapter), pool, reference);
                Ok(Outcome::mean(outcomes.into_iter()))
            }
        }
    }

    /// What each record adds to the metric, where this is a mean; none of questions, whose metrics
    /// are not.
    pub fn outcomes(
        &self,
        (model, adapter): (&Model, Option<&Adapter>),
        pool: &Pool,
        reference: Option<&Adapter>,
    ) -> Vec<Outcome> {
        match self {
            Held::Nothing | Held::Questions(..) => Vec::new(),
            Held::Rows(packed) => {
                let mut trainer = Trainer::new(model, pool);
                let mut loss = |at: usize| {
                    let mut sum = LossSum::default();
                    for batch in micro_batches(packed, &[at], ROWS_MAX) {
                        sum += trainer.loss(adapter, &batch);
                    }
                    Outcome {
                        sum: sum.loss,
                        weight: sum.weight,
                    }
                };
                (0..packed.rows.len()).map(&mut loss).collect()
            }
            Held::Pairs(pairs) => {
                let put = |pair: &DpoPair, batch: &mut AnswerBatch| {
                    batch.push(&pair.prompt, &[&pair.chosen, &pair.rejected]);
                };
                let ratios = ratios(model, pool, (adapter, reference), pairs, &put);
                let both = ratios.as_chunks::<2>().0.iter();
                both.map(|it| Outcome::hit(it[0] > it[1])).collect()
            }
            Held::Judged(answers) => {
                let put = |it: &JudgedAnswer, batch: &mut AnswerBatch| {
                    batch.push(&it.prompt, &[&it.answer]);
                };
                let ratios = ratios(model, pool, (adapter, reference), answers, &put);
                let judged = ratios.iter().zip(answers);
                judged
                    .map(|(ratio, it)| Outcome::hit((*ratio > 0.0) == it.wanted))
                    .collect()
            }
        }
    }

    /// An object of the metric and how many records it is of.
    pub fn metrics(
        &self,
        tuned: (&Model, Option<&Adapter>),
        pool: &Pool,
        reference: Option<&Adapter>,
    ) -> Result<Value, TuneError> {
        let metric = self.metric(tuned, pool, reference)?;
        let mut metrics = json!({ "records": self.len() });
        metrics[self.name()] = json!(metric);
        if matches!(self, Held::Rows(_)) {
            metrics["perplexity"] = json!(metric.exp());
        }
        Ok(metrics)
    }

    /// The name of [`Held::metric`].
    pub fn name(&self) -> &'static str {
        match self {
            Held::Nothing => "none",
            Held::Rows(_) => "eval_loss",
            Held::Questions(reading, _) => eval::name_of(reading),
            Held::Pairs(_) => "preferred",
            Held::Judged(_) => "judged_rightly",
        }
    }
}

/// What a record adds to a mean.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// The value times its weight.
    pub sum: f64,
    /// How much it weighs.
    pub weight: f64,
}

impl Outcome {
    /// One that is right or wrong.
    pub fn hit(right: bool) -> Outcome {
        Outcome {
            sum: f64::from(u8::from(right)),
            weight: 1.0,
        }
    }

    /// The mean; not a number of none.
    pub fn mean(outcomes: impl Iterator<Item = Outcome>) -> f64 {
        let (sum, weight) =
            outcomes.fold((0.0, 0.0), |all, it| (all.0 + it.sum, all.1 + it.weight));
        sum / weight
    }
}

/// Lets the model answer what stands before the last answer of each row: whether it says the same,
/// token for token.
///
/// # Errors
/// `eval-answers` for rows that are supervised from their beginning on.
pub fn word_for_word(
    (model, adapter): (&Model, Option<&Adapter>),
    pool: &Pool,
    packed: &Packed,
) -> Result<Vec<Outcome>, Failure> {
    let (mut prompts, mut wanted) = (Vec::new(), Vec::new());
    for row in packed.rows.iter() {
        let end = row.weights.iter().rposition(|&weight| weight > 0.0);
        let end = end.map_or(0, |at| at + 1);
        let start = row.weights[..end].iter().rposition(|&weight| weight == 0.0);
        // The first token of a row is never supervised: a text that is learnt whole starts there.
        let start = start.filter(|&at| at > 0).map(|at| at + 1);
        let start = start.ok_or_else(|| {
            let text = format!("row {} has no prompt before its answer", row.id);
            let next = "leave --answers out, or set train_on_prompt=false with stage: sft";
            Failure::new("eval-answers", text, next)
        })?;
        prompts.push(row.tokens[..start].to_vec());
        wanted.push(row.tokens[start..end].to_vec());
    }
    let ends: BTreeSet<u32> = wanted.iter().filter_map(|it| it.last().copied()).collect();
    let ends: BTreeSet<u32> = ends.into_iter().chain(model.config.eos.clone()).collect();
    let spec = GenerateSpec {
        tokens_max: wanted.iter().map(Vec::len).max().unwrap_or(0),
        stop: ends.iter().copied().collect(),
        batch_max: ANSWERS_AT_ONCE,
    };
    let adapter = adapter.map(|adapter| PackedAdapter::new(model, adapter));
    let answers = over_records("eval", prompts.len(), |show| {
        generate_greedy(model, pool, adapter.as_ref(), &prompts, &spec, show)
    });
    let is_same = |(answer, wanted): (Vec<u32>, &Vec<u32>)| {
        let ended = wanted.last().is_some_and(|last| ends.contains(last));
        let wanted = &wanted[..wanted.len() - usize::from(ended)];
        Outcome::hit(answer == wanted)
    };
    Ok(answers.into_iter().zip(&wanted).map(is_same).collect())
}

/// Answers that are generated together.
const ANSWERS_AT_ONCE: usize = 16;
/// Most token rows computed at once.
const ROWS_MAX: usize = 1024;

/// How much likelier each answer is under the adapter than under the reference, in nats.
fn ratios<T>(
    model: &Model,
    pool: &Pool,
    (adapter, reference): (Option<&Adapter>, Option<&Adapter>),
    records: &[T],
    put: &dyn Fn(&T, &mut AnswerBatch),
) -> Vec<f64> {
    let mut trainer = Trainer::new(model, pool);
    let mut ratios = Vec::new();
    for record in records {
        let mut batch = AnswerBatch::default();
        put(record, &mut batch);
        let policy = trainer.answer_log_probs(adapter, &batch);
        let reference = trainer.answer_log_probs(reference, &batch);
        ratios.extend(policy.iter().zip(reference).map(|(a, b)| a - b));
    }
    ratios
}

/// How the model in `folder` does in the arithmetic that it answers in, over `base`; thresholds are
/// set on these records and kept there.
pub fn measure_choices(
    base: &Path,
    folder: Option<&Path>,
    (reading, questions): (&Reading, &[Question]),
    pool: &Pool,
    accuracy: f64,
) -> Result<(Reading, Value), Failure> {
    let mut kept = reading.clone();
    if questions.is_empty() {
        return Ok((kept, Value::Null));
    }
    let asked = eval::Asked::open(base, folder, reading, pool)?;
    let answers = asked.answer(questions)?;
    eval::set_thresholds(&mut kept, &answers, accuracy);
    let mut metrics = Scored::Choices(Box::new(kept.clone()), answers).metrics()?;
    if kept.thresholds.is_some() || kept.assured.is_some() {
        metrics["thresholds"] = json!("set on these records: measure on others");
    }
    Ok((kept, metrics))
}
