//! What a recipe says of learning, for an order, whose pack names model, data and places itself: every mistake
//! with its key, not the first alone.
//!
//! Only what the recipe says counts: a key that it leaves out is not its default here. What an order makes of
//! model, data and output, and of stages that it has no way to run, is the workshop's to say.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::keys::{KEYS, Kind};
use super::settings::Settings;
use super::{Sorted, WHOLE, alone, refuse, sorted, values_of};
use crate::TuneError;

/// Longest text that is read.
pub const LEARNING_BYTES_MAX: usize = 64 << 10;
/// Most keys that are read.
pub const LEARNING_KEYS_MAX: usize = 200;
/// Longest key that may be one; a longer one is shown by its beginning.
const KEY_LETTERS_MAX: usize = 64;
/// Longest reason that is told.
const REASON_LETTERS_MAX: usize = 400;

/// The keys of `tune.sft`, and those of a recipe that say them; the one that says it first, first.
pub const MEANT: &[(&str, &[&str])] = &[
    ("rank", &["lora_rank"]),
    ("alpha", &["lora_alpha", "use_rslora", "lora_rank"]),
    ("targets", &["lora_target"]),
    ("dora", &["use_dora"]),
    ("learning_rate", &["learning_rate"]),
    ("schedule", &["lr_scheduler_type"]),
    ("warmup_ratio", &["warmup_ratio"]),
    ("epochs", &["num_train_epochs"]),
    (
        "batch_records",
        &["per_device_train_batch_size", "gradient_accumulation_steps"],
    ),
    ("tokens_max", &["cutoff_len"]),
    ("rows_max", &["rows_max"]),
    ("weight_decay", &["weight_decay"]),
    ("adam_beta1", &["adam_beta1"]),
    ("adam_beta2", &["adam_beta2"]),
    ("adam_epsilon", &["adam_epsilon"]),
    ("max_grad_norm", &["max_grad_norm"]),
    ("seed", &["seed"]),
    ("checkpoint_steps", &["save_steps"]),
    ("checkpoints_kept", &["save_total_limit"]),
];

/// What of a recipe cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The key; empty where it is the recipe as a whole.
    pub key: String,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// A recipe as far as it is about learning.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Learning {
    /// The keys that it says something by and that could be read, sorted.
    pub said: Vec<String>,
    /// What they say; of the others the defaults.
    pub settings: Settings,
    /// New values of `tune.sft`, by its keys.
    pub sft: BTreeMap<&'static str, Value>,
    /// Keys that were accepted and have no effect.
    pub ignored: Vec<String>,
    /// What cannot be.
    pub mistakes: Vec<Mistake>,
}

/// Reads what the text of a recipe says of learning. What cannot be read is told and left out.
pub fn learning(text: &str) -> Learning {
    let mut read = Learning::default();
    let mut kept = match bounded(text) {
        Ok(values) => read.sort(values),
        Err(error) => {
            read.tell(error);
            Map::new()
        }
    };
    read.settings = read.check(&mut kept);
    read.said = kept.keys().cloned().collect();
    read.said.sort_unstable();
    read.take();
    read
}

/// The keys that a recipe is honoured by, for whoever says what becomes of each.
pub fn honoured() -> impl Iterator<Item = &'static str> {
    let honoured = |(name, kind): &(&'static str, Kind)| {
        matches!(kind, Kind::Plain | Kind::Number).then_some(*name)
    };
    KEYS.iter().filter_map(honoured)
}

fn bounded(text: &str) -> Result<Map<String, Value>, TuneError> {
    if text.len() > LEARNING_BYTES_MAX {
        let reason = format!("it has more than {LEARNING_BYTES_MAX} bytes");
        return Err(refuse(None, reason));
    }
    if text.trim().is_empty() {
        let reason = "it is empty: paste the recipe's YAML, one `KEY: VALUE` a line";
        return Err(refuse(None, reason.to_owned()));
    }
    let values = values_of(text)?;
    if values.len() > LEARNING_KEYS_MAX {
        let reason = format!(
            "it has {} keys, more than {LEARNING_KEYS_MAX}",
            values.len()
        );
        return Err(refuse(None, reason));
    }
    Ok(values)
}

impl Learning {
    fn tell(&mut self, error: TuneError) {
        let (key, reason) = match error {
            TuneError::Recipe { key, reason } if key == WHOLE => (String::new(), reason),
            TuneError::Recipe { key, reason } => (key, reason),
            other => (String::new(), other.to_string()),
        };
        self.note(key, &reason);
    }

    /// The first mistake at a key is the one that is told.
    fn note(&mut self, key: String, reason: &str) {
        let is_told = !key.is_empty() && self.mistakes.iter().any(|it| it.key == key);
        if !is_told {
            let reason = beginning(reason, REASON_LETTERS_MAX);
            self.mistakes.push(Mistake { key, reason });
        }
    }

    /// The values that are honoured and of their kind.
    fn sort(&mut self, values: Map<String, Value>) -> Map<String, Value> {
        let mut kept = Map::new();
        for (key, value) in values {
            if key.chars().nth(KEY_LETTERS_MAX).is_some() {
                self.note(beginning(&key, KEY_LETTERS_MAX), "there is no such key");
                continue;
            }
            match sorted(&key, value) {
                Ok(Sorted::Absent) => {}
                Ok(Sorted::Ignored(_)) => self.ignored.push(key),
                Ok(Sorted::Kept(value)) => match alone(&key, &value) {
                    Ok(()) => drop(kept.insert(key, value)),
                    Err(error) => self.tell(error),
                },
                Err(error) => self.tell(error),
            }
        }
        kept
    }

    /// What the values say; those by which nothing can be learnt are taken out of them.
    fn check(&mut self, kept: &mut Map<String, Value>) -> Settings {
        let settings = self.settings_of(kept);
        let checks = [
            ("lora_dropout", settings.check_dropout()),
            ("lora_target", settings.check_targets()),
            ("lr_scheduler_type", settings.schedule().map(|_| ())),
        ];
        for (key, checked) in checks {
            if let Err(error) = checked {
                self.tell(error);
                kept.remove(key);
            }
        }
        self.settings_of(kept)
    }

    fn settings_of(&mut self, kept: &Map<String, Value>) -> Settings {
        match super::settings(kept.clone()) {
            Ok(settings) => settings,
            Err(error) => {
                self.tell(error);
                Settings::theirs()
            }
        }
    }

    /// What is said of `tune.sft`, whether a run could use it or not, and what of it none could.
    fn take(&mut self) {
        let spec = match self.settings.sft() {
            Ok(spec) => spec,
            Err(error) => return self.tell(error),
        };
        let said = |keys: &[&'static str]| {
            let is_said = |key: &&&str| self.said.iter().any(|it| it == **key);
            keys.iter().find(is_said).copied()
        };
        let mut wrong = Vec::new();
        for (key, reason) in spec.mistakes() {
            let meant = MEANT.iter().find(|(name, _)| *name == key);
            wrong.extend(meant.and_then(|(_, keys)| Some((said(keys)?, reason))));
        }
        let values = serde_json::to_value(&spec).unwrap_or_default();
        let value = |key: &str| match key {
            // As it was written: an f32 of as many digits as tell it apart.
            "alpha" => {
                let read = spec.alpha.to_string().parse::<f64>();
                read.map_or(Value::Null, Value::from)
            }
            // Left out where it is off.
            "dora" => Value::from(spec.dora),
            key => values.get(key).cloned().unwrap_or_default(),
        };
        let meant = MEANT.iter().filter(|(_, keys)| said(keys).is_some());
        let taken = meant.map(|(key, _)| (*key, value(key)));
        let taken = taken.filter(|(_, value)| !value.is_null()).collect();
        self.sft = taken;
        for (key, reason) in wrong {
            self.note(key.to_owned(), &reason);
        }
    }
}

/// The beginning of a text, with a mark where more follows.
fn beginning(text: &str, letters_max: usize) -> String {
    match text.char_indices().nth(letters_max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::SftSpec;

    fn mistakes(text: &str) -> Vec<String> {
        let read = learning(text);
        read.mistakes.into_iter().map(|it| it.key).collect()
    }

    #[test]
    fn what_is_said_of_learning_is_taken_and_nothing_else() {
        let read = learning(
            "model_name_or_path: some/model\nstage: sft\nlora_rank: 8\nlora_target: q_proj, v_proj\n\
             per_device_train_batch_size: 2\ngradient_accumulation_steps: 8\nlearning_rate: 1e-4\n\
             num_train_epochs: 3.0\nlr_scheduler_type: constant_with_warmup\ncutoff_len: 2048\nbf16: true\n\
             use_dora: false\nresume_from_checkpoint: null\n",
        );
        assert_eq!(read.mistakes, []);
        assert_eq!(read.ignored, ["bf16"]);
        let expected = json!({
            "rank": 8, "alpha": 16.0, "targets": ["q_proj", "v_proj"], "batch_records": 16,
            "learning_rate": 1e-4, "epochs": 3.0, "schedule": "constant", "tokens_max": 2048, "dora": false,
        });
        assert_eq!(json!(read.sft), expected);
        assert!(read.said.iter().any(|key| key == "model_name_or_path"));
        assert!(!read.said.iter().any(|key| key == "resume_from_checkpoint"));
        let read = learning("lora_alpha: 0.1\n");
        assert_eq!(json!(read.sft), json!({"alpha": 0.1}));
        let read = learning("lora_rank: 16\nlora_alpha: 8\nuse_rslora: true\n");
        assert_eq!(json!(read.sft), json!({"rank": 16, "alpha": 32.0}));
    }

    #[test]
    fn every_mistake_is_told_at_its_key() {
        let text = "learning_rat: 1\nlora_rank: 0\nlora_dropout: 0.1\npissa_init: true\ncutoff_len: many\n\
                    stage: ppo\nlr_scheduler_type: polynomial\nnum_train_epochs: 0\nlora_target: lm_head\n\
                    use_dora: perhaps\nweight_decay: 0.1\n";
        let mut found = mistakes(text);
        found.sort_unstable();
        let mut keys: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split(':').next())
            .map(str::trim)
            .filter(|key| *key != "weight_decay")
            .collect();
        keys.sort_unstable();
        assert_eq!(found, keys);
        // What is of its kind and out of its range is said all the same: its field shows it.
        let read = learning(text);
        assert_eq!(read.sft["rank"], 0);
        assert_eq!(read.sft["weight_decay"], 0.1);
        assert!(!read.sft.contains_key("schedule") && !read.sft.contains_key("targets"));
        let near = read.mistakes.iter().find(|it| it.key == "learning_rat");
        assert!(near.is_some_and(|it| it.reason.contains("`learning_rate`")));
    }

    #[test]
    fn what_is_no_recipe_is_one_mistake() {
        let long = format!("stage: {}", "x".repeat(LEARNING_BYTES_MAX));
        let many: String = (0..=LEARNING_KEYS_MAX)
            .map(|at| format!("k{at}: 1\n"))
            .collect();
        for (text, reason) in [
            (&long[..], "bytes"),
            (&many[..], "keys"),
            ("", "empty"),
            ("stage: [", "line "),
            ("- stage", "map"),
            ("seed: 1\nseed: 2\n", "seed"),
        ] {
            let read = learning(text);
            assert_eq!(read.mistakes.len(), 1, "{:?}", read.mistakes);
            let mistake = &read.mistakes[0];
            assert_eq!(mistake.key, "", "{mistake:?}");
            assert!(mistake.reason.contains(reason), "{mistake:?}");
            assert!(read.sft.is_empty() && read.said.is_empty());
        }
        let key = "k".repeat(5000);
        let read = learning(&format!("{key}: 1\nseed: '{key}'\n"));
        assert!(read.mistakes.iter().all(|it| it.key.chars().count() <= 65));
        let longest = read.mistakes.iter().map(|it| it.reason.chars().count());
        assert!(longest.max() <= Some(REASON_LETTERS_MAX + 1));
    }

    #[test]
    fn sizes_beyond_all_numbers_are_mistakes_and_no_panic() {
        let most = u64::MAX;
        let text = format!(
            "per_device_train_batch_size: {most}\ngradient_accumulation_steps: {most}\nlora_rank: {most}\n\
             lora_alpha: 1e300\n"
        );
        let found = mistakes(&text);
        for key in ["per_device_train_batch_size", "lora_rank", "lora_alpha"] {
            assert!(found.iter().any(|it| it == key), "{key}: {found:?}");
        }
        // What is no number of JSON is no value at all.
        assert_eq!(mistakes("learning_rate: .inf\n"), [""]);
    }

    #[test]
    fn the_table_names_keys_that_there_are() {
        let spec = SftSpec {
            dora: true,
            ..SftSpec::default()
        };
        let spec = serde_json::to_value(spec).expect("JSON");
        for (key, from) in MEANT {
            assert!(spec.get(key).is_some(), "{key}");
            for key in *from {
                assert!(honoured().any(|it| it == *key), "{key}");
            }
        }
    }
}
