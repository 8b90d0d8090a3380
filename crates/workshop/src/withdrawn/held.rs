//! How much of a dataset version was withdrawn since it was prepared, as lists, pages and estimates say it.
//!
//! A version never changes. Which of the withdrawn records it holds is looked up once in its folder and kept while the
//! process runs, of so many versions; after a later withdrawal that one alone is looked up. Versions are read by one at
//! a time: whoever wants the same meanwhile waits and finds it. What was taken back as a whole needs no look.
//! Not here: what orders leave out ([`super::WithdrawnData`]), and whether a model may answer (`behind`).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lathe_data::Dataset as Prepared;
use lathe_data::dataset::Place;
use lathe_data::prepare::Split;
use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Link, Withdrawal, Withdrawn};
use lathe_ledger::History;
use serde_json::Value;

use crate::catalogue::DatasetView;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::objects;
use crate::people::reach;
use crate::steps;
use crate::trace::{Said, WithdrawnView};
use crate::workshop::Workshop;

/// Withdrawals that are told of one version.
const WITHDRAWALS_MAX: usize = 50;
/// Versions of which is kept what was looked up, more than any list shows; of one more, the one that was not asked for
/// longest is forgotten.
const VERSIONS_MAX: usize = 2_000;
/// Versions of one source that an estimate looks into.
const LIKE_MAX: usize = 100;

/// How much of a version was withdrawn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// All of it: itself, its file, or its agreement.
    pub whole: bool,
    /// Single records to tune on.
    pub train: u64,
    /// Single records that are held out.
    pub test: u64,
    /// Whether that is not known of later withdrawals, since its records cannot be read.
    pub unread: bool,
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

/// Withdrawn records of a version, by their leaves.
type Records = HashMap<Digest, Place>;

/// What was looked up of versions. Of each it is no more than the ledger withdrew.
#[derive(Debug, Default)]
pub(crate) struct Held {
    kept: Mutex<Kept>,
    /// Held while versions are read.
    reading: Mutex<()>,
}

#[derive(Debug, Default)]
struct Kept {
    versions: HashMap<Digest, Known>,
    /// How often was asked.
    asked: u64,
}

/// What was looked up of one version.
#[derive(Debug, Default)]
struct Known {
    /// What entries of the ledger before this one withdrew was looked up.
    entries: u64,
    /// How many entries the ledger had when the version could not be read.
    unreadable: u64,
    records: Arc<Records>,
    /// The number of the question that it was asked for last.
    asked: u64,
}

impl Held {
    /// What has yet to be looked up: of each version the records that were withdrawn since. One that could not be
    /// read is not tried again before the ledger has another entry.
    fn unknown(&self, versions: &[Digest], taken: &Taken) -> Vec<(Digest, HashSet<Digest>)> {
        let mut kept = self.lock();
        kept.asked += 1;
        let asked = kept.asked;
        let of = |version: &Digest| {
            let known = kept.versions.get_mut(version);
            let (entries, unreadable) = known.map_or((0, 0), |it| {
                it.asked = asked;
                (it.entries, it.unreadable)
            });
            let since = taken.leaves.partition_point(|(entry, _)| *entry < entries);
            let since = taken.leaves[since..].iter().map(|(_, leaf)| *leaf);
            let since: HashSet<Digest> = since.collect();
            (unreadable < taken.entries && !since.is_empty()).then_some((*version, since))
        };
        versions.iter().filter_map(of).collect()
    }

    /// Keeps what was found of what so many entries withdrew; none where the version could not be read.
    fn learn(&self, version: Digest, entries: u64, found: Option<Records>) {
        let mut kept = self.lock();
        let kept = &mut *kept;
        if kept.versions.len() >= VERSIONS_MAX && !kept.versions.contains_key(&version) {
            let oldest = kept.versions.iter().min_by_key(|(_, it)| it.asked);
            let oldest = oldest.map(|(version, _)| *version);
            if let Some(oldest) = oldest {
                kept.versions.remove(&oldest);
            }
        }
        let known = kept.versions.entry(version).or_default();
        known.asked = kept.asked;
        match found {
            Some(records) => {
                known.entries = known.entries.max(entries);
                Arc::make_mut(&mut known.records).extend(records);
            }
            None => known.unreadable = known.unreadable.max(entries),
        }
    }

    /// Reads what has yet to be looked up.
    fn look_up(&self, home: &Home, versions: &[Digest], taken: &Taken) {
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        for (version, leaves) in self.unknown(versions, taken) {
            self.learn(version, taken.entries, read(home, &version, &leaves));
        }
    }

    /// The records of a version that were looked up and found.
    fn records(&self, version: &Digest) -> Arc<Records> {
        let kept = self.lock();
        let known = kept.versions.get(version);
        known.map_or_else(Arc::default, |it| it.records.clone())
    }

    /// How many records of a version are among these.
    fn count(&self, version: &Digest, leaves: &HashSet<Digest>) -> Gone {
        let mut gone = Gone::default();
        for (leaf, place) in self.records(version).iter() {
            match place.split {
                // Who withdrew it may have been voided since.
                _ if !leaves.contains(leaf) => {}
                Split::Train => gone.train += 1,
                Split::Test => gone.test += 1,
            }
        }
        let kept = self.lock();
        let known = kept.versions.get(version);
        gone.unread = known.is_some_and(|it| it.unreadable > it.entries);
        gone
    }

    /// The contents of these records, as far as a version was looked up that holds them.
    fn contents(&self, leaves: &HashSet<Digest>) -> BTreeSet<Digest> {
        let kept = self.lock();
        let records = kept.versions.values().flat_map(|it| it.records.iter());
        let among = records.filter(|(leaf, _)| leaves.contains(leaf));
        among.map(|(_, place)| place.content).collect()
    }

    /// A panic elsewhere leaves it usable: what is not known is looked up.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the ledger says was withdrawn.
struct Taken {
    /// Single records, each with the entry that says so, in the ledger's order.
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
        let none = Records::new();
        let mut wholes = self.wholes.iter();
        wholes.any(|what| concerns(history, version, &none, what))
    }

    /// The single records.
    fn records(&self) -> HashSet<Digest> {
        self.leaves.iter().map(|(_, leaf)| *leaf).collect()
    }
}

/// Whether a withdrawal took something of a version, which has these of the withdrawn records.
fn concerns(history: &History, version: &Digest, records: &Records, what: &Withdrawn) -> bool {
    let said = |of: &Digest| {
        let entry = history.find("dataset", of)?;
        history.said::<Dataset>(&entry.link)
    };
    match what {
        Withdrawn::Leaf(leaf) => records.contains_key(leaf),
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

/// Looks these up. A version whose folder is not here, or cannot be read, tells nothing: what rests on it is refused
/// by its chain.
fn read(home: &Home, version: &Digest, leaves: &HashSet<Digest>) -> Option<Records> {
    let folder = objects::path(home, &version.to_string());
    if !folder.is_dir() {
        return None;
    }
    Prepared::places(&folder, leaves)
        .inspect_err(|error| tracing::warn!(%version, %error, "its records cannot be read"))
        .ok()
}

impl Workshop {
    /// Looks up in these versions what of them was withdrawn, so far as that is not known.
    async fn look_up(&self, versions: &[Digest], taken: &Arc<Taken>) -> Result<(), WorkshopError> {
        if self.held().unknown(versions, taken).is_empty() {
            return Ok(());
        }
        let (shop, versions, taken) = (self.clone(), versions.to_vec(), taken.clone());
        let look = move || shop.held().look_up(shop.home(), &versions, &taken);
        reach::spawn_blocking(look).await.map_err(|error| {
            WorkshopError::new(
                "daemon-crashed",
                format!("looking withdrawn records up stumbled: {error}"),
                "this is a mistake in Lathe; please report it",
            )
        })
    }

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
            (Arc::new(taken), wholes)
        };
        self.look_up(versions, &taken).await?;
        let records = taken.records();
        let gone = versions.iter().zip(wholes).map(|(version, whole)| Gone {
            whole,
            ..self.held().count(version, &records)
        });
        Ok(Some(gone.collect()))
    }

    /// The withdrawn records, as preparing data of this source and name compares them: by their leaves, and by their
    /// contents, which the newest versions of the same source or name are asked for. Of other versions those are
    /// told that were looked up before; an order asks every one ([`super::WithdrawnData`]).
    ///
    /// # Errors
    /// `ledger-broken`; `daemon-crashed`.
    pub(crate) async fn withdrawn_from(
        &self,
        source: &str,
        name: &str,
    ) -> Result<BTreeSet<Digest>, WorkshopError> {
        let (taken, versions) = {
            let history = self.store().ledger()?.read().await;
            let is_like = |link: &Link| {
                let said = history.said::<Dataset>(link);
                said.is_some_and(|it| it.source == source || it.name == name)
            };
            let entries = history.of_kind("dataset").rev();
            let like = entries.filter(|entry| is_like(&entry.link));
            let versions = like.map(|entry| entry.statement.subject());
            let versions: BTreeSet<Digest> = versions.take(LIKE_MAX).collect();
            (Arc::new(Taken::of(&history)), versions)
        };
        let versions: Vec<Digest> = versions.into_iter().collect();
        self.look_up(&versions, &taken).await?;
        let leaves = taken.records();
        let mut withdrawn = self.held().contents(&leaves);
        withdrawn.extend(leaves);
        Ok(withdrawn)
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
        let version = steps::digest(&view.digest)?;
        let taken = self.took_back(&[version]).await;
        view.withdrawals = taken.into_iter().map(|it| it.withdrawal).collect();
        Ok(())
    }

    /// What took these versions back, or records of them, the newest first and at most 50; nothing where the ledger
    /// does not hold.
    ///
    /// # Errors
    /// `daemon-crashed`.
    pub(crate) async fn withdrawals_of(
        &self,
        versions: &[Digest],
    ) -> Result<Vec<WithdrawnView>, WorkshopError> {
        self.gone(versions).await?;
        Ok(self.took_back(versions).await)
    }

    /// The same of versions that were looked up.
    async fn took_back(&self, versions: &[Digest]) -> Vec<WithdrawnView> {
        let Ok(ledger) = self.store().ledger() else {
            return Vec::new();
        };
        let records: Vec<_> = versions.iter().map(|it| self.held().records(it)).collect();
        let history = ledger.read().await;
        let mut found = Vec::new();
        for entry in history.of_kind("withdrawal").rev() {
            let Some(withdrawal) = Said::<Withdrawal>::of(&history, &entry.link) else {
                continue;
            };
            for (version, records) in versions.iter().zip(&records) {
                if concerns(&history, version, records, &withdrawal.said.what) {
                    found.push(WithdrawnView {
                        dataset: *version,
                        withdrawal: withdrawal.clone(),
                    });
                }
            }
            if found.len() >= WITHDRAWALS_MAX {
                break;
            }
        }
        found.truncate(WITHDRAWALS_MAX);
        found
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
    use std::os::unix::fs::PermissionsExt as _;

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
        let versions = [Digest::of(b"another version"), version];
        let taken = shop.withdrawals_of(&versions).await.unwrap();
        let of: Vec<Digest> = taken.iter().map(|it| it.dataset).collect();
        assert_eq!(of, [version]);
        // A later one is found too, though the version was looked up before.
        withdraw(&shop, Withdrawn::Leaf(test), test).await;
        let gone = shop.gone(&[version]).await.unwrap().unwrap()[0];
        let expected = Gone {
            whole: false,
            train: 1,
            test: 1,
            unread: false,
        };
        assert_eq!(gone, expected);
        let other = data.prepared.train[1].leaf;
        let among = shop.withdrawn_among(&version, &[train, other]).await;
        assert_eq!(among, HashSet::from([train]));
        shop.stop().await;
    }

    /// Reading it on every list would say the same, and cost as much again.
    #[tokio::test]
    async fn a_version_that_cannot_be_read_is_tried_again_after_the_next_entry() {
        let (folder, shop) = testing::shop().await;
        let (version, data) = added(&folder, &shop).await;
        let artifact = objects::path(shop.home(), &version.to_string());
        let away = folder.path().join("away");
        fs::set_permissions(&artifact, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&artifact, &away).unwrap();
        let leaf = data.prepared.train[0].leaf;
        withdraw(&shop, Withdrawn::Leaf(leaf), leaf).await;
        let withdrawn = async || shop.datasets(10, 0).await.unwrap()[0].withdrawn;
        assert_eq!(withdrawn().await, Some(0));
        fs::rename(&away, &artifact).unwrap();
        assert_eq!(withdrawn().await, Some(0), "it was read again");
        let other = Digest::of(b"a record of another dataset");
        withdraw(&shop, Withdrawn::Leaf(other), other).await;
        assert_eq!(withdrawn().await, Some(1));
        // What was found is kept: nothing is read any more.
        fs::rename(&artifact, &away).unwrap();
        assert_eq!(withdrawn().await, Some(1));
        fs::rename(&away, &artifact).unwrap();
        shop.stop().await;
    }

    #[tokio::test]
    async fn a_plain_list_asks_nothing_of_the_ledger() {
        let (folder, shop) = testing::shop().await;
        let (version, data) = added(&folder, &shop).await;
        let leaf = data.prepared.train[0].leaf;
        withdraw(&shop, Withdrawn::Leaf(leaf), leaf).await;
        let versions = shop.versions(10, 0).await.unwrap();
        assert_eq!(versions[0].digest, version.to_string());
        assert_eq!(versions[0].withdrawn, None);
        assert!(shop.held().records(&version).is_empty());
        shop.stop().await;
    }

    #[test]
    fn of_no_more_versions_than_stated_is_kept_what_was_looked_up() {
        let held = Held::default();
        let leaf = Digest::of(b"a record");
        let taken = Taken {
            leaves: vec![(0, leaf)],
            wholes: Vec::new(),
            entries: 1,
        };
        let place = Place {
            split: Split::Train,
            content: leaf,
        };
        let version = |at: usize| Digest::of(&at.to_le_bytes());
        for at in 0..=VERSIONS_MAX {
            // The first is asked for all the time.
            held.unknown(&[version(0)], &taken);
            held.learn(version(at), 1, Some(Records::from([(leaf, place)])));
        }
        assert_eq!(held.lock().versions.len(), VERSIONS_MAX);
        let known = [version(0), version(2), version(VERSIONS_MAX)];
        assert!(held.unknown(&known, &taken).is_empty());
        let forgotten = [version(1)];
        assert_eq!(held.unknown(&forgotten, &taken).len(), 1);
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
