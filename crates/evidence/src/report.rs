//! The evaluation report: who was measured on which records, with which result.
//!
//! A report is written by `lathe-eval`, judged by `lathe-gate` and shown by the pages. It holds
//! plain figures and no judgement: whether they suffice is for the gate alone. It holds no time and
//! no path, so the same predictions make the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The whole evaluation of one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Layout version of this structure; [`Report::VERSION`].
    pub version: u32,
    /// True when the order ran on a reduced set (`--quick`) and proves nothing about production.
    pub demonstration: bool,
    /// The metric by which challengers are ranked and paired comparisons are made.
    pub primary_metric: String,
    /// Held-out records, the whole test split.
    pub records: usize,
    /// Groups (for instance reviews) those records fall into: the unit of resampling.
    pub groups: usize,
    /// Base, tuned model and challengers, in that order.
    pub subjects: Vec<Subject>,
    /// Tuned model against the base and each challenger, on the same resamples.
    pub paired: Vec<Paired>,
    /// The tuned model's worst records, worst first.
    pub worst: Vec<Sample>,
    /// How the intervals were made.
    pub bootstrap: Bootstrap,
}

impl Report {
    /// The layout this code writes and reads.
    pub const VERSION: u32 = 1;

    /// The base model's results, when it was measured.
    pub fn base(&self) -> Option<&Subject> {
        self.first(Role::Base)
    }

    /// The tuned model's results, when there is one.
    pub fn tuned(&self) -> Option<&Subject> {
        self.first(Role::Tuned)
    }

    /// All challengers in the order of the pack.
    pub fn challengers(&self) -> impl Iterator<Item = &Subject> {
        self.subjects
            .iter()
            .filter(|subject| subject.role == Role::Challenger)
    }

    /// The challenger with the highest `metric`; the first of them on ties.
    pub fn best_challenger(&self, metric: &str) -> Option<&Subject> {
        let mut best: Option<(&Subject, f64)> = None;
        for subject in self.challengers() {
            let Some(value) = subject.value(metric) else {
                continue;
            };
            if best.is_none_or(|(_, highest)| value > highest) {
                best = Some((subject, value));
            }
        }
        best.map(|(subject, _)| subject)
    }

    /// The paired comparison of the tuned model with the subject named `against` on `metric`.
    pub fn paired_with(&self, against: &str, metric: &str) -> Option<&Paired> {
        self.paired
            .iter()
            .find(|paired| paired.against == against && paired.metric == metric)
    }

    fn first(&self, role: Role) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.role == role)
    }
}

/// What part a subject plays in the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The base model as it came in.
    Base,
    /// The model this order made.
    Tuned,
    /// Something simpler or older that the tuned model has to beat.
    Challenger,
}

/// One measured model, program or published figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// Its part in the report.
    pub role: Role,
    /// Short name, unique in the report.
    pub name: String,
    /// What it is or where its figure comes from, in a sentence.
    pub note: String,
    /// Records it was measured on; 0 for a published figure.
    pub records: usize,
    /// SHA-256 of its predictions in hexadecimal; absent for a published figure.
    pub predictions_sha256: Option<String>,
    /// Metric name → value with interval.
    pub metrics: BTreeMap<String, Interval>,
    /// The same metrics on parts of the test split.
    pub slices: Vec<Slice>,
}

impl Subject {
    /// The point value of `metric`.
    pub fn value(&self, metric: &str) -> Option<f64> {
        self.metrics.get(metric).map(|interval| interval.value)
    }
}

/// A figure and, where it was measured here, its 95 % bootstrap interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// The figure on all records.
    pub value: f64,
    /// 2.5th percentile over the resamples; absent for a published figure.
    pub low: Option<f64>,
    /// 97.5th percentile over the resamples; absent for a published figure.
    pub high: Option<f64>,
}

/// Metrics on the records that share a value of one key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Slice {
    /// The slicing key, for instance `product` or `length`.
    pub by: String,
    /// The value or bin, for instance `camera` or `10-19`.
    pub value: String,
    /// Records in the slice.
    pub records: usize,
    /// Metric name → point value.
    pub metrics: BTreeMap<String, f64>,
}

/// One record with what was expected and what was answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Record id.
    pub id: String,
    /// The user's part of the prompt as it was asked.
    pub prompt: String,
    /// The expected answer, compact JSON.
    pub expected: String,
    /// The model's answer, verbatim.
    pub answer: String,
    /// Whether the answer satisfied the schema.
    pub valid: bool,
    /// Distance between answer and truth, in the unit of the number target (1 for a wrong class).
    pub error: f64,
}

/// Tuned minus another subject, resampled together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paired {
    /// Name of the other subject.
    pub against: String,
    /// The metric compared.
    pub metric: String,
    /// Records both were measured on; all of the tuned model's when the other is a published
    /// figure, in which case the tuned model alone was resampled.
    pub records: usize,
    /// Difference and its 95 % interval; positive when the tuned model is better.
    pub difference: Interval,
}

/// How the intervals were made, enough to make them again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed of the generator.
    pub seed: u64,
}
