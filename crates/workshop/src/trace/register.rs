//! The register as pages read it: registrations by number, each with its life.

use lathe_evidence::statement::{Approval, Filing, Registration};
use lathe_ledger::History;
use lathe_register::dossier::dossier;

use super::{RegistrationView, Said, chain_of};
use crate::error::WorkshopError;
use crate::objects;
use crate::store::PendingRow;
use crate::words::Lang;
use crate::workshop::Workshop;

/// The registrations of a ledger, the newest first, without their breakers.
pub fn registrations_of(history: &History) -> Vec<RegistrationView> {
    let mut views: Vec<RegistrationView> = Vec::new();
    for entry in history.of_kind("registration") {
        let Some(step) = Said::<Registration>::of_entry(history, entry) else {
            continue;
        };
        let known = views.iter_mut().find(|it| it.number == step.said.number);
        match known {
            Some(known) => {
                known.state = step.said.action;
                known.model = step.subject;
                known.steps.push(step);
            }
            None => views.push(RegistrationView {
                number: step.said.number.clone(),
                name: step.said.name.clone(),
                state: step.said.action,
                model: step.subject,
                steps: vec![step],
                approvals: Vec::new(),
                chain: None,
                filings: Vec::new(),
                breaker: None,
            }),
        }
    }
    for view in &mut views {
        view.approvals = history
            .of_kind("approval")
            .filter_map(|entry| Said::<Approval>::of_entry(history, entry))
            .filter(|it| it.said.number == view.number)
            .collect();
        view.filings = history
            .of_kind("filing")
            .filter_map(|entry| Said::<Filing>::of_entry(history, entry))
            .filter(|it| it.said.registration == view.number)
            // Without number and date it is none.
            .filter(|it| lathe_register::filing::check(&it.said).is_ok())
            .collect();
        let steps: Vec<_> = view.steps.iter().map(|it| it.link).collect();
        let deployment = history.of_kind("deployment").rev().find(|entry| {
            let said =
                <&lathe_evidence::statement::Deployment>::try_from(&entry.statement.predicate);
            said.is_ok_and(|it| steps.contains(&it.registration))
        });
        view.chain = deployment.map(|entry| chain_of(history, &entry.link));
    }
    views.reverse();
    views
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
        let all = registrations_of(&*self.store().ledger()?.read().await);
        let page = all.into_iter().skip(offset as usize).take(limit as usize);
        let mut views: Vec<RegistrationView> = page.collect();
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
        let all = registrations_of(&*self.store().ledger()?.read().await);
        let Some(mut view) = all.into_iter().find(|it| it.number == number) else {
            return Ok(None);
        };
        view.breaker = self.breaker_of(&view.name).await?;
        Ok(Some(view))
    }

    /// What waits for somebody's approval, by number.
    ///
    /// # Errors
    /// The store's.
    pub async fn pending(&self) -> Result<Vec<PendingRow>, WorkshopError> {
        self.store().pending().await
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
