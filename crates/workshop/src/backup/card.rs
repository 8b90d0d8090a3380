//! The list at the head of a backup: what is in it, and what may be.

use std::collections::BTreeMap;

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use serde::{Deserialize, Serialize};

use super::own::{self, BYTES};
use crate::bring::{CARD, is_id};

/// The name of the list in the archive.
pub(super) const NAME: &str = "backup.json";
/// The layout that this version writes.
pub(super) const VERSION: u32 = 3;
/// The oldest layout that it reads: nobody signed it; neither of the two before has what people brought.
const VERSION_OLDEST: u32 = 1;
/// Largest list that is read: about half a million files.
pub(super) const CARD_BYTES_MAX: u64 = 128 << 20;
/// What begins a file that is compressed with zstd (RFC 8878, 3.1.1).
pub(super) const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// The store.
pub(super) const STORE: &str = "store.sqlite";
/// The seed of the salts.
pub(super) const SEED: &str = "salt.seed";
/// Where artifacts lie.
pub(super) const OBJECTS: &str = "objects";
/// Where private keys lie.
pub(super) const KEYS: &str = "keys";
/// Where packs lie that were made here.
pub(super) const PACKS: &str = "packs";
/// Where files lie that come or came.
pub(super) const BROUGHT: &str = "brought";

/// `backup.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Card {
    /// The layout.
    pub(super) version: u32,
    /// The version of Lathe that made it.
    pub(super) lathe: String,
    /// When, milliseconds since 1970.
    pub(super) made_ms: i64,
    /// Whether private keys and the seed are in it.
    pub(super) with_keys: bool,
    /// The id of the key that signed this list; nobody did where the home had none that may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) signer: Option<Digest>,
    /// All files, sorted by their paths; the paths are those in the home.
    pub(super) content: Manifest,
}

/// Where a file of a backup goes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// A file of an artifact: the artifact's digest, and the path inside it.
    Object(Digest, String),
    /// A private key: the file's name.
    Key(String),
    /// The seed of the salts.
    Seed,
    /// The store.
    Store,
    /// A file of a pack: the path below the packs.
    Pack(String),
    /// The card of a file that was brought: its id.
    Card(String),
    /// A file that was brought: its id.
    Bytes(String),
}

impl Place {
    /// The place that a path names; `None` where a home has nothing of the kind.
    pub(super) fn of(path: &str) -> Option<Place> {
        match path.split_once('/') {
            None if path == STORE => Some(Place::Store),
            None if path == SEED => Some(Place::Seed),
            Some((KEYS, name)) if !name.contains('/') && name.ends_with(".key") => {
                Some(Place::Key(name.to_owned()))
            }
            Some((OBJECTS, rest)) => {
                let (digest, inside) = rest.split_once('/')?;
                Some(Place::Object(digest.parse().ok()?, inside.to_owned()))
            }
            Some((PACKS, inside)) => Some(Place::Pack(inside.to_owned())),
            Some((BROUGHT, rest)) => match rest.split_once('/')? {
                (id, name) if name == CARD && is_id(id) => Some(Place::Card(id.to_owned())),
                (id, name) if name == BYTES && is_id(id) => Some(Place::Bytes(id.to_owned())),
                _ => None,
            },
            _ => None,
        }
    }
}

impl Card {
    /// Holds the list against what a backup may be; gives the artifacts in it.
    ///
    /// # Errors
    /// A sentence that says what is wrong.
    pub(super) fn check(&self) -> Result<BTreeMap<Digest, Manifest>, String> {
        if !(VERSION_OLDEST..=VERSION).contains(&self.version) {
            return Err(format!(
                "it has the layout {}, this version reads {VERSION_OLDEST} to {VERSION}",
                self.version
            ));
        }
        let mut objects: BTreeMap<Digest, Vec<ManifestFile>> = BTreeMap::new();
        let mut has_store = false;
        for file in self.content.files() {
            match Place::of(&file.path) {
                None => return Err(format!("it lists {}, which no home has", file.path)),
                Some(Place::Store) => has_store = true,
                Some(Place::Seed | Place::Key(_)) if !self.with_keys => {
                    return Err(format!("it lists {} and says it has no keys", file.path));
                }
                Some(Place::Seed | Place::Key(_)) => {}
                // Counted by `own`.
                Some(Place::Pack(_) | Place::Card(_) | Place::Bytes(_)) => {}
                Some(Place::Object(digest, path)) => {
                    let file = ManifestFile {
                        path,
                        ..file.clone()
                    };
                    objects.entry(digest).or_default().push(file);
                }
            }
        }
        if !has_store {
            return Err(format!("it lists no {STORE}"));
        }
        own::check(self)?;
        objects
            .into_iter()
            .map(|(digest, files)| {
                let manifest = Manifest::new(files).map_err(|error| error.to_string())?;
                if manifest.digest() == digest {
                    Ok((digest, manifest))
                } else {
                    Err(format!("the files of {digest} are listed as other ones"))
                }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> ManifestFile {
        ManifestFile {
            path: path.to_owned(),
            size: 1,
            sha256: Digest::of(b"x"),
        }
    }

    fn card(paths: &[&str]) -> Card {
        Card {
            version: VERSION,
            lathe: "0".to_owned(),
            made_ms: 0,
            with_keys: false,
            signer: None,
            content: Manifest::new(paths.iter().map(|path| file(path)).collect()).unwrap(),
        }
    }

    #[test]
    fn only_what_a_home_has_may_be_listed() {
        let object = Manifest::new(vec![file("a/b.json")]).unwrap().digest();
        let inside = format!("objects/{object}/a/b.json");
        let sound = card(&[STORE, &inside]);
        assert_eq!(sound.check().unwrap().len(), 1);
        for odd in [
            "lock",
            "objects",
            "objects/x/a",
            "tmp/a",
            "keys/a/b.key",
            "keys/readme",
            "store.sqlite/a",
            "store.sqlite-wal",
        ] {
            assert!(card(&[STORE, odd]).check().is_err(), "{odd}");
        }
        assert!(card(&[&inside]).check().unwrap_err().contains("no store"));
        let other = format!("objects/{object}/a/c.json");
        let refused = card(&[STORE, &other]).check().unwrap_err();
        assert!(refused.contains("listed as other"), "{refused}");
    }

    #[test]
    fn keys_have_to_be_announced_and_other_layouts_are_not_read() {
        let mut keyed = card(&[STORE, SEED, "keys/workshop.key"]);
        assert!(keyed.check().unwrap_err().contains("has no keys"));
        keyed.with_keys = true;
        assert!(keyed.check().is_ok());
        keyed.version += 1;
        assert!(keyed.check().unwrap_err().contains("layout"));
    }
}
