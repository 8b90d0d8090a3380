//! What the gate found, rule by rule.
//!
//! The verdict is shown as the gate gave it; nothing is judged here.

use lathe_gate::{Finding, Verdict};

use super::order::Tile;
use crate::format;
use crate::lang::Say;

/// The gate's section of the order page.
pub(super) struct GateView {
    pub passed: bool,
    pub outcome: String,
    pub sentence: String,
    pub findings: Vec<FindingRow>,
}

pub(super) struct FindingRow {
    pub passed: bool,
    pub outcome: String,
    pub rule: String,
    pub figure: String,
    pub evidence: String,
    pub cure: String,
}

impl GateView {
    /// The verdict in words.
    pub fn new(say: Say, verdict: &Verdict) -> GateView {
        let held = verdict
            .findings
            .iter()
            .filter(|finding| finding.passed)
            .count();
        let counts = [
            ("held", held.to_string()),
            ("all", verdict.findings.len().to_string()),
        ];
        GateView {
            passed: verdict.passed,
            outcome: outcome(say, verdict.passed),
            sentence: say.with(
                "web.gate.sentence",
                &[("held", &counts[0].1), ("all", &counts[1].1)],
            ),
            findings: verdict
                .findings
                .iter()
                .map(|finding| row(say, finding))
                .collect(),
        }
    }

    /// The verdict among the order's leading figures.
    pub fn tile(&self, say: Say) -> Tile {
        Tile {
            class: if self.passed { "good" } else { "bad" },
            name: say.it("web.gate.title"),
            value: self.outcome.clone(),
            note: self.sentence.clone(),
        }
    }
}

fn outcome(say: Say, passed: bool) -> String {
    say.it(if passed {
        "web.gate.passed"
    } else {
        "web.gate.refused"
    })
}

fn row(say: Say, finding: &Finding) -> FindingRow {
    FindingRow {
        passed: finding.passed,
        outcome: outcome(say, finding.passed),
        rule: finding.rule.clone(),
        figure: finding
            .figure
            .map(|figure| format::decimals(figure, 3))
            .unwrap_or_default(),
        evidence: finding.evidence.clone(),
        cure: finding.cure.clone(),
    }
}
