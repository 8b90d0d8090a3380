//! The register as pages read it: registrations by number, each with its life.

use std::collections::{HashMap, HashSet};

use lathe_evidence::Digest;
use lathe_evidence::statement::{Approval, BreakerState, Decision, Link, Predicate, Registration};
use lathe_ledger::History;
use lathe_ledger::history::Entry;
use lathe_register::dossier::dossier;

use super::{
    ChainView, RegistrationView, Said, WaitingView, WithdrawnView, candidate_of, chain_of,
};
use crate::behind::Behind;
use crate::error::WorkshopError;
use crate::objects;
use crate::order::OrderId;
use crate::people::Right;
use crate::people::reach::{self, Reach};
use crate::store::PendingRow;
use crate::withdrawn::held::Gone;
use crate::words::Lang;
use crate::workshop::Workshop;

/// The registrations of a ledger, the newest first, without their breakers.
pub fn registrations_of(history: &History) -> Vec<RegistrationView> {
    views(history, &numbers(history, |_| true))
}

/// The numbers of the register under the names that are shown, that which was handed in last first.
fn numbers(history: &History, shows: impl Fn(&str) -> bool) -> Vec<&str> {
    let mut known = HashSet::new();
    let mut numbers: Vec<&str> = history
        .of_kind("registration")
        .filter_map(|entry| <&Registration>::try_from(&entry.statement.predicate).ok())
        .filter(|said| shows(&said.name))
        .map(|said| said.number.as_str())
        .filter(|number| known.insert(*number))
        .collect();
    numbers.reverse();
    numbers
}

/// The registrations of these numbers, in their order. The ledger is gone through once, however many
/// there are.
fn views(history: &History, numbers: &[&str]) -> Vec<RegistrationView> {
    let places: HashMap<&str, usize> = numbers.iter().copied().zip(0..).collect();
    let mut views: Vec<Option<RegistrationView>> = numbers.iter().map(|_| None).collect();
    let mut by_step: HashMap<Link, usize> = HashMap::new();
    let mut deployed: HashMap<usize, Link> = HashMap::new();
    for entry in history.entries().iter().filter(|it| it.void.is_none()) {
        match &entry.statement.predicate {
            Predicate::Registration(said) => {
                if let Some(place) = places.get(said.number.as_str()) {
                    by_step.insert(entry.link, *place);
                    step(&mut views[*place], history, entry);
                }
            }
            Predicate::Approval(said) => {
                let place = places.get(said.number.as_str());
                if let Some(view) = place.and_then(|it| views[*it].as_mut()) {
                    view.approvals.extend(Said::of_entry(history, entry));
                }
            }
            // Without number and date it is none.
            Predicate::Filing(said) if lathe_register::filing::check(said).is_ok() => {
                let place = places.get(said.registration.as_str());
                if let Some(view) = place.and_then(|it| views[*it].as_mut()) {
                    view.filings.extend(Said::of_entry(history, entry));
                }
            }
            Predicate::Deployment(said) => {
                if let Some(place) = by_step.get(&said.registration) {
                    deployed.insert(*place, entry.link);
                }
            }
            _ => {}
        }
    }
    for (place, link) in deployed {
        if let Some(view) = &mut views[place] {
            view.chain = Some(chain_of(history, &link));
        }
    }
    views.into_iter().flatten().collect()
}

/// Takes a step of its life into a registration; the first one makes it.
fn step(view: &mut Option<RegistrationView>, history: &History, entry: &Entry) {
    let Some(step) = Said::<Registration>::of_entry(history, entry) else {
        return;
    };
    let view = view.get_or_insert_with(|| RegistrationView {
        number: step.said.number.clone(),
        name: step.said.name.clone(),
        state: step.said.action,
        model: step.subject,
        steps: Vec::new(),
        approvals: Vec::new(),
        chain: None,
        filings: Vec::new(),
        breaker: None,
        waiting: None,
    });
    view.state = step.said.action;
    view.model = step.subject;
    view.steps.push(step);
}

impl Workshop {
    /// The register, newest first.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn registrations(
        &self,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<RegistrationView>, WorkshopError> {
        let mut views = {
            let history = self.store().ledger()?.read().await;
            let reach = reach::now();
            let shows = |name: &str| {
                let may = |it: &Reach| it.may_name(Right::Look, name);
                reach.as_ref().is_none_or(may)
            };
            let numbers = numbers(&history, shows);
            let rest = numbers.get(offset as usize..).unwrap_or_default();
            views(&history, &rest[..rest.len().min(limit as usize)])
        };
        for view in &mut views {
            view.breaker = self.breaker_of(&view.name).await?;
        }
        Ok(views)
    }

    /// One registration by its number.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn registration(
        &self,
        number: &str,
    ) -> Result<Option<RegistrationView>, WorkshopError> {
        let found = views(&*self.store().ledger()?.read().await, &[number]).pop();
        let Some(mut view) = found else {
            return Ok(None);
        };
        view.breaker = self.breaker_of(&view.name).await?;
        view.waiting = self.waiting_of(number).await?;
        // What is withdrawn restricts what answers: where its breaker is closed there is nothing to look for.
        let restricted = view.breaker.as_ref();
        let restricted = restricted.is_some_and(|it| it.state != BreakerState::Closed);
        if let Some(chain) = view.chain.as_mut().filter(|_| restricted) {
            chain.withdrawn = self.withdrawn_of(chain).await?;
        }
        Ok(Some(view))
    }

    /// What of the data behind a chain was withdrawn. Where that cannot be told there is none: whether a chain
    /// holds is for the register.
    async fn withdrawn_of(&self, chain: &ChainView) -> Result<Vec<WithdrawnView>, WorkshopError> {
        let Some(evaluation) = &chain.evaluation else {
            return Ok(Vec::new());
        };
        // What was looked up of its datasets before says for most that there is nothing to be found.
        let versions: Vec<Digest> = chain.datasets.iter().map(|it| it.subject).collect();
        let gone = self.gone(&versions).await?;
        let is_intact = |it: &Gone| !it.whole && !it.unread && it.train + it.test == 0;
        if gone.is_some_and(|all| all.iter().all(is_intact)) {
            return Ok(Vec::new());
        }
        let Ok(behind) = Behind::of(self, evaluation.link).await else {
            return Ok(Vec::new());
        };
        let history = self.store().ledger()?.read().await;
        let taken = behind.withdrawn(&history).unwrap_or_default();
        let view = |it: &lathe_register::chain::TakenBack| {
            Some(WithdrawnView {
                dataset: it.dataset,
                withdrawal: Said::of(&history, &it.withdrawal)?,
            })
        };
        Ok(taken.iter().filter_map(view).collect())
    }

    /// The model that waits under this number, with what it rests on.
    async fn waiting_of(&self, number: &str) -> Result<Option<WaitingView>, WorkshopError> {
        let rows = self.pending_of(number).await?;
        match rows.iter().find(|it| it.number == number) {
            Some(row) => self.waiting(row).await.map(Some),
            None => Ok(None),
        }
    }

    /// What waits, with what it rests on and what of that was withdrawn since.
    ///
    /// # Errors
    /// `ledger-broken`.
    pub async fn waiting(&self, row: &PendingRow) -> Result<WaitingView, WorkshopError> {
        let mut chain = candidate_of(&*self.store().ledger()?.read().await, &row.verdict);
        chain.withdrawn = self.withdrawn_of(&chain).await?;
        Ok(WaitingView {
            chain,
            order: row.order.clone(),
            model: row.model,
            at_ms: row.at_ms,
        })
    }

    /// The registration that the newest deployment of this name rests on; none where nothing was ever
    /// deployed under it.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn registration_under(
        &self,
        name: &str,
    ) -> Result<Option<RegistrationView>, WorkshopError> {
        let number = {
            let history = self.store().ledger()?.read().await;
            let mut deployments = history.of_kind("deployment").rev();
            deployments.find_map(|entry| match &entry.statement.predicate {
                Predicate::Deployment(said) if said.name == name => history
                    .said::<Registration>(&said.registration)
                    .map(|it| it.number.clone()),
                _ => None,
            })
        };
        match number {
            Some(number) => self.registration(&number).await,
            None => Ok(None),
        }
    }

    /// What waits under this number, or of this order.
    ///
    /// # Errors
    /// The store's.
    pub async fn pending_of(&self, what: &str) -> Result<Vec<PendingRow>, WorkshopError> {
        let mut rows = self.store().pending_of(what).await?;
        rows.retain(|it| reach::may_name(Right::Look, &it.name));
        Ok(rows)
    }

    /// How many models wait that whoever asks may decide about; counted up to `counted_max`.
    ///
    /// # Errors
    /// The store's.
    pub async fn pending_count(&self, counted_max: u32) -> Result<u32, WorkshopError> {
        let shown = reach::shown(Right::Approve);
        self.store().pending_count(&shown, counted_max).await
    }

    /// What approvers rejected under these numbers, the last one first.
    ///
    /// # Errors
    /// The store's; `ledger-broken`.
    pub async fn rejections(&self, numbers: &[&str]) -> Result<Vec<Said<Approval>>, WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let rejects = |entry: &&Entry| match &entry.statement.predicate {
            Predicate::Approval(said) => {
                said.decision == Decision::Rejected && numbers.contains(&said.number.as_str())
            }
            _ => false,
        };
        let found = history.of_kind("approval").rev().filter(rejects);
        Ok(found
            .filter_map(|entry| Said::of_entry(&history, entry))
            .collect())
    }

    /// Who placed an order, as the audit names them; none where that was not kept.
    ///
    /// # Errors
    /// The store's.
    pub async fn author(&self, order: &OrderId) -> Result<Option<String>, WorkshopError> {
        self.store().author(order).await
    }

    /// What waits for somebody's approval, by number.
    ///
    /// # Errors
    /// The store's.
    pub async fn pending(&self) -> Result<Vec<PendingRow>, WorkshopError> {
        self.store().pending_shown(&reach::shown(Right::Look)).await
    }

    /// The dossier of a registration as a page to read and to print; none where there is no such
    /// number.
    ///
    /// # Errors
    /// `ledger-broken`; `dossier` where what it rests on is not whole.
    pub async fn dossier(&self, number: &str, lang: Lang) -> Result<Option<String>, WorkshopError> {
        let Some(view) = self.registration(number).await? else {
            return Ok(None);
        };
        let evaluation = view.chain.and_then(|it| it.evaluation);
        let report = evaluation.and_then(|it| {
            let folder = objects::path(self.home(), &it.subject.to_string());
            // Without it the dossier has the figures of the ledger, without their intervals.
            std::fs::read(folder.join("report.json")).ok()
        });
        let history = self.store().ledger()?.read().await;
        let made = dossier(&history, number, history.len(), report.as_deref());
        let made = made.map_err(|denial| {
            WorkshopError::new(
                "dossier",
                format!("there is no dossier of {number}: {denial}"),
                "run the order again",
            )
        })?;
        Ok(Some(made.to_html(lang.into())))
    }
}
