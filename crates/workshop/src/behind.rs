//! Whether a model that is to be approved or deployed rests on data that was withdrawn since it was tuned.
//!
//! The records are read before the ledger is written. What the history says of withdrawals is asked inside the
//! transaction that decides: one that came a moment earlier counts.

use lathe_evidence::statement::{Link, Verdict};
use lathe_ledger::History;
use lathe_register::chain::{self, Denial, Leaves, TakenBack};

use crate::error::WorkshopError;
use crate::people::reach;
use crate::pieces::Folders;
use crate::shelf;
use crate::workshop::Workshop;

/// The data behind an evaluation.
#[derive(Debug)]
pub(crate) struct Behind {
    evaluation: Link,
    pieces: Folders,
    /// None where no record was withdrawn when it was read.
    leaves: Option<Leaves>,
}

impl Behind {
    /// The data behind the evaluation of this link.
    ///
    /// # Errors
    /// `ledger-broken`; `chain-…` where the records cannot be read.
    pub(crate) async fn of(shop: &Workshop, evaluation: Link) -> Result<Behind, WorkshopError> {
        let data = {
            let history = shop.store().ledger()?.read().await;
            chain::data_behind(&history, &evaluation).map_err(|it| unreadable(vec![it]))?
        };
        let pieces = Folders::new(shop.home().objects());
        // The history is free meanwhile: whoever writes it does not wait for records to be read.
        let read = reach::spawn_blocking(move || {
            let leaves = data.map(|it| it.leaves(&pieces)).transpose()?;
            Ok::<_, Vec<Denial>>(Behind {
                evaluation,
                pieces,
                leaves,
            })
        });
        let read = read.await.map_err(shelf::stumbled)?;
        read.map_err(unreadable)
    }

    /// The same of what this verdict judges.
    ///
    /// # Errors
    /// `chain-missing`; those of [`Behind::of`].
    pub(crate) async fn of_verdict(
        shop: &Workshop,
        verdict: &Link,
    ) -> Result<Behind, WorkshopError> {
        let evaluation = {
            let history = shop.store().ledger()?.read().await;
            history.said::<Verdict>(verdict).map(|it| it.evaluation)
        };
        let evaluation = evaluation.ok_or_else(|| {
            WorkshopError::new(
                "chain-missing",
                format!("the verdict {verdict} is not in the ledger"),
                "run the order again, so that its statements are said anew",
            )
        })?;
        Self::of(shop, evaluation).await
    }

    /// What of it was withdrawn, as the history stands.
    ///
    /// # Errors
    /// `chain-…` where a statement is missing or records cannot be read.
    pub(crate) fn withdrawn(&self, history: &History) -> Result<Vec<TakenBack>, WorkshopError> {
        let late = match &self.leaves {
            Some(_) => None,
            // The first record was withdrawn since.
            None => {
                let read = chain::leaves_behind(history, &self.evaluation, &self.pieces);
                read.map_err(unreadable)?
            }
        };
        let leaves = self.leaves.as_ref().or(late.as_ref());
        chain::withdrawn_behind(history, &self.evaluation, leaves)
            .map_err(|denial| unreadable(vec![denial]))
    }

    /// Refuses to approve what rests on withdrawn data.
    ///
    /// # Errors
    /// `approval-withdrawn`; those of [`Behind::withdrawn`].
    pub(crate) fn approvable(&self, history: &History, number: &str) -> Result<(), WorkshopError> {
        match self.withdrawn(history)?.first() {
            None => Ok(()),
            Some(taken) => Err(WorkshopError::new(
                "approval-withdrawn",
                format!(
                    "{number} cannot be approved: its model rests on data that was withdrawn: {}",
                    taken.denial
                ),
                "reject it, and tune again without what was withdrawn: a new order leaves withdrawn records out",
            )),
        }
    }

    /// Refuses to deploy what rests on withdrawn data.
    ///
    /// # Errors
    /// `chain-withdrawn`; those of [`Behind::withdrawn`].
    pub(crate) fn deployable(&self, history: &History, name: &str) -> Result<(), WorkshopError> {
        match self.withdrawn(history)?.into_iter().next() {
            None => Ok(()),
            Some(taken) => Err(WorkshopError::new(
                taken.denial.code,
                format!(
                    "the model of this order is not deployed as {name}, for it rests on data that was withdrawn: {}",
                    taken.denial
                ),
                "place the order anew: it leaves out the records that were withdrawn",
            )),
        }
    }
}

/// What is said where it cannot be told whether anything was withdrawn.
fn unreadable(denials: Vec<Denial>) -> WorkshopError {
    let (why, next) = shelf::told(&denials);
    WorkshopError::new(
        denials.first().map_or("chain-unreadable", |it| it.code),
        format!("whether data behind the model was withdrawn cannot be told: {why}"),
        next,
    )
}
