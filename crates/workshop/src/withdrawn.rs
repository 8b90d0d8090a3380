//! What was withdrawn, as orders heed it: single records are left out when data is prepared, and an
//! order whose whole dataset or agreement was taken back is refused before it reads anything of it.
//! How much of a version was withdrawn, as pages say it, stands in [`held`].

pub(crate) mod held;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use lathe_data::dataset as prepared;
use lathe_data::prepare::leaf_of;
use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Withdrawal, Withdrawn};
use lathe_ledger::History;

use crate::error::WorkshopError;
use crate::objects;
use crate::people::reach;
use crate::workshop::Workshop;

/// All that was withdrawn in this workshop.
#[derive(Debug, Clone, Default)]
pub struct WithdrawnData {
    /// Records, by their leaves, and by their contents where a dataset here still has them: under other
    /// terms or from another source a record has another leaf, and is the same record.
    pub leaves: BTreeSet<Digest>,
    /// Whole datasets, by the digest of the file they were read from.
    files: BTreeMap<Digest, TakenBack>,
    /// Agreements, by name.
    agreements: BTreeMap<String, TakenBack>,
}

/// A whole that was taken back.
#[derive(Debug, Clone)]
struct TakenBack {
    entry: u64,
    reason: String,
}

impl WithdrawnData {
    /// What the ledger says now.
    ///
    /// # Errors
    /// `ledger-broken`.
    pub(crate) async fn now(shop: &Workshop) -> Result<Self, WorkshopError> {
        let (mut found, folders) = {
            let history = shop.store().ledger()?.read().await;
            let datasets = history.of_kind("dataset");
            let digests = datasets.map(|entry| entry.statement.subject().to_string());
            let folders = digests.map(|digest| objects::path(shop.home(), &digest));
            (Self::of(&history), folders.collect::<BTreeSet<PathBuf>>())
        };
        if found.leaves.is_empty() {
            return Ok(found);
        }
        reach::spawn_blocking(move || {
            let leaves: HashSet<Digest> = found.leaves.iter().copied().collect();
            let contents: Vec<_> = folders
                .iter()
                .flat_map(|folder| contents(folder, &leaves))
                .collect();
            found.leaves.extend(contents);
            found
        })
        .await
        .map_err(|error| WorkshopError::new("daemon-crashed", error.to_string(), ""))
    }

    fn of(history: &History) -> Self {
        let mut found = Self::default();
        for entry in history.of_kind("withdrawal") {
            let Some(said) = history.said::<Withdrawal>(&entry.link) else {
                continue;
            };
            let whole = TakenBack {
                entry: entry.index,
                reason: said.reason.clone(),
            };
            match &said.what {
                Withdrawn::Leaf(leaf) => found.leaves.extend([*leaf]),
                Withdrawn::Agreement(name) => found.agreements.extend([(name.clone(), whole)]),
                Withdrawn::Dataset(digest) => {
                    let known = history.find("dataset", digest);
                    let known = known.and_then(|it| history.said::<Dataset>(&it.link));
                    found.files.extend(known.map(|it| (it.file, whole)));
                }
            }
        }
        found
    }

    /// Refuses data under an agreement that was withdrawn.
    ///
    /// # Errors
    /// `agreement-withdrawn`.
    pub(crate) fn refuse_agreement(
        &self,
        data: &str,
        agreement: Option<&str>,
    ) -> Result<(), WorkshopError> {
        let Some((name, taken)) = agreement.and_then(|it| self.agreements.get_key_value(it)) else {
            return Ok(());
        };
        Err(WorkshopError::new(
            "agreement-withdrawn",
            format!(
                "the agreement {name:?}, under which {data} was to be used, was withdrawn in entry {} of the ledger: {}",
                taken.entry, taken.reason
            ),
            "name data that may be used in `data.source`, or the agreement that holds now in `data.agreement`",
        ))
    }

    /// Refuses a file of which a dataset was withdrawn as a whole.
    ///
    /// # Errors
    /// `dataset-withdrawn`.
    pub(crate) fn refuse_file(&self, data: &str, file: &Digest) -> Result<(), WorkshopError> {
        let Some(taken) = self.files.get(file) else {
            return Ok(());
        };
        Err(WorkshopError::new(
            "dataset-withdrawn",
            format!(
                "the dataset {data}, read from the file {}, was withdrawn as a whole in entry {} of the ledger: {}",
                file.short(),
                taken.entry,
                taken.reason
            ),
            "name another file in `data.source`; what was taken back as a whole is not used again",
        ))
    }
}

/// The contents of the withdrawn records that the dataset in `folder` holds. One that cannot be read
/// adds none: what rests on it is refused by its chain.
fn contents(folder: &Path, leaves: &HashSet<Digest>) -> Vec<Digest> {
    let found = prepared::Dataset::find(folder, leaves).unwrap_or_default();
    if found.is_empty() {
        return Vec::new();
    }
    let Ok(summary) = prepared::Dataset::load_summary(folder) else {
        return Vec::new();
    };
    found
        .iter()
        .map(|it| &it.sealed)
        .filter_map(|sealed| leaf_of(&sealed.record, &summary.spec, &sealed.risk).ok())
        .map(|leaf| leaf.content)
        .collect()
}
