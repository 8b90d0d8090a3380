//! `restored`: the home was put back from a backup. The ledger says from where it goes on, and
//! nothing that was deployed before answers until it is deployed afresh: what the backup does not
//! know of, a newer deployment or a withdrawal, may have happened.

use lathe_evidence::statement::{BreakerState, Cause, Restored};
use serde_json::{Value, json};

use super::reasoned;
use super::withdraw::{commands, orders_again};
use crate::breakers::Move;
use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::note::MoveNote;
use crate::store::Change;
use crate::workshop::Workshop;

/// Says it, and stops everything that answers.
pub(super) async fn run(shop: &Workshop, reason: String) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let rows = shop.store().deployments().await?;
    let (link, size, moved) = shop
        .apply_said(|speaker| {
            let (size, root) = (speaker.history().len(), speaker.history().root());
            let said = Restored {
                size,
                root,
                reason: reason.clone(),
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say("ledger", root, said)?;
            let moves = rows.iter().map(|row| stop(row, &reason));
            let moved = shop
                .breakers()
                .say(speaker, moves.collect::<Result<_, _>>()?)?;
            let changes = moved.iter().cloned().map(Change::BreakerIs).collect();
            Ok((changes, (link, size, moved)))
        })
        .await?;
    shop.breakers().moved(&moved);
    shop.tell_upstreams().await;
    let again = orders_again(shop, &rows).await?;
    Ok(json!({
        "restored": link,
        "size": size,
        "stopped": rows.iter().map(|row| &row.name).collect::<Vec<_>>(),
        "redeploy": commands(&again),
    }))
}

fn stop(row: &DeploymentRow, reason: &str) -> Result<Move, WorkshopError> {
    Ok(Move {
        name: row.name.clone(),
        model: row.model()?,
        to: BreakerState::ForcedOpen,
        cause: Cause::Restored,
        reason: MoveNote::Restored(reason).text(),
    })
}
