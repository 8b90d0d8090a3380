//! The keys that a recipe honours, with LLaMA-Factory's defaults, and what they may be.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lathe_data::reader::ReaderSpec;
use lathe_engine::adapter::TARGETS;
use serde::Deserialize;

use super::answer::AnswerSpec;
use super::refuse;
use super::resume::Resume;
use super::search::Search;
use crate::TuneError;
use crate::schedule::Shape;
use crate::spec::SftSpec;

/// The stages that a recipe may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Continued pretraining: plain texts, every token supervised.
    Pt,
    /// Supervised fine-tuning.
    #[default]
    Sft,
    /// Preference by pairs of answers.
    Dpo,
    /// Preference by judged answers.
    Kto,
    /// No learning: a model rounded to few bits by records.
    Quantize,
}

/// What is tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tuning {
    /// A low-rank adapter.
    #[default]
    Lora,
    /// All weights.
    Full,
    /// The weights of the last blocks.
    Freeze,
}

/// How several datasets become one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixing {
    /// One after the other; the order of learning is shuffled anyway.
    #[default]
    Concat,
    /// Drawn by their shares until the first runs out.
    InterleaveUnder,
    /// Drawn by their shares until each was seen whole; those that run out begin again.
    InterleaveOver,
}

/// When what is held back is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EvalStrategy {
    /// At the end only.
    #[default]
    No,
    /// Every `eval_steps` steps.
    Steps,
    /// After every pass over the records.
    Epoch,
}

/// The honoured keys; LLaMA-Factory's defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default = "Settings::theirs", deny_unknown_fields)]
#[expect(
    missing_docs,
    reason = "the names are LLaMA-Factory's own, documented there"
)]
pub struct Settings {
    pub model_name_or_path: String,
    pub adapter_name_or_path: Option<String>,
    pub stage: Stage,
    pub finetuning_type: Tuning,
    pub lora_rank: usize,
    pub lora_alpha: Option<f32>,
    pub lora_target: String,
    pub lora_dropout: f64,
    pub use_rslora: bool,
    pub use_dora: bool,
    pub freeze_trainable_layers: i64,
    pub freeze_trainable_modules: String,
    pub quantization_bit: Option<u32>,
    pub quantization_method: Option<String>,
    pub export_dir: Option<PathBuf>,
    pub export_quantization_bit: Option<u32>,
    pub export_quantization_dataset: Option<String>,
    pub export_quantization_nsamples: Option<usize>,
    pub export_quantization_maxlen: Option<usize>,
    pub dataset: Option<String>,
    pub dataset_dir: PathBuf,
    pub mix_strategy: Mixing,
    pub interleave_probs: Option<Shares>,
    pub eval_dataset: Option<String>,
    pub template: Option<String>,
    pub cutoff_len: usize,
    pub max_samples: Option<usize>,
    pub val_size: f64,
    pub train_on_prompt: bool,
    pub mask_history: bool,
    pub pref_beta: f64,
    pub pref_ftx: f64,
    pub pref_loss: String,
    pub kto_chosen_weight: f64,
    pub kto_rejected_weight: f64,
    pub output_dir: PathBuf,
    pub logging_steps: u64,
    pub save_steps: u64,
    pub save_total_limit: Option<usize>,
    pub resume_from_checkpoint: Option<Resume>,
    pub plot_loss: bool,
    pub eval_strategy: EvalStrategy,
    pub eval_steps: Option<f64>,
    pub load_best_model_at_end: bool,
    pub early_stopping_steps: Option<usize>,
    pub per_device_train_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub learning_rate: f64,
    pub num_train_epochs: f64,
    pub max_steps: i64,
    pub lr_scheduler_type: String,
    pub warmup_ratio: f64,
    pub warmup_steps: u64,
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    pub max_grad_norm: f64,
    pub seed: u64,
    /// The training file: a path in `dataset_dir`, or a source (`pypi:`, `hf:`, `https:`).
    pub train_file: Option<String>,
    /// A file to measure on and to set thresholds by, likewise.
    pub eval_file: Option<String>,
    /// The digest of the training file's source.
    pub sha256: Option<String>,
    /// How these files are read, as a pack's `data.reader`.
    pub reader: Option<ReaderSpec>,
    /// Files of lines, each named by the label of all its lines, in place of a table; paths or
    /// sources. A line that stands in several or several times is taken once or, under two labels,
    /// not at all.
    pub label_files: BTreeMap<String, String>,
    /// The column that is asked about.
    pub input: Option<String>,
    /// The column that holds the answer.
    pub output: Option<String>,
    /// The system message.
    pub system: Option<String>,
    /// What an answer is.
    pub answer: AnswerSpec,
    /// Most token rows computed at once: bounds memory, not the result.
    pub rows_max: usize,
    /// A search over values of other keys.
    pub search: Option<Search>,
}

impl Settings {
    /// LLaMA-Factory's defaults: those that are not nothing.
    pub(super) fn theirs() -> Self {
        let sft = SftSpec::default();
        Self {
            lora_rank: 8,
            lora_target: "all".to_owned(),
            freeze_trainable_layers: 2,
            freeze_trainable_modules: "all".to_owned(),
            dataset_dir: PathBuf::from("data"),
            cutoff_len: 2048,
            pref_beta: 0.1,
            pref_loss: "sigmoid".to_owned(),
            kto_chosen_weight: 1.0,
            kto_rejected_weight: 1.0,
            logging_steps: 500,
            save_steps: 500,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 5e-5,
            num_train_epochs: 3.0,
            max_steps: -1,
            lr_scheduler_type: "linear".to_owned(),
            weight_decay: sft.weight_decay,
            adam_beta1: sft.adam_beta1,
            adam_beta2: sft.adam_beta2,
            adam_epsilon: sft.adam_epsilon,
            max_grad_norm: sft.max_grad_norm,
            seed: 42,
            rows_max: sft.rows_max,
            ..Self::default()
        }
    }
}

/// Shares of datasets, as a list or as numbers apart by commas.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Shares {
    /// A list.
    List(Vec<f64>),
    /// One number.
    One(f64),
    /// Numbers apart by commas.
    Text(String),
}

impl Shares {
    /// The numbers.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for what is none, is not above 0, or not as many as the datasets.
    pub fn of(&self, datasets: usize) -> Result<Vec<f64>, TuneError> {
        let say = |reason: String| refuse(Some("interleave_probs"), reason);
        let shares = match self {
            Self::List(shares) => shares.clone(),
            Self::One(share) => vec![*share],
            Self::Text(text) => text
                .split(',')
                .map(|part| part.trim().parse())
                .collect::<Result<_, _>>()
                .map_err(|_| say(format!("{text:?} is not numbers apart by commas")))?,
        };
        if shares.len() != datasets
            || shares
                .iter()
                .any(|&share| !(share > 0.0 && share.is_finite()))
        {
            let what = format!("{shares:?}: give each of the {datasets} datasets a share above 0");
            return Err(say(what));
        }
        Ok(shares)
    }
}

impl Settings {
    pub(super) fn check(&self) -> Result<(), TuneError> {
        let say = |key: &str, reason: &str| Err(refuse(Some(key), reason.to_owned()));
        if self.model_name_or_path.is_empty() {
            return say(
                "model_name_or_path",
                "name a .gguf file, a folder or a source",
            );
        }
        if self.output_dir.as_os_str().is_empty() {
            return say("output_dir", "name the folder for the result");
        }
        self.check_dropout()?;
        let places = [
            self.dataset.is_some(),
            self.train_file.is_some(),
            !self.label_files.is_empty(),
        ];
        if places.iter().filter(|&&named| named).count() != 1 {
            return say(
                "dataset",
                "name a dataset of dataset_info.json, or a train_file, or label_files",
            );
        }
        if !self.label_files.is_empty() && !matches!(self.answer, AnswerSpec::Choice(_)) {
            return say("label_files", "these need answer: {kind: choice}");
        }
        if matches!(&self.answer, AnswerSpec::Choice(it) if !(0.0..1.0).contains(&it.smoothing)) {
            return say("answer", "smoothing is a share, from 0 to below 1");
        }
        self.check_tuning()?;
        self.check_preference()?;
        self.check_watch()?;
        self.sft()?.check()
    }

    pub(super) fn check_dropout(&self) -> Result<(), TuneError> {
        if self.lora_dropout == 0.0 {
            return Ok(());
        }
        let reason = "only 0 is supported: nothing is dropped here";
        Err(refuse(Some("lora_dropout"), reason.to_owned()))
    }

    pub(super) fn check_targets(&self) -> Result<(), TuneError> {
        let targets = self.targets();
        match targets.iter().find(|it| !TARGETS.contains(&&***it)) {
            None => Ok(()),
            Some(target) => {
                let reason = format!(
                    "no linear layer is called {target:?}: name some of {}, or all",
                    TARGETS.join(", ")
                );
                Err(refuse(Some("lora_target"), reason))
            }
        }
    }

    /// Whether the stage can tune in the way that is asked for.
    fn check_tuning(&self) -> Result<(), TuneError> {
        let say = |key: &str, reason: &str| Err(refuse(Some(key), reason.to_owned()));
        let adapter = self.finetuning_type == Tuning::Lora;
        self.check_targets()?;
        if !adapter && matches!(self.stage, Stage::Dpo | Stage::Kto) {
            return say(
                "finetuning_type",
                "preferences are learnt against the model without its adapter: use lora",
            );
        }
        if !adapter && self.adapter_name_or_path.is_some() {
            return say(
                "adapter_name_or_path",
                "an adapter is not tuned on by its base's weights: merge it first (lathe merge)",
            );
        }
        if !adapter && self.quantization_bit.is_some() {
            return say(
                "quantization_bit",
                "weights that learn are not kept in 4 or 8 bits: use finetuning_type: lora, or leave it out",
            );
        }
        if self.freeze_trainable_layers < 1 {
            return say(
                "freeze_trainable_layers",
                "give how many of the last blocks learn, at least 1; the first ones alone cannot be chosen",
            );
        }
        if self
            .quantization_bit
            .is_some_and(|bits| bits != 4 && bits != 8)
        {
            return say(
                "quantization_bit",
                "4 or 8: a base is kept in blocks of these",
            );
        }
        let methods = ["bnb", "bitsandbytes", "hqq", "eetq"];
        match &self.quantization_method {
            Some(method) if !methods.contains(&&**method) => say(
                "quantization_method",
                "leave it out: a base is kept in blocks of 32 values with a scale each, rounded as it is \
                 loaded (as bnb, hqq and eetq do); calibrated formats are not read",
            ),
            _ => Ok(()),
        }
    }

    fn check_preference(&self) -> Result<(), TuneError> {
        let say = |key: &str, reason: &str| Err(refuse(Some(key), reason.to_owned()));
        if self.pref_loss != "sigmoid" && self.stage == Stage::Dpo {
            return say(
                "pref_loss",
                "only sigmoid, the loss of DPO; for judged answers use stage: kto",
            );
        }
        if self.pref_ftx != 0.0 && self.stage == Stage::Kto {
            return say(
                "pref_ftx",
                "leave it out: judged answers have no better one; it is for stage: dpo",
            );
        }
        let plain = matches!(self.answer, AnswerSpec::Text) && self.input.is_none();
        if !plain && !matches!(self.stage, Stage::Sft | Stage::Quantize) {
            return say(
                "answer",
                "tables with input, output and answer are for stage: sft",
            );
        }
        Ok(())
    }

    fn check_watch(&self) -> Result<(), TuneError> {
        let say = |key: &str, reason: &str| Err(refuse(Some(key), reason.to_owned()));
        let held = self.val_size > 0.0 || self.eval_file.is_some() || self.eval_dataset.is_some();
        let watched = self.eval_strategy != EvalStrategy::No;
        if let Some(search) = &self.search {
            search.trials(self.seed)?;
            if self.resume_from_checkpoint.is_some() {
                return say(
                    "resume_from_checkpoint",
                    "leave it out: the trials of a search go on from where they stood by themselves",
                );
            }
            if !held {
                return say(
                    "search",
                    "nothing is held back to compare by: set val_size, eval_file or eval_dataset",
                );
            }
        }
        if watched && !held {
            return say(
                "eval_strategy",
                "nothing is held back: set val_size, eval_file or eval_dataset",
            );
        }
        if self.load_best_model_at_end && !watched {
            return say(
                "load_best_model_at_end",
                "set eval_strategy to steps or epoch as well",
            );
        }
        if self.early_stopping_steps.is_some() && !watched {
            return say(
                "early_stopping_steps",
                "set eval_strategy to steps or epoch as well",
            );
        }
        let steps = self.eval_steps.unwrap_or(1.0);
        if !(steps.is_finite() && steps > 0.0) {
            return say(
                "eval_steps",
                "a number above 0; below 1 it is a share of all steps",
            );
        }
        Ok(())
    }

    /// The learning of a run over `records` records: what counts steps is known then.
    ///
    /// # Errors
    /// As [`Settings::sft`].
    pub fn spec_for(&self, records: usize) -> Result<SftSpec, TuneError> {
        let mut spec = self.sft()?;
        let per_epoch = records.div_ceil(spec.batch_records).max(1) as f64;
        // Just under, so that rounding up gives these steps.
        if self.max_steps > 0 {
            spec.epochs = (self.max_steps as f64 - 0.5) / per_epoch;
        }
        if self.warmup_steps > 0 {
            let steps = (per_epoch * spec.epochs).ceil();
            spec.warmup_ratio = ((self.warmup_steps as f64 - 0.5) / steps).min(1.0);
        }
        Ok(spec)
    }

    /// Steps between measurements in a run of `steps` steps, `per_epoch` of them a pass.
    pub fn eval_every(&self, steps: u64, per_epoch: u64) -> Option<u64> {
        let every = self.eval_steps.unwrap_or(self.logging_steps as f64);
        match self.eval_strategy {
            EvalStrategy::No => None,
            EvalStrategy::Epoch => Some(per_epoch),
            EvalStrategy::Steps if every < 1.0 => Some((every * steps as f64).ceil() as u64),
            EvalStrategy::Steps => Some(every as u64),
        }
    }

    /// The learning, as the stage takes it.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for a schedule that there is not.
    pub fn sft(&self) -> Result<SftSpec, TuneError> {
        Ok(SftSpec {
            rank: self.lora_rank,
            alpha: self.alpha(),
            targets: self.targets(),
            learning_rate: self.learning_rate,
            schedule: self.schedule()?,
            warmup_ratio: self.warmup_ratio,
            epochs: self.num_train_epochs,
            batch_records: self
                .per_device_train_batch_size
                .saturating_mul(self.gradient_accumulation_steps),
            tokens_max: self.cutoff_len,
            rows_max: self.rows_max,
            weight_decay: self.weight_decay,
            adam_beta1: self.adam_beta1,
            adam_beta2: self.adam_beta2,
            adam_epsilon: self.adam_epsilon,
            max_grad_norm: self.max_grad_norm,
            seed: self.seed,
            checkpoint_steps: self.save_steps,
            checkpoints_kept: self.save_total_limit.unwrap_or(usize::MAX),
            prefix_sharing: true,
            soft_number: None,
            dora: self.use_dora,
        })
    }

    pub(super) fn schedule(&self) -> Result<Shape, TuneError> {
        match self.lr_scheduler_type.as_str() {
            "linear" => Ok(Shape::Linear),
            "cosine" => Ok(Shape::Cosine),
            "constant" | "constant_with_warmup" => Ok(Shape::Constant),
            other => {
                let reason =
                    format!("{other:?} is none of linear, cosine, constant, constant_with_warmup");
                Err(refuse(Some("lr_scheduler_type"), reason))
            }
        }
    }

    /// What an adapter's term is scaled by, times its rank: rank-stabilised LoRA (Kalajdzievski 2023)
    /// divides alpha by the root of the rank.
    fn alpha(&self) -> f32 {
        let alpha = self.lora_alpha.unwrap_or(2.0 * self.lora_rank as f32);
        if self.use_rslora {
            alpha * (self.lora_rank as f32).sqrt()
        } else {
            alpha
        }
    }

    /// The parts of names of what learns in frozen tuning; none for all.
    pub fn frozen_modules(&self) -> Vec<String> {
        let names = self.freeze_trainable_modules.split(',').map(str::trim);
        let names = names.filter(|name| !name.is_empty() && *name != "all");
        names.map(str::to_owned).collect()
    }

    /// `all`, or names apart by commas.
    fn targets(&self) -> Vec<String> {
        if self.lora_target == "all" {
            return TARGETS.map(str::to_owned).to_vec();
        }
        let names = self.lora_target.split(',').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect()
    }
}
