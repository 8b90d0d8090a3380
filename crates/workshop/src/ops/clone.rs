//! `order clone`: a new order from an old one's effective pack, with some settings changed.
//!
//! The clone is an order like any other: its steps are keyed by their inputs, and what did not
//! change is taken over; it is measured, judged and registered by itself. What was fetched for the
//! old order is taken over as it was then, whatever lies in the pack's folder now.
//!
//! It may go into another project, for whoever may tune there and read the old one's records: what it takes over
//! belongs to both then. An order itself stays in its project, whose id its model's name begins with.

use std::collections::BTreeMap;

use lathe_data::source::{Origin as SourceOrigin, Source};
use lathe_evidence::Digest;
use serde_json::{Value, json};

use super::order_of;
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::order::{OrderId, OrderState, Origin, StepName, StepState};
use crate::pack::{Pack, change};
use crate::people::{Right, Thing};
use crate::store::Change;
use crate::store::change::NewOrder;
use crate::store::orders::{OrderRow, StepRow, parse};
use crate::worker::Made;
use crate::workshop::Workshop;

/// An order to be placed again.
pub(crate) struct Again {
    /// Which.
    pub of: OrderId,
    /// New values by dotted paths.
    pub set: BTreeMap<String, Value>,
    /// The project of the new order; the old one's where there is none.
    pub project: Option<String>,
}

/// Places the clone; in the same transaction `more` is written, of which it is told the new order.
pub(crate) async fn run(
    shop: &Workshop,
    Again { of, set, project }: Again,
    more: impl FnOnce(&OrderId) -> Result<Vec<Change>, WorkshopError>,
) -> Result<Value, WorkshopError> {
    let row = order_of(shop, &of).await?;
    if row.folder.is_empty() {
        return Err(WorkshopError::new(
            "order-brought",
            format!("the order {of} came in a bundle: its data were not brought along"),
            "run its pack here (lathe run PACK), then clone that order",
        ));
    }
    let project = match project {
        Some(other) if other != row.project => into_other(shop, &of, &other).await?,
        _ => row.project.clone(),
    };
    let before: Pack = parse("an order's pack", &row.spec)?;
    let (pack, changes) = change::changed(&row.spec, &set)?;
    shop.store().ledger()?;
    let id = OrderId::new();
    let mut writes = taken_over(shop, &row, &before, &pack, &id).await?;
    writes.extend(more(&id)?);
    let origin = Origin { order: of, changes };
    let order = NewOrder {
        project,
        ..clone_of(&row, id.clone(), &pack, origin)
    };
    let origin = order.origin.clone();
    writes.insert(
        0,
        Change::Placed {
            order: Box::new(order),
            at_ms: now_ms(),
        },
    );
    shop.apply(&writes).await?;
    shop.wake();
    Ok(json!({
        "order": id,
        "state": OrderState::Queued,
        "position": shop.store().position(&id).await?,
        "origin": origin,
    }))
}

/// That a clone may go into this project: what it takes over can be read there from then on.
async fn into_other(shop: &Workshop, of: &OrderId, project: &str) -> Result<String, WorkshopError> {
    shop.allows(Right::Records, Thing::Order(of.0.clone()))
        .await?;
    shop.project_for(Some(project), Right::Tune)
}

fn clone_of(row: &OrderRow, id: OrderId, pack: &Pack, origin: Origin) -> NewOrder {
    let spec = serde_json::to_string(pack).expect("a pack is JSON values");
    NewOrder {
        id,
        pack: pack.name.clone(),
        title: pack.title.clone(),
        demonstration: row.demonstration,
        offline: row.offline,
        folder: row.folder.clone(),
        pack_sha256: Digest::of(spec.as_bytes()).to_string(),
        spec,
        origin: Some(origin),
        project: row.project.clone(),
    }
}

/// The steps that fetched what the clone wants as well, as steps of the clone.
///
/// # Errors
/// `order-source-gone` when something has to be fetched anew and does not lie there any more.
async fn taken_over(
    shop: &Workshop,
    row: &OrderRow,
    before: &Pack,
    pack: &Pack,
    id: &OrderId,
) -> Result<Vec<Change>, WorkshopError> {
    let steps = shop.store().steps(&row.id).await?;
    let mut changes = Vec::new();
    for (name, old, new) in [
        (
            StepName::Model,
            (&before.model.source, before.model.sha256),
            (&pack.model.source, pack.model.sha256),
        ),
        (
            StepName::Data,
            (&before.data.source, before.data.sha256),
            (&pack.data.source, pack.data.sha256),
        ),
    ] {
        let fetched = steps.iter().find(|step| step.name == name);
        match fetched.and_then(|step| input_of(shop, step)) {
            Some(input) if old == new => changes.push(Change::StepReuses {
                order: id.clone(),
                step: name,
                input,
                at_ms: now_ms(),
            }),
            _ => still_there(shop, row, new.0)?,
        }
    }
    Ok(changes)
}

/// The digest of a finished step's inputs, if what it made is still there.
fn input_of(shop: &Workshop, step: &StepRow) -> Option<String> {
    let is_finished = matches!(step.state, StepState::Done | StepState::Reused);
    let made = Made {
        artifact: step.artifact.clone(),
        output: step.output.clone().filter(|_| is_finished)?,
    };
    let is_present = crate::queue::present(&shop.home().objects(), &made);
    step.input.clone().filter(|_| is_present)
}

/// Refuses a source in a folder that does not hold it.
fn still_there(shop: &Workshop, row: &OrderRow, source: &Source) -> Result<(), WorkshopError> {
    let SourceOrigin::File { path } = &source.origin else {
        return Ok(());
    };
    let path = shop.home().away(&row.folder).join(path);
    if path.exists() {
        return Ok(());
    }
    Err(WorkshopError::new(
        "order-source-gone",
        format!(
            "cannot clone the order {}: {source} has to be read and {} is not there",
            row.id,
            path.display()
        ),
        "put it back, or name another source with --set",
    ))
}
