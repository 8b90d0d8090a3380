//! Which base models of this workshop are the one that an order would start from: told by what is in their files, so
//! that the same model counts whatever it is called and wherever it came from.
//!
//! A model of this machine is hashed only where one here is as large. Of one that was never here nothing is known.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::manifest::Manifest;

use super::estimate::{LOOKED_AT_MAX, local};
use crate::error::WorkshopError;
use crate::models::{ModelKind, ModelsAsked};
use crate::objects;
use crate::pack::Pack;
use crate::people::{Right, reach};
use crate::steps::{digest, fetching};
use crate::workshop::Workshop;

/// The largest model that is hashed for an estimate: a second or two. Of a larger one the same source and size tell.
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
/// The store's; `home-io` where a file of the model cannot be read; `daemon-crashed`.
pub(super) async fn same(
    shop: &Workshop,
    pack: &Pack,
    folder: &Path,
) -> Result<HashSet<String>, WorkshopError> {
    let mut known = known(shop).await?;
    let spec = &pack.model;
    let source = spec.source.to_string();
    let path = local(&spec.source, folder).filter(|_| spec.source.inner.is_empty());
    let contents = match path {
        Some(path) => {
            let files: Vec<PathBuf> = fetching::files_of(&path)?.into_values().collect();
            let sizes = sizes(&files);
            known.retain(|it| it.is_as_large(&sizes));
            if known.is_empty() || sizes.iter().sum::<u64>() > HASHED_BYTES_MAX {
                known.retain(|it| it.source == source);
                return Ok(digests(known));
            }
            hashed(files).await?
        }
        None => {
            let pinned =
                |it: &&Known| matches!(it.contents[..], [(_, file)] if Some(file) == spec.sha256);
            let found = known.iter().find(|it| it.source == source);
            let found = found.or_else(|| known.iter().find(pinned));
            found.map(|it| it.contents.clone()).unwrap_or_default()
        }
    };
    known.retain(|it| !contents.is_empty() && it.contents == contents);
    Ok(digests(known))
}

/// The digests of the artifacts that hold the same model as this one.
///
/// # Errors
/// The store's.
pub(super) async fn like(
    shop: &Workshop,
    artifact: &str,
) -> Result<HashSet<String>, WorkshopError> {
    let mut known = known(shop).await?;
    let own = known.iter().find(|it| it.digest == artifact);
    let contents = own.map(|it| it.contents.clone());
    known.retain(|it| Some(&it.contents) == contents.as_ref());
    Ok(digests(known))
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

async fn hashed(files: Vec<PathBuf>) -> Result<Contents, WorkshopError> {
    let hash = move || -> Result<Contents, WorkshopError> {
        let each = files.iter().map(|path| objects::hash_file(path));
        let mut contents = each.collect::<Result<Contents, _>>()?;
        contents.sort_unstable();
        Ok(contents)
    };
    reach::spawn_blocking(hash).await.map_err(|error| {
        WorkshopError::new(
            "daemon-crashed",
            format!("hashing a base model stumbled: {error}"),
            "this is a mistake in Lathe; please report it",
        )
    })?
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::catalogue::ModelView;
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
    async fn ran(shop: &Workshop, source: &str, tokens_per_s: f64) {
        let built = shop.home().tmp().join("built");
        copied(&built, |_| {});
        let sealed = objects::seal(shop.home(), &built).unwrap();
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
}
