//! `withdraw`: a record, a dataset version or an agreement is taken back. Every deployment that was
//! tuned on it is restricted, with the statement, in one transaction. A dataset is taken back with
//! every version made from the same file.

use std::collections::BTreeSet;

use lathe_data::dataset::Dataset;
use lathe_evidence::Digest;
use lathe_evidence::statement::{
    self, BreakerState, Cause, Deployment, Evaluation, Link, Training, Verdict, Withdrawal,
    Withdrawn,
};
use lathe_ledger::History;
use serde_json::{Value, json};

use super::reasoned;
use crate::breakers::Move;
use crate::catalogue::DeploymentRow;
use crate::error::WorkshopError;
use crate::note::MoveNote;
use crate::objects;
use crate::order::OrderId;
use crate::people::reach;
use crate::store::Change;
use crate::store::receipts::PendingRow;
use crate::trace::TuneAgain;
use crate::workshop::Workshop;

/// Says the withdrawal and restricts what depends on it.
pub(super) async fn run(
    shop: &Workshop,
    what: Withdrawn,
    reason: String,
) -> Result<Value, WorkshopError> {
    reasoned(&reason)?;
    let holders = holders(shop, &what).await?;
    let rows = shop.store().deployments().await?;
    let pending = shop.store().pending().await?;
    let (subject, name) = subject_of(&what);
    let leaves_a_rest = matches!(what, Withdrawn::Leaf(_));
    let (link, moved, dependent, waiting) = shop
        .apply_said(|speaker| {
            let dependent = dependent(speaker.history(), &rows, &holders);
            let waiting = waiting(speaker.history(), &pending, &holders);
            let said = Withdrawal {
                what,
                reason: reason.clone(),
                at_ms: speaker.at_ms(),
            };
            let link = speaker.say(&name, subject, said)?;
            let moves = dependent
                .iter()
                .map(|row| restrict(row, &name, &reason))
                .collect::<Result<_, _>>()?;
            let moved = shop.breakers().say(speaker, moves)?;
            let changes = moved.iter().cloned().map(Change::BreakerIs).collect();
            Ok((changes, (link, moved, dependent, waiting)))
        })
        .await?;
    shop.breakers().moved(&moved);
    let again = match leaves_a_rest {
        true => orders_again(shop, &dependent).await?,
        // Nothing is left to tune on: the order itself has to name other data.
        false => Vec::new(),
    };
    Ok(json!({
        "withdrawal": link,
        "datasets": holders,
        "restricted": dependent.iter().map(|row| &row.name).collect::<Vec<_>>(),
        "retune": commands(&again),
        "again": again,
        "waiting": waiting,
    }))
}

fn restrict(row: &DeploymentRow, name: &str, reason: &str) -> Result<Move, WorkshopError> {
    Ok(Move {
        name: row.name.clone(),
        model: row.model()?,
        to: BreakerState::Restricted,
        cause: Cause::Withdrawn,
        reason: MoveNote::Withdrawn { what: name, reason }.text(),
    })
}

fn subject_of(what: &Withdrawn) -> (Digest, String) {
    match what {
        Withdrawn::Leaf(digest) => (*digest, format!("record {}", digest.short())),
        Withdrawn::Dataset(digest) => (*digest, format!("dataset {}", digest.short())),
        Withdrawn::Agreement(name) => (Digest::of(name.as_bytes()), format!("agreement {name}")),
    }
}

/// The dataset versions that hold what is withdrawn.
async fn holders(shop: &Workshop, what: &Withdrawn) -> Result<BTreeSet<Digest>, WorkshopError> {
    let known: Vec<(Digest, statement::Dataset)> = {
        let history = shop.store().ledger()?.read().await;
        history
            .of_kind("dataset")
            .filter_map(|entry| {
                let said = history.said::<statement::Dataset>(&entry.link)?;
                Some((entry.statement.subject(), said.clone()))
            })
            .collect()
    };
    let found: BTreeSet<Digest> = match what {
        Withdrawn::Dataset(digest) => {
            let named = known.iter().find(|(dataset, _)| dataset == digest);
            let file = named.map(|(_, said)| said.file);
            known
                .iter()
                .filter(|(_, said)| Some(said.file) == file)
                .map(|(dataset, _)| *dataset)
                .collect()
        }
        Withdrawn::Agreement(name) => known
            .iter()
            .filter(|(_, said)| said.agreement.as_deref() == Some(name))
            .map(|(dataset, _)| *dataset)
            .collect(),
        Withdrawn::Leaf(leaf) => {
            let (home, leaf) = (shop.home().clone(), *leaf);
            reach::spawn_blocking(move || {
                let has = |dataset: &Digest| {
                    let folder = objects::path(&home, &dataset.to_string());
                    Dataset::load(&folder).is_ok_and(|it| {
                        let records = it.prepared.train.iter().chain(&it.prepared.test);
                        records.into_iter().any(|record| record.leaf == leaf)
                    })
                };
                known.iter().map(|it| it.0).filter(has).collect()
            })
            .await
            .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))?
        }
    };
    if found.is_empty() {
        return Err(WorkshopError::new(
            "withdraw-unknown",
            format!("no dataset of this workshop holds {}", subject_of(what).1),
            "name a leaf from records.jsonl, a dataset's digest (`lathe data list`), or an agreement",
        ));
    }
    Ok(found)
}

/// The deployments whose model was tuned or measured on one of the datasets.
fn dependent(
    history: &History,
    rows: &[DeploymentRow],
    holders: &BTreeSet<Digest>,
) -> Vec<DeploymentRow> {
    let depends = |row: &&DeploymentRow| {
        row.link
            .is_some_and(|link| !datasets_of(history, &link).is_disjoint(holders))
    };
    rows.iter().filter(depends).cloned().collect()
}

/// The numbers of what waits for approval and was tuned or measured on one of the datasets: nobody can approve
/// it any more.
fn waiting(history: &History, rows: &[PendingRow], holders: &BTreeSet<Digest>) -> Vec<String> {
    let depends = |row: &&PendingRow| !datasets_judged(history, &row.verdict).is_disjoint(holders);
    let rows = rows.iter().filter(depends);
    rows.map(|row| row.number.clone()).collect()
}

/// The datasets behind a deployment.
fn datasets_of(history: &History, deployment: &Link) -> BTreeSet<Digest> {
    let said = history.said::<Deployment>(deployment);
    said.map_or_else(BTreeSet::new, |said| {
        datasets_judged(history, &said.verdict)
    })
}

/// The datasets behind a verdict.
fn datasets_judged(history: &History, verdict: &Link) -> BTreeSet<Digest> {
    let mut found = BTreeSet::new();
    let evaluation = history
        .said::<Verdict>(verdict)
        .and_then(|said| history.said::<Evaluation>(&said.evaluation));
    let Some(evaluation) = evaluation else {
        return found;
    };
    let measured = history.get(&evaluation.dataset);
    found.extend(measured.map(|entry| entry.statement.subject()));
    let mut stage = evaluation.training.as_ref();
    while let Some(training) = stage.and_then(|link| history.said::<Training>(link)) {
        found.extend(training.datasets.iter().map(|used| used.dataset));
        // A statement names earlier ones only, so this ends.
        stage = training.previous.as_ref().map(|it| &it.statement);
    }
    found
}

/// The command that runs an order again, as it was: what was changed of its pack stands in the order alone.
pub(crate) fn order_again(order: &OrderId) -> String {
    format!("lathe order clone {order}")
}

/// The orders of these deployments, each once, as they are placed again.
pub(crate) async fn orders_again(
    shop: &Workshop,
    rows: &[DeploymentRow],
) -> Result<Vec<TuneAgain>, WorkshopError> {
    let mut again: Vec<TuneAgain> = Vec::new();
    for row in rows {
        if let Some(known) = again.iter_mut().find(|it| it.order == row.order) {
            known.names.push(row.name.clone());
            continue;
        }
        let order = shop.store().order(&row.order).await?;
        // One that came in a bundle has no pack here: it is brought in again instead.
        if let Some(order) = order.filter(|order| !order.folder.is_empty()) {
            again.push(TuneAgain {
                command: order_again(&order.id),
                order: order.id,
                project: order.project,
                names: vec![row.name.clone()],
            });
        }
    }
    Ok(again)
}

/// The commands of these orders, each once.
pub(super) fn commands(again: &[TuneAgain]) -> BTreeSet<&str> {
    again.iter().map(|it| &it.command[..]).collect()
}
