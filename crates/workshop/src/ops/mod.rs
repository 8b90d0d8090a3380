//! What people do to orders and evidence, one file an operation: the same for the command line and
//! the API.
//!
//! An [`Operation`] is JSON, its outcome is JSON. Each is decided on the verified ledger inside the
//! transaction that writes it. Reading is elsewhere (`trace`); verifying a home as a stranger would
//! is the crate `lathe-verify`'s.

mod alias;
mod approve;
mod breaker;
mod cancel;
mod clone;
mod dossier;
mod export;
mod feedback;
mod filing;
mod flip;
mod judge;
mod keys;
mod object;
mod order_cancel;
mod pause;
mod people;
mod project;
mod restored;
mod resume;
mod rights;
mod token;
mod upstream;
mod withdraw;

use std::collections::BTreeMap;
use std::path::PathBuf;

use lathe_evidence::Digest;
use lathe_evidence::statement::{BreakerState, Decision, FilingKind, Role, Withdrawn};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::audit;
use crate::bring::{BringBegin, BringLook, BringMake};
use crate::bundle::{ExportRequest, ImportRequest};
use crate::draft::RecipeRequest;
use crate::error::WorkshopError;
use crate::feedback::{FeedbackDataset, FeedbackEdit, FeedbackList, FeedbackReview, FeedbackTune};
use crate::order::{OrderId, OrderRequest, OrderState};
use crate::people::{AuditRow, PersonRequest, PersonRole, ProjectRequest, Right, Secret, reach};
use crate::store::orders::OrderRow;
use crate::token::TokenRequest;
use crate::upstream::UpstreamRequest;
use crate::words::Lang;
use crate::workshop::Workshop;

pub use approve::sign_approval;
pub(crate) use clone::{Again, kept as kept_by_clone, run as place_again, to_clone};
pub use filing::{ANSWERS_BYTES_MAX, Answers, filing_answers, filing_check};
pub(crate) use withdraw::{order_again, orders_again};

/// Something to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// Set an order aside; the next one of the queue runs.
    OrderPause {
        /// The order.
        order: OrderId,
    },
    /// Put an order back that was paused, or that failed.
    OrderResume {
        /// The order.
        order: OrderId,
    },
    /// Give an order up; it ends where it stands, and what it made is kept.
    OrderCancel {
        /// The order.
        order: OrderId,
    },
    /// Place an order again with some settings of its effective pack changed.
    OrderClone {
        /// The order.
        order: OrderId,
        /// New values by dotted paths.
        #[serde(default)]
        set: BTreeMap<String, Value>,
        /// The project that the new order belongs to; the old one's unless given.
        #[serde(default)]
        project: Option<String>,
    },
    /// What would become of a clone: its steps, its mistakes, what it would take.
    OrderClonePlan {
        /// The order.
        order: OrderId,
        /// New values by dotted paths.
        #[serde(default)]
        set: BTreeMap<String, Value>,
        /// The project that the new order would belong to; the old one's unless given.
        #[serde(default)]
        project: Option<String>,
    },
    /// Call a version of a registered model something beside its number. `production` and `champion` are at
    /// the version that answers: setting one passes admission, or tells what is missing.
    Alias(AliasRequest),
    /// What would become of an order: its steps, its mistakes, what it would take.
    OrderPlan(OrderRequest),
    /// What a recipe in the words of LLaMA-Factory says of learning, read into an order that is being written.
    OrderRecipe(RecipeRequest),
    /// The packs that an order can be made of.
    Packs {},
    /// A pack with all its settings.
    PackShow {
        /// What an order names it by.
        pack: PathBuf,
        /// As its `quick` section changes it.
        #[serde(default)]
        quick: bool,
    },
    /// A file that is going to come.
    BringBegin(BringBegin),
    /// A file of unknown size is here whole.
    BringEnd {
        /// The file.
        id: String,
    },
    /// The files that come or came and of which nothing was made yet.
    Brought {},
    /// Forget a file that was brought.
    BringForget {
        /// The file.
        id: String,
    },
    /// What a file gives under a mapping of its columns.
    BringLook(BringLook),
    /// Make a dataset version and a pack of a file.
    BringMake(BringMake),
    /// What one dataset version has that another lacks.
    DataCompare {
        /// The former version, by its digest.
        from: String,
        /// The latter one.
        to: String,
    },
    /// Take data back: what was tuned on it is restricted.
    Withdraw {
        /// What is taken back.
        what: Withdrawn,
        /// Why.
        reason: String,
    },
    /// What waits for approval.
    Pending {},
    /// The statement an approver is to sign.
    ApprovalDraft {
        /// The registration's number.
        number: String,
        /// The decision.
        decision: Decision,
        /// Why.
        reason: String,
    },
    /// A signed approval.
    Approve {
        /// The DSSE envelope.
        envelope: String,
    },
    /// Decide about a model that waits where the workshop's own key signs: for the person who asks.
    Decide {
        /// The registration's number.
        number: String,
        /// The decision.
        decision: Decision,
        /// Why.
        reason: String,
    },
    /// Take a registration out of the register.
    Cancel {
        /// Its number.
        number: String,
        /// Why.
        reason: String,
    },
    /// Keep an authority's act (备案) as evidence.
    Filing {
        /// The registration it belongs to.
        number: String,
        /// Which kind.
        kind: FilingKind,
        /// The authority.
        authority: String,
        /// The authority's number.
        filed_as: String,
        /// The day on the document, YYYY-MM-DD.
        date: String,
        /// The SHA-256 of the document.
        document: Digest,
    },
    /// Which act of an authority applies, as the questionnaire was answered so far.
    FilingCheck {
        /// Answers by the questions' ids.
        answers: Answers,
        /// `zh` or `en`.
        lang: String,
    },
    /// The package for a filing, in the official fields.
    FilingPackage {
        /// The registration: its number, its deployment's name or its order.
        of: String,
        /// Answers by the questions' ids.
        answers: Answers,
        /// The folder to write, new or empty; without it the page is answered.
        folder: Option<PathBuf>,
        /// The language of what is answered, `zh` or `en`; a folder has both.
        lang: String,
    },
    /// Move a breaker by hand.
    Breaker {
        /// The deployment's name.
        name: String,
        /// Where to.
        to: BreakerState,
        /// Why.
        reason: String,
    },
    /// The keys of the ledger.
    Keys {},
    /// A key that may sign from now on.
    KeyAdd {
        /// The public key: PEM, or base64 of its 32 bytes.
        public: String,
        /// Whose it is.
        name: String,
        /// What it may sign.
        roles: Vec<Role>,
    },
    /// A key that signs no more.
    KeyRetire {
        /// Its id.
        id: Digest,
        /// Why.
        reason: String,
    },
    /// A key that was stolen: nothing that it signed stands.
    KeyCompromised {
        /// Its id.
        id: Digest,
        /// Why.
        reason: String,
    },
    /// A new key for the workshop; the old one is retired.
    KeyRotate {
        /// Why.
        reason: String,
    },
    /// A key of the API, shown once.
    TokenCreate(TokenRequest),
    /// The keys of the API.
    Tokens {},
    /// A key of the API that opens nothing more.
    TokenRevoke {
        /// Its id.
        id: String,
        /// Why.
        reason: String,
    },
    /// The people who may come in.
    People {},
    /// Let somebody in.
    PersonAdd(PersonRequest),
    /// Other roles for somebody, and other rights denied to them.
    PersonRoles {
        /// What they log in with.
        name: String,
        /// What they do, all of it.
        roles: Vec<PersonRole>,
        /// Rights that they never have, all of them.
        #[serde(default)]
        denied: Vec<Right>,
    },
    /// Shut somebody out, everywhere they are logged in.
    PersonDisable {
        /// What they log in with.
        name: String,
    },
    /// Let somebody in again who was shut out.
    PersonEnable {
        /// What they log in with.
        name: String,
    },
    /// Another password for somebody, who is logged out everywhere.
    PersonPassword {
        /// What they log in with.
        name: String,
        /// The password; one is made and told once unless given.
        #[serde(default)]
        password: Option<Secret>,
    },
    /// The projects that whoever asks may see, with their members.
    Projects {},
    /// One project, with its members and how much belongs to it.
    ProjectShow {
        /// Its id.
        id: String,
    },
    /// Make a project.
    ProjectCreate(ProjectRequest),
    /// Call a project something else; its id stays.
    ProjectRename {
        /// Its id.
        id: String,
        /// What people call it; the id where it is empty.
        name: String,
    },
    /// Delete a project to which nothing belongs.
    ProjectDelete {
        /// Its id.
        id: String,
    },
    /// Give somebody a part in a project, another one than before.
    ProjectMember {
        /// The project.
        project: String,
        /// What they log in with.
        person: String,
        /// What they do there, all of it.
        roles: Vec<PersonRole>,
        /// Rights that they never have there, all of them.
        #[serde(default)]
        denied: Vec<Right>,
    },
    /// Take somebody's part in a project away.
    ProjectLeave {
        /// The project.
        project: String,
        /// What they log in with.
        person: String,
    },
    /// Another server that is to answer under a name.
    UpstreamAdd(UpstreamRequest),
    /// The other servers, and how they are.
    Upstreams {},
    /// Another server that answers no more.
    UpstreamRemove {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// The newest signed checkpoint.
    Checkpoint {},
    /// The ledger as tlog tiles.
    LedgerExport {
        /// The folder to write into; made where it is missing.
        folder: PathBuf,
    },
    /// The dossier of a registration, as the ledger tells it now.
    Dossier {
        /// Its number.
        number: String,
        /// `zh` or `en`.
        lang: String,
        /// A page to print instead of JSON.
        #[serde(default)]
        page: bool,
    },
    /// A deployment with all it rests on, as a folder for another workshop.
    BundleExport(ExportRequest),
    /// The weights that answer under a name, signed for other people's tools.
    ModelExport(ExportRequest),
    /// What happens to an altered model: in a copy of the home, one bit of it is flipped.
    Flip {
        /// The deployment's name.
        name: String,
    },
    /// A deployment of another workshop, verified and taken over.
    BundleImport(ImportRequest),
    /// The home was restored from a backup.
    Restored {
        /// Why.
        reason: String,
    },
    /// What people said of answers, the newest first.
    FeedbackList(FeedbackList),
    /// What somebody said of an answer, with what was asked.
    FeedbackShow {
        /// Its id.
        id: String,
    },
    /// Stand by what was said of answers, or do not.
    FeedbackReview(FeedbackReview),
    /// Accept another right answer in the place of one that was given.
    FeedbackEdit(FeedbackEdit),
    /// Accepted corrections as the next version of a dataset.
    FeedbackDataset(FeedbackDataset),
    /// Tune a deployment on its accepted corrections.
    FeedbackTune(FeedbackTune),
}

/// An alias to be set or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AliasRequest {
    /// The registered model.
    pub name: String,
    /// The alias.
    pub alias: String,
    /// The version it is to be at; without one it is taken away.
    #[serde(default)]
    pub version: Option<u32>,
}

impl Operation {
    /// The same, by whom it is asked where it does not say: the name of the key.
    #[must_use]
    pub fn asked_by(mut self, name: &str) -> Operation {
        if let Some(by) = self.decider().filter(|by| by.trim().is_empty()) {
            name.clone_into(by);
        }
        self
    }

    /// With the name of who is logged in as the one who decides, whatever stood there.
    pub fn decided_by(mut self, name: &str) -> Operation {
        if let Some(by) = self.decider() {
            name.clone_into(by);
        }
        self
    }

    /// Where who decides stands, in an operation that has a place for it.
    fn decider(&mut self) -> Option<&mut String> {
        match self {
            Operation::FeedbackReview(asked) => Some(&mut asked.by),
            Operation::FeedbackEdit(asked) => Some(&mut asked.by),
            _ => None,
        }
    }
}

impl Workshop {
    /// Does it. What was begun is finished even where whoever asked goes away.
    ///
    /// # Errors
    /// Those of the operation, with a code and a next step.
    pub async fn operate(&self, operation: Operation) -> Result<Value, WorkshopError> {
        let (shop, by) = (self.clone(), audit::by());
        let changes = operation.changes();
        let name = json!(operation)["do"].take();
        let name = name.as_str().unwrap_or_default().to_owned();
        let projects = self.judge(&operation, &name, by.as_deref()).await?;
        let (whose, told) = (by.clone(), operation.told(&name));
        let work = async move {
            let done = shop.perform(operation).await;
            let refused = done.as_ref().err().map(WorkshopError::code);
            let by = whose.as_deref().unwrap_or_default();
            let row = AuditRow::now("operation", by, &told, refused.unwrap_or("done"));
            let row = row.within(&projects);
            audit::operated(&name, whose.as_deref(), refused, row.project.as_deref());
            if changes {
                // It is done, whether it could be noted or not.
                if let Err(error) = shop.people().record(row).await {
                    tracing::error!("an operation was not written into the audit: {error}");
                }
            }
            done
        };
        let working = match by {
            Some(by) => reach::spawn(audit::on_behalf(by, work)),
            None => reach::spawn(work),
        };
        working.await.map_err(|error| stumbled(&error))?
    }

    async fn perform(&self, operation: Operation) -> Result<Value, WorkshopError> {
        match operation {
            Operation::OrderPause { order } => pause::run(self, order).await,
            Operation::OrderResume { order } => resume::run(self, order).await,
            Operation::OrderCancel { order } => order_cancel::run(self, order).await,
            Operation::OrderClone {
                order: of,
                set,
                project,
            } => {
                self.reaches_set(&set)?;
                let again = Again { of, set, project };
                clone::run(self, again, |_| Ok(Vec::new())).await
            }
            Operation::OrderClonePlan {
                order,
                set,
                project,
            } => Ok(json!(
                self.clone_plan(&order, &set, project.as_deref()).await?
            )),
            Operation::Alias(asked) => alias::run(self, asked).await,
            Operation::OrderPlan(request) => Ok(json!(self.plan(&request).await?)),
            Operation::OrderRecipe(asked) => Ok(json!(self.order_recipe(&asked)?)),
            Operation::PackShow { pack, quick } => Ok(json!(self.pack_settings(&pack, quick)?)),
            Operation::Packs {} => Ok(json!({ "packs": self.packs() })),
            Operation::BringBegin(asked) => Ok(json!(self.bring_begin(asked).await?)),
            Operation::BringEnd { id } => Ok(json!(self.bring_end(&id).await?)),
            Operation::Brought {} => Ok(json!({ "brought": self.brought_files().await? })),
            Operation::BringForget { id } => {
                self.bring_forget(&id).await?;
                Ok(json!({ "forgotten": id }))
            }
            Operation::BringLook(asked) => Ok(json!(self.bring_look(asked).await?)),
            Operation::BringMake(asked) => Ok(json!(self.bring_make(asked).await?)),
            Operation::DataCompare { from, to } => {
                Ok(json!(self.dataset_difference(&from, &to).await?))
            }
            Operation::UpstreamAdd(request) => upstream::add(self, request).await,
            Operation::Upstreams {} => upstream::list(self).await,
            Operation::UpstreamRemove { name, reason } => upstream::end(self, name, reason).await,
            Operation::Checkpoint {} => export::checkpoint(self).await,
            Operation::LedgerExport { folder } => export::run(self, folder).await,
            Operation::Dossier { number, lang, page } => {
                dossier::run(self, &number, &lang, page).await
            }
            Operation::BundleExport(request) => Ok(json!(self.export_bundle(&request).await?)),
            Operation::ModelExport(request) => Ok(json!(self.export_model(&request).await?)),
            Operation::Flip { name } => flip::run(self, &name).await,
            Operation::BundleImport(request) => Ok(json!(self.import_bundle(&request).await?)),
            Operation::Restored { reason } => restored::run(self, reason).await,
            Operation::FeedbackList(asked) => feedback::list(self, asked).await,
            Operation::FeedbackShow { id } => feedback::show(self, &id).await,
            Operation::FeedbackReview(asked) => feedback::review(self, &asked).await,
            Operation::FeedbackEdit(asked) => feedback::edit(self, &asked).await,
            Operation::FeedbackDataset(asked) => self.feedback_dataset(asked).await,
            Operation::FeedbackTune(asked) => {
                self.reaches_set(&asked.set)?;
                self.feedback_tune(asked).await
            }
            operation => self.perform_evidence(operation).await,
        }
    }

    /// What is done to evidence: data taken back, decisions, filings.
    async fn perform_evidence(&self, operation: Operation) -> Result<Value, WorkshopError> {
        match operation {
            Operation::Withdraw { what, reason } => withdraw::run(self, what, reason).await,
            Operation::Pending {} => Ok(json!({ "pending": self.pending().await? })),
            Operation::ApprovalDraft {
                number,
                decision,
                reason,
            } => approve::draft(self, &number, decision, reason).await,
            Operation::Approve { envelope } => approve::run(self, envelope).await,
            Operation::Decide {
                number,
                decision,
                reason,
            } => approve::decide(self, &number, decision, reason).await,
            Operation::Cancel { number, reason } => cancel::run(self, &number, reason).await,
            Operation::Filing {
                number,
                kind,
                authority,
                filed_as,
                date,
                document,
            } => {
                let act = filing::Act::new(kind, authority, filed_as, date, document);
                filing::record(self, &number, act).await
            }
            Operation::FilingCheck { answers, lang } => {
                filing_check(&answers, Lang::from_tag(&lang))
            }
            Operation::FilingPackage {
                of,
                answers,
                folder,
                lang,
            } => filing::package_of(self, &of, answers, (folder.as_deref(), &lang)).await,
            Operation::Breaker { name, to, reason } => breaker::run(self, name, to, reason).await,
            operation => self.perform_access(operation).await,
        }
    }

    /// What is done about who may do what: keys of the ledger and of the API, people.
    async fn perform_access(&self, operation: Operation) -> Result<Value, WorkshopError> {
        match operation {
            Operation::Keys {} => keys::list(self).await,
            Operation::KeyAdd {
                public,
                name,
                roles,
            } => keys::add(self, &public, &name, &roles).await,
            Operation::KeyRetire { id, reason } => keys::retire(self, id, reason).await,
            Operation::KeyCompromised { id, reason } => keys::compromised(self, id, reason).await,
            Operation::KeyRotate { reason } => keys::rotate(self, reason).await,
            Operation::TokenCreate(request) => token::issue(self, request).await,
            Operation::Tokens {} => Ok(token::list(self)),
            Operation::TokenRevoke { id, reason } => token::revoke(self, &id, reason).await,
            Operation::People {} => Ok(people::list(self)),
            Operation::PersonAdd(request) => people::add(self, request).await,
            Operation::PersonRoles {
                name,
                roles,
                denied,
            } => people::roles(self, &name, roles, denied).await,
            Operation::PersonDisable { name } => people::disable(self, &name, true).await,
            Operation::PersonEnable { name } => people::disable(self, &name, false).await,
            Operation::PersonPassword { name, password } => {
                people::password(self, &name, password).await
            }
            Operation::Projects {} => Ok(project::list(self)),
            Operation::ProjectShow { id } => project::one(self, &id).await,
            Operation::ProjectCreate(request) => project::create(self, request).await,
            Operation::ProjectRename { id, name } => project::rename(self, &id, &name).await,
            Operation::ProjectDelete { id } => project::delete(self, &id).await,
            Operation::ProjectMember {
                project,
                person,
                roles,
                denied,
            } => project::member(self, &project, &person, (roles, denied)).await,
            Operation::ProjectLeave { project, person } => {
                project::leave(self, &project, &person).await
            }
            operation => {
                let name = json!(operation)["do"].take();
                let text = format!("nothing performs the operation {name}");
                let next = "this is a mistake in Lathe; please report it";
                Err(WorkshopError::new("internal", text, next))
            }
        }
    }
}

/// Says that the task of an operation ended without an outcome.
pub(crate) fn stumbled(error: &tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("the operation stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}

/// The order that an operation names.
pub(crate) async fn order_of(shop: &Workshop, id: &OrderId) -> Result<OrderRow, WorkshopError> {
    shop.store().order(id).await?.ok_or_else(|| {
        WorkshopError::new(
            "order-unknown",
            format!("this workshop has no order {id}"),
            "list them with `lathe order list`",
        )
    })
}

/// Says that an order stands where `what` makes no sense; `ORDER` in `next` becomes its id.
fn wrong_state(row: &OrderRow, what: &str, next: &str) -> WorkshopError {
    let stands = match row.state {
        OrderState::Queued => "is queued",
        OrderState::Running => "is running",
        OrderState::Waiting => "waits for approval",
        OrderState::Paused => "is paused",
        OrderState::Done => "is done",
        OrderState::Failed => "has failed",
    };
    WorkshopError::new(
        "order-state",
        format!("cannot {what} the order {}: it {stands}", row.id),
        next.replace("ORDER", &row.id.0),
    )
}

/// A reason has to be given: it stands in the ledger for good.
fn reasoned(reason: &str) -> Result<(), WorkshopError> {
    if reason.trim().is_empty() {
        return Err(WorkshopError::new(
            "reason-missing",
            "a decision needs a reason",
            "give it with --reason \"…\"",
        ));
    }
    Ok(())
}
