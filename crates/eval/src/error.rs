//! Why an evaluation ends without a report.

use std::path::{Path, PathBuf};

use lathe_data::DataError;
use lathe_engine::EngineError;

/// An error of this crate. Every text says what was being done, to what, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// A key of the pack's `evaluate` section cannot be used.
    #[error("evaluate.{key}: {reason}")]
    Spec {
        /// The key in the pack.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The task has neither a number nor a class to score.
    #[error("the task scores nothing: give task.targets a number, a class or both")]
    NoTarget,
    /// Predictions do not belong to the records they are held against.
    #[error("the predictions of {subject} do not fit the test records: {reason}; make them again")]
    Mismatch {
        /// Whose predictions.
        subject: String,
        /// What does not fit.
        reason: String,
    },
    /// The base model has no chat template to write a prompt with.
    #[error(
        "the base model has no chat template, so it cannot be asked as it would be served: use an \
         instruction-tuned model, or add chat_template.jinja to its folder"
    )]
    NoTemplate,
    /// A record's prompt leaves no room for an answer.
    #[error(
        "record {id}: its prompt of {tokens} tokens leaves no room for an answer in the model's \
         context of {context}: keep it out by data.checks, or use a model with a longer context"
    )]
    PromptTooLong {
        /// The record.
        id: String,
        /// Tokens of its prompt.
        tokens: usize,
        /// The model's context in tokens.
        context: usize,
    },
    /// A file cannot be read or written.
    #[error(
        "cannot {action} {path}: {source}; check that the folder is writable and the disk not full"
    )]
    File {
        /// The verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A stored file does not hold what its digest or layout says.
    #[error("{path} is damaged ({reason}): delete its folder and run again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A record cannot be rendered.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl EvalError {
    /// A stable code for documentation and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec { .. } => "eval-spec",
            Self::NoTarget => "eval-no-target",
            Self::Mismatch { .. } => "eval-mismatch",
            Self::NoTemplate => "eval-no-template",
            Self::PromptTooLong { .. } => "eval-prompt-too-long",
            Self::File { .. } => "eval-file",
            Self::Damaged { .. } => "eval-damaged",
            Self::Data(error) => error.code(),
            Self::Engine(error) => error.code(),
        }
    }

    /// Wraps a system error with what was being done to which path.
    pub(crate) fn file(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File {
            action,
            path,
            source,
        }
    }

    pub(crate) fn spec(key: &str, reason: &str) -> Self {
        Self::Spec {
            key: key.to_owned(),
            reason: reason.to_owned(),
        }
    }
}
