//! The evaluation report: base model, challengers and tuned model side by side with their
//! intervals, parts of the test split, and the records the tuned model did worst on.

use std::collections::BTreeSet;

use lathe_evidence::report::{Interval, Report, Role, Sample, Slice, Subject};
use lathe_gate::{Bound, Threshold, Verdict};

use super::order::Tile;
use crate::chart::{self, Bar};
use crate::format;
use crate::lang::Say;

/// The report's sections of the order page.
pub(super) struct ReportView {
    pub sentence: String,
    pub primary: String,
    pub metrics: Vec<String>,
    pub subjects: Vec<SubjectRow>,
    pub notes: Vec<(String, String)>,
    pub paired: Vec<PairedRow>,
    pub slice_heads: Vec<(&'static str, String)>,
    pub slices: Vec<SliceGroup>,
    pub worst: Vec<WorstRow>,
    /// Whether anybody's answers are invalid, which count as the pack says.
    pub has_invalid: bool,
}

pub(super) struct SubjectRow {
    pub class: &'static str,
    pub role: String,
    pub name: String,
    pub cells: Vec<Cell>,
    pub records: String,
}

pub(super) struct Cell {
    pub label: String,
    pub figure: Option<Figure>,
}

/// A figure, its interval in words and as a bar.
pub(super) struct Figure {
    pub text: String,
    pub interval: String,
    pub bar: Bar,
}

pub(super) struct PairedRow {
    pub name: String,
    pub metric: String,
    pub figure: Figure,
    /// Of how many records it is, where that is not all of them.
    pub shared: Option<String>,
}

pub(super) struct SliceGroup {
    pub by: String,
    pub rows: Vec<SliceRow>,
}

pub(super) struct SliceRow {
    pub value: String,
    pub records: String,
    pub cells: Vec<String>,
    pub dots: Vec<(&'static str, f64)>,
}

pub(super) struct WorstRow {
    pub id: String,
    pub prompt: String,
    pub expected: String,
    pub answer: String,
    /// Why it is invalid; empty where it is not.
    pub invalid: String,
    pub error: String,
}

impl ReportView {
    /// The report in words and coordinates.
    pub fn new(say: Say, report: &Report) -> ReportView {
        let names = metric_names(report);
        let best = report
            .best_challenger(&report.primary_metric)
            .map(|subject| subject.name.as_str());
        let subjects = ranked(report, best)
            .into_iter()
            .map(|subject| subject_row(say, subject, &names, best));
        let published = report
            .subjects
            .iter()
            .filter(|subject| !subject.note.is_empty());
        let sentence = say.with(
            "web.report.sentence",
            &[
                ("records", &format::count(report.records as u64)),
                ("groups", &format::count(report.groups as u64)),
                (
                    "resamples",
                    &format::count(report.bootstrap.resamples as u64),
                ),
            ],
        );
        let compared: Vec<&Subject> = compared(report, best).collect();
        let heads = compared
            .iter()
            .map(|subject| (class(subject.role), role(say, subject, best)));
        ReportView {
            sentence,
            primary: metric(say, &report.primary_metric),
            metrics: names.iter().map(|name| metric(say, name)).collect(),
            subjects: subjects.collect(),
            notes: published
                .map(|subject| (subject.name.clone(), noted(say, subject)))
                .collect(),
            paired: paired(say, report),
            slice_heads: heads.collect(),
            slices: slices(say, report, &compared),
            worst: report.worst.iter().map(|it| worst_row(say, it)).collect(),
            has_invalid: report.subjects.iter().any(has_invalid),
        }
    }
}

/// The leading figures: the tuned model's primary metric, and the two it has to beat. A figure is an estimate;
/// where the gate judges the lower end of the tuned one's interval, its tile says so; and where the best challenger
/// has the better figure.
pub(super) fn tiles(say: Say, report: &Report, verdict: Option<&Verdict>) -> Vec<Tile> {
    let name = &report.primary_metric;
    let is_lower =
        |it: &Threshold| it.bound == Bound::Lower && it.metric == *name && it.slice.is_none();
    let findings = verdict.map(|it| it.findings.as_slice()).unwrap_or_default();
    let mut thresholds = findings.iter().filter_map(|it| it.threshold.as_ref());
    let judges_lower = thresholds.any(is_lower);
    let best = report.best_challenger(name);
    let subjects = [report.tuned(), best, report.base()];
    let highest = best.and_then(|it| it.value(name));
    let tile = |subject: &Subject| {
        let interval = subject.metrics.get(name)?;
        let is_tuned = subject.role == Role::Tuned;
        let above = highest.filter(|it| is_tuned && is_below(name, interval.value, *it));
        let note = tile_note(say, name, interval, is_tuned && judges_lower);
        Some(Tile {
            class: match above {
                Some(_) => "bad",
                None => class(subject.role),
            },
            name: format!(
                "{} · {}",
                role(say, subject, best.map(|best| best.name.as_str())),
                metric(say, name)
            ),
            value: format::decimals(interval.value, 3),
            note: match above {
                Some(above) => say.with(
                    "web.report.tile.below",
                    &[("note", &note), ("above", &figure_text(name, above))],
                ),
                None => note,
            },
        })
    };
    subjects.into_iter().flatten().filter_map(tile).collect()
}

fn tile_note(say: Say, name: &str, interval: &Interval, judges_lower: bool) -> String {
    let text = interval_text(say, name, interval);
    match interval.low {
        None => text,
        Some(low) if judges_lower => say.with(
            "web.report.tile.lower",
            &[("interval", &text), ("low", &figure_text(name, low))],
        ),
        Some(_) => say.of("web.report.tile", text),
    }
}

/// Whether a figure is below another one, and reads so too.
pub(super) fn is_below(metric: &str, value: f64, other: f64) -> bool {
    value < other && figure_text(metric, value) != figure_text(metric, other)
}

/// The subjects as they are read: the tuned model, what it has to beat, the base it came from.
fn ranked<'a>(report: &'a Report, best: Option<&str>) -> Vec<&'a Subject> {
    let mut subjects: Vec<&Subject> = report.subjects.iter().collect();
    subjects.sort_by_key(|subject| match subject.role {
        Role::Tuned => 0,
        Role::Challenger if Some(subject.name.as_str()) == best => 1,
        Role::Challenger => 2,
        Role::Base => 3,
    });
    subjects
}

/// Every metric of the report, the primary one first.
fn metric_names(report: &Report) -> Vec<String> {
    let others: BTreeSet<&String> = report
        .subjects
        .iter()
        .flat_map(|subject| subject.metrics.keys())
        .filter(|name| **name != report.primary_metric)
        .collect();
    std::iter::once(&report.primary_metric)
        .chain(others)
        .cloned()
        .collect()
}

fn subject_row(say: Say, subject: &Subject, names: &[String], best: Option<&str>) -> SubjectRow {
    let cell = |name: &String| Cell {
        label: metric(say, name),
        figure: subject
            .metrics
            .get(name)
            .map(|interval| figure(say, name, interval)),
    };
    let records = match subject.records {
        0 => say.it("web.report.published"),
        records => format::count(records as u64),
    };
    SubjectRow {
        class: class(subject.role),
        role: role(say, subject, best),
        name: subject.name.clone(),
        cells: names.iter().map(cell).collect(),
        records,
    }
}

/// A figure on the scale of its metric: correlations may be negative, shares cannot, logarithms of
/// probabilities are nothing else.
pub(super) fn figure(say: Say, metric: &str, interval: &Interval) -> Figure {
    let may_be_negative = metric.ends_with("_r");
    let scale = match metric {
        // In nats: one in twenty thousand at the left end.
        "answer_logprob" => (-10.0, 0.0),
        "preference_margin" => (-10.0, 10.0),
        _ if may_be_negative && interval.low.unwrap_or(interval.value) < 0.0 => (-1.0, 1.0),
        _ => (0.0, 1.0),
    };
    Figure {
        text: figure_text(metric, interval.value),
        interval: interval_text(say, metric, interval),
        bar: chart::bar(interval.value, interval.low.zip(interval.high), scale),
    }
}

/// A floor as the pack wrote it: `0.8`, and shares as percentages: `99 %`.
pub(super) fn floor_text(metric: &str, floor: f64) -> String {
    if is_share(metric) {
        // Rounded, so that 0.29 does not read as 28.999999999999996 %.
        format!("{} %", (floor * 1e6).round() / 1e4)
    } else {
        floor.to_string()
    }
}

/// Whether a metric's figures are shares.
pub(super) fn is_share(metric: &str) -> bool {
    metric.starts_with("valid")
}

/// Shares as percentages, everything else with three decimals.
pub(super) fn figure_text(metric: &str, value: f64) -> String {
    if is_share(metric) {
        format!("{} %", format::decimals(value * 100.0, 1))
    } else {
        format::decimals(value, 3)
    }
}

fn interval_text(say: Say, metric: &str, interval: &Interval) -> String {
    match interval.low.zip(interval.high) {
        Some((low, high)) => format!(
            "{} … {}",
            figure_text(metric, low),
            figure_text(metric, high)
        ),
        None => say.it("web.report.no_interval"),
    }
}

/// A difference with its interval, both with their signs.
pub(super) fn difference(interval: &Interval) -> Figure {
    Figure {
        text: format::signed(interval.value, 3),
        interval: match interval.low.zip(interval.high) {
            Some((low, high)) => {
                format!("{} … {}", format::signed(low, 3), format::signed(high, 3))
            }
            None => String::new(),
        },
        bar: chart::bar(interval.value, interval.low.zip(interval.high), (-1.0, 1.0)),
    }
}

fn paired(say: Say, report: &Report) -> Vec<PairedRow> {
    let is_published = |name: &str| {
        let mut others = report.challengers();
        others.any(|it| it.name == name && it.records == 0)
    };
    let row = |paired: &lathe_evidence::report::Paired| PairedRow {
        name: paired.against.clone(),
        metric: metric(say, &paired.metric),
        figure: difference(&paired.difference),
        shared: if is_published(&paired.against) {
            Some(say.it("web.report.paired.published"))
        } else {
            (paired.records < report.records).then(|| {
                say.of(
                    "web.report.paired.records",
                    format::count(paired.records as u64),
                )
            })
        },
    };
    report.paired.iter().map(row).collect()
}

/// What a subject is. Where Lathe itself wrote it, in the reader's language; a source that a pack names is the pack's.
fn noted(say: Say, subject: &Subject) -> String {
    let note = &subject.note[..];
    let (key, of) = match subject.role {
        Role::Base => ("web.report.note.base", note.strip_suffix(" as it came in")),
        Role::Tuned => (
            "web.report.note.tuned",
            note.strip_suffix(" with the tuned adapter"),
        ),
        Role::Challenger => (
            "web.report.note.linear",
            note.strip_prefix("ridge regression on word and character n-grams of "),
        ),
    };
    match of {
        Some(of) => say.of(key, of),
        None => note.to_owned(),
    }
}

/// Whose slices stand side by side: tuned, best challenger, base; those that have any.
fn compared<'a>(report: &'a Report, best: Option<&str>) -> impl Iterator<Item = &'a Subject> {
    let best = report
        .challengers()
        .find(|subject| Some(subject.name.as_str()) == best);
    let subjects = [report.tuned(), best, report.base()];
    subjects
        .into_iter()
        .flatten()
        .filter(|subject| !subject.slices.is_empty())
}

fn slices(say: Say, report: &Report, compared: &[&Subject]) -> Vec<SliceGroup> {
    let Some(leader) = compared.first() else {
        return Vec::new();
    };
    let mut groups: Vec<SliceGroup> = Vec::new();
    for slice in &leader.slices {
        let by = say.name_of("web.slice", &slice.by);
        if groups.last().is_none_or(|group| group.by != by) {
            groups.push(SliceGroup {
                by,
                rows: Vec::new(),
            });
        }
        let Some(group) = groups.last_mut() else {
            continue;
        };
        group
            .rows
            .push(slice_row(slice, &report.primary_metric, compared));
    }
    groups
}

fn slice_row(slice: &Slice, metric: &str, compared: &[&Subject]) -> SliceRow {
    let value_of = |subject: &&Subject| {
        let same = subject
            .slices
            .iter()
            .find(|other| other.by == slice.by && other.value == slice.value);
        same.and_then(|same| same.metrics.get(metric)).copied()
    };
    let values: Vec<_> = compared
        .iter()
        .map(|subject| (class(subject.role), value_of(subject)))
        .collect();
    let dot = |&(class, value): &(&'static str, Option<f64>)| {
        value.map(|value| (class, chart::bar(value, None, (0.0, 1.0)).value))
    };
    let text = |&(_, value): &(&'static str, Option<f64>)| {
        value.map_or_else(|| "–".to_owned(), |value| figure_text(metric, value))
    };
    SliceRow {
        value: slice.value.clone(),
        records: format::count(slice.records as u64),
        cells: values.iter().map(text).collect(),
        // The leader is drawn last, on top.
        dots: values.iter().rev().filter_map(dot).collect(),
    }
}

/// Whether some of its answers are invalid.
fn has_invalid(subject: &Subject) -> bool {
    let valid = subject.metrics.get("valid_json");
    valid.is_some_and(|it| it.value < 1.0)
}

/// Why an answer is invalid. The report has no schema: what is JSON fails at that, or contradicts itself.
fn invalid(say: Say, sample: &Sample) -> String {
    let is_json = serde_json::from_str::<serde_json::Value>(&sample.answer).is_ok();
    match (sample.valid, is_json) {
        (true, _) => String::new(),
        (false, false) => say.it("web.worst.invalid.json"),
        (false, true) => say.it("web.worst.invalid.schema"),
    }
}

fn worst_row(say: Say, sample: &Sample) -> WorstRow {
    WorstRow {
        id: sample.id.clone(),
        prompt: sample.prompt.clone(),
        expected: sample.expected.clone(),
        answer: sample.answer.clone(),
        invalid: invalid(say, sample),
        error: format::decimals(sample.error, 2),
    }
}

fn class(role: Role) -> &'static str {
    match role {
        Role::Base => "base",
        Role::Tuned => "tuned",
        Role::Challenger => "challenger",
    }
}

fn role(say: Say, subject: &Subject, best: Option<&str>) -> String {
    match subject.role {
        Role::Base => say.it("web.role.base"),
        Role::Tuned => say.it("web.role.tuned"),
        Role::Challenger if Some(subject.name.as_str()) == best => {
            say.it("web.role.best_challenger")
        }
        Role::Challenger => say.it("web.role.challenger"),
    }
}

/// A metric by its name in the catalogue, or as the report calls it.
pub(super) fn metric(say: Say, name: &str) -> String {
    say.name_of("web.metric", name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    fn subject(role: Role, note: &str) -> Subject {
        Subject {
            role,
            name: "it".to_owned(),
            note: note.to_owned(),
            records: 0,
            predictions_sha256: None,
            metrics: Default::default(),
            slices: Vec::new(),
        }
    }

    #[test]
    fn what_lathe_writes_of_a_subject_is_in_the_readers_language_and_what_a_pack_writes_is_not() {
        let linear = "ridge regression on word and character n-grams of text";
        for (role, note, zh) in [
            (
                Role::Base,
                "tiny-model as it came in",
                "未经调优的 tiny-model",
            ),
            (
                Role::Tuned,
                "tiny-model with the tuned adapter",
                "tiny-model 加调优所得适配器",
            ),
            (
                Role::Challenger,
                linear,
                "以字段 text 的词与字符 n 元组为特征的岭回归",
            ),
            (
                Role::Challenger,
                "a table as it came in",
                "a table as it came in",
            ),
        ] {
            let subject = subject(role, note);
            assert_eq!(noted(Say::new(Lang::Zh), &subject), zh);
            assert_eq!(noted(Say::new(Lang::En), &subject), note);
        }
    }
}
