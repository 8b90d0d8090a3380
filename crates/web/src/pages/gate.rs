//! What the gate found, rule by rule: what does not hold first, with by how much and what helps.
//!
//! The verdict is shown as the gate gave it; nothing is judged here.

use lathe_evidence::report::Subject;
use lathe_gate::{Bound, Finding, Reference, Rule, Slices, Threshold, Verdict};

use super::order::Tile;
use super::report;
use crate::format;
use crate::lang::Say;

/// The gate's section of the order page.
pub(super) struct GateView {
    pub passed: bool,
    pub outcome: String,
    pub sentence: String,
    /// What a refusal means, and what to do; none where it passed.
    pub refused: Option<(String, String)>,
    /// Those that do not hold first.
    pub findings: Vec<FindingRow>,
}

pub(super) struct FindingRow {
    pub passed: bool,
    pub outcome: String,
    pub rule: String,
    pub figure: String,
    /// By how much it is missed; empty where it holds, or nothing was compared.
    pub gap: String,
    /// On which part of the records; empty where on all.
    pub part: String,
    /// What the gate says that it looked at, as it was written; of rules that compare no figure.
    pub said: String,
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
        let failed = verdict.findings.len() - held;
        let counts = [
            ("held", held.to_string()),
            ("all", verdict.findings.len().to_string()),
            ("failed", failed.to_string()),
        ];
        let counts = counts.each_ref().map(|(name, count)| (*name, &count[..]));
        let rows = verdict.findings.iter();
        let mut findings: Vec<_> = rows.map(|finding| row(say, finding, tuned)).collect();
        findings.sort_by_key(|it| it.passed);
        GateView {
            passed: verdict.passed,
            outcome: outcome(say, verdict.passed),
            sentence: say.with("web.gate.sentence", &counts),
            refused: (!verdict.passed).then(|| {
                let text = say.with("web.gate.refused.text", &counts);
                (text, say.it("web.gate.refused.next"))
            }),
            findings,
        }
    }

    /// The rules that do not hold, each in a line with its figure.
    pub fn failed(&self) -> Vec<String> {
        let failed = self.findings.iter().filter(|it| !it.passed);
        let line = |it: &FindingRow| {
            let parts = [&it.rule, &it.figure, &it.gap, &it.part];
            let parts = parts.into_iter().filter(|it| !it.is_empty());
            parts.map(String::as_str).collect::<Vec<_>>().join(" · ")
        };
        failed.map(line).collect()
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
        Some(threshold) => cure(say, finding, threshold, tuned),
        None => say.it(&format!("web.gate.cure.{}", finding.key)),
    };
    FindingRow {
        passed: finding.passed,
        outcome: outcome(say, finding.passed),
        rule: match threshold {
            Some(threshold) => sliced(say, threshold),
            None => other_rule(say, finding),
        },
        figure: figure(say, finding, tuned),
        gap: gap(say, finding),
        part: part(say, finding),
        said: match finding.limit {
            None if !finding.passed && threshold.is_none() => finding.evidence.clone(),
            _ => String::new(),
        },
        cure,
    }
}

/// A rule of another kind than a threshold; of one about a statement, which that is.
fn other_rule(say: Say, finding: &Finding) -> String {
    if let Some(kind) = required(finding) {
        return say.of("web.gate.rule.require.of", say.name_of("web.kind", kind));
    }
    let key = format!("web.gate.rule.{}", finding.key);
    say.with(&key, &[("limit", &limit(finding))])
}

/// The kind of statement that a rule asks for: the gate names it nowhere but in its own words, which verdicts keep.
fn required(finding: &Finding) -> Option<&str> {
    let words = finding.rule.strip_prefix("the chain holds a ")?;
    words.strip_suffix(" statement")
}

/// The limit of a rule about data, as the policy has it: shares as percentages.
fn limit(finding: &Finding) -> String {
    let limit = finding.limit.map(|limit| match is_share(finding) {
        true => report::floor_text(SHARE, limit),
        false => limit.to_string(),
    });
    limit.unwrap_or_else(|| "–".to_owned())
}

/// The metric whose figures are shares.
const SHARE: &str = "valid_json";

/// Whether a rule about data compares shares; the others count.
fn is_share(finding: &Finding) -> bool {
    finding.key.ends_with("_share")
}

/// A figure of a finding in its unit.
fn in_unit(finding: &Finding, figure: f64) -> String {
    match &finding.threshold {
        Some(threshold) => report::figure_text(&threshold.metric, figure),
        None if is_share(finding) => report::figure_text(SHARE, figure),
        None => format::decimals(figure, 0),
    }
}

/// By how much a rule is missed; what is less than the last digit shown is told without a number.
fn gap(say: Say, finding: &Finding) -> String {
    let compared = finding.figure.zip(finding.limit);
    let Some((figure, limit)) = compared.filter(|_| !finding.passed) else {
        return String::new();
    };
    let missed = in_unit(finding, (figure - limit).abs());
    let key = match finding.threshold.as_ref().map(|it| it.rule) {
        None => "web.gate.gap.over",
        Some(Rule::AtLeast(_)) => "web.gate.gap.below",
        Some(Rule::Above(_)) if finding.paired => return say.it("web.gate.gap.zero"),
        Some(Rule::Above(_)) => "web.gate.gap.other",
    };
    let is_tiny = missed == in_unit(finding, 0.0);
    let points = finding.threshold.as_ref().map(|it| &it.metric[..]);
    let points = points.map_or(is_share(finding), report::is_share);
    let missed = match points {
        true => say.of("web.gate.points", missed.trim_end_matches(" %")),
        false => missed,
    };
    let limit = in_unit(finding, limit);
    let words = [("gap", &missed[..]), ("limit", &limit)];
    match is_tiny {
        true => say.with(&format!("{key}.just"), &words),
        false => say.with(key, &words),
    }
}

/// The slice that decided: of those that the rule is about the worst, where it does not name one.
fn part(say: Say, finding: &Finding) -> String {
    let rule = finding.threshold.as_ref().and_then(|it| it.slice.as_ref());
    let decided = finding.slice.as_ref().filter(|_| !finding.passed);
    let Some((rule, decided)) = rule.zip(decided) else {
        return String::new();
    };
    let records = format::count(decided.records);
    match rule.which {
        Slices::Value(_) => say.with("web.gate.slice.named", &[("records", &records)]),
        Slices::Each => {
            let words = [
                ("by", &decided.by[..]),
                ("value", &decided.value),
                ("records", &records),
            ];
            say.with("web.gate.slice.worst", &words)
        }
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
        // What compares no figure lacks none.
        let compares = finding.threshold.is_some() || finding.limit.is_some();
        return match compares {
            true => say.it("web.gate.unmeasured"),
            false => String::new(),
        };
    };
    let text = |figure| in_unit(finding, figure);
    let Some(threshold) = &finding.threshold else {
        return say.of("web.gate.measured", text(figure));
    };
    match threshold.bound {
        // Measured on other records than the base, it is judged by the difference on the same ones.
        Bound::Value if finding.paired => say.of("web.gate.measured.difference", text(figure)),
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

/// What helps. A narrower interval helps nothing where the estimate itself does not reach the floor.
fn cure(say: Say, finding: &Finding, threshold: &Threshold, tuned: Option<&Subject>) -> String {
    let estimate = tuned.and_then(|it| it.metrics.get(&threshold.metric));
    let reaches = |floor| threshold.slice.is_none() && estimate.is_none_or(|it| it.value >= floor);
    let key = match (finding.figure, threshold.rule, threshold.bound) {
        (None, ..) => "web.gate.cure.unmeasured",
        _ if threshold.metric == "valid_json" => "web.gate.cure.valid",
        (_, Rule::AtLeast(floor), Bound::Lower) if reaches(floor) => "web.gate.cure.bound",
        (_, Rule::Above(Reference::BestChallenger), _) => "web.gate.cure.challenger",
        (_, Rule::Above(Reference::Base), _) => "web.gate.cure.base",
        (_, Rule::AtLeast(_), _) => "web.gate.cure.value",
    };
    say.it(key)
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
            limit: match rule {
                Rule::AtLeast(floor) => Some(floor),
                Rule::Above(_) if bound == Bound::PairedLower => Some(0.0),
                Rule::Above(_) => Some(0.75),
            },
            paired: bound == Bound::PairedLower,
            slice: None,
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
                    for text in [&row.rule, &row.figure, &row.gap, &row.cure] {
                        assert!(!text.contains("web.") && !text.contains('{'), "{text}");
                        assert!(!text.is_empty(), "{rule:?} {bound:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn each_statement_that_is_asked_for_is_named() {
        let told = |lang, kind: &str| {
            let asked = Finding {
                key: "require".to_owned(),
                threshold: None,
                rule: format!("the chain holds a {kind} statement"),
                figure: None,
                limit: None,
                ..finding(Rule::AtLeast(0.0), Bound::Value, None)
            };
            row(Say::new(lang), &asked, None).rule
        };
        for (kind, en, zh) in [
            ("base-model", "base model", "基座模型"),
            ("dataset", "dataset", "数据集"),
            ("training", "training", "调优"),
            ("evaluation", "evaluation", "评测"),
        ] {
            let (told_en, told_zh) = (told(Lang::En, kind), told(Lang::Zh, kind));
            assert!(told_en.ends_with(&format!(": {en}")), "{told_en}");
            assert!(told_zh.contains(&format!("“{zh}”")), "{told_zh}");
        }
    }

    #[test]
    fn a_refusal_says_by_how_much_a_rule_is_missed() {
        let gap_of = |finding: &Finding| {
            let told = |lang| gap(Say::new(lang), finding);
            (told(Lang::En), told(Lang::Zh))
        };
        let told = |rule, bound, figure| gap_of(&finding(rule, bound, Some(figure)));
        let own = |en: &str, zh: &str| (en.to_owned(), zh.to_owned());
        assert_eq!(
            told(Rule::AtLeast(0.8), Bound::Value, 0.71),
            own(
                "0.090 below the 0.800 that is needed",
                "低于要求的 0.800，差 0.090"
            )
        );
        let tiny = told(Rule::AtLeast(0.8), Bound::Value, 0.79999);
        assert!(tiny.0.starts_with("just below"), "{tiny:?}");
        let other = told(Rule::Above(Reference::BestChallenger), Bound::Value, 0.71);
        assert!(
            other.0.contains("0.040") && other.0.contains("0.750"),
            "{other:?}"
        );
        let mut share = finding(Rule::AtLeast(0.0), Bound::Value, Some(0.031));
        (share.threshold, share.limit) = (None, Some(0.01));
        share.key = "data.personal_max_share".to_owned();
        let told = gap_of(&share);
        assert!(told.0.contains("2.1 percentage points"), "{told:?}");
        assert!(told.1.contains("2.1 个百分点"), "{told:?}");
        let row = row(Say::new(Lang::En), &share, None);
        assert!(row.rule.ends_with("at most 1 %"), "{}", row.rule);
        assert_eq!(row.figure, "measured 3.1 %");
    }

    #[test]
    fn what_does_not_hold_comes_first_and_says_what_helps() {
        let holds = Finding {
            passed: true,
            ..finding(Rule::AtLeast(0.6), Bound::Value, Some(0.71))
        };
        let low = finding(Rule::AtLeast(0.8), Bound::Lower, Some(0.71));
        let verdict = Verdict {
            passed: false,
            findings: vec![holds, low.clone()],
            expires_ms: None,
        };
        let view = GateView::new(Say::new(Lang::En), &verdict, None);
        assert!(!view.findings[0].passed && view.findings[1].passed);
        let (text, next) = view.refused.as_ref().expect("a refusal");
        assert!(
            text.contains("1 of 2") && next.contains("Clone"),
            "{text} {next}"
        );
        assert_eq!(view.failed().len(), 1);
        // Where the estimate itself is too low, a narrower interval does not help.
        let subject = |value: f64| {
            let metrics =
                serde_json::json!({"pearson_r": {"value": value, "low": 0.71, "high": 0.9}});
            let subject = serde_json::json!({"role": "tuned", "name": "tuned", "note": "",
                "records": 742, "predictions_sha256": null, "slices": [], "metrics": metrics});
            serde_json::from_value::<Subject>(subject).expect("a subject")
        };
        let cure = |value| row(Say::new(Lang::En), &low, Some(&subject(value))).cure;
        assert!(cure(0.85).contains("data.split.test_share"));
        assert!(!cure(0.75).contains("data.split.test_share"));
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
    fn the_slice_is_the_one_that_the_gate_decided_by() {
        let told = |which: serde_json::Value| {
            let mut of_slice = finding(Rule::AtLeast(0.8), Bound::Value, Some(0.71));
            let threshold =
                serde_json::json!({"metric": "pearson_r", "at_least": 0.8, "slice": which});
            of_slice.threshold = Some(serde_json::from_value(threshold).expect("a threshold"));
            let decided = serde_json::json!({"by": "product", "value": "router", "records": 163});
            of_slice.slice = Some(serde_json::from_value(decided).expect("a slice"));
            // An earlier slice of the same key has the same figure.
            let slice = |value: &str| {
                serde_json::json!({"by": "product", "value": value, "records": 200,
                    "metrics": {"pearson_r": 0.71}})
            };
            let subject = serde_json::json!({"role": "tuned", "name": "tuned", "note": "",
                "records": 742, "predictions_sha256": null, "metrics": {},
                "slices": [slice("camera"), slice("router")]});
            let tuned: Subject = serde_json::from_value(subject).expect("a subject");
            row(Say::new(Lang::En), &of_slice, Some(&tuned)).part
        };
        assert_eq!(
            told(serde_json::json!({"by": "product", "each": true})),
            "worst where product is router, on 163 records"
        );
        // A rule that names its slice has no worst one.
        assert_eq!(
            told(serde_json::json!({"by": "product", "value": "router"})),
            "that slice has 163 records"
        );
    }

    #[test]
    fn another_model_that_scored_nothing_is_no_difference() {
        let mut above = finding(Rule::Above(Reference::Base), Bound::Value, Some(-0.1));
        above.limit = Some(0.0);
        let told = |it: &Finding| {
            let row = row(Say::new(Lang::En), it, None);
            (row.figure, row.gap)
        };
        let (figure, gap) = told(&above);
        assert_eq!(figure, "measured −0.100");
        assert!(gap.contains("below the other’s 0.000"), "{gap}");
        above.paired = true;
        let (figure, gap) = told(&above);
        assert!(
            figure.starts_with("difference on the same records"),
            "{figure}"
        );
        assert_eq!(gap, "it has to be above zero");
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
