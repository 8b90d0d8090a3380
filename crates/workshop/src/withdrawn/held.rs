//! How much of a dataset version was withdrawn since it was prepared, as lists, pages and estimates say it.
//!
//! A version never changes. Which of the withdrawn records it holds is looked up once in its folder and kept while the
//! process runs; after a later withdrawal that one alone is looked up. What was taken back as a whole needs no look.
//! Not here: what orders leave out ([`super::WithdrawnData`]), and whether a model may answer (`behind`).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use lathe_data::Dataset as Prepared;
use lathe_data::prepare::Split;
use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Withdrawal, Withdrawn};
use lathe_ledger::History;
use serde_json::Value;

use crate::catalogue::DatasetView;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects;
use crate::people::reach;
use crate::steps;
use crate::trace::Said;
use crate::workshop::Workshop;

/// Withdrawals that are told of one version.
const WITHDRAWALS_MAX: usize = 50;

/// How much of a version was withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// All of it: itself, its file, or its agreement.
    pub whole: bool,
    /// Single records to tune on.
    pub train: u64,
    /// Single records that are held out.
    pub test: u64,
}

impl Gone {
    /// How many records that is, of so many.
    fn of(self, records: u64) -> u64 {
        match self.whole {
            true => records,
            false => self.train + self.test,
        }
    }
}

/// Withdrawn records of a version, each with its side of the split.
type Sides = HashMap<Digest, Split>;

/// What was looked up of versions, by their digests.
#[derive(Debug, Default)]
pub(crate) struct Held {
    known: Mutex<HashMap<Digest, Known>>,
}

/// What was looked up of one version.
#[derive(Debug, Default)]
struct Known {
    /// What entries of the ledger before this one withdrew was looked up.
    entries: u64,
    sides: Sides,
}

impl Held {
    /// What has yet to be looked up: of each version the records that were withdrawn since.
    fn unknown(
        &self,
        versions: &[Digest],
        leaves: &[(u64, Digest)],
    ) -> Vec<(Digest, HashSet<Digest>)> {
        let known = self.lock();
        let of = |version: &Digest| {
            let entries = known.get(version).map_or(0, |it| it.entries);
            let since = leaves.iter().filter(|(entry, _)| *entry >= entries);
            let since: HashSet<Digest> = since.map(|(_, leaf)| *leaf).collect();
            (!since.is_empty()).then_some((*version, since))
        };
        versions.iter().filter_map(of).collect()
    }

    /// Keeps what was found of what so many entries withdrew.
    fn learn(&self, entries: u64, found: Vec<(Digest, Sides)>) {
        let mut known = self.lock();
        for (version, sides) in found {
            let of = known.entry(version).or_default();
            of.entries = of.entries.max(entries);
            of.sides.extend(sides);
        }
    }

    /// The records of a version that were looked up and found.
    fn sides(&self, version: &Digest) -> Sides {
        let known = self.lock();
        known
            .get(version)
            .map_or_else(Sides::new, |it| it.sides.clone())
    }

    /// How many records of a version are among these.
    fn count(&self, version: &Digest, leaves: &HashSet<Digest>) -> Gone {
        let mut gone = Gone::default();
        let known = self.lock();
        for (leaf, side) in known.get(version).into_iter().flat_map(|it| &it.sides) {
            match side {
                // Who withdrew it may have been voided since.
                _ if !leaves.contains(leaf) => {}
                Split::Train => gone.train += 1,
                Split::Test => gone.test += 1,
            }
        }
        gone
    }

    /// A panic elsewhere leaves it usable: what is not known is looked up.
    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ledger says was withdrawn.
struct Taken {
    /// Single records, each with the entry that says so.
    leaves: Vec<(u64, Digest)>,
    /// Datasets and agreements.
    wholes: Vec<Withdrawn>,
    /// How many entries it has.
    entries: u64,
}

impl Taken {
    fn of(history: &History) -> Taken {
        let (mut leaves, mut wholes) = (Vec::new(), Vec::new());
        for entry in history.of_kind("withdrawal") {
            let said = history.said::<Withdrawal>(&entry.link);
            match said.map(|it| &it.what) {
                Some(Withdrawn::Leaf(leaf)) => leaves.push((entry.index, *leaf)),
                Some(whole) => wholes.push(whole.clone()),
                None => {}
            }
        }
        Taken {
            leaves,
            wholes,
            entries: history.len(),
        }
    }

    /// Whether a version was taken back as a whole.
    fn is_whole(&self, history: &History, version: &Digest) -> bool {
        let none = Sides::new();
        let mut wholes = self.wholes.iter();
        wholes.any(|what| concerns(history, version, &none, what))
    }

    /// The single records.
    fn records(&self) -> HashSet<Digest> {
        self.leaves.iter().map(|(_, leaf)| *leaf).collect()
    }
}

/// Whether a withdrawal took something of a version, which has these of the withdrawn records.
fn concerns(history: &History, version: &Digest, sides: &Sides, what: &Withdrawn) -> bool {
    let said = |of: &Digest| {
        let entry = history.find("dataset", of)?;
        history.said::<Dataset>(&entry.link)
    };
    match what {
        Withdrawn::Leaf(leaf) => sides.contains_key(leaf),
        // It was taken back with every version of the same file.
        Withdrawn::Dataset(taken) => {
            let both = said(taken).zip(said(version));
            taken == version || both.is_some_and(|(taken, it)| taken.file == it.file)
        }
        Withdrawn::Agreement(name) => {
            said(version).is_some_and(|it| it.agreement.as_ref() == Some(name))
        }
    }
}

/// Looks these up. A version whose folder is not here, or cannot be read, tells nothing, and is asked again: what
/// rests on it is refused by its chain.
fn read(home: &Home, unknown: Vec<(Digest, HashSet<Digest>)>) -> Vec<(Digest, Sides)> {
    let of = |(version, leaves): (Digest, HashSet<Digest>)| {
        let folder = objects::path(home, &version.to_string());
        if !folder.is_dir() {
            return None;
        }
        let sides = Prepared::sides(&folder, &leaves)
            .inspect_err(|error| tracing::warn!(%version, %error, "its records cannot be read"));
        Some((version, sides.ok()?))
    };
    unknown.into_iter().filter_map(of).collect()
}

impl Workshop {
    /// How much of each of these versions was withdrawn; none where the ledger does not hold.
    ///
    /// # Errors
    /// `daemon-crashed`.
    pub(crate) async fn gone(
        &self,
        versions: &[Digest],
    ) -> Result<Option<Vec<Gone>>, WorkshopError> {
        let Ok(ledger) = self.store().ledger() else {
            return Ok(None);
        };
        let (taken, wholes) = {
            let history = ledger.read().await;
            let taken = Taken::of(&history);
            let wholes = versions.iter().map(|it| taken.is_whole(&history, it));
            let wholes: Vec<bool> = wholes.collect();
            (taken, wholes)
        };
        let unknown = self.held().unknown(versions, &taken.leaves);
        if !unknown.is_empty() {
            let home = self.home().clone();
            let found = reach::spawn_blocking(move || read(&home, unknown));
            let found = found.await.map_err(|error| {
                WorkshopError::new(
                    "daemon-crashed",
                    format!("looking withdrawn records up stumbled: {error}"),
                    "this is a mistake in Lathe; please report it",
                )
            })?;
            self.held().learn(taken.entries, found);
        }
        let records = taken.records();
        let gone = versions.iter().zip(wholes).map(|(version, whole)| Gone {
            whole,
            ..self.held().count(version, &records)
        });
        Ok(Some(gone.collect()))
    }

    /// Says of each of these versions how many of its records were withdrawn.
    ///
    /// # Errors
    /// `store-unreadable` where it was changed by hand; `daemon-crashed`.
    pub(crate) async fn say_withdrawn(
        &self,
        views: &mut [DatasetView],
    ) -> Result<(), WorkshopError> {
        let versions = views.iter().map(|it| steps::digest(&it.digest));
        let versions: Vec<Digest> = versions.collect::<Result<_, _>>()?;
        let gone = self.gone(&versions).await?;
        for (view, gone) in views.iter_mut().zip(gone.into_iter().flatten()) {
            let records = view.card.pointer("/statistics/records");
            view.withdrawn = Some(gone.of(records.and_then(Value::as_u64).unwrap_or_default()));
        }
        Ok(())
    }

    /// Says the same of one version, and what took them back.
    ///
    /// # Errors
    /// Those of [`Workshop::say_withdrawn`].
    pub(crate) async fn say_withdrawals(
        &self,
        view: &mut DatasetView,
    ) -> Result<(), WorkshopError> {
        self.say_withdrawn(std::slice::from_mut(view)).await?;
        let Ok(ledger) = self.store().ledger() else {
            return Ok(());
        };
        let version = steps::digest(&view.digest)?;
        let sides = self.held().sides(&version);
        let history = ledger.read().await;
        let entries = history.of_kind("withdrawal").rev();
        let said = entries.filter_map(|entry| Said::<Withdrawal>::of(&history, &entry.link));
        let said = said.filter(|it| concerns(&history, &version, &sides, &it.said.what));
        view.withdrawals = said.take(WITHDRAWALS_MAX).collect();
        Ok(())
    }

    /// Which of these records of a version were withdrawn: by themselves or with all of it. None where the ledger
    /// does not hold.
    pub(crate) async fn withdrawn_among(
        &self,
        version: &Digest,
        leaves: &[Digest],
    ) -> HashSet<Digest> {
        let Ok(ledger) = self.store().ledger() else {
            return HashSet::new();
        };
        let history = ledger.read().await;
        let taken = Taken::of(&history);
        if taken.is_whole(&history, version) {
            return leaves.iter().copied().collect();
        }
        let records = taken.records();
        let among = leaves.iter().filter(|it| records.contains(it));
        among.copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use lathe_evidence::statement::Scan;

    use super::*;
    use crate::catalogue::DatasetRequest;
    use crate::testing;

    /// A version of twenty records.
    async fn added(folder: &tempfile::TempDir, shop: &Workshop) -> (Digest, Prepared) {
        let file = folder.path().join("notes.csv");
        let rows: String = (0..20).map(|at| format!("note {at},{at}\n")).collect();
        fs::write(&file, format!("text,mean\n{rows}")).unwrap();
        let request = DatasetRequest {
            name: "notes".to_owned(),
            file,
            licence: "MIT".to_owned(),
            owner: "the ward".to_owned(),
            group: None,
            dedupe: None,
            project: None,
        };
        let view = shop.add_dataset(request).await.unwrap();
        let prepared = Prepared::load(&objects::path(shop.home(), &view.digest)).unwrap();
        (view.digest.parse().unwrap(), prepared)
    }

    async fn withdraw(shop: &Workshop, what: Withdrawn, subject: Digest) {
        let said = shop.apply_said(|speaker| {
            let said = Withdrawal {
                what,
                reason: "asked by its author".to_owned(),
                at_ms: speaker.at_ms(),
            };
            speaker.say("something", subject, said)?;
            Ok((Vec::new(), ()))
        });
        said.await.unwrap();
    }

    #[tokio::test]
    async fn a_version_says_how_many_of_its_records_were_withdrawn() {
        let (folder, shop) = testing::shop().await;
        let (version, data) = added(&folder, &shop).await;
        assert_eq!(shop.datasets(10, 0).await.unwrap()[0].withdrawn, Some(0));
        let (train, test) = (data.prepared.train[0].leaf, data.prepared.test[0].leaf);
        for leaf in [train, Digest::of(b"a record of another dataset")] {
            withdraw(&shop, Withdrawn::Leaf(leaf), leaf).await;
        }
        assert_eq!(shop.datasets(10, 0).await.unwrap()[0].withdrawn, Some(1));
        let view = shop.dataset(&version.to_string()).await.unwrap().unwrap();
        let said: Vec<&Withdrawn> = view.withdrawals.iter().map(|it| &it.said.what).collect();
        assert_eq!(said, [&Withdrawn::Leaf(train)]);
        // A later one is found too, though the version was looked up before.
        withdraw(&shop, Withdrawn::Leaf(test), test).await;
        let gone = shop.gone(&[version]).await.unwrap().unwrap()[0];
        let expected = Gone {
            whole: false,
            train: 1,
            test: 1,
        };
        assert_eq!(gone, expected);
        let other = data.prepared.train[1].leaf;
        let among = shop.withdrawn_among(&version, &[train, other]).await;
        assert_eq!(among, HashSet::from([train]));
        shop.stop().await;
    }

    #[tokio::test]
    async fn of_a_version_that_was_taken_back_as_a_whole_all_records_were() {
        let (folder, shop) = testing::shop().await;
        let (version, data) = added(&folder, &shop).await;
        let said = shop.apply_said(|speaker| {
            let said = Dataset {
                name: "notes".to_owned(),
                root: data.prepared.root,
                train: data.prepared.train.len() as u64,
                test: data.prepared.test.len() as u64,
                source: "file:notes.csv".to_owned(),
                file: data.file,
                licence: "MIT".to_owned(),
                owner: "the ward".to_owned(),
                agreement: Some("A-17".to_owned()),
                previous: None,
                scan: Scan {
                    version: 1,
                    ..Scan::default()
                },
                at_ms: speaker.at_ms(),
            };
            speaker.say("notes", version, said)?;
            Ok((Vec::new(), ()))
        });
        said.await.unwrap();
        let name = "A-17".to_owned();
        let subject = Digest::of(name.as_bytes());
        withdraw(&shop, Withdrawn::Agreement(name), subject).await;
        let view = shop.dataset(&version.to_string()).await.unwrap().unwrap();
        assert_eq!(view.withdrawn, Some(20));
        assert_eq!(view.withdrawals.len(), 1);
        let leaf = data.prepared.train[0].leaf;
        assert_eq!(shop.withdrawn_among(&version, &[leaf]).await.len(), 1);
        shop.stop().await;
    }
}
