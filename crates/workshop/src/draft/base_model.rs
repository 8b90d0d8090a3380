//! Which base models of this workshop are the one that an order would start from: told by what is in their files, so
//! that the same model counts whatever it is called and wherever it came from.
//!
//! A model of this machine is hashed only where one here is as large, and not again while it stays as it is
//! ([`super::hashed`]). Of one that was never here, or that cannot be read, nothing is known.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;

use super::estimate::{LOOKED_AT_MAX, local};
use super::hashed::Hashed;
use crate::error::WorkshopError;
use crate::models::{ModelKind, ModelsAsked};
use crate::pack::Pack;
use crate::people::{Right, reach};
use crate::steps::{digest, fetching};
use crate::workshop::Workshop;

/// The largest model that is hashed for an estimate: seconds, once. Of a larger one the same source and size tell.
const HASHED_BYTES_MAX: u64 = 2 << 30;

/// Sizes and digests of a model's files, in order; their names are left out.
type Contents = Vec<(u64, Digest)>;

/// A base model that is here.
struct Known {
    digest: String,
    source: String,
    contents: Contents,
}

impl Known {
    /// Whether its files are as large as these, which are in order.
    fn is_as_large(&self, sizes: &[u64]) -> bool {
        let own = self.contents.iter().map(|(size, _)| size);
        own.eq(sizes)
    }
}

/// The digests of the artifacts that hold the base model of this order.
///
/// # Errors
/// The store's; `daemon-crashed`.
pub(super) async fn same(
    shop: &Workshop,
    pack: &Pack,
    folder: &Path,
) -> Result<HashSet<String>, WorkshopError> {
    let mut known = known(shop).await?;
    let spec = &pack.model;
    let source = spec.source.to_string();
    let path = local(&spec.source, folder).filter(|_| spec.source.inner.is_empty());
    if let Some(path) = path {
        let shop = shop.clone();
        let look = move || lies_at(shop.hashed(), known, &path, &source);
        return reach::spawn_blocking(look).await.map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("hashing a base model stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        });
    }
    let pinned = |it: &&Known| matches!(it.contents[..], [(_, file)] if Some(file) == spec.sha256);
    let found = known.iter().find(|it| it.source == source);
    let found = found.or_else(|| known.iter().find(pinned));
    let contents = found.map(|it| it.contents.clone()).unwrap_or_default();
    known.retain(|it| !contents.is_empty() && it.contents == contents);
    Ok(digests(known))
}

/// Those that are the model at this path. Of one that cannot be read none is known to be: its step says why.
fn lies_at(hashed: &Hashed, mut known: Vec<Known>, path: &Path, source: &str) -> HashSet<String> {
    let files = fetching::files_of(path).unwrap_or_default();
    let files: Vec<PathBuf> = files.into_values().collect();
    let sizes = sizes(&files);
    known.retain(|it| !files.is_empty() && it.is_as_large(&sizes));
    if known.is_empty() || sizes.iter().sum::<u64>() > HASHED_BYTES_MAX {
        known.retain(|it| it.source == source);
        return digests(known);
    }
    let mut contents = hashed.of(&files).unwrap_or_default();
    contents.sort_unstable();
    known.retain(|it| it.contents == contents);
    digests(known)
}

/// The digests of the artifacts that hold the same model as this one: itself, whether or not it is among the newest,
/// and others.
///
/// # Errors
/// The store's.
pub(super) async fn like(
    shop: &Workshop,
    artifact: &str,
) -> Result<HashSet<String>, WorkshopError> {
    let mut same = HashSet::from([artifact.to_owned()]);
    // Without its manifest nothing tells which others are like it.
    if let Ok(manifest) = shop.store().manifest(&digest(artifact)?).await {
        let (own, mut known) = (contents(&manifest), known(shop).await?);
        known.retain(|it| it.contents == own);
        same.extend(digests(known));
    }
    Ok(same)
}

fn digests(known: Vec<Known>) -> HashSet<String> {
    known.into_iter().map(|it| it.digest).collect()
}

/// The newest base models that whoever asks may see.
async fn known(shop: &Workshop) -> Result<Vec<Known>, WorkshopError> {
    let asked = ModelsAsked {
        kind: Some(ModelKind::Base),
        text: None,
    };
    let (store, shown) = (shop.store(), reach::shown(Right::Look));
    let mut known = Vec::new();
    for model in store.models_asked(&asked, &shown, LOOKED_AT_MAX, 0).await? {
        // What cannot be read is no model that this order could be told to start from.
        let Ok(manifest) = store.manifest(&digest(&model.digest)?).await else {
            continue;
        };
        known.push(Known {
            digest: model.digest,
            source: model.source,
            contents: contents(&manifest),
        });
    }
    Ok(known)
}

fn contents(manifest: &Manifest) -> Contents {
    let files = manifest.files().iter();
    let mut contents: Contents = files.map(|file| (file.size, file.sha256)).collect();
    contents.sort_unstable();
    contents
}

/// In order; one that is not there has none.
fn sizes(files: &[PathBuf]) -> Vec<u64> {
    let size = |path: &PathBuf| path.metadata().map_or(0, |it| it.len());
    let mut sizes: Vec<u64> = files.iter().map(size).collect();
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::catalogue::ModelView;
    use crate::objects;
    use crate::order::{CurvePoint, OrderId, OrderRequest, OrderState, Output, StepName};
    use crate::store::Change;
    use crate::store::change::{Finished, NewArtifact, Registration};
    use crate::testing::{placed, shop};

    fn fixture(name: &str) -> PathBuf {
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
        fixtures.join(name)
    }

    /// Copies a model's folder; `change` is done to its weights.
    fn copied(to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        fs::create_dir_all(to).unwrap();
        for path in objects::entries(&fixture("tiny-model")).unwrap() {
            fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
        let weights = to.join("model.safetensors");
        let mut bytes = fs::read(&weights).unwrap();
        change(&mut bytes);
        fs::write(weights, bytes).unwrap();
    }

    /// Enters an order that is done and tuned this model at a speed.
    async fn ran(shop: &Workshop, source: &str, tokens_per_s: f64) -> String {
        let built = shop.home().tmp().join("built");
        copied(&built, |_| {});
        ran_on(shop, &built, source, tokens_per_s).await
    }

    /// The same of the model in this folder; gives its artifact.
    async fn ran_on(shop: &Workshop, built: &Path, source: &str, tokens_per_s: f64) -> String {
        let sealed = objects::seal(shop.home(), built).unwrap();
        let order = OrderId::new();
        let model = ModelView {
            digest: sealed.digest.to_string(),
            kind: "base".to_owned(),
            name: "tiny".to_owned(),
            source: source.to_owned(),
            licence: "CC0-1.0".to_owned(),
            owner: "its makers".to_owned(),
            bytes: sealed.bytes,
            demonstration: false,
            created_ms: 1,
        };
        let finished = Finished {
            order: order.clone(),
            step: StepName::Model,
            input: "0".repeat(64),
            output: Output::default(),
            artifact: Some(NewArtifact {
                digest: sealed.digest.to_string(),
                manifest: sealed.manifest,
            }),
            registers: vec![Registration::Model(model)],
        };
        let done = Change::StepDone {
            finished: Box::new(finished),
            at_ms: 2,
        };
        let point = CurvePoint {
            step: 1,
            steps: 1,
            tokens_per_s,
            ..CurvePoint::default()
        };
        let changes = [
            placed(&order),
            Change::StepBegins {
                order: order.clone(),
                step: StepName::Model,
                input: "0".repeat(64),
                at_ms: 2,
            },
            done,
            Change::Point {
                order: order.clone(),
                point,
            },
            Change::OrderIs {
                order,
                state: OrderState::Done,
                at_ms: 3,
            },
        ];
        shop.apply(&changes).await.unwrap();
        sealed.digest.to_string()
    }

    async fn speed(shop: &Workshop, source: &str) -> Option<f64> {
        let request = OrderRequest {
            pack: fixture("tiny-pack"),
            quick: false,
            offline: true,
            project: None,
            set: BTreeMap::from([("model.source".to_owned(), json!(source))]),
        };
        let plan = shop.plan(&request).await.unwrap();
        assert_eq!(plan.mistakes, []);
        plan.estimate.unwrap().tokens_per_s
    }

    #[tokio::test]
    async fn the_same_model_under_another_name_tells_how_fast_it_is() {
        let (folder, shop) = shop().await;
        ran(&shop, "pypi:tiny==1#model", 123.0).await;
        let at = |name: &str| folder.path().join(name);
        let source = |name: &str| format!("file:{}", at(name).display());
        copied(&at("renamed"), |_| {});
        assert_eq!(speed(&shop, &source("renamed")).await, Some(123.0));
        assert_eq!(speed(&shop, "pypi:tiny==1#model").await, Some(123.0));
        assert_eq!(speed(&shop, "pypi:tiny==2#model").await, None);
        // As large, and another one.
        copied(&at("other"), |bytes| *bytes.last_mut().unwrap() ^= 1);
        assert_eq!(speed(&shop, &source("other")).await, None);
        shop.stop().await;
    }

    /// What stands at the beginning of a process's memory cannot be read, whoever asks, and is as large as an empty one.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_model_that_cannot_be_read_is_planned_and_its_speed_is_not_known() {
        let (folder, shop) = shop().await;
        let (built, model) = (shop.home().tmp().join("built"), folder.path().join("model"));
        for made in [&built, &model] {
            fs::create_dir_all(made).unwrap();
        }
        fs::write(built.join("model.safetensors"), "").unwrap();
        ran_on(&shop, &built, "pypi:tiny==1#model", 123.0).await;
        let weights = model.join("model.safetensors");
        std::os::unix::fs::symlink("/proc/self/mem", &weights).unwrap();
        assert!(shop.hashed().of(&[weights]).is_err());
        let source = format!("file:{}", model.display());
        assert_eq!(speed(&shop, &source).await, None);
        shop.stop().await;
    }

    #[tokio::test]
    async fn a_model_is_like_itself_and_like_those_with_its_files() {
        let (_folder, shop) = shop().await;
        let artifact = ran(&shop, "pypi:tiny==1#model", 123.0).await;
        let own = HashSet::from([artifact.clone()]);
        assert_eq!(like(&shop, &artifact).await.unwrap(), own);
        // One that is not listed: of another project, or older than what is looked at.
        let other = Digest::of(b"a base model").to_string();
        let own = HashSet::from([other.clone()]);
        assert_eq!(like(&shop, &other).await.unwrap(), own);
        shop.stop().await;
    }
}
