//! What deploying says in the ledger: the verdict, the registration's steps, the approval, and the
//! deployment itself.
//!
//! Everything is decided on the ledger as it stands when it is said, inside the transaction that
//! writes it: the gate holds report, statements and policy against each other again, a statement
//! that stands already is used instead of said twice. A failed gate is said as well, and asks for
//! correction. In a two-person workshop, and in one that has people, it stops after the review until an
//! approval is there.
//!
//! Not here: whether the whole makes a chain (`lathe_register::chain`, before the door opens).

use lathe_evidence::Digest;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{
    Approval, ApprovalPolicy, Decision, Deployment, Link, Predicate, Registration,
    RegistrationAction, Subject,
};
use lathe_ledger::History;
use lathe_ledger::history::Entry;
use lathe_register::chain;

use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::store::Speaker;

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
    /// Somebody else has to approve, whatever the workshop began with: there are people.
    pub has_people: bool,
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
pub(crate) struct Registered {
    /// Its number.
    pub number: String,
    /// The step's statement.
    pub link: Link,
    /// What it says.
    pub said: Registration,
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
    let mut desk = Desk {
        speaker,
        candidate,
        model,
        verdict,
    };
    if !judged.passed {
        desk.ask_for_correction(last, &judged)?;
        return Ok(Standing::Refused(judged));
    }
    let reviewed = desk.review(last)?;
    let number = reviewed.number.clone();
    let history = desk.speaker.history();
    let approval = match approval_of(history, &number, &verdict) {
        Some(link) => link,
        None if candidate.has_people || history.approval_policy() == ApprovalPolicy::TwoPerson => {
            return Ok(Standing::Waits { number, verdict });
        }
        None => desk.approve_oneself(number, judged.expires_ms)?,
    };
    let registration = desk.enter(reviewed, approval)?;
    desk.deploy(registration).map(Standing::Deployed)
}

/// The verdict, as it stands or newly said.
fn judge(
    speaker: &mut Speaker<'_>,
    candidate: &Candidate<'_>,
    model: Digest,
) -> Result<(Link, lathe_gate::Verdict), WorkshopError> {
    let at_ms = speaker.at_ms();
    let (said, judged) = chain::judge(
        speaker.history(),
        &candidate.evaluation,
        candidate.report,
        &candidate.row.policy,
        candidate.order,
        at_ms,
    )
    .map_err(|denial| WorkshopError::new(denial.code, denial.to_string(), denial.cure))?;
    let standing = speaker.history().of_kind("verdict").rev().find(|entry| {
        let Predicate::Verdict(earlier) = &entry.statement.predicate else {
            return false;
        };
        entry.statement.subject() == model
            && earlier.evaluation == said.evaluation
            && earlier.policy == said.policy
            && earlier.outcomes == said.outcomes
            && earlier.expires_ms.is_none_or(|expires| expires > at_ms)
    });
    if let Some(entry) = standing {
        return Ok((entry.link, judged));
    }
    let link = speaker.say(&candidate.row.name, model, said)?;
    Ok((link, judged))
}

/// The last step of the registration that this name has, unless it was cancelled.
pub(crate) fn registration_of(history: &History, name: &str) -> Option<Registered> {
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

/// The next free number of a year: `2026-0001`.
fn next_number(history: &History, year: i32) -> String {
    let taken = history.of_kind("registration").filter_map(|entry| {
        let said = history.said::<Registration>(&entry.link)?;
        let (of, count) = said.number.split_once('-')?;
        (of == year.to_string()).then(|| count.parse::<u64>().ok())?
    });
    format!("{year}-{:04}", taken.max().unwrap_or(0) + 1)
}

/// The year of a moment, for numbers of the register.
fn year(at_ms: i64) -> i32 {
    // Days since 1970 to a civil year: Howard Hinnant's algorithm, from the first of March.
    let days = at_ms.div_euclid(86_400_000) + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let january = day_of_year >= 306;
    i32::try_from(year_of_era + era * 400 + i64::from(january)).unwrap_or(i32::MAX)
}

/// Where one candidate is registered and deployed: everything said here is about its model and rests
/// on its verdict.
struct Desk<'d, 's> {
    speaker: &'d mut Speaker<'s>,
    candidate: &'d Candidate<'d>,
    model: Digest,
    verdict: Link,
}

impl Desk<'_, '_> {
    /// Says the step of the registration that comes after `last`; without one, the first of a new
    /// number.
    fn step(
        &mut self,
        last: Option<&Registered>,
        action: RegistrationAction,
        approval: Option<Link>,
        note: String,
    ) -> Result<Registered, WorkshopError> {
        let at_ms = self.speaker.at_ms();
        let number = match last {
            Some(last) => last.number.clone(),
            None => next_number(self.speaker.history(), year(at_ms)),
        };
        let name = &self.candidate.row.name;
        let said = Registration {
            number: number.clone(),
            name: name.clone(),
            action,
            previous: last.map(|last| last.link),
            verdict: self.verdict,
            approval,
            note,
            at_ms,
        };
        let link = self.speaker.say(name, self.model, said.clone())?;
        Ok(Registered { number, link, said })
    }

    /// Hands the registration in, where it is not: a new number, or again after a correction.
    fn submit(&mut self, last: Option<&Registered>) -> Result<Registered, WorkshopError> {
        let note = format!("handed in by order {}", self.candidate.order);
        self.step(last, RegistrationAction::Submitted, None, note)
    }

    /// Asks for correction of what is not registered yet. What is registered stands as it is: of the
    /// attempt to change it the verdict tells.
    fn ask_for_correction(
        &mut self,
        last: Option<Registered>,
        judged: &lathe_gate::Verdict,
    ) -> Result<(), WorkshopError> {
        use RegistrationAction::{
            Changed, CorrectionAsked, Registered as Entered, Reviewed, Submitted,
        };
        let failed = judged.findings.iter().filter(|finding| !finding.passed);
        let rules: Vec<&str> = failed.map(|finding| finding.rule.as_str()).collect();
        let note = format!("does not hold: {}", rules.join("; "));
        let handed_in = match last {
            Some(last) if matches!(last.said.action, Entered | Changed) => return Ok(()),
            Some(last)
                if last.said.action == CorrectionAsked && last.said.verdict == self.verdict =>
            {
                return Ok(());
            }
            Some(last) if matches!(last.said.action, Submitted | Reviewed) => last,
            other => self.submit(other.as_ref())?,
        };
        self.step(Some(&handed_in), CorrectionAsked, None, note)
            .map(drop)
    }

    /// Brings the registration to the point where it may be approved.
    fn review(&mut self, last: Option<Registered>) -> Result<Registered, WorkshopError> {
        use RegistrationAction::{
            Changed, CorrectionAsked, Registered as Entered, Reviewed, Submitted,
        };
        let last = match last {
            Some(last) if matches!(last.said.action, Entered | Changed) => return Ok(last),
            Some(last) if last.said.action == Reviewed && last.said.verdict == self.verdict => {
                return Ok(last);
            }
            // Another verdict came while the last one waited.
            Some(last) if matches!(last.said.action, Submitted | Reviewed) => {
                let note = "another verdict took its place".to_owned();
                Some(self.step(Some(&last), CorrectionAsked, None, note)?)
            }
            other => other,
        };
        let submitted = self.submit(last.as_ref())?;
        let note = "complete, and passed by the gate".to_owned();
        self.step(Some(&submitted), Reviewed, None, note)
    }

    fn approve_oneself(
        &mut self,
        number: String,
        expires_ms: Option<i64>,
    ) -> Result<Link, WorkshopError> {
        let said = Approval {
            number,
            verdict: self.verdict,
            decision: Decision::Approved,
            reason: "self-approved: this workshop's policy is `approval: self`".to_owned(),
            expires_ms,
            at_ms: self.speaker.at_ms(),
        };
        self.speaker.say(&self.candidate.row.name, self.model, said)
    }

    /// Enters the model into the register, or changes what is entered, or finds it as it is.
    fn enter(&mut self, last: Registered, approval: Link) -> Result<Link, WorkshopError> {
        use RegistrationAction::{Changed, Registered as Entered};
        let entered = matches!(last.said.action, Entered | Changed);
        if entered && last.said.verdict == self.verdict && last.said.approval == Some(approval) {
            return Ok(last.link);
        }
        let action = if entered { Changed } else { Entered };
        let note = format!("by order {}", self.candidate.order);
        let step = self.step(Some(&last), action, Some(approval), note)?;
        Ok(step.link)
    }

    /// The deployment, as it stands or newly said. One from before a restore does not stand.
    fn deploy(&mut self, registration: Link) -> Result<Link, WorkshopError> {
        let row = self.candidate.row;
        let history = self.speaker.history();
        let previous = deployment_of(history, &row.name);
        if let Some((entry, said)) = previous
            && said.registration == registration
            && said.verdict == self.verdict
            && chain::restored_since(history, entry.index).is_none()
        {
            return Ok(entry.link);
        }
        let base_model = super::digest(&row.base)?;
        let adapter = row.adapter.as_deref().map(super::digest).transpose()?;
        let said = Deployment {
            name: row.name.clone(),
            registration,
            verdict: self.verdict,
            base_model,
            adapter,
            task: self.candidate.task,
            demonstration: row.demonstration,
            previous: previous.map(|(entry, _)| entry.link),
            at_ms: self.speaker.at_ms(),
        };
        let mut subjects = vec![Subject::new(&row.name, self.model)];
        if adapter.is_some() {
            subjects.push(Subject::new("base model", base_model));
        }
        self.speaker.say_of(subjects, said)
    }
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

/// The newest standing deployment under this name.
fn deployment_of<'h>(history: &'h History, name: &str) -> Option<(&'h Entry, &'h Deployment)> {
    let mut deployments = history.of_kind("deployment").rev();
    deployments.find_map(|entry| match &entry.statement.predicate {
        Predicate::Deployment(said) if said.name == name => Some((entry, said)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::year;

    #[test]
    fn years_begin_on_the_first_of_january() {
        // `date -u -d '… UTC' +%s`
        for (at_s, expected) in [
            (0, 1970),
            (-1, 1969),
            (951_868_799, 2000),
            (978_307_199, 2000),
            (978_307_200, 2001),
            (1_767_225_599, 2025),
            (1_767_225_600, 2026),
        ] {
            assert_eq!(year(at_s * 1000), expected, "{at_s}");
        }
    }
}
