//! Complaints as a signal of the breaker: the share of a deployment's newest answers that somebody
//! complained about.
//!
//! An answer counts once, however often it is complained about; a complaint that was rejected counts for
//! nothing. Counted is from where the breaker last moved, so that who closed it is not overruled by what
//! they knew. It is counted in the store, and so outlives a restart. The bounds are the pack's
//! ([`ComplaintsSpec`]); an upstream, which has none, has the usual ones.

use lathe_evidence::receipt::Receipt;
use lathe_evidence::statement::{BreakerState, Cause};

use crate::breakers::Move;
use crate::error::WorkshopError;
use crate::note::MoveNote;
use crate::pack::Pack;
use crate::pack::breaker::ComplaintsSpec;
use crate::store::orders::parse;
use crate::upstream;
use crate::workshop::Workshop;

/// Moves the breaker where a complaint about the answer of this receipt was one too many. The complaint is
/// kept whatever comes of it.
pub(super) async fn weigh(shop: &Workshop, receipt: &Receipt) {
    let moved = match too_many(shop, receipt).await {
        Ok(None) => return,
        Ok(Some(it)) => shop.breakers().make(vec![it]).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(error) = moved {
        let (name, next) = (&receipt.name, error.next());
        tracing::error!("the complaints about {name} could not be weighed: {error}; {next}");
    }
    shop.touch();
}

/// The move that the complaints ask for.
async fn too_many(shop: &Workshop, receipt: &Receipt) -> Result<Option<Move>, WorkshopError> {
    let Some(spec) = bounds(shop, receipt).await? else {
        return Ok(None);
    };
    let last = shop.breakers().of(&receipt.name);
    let since_ms = last.map_or(0, |row| row.since_ms);
    let (answers, complained) = shop
        .store()
        .complaints(&receipt.deployment, spec.window_answers, since_ms)
        .await?;
    let to = asked_for(&spec, answers, complained);
    Ok(to.map(|to| Move {
        name: receipt.name.clone(),
        model: receipt.model,
        to,
        cause: Cause::Complaints,
        reason: reason(answers, complained),
    }))
}

/// The bounds of who answered, unless another deployment has taken the name since.
async fn bounds(
    shop: &Workshop,
    receipt: &Receipt,
) -> Result<Option<ComplaintsSpec>, WorkshopError> {
    let rows = shop.store().deployments().await?;
    if let Some(row) = rows.into_iter().find(|row| row.name == receipt.name) {
        if row.link != Some(receipt.deployment) {
            return Ok(None);
        }
        let order = shop.store().order(&row.order).await?;
        let pack: Option<Pack> = order
            .map(|order| parse("an order's pack", &order.spec))
            .transpose()?;
        let spec = pack.map(|pack| pack.breaker.complaints);
        return Ok(Some(spec.unwrap_or_default()));
    }
    let history = shop.store().ledger()?.read().await;
    let standing = upstream::standing(&history);
    let stands = standing.get(&receipt.name);
    let stands = stands.is_some_and(|(link, _)| *link == receipt.deployment);
    Ok(stands.then(ComplaintsSpec::default))
}

/// Where so many complaints about so many answers lead.
fn asked_for(spec: &ComplaintsSpec, answers: u64, complained: u64) -> Option<BreakerState> {
    let few = answers < u64::from(spec.answers_min) || complained < u64::from(spec.complaints_min);
    if few {
        return None;
    }
    let reaches = |percent: u32| complained * 100 >= answers * u64::from(percent);
    if reaches(spec.open_percent) {
        return Some(BreakerState::Open);
    }
    reaches(spec.restrict_percent).then_some(BreakerState::Restricted)
}

/// Why: callers of either language are refused with it.
fn reason(answers: u64, complained: u64) -> String {
    let (answers, complained) = (answers.to_string(), complained.to_string());
    MoveNote::Complained {
        complained: &complained,
        answers: &answers,
    }
    .text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lead_to_restricted_and_then_to_open_and_few_lead_nowhere() {
        let spec = ComplaintsSpec::default();
        for (answers, complained, to) in [
            (19, 19, None),
            (20, 4, None),
            (200, 9, None),
            (200, 10, Some(BreakerState::Restricted)),
            (200, 39, Some(BreakerState::Restricted)),
            (200, 40, Some(BreakerState::Open)),
            (20, 5, Some(BreakerState::Open)),
        ] {
            let found = asked_for(&spec, answers, complained);
            assert_eq!(found, to, "{complained} of {answers}");
        }
    }

    #[test]
    fn the_reason_is_said_in_both_languages() {
        let text = reason(100, 7);
        assert_eq!(
            text,
            "7 of the last 100 answers were complained about (最近 100 次应答中有 7 次被投诉)"
        );
    }
}
