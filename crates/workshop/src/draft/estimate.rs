//! What an order would take: records and steps from the data where it lies here or was fetched by an earlier
//! order, tokens from its first records by the model's own tokenizer, memory from the model's sizes, time from
//! what ran here before.
//!
//! Nothing is fetched: of what is not here yet nothing is said. The memory is a sum of what is known to be
//! held (weights in bf16, the adapter with its gradients and two moments in f32, what one pass of
//! `rows_max` tokens keeps for its backward pass), not a measurement: `lathe tune --dry-run` measures.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use lathe_data::DataError;
use lathe_data::dataset::Dataset;
use lathe_data::prepare::{PrepareOptions, Sealed, content_of, prepare};
use lathe_data::reader;
use lathe_data::source::{Origin, Source};
use lathe_data::task::Task;
use lathe_engine::Config;
use lathe_evidence::Digest;
use lathe_tune::plan::Plan;
use lathe_tune::preview::Preview;
use lathe_tune::sft::SftSpec;
use lathe_tune::{TuneError, pack as packing};
use serde_json::Value;

use super::{Estimate, SettingMistake, base_model};
use crate::error::WorkshopError;
use crate::listing::OrdersAsked;
use crate::objects;
use crate::order::{OrderState, StepName};
use crate::pack::Pack;
use crate::people::{Right, reach};
use crate::steps::model::weights;
use crate::steps::{chat, data, digest};
use crate::workshop::Workshop;

/// The largest file that is read to count its records.
const COUNTED_BYTES_MAX: u64 = 64 << 20;
/// Records whose tokens are counted.
const SAMPLED_RECORDS: usize = 100;
/// Rows of lists that are looked through for what was here before.
pub(super) const LOOKED_AT_MAX: u32 = 100;

/// What is here of an order's inputs.
struct Here {
    /// The base model, as the engine opens it.
    model: Option<PathBuf>,
    /// The data as one file: taken over, as it lies there, or as an earlier order fetched it.
    data: Option<PathBuf>,
    /// Where it does not lie here, a dataset version of the same source, and its train and test records.
    dataset: Option<(PathBuf, u64, u64)>,
    tokens_per_s: Option<f64>,
    salt_seed: [u8; 32],
    /// Records that the order leaves out, by their leaves and contents, as far as that is known without reading every
    /// version that is here.
    withdrawn: BTreeSet<Digest>,
}

/// What an order takes over from another one: whether its source is still there does not matter then.
#[derive(Debug, Default)]
pub(super) struct TakenOver {
    /// The artifact of its base model.
    pub model: Option<String>,
    /// The folder that its data lie in.
    pub data: Option<PathBuf>,
}

/// What it would take, and what of it is not there.
pub(super) async fn of(
    shop: &Workshop,
    pack: Pack,
    folder: PathBuf,
    taken: TakenOver,
) -> Result<(Estimate, Vec<SettingMistake>), WorkshopError> {
    let mistakes = missing(&pack, &folder, &taken);
    if !mistakes.is_empty() {
        return Ok((Estimate::default(), mistakes));
    }
    let bases = match &taken.model {
        Some(artifact) => base_model::like(shop, artifact).await?,
        None => base_model::same(shop, &pack, &folder).await?,
    };
    let data = match (&taken.data, own_file(&pack, &folder)) {
        (Some(artifact), _) => only_file(artifact)?,
        (None, Some(path)) => Some(path),
        (None, None) => fetched(shop, &pack, &folder).await?,
    };
    let dataset = match data {
        Some(_) => None,
        None => dataset(shop, &pack).await?,
    };
    let source = pack.data.source.to_string();
    let withdrawn = match data.is_some() || dataset.is_some() {
        true => shop.withdrawn_from(&source, &pack.data.name).await?,
        false => BTreeSet::new(),
    };
    let here = Here {
        model: match &taken.model {
            Some(artifact) => Some(weights(&objects::path(shop.home(), artifact))?),
            None => base(shop, &pack, &folder).await?,
        },
        data,
        dataset,
        tokens_per_s: speed(shop, &bases).await?,
        salt_seed: shop.home().salt_seed()?,
        withdrawn,
    };
    let counted = reach::spawn_blocking(move || count(&pack, &here));
    counted.await.map_err(|error| {
        WorkshopError::new(
            "daemon-crashed",
            format!("estimating an order stumbled: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })
}

/// Where a source lies that is a file or folder of this machine.
pub(super) fn local(source: &Source, folder: &Path) -> Option<PathBuf> {
    match &source.origin {
        Origin::File { path } => Some(folder.join(path)),
        _ => None,
    }
}

/// The file that the data lie in, where that is one of this machine.
fn own_file(pack: &Pack, folder: &Path) -> Option<PathBuf> {
    let source = &pack.data.source;
    local(source, folder).filter(|path| source.inner.is_empty() && path.is_file())
}

/// Sources of this machine that are needed and not there.
fn missing(pack: &Pack, folder: &Path, taken: &TakenOver) -> Vec<SettingMistake> {
    let sources = [
        ("model.source", &pack.model.source, taken.model.is_some()),
        ("data.source", &pack.data.source, taken.data.is_some()),
    ];
    let needed = sources.into_iter().filter(|(_, _, taken)| !taken);
    let gone = needed.filter_map(|(key, source, _)| {
        let path = local(source, folder).filter(|path| !path.exists())?;
        let text = format!("{} is not there", path.display());
        let next = "name a file that is: `file:` and its path, relative to the pack or absolute";
        Some(SettingMistake::at(
            key,
            WorkshopError::new("data-missing", text, next),
        ))
    });
    gone.collect()
}

async fn base(
    shop: &Workshop,
    pack: &Pack,
    folder: &Path,
) -> Result<Option<PathBuf>, WorkshopError> {
    if let Some(path) = local(&pack.model.source, folder)
        && pack.model.source.inner.is_empty()
    {
        return Ok(Some(path));
    }
    let source = pack.model.source.to_string();
    let models = shop.models(LOOKED_AT_MAX, 0).await?;
    let same = models
        .into_iter()
        .find(|it| it.kind == "base" && it.source == source);
    let Some(artifact) = same.map(|it| objects::path(shop.home(), &it.digest)) else {
        return Ok(None);
    };
    match artifact.is_dir() {
        true => weights(&artifact).map(Some),
        false => Ok(None),
    }
}

/// The data as an earlier order fetched it, where that is one file, and of a project that whoever asks may see.
/// It is prepared as this order would: how many of its records are taken is the order's to say, so that a
/// dataset version which another order made of it tells nothing.
async fn fetched(
    shop: &Workshop,
    pack: &Pack,
    folder: &Path,
) -> Result<Option<PathBuf>, WorkshopError> {
    let spec = &pack.data;
    if local(&spec.source, folder).is_some() && spec.sha256.is_none() {
        // It would have to be hashed whole; where it is one file it is read as it lies there.
        return Ok(None);
    }
    let input = data::input_of(StepName::Data, spec, folder)?;
    let effect = shop.store().effect(StepName::Data, &input).await?;
    let Some(artifact) = effect.and_then(|it| it.artifact) else {
        return Ok(None);
    };
    let (homes, shown) = (shop.store().homes(&artifact), reach::shown(Right::Look));
    if !homes.await?.iter().any(|it| shown.has(it)) {
        return Ok(None);
    }
    let place = objects::path(shop.home(), &artifact);
    if !place.is_dir() {
        return Ok(None);
    }
    only_file(&place)
}

/// The one file of a folder; none where there are others beside it.
fn only_file(folder: &Path) -> Result<Option<PathBuf>, WorkshopError> {
    let mut files = objects::entries(folder)?;
    Ok(files.pop().filter(|_| files.is_empty()))
}

/// The newest version of the same source, and how many of its records are left. Those that were withdrawn of it are
/// taken off; what another version of the same records lost, under other leaves, is not, though preparing leaves it
/// out by its content: to tell it every record would have to be read.
async fn dataset(
    shop: &Workshop,
    pack: &Pack,
) -> Result<Option<(PathBuf, u64, u64)>, WorkshopError> {
    let source = pack.data.source.to_string();
    let versions = shop.versions(LOOKED_AT_MAX, 0).await?;
    let same = versions
        .into_iter()
        .find(|it| it.source == source && !it.demonstration);
    let Some(version) = same.filter(|_| pack.records.is_none()) else {
        return Ok(None);
    };
    let gone = shop.gone(&[digest(&version.digest)?]).await?;
    let gone = gone.and_then(|all| all.first().copied());
    let gone = gone.unwrap_or_default();
    let count = |name: &str, gone: u64| {
        let value = version.card.pointer(&format!("/statistics/{name}"));
        Some(value.and_then(Value::as_u64)?.saturating_sub(gone))
    };
    let counts = count("train", gone.train).zip(count("test", gone.test));
    let folder = objects::path(shop.home(), &version.digest);
    Ok(counts.map(|(train, test)| (folder, train, test)))
}

/// Tokens a second of the newest finished order that tuned one of these base models.
async fn speed(shop: &Workshop, bases: &HashSet<String>) -> Result<Option<f64>, WorkshopError> {
    if bases.is_empty() {
        return Ok(None);
    }
    let asked = OrdersAsked {
        state: Some(OrderState::Done),
        ..OrdersAsked::default()
    };
    for order in shop.orders(&asked, LOOKED_AT_MAX, 0).await? {
        let steps = shop.store().steps(&order.id).await?;
        let model = steps.into_iter().find(|step| step.name == StepName::Model);
        let base = model.and_then(|step| step.artifact);
        if !base.is_some_and(|it| bases.contains(&it)) {
            continue;
        }
        let points = shop.curve(&order.id, 0).await?;
        if let Some(point) = points.last().filter(|point| point.tokens_per_s > 0.0) {
            return Ok(Some(point.tokens_per_s));
        }
    }
    Ok(None)
}

fn count(pack: &Pack, here: &Here) -> (Estimate, Vec<SettingMistake>) {
    let mut estimate = Estimate::default();
    let lesson = match lesson(pack, here) {
        Ok(lesson) => lesson,
        Err(error) => return (estimate, vec![unusable(&error)]),
    };
    let sft = &pack.tune.sft;
    if let Some((train, test, _)) = &lesson {
        estimate.records = Some(*train);
        estimate.held_out = Some(*test);
        if *train > 0 && !pack.tune.preference_only {
            let records = usize::try_from(*train).unwrap_or(usize::MAX);
            let plan = Plan::new(records, sft.batch_records, sft.epochs, sft.seed);
            estimate.training_steps = Some(plan.steps());
        }
    }
    // A model that cannot be opened is for the step to refuse, with all it knows.
    let model = here
        .model
        .as_ref()
        .and_then(|path| lathe_engine::open(path).ok());
    if let Some(model) = &model {
        let (numbers, bytes) = memory(&model.config, sft);
        estimate.adapter_numbers = Some(numbers);
        estimate.memory_bytes = Some(bytes);
    }
    if let (Some(model), Some((train, _, first))) = (&model, &lesson)
        && let Ok(Some(mean)) = mean_tokens(pack, model, first)
    {
        estimate.tokens = Some((mean * *train as f64 * sft.epochs).round() as u64);
    }
    estimate.tokens_per_s = here.tokens_per_s;
    let seconds = estimate.tokens.zip(here.tokens_per_s);
    estimate.seconds = seconds.map(|(tokens, speed)| (tokens as f64 / speed).ceil() as u64);
    (estimate, Vec::new())
}

/// Records to tune on and held out, and the first of them; none where the data is not here, or large.
fn lesson(pack: &Pack, here: &Here) -> Result<Option<(u64, u64, Vec<Sealed>)>, DataError> {
    if let Some(path) = &here.data {
        let size = fs::metadata(path).map_or(u64::MAX, |it| it.len());
        if size > COUNTED_BYTES_MAX {
            return Ok(None);
        }
        let read = reader::read(path, &pack.data.reader)?;
        let options = PrepareOptions {
            records_max: pack.records,
            salt_seed: here.salt_seed,
            withdrawn: here.withdrawn.clone(),
        };
        let mut prepared = prepare(read, &pack.data, &options)?;
        let counts = (prepared.train.len() as u64, prepared.test.len() as u64);
        prepared.train.truncate(SAMPLED_RECORDS);
        return Ok(Some((counts.0, counts.1, prepared.train)));
    }
    let Some((folder, train, test)) = &here.dataset else {
        return Ok(None);
    };
    let mut first = match folder.is_dir() {
        true => Dataset::first(folder, SAMPLED_RECORDS)?,
        false => Vec::new(),
    };
    first.retain(|record| {
        let content = content_of(&record.record).ok();
        let mut names = [Some(record.leaf), content].into_iter().flatten();
        !names.any(|it| here.withdrawn.contains(&it))
    });
    Ok(Some((*train, *test, first)))
}

/// Data that cannot be used, at the setting that is to blame; where it is none, at their source.
fn unusable(error: &DataError) -> SettingMistake {
    let key = match error {
        // Of the split as a whole it is that too few records are asked for.
        DataError::Spec { key, .. } if key == "data.split" => "records",
        // What follows the setting says which of several.
        DataError::Spec { key, .. } => key.split(' ').next().unwrap_or(key),
        _ => "data.source",
    };
    let next = "correct it, then check once more";
    SettingMistake::at(
        key,
        WorkshopError::new(error.code(), error.to_string(), next),
    )
}

/// Tokens of a record, on average over the first ones.
fn mean_tokens(
    pack: &Pack,
    model: &lathe_engine::RawModel,
    first: &[Sealed],
) -> Result<Option<f64>, TuneError> {
    if first.is_empty() {
        return Ok(None);
    }
    let task = Task::new(pack.task.clone())?;
    let sft = &pack.tune.sft;
    let rows = if pack.task.chat.is_some() {
        chat::preview(model, &task, first)?.into()
    } else {
        let examples: Result<Vec<_>, _> = first.iter().map(|record| task.render(record)).collect();
        packing::rows(model, &examples?, sft)?
    };
    let counts = Preview::of(&rows, model, sft.tokens_max, 0).counts;
    Ok(Some(counts.tokens as f64 / first.len() as f64))
}

/// How many numbers learn, and bytes in all.
fn memory(config: &Config, sft: &SftSpec) -> (u64, u64) {
    let heads = config.heads * config.head_dim;
    let shared = config.kv_heads * config.head_dim;
    let (hidden, inner) = (config.hidden, config.intermediate);
    let shape = |target: &str| match target {
        "q_proj" => (hidden, heads),
        "k_proj" | "v_proj" => (hidden, shared),
        "o_proj" => (heads, hidden),
        "gate_proj" | "up_proj" => (hidden, inner),
        "down_proj" => (inner, hidden),
        _ => (0, 0),
    };
    let adapted = sft.targets.iter().map(|target| {
        let (from, to) = shape(target);
        sft.rank * (from + to) + if sft.dora { to } else { 0 }
    });
    let numbers = config.layers * adapted.sum::<usize>();
    let block = 2 * hidden * heads + 2 * hidden * shared + 3 * hidden * inner;
    let tables = if config.tied_embeddings { 1 } else { 2 };
    let weights = config.layers * block + tables * config.vocab * hidden;
    // Of a token and a layer: the stream before both halves, queries, keys, values, what attention gives,
    // and the three of the feed-forward network.
    let kept = config.layers * (2 * hidden + 2 * heads + 2 * shared + 3 * inner) + config.vocab;
    let bytes = 2 * weights + 16 * numbers + 4 * kept * sft.rows_max;
    (numbers as u64, bytes as u64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lathe_data::DataSpec;
    use lathe_engine::Adapter;
    use lathe_evidence::statement::{self, Withdrawal, Withdrawn};
    use serde_json::json;

    use super::*;
    use crate::dataset;
    use crate::order::{OrderId, OrderRequest};
    use crate::steps::prepare;
    use crate::store::Change;
    use crate::store::change::NewArtifact;
    use crate::testing::{fetched, placed, shop};
    use crate::withdrawn::WithdrawnData;

    /// Enters the data of a plan as an order would have fetched it.
    async fn fetches(shop: &Workshop, pack: &Pack, file: &Path) {
        let order = OrderId::new();
        shop.apply(&[placed(&order)]).await.unwrap();
        let input = data::input_of(StepName::Data, &pack.data, Path::new("")).unwrap();
        fetched(shop, &order, (StepName::Data, input), file).await;
    }

    /// A pack that bounds its records, as the packaged sample's demonstration does, is counted on what was
    /// fetched; so is the whole one, though only a demonstration ran.
    #[tokio::test]
    async fn data_that_was_fetched_before_is_counted_as_the_order_would() {
        let (_folder, shop) = shop().await;
        let tiny = tiny();
        let asked = |quick: bool, source: Option<&str>| OrderRequest {
            pack: tiny.clone(),
            quick,
            offline: true,
            project: None,
            set: source.map_or_else(BTreeMap::new, |it| {
                BTreeMap::from([("data.source".to_owned(), json!(it))])
            }),
        };
        let remote = Some("pypi:tiny==1#feelings.tsv");
        let plan = async |quick, source| {
            let plan = shop.plan(&asked(quick, source)).await.unwrap();
            assert_eq!(plan.mistakes, []);
            plan.estimate.unwrap()
        };
        let unknown = plan(true, remote).await;
        assert_eq!((unknown.records, unknown.tokens), (None, None));
        let pack = super::super::load(shop.home(), &asked(true, remote)).unwrap();
        fetches(&shop, &pack.pack, &tiny.join("feelings.tsv")).await;
        for quick in [true, false] {
            let (here, brought) = (plan(quick, None).await, plan(quick, remote).await);
            assert!(brought.records.unwrap() > 8 && brought.tokens.is_some());
            assert_eq!(brought, here, "quick: {quick}");
        }
        shop.stop().await;
    }

    fn tiny() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-pack")
    }

    /// Records to tune on and held out of the tiny pack with its data from this source.
    async fn counted(shop: &Workshop, source: Option<&str>) -> (u64, u64) {
        let set = source.map(|it| ("data.source".to_owned(), json!(it)));
        let request = OrderRequest {
            pack: tiny(),
            quick: false,
            offline: true,
            project: None,
            set: set.into_iter().collect(),
        };
        let plan = shop.plan(&request).await.unwrap();
        let estimate = plan.estimate.unwrap();
        (estimate.records.unwrap(), estimate.held_out.unwrap())
    }

    /// A version of the tiny pack's data with the changed specification, its root and its records.
    fn sealed(
        shop: &Workshop,
        change: impl FnOnce(&mut DataSpec),
    ) -> (objects::Sealed, Digest, Dataset) {
        let mut spec = crate::pack::load(&tiny(), false).unwrap().pack.data;
        change(&mut spec);
        let (home, file) = (shop.home(), tiny().join("feelings.tsv"));
        let made = dataset::sealed(home, &file, spec, WithdrawnData::default());
        let (sealed, root) = made.unwrap();
        let folder = objects::path(home, &sealed.digest.to_string());
        (sealed, root, Dataset::load(&folder).unwrap())
    }

    async fn withdraw(shop: &Workshop, leaf: Digest) {
        let said = shop.apply_said(|speaker| {
            let said = Withdrawal {
                what: Withdrawn::Leaf(leaf),
                reason: "asked by its author".to_owned(),
                at_ms: speaker.at_ms(),
            };
            speaker.say("a record", leaf, said)?;
            Ok((Vec::new(), ()))
        });
        said.await.unwrap();
    }

    /// Enters a version under other terms in the ledger; gives its digest and records.
    async fn said(shop: &Workshop, name: &str, licence: &str) -> (Digest, Dataset) {
        let (sealed, root, data) = sealed(shop, |spec| {
            spec.name = name.to_owned();
            spec.licence = licence.to_owned();
            spec.source = format!("pypi:{name}==1#feelings.tsv").parse().unwrap();
        });
        let said = shop.apply_said(|speaker| {
            let said = statement::Dataset {
                name: name.to_owned(),
                root,
                train: data.prepared.train.len() as u64,
                test: data.prepared.test.len() as u64,
                source: data.spec.source.to_string(),
                file: data.file,
                licence: licence.to_owned(),
                owner: data.spec.owner.clone(),
                agreement: None,
                previous: None,
                scan: data.prepared.scan.clone(),
                at_ms: speaker.at_ms(),
            };
            speaker.say(name, sealed.digest, said)?;
            Ok((Vec::new(), ()))
        });
        said.await.unwrap();
        (sealed.digest, data)
    }

    /// What was withdrawn is not counted, whether the data lies here or only a version of it does.
    #[tokio::test]
    async fn withdrawn_records_are_not_counted() {
        let (_folder, shop) = shop().await;
        let (_, _, own) = sealed(&shop, |_| {});
        let remote = "pypi:tiny==1#feelings.tsv";
        let (sealed, root, other) = sealed(&shop, |spec| spec.source = remote.parse().unwrap());
        let view = prepare::view(shop.home(), sealed.digest, &root.to_string(), false).unwrap();
        let added = Change::DatasetAdded {
            artifact: Box::new(NewArtifact {
                digest: sealed.digest.to_string(),
                manifest: sealed.manifest,
            }),
            dataset: Box::new(view),
            project: crate::people::COMMON.to_owned(),
            at_ms: 1,
        };
        shop.apply(&[added]).await.unwrap();
        let here = counted(&shop, None).await;
        let there = counted(&shop, Some(remote)).await;
        for data in [own, other] {
            let (train, test) = (&data.prepared.train, &data.prepared.test);
            for leaf in [&train[0], &train[1], &test[0]].map(|it| it.leaf) {
                withdraw(&shop, leaf).await;
            }
        }
        let (now, then) = (
            counted(&shop, None).await,
            counted(&shop, Some(remote)).await,
        );
        assert_eq!(now, (here.0 - 2, here.1 - 1));
        assert_eq!(then, (there.0 - 2, there.1 - 1));
        shop.stop().await;
    }

    /// Under other terms a record has another leaf, and is the same one.
    #[tokio::test]
    async fn what_another_version_lost_is_read_there_once_and_not_counted() {
        let (_folder, shop) = shop().await;
        let name = crate::pack::load(&tiny(), false).unwrap().pack.data.name;
        let (train, test) = counted(&shop, None).await;
        let (version, data) = said(&shop, &name, "MIT").await;
        withdraw(&shop, data.prepared.train[0].leaf).await;
        assert_eq!(counted(&shop, None).await, (train - 1, test));
        // What was found is kept.
        objects::remove(&objects::path(shop.home(), &version.to_string())).unwrap();
        assert_eq!(counted(&shop, None).await, (train - 1, test));
        // A version of other data is not read for an estimate; what is known of it counts.
        let (other, data) = said(&shop, "letters", "CC0-1.0").await;
        withdraw(&shop, data.prepared.train[1].leaf).await;
        assert_eq!(counted(&shop, None).await, (train - 1, test));
        shop.gone(&[other]).await.unwrap().unwrap();
        assert_eq!(counted(&shop, None).await, (train - 2, test));
        shop.stop().await;
    }

    #[tokio::test]
    async fn tokens_are_not_counted_on_withdrawn_records_whatever_names_them() {
        let (_folder, shop) = shop().await;
        let pack = crate::pack::load(&tiny(), false).unwrap().pack;
        let (sealed, _, data) = sealed(&shop, |_| {});
        let train = &data.prepared.train;
        let here = Here {
            model: None,
            data: None,
            dataset: Some((objects::path(shop.home(), &sealed.digest.to_string()), 9, 3)),
            tokens_per_s: None,
            salt_seed: [0; 32],
            withdrawn: BTreeSet::from([train[0].leaf, content_of(&train[1].record).unwrap()]),
        };
        let (_, _, first) = lesson(&pack, &here).unwrap().unwrap();
        assert_eq!(first[0], train[2]);
        shop.stop().await;
    }

    #[test]
    fn what_the_data_are_refused_for_stands_at_its_setting() {
        let spec = |key: &str| DataError::Spec {
            key: key.to_owned(),
            reason: "it cannot be".to_owned(),
        };
        for (error, key) in [
            (spec("data.split.group"), "data.split.group"),
            (spec("data.split"), "records"),
            (spec("data.derive (label)"), "data.derive"),
            (
                DataError::Missing {
                    what: "a.tsv".to_owned(),
                    place: "here".to_owned(),
                    next: "name another".to_owned(),
                },
                "data.source",
            ),
        ] {
            let mistake = unusable(&error);
            assert_eq!(mistake.key, key);
            assert_eq!(mistake.code, error.code());
            assert!(!mistake.next.contains("command"), "{}", mistake.next);
        }
    }

    #[test]
    fn the_numbers_that_learn_are_those_of_the_engine() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/tiny-model");
        let config = lathe_engine::open(&path).unwrap().config;
        for (targets, dora) in [(vec!["q_proj"], false), (vec!["k_proj", "down_proj"], true)] {
            let spec = SftSpec {
                rank: 4,
                targets: targets.iter().map(|it| (*it).to_owned()).collect(),
                dora,
                ..SftSpec::default()
            };
            let adapter = Adapter::new(&config, &spec.lora(), 1).unwrap();
            let (numbers, bytes) = memory(&config, &spec);
            assert_eq!(numbers as usize, adapter.values.len(), "{targets:?}");
            assert!(bytes > 16 * numbers);
        }
    }
}
