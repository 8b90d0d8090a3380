//! Puts base, tuned model and challengers side by side.

use std::collections::{BTreeMap, HashSet};

use lathe_data::prepare::Sealed;
use lathe_data::task::Task;
use lathe_evidence::report::{Bootstrap, Interval, Paired, Report, Sample, Slice, Subject};

use crate::bootstrap::{Resampler, interval};
use crate::paired::differences;
use crate::predictions::Predictions;
use crate::rows::{Row, Truths};
use crate::{ChallengerSpec, EvalError, EvaluateSpec};

/// What a report is made of.
#[derive(Clone, Copy)]
pub struct Assembly<'a> {
    /// What was asked.
    pub task: &'a Task,
    /// The whole test split.
    pub records: &'a [Sealed],
    /// The pack's `evaluate` section.
    pub spec: &'a EvaluateSpec,
    /// The base model's predictions, on all records or on a subset.
    pub base: Option<&'a Predictions>,
    /// The tuned model's predictions on all records.
    pub tuned: &'a Predictions,
    /// The challengers' predictions on all records; published figures come from the spec.
    pub challengers: &'a [Predictions],
    /// Whether the order ran on a reduced set.
    pub demonstration: bool,
}

/// Makes the report.
///
/// # Errors
/// Predictions that do not fit the records, a challenger of the spec without predictions, a slice
/// by a field that the records lack.
pub fn assemble(assembly: &Assembly<'_>) -> Result<Report, EvalError> {
    assembly.spec.check()?;
    let mut desk = Desk::new(assembly)?;
    let tuned = desk.measure(assembly.tuned)?;
    if tuned.rows.len() != assembly.records.len() {
        let reason = format!(
            "{} of {} are answered",
            tuned.rows.len(),
            assembly.records.len()
        );
        return Err(EvalError::Mismatch {
            subject: tuned.subject.name,
            reason,
        });
    }
    let (mut subjects, mut paired) = (Vec::new(), Vec::new());
    if let Some(base) = assembly.base {
        let base = desk.measure(base)?;
        paired.extend(desk.paired(&tuned, &base));
        subjects.push(base.subject);
    }
    subjects.push(tuned.subject.clone());
    for challenger in &assembly.spec.challengers {
        if let ChallengerSpec::Published(spec) = challenger {
            let subject = spec.subject();
            paired.extend(desk.against_published(&tuned, &subject));
            subjects.push(subject);
            continue;
        }
        let found = assembly
            .challengers
            .iter()
            .find(|it| it.name == challenger.name());
        let predictions = found.ok_or_else(|| EvalError::Mismatch {
            subject: challenger.name().to_owned(),
            reason: "there are none".to_owned(),
        })?;
        let challenger = desk.measure(predictions)?;
        paired.extend(desk.paired(&tuned, &challenger));
        subjects.push(challenger.subject);
    }
    Ok(Report {
        version: Report::VERSION,
        demonstration: assembly.demonstration,
        primary_metric: desk.truths.primary()?.to_owned(),
        records: assembly.records.len(),
        groups: desk.resampler(&tuned.rows).groups(),
        subjects,
        paired,
        worst: desk.worst(&tuned.rows)?,
        bootstrap: Bootstrap {
            resamples: assembly.spec.bootstrap.resamples,
            seed: assembly.spec.bootstrap.seed,
        },
    })
}

/// A subject with the rows it was measured on.
struct Measured {
    subject: Subject,
    rows: Vec<Row>,
}

/// Where a report is put together.
struct Desk<'a> {
    assembly: &'a Assembly<'a>,
    truths: Truths,
}

impl<'a> Desk<'a> {
    fn new(assembly: &'a Assembly<'a>) -> Result<Self, EvalError> {
        let truths = Truths::of(assembly.task, assembly.records)?;
        truths.primary()?;
        Ok(Self { assembly, truths })
    }

    /// Metrics with intervals, and slices.
    fn measure(&mut self, predictions: &Predictions) -> Result<Measured, EvalError> {
        let rows = self.truths.rows(predictions)?;
        let values = self.truths.metrics(rows.iter());
        let resampled = self
            .resampler(&rows)
            .resample(|drawn| self.truths.metrics(drawn.iter().map(|&row| &rows[row])));
        let with_interval = |(&name, &value): (&&'static str, &f64)| {
            let column = resampled.iter().map(|metrics| metrics[name]).collect();
            (name.to_owned(), interval(value, column))
        };
        let subject = Subject {
            role: predictions.role,
            name: predictions.name.clone(),
            note: predictions.note.clone(),
            records: rows.len(),
            predictions_sha256: Some(predictions.sha256().to_string()),
            metrics: values.iter().map(with_interval).collect(),
            slices: self.slices(&rows)?,
        };
        Ok(Measured { subject, rows })
    }

    fn resampler(&self, rows: &[Row]) -> Resampler {
        let group = |row: &Row| self.assembly.records[row.record].record.group.as_str();
        Resampler::new(rows.iter().map(group), self.assembly.spec.bootstrap)
    }

    /// Tuned minus other on the records both answered, every metric.
    fn paired(&self, tuned: &Measured, other: &Measured) -> Vec<Paired> {
        let shared: HashSet<usize> = other.rows.iter().map(|row| row.record).collect();
        let keep = |row: &&Row| shared.contains(&row.record);
        let mine: Vec<Row> = tuned.rows.iter().filter(keep).copied().collect();
        let found = differences(&self.truths, &self.resampler(&mine), &mine, &other.rows);
        let pair = |(name, difference): (&str, Interval)| Paired {
            against: other.subject.name.clone(),
            metric: name.to_owned(),
            records: mine.len(),
            difference,
        };
        found.into_iter().map(pair).collect()
    }

    /// Tuned minus a published figure, which has no uncertainty that is known: the tuned model's
    /// interval, moved.
    fn against_published(&self, tuned: &Measured, other: &Subject) -> Vec<Paired> {
        let pair = |(name, figure): (&String, &Interval)| {
            let mine = tuned.subject.metrics.get(name)?;
            let minus = |end: f64| end - figure.value;
            Some(Paired {
                against: other.name.clone(),
                metric: name.clone(),
                records: tuned.rows.len(),
                difference: Interval {
                    value: minus(mine.value),
                    low: mine.low.map(minus),
                    high: mine.high.map(minus),
                },
            })
        };
        other.metrics.iter().filter_map(pair).collect()
    }

    fn slices(&self, rows: &[Row]) -> Result<Vec<Slice>, EvalError> {
        let mut slices = Vec::new();
        for by in &self.assembly.spec.slices {
            for (value, rows) in self.parts(by, rows)? {
                let metrics = self.truths.metrics(rows.iter().copied()).into_iter();
                slices.push(Slice {
                    by: by.clone(),
                    value,
                    records: rows.len(),
                    metrics: metrics
                        .map(|(name, value)| (name.to_owned(), value))
                        .collect(),
                });
            }
        }
        Ok(slices)
    }

    /// The rows by their value of a field: in the order of the records or, where every value has a
    /// number in it ("up to 9 words", "10 to 20 words"), by that number.
    fn parts<'r>(
        &self,
        by: &str,
        rows: &'r [Row],
    ) -> Result<Vec<(String, Vec<&'r Row>)>, EvalError> {
        let mut parts: Vec<(String, Vec<&Row>)> = Vec::new();
        for row in rows {
            let record = &self.assembly.records[row.record].record;
            let value = record.fields.get(by).ok_or_else(|| EvalError::Spec {
                key: format!("slices.{by}"),
                reason: format!("record {} has no such field; derive it in data", record.id),
            })?;
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            match parts.iter_mut().find(|(known, _)| *known == value) {
                Some((_, members)) => members.push(row),
                None => parts.push((value, vec![row])),
            }
        }
        if parts.iter().all(|(value, _)| first_number(value).is_some()) {
            parts.sort_by_key(|(value, _)| first_number(value));
        }
        Ok(parts)
    }

    /// The tuned model's worst answers, worst first; equal ones in the order of the records. An invalid answer is one
    /// of them even where what it counts as happens to be right.
    fn worst(&self, rows: &[Row]) -> Result<Vec<Sample>, EvalError> {
        let error = |row: &Row| match (row.number, row.class) {
            (Some((truth, found)), _) => (truth - found).abs(),
            (None, Some((truth, found))) => f64::from(u8::from(truth != found)),
            (None, None) => 0.0,
        };
        let mut rows: Vec<&Row> = rows
            .iter()
            .filter(|row| error(row) > 0.0 || !row.valid)
            .collect();
        rows.sort_by(|a, b| error(b).total_cmp(&error(a)));
        rows.truncate(self.assembly.spec.worst);
        let lines: BTreeMap<&str, &str> = self
            .assembly
            .tuned
            .lines
            .iter()
            .map(|line| (line.id.as_str(), line.output.as_str()))
            .collect();
        let sample = |row: &&Row| {
            let example = self
                .assembly
                .task
                .render(&self.assembly.records[row.record])?;
            Ok(Sample {
                answer: lines[example.id.as_str()].to_owned(),
                id: example.id,
                prompt: example.prompt,
                expected: example.answer,
                valid: row.valid,
                error: error(row),
            })
        };
        rows.iter().map(sample).collect()
    }
}

/// The first run of digits in a text.
fn first_number(text: &str) -> Option<u64> {
    let mut runs = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|run| !run.is_empty());
    runs.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Likelihood;
    use crate::challengers::{LinearNgramsSpec, PublishedSpec};
    use crate::predictions::likely;
    use crate::testing;
    use lathe_evidence::report::Role;

    fn spec() -> EvaluateSpec {
        let published = PublishedSpec {
            name: "lexicon".to_owned(),
            metrics: BTreeMap::from([("pearson_r".to_owned(), 0.59)]),
            source: "a table".to_owned(),
        };
        EvaluateSpec {
            slices: vec!["product".to_owned(), "length".to_owned()],
            challengers: vec![
                ChallengerSpec::LinearNgrams(LinearNgramsSpec::default()),
                ChallengerSpec::Published(published),
            ],
            worst: 5,
            ..EvaluateSpec::default()
        }
    }

    fn with_report(check: impl FnOnce(&Report, &[Sealed])) {
        let (task, records, spec) = (testing::task(), testing::records(80), spec());
        let base = testing::predictions(Role::Base, "base", &records[..24], 0.9);
        let tuned = testing::predictions(Role::Tuned, "tuned", &records, 0.1);
        let challenger = testing::predictions(Role::Challenger, "linear_ngrams", &records, 0.5);
        let assembly = Assembly {
            task: &task,
            records: &records,
            spec: &spec,
            base: Some(&base),
            tuned: &tuned,
            challengers: &[challenger],
            demonstration: false,
        };
        let report = assemble(&assembly).expect("assembles");
        assert_eq!(
            report,
            assemble(&assembly).expect("assembles"),
            "the same every time"
        );
        check(&report, &records);
    }

    #[test]
    fn everyone_stands_side_by_side() {
        with_report(|report, _| {
            let names: Vec<_> = report.subjects.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names, ["base", "tuned", "linear_ngrams", "lexicon"]);
            assert_eq!((report.records, report.groups), (80, 20));
            assert_eq!(report.base().map(|base| base.records), Some(24));
            let best = report.best_challenger("pearson_r").expect("a challenger");
            assert_eq!(best.name, "linear_ngrams");
            for subject in &report.subjects[..3] {
                for (name, interval) in &subject.metrics {
                    let (low, high) = (interval.low.expect(name), interval.high.expect(name));
                    assert!(
                        low <= interval.value && interval.value <= high,
                        "{name} {interval:?}"
                    );
                }
            }
        });
    }

    #[test]
    fn differences_are_paired() {
        with_report(|report, _| {
            let paired = report
                .paired_with("linear_ngrams", "pearson_r")
                .expect("a pair");
            let (tuned, other) = (&report.subjects[1], &report.subjects[2]);
            let values = |subject: &Subject| subject.value("pearson_r").expect("a value");
            let difference = values(tuned) - values(other);
            assert!((paired.difference.value - difference).abs() < 1e-12);
            assert!(paired.difference.low.expect("low") > 0.0, "{paired:?}");
            let width =
                |interval: &Interval| interval.high.expect("high") - interval.low.expect("low");
            let apart = width(&tuned.metrics["pearson_r"]) + width(&other.metrics["pearson_r"]);
            assert!(
                width(&paired.difference) < apart,
                "narrower than both apart"
            );
            assert_eq!(
                report
                    .paired_with("base", "macro_f1")
                    .expect("a pair")
                    .records,
                24
            );
            let lexicon = report.paired_with("lexicon", "pearson_r").expect("a pair");
            assert!((lexicon.difference.value - (values(tuned) - 0.59)).abs() < 1e-12);
        });
    }

    #[test]
    fn slices_cover_every_record_in_order() {
        with_report(|report, _| {
            let tuned = report.tuned().expect("the tuned model");
            let of = |by: &str| -> Vec<(&str, usize)> {
                let slices = tuned.slices.iter().filter(|slice| slice.by == by);
                slices
                    .map(|slice| (slice.value.as_str(), slice.records))
                    .collect()
            };
            assert_eq!(of("product"), [("camera", 40), ("phone", 40)]);
            assert_eq!(
                of("length"),
                [("up to 9", 27), ("10 to 19", 26), ("over 19", 27)]
            );
        });
    }

    #[test]
    fn the_worst_come_first() {
        with_report(|report, records| {
            assert_eq!(report.worst.len(), 5);
            assert!(report.worst.is_sorted_by(|a, b| a.error >= b.error));
            let worst = &report.worst[0];
            let sealed = records
                .iter()
                .find(|sealed| sealed.record.id == worst.id)
                .expect("a record");
            assert_eq!(worst.prompt, sealed.record.fields["text"]);
            assert!(worst.error > 0.0 && worst.valid);
        });
    }

    #[test]
    fn an_invalid_answer_is_among_the_worst_where_it_counts_as_right() {
        let (task, records) = (testing::task(), testing::records(17));
        let right = |sealed: &Sealed| {
            let rating = sealed.record.fields["rating"].as_f64();
            testing::answer(rating.expect("a rating"))
        };
        let mut outputs: Vec<String> = records.iter().map(right).collect();
        let zero = records
            .iter()
            .position(|it| it.record.fields["rating"] == 0.0);
        let zero = zero.expect("a rating of what an invalid answer counts as");
        outputs[zero] = "none of it".to_owned();
        let tuned = crate::predictions::score(&task, &records, &outputs, Role::Tuned, "tuned", "");
        let spec = EvaluateSpec::default();
        let assembly = Assembly {
            task: &task,
            records: &records,
            spec: &spec,
            base: None,
            tuned: &tuned,
            challengers: &[],
            demonstration: false,
        };
        let report = assemble(&assembly).expect("assembles");
        let told: Vec<_> = report
            .worst
            .iter()
            .map(|it| (&it.id[..], it.valid))
            .collect();
        assert_eq!(told, [(&records[zero].record.id[..], false)]);
        assert_eq!(report.worst[0].error, 0.0, "what it counts as is right");
    }

    #[test]
    fn predictions_that_do_not_fit_are_refused() {
        let (task, records) = (testing::task(), testing::records(8));
        let spec = EvaluateSpec::default();
        let refuse = |tuned: &Predictions| {
            let assembly = Assembly {
                task: &task,
                records: &records,
                spec: &spec,
                base: None,
                tuned,
                challengers: &[],
                demonstration: true,
            };
            assert_eq!(
                assemble(&assembly).expect_err("refused").code(),
                "eval-mismatch"
            );
        };
        let mut tuned = testing::predictions(Role::Tuned, "tuned", &records, 0.1);
        tuned.lines[3].id = tuned.lines[2].id.clone();
        refuse(&tuned);
        tuned.lines[3].id = "unknown".to_owned();
        refuse(&tuned);
        tuned.lines.remove(3);
        refuse(&tuned);
    }

    #[test]
    fn free_words_are_compared_by_their_likelihood() {
        let spec = serde_json::from_value(serde_json::json!({"chat": "preference"}));
        let task = Task::new(spec.expect("a section")).expect("a task");
        let records = testing::records(12);
        let of = |role, name, log_prob: f64| {
            let found: Vec<Likelihood> = (0..12)
                .map(|at| Likelihood {
                    log_prob: log_prob - f64::from(at),
                    tokens: 2.0,
                    margin: Some(10.0 + log_prob),
                })
                .collect();
            likely(&records, &found, role, name, "")
        };
        let (base, tuned) = (of(Role::Base, "base", -8.0), of(Role::Tuned, "tuned", -4.0));
        let evaluate = EvaluateSpec::default();
        let report = assemble(&Assembly {
            task: &task,
            records: &records,
            spec: &evaluate,
            base: Some(&base),
            tuned: &tuned,
            challengers: &[],
            demonstration: false,
        })
        .expect("assembles");
        assert_eq!(report.primary_metric, "preference_margin");
        let values = |subject: Option<&Subject>| {
            let subject = subject.expect("measured");
            ["answer_logprob", "preference_margin"].map(|name| subject.value(name))
        };
        // Sums by hand: 12 records of 2 tokens, 0 + … + 11 = 66.
        assert_eq!(
            values(report.base()),
            [Some(-(96.0 + 66.0) / 24.0), Some(2.0)]
        );
        assert_eq!(
            values(report.tuned()),
            [Some(-(48.0 + 66.0) / 24.0), Some(6.0)]
        );
        let paired = report
            .paired_with("base", "answer_logprob")
            .expect("a pair");
        assert_eq!(paired.difference.value, 2.0);
        assert!(report.worst.is_empty(), "nothing was generated");
    }
}
