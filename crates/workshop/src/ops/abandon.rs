//! An order is given up: it ends as failed, by somebody's will. What it made stays, and `order resume`
//! puts it back like any order that failed.

use super::{order_of, pause, wrong_state};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::order::{OrderId, OrderState, StepName, StepState};
use crate::people::{Right, Thing};
use crate::store::Change;
use crate::workshop::Workshop;

/// The code of the error that an order ends with that was given up.
pub const CANCELLED: &str = "order-cancelled";

impl Workshop {
    /// Gives an order up; its running step ends as on shutdown.
    ///
    /// # Errors
    /// `order-unknown`; `order-state` where it has ended, or its step has not yet; the store's.
    pub async fn abandon(&self, order: &OrderId, who: &str) -> Result<(), WorkshopError> {
        self.may_steer(order).await?;
        let row = order_of(self, order).await?;
        if matches!(row.state, OrderState::Queued | OrderState::Running) {
            pause::run(self, order.clone()).await?;
        }
        let _deciding = self.turn().decide().await;
        let row = order_of(self, order).await?;
        match row.state {
            OrderState::Paused | OrderState::Waiting => {}
            OrderState::Queued | OrderState::Running => {
                return Err(wrong_state(&row, "cancel", "ask again in a minute"));
            }
            OrderState::Done | OrderState::Failed => {
                return Err(wrong_state(
                    &row,
                    "cancel",
                    "it has ended: nothing is left to do",
                ));
            }
        }
        let steps = self.store().steps(order).await?;
        let open = steps
            .iter()
            .find(|step| !matches!(step.state, StepState::Done | StepState::Reused));
        self.apply(&[
            Change::SettledFor {
                order: order.clone(),
            },
            Change::StepFails {
                order: order.clone(),
                step: open.map_or(StepName::Ask, |step| step.name),
                error: WorkshopError::new(
                    "order-cancelled",
                    format!("the order was cancelled by {who}"),
                    format!("lathe order resume {order} puts it back"),
                )
                .into(),
                at_ms: now_ms(),
            },
        ])
        .await
    }

    /// Sets an order aside until it is resumed.
    ///
    /// # Errors
    /// As `lathe order pause`.
    pub async fn set_aside(&self, order: &OrderId) -> Result<(), WorkshopError> {
        self.may_steer(order).await?;
        pause::run(self, order.clone()).await.map(drop)
    }

    /// Puts back an order that was set aside.
    ///
    /// # Errors
    /// As `lathe order resume`.
    pub async fn put_back(&self, order: &OrderId) -> Result<(), WorkshopError> {
        self.may_steer(order).await?;
        super::resume::run(self, order.clone()).await.map(drop)
    }

    async fn may_steer(&self, order: &OrderId) -> Result<(), WorkshopError> {
        self.allows(Right::Tune, Thing::Order(order.0.clone()))
            .await
    }
}
