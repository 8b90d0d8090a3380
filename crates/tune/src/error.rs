//! Why a tuning run ends without a result.

use std::path::{Path, PathBuf};

use lathe_engine::EngineError;

/// An error of this crate. Every text says what was being done, to what, and what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TuneError {
    /// A value in the spec cannot be used.
    #[error("tune.{stage}.{key}: {reason}")]
    Spec {
        /// The stage's name.
        stage: &'static str,
        /// The key in the pack.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A recipe cannot be used.
    #[error("the recipe's {key}: {reason}")]
    Recipe {
        /// The key.
        key: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The base model has no chat template, so that served prompts cannot be told.
    #[error(
        "the base model has no chat template, so its training prompts could not equal served ones: \
         use an instruction-tuned model, or add chat_template.jinja to its folder"
    )]
    NoTemplate,
    /// The base model does not say which token ends an answer.
    #[error(
        "the base model names no end-of-turn token, so a tuned model would never stop: \
         add eos_token_id to its config.json"
    )]
    NoEndToken,
    /// The template writes nothing that ends an answer.
    #[error(
        "the base model's chat template writes nothing that ends an answer, so a tuned model would not learn \
         to stop: write {end} after an assistant's message in its chat_template.jinja, or use a model whose \
         template does"
    )]
    EndlessTemplate {
        /// The model's end token.
        end: String,
    },
    /// Prompt and answer melt into one token, which serving could never reproduce.
    #[error(
        "record {id}: the prompt's tokens change when the answer follows, so training would not \
         equal serving: begin the answer with a character that the tokenizer keeps apart, such as {{"
    )]
    Boundary {
        /// The record.
        id: String,
    },
    /// A sample cannot be learnt from in this stage.
    #[error("record {id}: {reason}")]
    Sample {
        /// The record.
        id: String,
        /// What it is and what to do instead.
        reason: String,
    },
    /// Nothing is left to learn from.
    #[error(
        "none of {examples} examples can be trained on: {over_long} are over {tokens_max} tokens and \
         {unanswered} have an empty answer; raise tune.sft.tokens_max or check task.answer"
    )]
    NothingToLearn {
        /// Examples given.
        examples: usize,
        /// Examples over the cutoff.
        over_long: usize,
        /// Examples whose answer has no token.
        unanswered: usize,
        /// The cutoff in tokens.
        tokens_max: usize,
    },
    /// No pair is left to learn from.
    #[error(
        "all {pairs} pairs are over {tokens_max} tokens; raise tune.dpo.tokens_max or shorten them"
    )]
    NoPairs {
        /// Pairs given.
        pairs: usize,
        /// The cutoff in tokens.
        tokens_max: usize,
    },
    /// Judged answers that tell nothing apart.
    #[error(
        "all {answers} answers are judged {}: add some that are judged otherwise, or use stage: sft",
        if *.wanted { "wanted" } else { "unwanted" }
    )]
    OneSided {
        /// Answers within the cutoff.
        answers: usize,
        /// How they are judged.
        wanted: bool,
    },
    /// The loss or a gradient stopped being a number.
    #[error(
        "step {step} of {steps}: {what} is {value}, after other setbacks and with a lower learning rate \
         each time: lower tune.{stage}.learning_rate or lengthen its warm-up; the checkpoints before \
         this step are sound"
    )]
    Diverged {
        /// The stage's name.
        stage: &'static str,
        /// The step, counted from 1.
        step: u64,
        /// All steps.
        steps: u64,
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// The value met.
        value: f64,
    },
    /// A file cannot be read or written.
    #[error(
        "cannot {action} {path}: {source}; check that the folder is writable and the disk not full"
    )]
    File {
        /// The verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint does not hold what its digest says.
    #[error("checkpoint {path} is damaged ({reason}): delete that folder and run again")]
    Damaged {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The place for a merged model is taken.
    #[error("cannot write a model to {path}: something is there; name a folder that is not")]
    OutExists {
        /// The folder.
        path: PathBuf,
    },
    /// Weights cannot be rounded by records.
    #[error("cannot calibrate: {reason}")]
    Calibration {
        /// What is wrong and what would be right.
        reason: String,
    },
    /// A merged model does not answer as what was merged.
    #[error(
        "the merged model as {format} does not answer as base and adapter: mean KL {mean_kl:.2e} over \
         {prompts} prompts, {limit}; nothing was left in the folder: {next}"
    )]
    MergeDiffers {
        /// The type of its weights.
        format: &'static str,
        /// What was measured, in nats.
        mean_kl: f64,
        /// Prompts it was measured on.
        prompts: usize,
        /// What would have passed.
        limit: String,
        /// What to do.
        next: &'static str,
    },
    /// The data cannot be read.
    #[error(transparent)]
    Data(#[from] lathe_data::DataError),
    /// The engine refused.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl TuneError {
    /// A stable code for documentation and machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Spec { .. } => "tune-spec",
            Self::Recipe { .. } => "tune-recipe",
            Self::NoTemplate => "tune-no-template",
            Self::NoEndToken | Self::EndlessTemplate { .. } => "tune-no-end-token",
            Self::Boundary { .. } => "tune-boundary",
            Self::Sample { .. } => "tune-sample",
            Self::NothingToLearn { .. } => "tune-nothing-to-learn",
            Self::NoPairs { .. } | Self::OneSided { .. } => "tune-nothing-to-learn",
            Self::Diverged { .. } => "tune-diverged",
            Self::File { .. } => "tune-file",
            Self::Damaged { .. } => "tune-checkpoint-damaged",
            Self::OutExists { .. } => "merge-exists",
            Self::MergeDiffers { .. } => "merge-differs",
            Self::Calibration { .. } => "merge-calibration",
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
}
