//! What is held back and how a model does on it, on the way and at the end.

use std::path::Path;

use lathe_engine::{Adapter, AnswerBatch, Model, PackedAdapter, Trainer};
use lathe_kernel::Pool;
use lathe_tune::TuneError;
use lathe_tune::dpo::DpoPair;
use lathe_tune::kto::JudgedAnswer;
use lathe_tune::pack::Packed;
use lathe_tune::recipe::answer::Reading;
use lathe_tune::recipe::lesson;
use lathe_tune::recipe::table::{Asker, Question};
use serde_json::{Value, json};

use super::eval;
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
            Held::Pairs(pairs) => {
                let put = |pair: &DpoPair, batch: &mut AnswerBatch| {
                    batch.push(&pair.prompt, &[&pair.chosen, &pair.rejected]);
                };
                let ratios = ratios(model, pool, (adapter, reference), pairs, &put);
                let ahead = ratios.as_chunks::<2>().0.iter().filter(|it| it[0] > it[1]);
                Ok(ahead.count() as f64 / pairs.len() as f64)
            }
            Held::Judged(answers) => {
                let put = |it: &JudgedAnswer, batch: &mut AnswerBatch| {
                    batch.push(&it.prompt, &[&it.answer]);
                };
                let ratios = ratios(model, pool, (adapter, reference), answers, &put);
                let judged = ratios.iter().zip(answers);
                let right = judged.filter(|(ratio, it)| (**ratio > 0.0) == it.wanted);
                Ok(right.count() as f64 / answers.len() as f64)
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
    let mut metrics = eval::metrics(&kept, &answers)?;
    if kept.thresholds.is_some() || kept.assured.is_some() {
        metrics["thresholds"] = json!("set on these records: measure on others");
    }
    Ok((kept, metrics))
}
