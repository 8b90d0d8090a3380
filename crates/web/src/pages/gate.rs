//! What the gate found, rule by rule.
//!
//! The verdict is shown as the gate gave it; nothing is judged here.

use lathe_evidence::report::Subject;
use lathe_gate::{Bound, Finding, Reference, Rule, Slices, Threshold, Verdict};

use super::order::Tile;
use super::report;
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
    pub cure: String,
}

impl GateView {
    /// The verdict in words; the tuned model's own figures stand beside the bounds that were judged.
    pub fn new(say: Say, verdict: &Verdict, tuned: Option<&Subject>) -> GateView {
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
                .map(|finding| row(say, finding, tuned))
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

fn row(say: Say, finding: &Finding, tuned: Option<&Subject>) -> FindingRow {
    let threshold = finding.threshold.as_ref();
    let cure = match threshold {
        _ if finding.passed => String::new(),
        Some(threshold) => cure(say, finding, threshold),
        None => say.it(&format!("web.gate.cure.{}", finding.key)),
    };
    FindingRow {
        passed: finding.passed,
        outcome: outcome(say, finding.passed),
        rule: match threshold {
            Some(threshold) => sliced(say, threshold),
            None => say.it(&format!("web.gate.rule.{}", finding.key)),
        },
        figure: figure(say, finding, tuned),
        cure,
    }
}

/// The rule with the part of the records it is about.
fn sliced(say: Say, threshold: &Threshold) -> String {
    let rule = rule(say, threshold);
    let Some(slice) = &threshold.slice else {
        return rule;
    };
    let fewest = slice.records_min.to_string();
    let named = [
        ("rule", rule.as_str()),
        ("by", slice.by.as_str()),
        ("records", fewest.as_str()),
    ];
    match &slice.which {
        Slices::Each => say.with("web.gate.slice.each", &named),
        Slices::Value(value) => {
            let value = [("value", value.as_str())];
            say.with("web.gate.slice.value", &[&named[..], &value[..]].concat())
        }
    }
}

/// The rule as a sentence; the gate's own words are English.
fn rule(say: Say, threshold: &Threshold) -> String {
    let metric = report::metric(say, &threshold.metric);
    let bound = match threshold.bound {
        Bound::Value => "value",
        Bound::Lower => "lower",
        Bound::PairedLower => "paired_lower",
    };
    match threshold.rule {
        Rule::AtLeast(floor) => {
            let key = format!("web.gate.at_least.{bound}");
            say.with(
                &key,
                &[
                    ("metric", &metric),
                    ("floor", &report::floor_text(&threshold.metric, floor)),
                ],
            )
        }
        Rule::Above(reference) => {
            let other = say.it(match reference {
                Reference::Base => "web.gate.the_base",
                Reference::BestChallenger => "web.gate.the_best",
            });
            let key = format!("web.gate.above.{bound}");
            say.with(&key, &[("metric", &metric), ("other", &other)])
        }
    }
}

/// What was measured and judged: of an interval its lower end, with the estimate that reports lead with.
fn figure(say: Say, finding: &Finding, tuned: Option<&Subject>) -> String {
    let Some(figure) = finding.figure else {
        return say.it("web.gate.unmeasured");
    };
    let Some(threshold) = &finding.threshold else {
        return say.of("web.gate.measured", report::figure_text("", figure));
    };
    let text = |figure| report::figure_text(&threshold.metric, figure);
    match threshold.bound {
        Bound::Value => say.of("web.gate.measured", text(figure)),
        Bound::PairedLower => say.of("web.gate.measured.paired", text(figure)),
        Bound::Lower => {
            let estimate = tuned.filter(|_| threshold.slice.is_none());
            let estimate = estimate.and_then(|it| it.metrics.get(&threshold.metric));
            match estimate {
                Some(estimate) => say.with(
                    "web.gate.measured.lower.of",
                    &[("low", &text(figure)), ("value", &text(estimate.value))],
                ),
                None => say.of("web.gate.measured.lower", text(figure)),
            }
        }
    }
}

fn cure(say: Say, finding: &Finding, threshold: &Threshold) -> String {
    say.it(
        match (finding.figure, threshold.metric.as_str(), threshold.bound) {
            (None, ..) => "web.gate.cure.unmeasured",
            (_, "valid_json", _) => "web.gate.cure.valid",
            (_, _, Bound::Lower | Bound::PairedLower) => "web.gate.cure.bound",
            (_, _, Bound::Value) => "web.gate.cure.value",
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_workshop::words::Lang;

    fn finding(rule: Rule, bound: Bound, figure: Option<f64>) -> Finding {
        let metric = "pearson_r".to_owned();
        Finding {
            passed: false,
            key: "thresholds".to_owned(),
            threshold: Some(Threshold {
                metric,
                rule,
                bound,
                slice: None,
            }),
            rule: "a rule".to_owned(),
            evidence: String::new(),
            figure,
            cure: "a cure".to_owned(),
        }
    }

    #[test]
    fn every_rule_has_a_sentence_in_both_languages() {
        let rules = [
            Rule::AtLeast(0.8),
            Rule::Above(Reference::Base),
            Rule::Above(Reference::BestChallenger),
        ];
        for lang in [Lang::Zh, Lang::En] {
            for rule in rules {
                for bound in [Bound::Value, Bound::Lower, Bound::PairedLower] {
                    // A floor has no pair: the policy refuses it while reading.
                    if matches!((rule, bound), (Rule::AtLeast(_), Bound::PairedLower)) {
                        continue;
                    }
                    let row = row(Say::new(lang), &finding(rule, bound, Some(0.71)), None);
                    for text in [&row.rule, &row.figure, &row.cure] {
                        assert!(!text.contains("web.") && !text.contains('{'), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn rules_of_other_kinds_have_words_too() {
        let keys = [
            "thresholds",
            "require",
            "licences.base",
            "licences.data",
            "data.personal_max_share",
            "data.harmful_max_share",
            "data.duplicates_max_share",
            "data.overlap_max_records",
        ];
        for lang in [Lang::Zh, Lang::En] {
            for key in keys {
                let mut of_key = finding(Rule::AtLeast(0.0), Bound::Value, None);
                (of_key.threshold, of_key.key) = (None, key.to_owned());
                let row = row(Say::new(lang), &of_key, None);
                for text in [&row.rule, &row.cure] {
                    assert!(!text.contains("web.") && !text.contains('{'), "{text}");
                }
            }
        }
    }

    #[test]
    fn a_slice_is_named() {
        let mut of_slice = finding(Rule::AtLeast(0.8), Bound::Value, Some(0.71));
        let threshold = serde_json::json!({"metric": "pearson_r", "at_least": 0.8,
            "slice": {"by": "product", "each": true, "records_min": 30}});
        of_slice.threshold = Some(serde_json::from_value(threshold).expect("a threshold"));
        let row = row(Say::new(Lang::Zh), &of_slice, None);
        assert_eq!(
            row.rule,
            "调优模型的皮尔逊相关系数不低于 0.8（product 的每个切片，至少 30 条记录）"
        );
    }

    #[test]
    fn a_rule_reads_as_a_sentence() {
        let zh = row(
            Say::new(Lang::Zh),
            &finding(Rule::AtLeast(0.8), Bound::Value, Some(0.71)),
            None,
        );
        assert_eq!(zh.rule, "调优模型的皮尔逊相关系数不低于 0.8");
        assert_eq!(zh.figure, "实测 0.710");
    }

    #[test]
    fn the_lower_end_of_an_interval_is_called_so_beside_the_estimate() {
        let subject = serde_json::json!({"role": "tuned", "name": "tuned", "note": "",
            "records": 742, "predictions_sha256": null, "slices": [],
            "metrics": {"pearson_r": {"value": 0.691, "low": 0.643, "high": 0.731}}});
        let tuned: Subject = serde_json::from_value(subject).expect("a subject");
        let finding = finding(Rule::AtLeast(0.6), Bound::Lower, Some(0.643));
        for (lang, words) in [(Lang::En, "lower end"), (Lang::Zh, "置信区间下限")] {
            let told = figure(Say::new(lang), &finding, Some(&tuned));
            let numbers = told.contains("0.643") && told.contains("0.691");
            assert!(numbers && told.contains(words), "{told}");
        }
        let alone = figure(Say::new(Lang::En), &finding, None);
        assert!(
            alone.contains("lower end") && alone.contains("0.643"),
            "{alone}"
        );
    }
}
