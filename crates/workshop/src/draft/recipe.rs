//! A recipe in LLaMA-Factory's words, read into an order.
//!
//! What it says of supervised tuning changes the pack's `tune.sft`. Model, data, measuring and output are the
//! pack's own and the workshop's: such keys are left, and said to be. What an order has no way to do is a mistake
//! at its key; `lathe tune` runs such a recipe by itself.

use std::collections::BTreeMap;
use std::path::PathBuf;

use lathe_tune::recipe::learning::{Learning, learning};
use lathe_tune::recipe::{Settings, Stage, Tuning};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{SettingMistake, bounded, folder_of, is_same};
use crate::error::WorkshopError;
use crate::home::Home;
use crate::order::OrderRequest;
use crate::pack::{self, change};
use crate::workshop::Workshop;

/// What of an order the keys are about that the recipe does not decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipePart {
    /// The base model: the pack names it.
    Model,
    /// The data, what is asked and what an answer is: the pack's, too.
    Data,
    /// What is held back and measured: once, at the end, as the pack says.
    Measuring,
    /// Where what is made goes: into the workshop's home.
    Output,
}

/// The keys of each part.
const LEFT: &[(RecipePart, &[&str])] = &[
    (
        RecipePart::Model,
        &[
            "model_name_or_path",
            "template",
            "quantization_bit",
            "quantization_method",
        ],
    ),
    (
        RecipePart::Data,
        &[
            "dataset",
            "dataset_dir",
            "mix_strategy",
            "interleave_probs",
            "max_samples",
            "train_file",
            "label_files",
            "sha256",
            "reader",
            "input",
            "output",
            "system",
            "answer",
        ],
    ),
    (
        RecipePart::Measuring,
        &[
            "val_size",
            "eval_dataset",
            "eval_file",
            "eval_strategy",
            "eval_steps",
            "load_best_model_at_end",
            "early_stopping_steps",
        ],
    ),
    (
        RecipePart::Output,
        &[
            "output_dir",
            "logging_steps",
            "plot_loss",
            "resume_from_checkpoint",
        ],
    ),
];

/// Keys of other stages and ways of tuning: without effect where an adapter learns from answers.
const OF_OTHERS: &[&str] = &[
    "pref_beta",
    "pref_ftx",
    "pref_loss",
    "kto_chosen_weight",
    "kto_rejected_weight",
    "freeze_trainable_layers",
    "freeze_trainable_modules",
];

/// What an order cannot be asked for by: the key, whether it is, and what to do instead.
type Beyond = (&'static str, fn(&Settings) -> Option<&'static str>);

const BEYOND: &[Beyond] = &[
    ("stage", |it| match it.stage {
        Stage::Sft => None,
        Stage::Pt => Some(
            "an order takes supervised tuning (sft) from a recipe: continued pretraining is the pack's \
             `tune.pretrain`",
        ),
        Stage::Dpo | Stage::Kto => Some(
            "an order takes supervised tuning (sft) from a recipe: preferences are the pack's `tune.preference`",
        ),
        Stage::Quantize => Some(
            "nothing is learnt in this stage: an order takes supervised tuning (sft) from a recipe",
        ),
    }),
    ("finetuning_type", |it| match it.finetuning_type {
        Tuning::Lora => None,
        Tuning::Full | Tuning::Freeze => Some("an order tunes an adapter: write lora"),
    }),
    ("adapter_name_or_path", |it| {
        let reason = "an order begins with an adapter of its own: merge this one into its base (lathe merge) and \
                      name the result as the pack's model";
        it.adapter_name_or_path.as_ref().map(|_| reason)
    }),
    ("train_on_prompt", |it| {
        it.train_on_prompt
            .then_some("an order learns answers, never what is asked: leave it out")
    }),
    ("mask_history", |it| {
        it.mask_history
            .then_some("the pack's `task` says which turns are learnt: leave it out")
    }),
    ("max_steps", |it| {
        (it.max_steps > 0).then_some("an order counts passes: say num_train_epochs")
    }),
    ("warmup_steps", |it| {
        (it.warmup_steps > 0)
            .then_some("an order warms up for a share of its steps: say warmup_ratio")
    }),
    ("search", |it| {
        let reason = "an order is one choice of values: place one for each and compare them, or search with lathe tune";
        it.search.as_ref().map(|_| reason)
    }),
    ("export_dir", |it| it.export_dir.as_ref().map(|_| EXPORT)),
    ("export_quantization_bit", |it| {
        it.export_quantization_bit.map(|_| EXPORT)
    }),
    ("export_quantization_dataset", |it| {
        it.export_quantization_dataset.as_ref().map(|_| EXPORT)
    }),
    ("export_quantization_nsamples", |it| {
        it.export_quantization_nsamples.map(|_| EXPORT)
    }),
    ("export_quantization_maxlen", |it| {
        it.export_quantization_maxlen.map(|_| EXPORT)
    }),
];

const EXPORT: &str =
    "an order exports nothing: take its model elsewhere afterwards, with lathe merge";
/// What to do about a mistake.
const NEXT: &str = "correct the key or leave it out";

/// An order that is being written, and a recipe to be read into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecipeRequest {
    /// The pack's folder (or its pack.yaml), absolute or relative to the daemon.
    pub pack: PathBuf,
    /// As its `quick` section changes it.
    #[serde(default)]
    pub quick: bool,
    /// As an order has it; it stands in the YAML and the command.
    #[serde(default)]
    pub offline: bool,
    /// The project of the order; the common one unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// New values of the pack by dotted paths; those that the recipe says, too, are then the recipe's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, Value>,
    /// The recipe: YAML of at most 64 KiB, in LLaMA-Factory's words.
    pub recipe: String,
}

/// A key that the recipe does not decide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftKey {
    /// The recipe's key.
    pub key: String,
    /// What it is about.
    pub part: RecipePart,
}

/// An order with what a recipe says of learning.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderRecipe {
    /// New values of the pack by dotted paths: what the pack says already is left out.
    pub set: BTreeMap<String, Value>,
    /// Keys that the pack or the workshop decides.
    pub left: Vec<LeftKey>,
    /// Keys without effect.
    pub ignored: Vec<String>,
    /// What of the recipe cannot be: the recipe's keys, empty for the recipe as a whole.
    pub mistakes: Vec<SettingMistake>,
    /// The order as YAML.
    pub yaml: String,
    /// The order as a line for a shell.
    pub command: String,
}

impl RecipeRequest {
    /// An order that is being written, and a recipe.
    pub fn of(order: OrderRequest, recipe: String) -> RecipeRequest {
        RecipeRequest {
            pack: order.pack,
            quick: order.quick,
            offline: order.offline,
            project: order.project,
            set: order.set,
            recipe,
        }
    }

    /// The order without the recipe.
    pub fn order(&self) -> OrderRequest {
        OrderRequest {
            pack: self.pack.clone(),
            quick: self.quick,
            offline: self.offline,
            project: self.project.clone(),
            set: self.set.clone(),
        }
    }
}

impl Workshop {
    /// An order with what a recipe says of learning, for whoever may reach its pack.
    ///
    /// # Errors
    /// As [`with_recipe`]; `pack-missing`, `order-setting` of what is not for whoever asks.
    pub fn order_recipe(&self, asked: &RecipeRequest) -> Result<OrderRecipe, WorkshopError> {
        let order = asked.order();
        self.reaches(&order)?;
        with_recipe(self.home(), order, &asked.recipe)
    }
}

/// An order with what the text of a recipe says of learning, and what of the recipe that is not.
///
/// # Errors
/// `pack-missing`, `pack-invalid` of the pack as it lies there; `order-setting` for too many changes.
pub fn with_recipe(
    home: &Home,
    mut order: OrderRequest,
    recipe: &str,
) -> Result<OrderRecipe, WorkshopError> {
    bounded(&order.set)?;
    let pack = pack::load(&folder_of(home, &order.pack), order.quick)?.pack;
    let own: BTreeMap<String, Value> = change::settings(&pack).into_iter().collect();
    let read = learning(recipe);
    change_by(&read, &own, &mut order.set);
    let mut mistakes = mistakes(&read);
    if pack.tune.preference_only && !read.sft.is_empty() {
        let reason = "the pack runs no supervised stage (`tune.preference_only`): the learning rate and the length \
                      of its stage are `tune.preference`'s";
        mistakes.push(beyond("stage", reason));
    }
    let (left, ignored) = others(&read);
    Ok(OrderRecipe {
        left,
        ignored,
        mistakes,
        yaml: order.yaml(),
        command: order.command(),
        set: order.set,
    })
}

/// Changes what the recipe says otherwise than the pack; what it says as the pack does is no change.
fn change_by(read: &Learning, own: &BTreeMap<String, Value>, set: &mut BTreeMap<String, Value>) {
    for (key, to) in &read.sft {
        let path = format!("tune.sft.{key}");
        let is_own = match own.get(&path) {
            Some(from) => is_same(from, to),
            // What is off is left out of a pack.
            None => *to == Value::Bool(false),
        };
        match is_own {
            true => drop(set.remove(&path)),
            false => drop(set.insert(path, to.clone())),
        }
    }
}

/// What cannot be read, and what an order cannot do.
fn mistakes(read: &Learning) -> Vec<SettingMistake> {
    let unread = read.mistakes.iter().map(|it| {
        let error = WorkshopError::new("tune-recipe", it.reason.clone(), NEXT);
        SettingMistake::at(&it.key, error)
    });
    let undone = BEYOND.iter().filter_map(|(key, asks)| {
        let reason = asks(&read.settings)?;
        Some(beyond(key, reason))
    });
    unread.chain(undone).collect()
}

fn beyond(key: &str, reason: &str) -> SettingMistake {
    let next = "leave the key out, or run the recipe by itself: lathe tune";
    SettingMistake::at(key, WorkshopError::new("order-recipe", reason, next))
}

/// The keys that somebody else decides, and those without effect.
fn others(read: &Learning) -> (Vec<LeftKey>, Vec<String>) {
    let mut ignored = read.ignored.clone();
    let mut left = Vec::new();
    for key in &read.said {
        let part = LEFT.iter().find(|(_, keys)| keys.contains(&&**key));
        match part {
            Some((part, _)) => left.push(LeftKey {
                key: key.clone(),
                part: *part,
            }),
            None if OF_OTHERS.contains(&&**key) => ignored.push(key.clone()),
            None => {}
        }
    }
    left.sort_by(|a, b| (a.part, &a.key).cmp(&(b.part, &b.key)));
    ignored.sort_unstable();
    (left, ignored)
}

/// Reads outside bytes as a recipe for an order; for fuzzing.
pub fn fuzz(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let read = learning(text);
        let mut set = BTreeMap::new();
        change_by(&read, &BTreeMap::new(), &mut set);
        let _ = (mistakes(&read), others(&read));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use lathe_tune::recipe::learning::{LEARNING_BYTES_MAX, MEANT, honoured};
    use serde_json::json;

    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
    }

    fn order(set: &[(&str, Value)]) -> OrderRequest {
        let set = set.iter().map(|(key, to)| ((*key).to_owned(), to.clone()));
        OrderRequest {
            pack: root().join("tests/fixtures/tiny-pack"),
            quick: false,
            offline: true,
            project: None,
            set: set.collect(),
        }
    }

    async fn read(set: &[(&str, Value)], recipe: &str) -> OrderRecipe {
        let (_folder, shop) = crate::testing::shop().await;
        let asked = RecipeRequest::of(order(set), recipe.to_owned());
        let read = shop.order_recipe(&asked).unwrap();
        let again = OrderRequest::from_yaml(&read.yaml).unwrap();
        assert_eq!(again.set, read.set, "{}", read.yaml);
        assert_eq!(read.command, again.command());
        read
    }

    fn keys(read: &OrderRecipe) -> Vec<&str> {
        read.mistakes.iter().map(|it| it.key.as_str()).collect()
    }

    #[tokio::test]
    async fn every_recipe_here_becomes_an_order_or_says_why_not() {
        let mut orders = 0;
        for entry in fs::read_dir(root().join("recipes")).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            let read = read(&[], &text).await;
            let is_sft = text.lines().any(|line| line == "stage: sft");
            match is_sft {
                true => {
                    orders += 1;
                    assert_eq!(read.mistakes, [], "{}", path.display());
                    assert!(read.set.contains_key("tune.sft.learning_rate"));
                    let (_folder, shop) = crate::testing::shop().await;
                    let request = OrderRequest::from_yaml(&read.yaml).unwrap();
                    let plan = shop.plan(&request).await.unwrap();
                    assert_eq!(plan.mistakes, [], "{}", path.display());
                }
                false => {
                    assert_eq!(keys(&read)[0], "stage", "{}", path.display());
                    assert_eq!(read.mistakes[0].code, "order-recipe");
                }
            }
            let left = |key: &str| read.left.iter().any(|it| it.key == key);
            assert!(left("model_name_or_path") && left("output_dir"));
        }
        assert!(orders >= 5, "{orders}");
    }

    #[tokio::test]
    async fn what_the_recipe_says_wins_and_what_the_pack_says_is_no_change() {
        let set = [("tune.sft.rank", json!(64)), ("ask.records", json!(1))];
        let text = "lora_rank: 8\nlora_alpha: 16\nnum_train_epochs: 30\nper_device_train_batch_size: 2\n\
                    gradient_accumulation_steps: 2\nuse_dora: true\nbf16: true\npref_beta: 0.2\n";
        let read = read(&set, text).await;
        assert_eq!(read.mistakes, []);
        // The fixture tunes at rank 8 with an alpha of 16, for 30 passes.
        let expected = json!({
            "ask.records": 1, "tune.sft.batch_records": 4, "tune.sft.dora": true,
        });
        assert_eq!(json!(read.set), expected);
        assert_eq!(read.ignored, ["bf16", "pref_beta"]);
    }

    #[tokio::test]
    async fn what_an_order_cannot_do_is_a_mistake_at_its_key() {
        let text = "stage: dpo\nfinetuning_type: full\nadapter_name_or_path: a\ntrain_on_prompt: true\n\
                    mask_history: true\nmax_steps: 100\nwarmup_steps: 10\nsearch: {over: {seed: [1, 2]}}\n\
                    export_dir: o\nexport_quantization_bit: 4\nexport_quantization_dataset: d\n\
                    export_quantization_nsamples: 1\nexport_quantization_maxlen: 1\n";
        let dpo = read(&[], text).await;
        let expected: Vec<&str> = BEYOND.iter().map(|(key, _)| *key).collect();
        assert_eq!(keys(&dpo), expected);
        assert!(
            dpo.mistakes
                .iter()
                .all(|it| !it.text.is_empty() && !it.next.is_empty())
        );
        let off = "max_steps: -1\nwarmup_steps: 0\nmask_history: false\nsearch: null\nstage: sft\n";
        assert_eq!(read(&[], off).await.mistakes, []);
        // What a recipe's key is wrong by is told beside it.
        let both = read(&[], "lora_rnk: 8\nstage: kto\nseed: 7\n").await;
        assert_eq!(keys(&both), ["lora_rnk", "stage"]);
        assert_eq!(both.mistakes[0].code, "tune-recipe");
        assert_eq!(
            both.set,
            BTreeMap::from([("tune.sft.seed".to_owned(), json!(7))])
        );
        let long = "#".repeat(LEARNING_BYTES_MAX + 1);
        assert_eq!(keys(&read(&[], &long).await), [""]);
    }

    #[test]
    fn of_every_key_it_is_known_what_becomes_of_it() {
        let of_parts = LEFT.iter().flat_map(|(_, keys)| keys.iter());
        let of_learning = MEANT.iter().flat_map(|(_, keys)| keys.iter());
        let beyond = BEYOND.iter().map(|(key, _)| key);
        let known = of_parts.chain(OF_OTHERS).chain(of_learning).chain(beyond);
        let known: BTreeSet<&str> = known.copied().collect();
        // Nothing but 0 is read: no order drops anything either.
        let known = &known | &BTreeSet::from(["lora_dropout"]);
        assert_eq!(known, honoured().collect());
    }

    #[test]
    fn a_cut_or_changed_recipe_is_read_without_a_panic() {
        for name in ["goemotions", "sft", "pretrain"] {
            let sample = fs::read(root().join(format!("recipes/{name}.yaml"))).unwrap();
            for at in (0..sample.len()).step_by(3) {
                fuzz(&sample[..at]);
                for bit in [0x01, 0x15, 0x80] {
                    let mut changed = sample.clone();
                    changed[at] ^= bit;
                    fuzz(&changed);
                }
            }
        }
    }
}
