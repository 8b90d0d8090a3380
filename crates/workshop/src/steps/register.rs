//! What deploying says in the ledger: the verdict, the registration's steps, the approval, and the
//! deployment itself.
//!
//! Everything is decided on the ledger as it stands when it is said, inside the transaction that
//! writes it: the gate holds report, statements and policy against each other again, a statement
//! that stands already is used instead of said twice. A failed gate is said as well, and asks for
//! correction. In a two-person workshop, and in one that has people, it stops after the review until an
//! approval is there. What the workshop approved by itself, before there were people, lets nothing answer anew
//! once there are: somebody decides about it first.
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
use lathe_register::chain::{self, Approver};

use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::note::{self, StepNote};
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
        /// It has an approval, which was nobody's: the workshop's own, of before there were people.
        by_itself: bool,
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
    let found = approval_of(history, &number, &verdict);
    let by_itself = candidate.has_people && found.is_some_and(|it| is_nobodys(history, &it));
    let approval = match found {
        Some(link) if !by_itself || answers_by(history, &reviewed, &link) => link,
        None if !candidate.has_people && history.approval_policy() == ApprovalPolicy::Itself => {
            desk.approve_oneself(number, judged.expires_ms)?
        }
        _ => {
            return Ok(Standing::Waits {
                number,
                verdict,
                by_itself,
            });
        }
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
        let note = StepNote::HandedIn(self.candidate.order).text();
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
        let note = StepNote::Refused(&rules.join("; ")).text();
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
                let note = StepNote::Superseded.text();
                Some(self.step(Some(&last), CorrectionAsked, None, note)?)
            }
            other => other,
        };
        let submitted = self.submit(last.as_ref())?;
        let note = StepNote::Reviewed.text();
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
            reason: note::self_approved(),
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
        let note = StepNote::Entered(self.candidate.order).text();
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

/// Whether an approval is nobody's: the workshop's own key signed it, and for no person.
fn is_nobodys(history: &History, approval: &Link) -> bool {
    let said = history
        .get(approval)
        .zip(history.said::<Approval>(approval));
    said.is_none_or(|(entry, said)| {
        matches!(
            chain::approver(history, &entry.signer, said),
            Approver::Itself(_)
        )
    })
}

/// Whether what answers under the registration's name rests on this very approval: then nothing answers by it that
/// does not already.
fn answers_by(history: &History, last: &Registered, approval: &Link) -> bool {
    let deployed = deployment_of(history, &last.said.name);
    let stands = deployed.is_some_and(|(entry, said)| {
        said.registration == last.link && chain::restored_since(history, entry.index).is_none()
    });
    stands && last.said.approval == Some(*approval)
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
    use serde_json::{Value, json};

    use super::*;
    use crate::catalogue::DeployedTask;
    use crate::order::{OrderId, Title};
    use crate::testing::{evaluated, shop};
    use crate::workshop::Workshop;

    const NAME: &str = "care";

    /// A report of a base model that holds.
    fn report() -> Report {
        let report = json!({
            "version": 1, "demonstration": false, "primary_metric": "accuracy", "records": 20,
            "groups": 4, "paired": [], "worst": [], "bootstrap": {"resamples": 100, "seed": 1},
            "subjects": [{
                "role": "base", "name": "base", "note": "", "records": 20,
                "predictions_sha256": null, "slices": [],
                "metrics": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}},
            }],
        });
        serde_json::from_value(report).expect("a report")
    }

    fn row(model: &str) -> DeploymentRow {
        let policy = json!({"thresholds": [{"metric": "accuracy", "at_least": 0.8}]});
        DeploymentRow {
            name: NAME.to_owned(),
            input: model.to_owned(),
            order: OrderId::new(),
            base: Digest::of(model.as_bytes()).to_string(),
            adapter: None,
            report: "report".to_owned(),
            policy: serde_json::from_value(policy).expect("a policy"),
            task: DeployedTask {
                title: Title::default(),
                system: None,
                examples: Vec::new(),
                schema: Value::Null,
            },
            demonstration: false,
            created_ms: 1,
            link: None,
        }
    }

    /// The evaluation of a base model as it came, said once.
    fn measured(speaker: &mut Speaker<'_>, model: &str) -> Result<Link, WorkshopError> {
        let subject = Digest::of(format!("report of {model}").as_bytes());
        if let Some(entry) = speaker.history().find("evaluation", &subject) {
            return Ok(entry.link);
        }
        let model = Digest::of(model.as_bytes());
        evaluated(speaker, [model, model, subject], Digest::of(b"any"))
    }

    /// How far an order of this model comes.
    async fn comes(shop: &Workshop, model: &str, has_people: bool) -> Standing {
        let (row, report) = (row(model), report());
        let said = shop.apply_said(|speaker| {
            let candidate = Candidate {
                order: "an order",
                row: &row,
                report: &report,
                evaluation: measured(speaker, model)?,
                task: Digest::of(b"any"),
                has_people,
            };
            Ok((Vec::new(), say(speaker, &candidate)?))
        });
        said.await.expect("it is said")
    }

    /// Whether it answers; of what waits, the verdict, and whether its approval is the workshop's own.
    fn told(standing: Standing) -> Result<Link, (Link, bool)> {
        match standing {
            Standing::Deployed(link) => Ok(link),
            Standing::Waits {
                verdict, by_itself, ..
            } => Err((verdict, by_itself)),
            Standing::Refused(judged) => panic!("the gate refuses it: {judged:?}"),
        }
    }

    #[tokio::test]
    async fn what_nobody_approved_answers_anew_only_once_somebody_does() {
        let (_folder, shop) = shop().await;
        // Before there are people the workshop approves by itself, one model after the other.
        told(comes(&shop, "a", false).await).expect("it answers");
        let b = told(comes(&shop, "b", false).await).expect("it answers");
        // Then the former one does not come back by that approval; what answers by its own goes on as it does.
        let waits = told(comes(&shop, "a", true).await);
        let (verdict, by_itself) = waits.expect_err("somebody has to decide");
        assert!(by_itself, "it is told why");
        assert_eq!(
            told(comes(&shop, "b", true).await),
            Ok(b),
            "nothing changes"
        );
        let decided = shop.apply_said(|speaker| {
            let number = registration_of(speaker.history(), NAME).map(|it| it.number);
            let approval = Approval {
                number: number.expect("a number"),
                verdict,
                decision: Decision::Approved,
                reason: Approval::reason_for("read", "wang"),
                expires_ms: None,
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say(NAME, Digest::of(b"a"), approval)?;
            Ok((Vec::new(), link))
        });
        decided.await.expect("it is said");
        let a = told(comes(&shop, "a", true).await).expect("a person approved it");
        assert_ne!(a, b);
        // Now it is the other one that nobody but the workshop approved.
        assert!(told(comes(&shop, "b", true).await).expect_err("it waits").1);
        // What is new says so without that reason.
        let new = told(comes(&shop, "c", true).await).expect_err("it waits");
        assert!(!new.1);
        shop.stop().await;
    }

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
