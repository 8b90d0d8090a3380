//! Predictions beside their truths, ready for counting.

use std::collections::{BTreeMap, HashMap};

use lathe_data::prepare::Sealed;
use lathe_data::task::{Answer, ChatForm, Task};

use crate::EvalError;
use crate::likelihood::{Likelihood, answer_logprob, preference_margin};
use crate::metrics::{
    ANSWER_LOGPROB, MACRO_F1, PEARSON_R, PREFERENCE_MARGIN, VALID_JSON, macro_f1, pearson_r, share,
};
use crate::predictions::Predictions;

/// One prediction beside its truth. Classes are numbers below [`Truths::classes`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Row {
    /// Index of the record in the test split.
    pub record: usize,
    pub valid: bool,
    /// True and predicted number.
    pub number: Option<(f64, f64)>,
    /// True and predicted class.
    pub class: Option<(usize, usize)>,
    /// How likely the record's answer is, where answers are free words.
    pub likelihood: Option<Likelihood>,
}

/// The truths of the test split.
pub(crate) struct Truths {
    answers: Vec<Answer>,
    by_id: HashMap<String, usize>,
    classes: Vec<String>,
    has_number: bool,
    has_class: bool,
    chat: Option<ChatForm>,
}

impl Truths {
    /// Whether both expect the same of every record, in the same classes.
    pub fn same_as(&self, other: &Truths) -> bool {
        self.answers == other.answers
            && self.classes == other.classes
            && (self.has_number, self.has_class) == (other.has_number, other.has_class)
            && self.chat == other.chat
    }

    /// Reads the truths of `records`.
    pub fn of(task: &Task, records: &[Sealed]) -> Result<Self, EvalError> {
        let targets = &task.spec().targets;
        let answers: Vec<Answer> = records
            .iter()
            .map(|sealed| task.truth(&sealed.record))
            .collect::<Result<_, _>>()?;
        let place = |(index, sealed): (usize, &Sealed)| (sealed.record.id.clone(), index);
        Ok(Self {
            answers,
            by_id: records.iter().enumerate().map(place).collect(),
            classes: task.classes(),
            has_number: targets.number.is_some(),
            has_class: targets.class.is_some(),
            chat: task.spec().chat,
        })
    }

    /// The metric that ranks challengers: the number's where there is one.
    pub fn primary(&self) -> Result<&'static str, EvalError> {
        match self.chat {
            Some(ChatForm::Messages) => return Ok(ANSWER_LOGPROB),
            Some(ChatForm::Preference) => return Ok(PREFERENCE_MARGIN),
            None => {}
        }
        match (self.has_number, self.has_class) {
            (true, _) => Ok(PEARSON_R),
            (false, true) => Ok(MACRO_F1),
            (false, false) => Err(EvalError::NoTarget),
        }
    }

    /// The predictions beside their truths, in the order of the test split.
    pub fn rows(&mut self, predictions: &Predictions) -> Result<Vec<Row>, EvalError> {
        let mismatch = |reason: String| EvalError::Mismatch {
            subject: predictions.name.clone(),
            reason,
        };
        let mut rows = Vec::with_capacity(predictions.lines.len());
        for line in &predictions.lines {
            let Some(&record) = self.by_id.get(&line.id) else {
                return Err(mismatch(format!("record {} is not among them", line.id)));
            };
            let truth = self.answers[record].clone();
            let number = match (truth.number, line.number) {
                _ if !self.has_number => None,
                (Some(truth), Some(found)) if found.is_finite() => Some((truth, found)),
                _ => return Err(mismatch(format!("record {} lacks a number", line.id))),
            };
            let class = match (truth.class, line.class.clone()) {
                _ if !self.has_class => None,
                (Some(truth), Some(found)) => Some((self.class(truth), self.class(found))),
                _ => return Err(mismatch(format!("record {} lacks a class", line.id))),
            };
            let likelihood = line.likelihood;
            if self.chat.is_some() && !likelihood.is_some_and(|it| it.log_prob.is_finite()) {
                return Err(mismatch(format!("record {} lacks a likelihood", line.id)));
            }
            rows.push(Row {
                likelihood,
                record,
                valid: line.valid,
                number,
                class,
            });
        }
        rows.sort_by_key(|row| row.record);
        if let Some(pair) = rows
            .windows(2)
            .find(|pair| pair[0].record == pair[1].record)
        {
            return Err(mismatch(format!(
                "test record {} is answered twice",
                pair[0].record
            )));
        }
        Ok(rows)
    }

    /// Every metric of some rows.
    pub fn metrics<'a>(
        &self,
        rows: impl Iterator<Item = &'a Row> + Clone,
    ) -> BTreeMap<&'static str, f64> {
        let mut metrics = BTreeMap::new();
        if let Some(form) = self.chat {
            let all = || rows.clone().filter_map(|row| row.likelihood.as_ref());
            metrics.insert(ANSWER_LOGPROB, answer_logprob(all()));
            if form == ChatForm::Preference {
                metrics.insert(PREFERENCE_MARGIN, preference_margin(all()));
            }
            return metrics;
        }
        metrics.insert(VALID_JSON, share(rows.clone().map(|row| row.valid)));
        if self.has_number {
            metrics.insert(
                PEARSON_R,
                pearson_r(rows.clone().filter_map(|row| row.number)),
            );
        }
        if self.has_class {
            let pairs = rows.filter_map(|row| row.class);
            metrics.insert(MACRO_F1, macro_f1(pairs, self.classes.len()));
        }
        metrics
    }

    /// The number of a class; one that the task does not list gets the next.
    fn class(&mut self, name: String) -> usize {
        let known = self.classes.iter().position(|class| *class == name);
        known.unwrap_or_else(|| {
            self.classes.push(name);
            self.classes.len() - 1
        })
    }
}
