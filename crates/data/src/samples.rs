//! Training data as its users have it: conversations, questions and answers, plain text, preferences.
//!
//! [`SampleSource::detect`] recognises what LLaMA-Factory, TRL, OpenAI and Unsloth read (alpaca,
//! sharegpt, messages, prompt and completion, text, chosen and rejected, KTO), in json, jsonl, csv,
//! tsv and parquet; [`DatasetInfo`] reads LLaMA-Factory's `dataset_info.json`; [`Layout::Columns`]
//! makes questions and answers of any other table. Files are streamed: no more than one record and
//! one read-ahead are held, whatever the file's size ([`crate::bounds::SAMPLE_BYTES_MAX`]).
//!
//! One file holds one form. A record that is not of it is refused by its number, and reading goes
//! on after it: whether to stop or to count is the caller's choice. Pictures, films and sounds are
//! refused by name. Rendering samples for a model is not done here, nor are splits, deduplication
//! and leaves, which [`crate::prepare`] does for packs.

mod alpaca;
mod columns;
mod completion;
mod conversation;
mod convert;
mod detect;
mod format;
mod info;
mod layout;
mod message;
pub mod open_ai;
mod results;
mod shape;
mod stream;
mod tags;
mod tools;
mod value;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::DataError;
use crate::bounds::RECORDS_MAX;

use self::convert::Converter;
pub use self::format::FileFormat;
pub use self::info::DatasetInfo;
pub use self::layout::{AlpacaColumns, ChatColumns, Goal, Layout, SampleKind, TableColumns};
use self::shape::Shape;
use self::stream::{Records, Trouble};
pub use self::tags::Tags;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// What holds for the whole conversation.
    System,
    /// Who asks.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back.
    Tool,
}

/// One message of a conversation.
#[derive(Debug, Clone, PartialEq)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said; nothing where an assistant's turn is its calls alone.
    pub content: Option<String>,
    /// What an assistant thought before it spoke.
    pub reasoning: Option<String>,
    /// What an assistant calls, in OpenAI's form with the arguments as an object:
    /// `[{"type": "function", "function": {"name": …, "arguments": {…}}}]`.
    pub tool_calls: Option<Value>,
    /// Which call a tool answers, by the call's own `id`.
    pub tool_call_id: Option<String>,
    /// Who speaks among those of one role: the tool's name, mostly.
    pub name: Option<String>,
    /// How much is learnt from it, 0 to 1: 0 for not learnt from; only of assistants.
    pub weight: f32,
}

impl Turn {
    /// What is said; empty where nothing is.
    pub fn text(&self) -> &str {
        self.content.as_deref().unwrap_or_default()
    }
}

/// One thing to learn from.
#[derive(Debug, Clone, PartialEq)]
pub enum Sample {
    /// A conversation whose assistant turns are learnt from.
    Chat {
        /// The turns; the last is an assistant's.
        turns: Vec<Turn>,
        /// The tools that may be called, in OpenAI's form.
        tools: Option<Value>,
    },
    /// Plain text, all of it learnt from (continued pretraining).
    Text(String),
    /// A conversation up to a question, and two answers.
    Pair {
        /// The turns up to the question.
        turns: Vec<Turn>,
        /// The better answer.
        chosen: Turn,
        /// The worse one.
        rejected: Turn,
    },
    /// A conversation up to a question, an answer and whether it is wanted (KTO).
    Judged {
        /// The turns up to the question.
        turns: Vec<Turn>,
        /// The answer.
        answer: Turn,
        /// Whether it is wanted.
        wanted: bool,
    },
}

/// Where samples come from: one file and how its records are laid out.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleSource {
    /// The file; its format is seen by its extension, else by its first bytes.
    pub path: PathBuf,
    /// How its records are laid out.
    pub layout: Layout,
    /// The most records that are read from it; all if absent.
    pub records_max: Option<u64>,
}

impl SampleSource {
    /// The whole of the file at `path`, laid out as said.
    pub fn new(path: impl Into<PathBuf>, layout: Layout) -> Self {
        Self {
            path: path.into(),
            layout,
            records_max: None,
        }
    }

    /// Recognises the file's format and, from its first record, the layout.
    ///
    /// # Errors
    /// A file that cannot be read, has no record, or whose first record is of no known form.
    pub fn detect(path: &Path) -> Result<Self, DataError> {
        let mut records = Records::open(path, &[])?;
        match records.next() {
            None => Err(records.empty()),
            Some(Err(trouble)) => Err(records.error(1, trouble)),
            Some(Ok(first)) => detect::layout(&first)
                .map(|layout| Self::new(path, layout))
                .map_err(|reason| DataError::Layout {
                    path: path.to_owned(),
                    reason,
                }),
        }
    }

    /// Streams the samples with their record numbers, counted from 1.
    ///
    /// # Errors
    /// A file that cannot be opened or is of no known format, a layout that cannot work. The
    /// iterator itself gives an error for each record that is no sample, and goes on; after an
    /// error of the file as a whole it ends.
    pub fn read(&self) -> Result<Samples, DataError> {
        Ok(Samples {
            records: Records::open(&self.path, self.layout.column_names())?,
            converter: Converter::new(&self.layout, &self.path)?,
            shape: None,
            number: 0,
            records_max: self.records_max,
            ended: false,
        })
    }
}

/// The samples of a file, in order.
pub struct Samples {
    records: Records,
    converter: Converter,
    /// The first record's shape, which all others must have.
    shape: Option<Shape>,
    /// The record that was read last.
    number: u64,
    records_max: Option<u64>,
    ended: bool,
}

impl Samples {
    /// How many bytes of the file were read so far, a block ahead of its records; 0 for Parquet,
    /// which is read by its columns.
    pub fn bytes_read(&self) -> u64 {
        self.records.bytes_read()
    }
}

impl Iterator for Samples {
    type Item = Result<(u64, Sample), DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended || self.records_max.is_some_and(|max| self.number >= max) {
            return None;
        }
        let record = self.records.next();
        if record.is_none() {
            self.ended = true;
            return (self.number == 0).then(|| Err(self.records.empty()));
        }
        self.number += 1;
        let sample = record?.and_then(|fields| {
            if self.number > RECORDS_MAX as u64 {
                return Err(Trouble::File(format!(
                    "it has more than {RECORDS_MAX} records; split it into smaller files"
                )));
            }
            let shape = Shape::of(&fields, self.converter.layout());
            let first = self.shape.get_or_insert_with(|| shape.clone());
            first.check(&shape).map_err(Trouble::Record)?;
            self.converter.sample(&fields).map_err(Trouble::Record)
        });
        Some(match sample {
            Ok(sample) => Ok((self.number, sample)),
            Err(trouble) => {
                self.ended = !matches!(trouble, Trouble::Record(_));
                Err(self.records.error(self.number, trouble))
            }
        })
    }
}

/// Reads outside bytes as json and as csv, in every layout that the first record or a table can
/// have; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    for format in [FileFormat::Json, FileFormat::Csv, FileFormat::Tsv] {
        let open = || Records::from_bytes(bytes.to_vec(), format);
        let Some(Ok(first)) = open().next() else {
            continue;
        };
        let Ok(layout) = detect::layout(&first) else {
            continue;
        };
        let Ok(converter) = Converter::new(&layout, Path::new("fuzzed")) else {
            continue;
        };
        for fields in open().flatten() {
            let _sample_or_refusal = converter.sample(&fields);
        }
    }
    info::fuzz(bytes);
}

#[cfg(test)]
mod tests;
