//! Every change of state a workshop makes. How each is written stands in `write`.

use lathe_evidence::manifest::Manifest;

use super::labels::LabelRow;
use super::receipts::{Batch, BreakerRow, ClosedReceipt, OpenReceipt, PendingRow};
use crate::catalogue::{DatasetView, DeploymentRow, ModelView};
use crate::feedback::{FeedbackRow, VersionRow};
use crate::order::{CurvePoint, OrderId, OrderState, Origin, Output, StepError, StepName, Title};
use crate::people::PeopleChange;
use crate::token::{TokenRow, TokenUse};
use crate::tuning::{Asked, FileRow};

/// A new order.
#[derive(Debug, Clone, PartialEq)]
pub struct NewOrder {
    /// Its id.
    pub id: OrderId,
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// Made by `--quick`.
    pub demonstration: bool,
    /// Touch no network.
    pub offline: bool,
    /// The pack's folder.
    pub folder: String,
    /// SHA-256 of pack.yaml as written; of `spec` where it is a clone.
    pub pack_sha256: String,
    /// The effective pack as JSON text.
    pub spec: String,
    /// Where it comes from, when it is a clone.
    pub origin: Option<Origin>,
    /// The project it belongs to.
    pub project: String,
}

/// An artifact that lies in objects/.
#[derive(Debug, Clone, PartialEq)]
pub struct NewArtifact {
    /// Its digest.
    pub digest: String,
    /// Its files.
    pub manifest: Manifest,
}

/// What a finished step enters into the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub enum Registration {
    /// A dataset version.
    Dataset(DatasetView),
    /// A base model or a tuned one.
    Model(ModelView),
    /// An evaluation report, as JSON text.
    Report(String),
}

/// A finished step.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Whose step.
    pub order: OrderId,
    /// Which step.
    pub step: StepName,
    /// Digest of its inputs.
    pub input: String,
    /// What it found.
    pub output: Output,
    /// What it made.
    pub artifact: Option<NewArtifact>,
    /// What it enters into the catalogue.
    pub registers: Vec<Registration>,
}

/// A change of state. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// An order is placed, its steps waiting.
    Placed {
        /// The order.
        order: Box<NewOrder>,
        /// When.
        at_ms: i64,
    },
    /// A file is kept.
    FileKept {
        /// What it is.
        artifact: Box<NewArtifact>,
        /// The file.
        file: Box<FileRow>,
    },
    /// A file is forgotten, and its artifact where nothing was made of it.
    FileDeleted {
        /// Which.
        id: String,
        /// Its artifact.
        artifact: String,
    },
    /// An order that is placed came as a job.
    JobPlaced {
        /// Which.
        order: OrderId,
        /// What was asked.
        asked: Box<Asked>,
    },
    /// An order moves to another state.
    OrderIs {
        /// Which.
        order: OrderId,
        /// The new state.
        state: OrderState,
        /// When.
        at_ms: i64,
    },
    /// A step begins.
    StepBegins {
        /// Whose.
        order: OrderId,
        /// Which.
        step: StepName,
        /// Digest of its inputs.
        input: String,
        /// When.
        at_ms: i64,
    },
    /// A step is done; its effect is stored.
    StepDone {
        /// What it did.
        finished: Box<Finished>,
        /// When.
        at_ms: i64,
    },
    /// A step takes over an earlier effect.
    StepReuses {
        /// Whose.
        order: OrderId,
        /// Which.
        step: StepName,
        /// Digest of its inputs.
        input: String,
        /// When.
        at_ms: i64,
    },
    /// A step failed, and with it its order.
    StepFails {
        /// Whose.
        order: OrderId,
        /// Which.
        step: StepName,
        /// Why.
        error: StepError,
        /// When.
        at_ms: i64,
    },
    /// A step was interrupted, or is to be tried again: it waits. What it has worked counts on when it begins anew.
    StepWaits {
        /// Whose.
        order: OrderId,
        /// Which.
        step: StepName,
        /// When it was interrupted; where nobody knows, what it has worked is not counted.
        at_ms: Option<i64>,
    },
    /// An order's model answers under this name.
    Answers {
        /// Whose.
        order: OrderId,
        /// The name.
        name: String,
    },
    /// A dataset was added by hand.
    DatasetAdded {
        /// Its files.
        artifact: Box<NewArtifact>,
        /// Its row.
        dataset: Box<DatasetView>,
        /// The project it belongs to.
        project: String,
        /// When.
        at_ms: i64,
    },
    /// A thing that is known by its content, or a file, belongs to a project, to others as before.
    Belongs {
        /// Its digest or id.
        thing: String,
        /// The project.
        project: String,
    },
    /// An artifact that no step made is kept.
    ArtifactKept {
        /// Its files.
        artifact: Box<NewArtifact>,
        /// What it is.
        kind: &'static str,
        /// When.
        at_ms: i64,
    },
    /// A point of the loss curve; those of the same step and of later ones are replaced (a resumed run repeats some).
    Point {
        /// Whose.
        order: OrderId,
        /// The point.
        point: CurvePoint,
    },
    /// A line of the log.
    Log {
        /// Whose.
        order: OrderId,
        /// Which step speaks.
        step: StepName,
        /// What it says.
        text: String,
        /// When.
        at_ms: i64,
    },
    /// A deployment takes its name, or takes it back.
    Deployed(Box<DeploymentRow>),
    /// A deployment that never opened leaves its name.
    Undeployed {
        /// The name.
        name: String,
    },
    /// An answer began.
    ReceiptOpened(Box<OpenReceipt>),
    /// An answer ended.
    ReceiptClosed(Box<ClosedReceipt>),
    /// Receipts became a batch.
    ReceiptsBatched {
        /// The batch.
        batch: Batch,
        /// Their ids, in the order of their leaves.
        ids: Vec<String>,
    },
    /// A breaker moved.
    BreakerIs(BreakerRow),
    /// A registration waits for approval.
    Pending(PendingRow),
    /// The order's registration waits no more.
    SettledFor {
        /// The order.
        order: OrderId,
    },
    /// A key of the API was issued.
    TokenIssued(Box<TokenRow>),
    /// A key of the API was taken back.
    TokenRevoked {
        /// Its id.
        id: String,
        /// When.
        at_ms: i64,
    },
    /// What was asked with keys of the API.
    TokensUsed(Vec<TokenUse>),
    /// Somebody said something of an answer; the same is kept once.
    FeedbackGiven(Box<FeedbackRow>),
    /// Somebody decided about it.
    FeedbackReviewed(Box<FeedbackRow>),
    /// A dataset that was added is a version of corrections.
    FeedbackVersion(Box<VersionRow>),
    /// Something of people: who they are, where they are logged in, what was decided.
    People(PeopleChange),
    /// A version of a registered model has a label, which leaves the one that had it.
    Labelled(LabelRow),
    /// A label is at no version any more.
    Unlabelled {
        /// The registered model.
        name: String,
        /// The label.
        label: String,
    },
}
