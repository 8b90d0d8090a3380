//! Placing an order: the same command resumes what it began.

use crate::audit;
use crate::clock::now_ms;
use crate::draft;
use crate::error::WorkshopError;
use crate::ops::stumbled;
use crate::order::{OrderId, OrderRequest, OrderState, StepError, StepName, StepState};
use crate::pack::LoadedPack;
use crate::people::{AuditRow, Right, reach};
use crate::store::Change;
use crate::store::change::NewOrder;
use crate::store::orders::{OrderRow, StepRow};
use crate::workshop::Workshop;

/// How the audit calls it, as it calls operations.
const NAME: &str = "order-place";

impl Workshop {
    /// Places an order. An unfinished one of the same pack, unchanged, is returned instead; an
    /// unfinished one of an earlier edition of it that neither runs nor is paused is given up. The audit tells it
    /// as it does operations, and what was begun is finished even where whoever asked goes away.
    ///
    /// # Errors
    /// `pack-missing`, `pack-invalid`, `order-setting`, `project-unknown`, `right-denied`, or the store's.
    pub async fn submit(&self, request: OrderRequest) -> Result<OrderId, WorkshopError> {
        let (shop, by) = (self.clone(), audit::by());
        let work = async move {
            let pack = request.pack.display().to_string();
            let (placed, project) = match shop.project_for(request.project.as_deref(), Right::Tune)
            {
                Ok(project) => (shop.place(request, project.clone()).await, Some(project)),
                Err(error) => (Err(error), None),
            };
            shop.note_placing(&placed, &pack, project).await;
            placed
        };
        let working = match by {
            Some(by) => reach::spawn(audit::on_behalf(by, work)),
            None => reach::spawn(work),
        };
        working.await.map_err(|error| stumbled(&error))?
    }

    /// Writes into the audit that an order was placed: its id, or the pack of one that was refused.
    async fn note_placing(
        &self,
        placed: &Result<OrderId, WorkshopError>,
        pack: &str,
        project: Option<String>,
    ) {
        let by = audit::by();
        let (told, refused) = match placed {
            Ok(id) => (format!("{NAME} {id}"), None),
            Err(error) => (format!("{NAME} {pack}"), Some(error.code())),
        };
        let is_denied = refused.is_some_and(|it| matches!(it, "right-denied" | "not-found"));
        let event = if is_denied { "refused" } else { "operation" };
        let whose = by.as_deref().unwrap_or_default();
        // Where nobody is asked who they are, projects keep nothing apart.
        let projects = project.filter(|_| reach::now().is_some());
        let projects: Vec<String> = projects.into_iter().collect();
        let row = AuditRow::now(event, whose, &told, refused.unwrap_or("done"));
        let row = row.within(&projects);
        audit::operated(NAME, by.as_deref(), refused, row.project.as_deref());
        if is_denied {
            self.people().note(row);
        } else if let Err(error) = self.people().record(row).await {
            // It is placed, whether it could be noted or not.
            tracing::error!("the placing of an order was not written into the audit: {error}");
        }
    }

    async fn place(
        &self,
        request: OrderRequest,
        project: String,
    ) -> Result<OrderId, WorkshopError> {
        self.reaches(&request)?;
        let loaded = draft::load(self.home(), &request)?;
        self.store().ledger()?;
        let folder = self.home().from_here(&loaded.folder);
        let mut changes = Vec::new();
        for order in self.store().placed().await? {
            // A clone is another pack than the one in its folder.
            let cloned = order.origin.is_some();
            if cloned || order.folder != folder || order.demonstration != request.quick {
                continue;
            }
            // Another project's is none of this one's business.
            if order.project != project {
                continue;
            }
            if order.pack_sha256 == loaded.sha256.to_string() {
                return self.take_up(order).await;
            }
            // With settings changed it is another order beside this one, not an edition of it.
            if !request.set.is_empty() || draft::is_changed(&order) {
                continue;
            }
            if !matches!(order.state, OrderState::Running | OrderState::Paused) {
                changes.push(given_up(&self.store().steps(&order.id).await?, &order));
            }
        }
        let order = new_order(&request, loaded, folder, project);
        let id = order.id.clone();
        changes.push(Change::Placed {
            order: Box::new(order),
            at_ms: now_ms(),
        });
        self.apply(&changes).await?;
        self.wake();
        Ok(id)
    }

    /// An order that is there already goes on; one that was paused is put back.
    async fn take_up(&self, order: OrderRow) -> Result<OrderId, WorkshopError> {
        if order.state == OrderState::Paused {
            self.apply(&[Change::OrderIs {
                order: order.id.clone(),
                state: OrderState::Queued,
                at_ms: now_ms(),
            }])
            .await?;
        }
        self.wake();
        Ok(order.id)
    }
}

fn new_order(
    request: &OrderRequest,
    loaded: LoadedPack,
    folder: String,
    project: String,
) -> NewOrder {
    let spec = serde_json::to_string(&loaded.pack).expect("a pack is JSON values");
    NewOrder {
        id: OrderId::new(),
        pack: loaded.pack.name,
        title: loaded.pack.title,
        demonstration: request.quick,
        offline: request.offline,
        folder,
        pack_sha256: loaded.sha256.to_string(),
        spec,
        origin: None,
        project,
    }
}

/// The change that ends an order whose pack was edited before it was done.
fn given_up(steps: &[StepRow], order: &OrderRow) -> Change {
    let step = steps
        .iter()
        .find(|step| !matches!(step.state, StepState::Done | StepState::Reused))
        .map_or(StepName::Ask, |step| step.name);
    Change::StepFails {
        order: order.id.clone(),
        step,
        error: StepError {
            code: "order-superseded".to_owned(),
            text: "the pack was edited before this order was done; a new order takes its place"
                .to_owned(),
            next: "look at the newer order of the same pack".to_owned(),
        },
        at_ms: now_ms(),
    }
}
