//! Orders side by side: what they measured, how long their steps took, and in which settings they
//! differ.
//!
//! The first order is what the others are held against. Where both answered the same test records
//! the difference is resampled in pairs; where they did not, figures stand beside each other and
//! nothing is said of chance. Nothing is judged here: whether figures suffice is for the gate.

use std::path::PathBuf;

use lathe_data::dataset::Dataset;
use lathe_data::prepare::Sealed;
use lathe_data::task::Task;
use lathe_eval::paired::{Measured, paired};
use lathe_eval::{BootstrapSpec, Predictions};
use lathe_evidence::report::{Interval, Report};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects;
use crate::order::{
    Answering, Ending, OrderId, OrderState, Origin, StepName, StepState, Title, ending_of,
};
use crate::pack::{Pack, change};
use crate::people::{Right, reach};
use crate::store::Store;
use crate::store::orders::{OrderRow, StepRow, parse};
use crate::workshop::Workshop;

/// Orders compared at once.
pub const ORDERS_COMPARED_MAX: usize = 8;

/// Orders side by side; every list of values is in the order of `orders`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The orders, the one that the others are held against first.
    pub orders: Vec<Compared>,
    /// What their tuned models measured, the first order's primary metric first.
    pub metrics: Vec<MetricRow>,
    /// How long their steps took.
    pub steps: Vec<StepTimes>,
    /// The settings in which they differ.
    pub settings: Vec<SettingRow>,
}

/// One of the orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    /// The order's id.
    pub id: OrderId,
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// Made by `--quick`: a demonstration, not a result.
    pub demonstration: bool,
    /// Where it stands.
    pub state: OrderState,
    /// When it was placed, milliseconds since 1970.
    pub created_ms: i64,
    /// Where it comes from, when it was cloned.
    pub origin: Option<Origin>,
    /// Test records it was measured on, once evaluated.
    pub records: Option<usize>,
    /// Why it is not held against the first in pairs; none for the first itself.
    pub unpaired: Option<Unpaired>,
    /// The project it belongs to.
    #[serde(default)]
    pub project: String,
    /// How it stands to the name that its model was deployed under; none before it was, and where no
    /// workshop runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answering: Option<Answering>,
    /// How it ended, where it was not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
}

/// Why two orders are not compared in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unpaired {
    /// One of the two is not evaluated yet.
    NotEvaluated,
    /// They were measured on other test records, or on other truths of them.
    OtherRecords,
    /// The answers or the records of one of the two are no longer there, or altered.
    Unreadable,
}

impl Unpaired {
    /// Its name, as serialised and as the catalogue has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Unpaired::NotEvaluated => "not-evaluated",
            Unpaired::OtherRecords => "other-records",
            Unpaired::Unreadable => "unreadable",
        }
    }
}

/// One metric of the tuned models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MetricRow {
    /// The metric.
    pub metric: String,
    /// Each order's figure with its interval; none where it has none.
    pub values: Vec<Option<Interval>>,
    /// Each order's figure minus the first's, resampled in pairs; none where that cannot be.
    pub differences: Vec<Option<Difference>>,
}

/// An order's metric minus the first order's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The difference and its 95 % interval by the paired bootstrap.
    pub interval: Interval,
    /// Whether the interval leaves zero out.
    pub beyond_chance: bool,
}

/// How long a step took in each order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepTimes {
    /// The step.
    pub step: StepName,
    /// Each order's step; none where it has no such step.
    pub times: Vec<Option<StepTime>>,
}

/// How a step of one order went.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepTime {
    /// Where it stands.
    pub state: StepState,
    /// Seconds it took, once it ended; 0 where it was taken over.
    pub seconds: Option<f64>,
}

/// A setting in which the orders differ.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SettingRow {
    /// Its dotted path in the effective pack.
    pub key: String,
    /// Each order's value; null where it is not set.
    pub values: Vec<Value>,
}

/// What is read of an order before anything is computed.
struct Read {
    row: OrderRow,
    pack: Pack,
    steps: Vec<StepRow>,
    report: Option<Report>,
    /// The folders of its test records and of its tuned model's answers.
    dataset: Option<PathBuf>,
    answers: Option<PathBuf>,
}

impl Workshop {
    /// The orders side by side; `None` where one of them is not here.
    ///
    /// # Errors
    /// As [`compare`].
    pub async fn compare(&self, ids: &[OrderId]) -> Result<Option<Comparison>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        for id in ids {
            let row = self.store().order(id).await?;
            if row.is_some_and(|it| !shown.has(&it.project)) {
                return Ok(None);
            }
        }
        let mut found = compare(self.store(), self.home(), ids).await?;
        if let Some(comparison) = &mut found {
            let mut all = self.answering(ids).await?;
            for order in &mut comparison.orders {
                order.answering = all.remove(&order.id);
            }
        }
        Ok(found)
    }

    /// Every setting of an order's effective pack by its dotted path, in the pack's order; `None`
    /// where the order is not here.
    ///
    /// # Errors
    /// The store's.
    pub async fn settings(
        &self,
        id: &OrderId,
    ) -> Result<Option<Vec<(String, Value)>>, WorkshopError> {
        let Some(row) = self.store().order(id).await? else {
            return Ok(None);
        };
        let pack: Pack = parse("an order's pack", &row.spec)?;
        Ok(Some(change::settings(&pack)))
    }
}

/// Puts the orders `ids` side by side; `None` where one of them is not in the store.
///
/// # Errors
/// `order-compare` for fewer than two orders, more than [`ORDERS_COMPARED_MAX`], or one named twice;
/// the store's.
pub async fn compare(
    store: &Store,
    home: &Home,
    ids: &[OrderId],
) -> Result<Option<Comparison>, WorkshopError> {
    check(ids)?;
    let mut all = Vec::new();
    for id in ids {
        let Some(row) = store.order(id).await? else {
            return Ok(None);
        };
        all.push(read(store, home, row).await?);
    }
    reach::spawn_blocking(move || Some(side_by_side(&all)))
        .await
        .map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("comparing orders stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })
}

fn check(ids: &[OrderId]) -> Result<(), WorkshopError> {
    let twice = (1..ids.len()).find(|at| ids[..*at].contains(&ids[*at]));
    let text = match (ids.len(), twice) {
        (0 | 1, _) => "fewer than two orders are named".to_owned(),
        (count, _) if count > ORDERS_COMPARED_MAX => format!("{count} orders are named"),
        (_, Some(at)) => format!("the order {} is named twice", ids[at]),
        _ => return Ok(()),
    };
    Err(WorkshopError::new(
        "order-compare",
        format!("cannot compare: {text}"),
        format!("name 2 to {ORDERS_COMPARED_MAX} different orders"),
    ))
}

async fn read(store: &Store, home: &Home, row: OrderRow) -> Result<Read, WorkshopError> {
    let steps = store.steps(&row.id).await?;
    let made = |name: StepName| {
        let step = steps.iter().find(|step| step.name == name)?;
        Some(objects::path(home, step.artifact.as_ref()?))
    };
    Ok(Read {
        pack: parse("an order's pack", &row.spec)?,
        report: store.report_of(&row.id).await?,
        dataset: made(StepName::Prepare),
        answers: made(StepName::Evaluate),
        steps,
        row,
    })
}

fn side_by_side(all: &[Read]) -> Comparison {
    let first = &all[0];
    let tested = tested(first);
    let differences: Vec<_> = all[1..]
        .iter()
        .map(|read| against(first, tested.as_ref(), read))
        .collect();
    let unpaired = |at: usize| match at {
        0 => None,
        _ => differences[at - 1].as_ref().err().copied(),
    };
    let orders = all.iter().enumerate();
    Comparison {
        orders: orders
            .map(|(at, read)| compared(read, unpaired(at)))
            .collect(),
        metrics: metrics(all, &differences),
        steps: step_times(all),
        settings: differing(all),
    }
}

fn compared(read: &Read, unpaired: Option<Unpaired>) -> Compared {
    let row = &read.row;
    let errors = read.steps.iter().filter_map(|step| step.error.as_ref());
    Compared {
        id: row.id.clone(),
        pack: row.pack.clone(),
        title: row.title.clone(),
        demonstration: row.demonstration,
        state: row.state,
        created_ms: row.created_ms,
        origin: row.origin.clone(),
        records: read.report.as_ref().map(|report| report.records),
        unpaired,
        project: row.project.clone(),
        answering: None,
        ending: ending_of(row.state, errors),
    }
}

/// What the tuned model of an order was asked and answered.
struct Tested {
    task: Task,
    records: Vec<Sealed>,
    answers: Predictions,
}

/// Reads it from the artifacts, whose digests are checked.
fn tested(read: &Read) -> Result<Tested, Unpaired> {
    let (Some(dataset), Some(answers)) = (&read.dataset, &read.answers) else {
        return Err(Unpaired::NotEvaluated);
    };
    Ok(Tested {
        task: Task::new(read.pack.task.clone()).map_err(|_| Unpaired::Unreadable)?,
        records: Dataset::load(dataset)
            .map_err(|_| Unpaired::Unreadable)?
            .prepared
            .test,
        answers: Predictions::load(answers).map_err(|_| Unpaired::Unreadable)?,
    })
}

impl Tested {
    fn measured(&self) -> Measured<'_> {
        Measured {
            task: &self.task,
            records: &self.records,
            predictions: &self.answers,
        }
    }
}

type Differences = std::collections::BTreeMap<String, Interval>;

/// The order's metrics minus the first's.
fn against(
    first: &Read,
    tested_first: Result<&Tested, &Unpaired>,
    read: &Read,
) -> Result<Differences, Unpaired> {
    let one = tested_first.map_err(|why| *why)?;
    let other = tested(read)?;
    let spec: BootstrapSpec = first.pack.evaluate.bootstrap;
    paired(other.measured(), one.measured(), spec)
        .map_err(|_| Unpaired::Unreadable)?
        .ok_or(Unpaired::OtherRecords)
}

fn metrics(all: &[Read], differences: &[Result<Differences, Unpaired>]) -> Vec<MetricRow> {
    let tuned = |read: &Read| read.report.as_ref()?.tuned().cloned();
    let subjects: Vec<_> = all.iter().map(tuned).collect();
    let mut names: Vec<&String> = subjects
        .iter()
        .flatten()
        .flat_map(|subject| subject.metrics.keys())
        .collect();
    let primary = all.iter().find_map(|read| read.report.as_ref());
    let primary = primary.map(|report| report.primary_metric.as_str());
    names.sort_by_key(|name| (Some(name.as_str()) != primary, *name));
    names.dedup();
    let row = |name: &String| MetricRow {
        metric: name.clone(),
        values: subjects
            .iter()
            .map(|subject| subject.as_ref()?.metrics.get(name).copied())
            .collect(),
        differences: std::iter::once(None)
            .chain(differences.iter().map(|found| {
                let interval = *found.as_ref().ok()?.get(name)?;
                Some(Difference {
                    interval,
                    beyond_chance: leaves_zero_out(&interval),
                })
            }))
            .collect(),
    };
    names.into_iter().map(row).collect()
}

fn leaves_zero_out(interval: &Interval) -> bool {
    let above = interval.low.is_some_and(|low| low > 0.0);
    above || interval.high.is_some_and(|high| high < 0.0)
}

fn step_times(all: &[Read]) -> Vec<StepTimes> {
    let mut names: Vec<StepName> = Vec::new();
    for step in all.iter().flat_map(|read| &read.steps) {
        if !names.contains(&step.name) {
            names.push(step.name);
        }
    }
    let time = |step: &StepRow| StepTime {
        state: step.state,
        seconds: step
            .started_ms
            .zip(step.ended_ms)
            .map(|(started, ended)| (ended - started).max(0) as f64 / 1000.0),
    };
    let of = |read: &Read, name: StepName| {
        let step = read.steps.iter().find(|step| step.name == name);
        step.map(time)
    };
    names
        .into_iter()
        .map(|name| StepTimes {
            step: name,
            times: all.iter().map(|read| of(read, name)).collect(),
        })
        .collect()
}

/// The settings that not all have alike, in the order of the packs.
fn differing(all: &[Read]) -> Vec<SettingRow> {
    let settings: Vec<Vec<(String, Value)>> = all
        .iter()
        .map(|read| change::settings(&read.pack))
        .collect();
    let mut keys: Vec<&String> = Vec::new();
    let mut known = std::collections::HashSet::new();
    for (key, _) in settings.iter().flatten() {
        if known.insert(key) {
            keys.push(key);
        }
    }
    let maps: Vec<std::collections::HashMap<&String, &Value>> = settings
        .iter()
        .map(|all| all.iter().map(|(key, value)| (key, value)).collect())
        .collect();
    let row = |key: &String| SettingRow {
        key: key.clone(),
        values: maps
            .iter()
            .map(|map| map.get(key).map_or(Value::Null, |value| (*value).clone()))
            .collect(),
    };
    let differs = |row: &SettingRow| row.values.iter().any(|value| *value != row.values[0]);
    keys.into_iter().map(row).filter(differs).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_to_eight_different_orders_are_compared() {
        let ids: Vec<OrderId> = (0..9).map(|_| OrderId::new()).collect();
        assert!(check(&ids[..2]).is_ok() && check(&ids[..8]).is_ok());
        let twice = [ids[0].clone(), ids[1].clone(), ids[0].clone()];
        for wrong in [&ids[..0], &ids[..1], &ids[..], &twice[..]] {
            let error = check(wrong).expect_err("refused");
            assert_eq!(error.code(), "order-compare");
        }
    }

    #[test]
    fn chance_is_excluded_only_by_an_interval_on_one_side() {
        let interval = |low, high| Interval {
            value: 0.1,
            low,
            high,
        };
        for (low, high, beyond) in [
            (Some(0.01), Some(0.2), true),
            (Some(-0.2), Some(-0.01), true),
            (Some(-0.01), Some(0.2), false),
            (Some(0.0), Some(0.2), false),
            (None, None, false),
        ] {
            assert_eq!(leaves_zero_out(&interval(low, high)), beyond);
        }
    }
}
