//! The shelf: registered models as other people's clients see them (MLflow, `huggingface_hub`), each name
//! with numbered versions, and which of them are handed out.
//!
//! A version is a model that was judged or deployed under a name, told apart by its digest and numbered in
//! the ledger's order: the same weights are the same version, however often they are deployed. The ledger
//! decides; only labels are stored. Handed out is what was deployed and may still be used: its
//! registration was not cancelled, none of its data was withdrawn, verdict and approval are not past their
//! time, and the breaker of what has the name now is closed.
//!
//! Not here: whether a version may answer (`admission`), setting labels (`ops`), files (`files`), HTTP.

mod files;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lathe_evidence::Digest;
use lathe_evidence::statement::{
    ApprovalPolicy, BaseModel, Breaker, BreakerState, Deployment, Link, Predicate, Registration,
    RegistrationAction, Verdict,
};
use lathe_ledger::History;
use lathe_ledger::history::Entry;
use lathe_register::registrations::{self, register};
use lathe_register::{Denial, chain};

use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::people::{Right, reach};
use crate::pieces::Folders;
use crate::steps::register::registration_of;
use crate::workshop::Workshop;

pub use files::ShelfFile;

/// Labels that every name has by itself: they are at the version that answers, and setting one asks for
/// admission.
pub const SERVING: [&str; 2] = ["production", "champion"];
/// Characters of a label at most.
pub const LABEL_CHARS_MAX: usize = 100;
/// Labels of one name at most.
pub const LABELS_MAX: usize = 100;
/// How long what was found is told again while the ledger stands still: only time can change it then.
const KEPT_MS: i64 = 60_000;

/// Whether what this label names is what answers.
pub fn serves(label: &str) -> bool {
    SERVING.iter().any(|it| it.eq_ignore_ascii_case(label))
}

/// How a version stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shelved {
    /// Its files are handed out.
    HandedOut,
    /// It passed its gate and waits for an approval.
    Waiting,
    /// It is not handed out.
    Withheld,
}

/// A name with its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfModel {
    /// The name that its deployed version answers under.
    pub name: String,
    /// Its versions, the first one first; never empty.
    pub versions: Vec<ShelfVersion>,
}

/// A model under a name.
#[derive(Debug, Clone, PartialEq)]
pub struct ShelfVersion {
    /// Its number, from 1.
    pub number: u32,
    /// The digest of the model: the adapter's manifest, or the base model's.
    pub model: Digest,
    /// The base model and the adapter, once it was deployed.
    pub parts: Option<(Digest, Option<Digest>)>,
    /// The licence of the base model; empty before it was deployed.
    pub licence: String,
    /// Its number in the register; empty before it has one.
    pub registration: String,
    /// Its newest deployment.
    pub deployment: Option<Link>,
    /// Whether that is the newest of the name, so that nothing but admission stands before an answer.
    pub newest: bool,
    /// Whether it answers now.
    pub answers: bool,
    /// How it stands.
    pub standing: Shelved,
    /// Why it is not handed out, for people; empty where it is.
    pub why: String,
    /// What to do about that.
    pub next: String,
    /// The order it came from; empty for what was brought from another workshop.
    pub order: String,
    /// Whether it is a demonstration, held to less.
    pub demonstration: bool,
    /// When it was first judged, milliseconds since 1970.
    pub created_ms: i64,
    /// When it was last judged or deployed.
    pub updated_ms: i64,
    /// What it is called beside its number.
    pub labels: Vec<String>,
}

impl ShelfModel {
    /// The version of this number.
    pub fn version(&self, number: u32) -> Option<&ShelfVersion> {
        self.versions.iter().find(|it| it.number == number)
    }

    /// The version that a label names, whatever the case of its letters.
    pub fn labelled(&self, label: &str) -> Option<&ShelfVersion> {
        let has = |it: &&ShelfVersion| it.labels.iter().any(|own| own.eq_ignore_ascii_case(label));
        self.versions.iter().find(has)
    }

    /// What to hand out where no version is named: the one that answers, else the newest there is.
    pub fn main(&self) -> Option<&ShelfVersion> {
        let handed_out = |it: &&ShelfVersion| it.standing == Shelved::HandedOut;
        let answering = self
            .versions
            .iter()
            .filter(handed_out)
            .find(|it| it.answers);
        answering.or_else(|| self.versions.iter().rev().find(handed_out))
    }
}

/// What a workshop remembers of its shelf. All of it can be found again.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    kept: Mutex<Option<(Moment, Arc<Vec<ShelfModel>>)>>,
    hashed: files::Hashed,
}

/// For what state of the ledger, and when.
type Moment = (Digest, i64);

impl Workshop {
    /// The registered models, by name.
    ///
    /// # Errors
    /// `ledger-broken`; the store's.
    pub async fn shelf(&self) -> Result<Vec<ShelfModel>, WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let at_ms = now_ms();
        let moment = (history.root(), at_ms / KEPT_MS);
        let kept = match self.shelf_state().kept(moment) {
            Some(kept) => kept,
            None => {
                let pieces = Folders::new(self.home().objects());
                let made = reach::spawn_blocking(move || models_of(&history, &pieces, at_ms));
                let made = Arc::new(made.await.map_err(stumbled)?);
                self.shelf_state().keep(moment, made.clone());
                made
            }
        };
        let mut models = (*kept).clone();
        models.retain(|it| reach::may_name(Right::Look, &it.name));
        let labels = self.store().labels().await?;
        for model in &mut models {
            let open = self.is_open(&model.name);
            for version in &mut model.versions {
                let handed_out = version.standing == Shelved::HandedOut;
                version.answers = open && version.newest && handed_out;
                if version.answers {
                    version.labels = SERVING.map(str::to_owned).to_vec();
                }
                let own = labels.iter();
                let own = own.filter(|it| it.name == model.name && it.model == version.model);
                version.labels.extend(own.map(|it| it.label.clone()));
            }
        }
        Ok(models)
    }
}

impl Shelf {
    fn kept(&self, moment: Moment) -> Option<Arc<Vec<ShelfModel>>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, models) = kept.as_ref()?;
        (*of == moment).then(|| models.clone())
    }

    fn keep(&self, moment: Moment, models: Arc<Vec<ShelfModel>>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((moment, models));
    }
}

pub(crate) fn stumbled(error: tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("reading the registered models stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// What the ledger says of one model under a name.
struct Draft<'h> {
    model: Digest,
    verdict: Option<&'h Verdict>,
    deployment: Option<(&'h Entry, &'h Deployment)>,
    created_ms: i64,
    updated_ms: i64,
}

/// The names of the ledger with their versions, without labels.
fn models_of(history: &History, pieces: &Folders, at_ms: i64) -> Vec<ShelfModel> {
    let cancelled = cancelled(history);
    let models = drafts(history).into_iter().map(|(name, drafts)| {
        let deployed = drafts.iter().filter_map(|it| it.deployment);
        let newest = deployed.max_by_key(|(entry, _)| entry.index);
        let newest = newest.map(|(entry, _)| entry.link);
        let versions = drafts.iter().zip(1..).map(|(draft, number)| {
            let mut version = version(history, name, draft, number);
            version.newest = version.deployment.is_some() && version.deployment == newest;
            let found = why_not(history, name, draft, &version, (&cancelled, pieces, at_ms));
            if let Some((standing, why, next)) = found {
                (version.standing, version.why, version.next) = (standing, why, next);
            }
            version
        });
        ShelfModel {
            name: name.to_owned(),
            versions: versions.collect(),
        }
    });
    models.collect()
}

/// Every model that was judged or deployed, by name, in the ledger's order.
fn drafts(history: &History) -> BTreeMap<&str, Vec<Draft<'_>>> {
    let mut names: BTreeMap<&str, Vec<Draft<'_>>> = BTreeMap::new();
    for entry in history.entries().iter().filter(|it| it.void.is_none()) {
        let subject = entry.statement.subjects.first();
        let name = match &entry.statement.predicate {
            Predicate::Verdict(_) => subject.map_or("", |it| it.name.as_str()),
            Predicate::Deployment(said) => said.name.as_str(),
            _ => continue,
        };
        let model = entry.statement.subject();
        let drafts = names.entry(name).or_default();
        let known = drafts.iter().position(|it| it.model == model);
        let place = known.unwrap_or_else(|| {
            drafts.push(Draft {
                model,
                verdict: None,
                deployment: None,
                created_ms: entry.at_ms(),
                updated_ms: entry.at_ms(),
            });
            drafts.len() - 1
        });
        let draft = &mut drafts[place];
        draft.updated_ms = entry.at_ms();
        match &entry.statement.predicate {
            Predicate::Verdict(said) => draft.verdict = Some(said),
            Predicate::Deployment(said) => draft.deployment = Some((entry, said)),
            _ => {}
        }
    }
    names
}

/// The version, handed out until something is found against it.
fn version(history: &History, name: &str, draft: &Draft<'_>, number: u32) -> ShelfVersion {
    let said = draft.deployment.map(|(_, said)| said);
    let step = said.and_then(|it| history.said::<Registration>(&it.registration));
    let base = said.and_then(|it| history.find("base-model", &it.base_model));
    let base = base.and_then(|entry| history.said::<BaseModel>(&entry.link));
    let registration = match step {
        Some(step) => step.number.clone(),
        None => registration_of(history, name).map_or_else(String::new, |it| it.number),
    };
    ShelfVersion {
        number,
        model: draft.model,
        parts: said.map(|it| (it.base_model, it.adapter)),
        licence: base.map_or_else(String::new, |it| it.licence.clone()),
        registration,
        deployment: draft.deployment.map(|(entry, _)| entry.link),
        newest: false,
        answers: false,
        standing: Shelved::HandedOut,
        why: String::new(),
        next: String::new(),
        order: draft
            .verdict
            .map_or_else(String::new, |it| it.order.clone()),
        demonstration: said.is_some_and(|it| it.demonstration),
        created_ms: draft.created_ms,
        updated_ms: draft.updated_ms,
        labels: Vec::new(),
    }
}

/// Why a version is not handed out, and what to do; `None` where it is.
fn why_not(
    history: &History,
    name: &str,
    draft: &Draft<'_>,
    version: &ShelfVersion,
    (cancelled, pieces, at_ms): (&BTreeMap<String, String>, &Folders, i64),
) -> Option<(Shelved, String, String)> {
    let Some(link) = version.deployment else {
        let policy = history.approval_policy();
        return Some(not_deployed(name, draft.verdict, version, policy));
    };
    let withheld = |why: String, next: &str| Some((Shelved::Withheld, why, next.to_owned()));
    if let Some(note) = cancelled.get(&version.registration) {
        let number = &version.registration;
        let why = format!("registration {number} of {name} was cancelled: {note}");
        return withheld(why, "run the order again: it is registered anew");
    }
    let stale = chain::stale(history, &link, pieces, at_ms);
    let denials = stale.unwrap_or_else(|denials| denials);
    if !denials.is_empty() {
        let (why, cure) = told(&denials);
        return withheld(why, &cure);
    }
    let mut moves = history.of_kind("breaker").rev();
    let last = moves.find_map(|entry| {
        let said = history.said::<Breaker>(&entry.link)?;
        (said.deployment == name).then_some(said)
    });
    let last = last.filter(|it| version.newest && it.to != BreakerState::Closed)?;
    withheld(
        format!("the breaker of {name} is not closed: {}", last.reason),
        &format!("close it once that is mended: lathe breaker {name} close --reason \"…\""),
    )
}

/// Of a model that nobody deployed.
fn not_deployed(
    name: &str,
    verdict: Option<&Verdict>,
    version: &ShelfVersion,
    policy: ApprovalPolicy,
) -> (Shelved, String, String) {
    let failed = verdict.map_or_else(Vec::new, |verdict| {
        let outcomes = verdict.outcomes.iter().filter(|it| !it.passed);
        outcomes
            .map(|it| format!("{} (figure: {})", it.rule, it.figure))
            .collect()
    });
    let number = &version.registration;
    if failed.is_empty() {
        return (
            Shelved::Waiting,
            format!("{name} passed its gate and waits for approval as {number}"),
            match policy {
                ApprovalPolicy::Itself => {
                    format!("an approver decides under Register, on the page /register/{number}")
                }
                ApprovalPolicy::TwoPerson => {
                    format!("an approver runs: lathe approve {number} --key FILE")
                }
            },
        );
    }
    (
        Shelved::Withheld,
        format!("the gate refuses {name}: {}", failed.join("; ")),
        "tune it further or on other data, and run the order again".to_owned(),
    )
}

/// What does not hold in one sentence, and what to do about it in another.
pub(crate) fn told(denials: &[Denial]) -> (String, String) {
    let texts: Vec<String> = denials.iter().map(ToString::to_string).collect();
    let mut cures: Vec<&str> = denials.iter().map(|it| it.cure.as_str()).collect();
    cures.dedup();
    (texts.join("; "), cures.join("; "))
}

/// The registrations that were cancelled, with the reason.
fn cancelled(history: &History) -> BTreeMap<String, String> {
    let all = register(history).into_values();
    let gone = all.filter(|it| it.state == RegistrationAction::Cancelled);
    gone.map(|it: registrations::Entry| {
        let note = it
            .steps
            .last()
            .map_or_else(String::new, |it| it.note.clone());
        (it.number, note)
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32, standing: Shelved, answers: bool, labels: &[&str]) -> ShelfVersion {
        ShelfVersion {
            number,
            model: Digest::of(&number.to_le_bytes()),
            parts: None,
            licence: String::new(),
            registration: String::new(),
            deployment: None,
            newest: answers,
            answers,
            standing,
            why: String::new(),
            next: String::new(),
            order: String::new(),
            demonstration: false,
            created_ms: 0,
            updated_ms: 0,
            labels: labels.iter().map(|it| (*it).to_owned()).collect(),
        }
    }

    #[test]
    fn what_answers_comes_before_what_is_newer() {
        let mut model = ShelfModel {
            name: "m".to_owned(),
            versions: vec![
                version(1, Shelved::HandedOut, false, &["old"]),
                version(2, Shelved::HandedOut, true, &["production", "champion"]),
                version(3, Shelved::Waiting, false, &[]),
            ],
        };
        let main = |model: &ShelfModel| model.main().map(|it| it.number);
        assert_eq!(main(&model), Some(2));
        model.versions[1].answers = false;
        model.versions[1].standing = Shelved::Withheld;
        assert_eq!(main(&model), Some(1));
        model.versions[0].standing = Shelved::Withheld;
        assert_eq!(main(&model), None);
        assert_eq!(model.labelled("OLD").map(|it| it.number), Some(1));
        assert_eq!(model.labelled("v1"), None);
        assert!(serves("Production") && serves("champion") && !serves("prod"));
    }
}
