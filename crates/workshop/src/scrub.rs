//! The scrubber: looks at the evidence of everything that answers, again and again, and trips the
//! breaker of what no longer holds. Closing again is somebody's decision, never the scrubber's.

use lathe_evidence::statement::{BreakerState, Cause};
use tokio::sync::watch;

use crate::admission::{self, Look};
use crate::breakers::Move;
use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// Scrubs until the workshop stops.
pub(crate) async fn for_good(shop: Workshop, mut stop: watch::Receiver<bool>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(shop.scrub_every()) => {}
            _ = stop.changed() => return,
        }
        if *stop.borrow() {
            return;
        }
        if let Err(error) = shop.scrub().await {
            tracing::error!("the evidence of what answers could not be looked at: {error}");
        }
        // A key that signed for one may have been compromised since.
        shop.tell_upstreams().await;
    }
}

impl Workshop {
    /// Restricts a deployment whose evidence was withdrawn or has expired, before its door opens.
    ///
    /// # Errors
    /// `ledger-broken`, `store`.
    pub(crate) async fn restrict_stale(&self, row: &DeploymentRow) -> Result<(), WorkshopError> {
        if let Look::Stale(cause, why) = admission::look(self, row).await? {
            let it = Move {
                name: row.name.clone(),
                model: row.model()?,
                to: BreakerState::Restricted,
                cause,
                reason: why.text,
            };
            self.breakers().make(vec![it]).await?;
        }
        Ok(())
    }

    /// Looks at everything that answers once.
    ///
    /// # Errors
    /// `ledger-broken`, `store`.
    pub(crate) async fn scrub(&self) -> Result<(), WorkshopError> {
        let mut moves = Vec::new();
        for row in self.store().deployments().await? {
            if !self.is_open(&row.name) {
                continue;
            }
            let (to, cause, why) = match admission::look(self, &row).await? {
                Look::Whole => continue,
                Look::Stale(cause, why) => (BreakerState::Restricted, cause, why),
                Look::Broken(why) => (BreakerState::ForcedOpen, Cause::DigestMismatch, why),
            };
            moves.push(Move {
                model: row.model()?,
                name: row.name,
                to,
                cause,
                reason: why.text,
            });
        }
        for moved in self.breakers().make(moves).await? {
            tracing::warn!("the breaker of {} moved: {}", moved.name, moved.reason);
            self.touch();
        }
        Ok(())
    }
}
