//! `order pause`: an order is set aside. Its running step ends as on shutdown, so that it goes on
//! from its last checkpoint; the next order of the queue runs.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{order_of, wrong_state};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::order::{OrderId, OrderState};
use crate::store::Change;
use crate::workshop::Workshop;

/// How long the end of the running step is waited for; one that runs in the daemon ends first.
pub(super) const END_WAIT_MAX: Duration = Duration::from_secs(60);

/// Sets the order aside.
pub(super) async fn run(shop: &Workshop, order: OrderId) -> Result<Value, WorkshopError> {
    let is_at_work = {
        let _deciding = shop.turn().decide().await;
        let row = order_of(shop, &order).await?;
        let next = match row.state {
            OrderState::Queued | OrderState::Running => "",
            OrderState::Paused => "lathe order resume ORDER puts it back",
            OrderState::Waiting => "lathe register pending lists what waits for approval",
            OrderState::Failed => "lathe order resume ORDER tries it again",
            OrderState::Done => "lathe order clone ORDER --set KEY=VALUE runs it with changes",
        };
        if !matches!(row.state, OrderState::Queued | OrderState::Running) {
            return Err(wrong_state(&row, "pause", next));
        }
        let is_at_work = shop.turn().ask_to_pause(&order);
        if !is_at_work {
            shop.apply(&[Change::OrderIs {
                order: order.clone(),
                state: OrderState::Paused,
                at_ms: now_ms(),
            }])
            .await?;
        }
        is_at_work
    };
    if is_at_work {
        // Past the wait it is still set aside as soon as its step ends; the answer says it runs.
        let _ = timeout(END_WAIT_MAX, shop.turn().over(&order)).await;
    }
    let row = order_of(shop, &order).await?;
    match row.state {
        OrderState::Paused | OrderState::Running => {
            Ok(json!({ "order": row.id, "state": row.state }))
        }
        // It ended meanwhile, or this process does.
        _ => Err(wrong_state(
            &row,
            "pause",
            "look at it: lathe order show ORDER",
        )),
    }
}
