//! Recipes: one YAML file that says what is tuned on what, in LLaMA-Factory's words.
//!
//! A file of theirs runs as it is as far as its keys are honoured here; `key=value` after it wins
//! over the file. A key without meaning on this machine is accepted and listed, one that cannot be
//! honoured is refused by name with the nearest way, and an unknown one with the nearest known
//! name. Beside their keys there are a few of our own, for data that is a plain table and for
//! answers that are one of a set ([`answer`]).

pub mod answer;
pub mod hold_back;
mod keys;
pub mod learning;
pub mod lesson;
pub mod mixing;
pub mod preference;
mod quantise;
pub mod resume;
pub mod search;
mod settings;
pub mod table;
pub mod template;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use lathe_data::nearest;
use serde_json::{Map, Value};

use self::keys::{KEYS, Kind};
pub use self::settings::{EvalStrategy, Mixing, Settings, Shares, Stage, Tuning};
use crate::TuneError;

/// Largest recipe read.
pub const RECIPE_BYTES_MAX: u64 = 1 << 20;
/// What stands for a key where a mistake is the recipe's as a whole.
const WHOLE: &str = "the file";

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
        let mut values = values_of(text)?;
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
            match sorted(&key, value)? {
                Sorted::Absent => {}
                Sorted::Ignored(value) => drop(ignored.insert(key, value)),
                Sorted::Kept(value) => drop(kept.insert(key, value)),
            }
        }
        for (key, value) in &kept {
            alone(key, value)?;
        }
        let mut settings = settings(kept)?;
        settings.settle_export()?;
        settings.check()?;
        Ok(Self {
            settings,
            ignored,
            folder: folder.to_path_buf(),
        })
    }
}

/// What becomes of a key and its value.
enum Sorted {
    /// Nothing is said by it.
    Absent,
    /// It has no effect.
    Ignored(Value),
    /// It is honoured.
    Kept(Value),
}

fn sorted(key: &str, value: Value) -> Result<Sorted, TuneError> {
    Ok(match kind(key)? {
        Kind::Ignored if value.is_null() => Sorted::Absent,
        Kind::Ignored => Sorted::Ignored(value),
        Kind::Refused(instead) if !keys::is_off(&value) => {
            return Err(refuse(
                Some(key),
                format!("this is not supported: {instead}"),
            ));
        }
        Kind::Refused(_) => Sorted::Absent,
        // Absent is the default, whatever the key.
        _ if value.is_null() => Sorted::Absent,
        Kind::Number => Sorted::Kept(number(key, value)?),
        Kind::Plain => {
            // YAML takes a bare `no` for false.
            let is_no = key == "eval_strategy" && value == Value::Bool(false);
            Sorted::Kept(if is_no { "no".into() } else { value })
        }
    })
}

/// The keys of a text with their values.
fn values_of(text: &str) -> Result<Map<String, Value>, TuneError> {
    serde_saphyr::from_str(text).map_err(|error| refuse(None, error.without_snippet().to_string()))
}

/// Whether a value is of its key's kind: read by itself, so that an error names its key.
fn alone(key: &str, value: &Value) -> Result<(), TuneError> {
    let alone = Map::from_iter([(key.to_owned(), value.clone())]);
    serde_json::from_value::<Settings>(Value::Object(alone))
        .map(|_| ())
        .map_err(|error| refuse(Some(key), supported(key, &error.to_string())))
}

fn settings(values: Map<String, Value>) -> Result<Settings, TuneError> {
    serde_json::from_value(Value::Object(values)).map_err(|error| refuse(None, error.to_string()))
}

/// Adds the nearest way where a stage or a kind of tuning is none that runs.
fn supported(key: &str, error: &str) -> String {
    match key {
        "stage" => format!("{error}: for preferences use dpo or kto, which need no reward model"),
        "finetuning_type" => format!("{error}: lora is the nearest"),
        "mix_strategy" => format!("{error}: sources are drawn until one or all run out"),
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
        key: key.unwrap_or(WHOLE).to_owned(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Shape;
    use lathe_engine::adapter::TARGETS;

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
            ("pissa_init=true", "as PEFT starts them"),
            ("stage=ppo", "dpo or kto"),
            ("finetuning_type=oft", "lora is the nearest"),
            ("lora_dropout=0.1", "only 0"),
            ("lr_scheduler_type=polynomial", "none of linear"),
            ("cutoff_len=many", "not a number"),
            ("quantization_bit=2", "4 or 8"),
            ("quantization_method=gptq", "as bnb, hqq and eetq"),
            ("freeze_trainable_layers=-2", "at least 1"),
            ("eval_strategy=steps", "nothing is held back"),
            ("load_best_model_at_end=true", "eval_strategy"),
            ("early_stopping_steps=3", "eval_strategy"),
            ("do_predict=true", "lathe eval"),
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
    fn ways_that_do_not_go_together_are_refused() {
        for (extra, wanted) in [
            (["stage=dpo", "finetuning_type=full"], "use lora"),
            (["finetuning_type=full", "quantization_bit=4"], "that learn"),
            (
                ["finetuning_type=freeze", "adapter_name_or_path=a"],
                "merge it first",
            ),
            (["stage=dpo", "pref_loss=ipo"], "only sigmoid"),
            (["stage=kto", "pref_ftx=0.5"], "stage: dpo"),
            (["stage=pt", "input=text"], "stage: sft"),
            (
                ["stage=sft", "answer={kind: choice, smoothing: 1}"],
                "a share",
            ),
        ] {
            let text = refusal(&extra);
            assert!(text.contains(wanted), "{extra:?}: {text}");
        }
    }

    /// The keys that the field's users know, and those that a quantised base is asked for with.
    #[test]
    fn every_key_of_the_field_is_known() {
        let known = "model_name_or_path adapter_name_or_path stage finetuning_type lora_rank lora_alpha \
            lora_target dataset dataset_dir template cutoff_len max_samples val_size packing mix_strategy \
            interleave_probs train_on_prompt mask_history pref_beta pref_loss output_dir logging_steps \
            save_steps save_total_limit per_device_train_batch_size gradient_accumulation_steps \
            learning_rate num_train_epochs lr_scheduler_type warmup_ratio resume_from_checkpoint plot_loss \
            quantization_bit quantization_method do_train bf16 overwrite_output_dir overwrite_cache \
            preprocessing_num_workers dataloader_num_workers save_only_model report_to ddp_timeout \
            trust_remote_code";
        for key in known.split_whitespace() {
            kind(key).expect(key);
        }
    }

    #[test]
    fn steps_may_be_counted() {
        let settings = |extra: &[&str]| parse(THEIRS, extra).expect("a recipe").settings;
        let counted = settings(&["max_steps=7", "warmup_steps=3"]);
        let spec = counted.spec_for(100).expect("a spec");
        let steps = crate::plan::Plan::new(100, spec.batch_records, spec.epochs, 1).steps();
        assert_eq!(steps, 7);
        assert_eq!((spec.warmup_ratio * 7.0).ceil(), 3.0);
        let watched = settings(&["val_size=0.1", "eval_strategy=steps", "eval_steps=0.25"]);
        assert_eq!(watched.eval_every(41, 10), Some(11));
        let watched = settings(&["val_size=0.1", "eval_strategy=epoch"]);
        assert_eq!(watched.eval_every(40, 10), Some(10));
        for none in [&[][..], &["eval_strategy=no"], &["eval_strategy='no'"]] {
            assert_eq!(settings(none).eval_every(40, 10), None);
        }
        let rslora = settings(&["use_rslora=true", "lora_rank=16", "lora_alpha=8"]);
        assert_eq!(rslora.sft().expect("a spec").alpha, 32.0);
        let dora = settings(&["use_dora=true"]).sft().expect("a spec");
        assert!(dora.lora().dora && !settings(&[]).sft().expect("a spec").dora);
    }

    #[test]
    fn what_switches_a_refused_key_off_is_fine() {
        parse(
            THEIRS,
            &["pissa_init=false", "quantization_bit=null", "pref_ftx=0"],
        )
        .expect("off");
    }

    #[test]
    fn data_has_one_place() {
        assert!(refusal(&["train_file=a.csv"]).contains("dataset"));
        assert!(refusal(&["dataset=null"]).contains("dataset"));
    }
}
