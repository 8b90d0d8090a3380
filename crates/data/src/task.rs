//! What a model is asked and what it should answer, as a pack describes it.

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::DataError;
use crate::prepare::Sealed;
use crate::reader::Record;
use crate::spec::Bin;

/// The `task` section of a pack.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSpec {
    /// The system message, the same for every record; plain text.
    #[serde(default)]
    pub system: Option<String>,
    /// The user's message, a minijinja template over the record's fields.
    pub prompt: String,
    /// The field that a free-form input fills.
    pub input: String,
    /// The answer's fields in order: name → [`AnswerField`].
    pub answer: Map<String, Value>,
    /// The JSON Schema an answer must satisfy.
    pub schema: Value,
    /// What is scored.
    pub targets: Targets,
}

/// How one field of the answer is worked out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerField {
    /// The record's field it is taken from.
    #[serde(default)]
    pub from: Option<String>,
    /// An earlier number field of the answer that `bins` name.
    #[serde(default)]
    pub of: Option<String>,
    /// A minijinja template over the record's fields, giving text.
    #[serde(default)]
    pub template: Option<String>,
    /// What a number is rounded to; its decimals are written out.
    #[serde(default)]
    pub step: Option<f64>,
    /// Names for ranges of the number.
    #[serde(default)]
    pub bins: Option<Vec<Bin>>,
}

/// What is scored of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Targets {
    /// A number to correlate.
    pub number: Option<NumberTarget>,
    /// A class to classify.
    pub class: Option<ClassTarget>,
}

/// Where the number stands and what it is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NumberTarget {
    /// Where it stands in the answer, as a JSON pointer.
    pub pointer: String,
    /// The record's field with the truth.
    pub truth: String,
    /// What an invalid answer counts as.
    pub invalid: f64,
}

/// Where the class stands and what it is held against.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassTarget {
    /// Where it stands in the answer, as a JSON pointer.
    pub pointer: String,
    /// The record's field with the truth: a text, or a number that the answer field's bins name.
    pub truth: String,
    /// What an invalid answer counts as.
    pub invalid: String,
}

/// A task whose templates and schema are compiled.
pub struct Task {
    spec: TaskSpec,
}

/// What the model is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// The system message.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
}

/// A record rendered for tuning or evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The record's leaf.
    pub leaf: Digest,
    /// The record's id.
    pub id: String,
    /// The record's group.
    pub group: String,
    /// The system message.
    pub system: Option<String>,
    /// The user's message.
    pub prompt: String,
    /// The right answer: compact JSON.
    pub answer: String,
}

/// What an answer says, or what a record's truth is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The number target's value, where the task has one.
    pub number: Option<f64>,
    /// The class target's value, where the task has one.
    pub class: Option<String>,
}

impl Task {
    /// Compiles `spec`.
    ///
    /// # Errors
    /// A template or schema that cannot work, a field that does not fit.
    pub fn new(_spec: TaskSpec) -> Result<Self, DataError> {
        todo!()
    }

    /// The specification it was made from.
    pub fn spec(&self) -> &TaskSpec {
        &self.spec
    }

    /// The prompt and the right answer of a record.
    ///
    /// # Errors
    /// A field the record lacks or of another type; an answer that the schema refuses.
    pub fn render(&self, _sealed: &Sealed) -> Result<Example, DataError> {
        todo!()
    }

    /// The prompt for one free-form input, such as a customer's sentence.
    ///
    /// # Errors
    /// A prompt that needs more fields than the input.
    pub fn prompt_for(&self, _input: &str) -> Result<Prompt, DataError> {
        todo!()
    }

    /// What `output` says, or `None` where it is not wholly JSON, not in the schema, or its class
    /// and number disagree.
    pub fn read_answer(&self, _output: &str) -> Option<Answer> {
        todo!()
    }

    /// What an invalid answer counts as.
    pub fn invalid_answer(&self) -> Answer {
        todo!()
    }

    /// The truth of a record: the unrounded number and its class.
    ///
    /// # Errors
    /// A field the record lacks or of another type.
    pub fn truth(&self, _record: &Record) -> Result<Answer, DataError> {
        todo!()
    }

    /// Every class in the order of the bins or the schema; empty without a class target.
    pub fn classes(&self) -> Vec<String> {
        todo!()
    }
}
