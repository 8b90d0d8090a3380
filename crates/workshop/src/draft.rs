//! An order before it is placed: which pack, with which of its settings changed, and what of that cannot be.
//!
//! A request is written in three ways that say the same (`written`): as JSON, as YAML and as a command.
//! What a recipe in the words of LLaMA-Factory says of learning is read into one ([`recipe`]). What it would take
//! is estimated from what is here (`estimate`); nothing is fetched and nothing written.

mod again;
mod base_model;
mod estimate;
pub(crate) mod hashed;
mod reached;
pub mod recipe;
mod written;

use estimate::TakenOver;
pub use recipe::{OrderRecipe, RecipePart, RecipeRequest, with_recipe};
pub(crate) use written::flow;
pub use written::{YAML_BYTES_MAX, setting};

use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

use lathe_evidence::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::WorkshopError;
use crate::home::Home;
use crate::order::{OrderRequest, StepError, StepName, Title};
use crate::pack::change::{self, Expected};
use crate::pack::{self, LoadedPack, Pack};
use crate::people::{Right, reach};
use crate::sample;
use crate::steps::AGAIN;
use crate::store::orders::OrderRow;
use crate::workshop::Workshop;

/// The most packs that are listed.
pub const PACKS_MAX: usize = 200;
/// The most settings that a request changes.
pub const SETTINGS_MAX: usize = 500;

/// A pack that an order can be made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackLine {
    /// What an order names it by.
    pub pack: String,
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: Title,
    /// What it is for.
    pub description: Title,
    /// Whether it was made here of a file that somebody brought.
    pub brought: bool,
    /// Whether it is the sample that the program carries, which lies in no folder beside the daemon.
    pub carried: bool,
}

/// A pack with all its settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PackSettings {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: Title,
    /// Its settings by their dotted paths, those that are not set left out.
    pub settings: BTreeMap<String, Value>,
}

/// What of an order cannot be as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingMistake {
    /// The dotted path of the setting, or the key of a recipe; empty where it is none alone.
    pub key: String,
    /// Stable code.
    pub code: String,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub next: String,
    /// What has to stand there, where a value of another kind does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<Expected>,
}

/// An order as it would be placed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderPlan {
    /// The pack's name.
    pub pack: String,
    /// The pack's title.
    pub title: Title,
    /// Its steps, in the order they would run.
    pub steps: Vec<StepName>,
    /// The settings by their dotted paths, nothing changed: the pack's own, or those of the order to be cloned.
    pub settings: BTreeMap<String, Value>,
    /// What cannot be; an order with mistakes is refused.
    pub mistakes: Vec<SettingMistake>,
    /// What it would take; absent where there are mistakes.
    pub estimate: Option<Estimate>,
    /// The same order as a line for a shell.
    pub command: String,
    /// The same order as YAML; absent of a clone, which only the order that it is of says whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub yaml: Option<String>,
}

/// What tuning would take, as far as what is here lets it be told. Time and memory are estimates.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Records to tune on.
    pub records: Option<u64>,
    /// Records held out to measure.
    pub held_out: Option<u64>,
    /// Steps of the optimizer in the supervised stage.
    pub training_steps: Option<u64>,
    /// Tokens over all of them.
    pub tokens: Option<u64>,
    /// Numbers that learn.
    pub adapter_numbers: Option<u64>,
    /// Memory, in bytes: weights, what learns, what is kept for the backward pass.
    pub memory_bytes: Option<u64>,
    /// Tokens a second of the newest order with the same base model.
    pub tokens_per_s: Option<f64>,
    /// Seconds of the supervised stage at that speed.
    pub seconds: Option<u64>,
}

impl SettingMistake {
    pub(crate) fn at(key: &str, error: impl Into<StepError>) -> SettingMistake {
        let StepError { code, text, next } = error.into();
        // Nothing was begun that could be run again.
        let next = if next == AGAIN { String::new() } else { next };
        SettingMistake {
            key: key.to_owned(),
            code,
            text,
            next,
            expected: None,
        }
    }
}

/// Where a pack lies: at the path, or, of a bare name, among the packs that were made in this home. The sample is
/// there wherever the daemon was started.
pub fn folder_of(home: &Home, pack: &Path) -> PathBuf {
    let mut parts = pack.components();
    let is_bare = matches!(
        (parts.next(), parts.next()),
        (Some(Component::Normal(_)), None)
    );
    let own = home.packs().join(pack);
    if is_bare && !pack.exists() && own.join("pack.yaml").is_file() {
        return own;
    }
    sample::folder(home, pack).unwrap_or_else(|| pack.to_path_buf())
}

/// The pack of a request with its settings changed.
///
/// # Errors
/// `pack-missing`, `pack-invalid`, `order-setting`.
pub fn load(home: &Home, request: &OrderRequest) -> Result<LoadedPack, WorkshopError> {
    let loaded = pack::load(&folder_of(home, &request.pack), request.quick)?;
    if request.set.is_empty() {
        return Ok(loaded);
    }
    bounded(&request.set)?;
    let (pack, _) = change::changed(&spec_of(&loaded.pack), &request.set)?;
    let sha256 = Digest::of(spec_of(&pack).as_bytes());
    Ok(LoadedPack {
        pack,
        sha256,
        ..loaded
    })
}

/// Whether two values say the same: 3 and 3.0 do.
pub fn is_same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn bounded(set: &BTreeMap<String, Value>) -> Result<(), WorkshopError> {
    if set.len() <= SETTINGS_MAX {
        return Ok(());
    }
    Err(WorkshopError::new(
        "order-setting",
        format!(
            "{} settings are changed, more than {SETTINGS_MAX}",
            set.len()
        ),
        "write a pack of your own: docs/guide/pack.md",
    ))
}

/// Whether an order was placed with settings changed: then it is known by its effective pack, not by
/// the file of the pack.
pub(crate) fn is_changed(order: &OrderRow) -> bool {
    order.pack_sha256 == Digest::of(order.spec.as_bytes()).to_string()
}

fn spec_of(pack: &Pack) -> String {
    serde_json::to_string(pack).expect("a pack is JSON values")
}

/// What of `set` the pack cannot take. Where all of it together can be, nothing is.
fn mistakes(spec: &str, set: &BTreeMap<String, Value>) -> Vec<SettingMistake> {
    if let Err(error) = bounded(set) {
        return vec![SettingMistake::at("", error)];
    }
    let Err(together) = change::changed(spec, set) else {
        return Vec::new();
    };
    let alone = |(key, to): (&String, &Value)| {
        let one = BTreeMap::from([(key.clone(), to.clone())]);
        let refused = change::changed(spec, &one).err()?;
        Some(SettingMistake {
            expected: change::expected(spec, key, to),
            ..SettingMistake::at(key, refused)
        })
    };
    let found: Vec<SettingMistake> = set.iter().filter_map(alone).collect();
    match found.is_empty() {
        true => vec![SettingMistake::at("", together)],
        false => found,
    }
}

impl Workshop {
    /// What would become of a request: its steps, what it cannot be, what it would take.
    ///
    /// # Errors
    /// `pack-missing`, `pack-invalid` of the pack as it lies there; the store's.
    pub async fn plan(&self, request: &OrderRequest) -> Result<OrderPlan, WorkshopError> {
        self.reaches(request)?;
        let bare = OrderRequest {
            set: BTreeMap::new(),
            ..request.clone()
        };
        let own = load(self.home(), &bare)?;
        let spec = spec_of(&own.pack);
        let mut mistakes = mistakes(&spec, &request.set);
        let (mut estimate, mut steps) = (None, pack::stages::steps_of(&spec));
        if mistakes.is_empty() {
            let (pack, _) = change::changed(&spec, &request.set)?;
            steps = pack::stages::steps_of(&spec_of(&pack));
            let anew = TakenOver::default();
            let (found, missing) = estimate::of(self, pack, own.folder, anew).await?;
            estimate = Some(found).filter(|_| missing.is_empty());
            mistakes = missing;
        }
        Ok(OrderPlan {
            pack: own.pack.name.clone(),
            title: own.pack.title.clone(),
            steps,
            settings: change::settings(&own.pack).into_iter().collect(),
            mistakes,
            estimate,
            command: request.command(),
            yaml: Some(request.yaml()),
        })
    }

    /// A pack as an order of it would have it, nothing changed.
    ///
    /// # Errors
    /// `pack-missing`, `pack-invalid`.
    pub fn pack_settings(&self, pack: &Path, quick: bool) -> Result<PackSettings, WorkshopError> {
        self.reaches_pack(pack)?;
        let pack = pack::load(&folder_of(self.home(), pack), quick)?.pack;
        Ok(PackSettings {
            settings: change::settings(&pack).into_iter().collect(),
            name: pack.name,
            title: pack.title,
        })
    }

    /// The packs that an order can be made of: those beside the daemon, in `packs`, those made here of files that
    /// somebody brought, by name, and the sample. One that cannot be read is left out.
    pub fn packs(&self) -> Vec<PackLine> {
        let beside = Path::new("packs");
        let own = self.home().packs();
        let mut lines = Vec::new();
        for (folder, brought) in [(beside, false), (own.as_path(), true)] {
            for path in folders(folder) {
                let Ok(loaded) = pack::load(&path, false) else {
                    continue;
                };
                let name = path.file_name().unwrap_or_default();
                if brought && !reach::may_name(Right::Look, &name.to_string_lossy()) {
                    continue;
                }
                let named = match brought {
                    true => PathBuf::from(name),
                    false => beside.join(name),
                };
                lines.push(PackLine {
                    pack: named.to_string_lossy().into_owned(),
                    name: loaded.pack.name,
                    title: loaded.pack.title,
                    description: loaded.pack.description,
                    brought,
                    carried: false,
                });
            }
        }
        lines.extend(self.carried());
        lines
    }

    /// The sample, where it does not lie beside the daemon.
    fn carried(&self) -> Option<PackLine> {
        let folder = sample::folder(self.home(), Path::new(sample::PLACE))?;
        let pack = pack::load(&folder, false).ok()?.pack;
        Some(PackLine {
            pack: sample::PLACE.to_owned(),
            name: pack.name,
            title: pack.title,
            description: pack.description,
            brought: false,
            carried: true,
        })
    }
}

/// The first folders in a folder, by name; none where it cannot be listed.
fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("pack.yaml").is_file())
        .take(PACKS_MAX)
        .collect();
    found.sort_unstable();
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack")
    }

    fn asked(set: &[(&str, Value)]) -> OrderRequest {
        OrderRequest {
            pack: tiny(),
            quick: false,
            offline: true,
            project: None,
            set: set
                .iter()
                .map(|(key, to)| ((*key).to_owned(), to.clone()))
                .collect(),
        }
    }

    #[tokio::test]
    async fn a_plan_tells_records_steps_tokens_and_memory_of_what_is_here() {
        let (_folder, shop) = crate::testing::shop().await;
        let plan = shop
            .plan(&asked(&[("tune.sft.epochs", json!(2))]))
            .await
            .unwrap();
        assert_eq!(plan.mistakes, []);
        assert_eq!(plan.settings["tune.sft.epochs"], json!(30.0));
        let estimate = plan.estimate.unwrap();
        let records = estimate.records.unwrap();
        assert!(
            records > 8 && estimate.held_out.unwrap() > 0,
            "{estimate:?}"
        );
        assert_eq!(estimate.training_steps, Some(records.div_ceil(8) * 2));
        assert!(estimate.tokens.unwrap() > 2 * records, "{estimate:?}");
        assert!(estimate.memory_bytes.unwrap() > 4 * estimate.adapter_numbers.unwrap());
        // Nothing has run here yet.
        assert_eq!((estimate.tokens_per_s, estimate.seconds), (None, None));
        assert!(plan.steps.contains(&StepName::Tune));
    }

    #[tokio::test]
    async fn each_mistake_is_at_its_setting() {
        let (_folder, shop) = crate::testing::shop().await;
        let set = [
            ("tune.sft.rank", json!(0)),
            ("tune.sft.learning_rat", json!(1)),
            ("tune.sft.epochs", json!("many")),
            ("tune.sft.alpha", json!(8)),
        ];
        let plan = shop.plan(&asked(&set)).await.unwrap();
        let keys: Vec<&str> = plan.mistakes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(
            keys,
            ["tune.sft.epochs", "tune.sft.learning_rat", "tune.sft.rank"]
        );
        assert!(
            plan.mistakes[2].text.contains("1 to 1024"),
            "{:?}",
            plan.mistakes[2]
        );
        assert!(plan.mistakes[1].next.contains("learning_rate"));
        assert_eq!(plan.estimate, None);
        let plan = shop
            .plan(&asked(&[("data.source", json!("file:gone.tsv"))]))
            .await;
        let mistake = &plan.unwrap().mistakes[0];
        assert_eq!(
            (mistake.key.as_str(), mistake.code.as_str()),
            ("data.source", "data-missing")
        );
        let refused = shop.submit(asked(&set)).await.unwrap_err();
        assert_eq!(refused.code(), "pack-invalid");
    }

    #[tokio::test]
    async fn orders_with_other_settings_stand_beside_each_other_and_the_same_resumes() {
        let (_folder, shop) = crate::testing::shop().await;
        let plain = shop.submit(asked(&[])).await.unwrap();
        let fast = asked(&[("tune.sft.epochs", json!(1))]);
        let changed = shop.submit(fast.clone()).await.unwrap();
        assert_ne!(plain, changed);
        assert_eq!(shop.submit(fast).await.unwrap(), changed);
        assert_eq!(shop.submit(asked(&[])).await.unwrap(), plain);
        let settings = shop.settings(&changed).await.unwrap().unwrap();
        let epochs = settings.iter().find(|(key, _)| key == "tune.sft.epochs");
        assert_eq!(epochs.unwrap().1, json!(1.0));
        // A newer edition of the pack gives up the plain one alone.
        let row = shop.store().order(&plain).await.unwrap().unwrap();
        assert!(!is_changed(&row));
        let row = shop.store().order(&changed).await.unwrap().unwrap();
        assert!(is_changed(&row));
    }

    #[tokio::test]
    async fn a_pack_made_here_is_known_by_its_bare_name() {
        let (_folder, shop) = crate::testing::shop().await;
        let own = shop.home().packs().join("mine");
        fs::create_dir_all(&own).unwrap();
        fs::copy(tiny().join("pack.yaml"), own.join("pack.yaml")).unwrap();
        assert_eq!(folder_of(shop.home(), Path::new("mine")), own);
        for other in ["else", "../mine", "a/mine"] {
            assert_eq!(folder_of(shop.home(), Path::new(other)), Path::new(other));
        }
        let lines = shop.packs();
        let mine = lines.iter().find(|it| it.brought).unwrap();
        assert_eq!(
            (mine.pack.as_str(), mine.name.as_str()),
            ("mine", "tiny-pack")
        );
        // Nothing was written into the store by looking.
        assert_eq!(
            shop.orders(&crate::OrdersAsked::default(), 10, 0)
                .await
                .unwrap(),
            []
        );
    }
}
