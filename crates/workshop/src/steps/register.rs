//! What deploying says in the ledger: the verdict, the registration's steps, the approval, and the
//! deployment itself.
//!
//! Everything is decided on the ledger as it stands when it is said, inside the transaction that
//! writes it: the gate holds report, statements and policy against each other again, a statement
//! that stands already is used instead of said twice. A failed gate is said as well, and asks for
//! correction. In a two-person workshop it stops after the review until an approval is there.
//!
//! Not here: whether the whole makes a chain (`lathe_register::chain`, before the door opens).

use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{
    Approval, ApprovalPolicy, BaseModel, Dataset, Decision, Deployment, Evaluation, Link,
    Predicate, Registration, RegistrationAction, Subject, Verdict,
};
use lathe_gate::Evidence;
use lathe_ledger::history::History;

use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::store::Speaker;

/// The kinds of statement that an order's chain holds when its verdict is given.
const KINDS: [&str; 4] = ["base-model", "dataset", "training", "evaluation"];

/// What is to be deployed.
pub(super) struct Candidate<'a> {
    /// The order.
    pub order: &'a str,
    /// The row it will have.
    pub row: &'a DeploymentRow,
    /// Its report.
    pub report: &'a Report,
    /// The evaluation's statement.
    pub evaluation: Link,
    /// The digest of its task.
    pub task: Digest,
}

/// How far the ledger let it come.
pub(super) enum Standing {
    /// The deployment's statement.
    Deployed(Link),
    /// Somebody has to approve.
    Waits {
        /// The registration's number.
        number: String,
        /// The verdict to be read.
        verdict: Link,
    },
    /// The gate refuses it.
    Refused(lathe_gate::Verdict),
}

/// A registration as its last step left it.
struct Registered {
    number: String,
    link: Link,
    said: Registration,
}

/// Says all that stands between the evaluation and the deployment.
///
/// # Errors
/// `ledger-…`; `ledger-link` when the evaluation is not in the ledger.
pub(super) fn say(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
) -> Result<Standing, WorkshopError> {
    let model = candidate.row.model()?;
    let (verdict, judged) = judge(speaker, candidate, model)?;
    let last = registration_of(speaker.history(), &candidate.row.name);
    if !judged.passed {
        ask_for_correction(speaker, candidate, model, last, verdict, &judged)?;
        return Ok(Standing::Refused(judged));
    }
    let reviewed = review(speaker, candidate, model, last, verdict)?;
    let number = reviewed.number.clone();
    let approval = match approval_of(speaker.history(), &number, &verdict) {
        Some(link) => link,
        None if speaker.history().approval_policy() == ApprovalPolicy::TwoPerson => {
            return Ok(Standing::Waits { number, verdict });
        }
        None => approve_oneself(speaker, candidate, model, &number, verdict, &judged)?,
    };
    let registration = enter(speaker, candidate, model, reviewed, verdict, approval)?;
    deploy(speaker, candidate, model, registration, verdict).map(Standing::Deployed)
}

/// The verdict, as it stands or newly said.
fn judge(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
) -> Result<(Link, lathe_gate::Verdict), WorkshopError> {
    let at_ms = speaker.at_ms();
    let judged = hold(speaker.history(), candidate, at_ms)?;
    let policy = candidate.row.policy.to_canonical();
    let standing = speaker.history().of_kind("verdict").rev().find(|entry| {
        let Predicate::Verdict(said) = &entry.statement.predicate else {
            return false;
        };
        entry.statement.subject() == model
            && said.evaluation == candidate.evaluation
            && said.policy == policy
            && said.outcomes == judged.outcomes()
            && said.expires_ms.is_none_or(|expires| expires > at_ms)
    });
    if let Some(entry) = standing {
        return Ok((entry.link, judged));
    }
    let said = Verdict {
        order: candidate.order.to_owned(),
        evaluation: candidate.evaluation,
        policy,
        passed: judged.passed,
        outcomes: judged.outcomes(),
        expires_ms: judged.expires_ms,
        at_ms,
    };
    let link = speaker.say(&candidate.row.name, model, said)?;
    Ok((link, judged))
}

/// Holds what the ledger says of the evaluation, with the report, against the policy.
fn hold(
    history: &History,
    candidate: &Candidate<'_>,
    at_ms: i64,
) -> Result<lathe_gate::Verdict, WorkshopError> {
    let missing = |what: &str| {
        WorkshopError::new(
            "ledger-link",
            format!(
                "the ledger has no standing {what} of {}",
                candidate.row.name
            ),
            "run the order again",
        )
    };
    let evaluation = history
        .said::<Evaluation>(&candidate.evaluation)
        .ok_or_else(|| missing("evaluation"))?;
    let base = history
        .said::<BaseModel>(&evaluation.base)
        .ok_or_else(|| missing("base model"))?;
    let dataset = history
        .said::<Dataset>(&evaluation.dataset)
        .ok_or_else(|| missing("dataset"))?;
    let evidence = Evidence {
        report: candidate.report,
        base,
        datasets: &[dataset],
        statements: &KINDS,
        at_ms,
    };
    Ok(lathe_gate::check(&evidence, &candidate.row.policy))
}

/// The last step of the registration that this name has, unless it was cancelled.
fn registration_of(history: &History, name: &str) -> Option<Registered> {
    let mut steps = history.of_kind("registration").rev();
    let (link, said) = steps.find_map(|entry| match &entry.statement.predicate {
        Predicate::Registration(said) if said.name == name => Some((entry.link, said)),
        _ => None,
    })?;
    (said.action != RegistrationAction::Cancelled).then(|| Registered {
        number: said.number.clone(),
        link,
        said: said.clone(),
    })
}

/// A number that no registration of this workshop has: R and how many there were, from 1.
fn next_number(history: &History) -> String {
    let first = history.of_kind("registration").filter(|entry| {
        matches!(&entry.statement.predicate,
            Predicate::Registration(said) if said.previous.is_none())
    });
    format!("R{:04}", first.count() + 1)
}

/// A step of a registration, said.
fn step(
    speaker: &mut Speaker<'_>,
    name: &str,
    model: Digest,
    said: Registration,
) -> Result<Registered, WorkshopError> {
    let link = speaker.say(name, model, said.clone())?;
    Ok(Registered {
        number: said.number.clone(),
        link,
        said,
    })
}

/// Hands the registration in, where it is not: a new number, or again after a correction.
fn submit(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    last: Option<&Registered>,
    verdict: Link,
) -> Result<Registered, WorkshopError> {
    let name = &candidate.row.name;
    let said = Registration {
        number: last.map_or_else(
            || next_number(speaker.history()),
            |last| last.number.clone(),
        ),
        name: name.clone(),
        action: RegistrationAction::Submitted,
        previous: last.map(|last| last.link),
        verdict,
        approval: None,
        note: format!("handed in by order {}", candidate.order),
        at_ms: speaker.at_ms(),
    };
    step(speaker, name, model, said)
}

/// Asks for correction of what is not registered yet. What is registered stands as it is: of the
/// attempt to change it the verdict tells.
fn ask_for_correction(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    last: Option<Registered>,
    verdict: Link,
    judged: &lathe_gate::Verdict,
) -> Result<(), WorkshopError> {
    use RegistrationAction::{Changed, CorrectionAsked, Registered as Entered};
    if let Some(last) = &last {
        let stands = matches!(last.said.action, Entered | Changed);
        let asked = last.said.action == CorrectionAsked && last.said.verdict == verdict;
        if stands || asked {
            return Ok(());
        }
    }
    let submitted = submit(speaker, candidate, model, last.as_ref(), verdict)?;
    let cures: Vec<&str> = judged
        .findings
        .iter()
        .filter(|finding| !finding.passed)
        .map(|finding| finding.rule.as_str())
        .collect();
    let said = Registration {
        action: CorrectionAsked,
        previous: Some(submitted.link),
        note: format!("does not hold: {}", cures.join("; ")),
        ..submitted.said
    };
    step(speaker, &candidate.row.name, model, said).map(drop)
}

/// Brings the registration to the point where it may be approved.
fn review(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    last: Option<Registered>,
    verdict: Link,
) -> Result<Registered, WorkshopError> {
    use RegistrationAction::{Changed, Registered as Entered, Reviewed};
    let last = match last {
        Some(last) if matches!(last.said.action, Entered | Changed) => return Ok(last),
        Some(last) if last.said.action == Reviewed && last.said.verdict == verdict => {
            return Ok(last);
        }
        other => other,
    };
    let submitted = submit(speaker, candidate, model, last.as_ref(), verdict)?;
    let said = Registration {
        action: Reviewed,
        previous: Some(submitted.link),
        note: "complete, and passed by the gate".to_owned(),
        ..submitted.said
    };
    step(speaker, &candidate.row.name, model, said)
}

/// The standing approval of this verdict under this number.
fn approval_of(history: &History, number: &str, verdict: &Link) -> Option<Link> {
    let mut approvals = history.of_kind("approval").rev();
    let decided = approvals.find_map(|entry| match &entry.statement.predicate {
        Predicate::Approval(said) if said.number == number && said.verdict == *verdict => {
            Some((entry.link, said.decision, said.expires_ms))
        }
        _ => None,
    });
    let (link, decision, expires_ms) = decided?;
    let stands = expires_ms.is_none_or(|expires| expires > history.last_ms());
    (decision == Decision::Approved && stands).then_some(link)
}

fn approve_oneself(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    number: &str,
    verdict: Link,
    judged: &lathe_gate::Verdict,
) -> Result<Link, WorkshopError> {
    let said = Approval {
        number: number.to_owned(),
        verdict,
        decision: Decision::Approved,
        reason: "self-approved: this workshop's policy is `approval: self`".to_owned(),
        expires_ms: judged.expires_ms,
        at_ms: speaker.at_ms(),
    };
    speaker.say(&candidate.row.name, model, said)
}

/// Enters the model into the register, or changes what is entered, or finds it as it is.
fn enter(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    last: Registered,
    verdict: Link,
    approval: Link,
) -> Result<Link, WorkshopError> {
    use RegistrationAction::{Changed, Registered as Entered};
    let entered = matches!(last.said.action, Entered | Changed);
    if entered && last.said.verdict == verdict && last.said.approval == Some(approval) {
        return Ok(last.link);
    }
    let said = Registration {
        number: last.number,
        name: candidate.row.name.clone(),
        action: if entered { Changed } else { Entered },
        previous: Some(last.link),
        verdict,
        approval: Some(approval),
        note: format!("by order {}", candidate.order),
        at_ms: speaker.at_ms(),
    };
    step(speaker, &candidate.row.name, model, said).map(|entered| entered.link)
}

/// The deployment, as it stands or newly said.
fn deploy(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
    registration: Link,
    verdict: Link,
) -> Result<Link, WorkshopError> {
    let row = candidate.row;
    let previous = deployment_of(speaker.history(), &row.name);
    if let Some((link, said)) = &previous
        && said.registration == registration
        && said.verdict == verdict
    {
        return Ok(*link);
    }
    let base_model = super::digest(&row.base)?;
    let adapter = row.adapter.as_deref().map(super::digest).transpose()?;
    let said = Deployment {
        name: row.name.clone(),
        registration,
        verdict,
        base_model,
        adapter,
        task: candidate.task,
        demonstration: row.demonstration,
        previous: previous.map(|(link, _)| link),
        at_ms: speaker.at_ms(),
    };
    let mut subjects = vec![Subject::new(&row.name, model)];
    if adapter.is_some() {
        subjects.push(Subject::new("base model", base_model));
    }
    speaker.say_of(subjects, said)
}

/// The newest standing deployment under this name.
pub(crate) fn deployment_of(history: &History, name: &str) -> Option<(Link, Deployment)> {
    let mut deployments = history.of_kind("deployment").rev();
    deployments.find_map(|entry| match &entry.statement.predicate {
        Predicate::Deployment(said) if said.name == name => Some((entry.link, said.clone())),
        _ => None,
    })
}
