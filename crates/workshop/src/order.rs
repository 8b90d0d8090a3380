//! The words of an order: its steps, their states, and the views that pages,
//! the API and the command line show. Serialised as they stand.
//!
//! No storage and no execution here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::WorkshopError;

/// The id of an order: a UUIDv7 in text form.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(pub String);

impl fmt::Display for OrderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a cloned order comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The order it was cloned from.
    pub order: OrderId,
    /// What was changed in that order's effective pack.
    pub changes: Vec<SettingChange>,
}

/// One setting of a pack that was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingChange {
    /// Its dotted path, for instance `tune.sft.learning_rate`.
    pub key: String,
    /// What it was; null where it was not set.
    pub from: Value,
    /// What it is.
    pub to: Value,
}

/// What is asked for: run this pack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRequest {
    /// The pack's folder (or its pack.yaml), absolute or relative to the daemon.
    pub pack: PathBuf,
    /// Run the pack's `quick` overlay and mark everything "demonstration".
    #[serde(default)]
    pub quick: bool,
    /// Touch no network: sources must be in the cache.
    #[serde(default)]
    pub offline: bool,
    /// The project that it and all it makes belong to; the common one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// New values of the pack by dotted paths, as `lathe order clone --set` takes them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
}

/// A title in both languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Title {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// The state of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderState {
    /// Waiting for the slot.
    Queued,
    /// One of its steps runs.
    Running,
    /// Somebody has to decide before it goes on.
    Waiting,
    /// Set aside by somebody until it is resumed; it does not hold the queue.
    Paused,
    /// Every step is done.
    Done,
    /// A step failed; its error says why.
    Failed,
}

/// The steps of an order, in the order they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepName {
    /// Fetch the base model and check that it loads.
    Model,
    /// Fetch the data.
    Data,
    /// Fetch the texts of continued pretraining; only where the pack asks for it.
    PretrainData,
    /// Fetch the data of the preference stage; only where the pack names some.
    PreferenceData,
    /// Take the file of reviewed corrections; only where some are learnt.
    CorrectionsData,
    /// Read, check, dedupe, split, compute leaves and root.
    Prepare,
    /// The same of the texts of continued pretraining.
    PretrainPrepare,
    /// The same of the data of the preference stage.
    PreferencePrepare,
    /// The same of the corrections.
    CorrectionsPrepare,
    /// Let the base model answer a fixed subset of the test records.
    Base,
    /// Measure the challengers on the same split.
    Challengers,
    /// Continued pretraining of the adapter; only where the pack asks for it.
    Pretrain,
    /// Tune.
    Tune,
    /// Preference tuning of the adapter; only where the pack asks for it.
    Preference,
    /// Learn corrections of earlier answers; only where there are some.
    Corrections,
    /// Let the tuned model answer the test records; write the report.
    Evaluate,
    /// Recompute the verdict, admit, open the door.
    Deploy,
    /// Ask the served model a few held-out questions over HTTP.
    Ask,
}

impl StepName {
    /// The steps that every order has, in the order they run.
    pub const ALL: [StepName; 9] = [
        StepName::Model,
        StepName::Data,
        StepName::Prepare,
        StepName::Base,
        StepName::Challengers,
        StepName::Tune,
        StepName::Evaluate,
        StepName::Deploy,
        StepName::Ask,
    ];

    /// Every step that an order may have, in the order they run.
    pub const KNOWN: [StepName; 18] = [
        StepName::Model,
        StepName::Data,
        StepName::PretrainData,
        StepName::PreferenceData,
        StepName::CorrectionsData,
        StepName::Prepare,
        StepName::PretrainPrepare,
        StepName::PreferencePrepare,
        StepName::CorrectionsPrepare,
        StepName::Base,
        StepName::Challengers,
        StepName::Pretrain,
        StepName::Tune,
        StepName::Preference,
        StepName::Corrections,
        StepName::Evaluate,
        StepName::Deploy,
        StepName::Ask,
    ];

    /// The name as stored and printed ("model").
    pub fn as_str(self) -> &'static str {
        match self {
            StepName::Model => "model",
            StepName::Data => "data",
            StepName::PretrainData => "pretrain-data",
            StepName::PreferenceData => "preference-data",
            StepName::CorrectionsData => "corrections-data",
            StepName::Prepare => "prepare",
            StepName::PretrainPrepare => "pretrain-prepare",
            StepName::PreferencePrepare => "preference-prepare",
            StepName::CorrectionsPrepare => "corrections-prepare",
            StepName::Base => "base",
            StepName::Challengers => "challengers",
            StepName::Pretrain => "pretrain",
            StepName::Tune => "tune",
            StepName::Preference => "preference",
            StepName::Corrections => "corrections",
            StepName::Evaluate => "evaluate",
            StepName::Deploy => "deploy",
            StepName::Ask => "ask",
        }
    }
}

impl fmt::Display for StepName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl OrderId {
    /// A new id, made of the time and randomness (UUIDv7).
    pub fn new() -> Self {
        OrderId(uuid::Uuid::now_v7().to_string())
    }
}

impl Default for OrderId {
    fn default() -> Self {
        Self::new()
    }
}

impl FromStr for StepName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        StepName::KNOWN
            .into_iter()
            .find(|step| step.as_str() == text)
            .ok_or_else(|| format!("no step is called {text:?}"))
    }
}

/// The state of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Not begun (or interrupted, to be resumed).
    Waiting,
    /// Running now.
    Running,
    /// Done by this order.
    Done,
    /// Taken over unchanged from an earlier order with the same inputs.
    Reused,
    /// Failed; the error says why.
    Failed,
}

/// How far a running step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Units done.
    pub done: u64,
    /// Units in all; 0 when not known.
    pub total: u64,
    /// What is counted: a words.yaml key ("unit.bytes", "unit.records", "unit.steps").
    pub unit: String,
    /// Estimated seconds to the end of this step.
    pub eta_s: Option<f64>,
    /// What the working process holds, where its system says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
}

/// The memory of a working process, as its system counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Held now, in bytes; pages of mapped files among it.
    pub now_bytes: u64,
    /// The most it has held.
    pub peak_bytes: u64,
}

/// Why a step failed, for people and for scripts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// Stable code ("data-digest").
    pub code: String,
    /// What was being done, to what, and what went wrong.
    pub text: String,
    /// What to do next.
    pub next: String,
}

/// The code of a step that ended because an approver rejected the model.
pub(crate) const REJECTED: &str = "approval-rejected";

/// The code of a step that ended because somebody cancelled the order.
pub(crate) const CANCELLED: &str = "order-cancelled";

/// What the step that it stood at says then, beside who it was.
const CANCELLED_TEXT: &str = "the order was cancelled";

/// How an order ended that was not finished: of all that are called failed, two ends are somebody's will.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// A step could not be done.
    Error,
    /// An approver rejected its model.
    Rejected,
    /// Somebody cancelled it.
    Cancelled,
}

impl Ending {
    /// Its word in queries and keys.
    pub fn as_str(self) -> &'static str {
        match self {
            Ending::Error => "error",
            Ending::Rejected => "rejected",
            Ending::Cancelled => "cancelled",
        }
    }

    /// What somebody wanted; none where something went wrong.
    pub fn willed(self) -> Option<Ending> {
        (self != Ending::Error).then_some(self)
    }
}

impl StepError {
    /// That the model of a registration was rejected; [`StepError::rejected`] reads it.
    pub(crate) fn rejection(number: &str, reason: &str) -> StepError {
        StepError {
            code: REJECTED.to_owned(),
            text: format!("the approval of {number} was refused: {reason}"),
            next: "change what was asked for, then run the order again".to_owned(),
        }
    }

    /// That an order was cancelled; [`StepError::cancelled_by`] reads it.
    pub(crate) fn cancellation(order: &OrderId, by: Option<&str>) -> StepError {
        let by = by.filter(|it| !it.is_empty());
        let text = match by {
            Some(by) => format!("{CANCELLED_TEXT} by {by}"),
            None => CANCELLED_TEXT.to_owned(),
        };
        let next = format!("lathe order resume {order} puts it back");
        WorkshopError::new("order-cancelled", text, next).into()
    }

    /// Who cancelled the order, where it is told; none where that is not what happened.
    pub fn cancelled_by(&self) -> Option<&str> {
        let told = self.text.strip_prefix(CANCELLED_TEXT)?.strip_prefix(" by ");
        told.filter(|_| self.ending() == Ending::Cancelled)
    }

    /// How an order ended that this stopped.
    pub fn ending(&self) -> Ending {
        match &self.code[..] {
            REJECTED => Ending::Rejected,
            CANCELLED => Ending::Cancelled,
            _ => Ending::Error,
        }
    }

    /// The registration whose model was rejected, and why; none where that is not what happened.
    pub fn rejected(&self) -> Option<(&str, &str)> {
        let told = self.text.strip_prefix("the approval of ");
        told.filter(|_| self.ending() == Ending::Rejected)?
            .split_once(" was refused: ")
    }
}

/// What a finished step found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its one-line figure, in both languages.
    pub figure: Title,
    /// Its figures by name, for scripts and pages.
    pub figures: Map<String, Value>,
    /// What later steps need to know; never shown.
    pub facts: Map<String, Value>,
}

/// One step as shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepView {
    /// Which step.
    pub name: StepName,
    /// Where it stands.
    pub state: StepState,
    /// How far it is while running.
    pub progress: Option<Progress>,
    /// Its one-line figure, in both languages, once finished.
    pub figure: Option<Title>,
    /// Its figures by name, once finished.
    pub figures: Map<String, Value>,
    /// Digest of the artifact it made, once finished: its folder under `objects/`.
    pub artifact: Option<String>,
    /// Why it failed.
    pub error: Option<StepError>,
    /// When it began, milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<i64>,
}

/// How an order stands to the name that its model was deployed under.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answering {
    /// The name.
    pub name: String,
    /// How it stands to it now.
    pub now: AnsweringNow,
    /// The order that was given the name last; none where the name is nobody's.
    pub order: Option<OrderId>,
}

/// Whether a model answers under its name now; the one that answers most comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnsweringNow {
    /// It answers everyone.
    Answers,
    /// It answers only callers who say that they know why it is restricted.
    Restricted,
    /// Its breaker is open, its evidence does not hold, or the name is nobody's: it answers nobody.
    Silent,
    /// The name was given to another order, or another model.
    Replaced,
}

impl AnsweringNow {
    /// Its name, as serialised and as the catalogue has it.
    pub fn as_str(self) -> &'static str {
        match self {
            AnsweringNow::Answers => "answers",
            AnsweringNow::Restricted => "restricted",
            AnsweringNow::Silent => "silent",
            AnsweringNow::Replaced => "replaced",
        }
    }

    /// Whether it answers anybody: everyone, or callers who say that they know why it is restricted.
    pub fn answers_somebody(self) -> bool {
        matches!(self, AnsweringNow::Answers | AnsweringNow::Restricted)
    }
}

/// One row of the list of orders.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderSummary {
    /// The order's id.
    pub id: OrderId,
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// The project it belongs to.
    pub project: String,
    /// Made by `--quick`: a demonstration, not a result.
    pub demonstration: bool,
    /// Where it stands.
    pub state: OrderState,
    /// The step that runs or failed, or the last one.
    pub step: StepName,
    /// Its place in the queue, from 1; none unless it is queued.
    pub position: Option<u32>,
    /// When it was placed, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// How long its steps have worked, in milliseconds; what it waited is not among it.
    #[serde(default)]
    pub worked_ms: i64,
    /// How it stands to the name that its model was deployed under; none before it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answering: Option<Answering>,
    /// How it ended, where it was not finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Where it comes from, when it was cloned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

/// One order with its steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderView {
    /// The order's id.
    pub id: OrderId,
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// The project it belongs to.
    pub project: String,
    /// Made by `--quick`: a demonstration, not a result.
    pub demonstration: bool,
    /// Where it stands.
    pub state: OrderState,
    /// When it was placed, milliseconds since 1970.
    pub created_ms: i64,
    /// When it ended, milliseconds since 1970.
    pub ended_ms: Option<i64>,
    /// Its steps, in the order they run.
    pub steps: Vec<StepView>,
    /// The name under which its model was deployed; whether it answers now is said beside it.
    pub deployment: Option<String>,
    /// How it stands to that name; none before it was deployed, and where no workshop runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answering: Option<Answering>,
    /// Its place in the queue, from 1; none unless it is queued.
    pub position: Option<u32>,
    /// Where it comes from, when it was cloned.
    pub origin: Option<Origin>,
    /// The order's page.
    pub url: String,
}

impl OrderView {
    /// How long its steps have worked until `now_ms`, in milliseconds: those of this order, since each began
    /// last. What it waited, for its turn or for somebody, is not among it.
    pub fn worked_ms(&self, now_ms: i64) -> i64 {
        let worked = |step: &StepView| {
            let open = (step.state == StepState::Running).then_some(now_ms);
            Some((step.ended_ms.or(open)? - step.started_ms?).max(0))
        };
        self.steps.iter().filter_map(worked).sum()
    }

    /// The error of the step that stopped it; none unless it failed.
    pub fn stopped_by(&self) -> Option<&StepError> {
        let mut errors = self.steps.iter().filter_map(|it| it.error.as_ref());
        errors.find(|_| self.state == OrderState::Failed)
    }

    /// How it ended, where it was not finished.
    pub fn ending(&self) -> Option<Ending> {
        ending_of(self.state, self.stopped_by().into_iter())
    }

    /// The error of the step that ended because an approver rejected the model.
    pub fn rejection(&self) -> Option<&StepError> {
        self.stopped_by()
            .filter(|it| it.ending() == Ending::Rejected)
    }
}

/// How an order in this state ended whose steps have these errors; none where it has not, or was finished.
pub(crate) fn ending_of<'a>(
    state: OrderState,
    mut errors: impl Iterator<Item = &'a StepError>,
) -> Option<Ending> {
    let failed = state == OrderState::Failed;
    failed.then(|| errors.next().map_or(Ending::Error, StepError::ending))
}

/// One point of the loss curve.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// Optimizer step, from 1.
    pub step: u64,
    /// Steps in all.
    pub steps: u64,
    /// Mean loss per supervised token of this step.
    pub loss: f64,
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Tokens per second, smoothed.
    pub tokens_per_s: f64,
    /// Estimated seconds to the end.
    pub eta_s: f64,
    /// Tokens per second of this step alone; absent in points of earlier versions, as what follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_tokens_per_s: Option<f64>,
    /// Mean loss on held-out records after this step, where it was measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_loss: Option<f64>,
    /// What the working process held then, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

/// One line of an order's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Position in the order's log, from 1.
    pub seq: u64,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// The step it belongs to.
    pub step: StepName,
    /// What happened.
    pub text: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_read_as_it_is_written() {
        let why = "two figures: wrong (decided by person anna)";
        let error = StepError::rejection("2026-0001", why);
        assert_eq!(error.rejected(), Some(("2026-0001", why)));
        let code = "gate-refused".to_owned();
        assert_eq!(StepError { code, ..error }.rejected(), None);
    }

    #[test]
    fn a_cancellation_is_read_as_it_is_written() {
        let order = OrderId::new();
        let by = |who| StepError::cancellation(&order, who);
        assert_eq!(by(Some("anna")).cancelled_by(), Some("anna"));
        assert_eq!(by(Some("")).cancelled_by(), None);
        assert_eq!(by(None).ending(), Ending::Cancelled);
        let code = "gate-refused".to_owned();
        let other = StepError {
            code,
            ..by(Some("anna"))
        };
        assert_eq!(
            (other.cancelled_by(), other.ending()),
            (None, Ending::Error)
        );
    }
}
