//! Orders as shown, made of the rows of the store and the live progress.

use crate::error::WorkshopError;
use crate::order::{OrderId, OrderView, Progress, StepName, StepState, StepView};
use crate::store::Store;
use crate::store::orders::{OrderRow, StepRow};

/// An order as the store has it, for commands that need no daemon: no URL, no live progress.
///
/// # Errors
/// The store's.
pub async fn stored_view(store: &Store, id: &OrderId) -> Result<Option<OrderView>, WorkshopError> {
    let Some(row) = store.order(id).await? else {
        return Ok(None);
    };
    let steps = store.steps(id).await?;
    let mut view = order_view(row, steps, None);
    view.position = store.position(id).await?;
    Ok(Some(view))
}

/// An order as shown, without its URL and its place in the queue.
pub(crate) fn order_view(
    row: OrderRow,
    steps: Vec<StepRow>,
    live: Option<(StepName, Progress)>,
) -> OrderView {
    let step_view = |step: StepRow| {
        let output = step.output.unwrap_or_default();
        let running = step.state == StepState::Running;
        let finished = matches!(step.state, StepState::Done | StepState::Reused);
        StepView {
            progress: live
                .as_ref()
                .filter(|(name, _)| running && *name == step.name)
                .map(|(_, progress)| progress.clone()),
            name: step.name,
            state: step.state,
            figure: finished.then_some(output.figure),
            figures: output.figures,
            artifact: step.artifact,
            error: step.error,
            started_ms: step.started_ms,
            ended_ms: step.ended_ms,
        }
    };
    OrderView {
        id: row.id,
        pack: row.pack,
        title: row.title,
        project: row.project,
        demonstration: row.demonstration,
        state: row.state,
        created_ms: row.created_ms,
        ended_ms: row.ended_ms,
        steps: steps.into_iter().map(step_view).collect(),
        deployment: row.deployment,
        answering: None,
        position: None,
        origin: row.origin,
        url: String::new(),
    }
}
