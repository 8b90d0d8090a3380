//! The life of registrations (算法登记): 受理 → 预审 → 补正 → 登记 → 变更 → 注销.
//!
//! A number's life is the row of its steps in the ledger. What may follow what stands in one table,
//! [`may_follow`]; whoever says a step asks it first, and the chain asks it again. A number keeps its
//! name for good; a new model under it is a change with a verdict and an approval of its own. Not a
//! filing: that is the authority's act.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::statement::{Filing, Link, Registration, RegistrationAction};
use lathe_ledger::History;
use serde::Serialize;

use crate::filing;

/// Why a step cannot follow another.
pub type Refusal = String;

/// Whether `next` may be the step after `previous`, the newest of its number; `None` where the
/// number is new.
///
/// # Errors
/// What is out of order, for people.
pub fn may_follow(
    previous: Option<(Link, &Registration)>,
    next: &Registration,
) -> Result<(), Refusal> {
    use RegistrationAction::{
        Cancelled, Changed, CorrectionAsked, Registered, Reviewed, Submitted,
    };
    let wanted = previous.map(|(link, _)| link);
    if next.previous != wanted {
        return Err("it does not name the step before it".to_owned());
    }
    if let Some((_, before)) = previous
        && before.name != next.name
    {
        return Err(format!("a number keeps its name, which is {}", before.name));
    }
    let before = previous.map(|(_, it)| it.action);
    let follows = matches!(
        (before, next.action),
        (
            None | Some(Submitted | Reviewed | CorrectionAsked | Registered | Changed),
            Submitted
        ) | (Some(Submitted), Reviewed)
            | (Some(Submitted | Reviewed), CorrectionAsked)
            | (Some(Reviewed), Registered | Changed)
            | (Some(Registered | Changed), Changed)
            | (
                Some(Submitted | Reviewed | CorrectionAsked | Registered | Changed),
                Cancelled
            )
    );
    if !follows {
        let before = before.map_or("nothing", word);
        return Err(format!("{} cannot follow {before}", word(next.action)));
    }
    let decides = matches!(next.action, Registered | Changed);
    if decides && next.approval.is_none() {
        return Err(format!("{} needs an approval", word(next.action)));
    }
    if let Some((_, before)) = previous
        && matches!(next.action, Reviewed | Registered)
        && before.verdict != next.verdict
    {
        return Err("it rests on another verdict than the step before it".to_owned());
    }
    Ok(())
}

/// A step in words.
pub fn word(action: RegistrationAction) -> &'static str {
    match action {
        RegistrationAction::Submitted => "submitted",
        RegistrationAction::Reviewed => "reviewed",
        RegistrationAction::CorrectionAsked => "returned for correction",
        RegistrationAction::Registered => "registered",
        RegistrationAction::Changed => "changed",
        RegistrationAction::Cancelled => "cancelled",
    }
}

/// A number in the register, as its life left it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The number.
    pub number: String,
    /// The name its model answers under.
    pub name: String,
    /// The newest step.
    pub state: RegistrationAction,
    /// The step that is in force: registered or changed, unless it was cancelled since.
    pub in_force: Option<Link>,
    /// The digest of the model of the newest step.
    pub model: Digest,
    /// The verdict of the newest step.
    pub verdict: Link,
    /// All steps, oldest first.
    pub steps: Vec<Step>,
    /// What the authority did, as evidence. Empty: not filed.
    pub filings: Vec<Filed>,
}

/// An authority's act with its place in the ledger. There is no "filed" without one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Filed {
    /// The statement.
    pub link: Link,
    /// The digest of the authority's document.
    pub document: Digest,
    /// What it says: kind, authority, number and date.
    pub filing: Filing,
}

/// A step of a life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Step {
    /// The statement.
    pub link: Link,
    /// Its place in the ledger.
    pub index: u64,
    /// The id of the key that signed it.
    pub signer: Digest,
    /// What was done.
    pub action: RegistrationAction,
    /// The digest of the model.
    pub model: Digest,
    /// The verdict it rests on.
    pub verdict: Link,
    /// The approval it rests on.
    pub approval: Option<Link>,
    /// Why, or what is asked for.
    pub note: String,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
}

/// The whole register, by number.
///
/// Steps that are out of order are passed over: [`may_follow`] decides, and the chain of what rests
/// on them does not hold.
pub fn register(history: &History) -> BTreeMap<String, Entry> {
    let mut register: BTreeMap<String, Entry> = BTreeMap::new();
    let mut newest: BTreeMap<&str, (Link, &Registration)> = BTreeMap::new();
    for entry in history.of_kind("registration") {
        let Some(said) = history.said::<Registration>(&entry.link) else {
            continue;
        };
        let number = said.number.as_str();
        if may_follow(newest.get(number).copied(), said).is_err() {
            continue;
        }
        newest.insert(number, (entry.link, said));
        let step = Step {
            link: entry.link,
            index: entry.index,
            signer: entry.signer,
            action: said.action,
            model: entry.statement.subject(),
            verdict: said.verdict,
            approval: said.approval,
            note: said.note.clone(),
            at_ms: said.at_ms,
        };
        let known = register.entry(number.to_owned()).or_insert_with(|| Entry {
            number: number.to_owned(),
            name: said.name.clone(),
            state: said.action,
            in_force: None,
            model: step.model,
            verdict: step.verdict,
            steps: Vec::new(),
            filings: Vec::new(),
        });
        known.take(step);
    }
    for entry in history.of_kind("filing") {
        if let Some(said) = history.said::<Filing>(&entry.link)
            && filing::check(said).is_ok()
            && let Some(known) = register.get_mut(&said.registration)
        {
            known.filings.push(Filed {
                link: entry.link,
                document: entry.statement.subject(),
                filing: said.clone(),
            });
        }
    }
    register
}

impl Entry {
    fn take(&mut self, step: Step) {
        self.state = step.action;
        self.model = step.model;
        self.verdict = step.verdict;
        match step.action {
            RegistrationAction::Registered | RegistrationAction::Changed => {
                self.in_force = Some(step.link);
            }
            RegistrationAction::Cancelled => self.in_force = None,
            _ => {}
        }
        self.steps.push(step);
    }
}
