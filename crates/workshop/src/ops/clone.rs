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
    let (row, project) = to_clone(shop, &of, project.as_deref()).await?;
    let before: Pack = parse("an order's pack", &row.spec)?;
    let (pack, changes) = change::changed(&row.spec, &set)?;
    shop.store().ledger()?;
    let id = OrderId::new();
    let mut writes = taken_over(shop, &row, (&before, &pack), &id).await?;
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

/// An order that is to be cloned, and the project that its clone goes into.
///
/// # Errors
/// `order-unknown`, `order-brought`; where it may not go into the project that is named.
pub(crate) async fn to_clone(
    shop: &Workshop,
    of: &OrderId,
    project: Option<&str>,
) -> Result<(OrderRow, String), WorkshopError> {
    let row = order_of(shop, of).await?;
    if row.folder.is_empty() {
        return Err(WorkshopError::new(
            "order-brought",
            format!("the order {of} came in a bundle: its data were not brought along"),
            "run its pack here (lathe run PACK), then clone that order",
        ));
    }
    let project = match project {
        Some(other) if other != row.project => into_other(shop, of, other).await?,
        _ => row.project.clone(),
    };
    Ok((row, project))
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

/// A step of an order that fetched what its clone wants as well.
pub(crate) struct Kept {
    /// Which.
    pub step: StepName,
    /// What it made.
    pub artifact: Option<String>,
    input: String,
}

/// The finished steps of an order that its clone takes over, if they fetched what the clone wants as well.
pub(crate) async fn kept(
    shop: &Workshop,
    id: &OrderId,
    (before, pack): (&Pack, &Pack),
) -> Result<Vec<Kept>, WorkshopError> {
    let steps = shop.store().steps(id).await?;
    let (model, data) = (&before.model, &before.data);
    let is_same = [
        (
            StepName::Model,
            (&model.source, model.sha256) == (&pack.model.source, pack.model.sha256),
        ),
        (
            StepName::Data,
            (&data.source, data.sha256) == (&pack.data.source, pack.data.sha256),
        ),
    ];
    let wanted = is_same.into_iter().filter(|(_, is_same)| *is_same);
    let kept = wanted.filter_map(|(name, _)| {
        let fetched = steps.iter().find(|step| step.name == name)?;
        Some(Kept {
            step: name,
            artifact: fetched.artifact.clone(),
            input: input_of(shop, fetched)?,
        })
    });
    Ok(kept.collect())
}

/// The steps that fetched what the clone wants as well, as steps of the clone.
///
/// # Errors
/// `order-source-gone` when something has to be fetched anew and does not lie there any more.
async fn taken_over(
    shop: &Workshop,
    row: &OrderRow,
    (before, pack): (&Pack, &Pack),
    id: &OrderId,
) -> Result<Vec<Change>, WorkshopError> {
    let kept = kept(shop, &row.id, (before, pack)).await?;
    for (name, source) in [
        (StepName::Model, &pack.model.source),
        (StepName::Data, &pack.data.source),
    ] {
        if kept.iter().all(|it| it.step != name) {
            still_there(shop, row, source)?;
        }
    }
    let reuses = |it: Kept| Change::StepReuses {
        order: id.clone(),
        step: it.step,
        input: it.input,
        at_ms: now_ms(),
    };
    Ok(kept.into_iter().map(reuses).collect())
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
