//! The linear challenger: ridge regression on TF-IDF n-grams, fitted on the tuned model's own
//! training split in a second or two.
//!
//! A number target is regressed directly and kept inside the range seen in training. A class target
//! is decided one against the rest, each class regressed on ±1. The penalty is chosen per target on
//! an inner split of the training records by group, never on the test records.

use lathe_data::prepare::Sealed;
use lathe_data::task::{Answer, Task};
use lathe_engine::random::Random;
use lathe_evidence::report::Role;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::ridge::Ridge;
use super::tfidf::{Sparse, Tfidf};
use crate::EvalError;
use crate::metrics::{macro_f1, pearson_r};
use crate::predictions::{Prediction, Predictions};

/// Share of the training groups that the penalty is chosen on.
const INNER_SHARE: f64 = 0.2;

/// The linear challenger in a pack.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LinearNgramsSpec {
    /// Its name in the report.
    pub name: String,
    /// The record field it reads; the task's input field if absent.
    pub text: Option<String>,
    /// The penalties tried.
    pub penalties: Vec<f64>,
    /// Seed of the inner split.
    pub seed: u64,
}

impl Default for LinearNgramsSpec {
    fn default() -> Self {
        Self {
            name: "linear_ngrams".to_owned(),
            text: None,
            penalties: vec![0.3, 1.0, 3.0, 10.0],
            seed: 1,
        }
    }
}

impl LinearNgramsSpec {
    pub(crate) fn check(&self) -> Result<(), EvalError> {
        let sound = |penalty: &f64| penalty.is_finite() && *penalty > 0.0;
        if self.penalties.is_empty() || !self.penalties.iter().all(sound) {
            let key = format!("challengers.{}", self.name);
            let reason = "penalties must be positive numbers, at least one".to_owned();
            return Err(EvalError::Spec { key, reason });
        }
        Ok(())
    }
}

/// Fits the challenger on `train` and lets it answer `test`.
///
/// # Errors
/// A text field that a record lacks, a truth that cannot be read, a task without targets.
pub fn run_linear_ngrams(
    task: &Task,
    train: &[Sealed],
    test: &[Sealed],
    spec: &LinearNgramsSpec,
) -> Result<Predictions, EvalError> {
    let field = spec.text.as_deref().unwrap_or(&task.spec().input);
    let texts = |records: &[Sealed]| -> Result<Vec<String>, EvalError> {
        records
            .iter()
            .map(|sealed| text_of(sealed, field, &spec.name))
            .collect()
    };
    let train_texts = texts(train)?;
    let groups: Vec<&str> = train
        .iter()
        .map(|sealed| sealed.record.group.as_str())
        .collect();
    let truths: Vec<Answer> = train
        .iter()
        .map(|sealed| task.truth(&sealed.record))
        .collect::<Result<_, _>>()?;
    let model = LinearNgrams::fit(&train_texts, &groups, &truths, spec)?;
    let lines = test.iter().zip(texts(test)?).map(|(sealed, text)| {
        let answer = model.predict(&text);
        Prediction {
            id: sealed.record.id.clone(),
            output: answer_text(&answer),
            valid: true,
            number: answer.number,
            class: answer.class,
            likelihood: None,
        }
    });
    Ok(Predictions {
        role: Role::Challenger,
        name: spec.name.clone(),
        note: format!("ridge regression on word and character n-grams of {field}"),
        lines: lines.collect(),
    })
}

fn text_of(sealed: &Sealed, field: &str, name: &str) -> Result<String, EvalError> {
    match sealed.record.fields.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        _ => Err(EvalError::Spec {
            key: format!("challengers.{name}"),
            reason: format!(
                "record {} has no text in field {field}; name one with `text`",
                sealed.record.id
            ),
        }),
    }
}

/// The prediction in words, for people who look at samples.
fn answer_text(answer: &Answer) -> String {
    let mut fields = Map::new();
    if let Some(number) = answer.number {
        fields.insert("number".to_owned(), json!((number * 100.0).round() / 100.0));
    }
    if let Some(class) = &answer.class {
        fields.insert("class".to_owned(), json!(class));
    }
    Value::Object(fields).to_string()
}

/// The fitted challenger.
#[derive(Clone, Debug)]
pub struct LinearNgrams {
    tfidf: Tfidf,
    number: Option<Number>,
    classes: Option<Classes>,
}

impl LinearNgrams {
    /// Fits what the truths have: a number, a class or both.
    ///
    /// # Errors
    /// [`EvalError::NoTarget`] when there is nothing to fit.
    pub fn fit(
        texts: &[String],
        groups: &[&str],
        truths: &[Answer],
        spec: &LinearNgramsSpec,
    ) -> Result<Self, EvalError> {
        let all: Vec<&str> = texts.iter().map(String::as_str).collect();
        let tfidf = Tfidf::fit(&all);
        let rows: Vec<Sparse> = all.iter().map(|text| tfidf.vector(text)).collect();
        let space = Space {
            rows: &rows,
            features: tfidf.features(),
        };
        let inner = inner_split(groups, spec.seed);
        let numbers: Option<Vec<f64>> = truths.iter().map(|truth| truth.number).collect();
        let classes: Option<Vec<&str>> =
            truths.iter().map(|truth| truth.class.as_deref()).collect();
        if truths.is_empty() || (numbers.is_none() && classes.is_none()) {
            return Err(EvalError::NoTarget);
        }
        let number = numbers.map(|numbers| Number::choose(&space, &inner, &numbers, spec));
        let classes = classes.map(|classes| Classes::choose(&space, &inner, &classes, spec));
        Ok(Self {
            tfidf,
            number,
            classes,
        })
    }

    /// The answer to a text.
    pub fn predict(&self, text: &str) -> Answer {
        let row = self.tfidf.vector(text);
        Answer {
            number: self.number.as_ref().map(|number| number.predict(&row)),
            class: self.classes.as_ref().map(|classes| {
                let index = classes.predict(&row);
                classes.names[index].clone()
            }),
        }
    }
}

/// The training texts as vectors.
struct Space<'a> {
    rows: &'a [Sparse],
    features: usize,
}

impl Space<'_> {
    /// Fits the rows with the given indices.
    fn fit(&self, indices: &[usize], target: impl Fn(usize) -> f64, penalty: f64) -> Ridge {
        let rows: Vec<Sparse> = indices
            .iter()
            .map(|&index| self.rows[index].clone())
            .collect();
        let targets: Vec<f64> = indices.iter().map(|&index| target(index)).collect();
        Ridge::fit(&rows, &targets, self.features, penalty)
    }
}

/// Indices to fit on and indices to choose the penalty on.
struct Inner {
    fit: Vec<usize>,
    choose: Vec<usize>,
}

/// Parts the records by group. With a single group both sides are all records.
fn inner_split(groups: &[&str], seed: u64) -> Inner {
    let mut names: Vec<&str> = groups.to_vec();
    names.sort_unstable();
    names.dedup();
    let mut random = Random::new(seed);
    for last in (1..names.len()).rev() {
        names.swap(last, random.below(last + 1));
    }
    let held = ((names.len() as f64 * INNER_SHARE).ceil() as usize).min(names.len() - 1);
    let mut chosen = names[..held].to_vec();
    chosen.sort_unstable();
    let is_chosen = |index: &usize| chosen.binary_search(&groups[*index]).is_ok();
    let (choose, fit): (Vec<usize>, Vec<usize>) = (0..groups.len()).partition(is_chosen);
    if choose.is_empty() {
        return Inner {
            choose: fit.clone(),
            fit,
        };
    }
    Inner { fit, choose }
}

/// The penalty with the highest score; the first on ties.
fn best_penalty(penalties: &[f64], score: impl Fn(f64) -> f64) -> f64 {
    let mut best = (penalties[0], f64::NEG_INFINITY);
    for &penalty in penalties {
        let score = score(penalty);
        if score > best.1 {
            best = (penalty, score);
        }
    }
    best.0
}

/// The number target: one regression.
#[derive(Clone, Debug)]
struct Number {
    ridge: Ridge,
    low: f64,
    high: f64,
}

impl Number {
    fn choose(space: &Space<'_>, inner: &Inner, truths: &[f64], spec: &LinearNgramsSpec) -> Self {
        let penalty = best_penalty(&spec.penalties, |penalty| {
            let number = Self::fit(space, &inner.fit, truths, penalty);
            let pair = |&index: &usize| (number.predict(&space.rows[index]), truths[index]);
            pearson_r(inner.choose.iter().map(pair))
        });
        let all: Vec<usize> = (0..truths.len()).collect();
        Self::fit(space, &all, truths, penalty)
    }

    fn fit(space: &Space<'_>, indices: &[usize], truths: &[f64], penalty: f64) -> Self {
        let low = truths.iter().copied().fold(f64::INFINITY, f64::min);
        let high = truths.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        Self {
            ridge: space.fit(indices, |index| truths[index], penalty),
            low,
            high,
        }
    }

    fn predict(&self, row: &Sparse) -> f64 {
        self.ridge.predict(row).clamp(self.low, self.high)
    }
}

/// The class target: one regression per class.
#[derive(Clone, Debug)]
struct Classes {
    names: Vec<String>,
    ridges: Vec<Ridge>,
}

impl Classes {
    fn choose(space: &Space<'_>, inner: &Inner, truths: &[&str], spec: &LinearNgramsSpec) -> Self {
        let mut names: Vec<&str> = truths.to_vec();
        names.sort_unstable();
        names.dedup();
        let number_of = |truth: &&str| names.iter().position(|name| name == truth);
        let numbers: Vec<usize> = truths.iter().filter_map(number_of).collect();
        let penalty = best_penalty(&spec.penalties, |penalty| {
            let classes = Self::fit(space, &inner.fit, &numbers, &names, penalty);
            let pair = |&index: &usize| (numbers[index], classes.predict(&space.rows[index]));
            macro_f1(inner.choose.iter().map(pair), names.len())
        });
        let all: Vec<usize> = (0..truths.len()).collect();
        Self::fit(space, &all, &numbers, &names, penalty)
    }

    fn fit(
        space: &Space<'_>,
        indices: &[usize],
        truths: &[usize],
        names: &[&str],
        penalty: f64,
    ) -> Self {
        let ridge = |class: usize| {
            space.fit(
                indices,
                |index| if truths[index] == class { 1.0 } else { -1.0 },
                penalty,
            )
        };
        Self {
            ridges: (0..names.len()).map(ridge).collect(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The class with the highest score; the first on ties.
    fn predict(&self, row: &Sparse) -> usize {
        let mut best = (0, f64::NEG_INFINITY);
        for (class, ridge) in self.ridges.iter().enumerate() {
            let score = ridge.predict(row);
            if score > best.1 {
                best = (class, score);
            }
        }
        best.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn corpus() -> (Vec<String>, Vec<String>, Vec<Answer>) {
        let good = ["great", "good", "excellent", "lovely"];
        let bad = ["poor", "bad", "terrible", "broken"];
        let things = ["camera", "phone", "player", "menu", "cable"];
        let (mut texts, mut groups, mut truths) = (Vec::new(), Vec::new(), Vec::new());
        for (index, thing) in things.iter().cycle().take(40).enumerate() {
            let (word, number, class) = match index % 2 {
                0 => (good[index / 2 % 4], 2.0, "positive"),
                _ => (bad[index / 2 % 4], -2.0, "negative"),
            };
            texts.push(format!("this {thing} is {word}"));
            groups.push((index / 4).to_string());
            truths.push(Answer {
                number: Some(number),
                class: Some(class.to_owned()),
            });
        }
        (texts, groups, truths)
    }

    #[test]
    fn learns_numbers_and_classes() {
        let (texts, groups, truths) = corpus();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let spec = LinearNgramsSpec::default();
        let model = LinearNgrams::fit(&texts, &groups, &truths, &spec).expect("fits");
        let good = model.predict("an excellent thing");
        assert_eq!(good.class.as_deref(), Some("positive"));
        assert!(
            (0.5..=2.0).contains(&good.number.expect("a number")),
            "{good:?}"
        );
        let bad = model.predict("a terrible thing");
        assert_eq!(bad.class.as_deref(), Some("negative"));
        assert!(
            (-2.0..=-0.5).contains(&bad.number.expect("a number")),
            "{bad:?}"
        );
    }

    #[test]
    fn a_class_alone_or_a_number_alone_will_do() {
        let (texts, groups, truths) = corpus();
        let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
        let spec = LinearNgramsSpec::default();
        let fit = |number: bool| {
            let part = |truth: &Answer| Answer {
                number: truth.number.filter(|_| number),
                class: truth.class.clone().filter(|_| !number),
            };
            let truths: Vec<Answer> = truths.iter().map(part).collect();
            LinearNgrams::fit(&texts, &groups, &truths, &spec)
                .expect("fits")
                .predict("good")
        };
        assert!(fit(true).number.is_some_and(|number| number > 0.0) && fit(true).class.is_none());
        assert!(fit(false).number.is_none() && fit(false).class.as_deref() == Some("positive"));
        let nothing = vec![
            Answer {
                number: None,
                class: None
            };
            texts.len()
        ];
        let error = LinearNgrams::fit(&texts, &groups, &nothing, &spec).expect_err("no target");
        assert_eq!(error.code(), "eval-no-target");
    }

    #[test]
    fn the_inner_split_is_by_group() {
        let groups = ["a", "b", "a", "c", "b", "d", "e", "e"];
        let inner = inner_split(&groups, 1);
        let names = |side: &[usize]| side.iter().map(|&i| groups[i]).collect::<Vec<_>>();
        assert!(!inner.fit.is_empty() && !inner.choose.is_empty());
        assert!(
            names(&inner.fit)
                .iter()
                .all(|name| !names(&inner.choose).contains(name))
        );
        let single = inner_split(&["a", "a"], 1);
        assert_eq!((single.fit.len(), single.choose.len()), (2, 2));
    }
}
