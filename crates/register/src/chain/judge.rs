//! The gate's verdict, computed anew from the report and the policy.

use std::collections::BTreeMap;

use lathe_evidence::report::{Report, Role};
use lathe_evidence::statement::{Dataset, Link, Verdict};
use lathe_gate::{Evidence, Policy};
use lathe_ledger::History;

use super::denial::{Denial, DenialKind};
use super::walk::{Judged, Trunk, walk_evaluation};

/// What the gate says of the model that `evaluation` measured: the verdict to be said of it, and the
/// findings behind it.
///
/// # Errors
/// A statement that the evaluation rests on is missing or speaks of something else.
pub fn judge(
    history: &History,
    evaluation: &Link,
    report: &Report,
    policy: &Policy,
    order: &str,
    at_ms: i64,
) -> Result<(Verdict, lathe_gate::Verdict), Denial> {
    let trunk = walk_evaluation(history, evaluation)?;
    let found = check(&trunk, report, policy, at_ms);
    let said = Verdict {
        order: order.to_owned(),
        evaluation: *evaluation,
        policy: policy.to_canonical(),
        passed: found.passed,
        outcomes: found.outcomes(),
        expires_ms: found.expires_ms,
        at_ms,
    };
    Ok((said, found))
}

/// The figures of the model judged as an evaluation's statement has them: four places.
pub fn figures(report: &Report, tuned: bool) -> BTreeMap<String, String> {
    let role = if tuned { Role::Tuned } else { Role::Base };
    let subject = report.subjects.iter().find(|it| it.role == role);
    let metrics = subject.into_iter().flat_map(|it| &it.metrics);
    metrics
        .filter(|(_, interval)| interval.value.is_finite())
        .map(|(name, interval)| (name.clone(), format!("{:.4}", interval.value)))
        .collect()
}

/// The names of the challengers as an evaluation's statement has them: in the report's order.
pub fn challengers(report: &Report) -> Vec<String> {
    report.challengers().map(|it| it.name.clone()).collect()
}

/// The report, if the gate passes it and decides as the ledger says.
pub(super) fn hold(
    judged: &Judged<'_>,
    report: Report,
    demonstration: bool,
    denials: &mut Vec<Denial>,
) -> Option<Report> {
    let before = denials.len();
    let verdict = &judged.verdict;
    let found = check(&judged.trunk, &report, &judged.policy, verdict.what.at_ms);
    for finding in found.findings.iter().filter(|it| !it.passed) {
        let denial = Denial::new(DenialKind::Gate, &finding.rule, &finding.evidence);
        denials.push(
            denial
                .with_figure(finding.figure_text())
                .with_cure(&finding.cure),
        );
    }
    let said = verdict.what;
    let agrees = said.passed == found.passed
        && said.outcomes == found.outcomes()
        && said.expires_ms == found.expires_ms;
    if !agrees {
        let rule = "the ledger says of the verdict what the gate decides now";
        let why = format!("the verdict in entry {} says otherwise", verdict.index);
        denials.push(Denial::new(DenialKind::Gate, rule, why));
    }
    let evaluation = &judged.trunk.evaluation;
    let tuned = judged.trunk.training.is_some();
    let same = evaluation.what.figures == figures(&report, tuned)
        && evaluation.what.challengers == challengers(&report);
    if !same {
        let rule = "the evaluation says what its report says";
        let why = format!(
            "the evaluation in entry {} has other figures or challengers",
            evaluation.index
        );
        denials.push(Denial::new(DenialKind::Mismatch, rule, why));
    }
    if report.demonstration != demonstration {
        let rule =
            "what is deployed as a demonstration was measured as one, and the other way round";
        let why = format!("the report says demonstration: {}", report.demonstration);
        denials.push(Denial::new(DenialKind::Mismatch, rule, why));
    }
    (denials.len() == before).then_some(report)
}

fn check(trunk: &Trunk<'_>, report: &Report, policy: &Policy, at_ms: i64) -> lathe_gate::Verdict {
    let datasets: Vec<&Dataset> = trunk.datasets.iter().map(|it| it.what).collect();
    let statements = trunk.statements();
    let evidence = Evidence {
        report,
        base: trunk.base.what,
        datasets: &datasets,
        statements: &statements,
        at_ms,
    };
    lathe_gate::check(&evidence, policy)
}
