//! Whether every rule of a policy can bite: for each one, evidence is built that this rule alone
//! refuses, or the rule is an orphan.
//!
//! A rule that nothing can break looks like care and is none; a rule over a figure that the order
//! never makes refuses everything. Both are found here, before an order runs, with the very
//! [`check`](crate::check) that decides later.

mod fixture;

use crate::licence;
use crate::policy::{LicenceRules, Policy, Reference, Rule, Threshold, Use};
use fixture::Fixture;

/// What an order will measure: what rules can be about.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Setting {
    /// The metrics of the model, with their range.
    pub metrics: Vec<Metric>,
    /// The keys the report is sliced by.
    pub slices: Vec<String>,
    /// Whom the model is held against.
    pub challengers: Vec<Challenger>,
}

/// A metric and the range of its values.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Its name in reports.
    pub name: String,
    /// Its smallest value.
    pub min: f64,
    /// Its largest value.
    pub max: f64,
}

/// A challenger and the metrics it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenger {
    /// Its name.
    pub name: String,
    /// The names of its metrics.
    pub metrics: Vec<String>,
    /// Whether it answers the records, so that slices of it exist; a published figure does not.
    pub measured: bool,
}

/// A rule that can do nothing but mislead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Where it stands: `thresholds[2]`, `licences.allow[0]`.
    pub place: String,
    /// What is wrong with it.
    pub reason: String,
    /// What to do.
    pub cure: String,
}

/// The rules of `policy` that can never be satisfied or never refuse, given what `setting` measures.
pub fn lint(policy: &Policy, setting: &Setting) -> Vec<Orphan> {
    let mut orphans = unmeasured(policy, setting);
    orphans.extend(never_present(policy));
    if let Some(rules) = &policy.licences {
        orphans.extend(idle_licences(rules));
    }
    if !orphans.is_empty() || policy.thresholds.is_empty() {
        // The fixture below holds whatever a rule may ask for, so what cannot be asked goes first.
        return orphans;
    }
    let whole = Fixture::passing(policy, setting);
    for finding in whole.verdict(policy).findings {
        if !finding.passed {
            orphans.push(Orphan {
                place: finding.key,
                reason: format!(
                    "nothing can satisfy: {} ({})",
                    finding.rule, finding.evidence
                ),
                cure: "ask for a figure inside the metric's range".to_owned(),
            });
        }
    }
    if orphans.is_empty() {
        orphans.extend(unbreakable(policy, &whole, setting));
    }
    orphans
}

/// Thresholds on what the order does not measure.
fn unmeasured(policy: &Policy, setting: &Setting) -> Vec<Orphan> {
    let thresholds = policy.thresholds.iter().enumerate();
    thresholds
        .filter_map(|(index, threshold)| {
            let (reason, cure) = lacks(threshold, setting)?;
            Some(Orphan {
                place: format!("thresholds[{index}]"),
                reason,
                cure,
            })
        })
        .collect()
}

/// What `setting` lacks of what `threshold` is about.
fn lacks(threshold: &Threshold, setting: &Setting) -> Option<(String, String)> {
    let metric = &threshold.metric;
    let names: Vec<&str> = setting.metrics.iter().map(|it| it.name.as_str()).collect();
    if !names.contains(&metric.as_str()) {
        let cure = format!("use one that its targets give: {}", names.join(", "));
        return Some((format!("the task gives no metric {metric}"), cure));
    }
    let sliced = threshold.slice.as_ref();
    if let Some(slice) = sliced.filter(|it| !setting.slices.contains(&it.by)) {
        let cure = format!("add {} to evaluate.slices", slice.by);
        return Some((format!("the report is not sliced by {}", slice.by), cure));
    }
    let challenged = threshold.rule == Rule::Above(Reference::BestChallenger);
    let has = |it: &&Challenger| it.metrics.contains(metric) && (it.measured || sliced.is_none());
    if challenged && setting.challengers.iter().find(has).is_none() {
        let cure = "give one in evaluate.challengers".to_owned();
        return Some((format!("no challenger is measured by {metric}"), cure));
    }
    None
}

/// Required statements that no order has made when its verdict is given.
fn never_present(policy: &Policy) -> Vec<Orphan> {
    let required = policy.require.iter().enumerate();
    required
        .filter(|(_, it)| !fixture::STATEMENTS.contains(&it.name()))
        .map(|(index, it)| Orphan {
            place: format!("require[{index}]"),
            reason: format!(
                "a {} statement comes after the verdict, if at all",
                it.name()
            ),
            cure: format!("require only {}", fixture::STATEMENTS.join(", ")),
        })
        .collect()
}

/// Entries of the licence lists that change no decision.
fn idle_licences(rules: &LicenceRules) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    for (name, list) in [("allow", &rules.allow), ("deny", &rules.deny)] {
        for (index, entry) in list.iter().enumerate() {
            let mut without = rules.clone();
            let cut = if name == "allow" {
                &mut without.allow
            } else {
                &mut without.deny
            };
            cut.remove(index);
            if licence::permits(entry, rules).is_ok() == licence::permits(entry, &without).is_ok() {
                orphans.push(Orphan {
                    place: format!("licences.{name}[{index}]"),
                    reason: format!("{entry} is decided the same way without it"),
                    cure: "remove it".to_owned(),
                });
            }
        }
    }
    orphans
}

/// Rules for which no evidence is refused by them alone.
fn unbreakable(policy: &Policy, whole: &Fixture, setting: &Setting) -> Vec<Orphan> {
    let mut orphans = Vec::new();
    let mut expect = |place: String, breaks: Vec<Fixture>, whole: &Policy, without: Policy| {
        let alone = breaks.iter().any(|broken| {
            let kept = Policy {
                thresholds: if without.thresholds.is_empty() {
                    vec![fixture::trivial(setting)]
                } else {
                    without.thresholds.clone()
                },
                ..without.clone()
            };
            !broken.verdict(whole).passed && broken.verdict(&kept).passed
        });
        if !alone {
            orphans.push(Orphan {
                place,
                reason: "nothing is refused by this rule alone".to_owned(),
                cure: "remove it, or make it stricter than the rules beside it".to_owned(),
            });
        }
    };
    for (index, threshold) in policy.thresholds.iter().enumerate() {
        let mut without = policy.clone();
        without.thresholds.remove(index);
        expect(
            format!("thresholds[{index}]"),
            whole.breaking(threshold, setting),
            policy,
            without,
        );
    }
    // Comparisons with the base refuse an untuned model too, which is no reason not to ask.
    let mut unmeasured = policy.clone();
    unmeasured.thresholds = vec![fixture::trivial(setting)];
    for (index, required) in policy.require.iter().enumerate() {
        let mut without = unmeasured.clone();
        without.require.remove(index);
        expect(
            format!("require[{index}]"),
            vec![whole.lacking(required.name())],
            &unmeasured,
            without,
        );
    }
    if let Some(rules) = &policy.licences {
        let without = Policy {
            licences: None,
            ..policy.clone()
        };
        expect(
            "licences.use".to_owned(),
            vec![whole.licensed(refused(rules.purpose))],
            policy,
            without,
        );
    }
    for (place, broken, without) in whole.breaking_data(policy) {
        expect(place, vec![broken], policy, without);
    }
    orphans
}

/// A licence that `purpose` refuses.
fn refused(purpose: Use) -> &'static str {
    licence::example(purpose, false)
}
