//! Bringing a file of one's own: it comes in pieces (`upload`), is looked at under a mapping of its columns
//! (`look`), and becomes a dataset version with a pack to tune on (`make`). Two versions are told apart in
//! `difference`.
//!
//! What was brought lies in the home until something is made of it or it is forgotten. The pack that is made
//! is files like any other, in `packs/NAME`: to be read, edited and run by its name.

mod difference;
mod look;
mod make;
mod mapping;
mod upload;

use std::collections::BTreeMap;

use lathe_data::prepare::{Duplicate, Statistics};
use lathe_data::reader::Broken;
use lathe_evidence::Digest;
use lathe_tune::preview::Preview;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::catalogue::DatasetView;
use crate::draft::SettingMistake;
use crate::error::WorkshopError;

pub use mapping::told_reason;
pub(crate) use upload::{CARD, CARD_BYTES_MAX, Kept, is_id, kept, name_again};

/// The largest file that is brought.
pub const BROUGHT_BYTES_MAX: u64 = 512 << 20;
/// The most files that lie here at once.
pub const BROUGHT_MAX: usize = 32;
/// The largest piece of a file.
pub const PIECE_BYTES_MAX: usize = 4 << 20;
/// How long a file may take to come, in hours; then it makes room for others.
pub const COMING_HOURS_MAX: i64 = 24;
/// The most labels that answers may have.
pub const LABELS_MAX: usize = 200;
/// The fewest records that are tuned on.
pub const RECORDS_MIN: usize = 10;
/// Rows of each kind that a look shows.
pub const SHOWN_MAX: usize = 20;

/// A file that is going to come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BringBegin {
    /// Its name; the ending says its format: csv, tsv, jsonl, json, xlsx or parquet.
    pub name: String,
    /// Its size; without it the file ends with `bring-end`.
    #[serde(default)]
    pub bytes: Option<u64>,
    /// Its digest, held against what came.
    #[serde(default)]
    pub sha256: Option<Digest>,
    /// The project that it, and what is made of it, belongs to; the common one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
}

/// A file that comes or came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BroughtFile {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The project it belongs to.
    pub project: String,
    /// Its size, where that is known.
    pub bytes: Option<u64>,
    /// How much of it is here: where the next piece begins.
    pub received: u64,
    /// Whether it is here whole.
    pub complete: bool,
    /// Its digest, where one was said, and always once it is here whole.
    pub sha256: Option<Digest>,
    /// When it began to come, milliseconds since 1970.
    pub created_ms: i64,
}

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnswerKind {
    /// One of a few labels.
    Label,
    /// Free words.
    Text,
    /// The rows are whole conversations, in a column `messages`.
    Conversation,
}

/// Which column is what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// What is answered.
    pub kind: AnswerKind,
    /// The column with the question.
    #[serde(default)]
    pub question: String,
    /// The column with the right answer.
    #[serde(default)]
    pub answer: String,
    /// What the model is told before every question.
    #[serde(default)]
    pub instruction: Option<String>,
    /// The column whose equal values stay on one side of the split.
    #[serde(default)]
    pub group: Option<String>,
    /// The sheet of a workbook; the first unless given.
    #[serde(default)]
    pub sheet: Option<String>,
}

/// Which file is looked at, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BringLook {
    /// The file.
    pub id: String,
    /// Which column is what; guessed where it is absent.
    #[serde(default)]
    pub mapping: Option<Mapping>,
    /// The base model whose tokens are shown, by its digest; the newest one here unless given.
    #[serde(default)]
    pub model: Option<String>,
}

/// What is to be made of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BringMake {
    /// The file.
    pub id: String,
    /// Which column is what.
    pub mapping: Mapping,
    /// The name of dataset and pack: lower-case letters, digits and hyphens.
    pub name: String,
    /// The licence, as an SPDX identifier where there is one.
    pub licence: String,
    /// Who owns the data.
    pub owner: String,
    /// The language of the data: a BCP 47 tag; `und` unless given.
    #[serde(default)]
    pub language: Option<String>,
    /// The base model, by its digest; the newest one here unless given, else that of the sample pack.
    #[serde(default)]
    pub model: Option<String>,
    /// Whether it is the next version of what has the name already.
    #[serde(default)]
    pub next_version: bool,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BringMade {
    /// The pack: what an order names it by.
    pub pack: String,
    /// The dataset version.
    pub dataset: DatasetView,
    /// The version before it, by its digest.
    pub previous: Option<String>,
}

/// A file under a mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BringSeen {
    /// The file.
    pub file: BroughtFile,
    /// Its columns.
    pub columns: Vec<String>,
    /// Its rows.
    pub rows: u64,
    /// The encoding of its text.
    pub encoding: String,
    /// Its first rows, as they stand there.
    pub sample: Vec<Map<String, Value>>,
    /// The mapping that is shown: what was asked, or what was guessed.
    pub mapping: Mapping,
    /// What of the mapping cannot be.
    pub mistakes: Vec<SettingMistake>,
    /// What it gives; absent where there are mistakes.
    pub found: Option<BringFound>,
}

/// What a file gives under a mapping.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BringFound {
    /// Rows, records, lengths, labels.
    pub statistics: Statistics,
    /// Labels, the most frequent first.
    pub labels: Vec<(String, u64)>,
    /// The first records left out because an earlier one asks the same.
    pub duplicates: Vec<Duplicate>,
    /// How many of them have another answer than the one that stayed.
    pub contradictions: u64,
    /// The first rows kept out.
    pub broken: Vec<Broken>,
    /// Records by the kind of personal data in them.
    pub personal: BTreeMap<String, u64>,
    /// The first of them, masked.
    pub findings: Vec<Finding>,
    /// The first records as they are asked and answered.
    pub rendered: Vec<Rendered>,
    /// The same token by token, where a base model is here.
    pub preview: Option<Preview>,
}

/// Personal data in a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The line of the file.
    pub line: u64,
    /// The column.
    pub column: String,
    /// Its kind.
    pub kind: String,
    /// What stands there, masked; empty for a kind that has no form.
    pub masked: String,
}

/// A record as the model has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rendered {
    /// The line of the file.
    pub line: u64,
    /// What is asked.
    pub question: String,
    /// What is answered.
    pub answer: String,
}

/// Two dataset versions held against each other, record by record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetDifference {
    /// The former one.
    pub from: DatasetView,
    /// The latter one.
    pub to: DatasetView,
    /// Records in both.
    pub same: u64,
    /// How many records the latter alone has.
    pub added: u64,
    /// How many records the former alone has.
    pub removed: u64,
    /// The first records that the latter alone has.
    pub added_first: Vec<Map<String, Value>>,
    /// The first records that the former alone has.
    pub removed_first: Vec<Map<String, Value>>,
}

fn unknown(id: &str) -> WorkshopError {
    let shown: String = id.chars().take(100).collect();
    WorkshopError::new(
        "bring-unknown",
        format!("no file that was brought has the id {shown}"),
        "list them with GET /api/brought; what became a dataset is under /data",
    )
}

fn stumbled(error: &tokio::task::JoinError) -> WorkshopError {
    WorkshopError::new(
        "daemon-crashed",
        format!("bringing a file stumbled: {error}"),
        "this is a mistake in Lathe; please report it",
    )
}
