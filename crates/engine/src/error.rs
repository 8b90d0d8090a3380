//! The one error type of this crate.
//!
//! Every variant says what was being done, to what, and what to do next.
//! [`EngineError::code`] is stable and names a page under `docs/errors`.

use std::path::{Path, PathBuf};

/// What can go wrong while a model is opened, described, or run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The operating system refused to read or write a path.
    #[error("cannot {action} {}: {source}; check that the path exists, is accessible, and that the disk has room", path.display())]
    Io {
        /// What was attempted, as a verb: `read`, `write`, `create`.
        action: &'static str,
        /// The path it was attempted on.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file's bytes contradict its format.
    #[error(
        "{what} is damaged or not what it claims to be: {reason}; fetch the file again or check its digest"
    )]
    Damaged {
        /// The file or the part of it that was being read.
        what: String,
        /// What contradicts the format.
        reason: String,
    },
    /// A file is sound, but uses something this engine does not implement.
    #[error("{what} {name:?} is not supported; supported: {supported}")]
    Unsupported {
        /// The kind of thing: `model architecture`, `GGUF tensor type`, …
        what: &'static str,
        /// The name as the file spells it.
        name: String,
        /// What could be used instead.
        supported: String,
    },
    /// A size in a file exceeds a stated bound.
    #[error(
        "{what} is {found}, but this engine accepts at most {limit}; use a smaller model or a file made for it"
    )]
    TooLarge {
        /// The quantity, with its unit.
        what: String,
        /// The value found.
        found: u64,
        /// The bound.
        limit: u64,
    },
    /// A file that must be there is not.
    #[error("{} holds no {file}; a model is a .gguf file or a folder with config.json, tokenizer.json and *.safetensors", folder.display())]
    MissingFile {
        /// The folder that was searched.
        folder: PathBuf,
        /// The file that was expected.
        file: &'static str,
    },
    /// A tensor the architecture needs is not in the weights.
    #[error(
        "the weights hold no tensor {name:?}; check that the file belongs to the model its config describes"
    )]
    MissingTensor {
        /// The Hugging Face name of the tensor.
        name: String,
    },
    /// A tensor does not have the shape that the config implies.
    #[error(
        "tensor {name:?} has shape {found:?}, but the config implies {expected:?}; check that the weights belong to this config"
    )]
    Shape {
        /// The Hugging Face name of the tensor.
        name: String,
        /// The shape the config implies.
        expected: Vec<usize>,
        /// The shape in the file.
        found: Vec<usize>,
    },
    /// A tokenizer could not be built.
    #[error(
        "cannot build the tokenizer from {origin}: {reason}; use the tokenizer.json that was published with the model"
    )]
    Tokenizer {
        /// The file or metadata it was built from.
        origin: String,
        /// Why it failed.
        reason: String,
    },
    /// A chat template could not be compiled or rendered.
    #[error(
        "cannot {action} the chat template: {reason}; check the messages, or replace the model's template with one of its family"
    )]
    Template {
        /// `compile` or `render`.
        action: &'static str,
        /// Why it failed.
        reason: String,
    },
    /// An adapter does not fit the model or the format.
    #[error(
        "the adapter in {origin} cannot be used: {reason}; tune it on this base model, or choose the base it was tuned on"
    )]
    Adapter {
        /// The folder or description it came from.
        origin: String,
        /// What does not fit.
        reason: String,
    },
    /// A request does not fit the model: too many tokens, a token it does not have.
    #[error(
        "the request does not fit the model: {reason}; shorten the input or the answer's bound"
    )]
    Request {
        /// What does not fit.
        reason: String,
    },
}

impl EngineError {
    /// A stable name of the kind of error, for machines and for `docs/errors`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "engine-io",
            Self::Damaged { .. } => "engine-damaged",
            Self::Unsupported { .. } => "engine-unsupported",
            Self::TooLarge { .. } => "engine-too-large",
            Self::MissingFile { .. } => "engine-missing-file",
            Self::MissingTensor { .. } => "engine-missing-tensor",
            Self::Shape { .. } => "engine-shape",
            Self::Tokenizer { .. } => "engine-tokenizer",
            Self::Template { .. } => "engine-template",
            Self::Adapter { .. } => "engine-adapter",
            Self::Request { .. } => "engine-request",
        }
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_path_buf(),
            source,
        }
    }

    pub(crate) fn damaged(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Damaged {
            what: what.into(),
            reason: reason.into(),
        }
    }
}
