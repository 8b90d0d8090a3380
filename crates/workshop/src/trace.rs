//! The way back from an answer: what pages and commands show of the evidence.
//!
//! A receipt leads to the deployment that answered, its approval, registration, verdict, evaluation
//! and training, and to the records that say the same; a record leads to every model and answer
//! that depends on it. Everything here is read from the verified ledger, the store and the records'
//! folders, and nothing is judged: whether a chain holds is for the register.

mod answers;
mod chain;
mod filing;
mod ledger;
mod records;
mod register;

use lathe_evidence::Digest;
use lathe_evidence::receipt::{Part, Receipt};
use lathe_evidence::statement::{
    Approval, ApprovalPolicy, BaseModel, Breaker, BreakerState, Cause, Dataset, Deployment,
    Evaluation, Filing, KeyRecord, Link, Predicate, Registration, RegistrationAction, Training,
    Verdict, Withdrawal,
};
use lathe_ledger::History;
use lathe_ledger::history::Entry;
use lathe_register::chain::approver;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::order::OrderId;

pub use chain::{candidate_of, chain_of};
pub(crate) use filing::number_of;
pub use filing::{FiledView, FilingView};
pub use register::registrations_of;

/// Deployments listed for one record.
pub const USES_MAX: usize = 50;
/// Answers listed for one record.
pub const NAMING_MAX: usize = 50;
/// Answers of a deployment that are counted: a page tells of a million no more than that there are very many.
pub const ANSWERS_COUNTED_MAX: u32 = 10_000;

/// A statement as it stands in the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Said<T> {
    /// Its place, from 0.
    pub index: u64,
    /// What others name it by.
    pub link: Link,
    /// The digest it speaks of.
    pub subject: Digest,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
    /// The key that signed it.
    pub signer: Digest,
    /// Whose key that is.
    pub signer_name: String,
    /// Of a decision: the person whom the workshop's own key signed it for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// What it says.
    pub said: T,
}

impl<T: Clone> Said<T> {
    /// The statement of a link, if it is of this type and stands.
    pub fn of(history: &History, link: &Link) -> Option<Self>
    where
        for<'a> &'a T: TryFrom<&'a lathe_evidence::statement::Predicate>,
    {
        let entry = history.get(link)?;
        Self::of_entry(history, entry)
    }

    fn of_entry(history: &History, entry: &Entry) -> Option<Self>
    where
        for<'a> &'a T: TryFrom<&'a lathe_evidence::statement::Predicate>,
    {
        let said = <&T>::try_from(&entry.statement.predicate).ok()?;
        Some(Said {
            index: entry.index,
            link: entry.link,
            subject: entry.statement.subject(),
            at_ms: entry.at_ms(),
            signer: entry.signer,
            signer_name: signer_name(history, entry),
            person: person(history, entry),
            said: said.clone(),
        })
    }

    /// Who said it: the person whom the workshop's own key signed for, or whose key signed.
    pub fn by(&self) -> &str {
        self.person.as_deref().unwrap_or(&self.signer_name)
    }
}

/// The person whom the workshop's own key signed a decision for.
fn person(history: &History, entry: &Entry) -> Option<String> {
    match &entry.statement.predicate {
        Predicate::Approval(said) => approver(history, &entry.signer, said)
            .person()
            .map(str::to_owned),
        _ => None,
    }
}

/// Whose key signed an entry.
fn signer_name(history: &History, entry: &Entry) -> String {
    let key = history.key(&entry.signer);
    key.map_or_else(String::new, |key| key.record.name.clone())
}

/// What a deployment rests on; what is missing is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChainView {
    /// The deployment.
    pub deployment: Option<Said<Deployment>>,
    /// The registration it rests on.
    pub registration: Option<Said<Registration>>,
    /// The approval.
    pub approval: Option<Said<Approval>>,
    /// The verdict.
    pub verdict: Option<Said<Verdict>>,
    /// The evaluation.
    pub evaluation: Option<Said<Evaluation>>,
    /// The training, of several stages the last; none where a base model answers as it came.
    pub training: Option<Said<Training>>,
    /// The stages that it goes on from, the first one first.
    #[serde(default)]
    pub earlier: Vec<Said<Training>>,
    /// The base model.
    pub base: Option<Said<BaseModel>>,
    /// What it was tuned on; where it was not tuned, what it was measured on.
    pub datasets: Vec<Said<Dataset>>,
    /// What of its data was withdrawn since; told of a single registration and of an answer.
    #[serde(default)]
    pub withdrawn: Vec<WithdrawnView>,
    /// Nobody but the workshop itself approved: no person, and no key that signed nothing of what was approved.
    pub self_approved: bool,
}

/// Data behind a model that was withdrawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WithdrawnView {
    /// The digest of the dataset version.
    pub dataset: Digest,
    /// What took it back: the dataset, a record of it, or its agreement.
    pub withdrawal: Said<Withdrawal>,
}

/// One answer and all it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceView {
    /// The receipt.
    pub receipt: Receipt,
    /// Its leaf hash, by which its batch names it.
    pub leaf: Digest,
    /// The texts, where the workshop keeps them.
    pub texts: Option<TextsView>,
    /// Where it stands in the ledger; none for a second or two after the answer.
    pub batch: Option<BatchPlace>,
    /// What answered.
    pub chain: ChainView,
    /// How its breaker stands now; none where it never moved.
    pub breaker: Option<BreakerNow>,
    /// Whether another model has the name since: that breaker is the other's.
    #[serde(default)]
    pub replaced: bool,
    /// Passages that records hold word for word, longest first.
    pub passages: Vec<PassageView>,
    /// Those records.
    pub records: Vec<RecordView>,
}

/// The two sides of an answer in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextsView {
    /// The messages as canonical JSON.
    pub prompt: String,
    /// The answer.
    pub answer: String,
}

/// Where a receipt stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPlace {
    /// The batch's number.
    pub batch: u64,
    /// The place in it, from 0.
    pub position: u64,
    /// How many receipts it has.
    pub count: u64,
    /// Its root.
    pub root: Digest,
    /// Its statement.
    pub link: Link,
}

/// A passage that records hold word for word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassageView {
    /// Where it stands.
    pub part: Part,
    /// Its first byte there.
    pub start: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The passage, as the record tells it; empty where the record is gone.
    pub text: String,
    /// The records, by their leaves.
    pub leaves: Vec<Digest>,
}

/// A record with its terms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordView {
    /// Its leaf.
    pub leaf: Digest,
    /// Its id in the source.
    pub id: String,
    /// The line it was read from.
    pub line: u64,
    /// Whether it was tuned on, rather than held out.
    pub tuned_on: bool,
    /// Its fields.
    pub fields: Map<String, Value>,
    /// What the model was shown of it; empty where the task is not known.
    pub prompt: String,
    /// What the model was to answer; empty where the task is not known.
    pub answer: String,
    /// The digest of the dataset version.
    pub dataset: Digest,
    /// The dataset's name.
    pub dataset_name: String,
    /// The root that its leaf is under.
    pub root: Digest,
    /// Where it came from.
    pub source: String,
    /// Its licence.
    pub licence: String,
    /// Whose it is.
    pub owner: String,
    /// The agreement it is used under, if one was signed.
    pub agreement: Option<String>,
    /// The entry of the ledger that says its dataset, and so its leaf.
    pub entry: u64,
    /// What took it back: the record itself, its dataset or its agreement.
    pub withdrawn: Option<Said<Withdrawal>>,
}

/// A record and all that depends on it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RecordTrace {
    /// The record.
    pub record: RecordView,
    /// What was tuned on it, and the stages that go on from that.
    pub trainings: Vec<Said<Training>>,
    /// What answers, or answered, with that: first those that are the newest of their name, and of these the
    /// newest first; at most 50.
    pub deployments: Vec<DeploymentUse>,
    /// How many there are of them in all.
    pub deployments_in_all: u64,
    /// How many of all are the newest of their name.
    pub deployments_current: u64,
    /// Answers that say the same as it, newest first, at most 50.
    pub receipts: Vec<ReceiptLine>,
    /// Whether there are older ones.
    pub receipts_more: bool,
    /// Where it was withdrawn: the orders that tune again without it what answers now.
    #[serde(default)]
    pub again: Vec<TuneAgain>,
}

/// An order that, placed again as it is, tunes without what was withdrawn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TuneAgain {
    /// The order.
    pub order: OrderId,
    /// The project it belongs to.
    pub project: String,
    /// The names that its model answers under.
    pub names: Vec<String>,
    /// The same as a command.
    pub command: String,
}

/// A deployment and how much it answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DeploymentUse {
    /// The deployment.
    pub deployment: Said<Deployment>,
    /// Whether it is the newest of its name.
    pub current: bool,
    /// How its breaker stands now.
    pub breaker: Option<BreakerNow>,
    /// How many answers it gave; of more than 10,000 these.
    pub receipts: u64,
    /// Whether it gave more than that.
    pub receipts_more: bool,
}

/// A receipt in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReceiptLine {
    /// The receipt.
    pub receipt: Receipt,
    /// Of a quoted passage, the shingles it shares; 0 where nothing was quoted.
    pub shared: u64,
    /// Of a quoted passage, all its shingles.
    pub of: u64,
}

/// An entry of the ledger in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryView {
    /// Its place, from 0.
    pub index: u64,
    /// What others name it by.
    pub link: Link,
    /// The kind of statement.
    pub kind: String,
    /// What it speaks of.
    pub subject_name: String,
    /// Its digest.
    pub subject: Digest,
    /// When it was said, milliseconds since 1970.
    pub at_ms: i64,
    /// The key that signed it.
    pub signer: Digest,
    /// Whose key that is.
    pub signer_name: String,
    /// The entry that voided it, because its key was stolen.
    pub void: Option<u64>,
}

/// One entry with all it says and its proof.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EntryTrace {
    /// The entry.
    pub entry: EntryView,
    /// The statement as JSON.
    pub statement: Value,
    /// The envelope, verbatim.
    pub envelope: String,
    /// The size of the ledger that the proof is for.
    pub size: u64,
    /// The root of the ledger at that size.
    pub root: Digest,
    /// From the entry to the root.
    pub path: Vec<Digest>,
    /// The statements it rests on.
    pub rests_on: Vec<EntryView>,
}

/// The head of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LedgerHead {
    /// Its name.
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// The newest signed checkpoint, a note to keep outside.
    pub checkpoint: String,
    /// Who has to approve.
    pub approval: ApprovalPolicy,
    /// The keys it knows, or knew.
    pub keys: Vec<KeyView>,
}

/// A key of the ledger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KeyView {
    /// The key and its roles.
    pub key: KeyRecord,
    /// Whether it may sign now.
    pub stands: bool,
}

/// A registration (算法登记) and its life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RegistrationView {
    /// Its number.
    pub number: String,
    /// The name it answers under.
    pub name: String,
    /// The last step.
    pub state: RegistrationAction,
    /// The digest of the model.
    pub model: Digest,
    /// Its steps, the first one first.
    pub steps: Vec<Said<Registration>>,
    /// Decisions about it, the first one first.
    pub approvals: Vec<Said<Approval>>,
    /// The deployment that rests on its last step, and what that rests on.
    pub chain: Option<ChainView>,
    /// Acts of the authority, as evidence; a registration without them is not filed.
    pub filings: Vec<Said<Filing>>,
    /// How the breaker of its name stands.
    pub breaker: Option<BreakerNow>,
    /// The model that somebody has to decide about, which is not the one that answers; of a list it is not told.
    #[serde(default)]
    pub waiting: Option<WaitingView>,
}

/// A model that waits for a decision under a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WaitingView {
    /// The order that it came of.
    pub order: OrderId,
    /// Its digest.
    pub model: Digest,
    /// Since when, milliseconds since 1970.
    pub at_ms: i64,
    /// What it rests on; it has no approval and no deployment yet.
    pub chain: ChainView,
}

/// How a breaker stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerNow {
    /// Its state.
    pub state: BreakerState,
    /// What moved it there.
    pub cause: Cause,
    /// Why, for people.
    pub reason: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: i64,
}

/// A breaker and how it moved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BreakerView {
    /// The deployment's name.
    pub name: String,
    /// How it stands; none where it never moved, which is closed.
    pub now: Option<BreakerNow>,
    /// Its moves, newest first.
    pub moves: Vec<Said<Breaker>>,
}
