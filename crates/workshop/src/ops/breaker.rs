//! `breaker`: somebody decides that a deployment may or may not answer. Closing needs evidence that
//! holds: the chain is verified anew first. Of an upstream there is no chain but its own statement.

use lathe_evidence::statement::{BreakerState, Cause};
use serde_json::{Value, json};

use super::{reasoned, upstream};
use crate::admission;
use crate::breakers::Move;
use crate::error::WorkshopError;
use crate::workshop::Workshop;

/// Moves a breaker.
pub(super) async fn run(
    shop: &Workshop,
    name: String,
    to: BreakerState,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let rows = shop.store().deployments().await?;
    let row = rows.into_iter().find(|row| row.name == name);
    let relayed = upstream::subject_of(shop, &name).await?;
    let model = match (&row, relayed) {
        (Some(row), _) => row.model()?,
        (None, Some(subject)) => subject,
        (None, None) => {
            return Err(WorkshopError::new(
                "deployment-unknown",
                format!("nothing is deployed under the name {name}"),
                "list the deployments with GET /api/deployments or on the page",
            ));
        }
    };
    if let Some(row) = row.filter(|_| to == BreakerState::Closed) {
        admission::whole(shop, &row).await?.map_err(|why| {
            WorkshopError::new(
                "breaker-stays",
                format!("the breaker of {name} stays as it is: {}", why.text),
                why.next,
            )
        })?;
    }
    let it = Move {
        model,
        name: name.clone(),
        to,
        cause: Cause::Manual,
        reason,
    };
    let moved = shop.breakers().make(vec![it]).await?;
    shop.touch();
    Ok(json!({
        "name": name,
        "state": shop.breakers().of(&name).map_or(BreakerState::Closed, |row| row.state),
        "moved": !moved.is_empty(),
    }))
}
