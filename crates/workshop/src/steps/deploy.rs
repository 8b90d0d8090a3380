//! Step `deploy`: recompute the verdict, admit, open the door.
//!
//! Runs in the daemon. A deployment is a row with all that admission needs, so
//! that the next daemon can admit it anew; nothing is taken over from the last.

use std::path::{Path, PathBuf};

use lathe_data::dataset::Dataset;
use lathe_data::task::{Task, TaskSpec};
use lathe_evidence::digest::DigestError;
use lathe_evidence::report::Report;
use serde_json::json;

use super::Context;
use super::compute::spread;
use super::figures::{figure, members};
use crate::admission::{self, Admitted, DeployableFiles, Piece};
use crate::catalogue::{DeployedTask, DeploymentRow};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::key::digest_of;
use crate::objects;
use crate::order::{Output, StepError, StepName};
use crate::pack::Pack;
use crate::queue::Halt;
use crate::store::Change;
use crate::store::change::{Finished, Registration};
use crate::store::orders::parse;
use crate::worker::Made;
use crate::workshop::Workshop;

/// Held-out prompts kept for the try page.
const EXAMPLES: usize = 5;

/// The name a pack's model answers under; a demonstration never takes the real one's.
pub fn name_of(context: &Context) -> String {
    let name = &context.pack.name;
    if context.order.demonstration {
        format!("{name}-demonstration")
    } else {
        name.clone()
    }
}

/// Deploys what the order tuned.
pub(crate) async fn run(context: &Context) -> Result<Made, Halt> {
    let row = row_of(context).await?;
    let output = output_of(&row);
    let made = Made {
        artifact: None,
        output: output.clone(),
    };
    let known = context.shop.store().deployments().await?;
    let same = known
        .iter()
        .any(|old| old.name == row.name && old.input == row.input);
    let effect = context
        .shop
        .store()
        .effect(StepName::Deploy, &row.input)
        .await?;
    if same && effect.is_some() && context.shop.is_open(&row.name) {
        reuse(context, &row).await?;
        return Ok(made);
    }
    context.begin(StepName::Deploy, &row.input).await?;
    reopen(&context.shop, row.clone()).await?;
    crate::pause::at(context.shop.home().root(), StepName::Deploy, "sealed");
    context
        .done(Finished {
            order: context.order.id.clone(),
            step: StepName::Deploy,
            input: row.input.clone(),
            output,
            artifact: None,
            registers: vec![Registration::Deployment(row)],
        })
        .await?;
    crate::pause::at(context.shop.home().root(), StepName::Deploy, "stored");
    Ok(made)
}

/// The same model answers already: only the order's row changes.
async fn reuse(context: &Context, row: &DeploymentRow) -> Result<(), WorkshopError> {
    context.reuse(StepName::Deploy, &row.input).await?;
    context
        .shop
        .apply(&[Change::Answers {
            order: context.order.id.clone(),
            name: row.name.clone(),
        }])
        .await
}

/// Admits a deployment and opens the door for it.
///
/// # Errors
/// The refusal, or why it does not load.
pub(crate) async fn reopen(shop: &Workshop, row: DeploymentRow) -> Result<(), StepError> {
    let report = shop.store().report(&row.report).await?.ok_or_else(|| {
        WorkshopError::new(
            "report-missing",
            format!(
                "the report {} of {} is not in the store",
                row.report, row.name
            ),
            "run the order again",
        )
    })?;
    let terms = terms_of(shop, &row).await?;
    let home = shop.home().clone();
    let name = row.name.clone();
    // Hashing the weights takes a moment: not on an async thread.
    let admitted = tokio::task::spawn_blocking(move || admit(&home, &row, &report, terms))
        .await
        .map_err(|error| StepError {
            code: "daemon-crashed".to_owned(),
            text: format!("admission stumbled: {error}"),
            next: "this is a mistake in Lathe; please report it".to_owned(),
        })??;
    shop.door()
        .open(admitted, shop.book())
        .await
        .map_err(|error| StepError {
            code: "door".to_owned(),
            text: error.text,
            next: error.next,
        })?;
    shop.note_open(&name);
    Ok(())
}

/// What the door needs to know of a deployment beside its files.
struct Terms {
    dataset: Option<PathBuf>,
    task: TaskSpec,
}

/// The task and the dataset of the order that made the deployment.
async fn terms_of(shop: &Workshop, row: &DeploymentRow) -> Result<Terms, WorkshopError> {
    let order = shop.store().order(&row.order).await?.ok_or_else(|| {
        WorkshopError::new(
            "order-unknown",
            format!(
                "the order {} of {} is not in the store",
                row.order, row.name
            ),
            "run the order again",
        )
    })?;
    let pack: Pack = parse("an order's pack", &order.spec)?;
    let steps = shop.store().steps(&row.order).await?;
    let prepared = steps
        .into_iter()
        .find(|step| step.name == StepName::Prepare);
    let dataset = prepared.and_then(|step| step.artifact);
    Ok(Terms {
        dataset: dataset.map(|digest| objects::path(shop.home(), &digest)),
        task: pack.task,
    })
}

fn admit(
    home: &Home,
    row: &DeploymentRow,
    report: &Report,
    terms: Terms,
) -> Result<Admitted<DeployableFiles>, StepError> {
    let piece = |what, digest: &String| Piece {
        what,
        folder: objects::path(home, digest),
        digest: digest.clone(),
    };
    let base = piece("the base model", &row.base);
    let adapter = row
        .adapter
        .as_ref()
        .map(|digest| piece("the adapter", digest));
    let digest = |text: &str| text.parse().map_err(not_a_digest);
    let files = DeployableFiles {
        deployment: digest(&row.input)?,
        model: digest(row.adapter.as_ref().unwrap_or(&row.base))?,
        policy: digest_of(&json!(row.policy)),
        dataset: terms.dataset,
        task: Some(terms.task),
        origin: String::new(),
        name: row.name.clone(),
        base: super::model::weights(&base.folder)?,
        adapter: adapter.as_ref().map(|piece| piece.folder.clone()),
        demonstration: row.demonstration,
        order: row.order.clone(),
        system: row.task.system.clone(),
        example: row.task.examples.first().cloned(),
        created_ms: row.created_ms,
    };
    for piece in std::iter::once(&base).chain(&adapter) {
        admission::intact(piece)?;
    }
    Ok(admission::admit(report, &row.policy, files)?)
}

/// A digest in the store is always one, unless the file was changed by hand.
fn not_a_digest(error: DigestError) -> WorkshopError {
    WorkshopError::new(
        "store-unreadable",
        format!("the store holds a digest that is none: {error}"),
        "use the version of Lathe that wrote this home",
    )
}

async fn row_of(context: &Context) -> Result<DeploymentRow, Halt> {
    let base = context.artifact(StepName::Model)?.to_owned();
    let adapter = context.artifact(StepName::Tune)?.to_owned();
    let report = context.artifact(StepName::Evaluate)?.to_owned();
    let name = name_of(context);
    let task = {
        let (folder, context) = (context.folder(StepName::Prepare)?, context.clone());
        tokio::task::spawn_blocking(move || deployed_task(&folder, &context))
            .await
            .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))??
    };
    let input = digest_of(&json!({
        "step": StepName::Deploy,
        "name": name,
        "base": base,
        "adapter": adapter,
        "report": report,
        "policy": context.pack.gate,
        "task": task,
    }));
    Ok(DeploymentRow {
        name,
        input: input.to_string(),
        order: context.order.id.clone(),
        base,
        adapter: Some(adapter),
        report,
        policy: context.pack.gate.clone(),
        task,
        demonstration: context.order.demonstration,
        created_ms: now_ms(),
    })
}

fn deployed_task(dataset: &Path, context: &Context) -> Result<DeployedTask, StepError> {
    let test = Dataset::load(dataset)?.prepared.test;
    let task = Task::new(context.pack.task.clone())?;
    let mut examples = Vec::new();
    for index in spread(test.len(), EXAMPLES) {
        examples.push(task.render(&test[index])?.prompt);
    }
    Ok(DeployedTask {
        title: context.pack.title.clone(),
        system: context.pack.task.system.clone(),
        examples,
        schema: context.pack.task.schema.clone(),
    })
}

fn output_of(row: &DeploymentRow) -> Output {
    Output {
        figure: figure("figure.deploy", &[("name", &row.name)]),
        figures: members(json!({
            "name": row.name,
            "base": row.base,
            "adapter": row.adapter,
            "report": row.report,
        })),
        facts: members(json!({ "name": row.name })),
    }
}
