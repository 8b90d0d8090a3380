//! The decision itself: which rules there are, in which order. Each kind of rule is a file.

mod data;
mod licences;
mod statements;
mod thresholds;

use lathe_evidence::report::{Report, Role, Subject};
use lathe_evidence::statement::{BaseModel, Dataset, Outcome};
use serde::{Deserialize, Serialize};

use crate::policy::{Policy, Threshold};

/// All that a verdict is given on.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The evaluation's report.
    pub report: &'a Report,
    /// The base model as its statement describes it.
    pub base: &'a BaseModel,
    /// The datasets tuned and measured on, as their statements describe them.
    pub datasets: &'a [&'a Dataset],
    /// The kinds of statement that the model's chain holds so far (`training`, …). Where there is no
    /// training, the base model itself is judged.
    pub statements: &'a [&'a str],
    /// The moment of the verdict, milliseconds since 1970.
    pub at_ms: i64,
}

/// The outcome of holding evidence against a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// True when every rule holds.
    pub passed: bool,
    /// One finding per rule, in the policy's order.
    pub findings: Vec<Finding>,
    /// Milliseconds since 1970 after which it is stale, if the policy says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<i64>,
}

/// How one rule fared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finding {
    /// Whether the rule holds.
    pub passed: bool,
    /// Where the rule stands in the policy, for readers that word it themselves: `thresholds`,
    /// `require`, `licences.base`, `licences.data`, `data.personal_max_share`, …
    pub key: String,
    /// The threshold as the policy wrote it; absent for rules of another kind.
    pub threshold: Option<Threshold>,
    /// The rule in words, for instance `pearson_r of the tuned model is at least 0.8`.
    pub rule: String,
    /// Where in the evidence the figure stands, for instance `pearson_r of tuned on 742 records`.
    pub evidence: String,
    /// The figure compared; absent when the evidence lacks it or the rule compares none.
    pub figure: Option<f64>,
    /// What the figure is held against, in its unit: the floor, the other's figure, zero where a difference is
    /// judged, the most that the policy allows; absent where nothing is compared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<f64>,
    /// Whether the figure is the difference to the other on the same records, which has to be above zero.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paired: bool,
    /// The slice that decided; absent where the rule is about all records, or no slice is there to judge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slice: Option<JudgedSlice>,
    /// What to do when it fails; empty when it passes.
    pub cure: String,
}

/// The part of the records by which a rule about slices was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgedSlice {
    /// The slicing key, for instance `product`.
    pub by: String,
    /// Its value, for instance `router`.
    pub value: String,
    /// How many records it has.
    pub records: u64,
}

/// Holds `evidence` against `policy`. Pure: same arguments, same verdict.
///
/// What the evidence lacks counts as failed, and so does a policy without thresholds: nothing is
/// admitted because nobody asked.
pub fn check(evidence: &Evidence<'_>, policy: &Policy) -> Verdict {
    let judged = if evidence.statements.contains(&"training") {
        Role::Tuned
    } else {
        Role::Base
    };
    let mut findings = by_thresholds(evidence.report, judged, policy);
    findings.extend(statements::findings(evidence, policy));
    findings.extend(licences::findings(evidence, policy));
    findings.extend(data::findings(evidence, policy));
    Verdict {
        passed: findings.iter().all(|finding| finding.passed),
        findings,
        expires_ms: policy.expires_ms(evidence.at_ms),
    }
}

/// Holds a report alone against the thresholds of `policy`, for looking at an order before its
/// evidence is in the ledger. Never enough to admit: whatever else the policy asks is not looked at.
pub fn check_report(report: &Report, policy: &Policy) -> Verdict {
    let findings = by_thresholds(report, Role::Tuned, policy);
    Verdict {
        passed: findings.iter().all(|finding| finding.passed),
        findings,
        expires_ms: None,
    }
}

fn by_thresholds(report: &Report, judged: Role, policy: &Policy) -> Vec<Finding> {
    if policy.thresholds.is_empty() {
        return vec![Finding {
            passed: false,
            key: "thresholds".to_owned(),
            threshold: None,
            rule: "the policy has at least one threshold".to_owned(),
            evidence: "the policy".to_owned(),
            figure: Some(0.0),
            limit: None,
            paired: false,
            slice: None,
            cure: "give gate.thresholds in pack.yaml".to_owned(),
        }];
    }
    let subject: Option<&Subject> = report.subjects.iter().find(|it| it.role == judged);
    policy
        .thresholds
        .iter()
        .map(|threshold| thresholds::finding(report, subject, threshold))
        .collect()
}

impl Verdict {
    /// The findings as a statement keeps them.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.findings
            .iter()
            .map(|finding| Outcome {
                rule: finding.rule.clone(),
                passed: finding.passed,
                figure: finding.figure_text(),
            })
            .collect()
    }
}

impl Finding {
    /// The figure as text, with four places unless it is whole; empty where there is none.
    pub fn figure_text(&self) -> String {
        match self.figure {
            None => String::new(),
            Some(figure) if figure.fract() == 0.0 && figure.abs() < 1e15 => format!("{figure:.0}"),
            Some(figure) => format!("{figure:.4}"),
        }
    }
}

/// A finding of a rule that is not a threshold.
fn finding(
    key: &str,
    rule: String,
    evidence: String,
    figure: Option<f64>,
    cure: Option<String>,
) -> Finding {
    Finding {
        passed: cure.is_none(),
        key: key.to_owned(),
        threshold: None,
        rule,
        evidence,
        figure,
        limit: None,
        paired: false,
        slice: None,
        cure: cure.unwrap_or_default(),
    }
}
