//! Registering a file of one's own as a dataset version, without an order: the
//! same reading, checking, deduping, splitting and sealing as the prepare step.

use std::path::Path;

use lathe_data::dataset::Dataset;
use lathe_data::prepare::{PrepareOptions, prepare};
use lathe_data::reader::{self, ReaderSpec};
use lathe_data::spec::{CheckSpec, DedupeSpec, SplitSpec};
use lathe_data::{DataSpec, Source};
use lathe_evidence::Digest;

use crate::catalogue::{DatasetRequest, DatasetView};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects::{self, Sealed};
use crate::order::{OrderId, StepError};
use crate::people::{Right, reach};
use crate::steps;
use crate::store::Change;
use crate::store::change::NewArtifact;
use crate::withdrawn::WithdrawnData;
use crate::workshop::Workshop;

/// Reads, seals and registers the file.
///
/// # Errors
/// `data-…` when it cannot be read; the home's and the store's.
pub(crate) async fn add(
    shop: &Workshop,
    request: DatasetRequest,
) -> Result<DatasetView, WorkshopError> {
    let project = shop.project_for(request.project.as_deref(), Right::Data)?;
    shop.reaches_file(&request.file)?;
    let home = shop.home().clone();
    let withdrawn = WithdrawnData::now(shop).await?;
    let built = reach::spawn_blocking(move || build(&home, &request, withdrawn))
        .await
        .map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("reading the file stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
    let (sealed, root) =
        built.map_err(|error| WorkshopError::new("data-add", error.text, error.next))?;
    let view = steps::prepare::view(shop.home(), sealed.digest, &root.to_string(), false)?;
    shop.apply(&[Change::DatasetAdded {
        artifact: Box::new(NewArtifact {
            digest: sealed.digest.to_string(),
            manifest: sealed.manifest,
        }),
        dataset: Box::new(view.clone()),
        project,
        at_ms: now_ms(),
    }])
    .await?;
    Ok(view)
}

fn build(
    home: &Home,
    request: &DatasetRequest,
    withdrawn: WithdrawnData,
) -> Result<(Sealed, Digest), StepError> {
    sealed(home, &request.file, spec_of(request)?, withdrawn)
}

/// Prepares a file by its specification and puts the dataset into its place; also gives its root.
///
/// # Errors
/// `data-…`, `dataset-withdrawn`; the file system's.
pub(crate) fn sealed(
    home: &Home,
    path: &Path,
    spec: DataSpec,
    withdrawn: WithdrawnData,
) -> Result<(Sealed, Digest), StepError> {
    let read = reader::read(path, &spec.reader)?;
    let (_, file) = objects::hash_file(path)?;
    withdrawn.refuse_file(&spec.name, &file)?;
    let encoding = read.encoding.to_string();
    let options = PrepareOptions {
        records_max: None,
        salt_seed: home.salt_seed()?,
        withdrawn: withdrawn.leaves,
    };
    let prepared = prepare(read, &spec, &options)?;
    let root = prepared.root;
    let dataset = Dataset {
        spec,
        file,
        encoding,
        prepared,
    };
    let folder = home.tmp().join(format!("dataset-{}", OrderId::new()));
    std::fs::create_dir_all(&folder)
        .map_err(|error| io_error("create the folder", &folder, &error))?;
    let sealed = dataset
        .save(&folder)
        .map_err(StepError::from)
        .and_then(|()| Ok(objects::seal(home, &folder)?));
    if sealed.is_err() {
        // Said already; what is left of the folder is swept by the next daemon at the latest.
        let _ = objects::remove(&folder);
    }
    Ok((sealed?, root))
}

fn spec_of(request: &DatasetRequest) -> Result<DataSpec, StepError> {
    Ok(DataSpec {
        name: request.name.clone(),
        source: source_of(&request.file)?,
        sha256: None,
        licence: request.licence.clone(),
        owner: request.owner.clone(),
        agreement: None,
        annotator: None,
        previous: None,
        reader: ReaderSpec::default(),
        check: CheckSpec::default(),
        dedupe: request.dedupe.clone().map(|by| DedupeSpec { by }),
        derive: Vec::new(),
        split: SplitSpec {
            group: request.group.clone(),
            ..SplitSpec::default()
        },
    })
}

/// The file's name only: no path of this machine enters a dataset.
fn source_of(file: &Path) -> Result<Source, StepError> {
    let name = file
        .file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    Ok(format!("file:{name}").parse::<Source>()?)
}
