//! Recipes: one YAML file that says what is tuned on what, in LLaMA-Factory's words.
//!
//! A file of theirs runs as it is as far as its keys are honoured here; `key=value` after it wins
//! over the file. A key without meaning on this machine is accepted and listed, one that cannot be
//! honoured is refused by name with the nearest way, and an unknown one with the nearest known
//! name. Beside their keys there are a few of our own, for data that is a plain table and for
//! answers that are one of a set ([`answer`]).

pub mod answer;
mod keys;
pub mod lesson;
pub mod table;
pub mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lathe_data::nearest;
use lathe_data::reader::ReaderSpec;
use lathe_engine::adapter::TARGETS;
use serde::Deserialize;
use serde_json::{Map, Value};

use self::answer::AnswerSpec;
use self::keys::{KEYS, Kind};
use crate::TuneError;
use crate::schedule::Shape;
use crate::spec::SftSpec;

/// Largest recipe read.
pub const RECIPE_BYTES_MAX: u64 = 1 << 20;

/// A recipe, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// What it says.
    pub settings: Settings,
    /// Keys that were accepted and have no effect, with what they were set to.
    pub ignored: BTreeMap<String, Value>,
    /// The file's folder: what its `file:` sources are relative to.
    pub folder: PathBuf,
}

/// The stages that a recipe may name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Supervised fine-tuning.
    #[default]
    Sft,
}

/// What is tuned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tuning {
    /// A low-rank adapter.
    #[default]
    Lora,
}

/// The honoured keys; LLaMA-Factory's defaults.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
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
    pub dataset: Option<String>,
    pub dataset_dir: PathBuf,
    pub template: Option<String>,
    pub cutoff_len: usize,
    pub max_samples: Option<usize>,
    pub val_size: f64,
    pub train_on_prompt: bool,
    pub mask_history: bool,
    pub output_dir: PathBuf,
    pub logging_steps: u64,
    pub save_steps: u64,
    pub save_total_limit: Option<usize>,
    pub plot_loss: bool,
    pub per_device_train_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub learning_rate: f64,
    pub num_train_epochs: f64,
    pub lr_scheduler_type: String,
    pub warmup_ratio: f64,
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
}

impl Default for Settings {
    fn default() -> Self {
        let sft = SftSpec::default();
        Self {
            model_name_or_path: String::new(),
            adapter_name_or_path: None,
            stage: Stage::default(),
            finetuning_type: Tuning::default(),
            lora_rank: 8,
            lora_alpha: None,
            lora_target: "all".to_owned(),
            lora_dropout: 0.0,
            dataset: None,
            dataset_dir: PathBuf::from("data"),
            template: None,
            cutoff_len: 2048,
            max_samples: None,
            val_size: 0.0,
            train_on_prompt: false,
            mask_history: false,
            output_dir: PathBuf::new(),
            logging_steps: 500,
            save_steps: 500,
            save_total_limit: None,
            plot_loss: false,
            per_device_train_batch_size: 8,
            gradient_accumulation_steps: 1,
            learning_rate: 5e-5,
            num_train_epochs: 3.0,
            lr_scheduler_type: "linear".to_owned(),
            warmup_ratio: 0.0,
            weight_decay: sft.weight_decay,
            adam_beta1: sft.adam_beta1,
            adam_beta2: sft.adam_beta2,
            adam_epsilon: sft.adam_epsilon,
            max_grad_norm: sft.max_grad_norm,
            seed: 42,
            train_file: None,
            eval_file: None,
            sha256: None,
            reader: None,
            label_files: BTreeMap::new(),
            input: None,
            output: None,
            system: None,
            answer: AnswerSpec::default(),
            rows_max: sft.rows_max,
        }
    }
}

impl Recipe {
    /// Reads a file; each of `overrides` is `key=value` and wins over it.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for what is unknown, refused or of the wrong kind;
    /// [`TuneError::File`].
    pub fn load(path: &Path, overrides: &[String]) -> Result<Self, TuneError> {
        let size = fs::metadata(path)
            .map_err(TuneError::file("read", path))?
            .len();
        if size > RECIPE_BYTES_MAX {
            return Err(refuse(
                None,
                format!("it has {size} bytes, more than {RECIPE_BYTES_MAX}"),
            ));
        }
        let text = fs::read_to_string(path).map_err(TuneError::file("read", path))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        Self::parse(&text, overrides, folder)
    }

    /// Reads the text of a recipe.
    ///
    /// # Errors
    /// As [`Recipe::load`].
    pub fn parse(text: &str, overrides: &[String], folder: &Path) -> Result<Self, TuneError> {
        let mut values: Map<String, Value> = serde_saphyr::from_str(text)
            .map_err(|error| refuse(None, error.without_snippet().to_string()))?;
        for text in overrides {
            let (key, value) = text
                .split_once('=')
                .ok_or_else(|| refuse(None, format!("`{text}` is not key=value")))?;
            let value = serde_saphyr::from_str(value)
                .map_err(|error| refuse(Some(key), error.without_snippet().to_string()))?;
            values.insert(key.to_owned(), value);
        }
        let mut ignored = BTreeMap::new();
        let mut kept = Map::new();
        for (key, value) in values {
            match kind(&key)? {
                Kind::Ignored if value.is_null() => {}
                Kind::Ignored => {
                    ignored.insert(key, value);
                }
                Kind::Refused(instead) if !keys::is_off(&value) => {
                    return Err(refuse(
                        Some(&key),
                        format!("this is not supported: {instead}"),
                    ));
                }
                Kind::Refused(_) => {}
                // Absent is the default, whatever the key.
                _ if value.is_null() => {}
                Kind::Number => {
                    kept.insert(key.clone(), number(&key, value)?);
                }
                Kind::Plain => {
                    kept.insert(key, value);
                }
            }
        }
        let settings = settings(kept)?;
        settings.check()?;
        Ok(Self {
            settings,
            ignored,
            folder: folder.to_path_buf(),
        })
    }
}

/// The values one by one, so that an error names its key.
fn settings(values: Map<String, Value>) -> Result<Settings, TuneError> {
    for (key, value) in &values {
        let alone = Map::from_iter([(key.clone(), value.clone())]);
        serde_json::from_value::<Settings>(Value::Object(alone))
            .map_err(|error| refuse(Some(key), supported(key, &error.to_string())))?;
    }
    serde_json::from_value(Value::Object(values)).map_err(|error| refuse(None, error.to_string()))
}

/// Adds the nearest way where a stage or a kind of tuning is none that runs.
fn supported(key: &str, error: &str) -> String {
    match key {
        "stage" => format!("{error}: from a recipe only sft runs so far"),
        "finetuning_type" => format!("{error}: from a recipe only lora runs so far"),
        _ => error.to_owned(),
    }
}

fn kind(key: &str) -> Result<Kind, TuneError> {
    match KEYS.iter().find(|(name, _)| *name == key) {
        Some((_, kind)) => Ok(*kind),
        None => {
            let hint = nearest::hint(key, KEYS.iter().map(|(name, _)| *name));
            Err(refuse(Some(key), format!("there is no such key{hint}")))
        }
    }
}

/// A number, also one that YAML took for a text.
fn number(key: &str, value: Value) -> Result<Value, TuneError> {
    let Value::String(text) = &value else {
        return Ok(value);
    };
    let parsed: f64 = text
        .trim()
        .parse()
        .map_err(|_| refuse(Some(key), format!("{text:?} is not a number")))?;
    Ok(Value::from(parsed))
}

fn refuse(key: Option<&str>, reason: String) -> TuneError {
    TuneError::Recipe {
        key: key.unwrap_or("the file").to_owned(),
        reason,
    }
}

impl Settings {
    fn check(&self) -> Result<(), TuneError> {
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
        if self.lora_dropout != 0.0 {
            return say(
                "lora_dropout",
                "only 0 is supported: nothing is dropped here",
            );
        }
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
        self.sft()?.check()
    }

    /// The learning, as the stage takes it.
    ///
    /// # Errors
    /// [`TuneError::Recipe`] for a schedule that there is not.
    pub fn sft(&self) -> Result<SftSpec, TuneError> {
        let schedule = match self.lr_scheduler_type.as_str() {
            "linear" => Shape::Linear,
            "cosine" => Shape::Cosine,
            "constant" | "constant_with_warmup" => Shape::Constant,
            other => {
                let reason =
                    format!("{other:?} is none of linear, cosine, constant, constant_with_warmup");
                return Err(refuse(Some("lr_scheduler_type"), reason));
            }
        };
        Ok(SftSpec {
            rank: self.lora_rank,
            alpha: self.lora_alpha.unwrap_or(2.0 * self.lora_rank as f32),
            targets: self.targets(),
            learning_rate: self.learning_rate,
            schedule,
            warmup_ratio: self.warmup_ratio,
            epochs: self.num_train_epochs,
            batch_records: self.per_device_train_batch_size * self.gradient_accumulation_steps,
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
        })
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A recipe as LLaMA-Factory's examples have them.
    const THEIRS: &str = "\
### model
model_name_or_path: some/model
trust_remote_code: true

### method
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 8
lora_target: all

### dataset
dataset: identity,alpaca_en_demo
template: llama3
cutoff_len: 2048
max_samples: 1000
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/lora/sft
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null
";

    fn parse(text: &str, overrides: &[&str]) -> Result<Recipe, TuneError> {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        Recipe::parse(text, &overrides, Path::new("."))
    }

    fn refusal(extra: &[&str]) -> String {
        parse(THEIRS, extra).expect_err("refused").to_string()
    }

    #[test]
    fn an_example_of_theirs_is_understood() {
        let recipe = parse(THEIRS, &[]).expect("a recipe of theirs");
        let sft = recipe.settings.sft().expect("a spec");
        assert_eq!((sft.rank, sft.alpha, sft.batch_records), (8, 16.0, 8));
        assert_eq!(sft.learning_rate, 1e-4);
        assert_eq!(sft.schedule, Shape::Cosine);
        assert_eq!(sft.targets.len(), TARGETS.len());
        assert!(recipe.ignored.contains_key("bf16"));
        assert!(!recipe.ignored.contains_key("lora_rank"));
    }

    #[test]
    fn values_after_the_file_win_and_may_be_written_as_python_reads_them() {
        let recipe = parse(
            THEIRS,
            &["learning_rate=2e-4", "lora_target=q_proj, v_proj"],
        );
        let sft = recipe.expect("overrides").settings.sft().expect("a spec");
        assert_eq!(sft.learning_rate, 2e-4);
        assert_eq!(sft.targets, ["q_proj", "v_proj"]);
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_by_name_with_a_way() {
        for (extra, wanted) in [
            ("learning_rat=1", "nearest is `learning_rate`"),
            ("use_dora=true", "plain LoRA"),
            ("stage=ppo", "only sft"),
            ("finetuning_type=oft", "only lora"),
            ("lora_dropout=0.1", "only 0"),
            ("lr_scheduler_type=polynomial", "none of linear"),
            ("cutoff_len=many", "not a number"),
            ("quantization_bit=4", "read as it is"),
            ("num_train_epochs=0", "epochs"),
        ] {
            let text = refusal(&[extra]);
            let key = extra.split('=').next().unwrap_or_default();
            assert!(text.contains(wanted), "{extra}: {text}");
            assert!(
                text.contains(key) || key == "num_train_epochs",
                "{extra}: {text}"
            );
        }
    }

    #[test]
    fn what_switches_a_refused_key_off_is_fine() {
        parse(
            THEIRS,
            &["use_dora=false", "quantization_bit=null", "pref_ftx=0"],
        )
        .expect("off");
    }

    #[test]
    fn data_has_one_place() {
        assert!(refusal(&["train_file=a.csv"]).contains("dataset"));
        assert!(refusal(&["dataset=null"]).contains("dataset"));
    }
}
