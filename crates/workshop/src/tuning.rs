//! Files and jobs of the API of OpenAI's shape: what a caller hands over, and the order made of it.
//!
//! A file is an artifact like any other, checked line by line when it comes. A job is an order like any
//! other: its pack is made of what was asked ([`pack`](self)), placed in the same queue, gated by what its
//! held-out records say, and only then does a model answer under its name. What a job is called while
//! it runs follows from the order.
//!
//! Not here: HTTP, and OpenAI's words for all of it (`lathe_serve::tuning`).

mod file;
mod job;
mod made;
mod state;

use lathe_data::task::ChatForm;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::WorkshopError;
use crate::order::OrderView;

pub use file::Upload;
pub use state::{Event, JobState};

/// The largest file of the API, as OpenAI has it.
pub const FILE_BYTES_MAX: u64 = 512 << 20;
/// The most files that are kept at once.
pub const FILES_MAX: u32 = 1000;
/// The most jobs that wait, run or are set aside at once.
pub const JOBS_OPEN_MAX: u32 = 100;
/// The fewest records of a training file.
pub const RECORDS_MIN: u64 = 10;
/// The longest suffix of a model's name, in characters.
pub const SUFFIX_CHARS_MAX: usize = 64;
/// The share of a training file that is held out where no validation file is named.
pub const HELD_OUT_SHARE: f64 = 0.2;
/// The most records that are held out so.
pub const HELD_OUT_MAX: u64 = 500;

/// A file as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRow {
    /// Its id: `file-` and a UUIDv7.
    pub id: String,
    /// Its name, a plain one.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its records.
    pub records: u64,
    /// How a record holds a conversation.
    pub form: ChatForm,
    /// The digest of its artifact.
    pub artifact: String,
    /// The name of the key it was handed over with.
    pub owner: String,
    /// When it came, milliseconds since 1970.
    pub created_ms: i64,
}

/// How a model is tuned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// On the answers of conversations.
    Supervised,
    /// On pairs of answers (DPO).
    Dpo,
}

/// How much and how fast; what is absent is chosen by the size of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hyperparameters {
    /// Passes over the records.
    pub n_epochs: Option<u32>,
    /// Records in a step of the optimizer.
    pub batch_size: Option<u32>,
    /// Times the learning rate that the stage has by itself.
    pub learning_rate_multiplier: Option<f64>,
    /// β of DPO.
    pub beta: Option<f64>,
}

/// A job that is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The base model, by the name that the workshop has it under.
    pub model: String,
    /// The id of the training file.
    pub training_file: String,
    /// The id of the file to be measured by.
    pub validation_file: Option<String>,
    /// The method.
    pub method: Method,
    /// As asked; as they were chosen once the job is placed.
    pub hyperparameters: Hyperparameters,
    /// Part of the model's name.
    pub suffix: Option<String>,
    /// Fixes the split, the adapter's first values and the order of the records.
    pub seed: u64,
    /// The caller's own notes. `licence` and `owner` are taken as the data's.
    pub metadata: Map<String, Value>,
    /// The name of the key it was asked with.
    pub owner: String,
}

/// Why a job was not placed.
#[derive(Debug)]
pub struct NotPlaced {
    /// What is wrong.
    pub error: WorkshopError,
    /// It is wrong with the validation file.
    pub of_validation: bool,
}

impl From<WorkshopError> for NotPlaced {
    fn from(error: WorkshopError) -> Self {
        NotPlaced {
            error,
            of_validation: false,
        }
    }
}

/// A job as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// The order that it is.
    pub order: OrderView,
    /// What was asked, with what was chosen.
    pub asked: Asked,
}
