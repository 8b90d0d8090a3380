//! Records by their leaves: from the folders of the datasets that the ledger speaks of.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use lathe_data::dataset::Found;
use lathe_data::prepare::Split;
use lathe_data::task::{Task, TaskSpec};
use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Training, Withdrawal, Withdrawn};
use lathe_ledger::History;

use super::{RecordView, Said};
use crate::error::WorkshopError;
use crate::objects;
use crate::order::OrderId;
use crate::pack::Pack;
use crate::people::reach;
use crate::store::orders::parse;
use crate::workshop::Workshop;

/// Orders that are asked for the task of a dataset, the newest.
const ORDERS_MAX: usize = 20;

/// What the ledger says of datasets, taken from it so that nobody has to wait while files are read.
pub(super) struct Ground {
    datasets: Vec<Said<Dataset>>,
    /// By dataset, the orders that tuned on it, the newest first.
    orders: Vec<Vec<OrderId>>,
    withdrawals: Vec<Said<Withdrawal>>,
}

impl Ground {
    /// What is said of these datasets.
    pub(super) fn of(history: &History, datasets: Vec<Said<Dataset>>) -> Ground {
        let on = orders_by_dataset(history);
        let orders = datasets
            .iter()
            .map(|it| on.get(&it.subject).cloned().unwrap_or_default());
        Ground {
            orders: orders.collect(),
            withdrawals: history
                .of_kind("withdrawal")
                .filter_map(|entry| Said::of_entry(history, entry))
                .collect(),
            datasets,
        }
    }

    /// What took a record back, if anything did.
    fn withdrawal_of(&self, record: &RecordView) -> Option<Said<Withdrawal>> {
        let concerns = |what: &Withdrawn| match what {
            Withdrawn::Leaf(leaf) => *leaf == record.leaf,
            Withdrawn::Dataset(digest) => *digest == record.dataset,
            Withdrawn::Agreement(name) => record.agreement.as_ref() == Some(name),
        };
        self.withdrawals
            .iter()
            .find(|it| concerns(&it.said.what))
            .cloned()
    }
}

/// By dataset, the orders that tuned on it, the newest first.
fn orders_by_dataset(history: &History) -> HashMap<Digest, Vec<OrderId>> {
    let mut orders: HashMap<Digest, Vec<OrderId>> = HashMap::new();
    for entry in history.of_kind("training").rev() {
        if let Ok(said) = <&Training>::try_from(&entry.statement.predicate) {
            for used in &said.datasets {
                let of = orders.entry(used.dataset).or_default();
                if of.len() < ORDERS_MAX {
                    of.push(OrderId(said.order.clone()));
                }
            }
        }
    }
    orders
}

/// The records with these leaves, in the datasets' order.
pub(super) async fn find(
    shop: &Workshop,
    ground: &Ground,
    leaves: &HashSet<Digest>,
) -> Result<Vec<RecordView>, WorkshopError> {
    if leaves.is_empty() {
        return Ok(Vec::new());
    }
    let leaves = leaves.clone();
    read(shop, ground, move |folder| {
        lathe_data::Dataset::find(folder, &leaves)
    })
    .await
}

/// At most `count` records of each dataset from the one at `offset` on, in the dataset's order.
pub(super) async fn window(
    shop: &Workshop,
    ground: &Ground,
    offset: usize,
    count: usize,
) -> Result<Vec<RecordView>, WorkshopError> {
    read(shop, ground, move |folder| {
        lathe_data::Dataset::window(folder, offset, count)
    })
    .await
}

/// What `find` reads of the datasets' folders, as it is shown. A dataset whose folder is gone has none.
async fn read<F>(
    shop: &Workshop,
    ground: &Ground,
    find: F,
) -> Result<Vec<RecordView>, WorkshopError>
where
    F: Fn(&Path) -> Result<Vec<Found>, lathe_data::DataError> + Clone + Send + 'static,
{
    let mut views = Vec::new();
    for (dataset, orders) in ground.datasets.iter().zip(&ground.orders) {
        let folder = objects::path(shop.home(), &dataset.subject.to_string());
        if !folder.is_dir() {
            continue;
        }
        let task = task_of(shop, orders).await?;
        let (dataset, find) = (dataset.clone(), find.clone());
        let read = move || -> Result<Vec<RecordView>, lathe_data::DataError> {
            let task = task.map(Task::new).transpose()?;
            let found = find(&folder)?;
            Ok(found
                .iter()
                .map(|found| view(found, &dataset, task.as_ref()))
                .collect())
        };
        let read = reach::spawn_blocking(read).await.map_err(stumbled)?;
        let unreadable = |error: lathe_data::DataError| {
            WorkshopError::new("data-damaged", error.to_string(), "run `lathe verify`")
        };
        views.extend(read.map_err(unreadable)?);
    }
    for view in &mut views {
        view.withdrawn = ground.withdrawal_of(view);
    }
    Ok(views)
}

fn stumbled(error: tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("reading records stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// The task of the first of these orders that is here.
async fn task_of(shop: &Workshop, orders: &[OrderId]) -> Result<Option<TaskSpec>, WorkshopError> {
    for order in orders {
        if let Some(row) = shop.store().order(order).await? {
            let pack: Pack = parse("an order's pack", &row.spec)?;
            return Ok(Some(pack.task));
        }
    }
    Ok(None)
}

fn view(found: &Found, dataset: &Said<Dataset>, task: Option<&Task>) -> RecordView {
    let record = &found.sealed.record;
    let example = task.and_then(|task| task.render(&found.sealed).ok());
    let (prompt, answer) = example.map(|it| (it.prompt, it.answer)).unwrap_or_default();
    RecordView {
        leaf: found.sealed.leaf,
        id: record.id.clone(),
        line: record.line,
        tuned_on: found.split == Split::Train,
        fields: record.fields.clone(),
        prompt,
        answer,
        dataset: dataset.subject,
        dataset_name: dataset.said.name.clone(),
        root: dataset.said.root,
        source: dataset.said.source.clone(),
        licence: dataset.said.licence.clone(),
        owner: dataset.said.owner.clone(),
        agreement: dataset.said.agreement.clone(),
        entry: dataset.index,
        withdrawn: None,
    }
}
