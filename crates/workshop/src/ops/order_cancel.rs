//! `order cancel`: an order is given up; it ends as failed, by somebody's will. Its running step ends as on
//! shutdown. What it made stays, and `order resume` puts it back like any order that failed.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{order_of, pause, wrong_state};
use crate::audit;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::order::{OrderId, OrderState, StepError, StepName, StepState};
use crate::people::reach;
use crate::store::Change;
use crate::store::orders::OrderRow;
use crate::workshop::Workshop;

/// Cancels the order, for whoever asks. Where its step cannot be broken off soon the answer says that it runs:
/// it ends with that step.
pub(super) async fn run(shop: &Workshop, order: OrderId) -> Result<Value, WorkshopError> {
    let at_work = {
        let _deciding = shop.turn().decide().await;
        let row = order_of(shop, &order).await?;
        if is_over(row.state) {
            return Err(ended(&row));
        }
        let at_work = shop.turn().ask_to_pause(&order);
        if !at_work {
            end(shop, &order).await?;
        }
        at_work
    };
    if at_work {
        let (shop, order, by) = (shop.clone(), order.clone(), audit::by());
        let work = async move { once_its_turn_is_over(&shop, &order).await };
        // It is cancelled even where nobody waits for it any more.
        let working = match by {
            Some(by) => reach::spawn(audit::on_behalf(by, work)),
            None => reach::spawn(work),
        };
        if let Ok(Ok(done)) = timeout(pause::END_WAIT_MAX, working).await {
            done?;
        }
    }
    let row = order_of(shop, &order).await?;
    Ok(json!({ "order": row.id, "state": row.state }))
}

/// Cancels an order whose step was asked to end. One that was finished, or put back, meanwhile is left.
async fn once_its_turn_is_over(shop: &Workshop, order: &OrderId) -> Result<(), WorkshopError> {
    shop.turn().over(order).await;
    let _deciding = shop.turn().decide().await;
    let row = order_of(shop, order).await?;
    match row.state {
        OrderState::Paused | OrderState::Waiting => end(shop, order).await,
        OrderState::Done | OrderState::Failed => Err(ended(&row)),
        // Somebody put it back, or this process ends.
        OrderState::Queued | OrderState::Running => {
            Err(wrong_state(&row, "cancel", "ask for it again"))
        }
    }
}

fn is_over(state: OrderState) -> bool {
    matches!(state, OrderState::Done | OrderState::Failed)
}

fn ended(row: &OrderRow) -> WorkshopError {
    wrong_state(row, "cancel", "it has ended: nothing is left to do")
}

/// Writes that it is cancelled; the caller decides.
async fn end(shop: &Workshop, order: &OrderId) -> Result<(), WorkshopError> {
    let steps = shop.store().steps(order).await?;
    let open = steps
        .iter()
        .find(|step| !matches!(step.state, StepState::Done | StepState::Reused));
    let step = open.map_or(StepName::Ask, |step| step.name);
    let by = audit::by().filter(|it| it != audit::ANYBODY);
    let error = StepError::cancellation(order, by.as_deref());
    shop.apply(&[
        Change::SettledFor {
            order: order.clone(),
        },
        Change::Log {
            order: order.clone(),
            step,
            text: error.text.clone(),
            at_ms: now_ms(),
        },
        Change::StepFails {
            order: order.clone(),
            step,
            error,
            at_ms: now_ms(),
        },
    ])
    .await
}
