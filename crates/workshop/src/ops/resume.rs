//! `order resume`: an order that was paused, or that failed, is put back into the queue. Finished
//! steps stay finished; an interrupted one goes on from its last checkpoint.

use serde_json::{Value, json};

use super::{order_of, wrong_state};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::order::{OrderId, OrderState, StepName, StepState};
use crate::store::Change;
use crate::workshop::Workshop;

/// Puts the order back.
pub(super) async fn run(shop: &Workshop, order: OrderId) -> Result<Value, WorkshopError> {
    {
        let _deciding = shop.turn().decide().await;
        let row = order_of(shop, &order).await?;
        let next = match row.state {
            OrderState::Paused | OrderState::Failed => "",
            OrderState::Queued | OrderState::Running => "lathe order list shows the queue",
            OrderState::Waiting => "lathe register pending lists what waits for approval",
            OrderState::Done => "lathe order clone ORDER --set KEY=VALUE runs it with changes",
        };
        if !matches!(row.state, OrderState::Paused | OrderState::Failed) {
            return Err(wrong_state(&row, "resume", next));
        }
        shop.store().ledger()?;
        let changes = put_back(shop, &order, row.state).await?;
        shop.apply(&changes).await?;
    }
    shop.wake();
    let position = shop.store().position(&order).await?;
    Ok(json!({ "order": order, "state": OrderState::Queued, "position": position }))
}

async fn put_back(
    shop: &Workshop,
    order: &OrderId,
    state: OrderState,
) -> Result<Vec<Change>, WorkshopError> {
    let at_ms = now_ms();
    let steps = shop.store().steps(order).await?;
    let interrupted = |state| matches!(state, StepState::Failed | StepState::Running);
    let mut changes: Vec<Change> = steps
        .iter()
        .filter(|step| interrupted(step.state))
        .map(|step| Change::StepWaits {
            order: order.clone(),
            step: step.name,
            at_ms: None,
        })
        .collect();
    changes.push(Change::OrderIs {
        order: order.clone(),
        state: OrderState::Queued,
        at_ms,
    });
    let next = steps
        .iter()
        .find(|step| !matches!(step.state, StepState::Done | StepState::Reused));
    changes.push(Change::Log {
        order: order.clone(),
        step: next.map_or(StepName::Ask, |step| step.name),
        text: match state {
            OrderState::Failed => "tried again".to_owned(),
            _ => "resumed".to_owned(),
        },
        at_ms,
    });
    Ok(changes)
}
