//! Step `deploy`: say the verdict, the registration, the approval and the
//! deployment, admit what the ledger then holds, open the door.
//!
//! Runs in the daemon. The statements and the row that gives the model its name
//! are one transaction; admission reads the chain from the ledger after it, as
//! the next daemon will. A model that does not open gives the name back.

use std::path::Path;

use lathe_data::dataset::Dataset;
use lathe_data::task::Task;
use lathe_evidence::report::Report;
use lathe_evidence::statement::{ApprovalPolicy, BreakerState, Cause, Link};
use serde_json::json;

use super::Context;
use super::compute::spread;
use super::figures::{figure, members};
use super::register::{self, Candidate, Standing};
use crate::admission;
use crate::behind::Behind;
use crate::breakers::Move;
use crate::catalogue::{DeployedTask, DeploymentRow};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::key::digest_of;
use crate::note::MoveNote;
use crate::order::{Output, StepError, StepName};
use crate::people::answers_as;
use crate::people::reach;
use crate::queue::Halt;
use crate::store::Change;
use crate::store::change::Finished;
use crate::store::receipts::{BreakerRow, PendingRow};
use crate::upstream;
use crate::worker::Made;
use crate::workshop::Workshop;

/// Held-out prompts kept for the try page.
const EXAMPLES: usize = 5;

/// The name that the order's model answers under.
pub fn name_of(context: &Context) -> String {
    let order = &context.order;
    answers_as(&order.project, &context.pack.name, order.demonstration)
}

/// Deploys what the order tuned.
pub(crate) async fn run(context: &Context) -> Result<Made, Halt> {
    let mut row = row_of(context).await?;
    let known = context.shop.store().deployments().await?;
    let before = known.into_iter().find(|old| old.name == row.name);
    let effect = context
        .shop
        .store()
        .effect(StepName::Deploy, &row.input)
        .await?;
    let answers = effect.is_some() && context.shop.is_open(&row.name);
    if !answers || before.as_ref().is_none_or(|old| old.input != row.input) {
        context.begin(StepName::Deploy, &row.input).await?;
    }
    let link = register(context, &mut row, before.as_ref()).await?;
    let output = output_of(&row);
    let made = Made {
        artifact: None,
        output: output.clone(),
    };
    let same = |old: &DeploymentRow| old.input == row.input && old.link == Some(link);
    if answers && before.as_ref().is_some_and(same) {
        reuse(context, &row).await?;
        return Ok(made);
    }
    if let Err(error) = reopen(&context.shop, row.clone()).await {
        give_back(context, &row.name, before).await?;
        return Err(error.into());
    }
    crate::pause::at(context.shop.home().root(), StepName::Deploy, "sealed");
    let finished = Finished {
        order: context.order.id.clone(),
        step: StepName::Deploy,
        input: row.input.clone(),
        output,
        artifact: None,
        registers: Vec::new(),
    };
    context.done(finished, None).await?;
    crate::pause::at(context.shop.home().root(), StepName::Deploy, "stored");
    Ok(made)
}

/// Says verdict, registration, approval and deployment, and gives the name to the row, all in one
/// transaction.
async fn register(
    context: &Context,
    row: &mut DeploymentRow,
    before: Option<&DeploymentRow>,
) -> Result<Link, Halt> {
    let shop = &context.shop;
    let report = report_of(shop, row).await?;
    let candidate = Candidate {
        order: &context.order.id.0,
        row,
        report: &report,
        evaluation: context.link(StepName::Evaluate)?,
        task: digest_of(&json!(context.pack.task)),
        has_people: !shop.people().is_empty(),
    };
    let has_people = candidate.has_people;
    let behind = Behind::of(shop, candidate.evaluation).await?;
    let spoken = shop.apply_said(|speaker| {
        upstream::leaves_free(speaker.history(), &row.name)?;
        behind.deployable(speaker.history(), &row.name)?;
        let standing = register::say(speaker, &candidate)?;
        let policy = speaker.history().approval_policy();
        let mut moved = Vec::new();
        let changes = match &standing {
            Standing::Refused(_) => Vec::new(),
            Standing::Waits {
                number, verdict, ..
            } => vec![Change::Pending(PendingRow {
                number: number.clone(),
                name: row.name.clone(),
                model: row.model()?,
                verdict: *verdict,
                order: context.order.id.clone(),
                at_ms: speaker.at_ms(),
            })],
            Standing::Deployed(link) => {
                if before.is_none_or(|old| old.link != Some(*link)) {
                    moved = shop.breakers().say(speaker, vec![renewed(row)?])?;
                }
                deployed(context, row, *link, &moved)
            }
        };
        Ok((changes, (standing, moved, policy)))
    });
    let (standing, moved, policy) = spoken.await?;
    shop.breakers().moved(&moved);
    match standing {
        Standing::Deployed(link) => {
            row.link = Some(link);
            Ok(link)
        }
        Standing::Waits {
            number, by_itself, ..
        } => {
            let on_a_page = has_people && policy == ApprovalPolicy::Itself;
            let needed = needs_approval((&row.name[..], &number[..]), by_itself, on_a_page);
            Err(Halt::Waits(needed))
        }
        Standing::Refused(judged) => Err(Halt::Failed(admission::gate_refuses(&row.name, &judged))),
    }
}

/// A new deployment takes the name: whatever tripped the breaker of the last one is not its own.
fn renewed(row: &DeploymentRow) -> Result<Move, WorkshopError> {
    Ok(Move {
        name: row.name.clone(),
        model: row.model()?,
        to: BreakerState::Closed,
        cause: Cause::Renewed,
        reason: MoveNote::Renewed.text(),
    })
}

/// The changes that go with a deployment's statement.
fn deployed(
    context: &Context,
    row: &DeploymentRow,
    link: Link,
    moved: &[BreakerRow],
) -> Vec<Change> {
    let row = DeploymentRow {
        link: Some(link),
        ..row.clone()
    };
    let mut changes = vec![
        Change::Answers {
            order: context.order.id.clone(),
            name: row.name.clone(),
        },
        Change::SettledFor {
            order: context.order.id.clone(),
        },
        Change::Deployed(Box::new(row)),
    ];
    changes.extend(moved.iter().cloned().map(Change::BreakerIs));
    changes
}

/// What is said when somebody else has to approve: of one that the workshop approved `by_itself` before there were
/// people, why that does not do; where people decide `on_a_page`, without keys of their own, where they do.
fn needs_approval((name, number): (&str, &str), by_itself: bool, on_a_page: bool) -> StepError {
    let why = match by_itself {
        true => {
            ": its approval is the workshop's own, of before there were accounts, and somebody who did not place \
             this order has to decide before it answers"
        }
        false => "",
    };
    StepError {
        code: "approval-needed".to_owned(),
        text: format!("{name} passed its gate and waits for approval as {number}{why}"),
        next: match on_a_page {
            true => format!(
                "an approver decides under Register, on the page /register/{number}, or runs: lathe register decide {number} --as NAME --approve --reason \"…\""
            ),
            false => format!("an approver runs: lathe approve {number} --key FILE"),
        },
    }
}

/// A deployment that does not open leaves the name to the one before it.
async fn give_back(
    context: &Context,
    name: &str,
    before: Option<DeploymentRow>,
) -> Result<(), WorkshopError> {
    let change = match before {
        Some(before) => Change::Deployed(Box::new(before)),
        None => Change::Undeployed {
            name: name.to_owned(),
        },
    };
    context.shop.apply(&[change]).await
}

/// The same model answers already: only the order's row changes.
async fn reuse(context: &Context, row: &DeploymentRow) -> Result<(), WorkshopError> {
    context.reuse(StepName::Deploy, &row.input, None).await?;
    context
        .shop
        .apply(&[Change::Answers {
            order: context.order.id.clone(),
            name: row.name.clone(),
        }])
        .await
}

async fn report_of(shop: &Workshop, row: &DeploymentRow) -> Result<Report, WorkshopError> {
    shop.store().report(&row.report).await?.ok_or_else(|| {
        WorkshopError::new(
            "report-missing",
            format!(
                "the report {} of {} is not in the store",
                row.report, row.name
            ),
            "run the order again",
        )
    })
}

/// Admits a deployment and opens the door for it.
///
/// # Errors
/// The refusal, or why it does not load.
pub(crate) async fn reopen(shop: &Workshop, row: DeploymentRow) -> Result<(), StepError> {
    let name = row.name.clone();
    shop.restrict_stale(&row).await?;
    let admitted = admission::of(shop, row).await?;
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

async fn row_of(context: &Context) -> Result<DeploymentRow, Halt> {
    let base = context.artifact(StepName::Model)?.to_owned();
    let adapter = context.artifact(context.pack.last_stage())?.to_owned();
    let report = context.artifact(StepName::Evaluate)?.to_owned();
    let name = name_of(context);
    let task = {
        let (folder, context) = (context.folder(StepName::Prepare)?, context.clone());
        reach::spawn_blocking(move || deployed_task(&folder, &context))
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
        link: None,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_told_why_and_where_it_is_decided() {
        let page = needs_approval(("care", "2026-0001"), true, true);
        assert!(page.text.contains("before there were accounts"), "{page:?}");
        assert!(page.next.contains("/register/2026-0001"), "{page:?}");
        assert!(!page.next.contains("--key"), "{page:?}");
        let key = needs_approval(("care", "2026-0001"), false, false);
        assert!(!key.text.contains("accounts"), "{key:?}");
        assert!(
            key.next.contains("lathe approve 2026-0001 --key"),
            "{key:?}"
        );
    }
}
