//! Evidence that satisfies whatever a policy can ask, and the ways to break one rule of it.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::report::{Bootstrap, Interval, Paired, Report, Role, Slice, Subject};
use lathe_evidence::statement::{BaseModel, Dataset, Scan};

use super::{Challenger, Setting};
use crate::check::{Evidence, Verdict, check};
use crate::licence;
use crate::policy::{
    Bound, DataRules, Policy, Reference, Rule, Share, SliceRule, Slices, Threshold, Use,
};

/// The kinds of statement an order can have made when its verdict is given.
pub(super) const STATEMENTS: [&str; 4] = ["base-model", "dataset", "training", "evaluation"];

/// Records of the fixture: large enough for any slice a policy may ask for.
const RECORDS: usize = 1 << 30;

/// How far below its bar a broken figure lies.
const STEP: f64 = 1e-6;

/// Evidence that can be changed.
#[derive(Clone)]
pub(super) struct Fixture {
    report: Report,
    base: BaseModel,
    dataset: Dataset,
    statements: Vec<&'static str>,
}

impl Fixture {
    /// Evidence at the top of every range: what it does not satisfy, nothing does.
    pub(super) fn passing(policy: &Policy, setting: &Setting) -> Self {
        let purpose = policy
            .licences
            .as_ref()
            .map_or(Use::Research, |it| it.purpose);
        let mut licence = licence::example(purpose, true);
        if let Some(rules) = &policy.licences {
            let known = [licence, "MIT", "Apache-2.0", "ISC", "CC0-1.0"];
            let allowed = rules.allow.iter().map(String::as_str);
            let mut fit = known.into_iter().chain(allowed);
            let found = fit.find(|it| licence::permits(it, rules).is_ok());
            licence = found.unwrap_or(licence);
        }
        let licence = licence.to_owned();
        Self {
            report: report(policy, setting),
            base: BaseModel {
                name: "base".to_owned(),
                source: String::new(),
                file: Digest::of(b""),
                licence: licence.clone(),
                owner: String::new(),
                bytes: 0,
                at_ms: 0,
            },
            dataset: Dataset {
                name: "data".to_owned(),
                root: Digest::of(b""),
                train: RECORDS as u64,
                test: RECORDS as u64,
                source: String::new(),
                file: Digest::of(b""),
                licence,
                owner: String::new(),
                agreement: None,
                previous: None,
                scan: Scan {
                    version: 1,
                    ..Scan::default()
                },
                at_ms: 0,
            },
            statements: STATEMENTS.to_vec(),
        }
    }

    /// What the gate says of it.
    pub(super) fn verdict(&self, policy: &Policy) -> Verdict {
        let datasets = [&self.dataset];
        let evidence = Evidence {
            report: &self.report,
            base: &self.base,
            datasets: &datasets,
            statements: &self.statements,
            at_ms: 0,
        };
        check(&evidence, policy)
    }

    /// Ways to break `threshold` and, if possible, nothing else.
    pub(super) fn breaking(&self, threshold: &Threshold, setting: &Setting) -> Vec<Self> {
        let Some(metric) = setting
            .metrics
            .iter()
            .find(|it| it.name == threshold.metric)
        else {
            return Vec::new();
        };
        // A bar for comparisons just below the top, so that no floor is hurt on the way.
        let high = metric.max - STEP * (metric.max - metric.min);
        let figure = match threshold.rule {
            Rule::AtLeast(floor) if floor - STEP < metric.min => return Vec::new(),
            Rule::AtLeast(floor) => floor - STEP,
            Rule::Above(_) => high,
        };
        let mut broken = self.clone();
        match (&threshold.slice, threshold.rule, threshold.bound) {
            (Some(slice), rule, _) => broken.break_slices(threshold, slice, rule, figure),
            (None, Rule::AtLeast(_), Bound::Value) => {
                broken.judged(&threshold.metric).value = figure;
            }
            (None, Rule::AtLeast(_), _) => broken.judged(&threshold.metric).low = Some(figure),
            (None, Rule::Above(reference), Bound::PairedLower) => {
                broken.break_pairs(&threshold.metric, reference);
            }
            (None, Rule::Above(reference), bound) => {
                broken.raise(&threshold.metric, reference, figure);
                let judged = broken.judged(&threshold.metric);
                match bound {
                    Bound::Value => judged.value = figure,
                    _ => judged.low = Some(figure),
                }
            }
        }
        vec![broken]
    }

    /// Without the statement `name`.
    pub(super) fn lacking(&self, name: &str) -> Self {
        let mut broken = self.clone();
        broken.statements.retain(|it| *it != name);
        if name == "training" {
            // Without a training the base model is judged: it shall be as good.
            for subject in &mut broken.report.subjects {
                match subject.role {
                    Role::Tuned => subject.role = Role::Base,
                    Role::Base => subject.role = Role::Challenger,
                    Role::Challenger => {}
                }
            }
        }
        broken
    }

    /// With a base model under `licence`.
    pub(super) fn licensed(&self, licence: &str) -> Self {
        let mut broken = self.clone();
        broken.base.licence = licence.to_owned();
        broken
    }

    /// For each rule about data: its place, evidence that breaks it, the policy without it.
    pub(super) fn breaking_data(&self, policy: &Policy) -> Vec<(String, Self, Policy)> {
        let rules = policy.data;
        let all = self.dataset.train + self.dataset.test;
        let over = |share: Share| ((share.get() * all as f64) as u64 + 1).min(all);
        // A share of kept and repeated rows together never reaches one.
        let repeated = |share: Share| {
            let part = share.get() / (1.0 - share.get()).max(1e-6);
            (part * all as f64) as u64 + 1
        };
        let mut broken = Vec::new();
        let mut add = |place: &str, change: &dyn Fn(&mut Scan), take: &dyn Fn(&mut DataRules)| {
            let (mut fixture, mut without) = (self.clone(), policy.clone());
            change(&mut fixture.dataset.scan);
            take(&mut without.data);
            broken.push((format!("data.{place}"), fixture, without));
        };
        if let Some(share) = rules.personal_max_share {
            let change = |scan: &mut Scan| scan.personal_records = over(share);
            add("personal_max_share", &change, &|it| {
                it.personal_max_share = None
            });
        }
        if let Some(share) = rules.harmful_max_share {
            let change = |scan: &mut Scan| scan.harmful = over(share);
            add("harmful_max_share", &change, &|it| {
                it.harmful_max_share = None
            });
        }
        if let Some(share) = rules.duplicates_max_share {
            let change = |scan: &mut Scan| scan.duplicates = repeated(share);
            add("duplicates_max_share", &change, &|it| {
                it.duplicates_max_share = None
            });
        }
        if let Some(most) = rules.overlap_max_records {
            let change = |scan: &mut Scan| scan.overlap = most.saturating_add(1);
            add("overlap_max_records", &change, &|it| {
                it.overlap_max_records = None
            });
        }
        broken
    }

    /// The judged model's interval of `metric`.
    fn judged(&mut self, metric: &str) -> &mut Interval {
        let mut subjects = self.report.subjects.iter_mut();
        let judged = subjects.find(|it| it.role == Role::Tuned);
        let judged = judged.expect("the fixture has a tuned model");
        judged
            .metrics
            .entry(metric.to_owned())
            .or_insert(interval(0.0))
    }

    /// Raises `reference` to `figure`.
    fn raise(&mut self, metric: &str, reference: Reference, figure: f64) {
        for subject in &mut self.report.subjects {
            if is(subject, reference)
                && let Some(interval) = subject.metrics.get_mut(metric)
            {
                interval.value = figure;
            }
        }
    }

    fn break_pairs(&mut self, metric: &str, reference: Reference) {
        let subjects = self.report.subjects.iter().filter(|it| is(it, reference));
        let names: Vec<String> = subjects.map(|it| it.name.clone()).collect();
        for paired in &mut self.report.paired {
            if paired.metric == metric && names.contains(&paired.against) {
                paired.difference.low = Some(0.0);
            }
        }
    }

    fn break_slices(&mut self, threshold: &Threshold, slice: &SliceRule, rule: Rule, figure: f64) {
        for subject in &mut self.report.subjects {
            let hit = match rule {
                Rule::AtLeast(_) => subject.role == Role::Tuned,
                Rule::Above(reference) => subject.role == Role::Tuned || is(subject, reference),
            };
            for part in subject
                .slices
                .iter_mut()
                .filter(|it| hit && it.by == slice.by)
            {
                let named = match &slice.which {
                    Slices::Value(value) => part.value == *value,
                    Slices::Each => part.value == EXTRA,
                };
                if named {
                    part.metrics.insert(threshold.metric.clone(), figure);
                }
            }
        }
    }
}

/// A value of every slicing key that no policy names, which `each` looks at alone.
const EXTRA: &str = "\u{0}any other";

fn is(subject: &Subject, reference: Reference) -> bool {
    match reference {
        Reference::Base => subject.role == Role::Base,
        Reference::BestChallenger => subject.role == Role::Challenger,
    }
}

/// A rule that everything measured satisfies, to stand in where the last threshold is taken away.
pub(super) fn trivial(setting: &Setting) -> Threshold {
    let metric = setting.metrics.first();
    Threshold {
        metric: metric.map(|it| it.name.clone()).unwrap_or_default(),
        rule: Rule::AtLeast(metric.map_or(0.0, |it| it.min)),
        bound: Bound::Value,
        slice: None,
    }
}

fn interval(value: f64) -> Interval {
    Interval {
        value,
        low: Some(value),
        high: Some(value),
    }
}

fn report(policy: &Policy, setting: &Setting) -> Report {
    let mut subjects = vec![
        subject(policy, setting, Role::Base, "base", None),
        subject(policy, setting, Role::Tuned, "tuned", None),
    ];
    let mut paired = Vec::new();
    let mut pair = |against: &str, metrics: &[String]| {
        for metric in setting
            .metrics
            .iter()
            .filter(|it| metrics.contains(&it.name))
        {
            paired.push(Paired {
                against: against.to_owned(),
                metric: metric.name.clone(),
                records: RECORDS,
                difference: interval(metric.max - metric.min),
            });
        }
    };
    let all: Vec<String> = setting.metrics.iter().map(|it| it.name.clone()).collect();
    pair("base", &all);
    for challenger in &setting.challengers {
        pair(&challenger.name, &challenger.metrics);
        let (role, name) = (Role::Challenger, challenger.name.as_str());
        subjects.push(subject(policy, setting, role, name, Some(challenger)));
    }
    Report {
        version: Report::VERSION,
        demonstration: false,
        primary_metric: all.first().cloned().unwrap_or_default(),
        records: RECORDS,
        groups: RECORDS,
        subjects,
        paired,
        worst: Vec::new(),
        bootstrap: Bootstrap {
            resamples: 1,
            seed: 1,
        },
    }
}

/// The judged model at the top of every range, everybody else at the bottom.
fn subject(
    policy: &Policy,
    setting: &Setting,
    role: Role,
    name: &str,
    challenger: Option<&Challenger>,
) -> Subject {
    let of = setting.metrics.iter();
    let of = of.filter(|it| challenger.is_none_or(|other| other.metrics.contains(&it.name)));
    let values: BTreeMap<String, f64> = of
        .map(|it| {
            (
                it.name.clone(),
                if role == Role::Tuned { it.max } else { it.min },
            )
        })
        .collect();
    let mut slices = Vec::new();
    for by in &setting.slices {
        let rules = policy.thresholds.iter().filter_map(|it| it.slice.as_ref());
        let mut named: Vec<&str> = rules
            .filter(|it| it.by == *by)
            .filter_map(|it| match &it.which {
                Slices::Value(value) => Some(value.as_str()),
                Slices::Each => None,
            })
            .chain([EXTRA])
            .collect();
        named.sort_unstable();
        named.dedup();
        slices.extend(named.into_iter().map(|value| Slice {
            by: by.clone(),
            value: value.to_owned(),
            records: RECORDS,
            metrics: values.clone(),
        }));
    }
    let published = challenger.is_some_and(|it| !it.measured);
    Subject {
        role,
        name: name.to_owned(),
        note: String::new(),
        records: if published { 0 } else { RECORDS },
        predictions_sha256: None,
        metrics: values
            .into_iter()
            .map(|(name, value)| (name, interval(value)))
            .collect(),
        slices: if published { Vec::new() } else { slices },
    }
}
