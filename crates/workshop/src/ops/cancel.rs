//! `register cancel` (注销): a registration leaves the register; what rests on it no longer answers.

use lathe_evidence::statement::{BreakerState, Cause, Predicate, Registration, RegistrationAction};
use serde_json::{Value, json};

use super::reasoned;
use crate::breakers::Move;
use crate::error::WorkshopError;
use crate::note::MoveNote;
use crate::store::Change;
use crate::workshop::Workshop;

/// Says the cancellation and forces the breaker open.
pub(super) async fn run(
    shop: &Workshop,
    number: &str,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let rows = shop.store().deployments().await?;
    let (link, moved) = shop
        .apply_said(|speaker| {
            let steps = speaker.history().of_kind("registration").rev();
            let last = steps.filter_map(|entry| match &entry.statement.predicate {
                Predicate::Registration(said) if said.number == number => {
                    Some((entry.link, entry.statement.subject(), said.clone()))
                }
                _ => None,
            });
            let last = last.into_iter().next();
            let Some((previous, model, said)) =
                last.filter(|(_, _, said)| said.action != RegistrationAction::Cancelled)
            else {
                return Err(WorkshopError::new(
                    "register-unknown",
                    format!("the register has no registration {number} that stands"),
                    "list them with `lathe register list`",
                ));
            };
            let name = said.name.clone();
            let cancelled = Registration {
                action: RegistrationAction::Cancelled,
                previous: Some(previous),
                note: reason.clone(),
                at_ms: speaker.at_ms(),
                ..said
            };
            let link = speaker.say(&name, model, cancelled)?;
            let moves = rows
                .iter()
                .filter(|row| row.name == name)
                .map(|row| {
                    Ok(Move {
                        name: name.clone(),
                        model: row.model()?,
                        to: BreakerState::ForcedOpen,
                        cause: Cause::Manual,
                        reason: MoveNote::Cancelled {
                            number,
                            reason: &reason,
                        }
                        .text(),
                    })
                })
                .collect::<Result<_, WorkshopError>>()?;
            let moved = shop.breakers().say(speaker, moves)?;
            let changes = moved.iter().cloned().map(Change::BreakerIs).collect();
            Ok((changes, (link, moved)))
        })
        .await?;
    shop.breakers().moved(&moved);
    Ok(json!({ "number": number, "registration": link, "state": "cancelled" }))
}
