//! What people brought and made here, in a backup: `packs/`, and the files of `brought/` of which nothing was
//! made yet.
//!
//! Packs are files that anybody edits and the store knows nothing of: they are listed as they lie, and held
//! to that while they are written. A file that comes only grows: its beginning, as long as it is when it is
//! listed, is saved, and it goes on from there. Its own name may be longer than an archive takes, so it is
//! [`BYTES`] there, and the card beside it tells its name.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::manifest::ManifestFile;

use super::card::{BROUGHT, Card, PACKS, Place};
use super::save::{Lies, Source, hashed};
use crate::bring::{self, BROUGHT_BYTES_MAX, BROUGHT_MAX, CARD, CARD_BYTES_MAX, Kept};
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;

/// What a file that comes is called in a backup.
pub(super) const BYTES: &str = "bytes";
/// The most files that packs have together.
pub(super) const PACK_FILES_MAX: usize = 10_000;

/// All of it, by the paths in the backup.
pub(super) fn sources(home: &Home) -> Result<Vec<Source>, WorkshopError> {
    let mut sources = packs(home)?;
    for kept in bring::kept(home)? {
        sources.extend(brought(kept)?);
    }
    Ok(sources)
}

fn packs(home: &Home) -> Result<Vec<Source>, WorkshopError> {
    let folder = home.packs();
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let before = objects::entries(&folder)?;
    let files = objects::files_under(&folder)?;
    if files.len() > PACK_FILES_MAX {
        return Err(unsaved(
            &folder,
            &format!("it has {} files, more than {PACK_FILES_MAX}", files.len()),
            "move what is no pack out of it",
        ));
    }
    let mut sources = Vec::new();
    for path in files {
        let name = path.strip_prefix(home.root()).ok().and_then(Path::to_str);
        let name = name.ok_or_else(|| {
            let next = "give it a name in UTF-8";
            unsaved(&path, "its name is no text", next)
        })?;
        sources.push(hashed(&path, name.to_owned())?);
    }
    // The next version of a pack takes its place by two moves, between which there is none.
    match objects::entries(&folder)? == before {
        true => Ok(sources),
        false => Err(changed(&folder, "packs came or went")),
    }
}

/// The card and the file.
fn brought(kept: Kept) -> Result<[Source; 2], WorkshopError> {
    let fail = |error: io::Error| io_error("read", &kept.path, &error);
    let size = kept.bytes.metadata().map_err(fail)?.len();
    let mut beginning = (&kept.bytes).take(size);
    let (size, sha256) = objects::copy_hashed(&mut beginning, &mut io::sink()).map_err(fail)?;
    let listed = |name: &str, size: u64, sha256: Digest| ManifestFile {
        path: format!("{BROUGHT}/{}/{name}", kept.id),
        size,
        sha256,
    };
    let card = listed(CARD, kept.card.len() as u64, Digest::of(&kept.card));
    let bytes = listed(BYTES, size, sha256);
    let beside = kept.path.with_file_name(CARD);
    Ok([
        Source {
            path: beside,
            lies: Lies::Here(kept.card),
            listed: card,
        },
        Source {
            path: kept.path,
            lies: Lies::Open(kept.bytes),
            listed: bytes,
        },
    ])
}

/// A file of a pack is another than the one that was listed a moment ago.
pub(super) fn changed(path: &Path, reason: &str) -> WorkshopError {
    let reason = format!("it changed meanwhile: {reason}");
    unsaved(path, &reason, "run the command again")
}

fn unsaved(path: &Path, reason: &str, next: &str) -> WorkshopError {
    let text = format!("cannot save {}: {reason}", path.display());
    WorkshopError::new("backup-packs", text, next)
}

/// Holds what a list has of it within its bounds.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn check(card: &Card) -> Result<(), String> {
    let mut pack_files = 0;
    let mut brought: BTreeMap<String, usize> = BTreeMap::new();
    for file in card.content.files() {
        let bytes_max = match Place::of(&file.path) {
            Some(Place::Pack(_)) => {
                pack_files += 1;
                continue;
            }
            Some(Place::Card(id)) => {
                *brought.entry(id).or_default() += 1;
                CARD_BYTES_MAX
            }
            Some(Place::Bytes(id)) => {
                *brought.entry(id).or_default() += 1;
                BROUGHT_BYTES_MAX
            }
            _ => continue,
        };
        if file.size > bytes_max {
            return Err(format!("{} has more than {bytes_max} bytes", file.path));
        }
    }
    if pack_files > PACK_FILES_MAX {
        return Err(format!("its packs have more than {PACK_FILES_MAX} files"));
    }
    if brought.len() > BROUGHT_MAX {
        return Err(format!("more than {BROUGHT_MAX} files were brought in it"));
    }
    match brought.iter().find(|(_, parts)| **parts != 2) {
        Some((id, _)) => Err(format!("{BROUGHT}/{id} has no card, or nothing else")),
        None => Ok(()),
    }
}

/// Gives the files in `scratch` that were brought their names again.
///
/// # Errors
/// A sentence that says what is wrong.
pub(super) fn name_again(scratch: &Path, card: &Card) -> Result<(), String> {
    for file in card.content.files() {
        if let Some(Place::Card(id)) = Place::of(&file.path) {
            let folder = scratch.join(BROUGHT).join(&id);
            let named = bring::name_again(&folder, BYTES);
            named.map_err(|reason| format!("{BROUGHT}/{id}/{reason}"))?;
        }
    }
    Ok(())
}

/// Puts both folders into their places, which are empty or not there.
pub(super) fn put(home: &Home, scratch: &Path) -> Result<(), WorkshopError> {
    for (name, place) in [(PACKS, home.packs()), (BROUGHT, home.brought())] {
        let built = scratch.join(name);
        if built.is_dir() {
            let moved = sync(&built).and_then(|()| fs::rename(&built, &place));
            moved.map_err(|error| io_error("move into place", &place, &error))?;
        }
    }
    Ok(())
}

/// Makes the names below a folder durable; the bytes are.
fn sync(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync(&entry.path())?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use lathe_evidence::manifest::Manifest;
    use serde_json::json;

    use super::super::card::{STORE, VERSION};
    use super::*;

    const ID: &str = "0197a4c0d1e27b3f8a5c6d7e8f901234";

    fn file(path: &str, size: u64) -> ManifestFile {
        ManifestFile {
            path: path.to_owned(),
            size,
            sha256: Digest::of(b"x"),
        }
    }

    fn card(mut files: Vec<ManifestFile>) -> Card {
        files.push(file(STORE, 1));
        Card {
            version: VERSION,
            lathe: "0".to_owned(),
            made_ms: 0,
            with_keys: false,
            signer: None,
            content: Manifest::new(files).unwrap(),
        }
    }

    fn pair(id: &str) -> [ManifestFile; 2] {
        [CARD, BYTES].map(|name| file(&format!("{BROUGHT}/{id}/{name}"), 1))
    }

    #[test]
    fn what_was_brought_is_a_card_and_a_file_and_bounded() {
        let sound = card(
            [file("packs/ours/more/a.csv", 1)]
                .into_iter()
                .chain(pair(ID))
                .collect(),
        );
        assert_eq!(sound.check(), Ok(BTreeMap::new()));
        for odd in ["brought/x/bytes", "brought/a.csv", "packs"] {
            assert!(card(vec![file(odd, 1)]).check().is_err(), "{odd}");
        }
        let named = format!("{BROUGHT}/{ID}/reviews.csv");
        assert!(card(vec![file(&named, 1)]).check().is_err());
        for half in pair(ID) {
            let refused = card(vec![half]).check().unwrap_err();
            assert!(refused.contains("no card"), "{refused}");
        }
        let [list, bytes] = pair(ID);
        for (list_bytes, file_bytes) in [(CARD_BYTES_MAX + 1, 1), (1, BROUGHT_BYTES_MAX + 1)] {
            let files = vec![file(&list.path, list_bytes), file(&bytes.path, file_bytes)];
            let refused = card(files).check().unwrap_err();
            assert!(refused.contains("more than"), "{refused}");
        }
        let brought = |many: usize| (0..many).flat_map(|at| pair(&format!("{at:032x}")));
        assert!(card(brought(BROUGHT_MAX).collect()).check().is_ok());
        assert!(card(brought(BROUGHT_MAX + 1).collect()).check().is_err());
        let packs = |many: usize| (0..many).map(|at| file(&format!("packs/ours/{at}"), 1));
        assert!(card(packs(PACK_FILES_MAX).collect()).check().is_ok());
        assert!(card(packs(PACK_FILES_MAX + 1).collect()).check().is_err());
    }

    #[test]
    fn a_card_that_names_another_place_is_refused() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = scratch.path().join(BROUGHT).join(ID);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(BYTES), "a").unwrap();
        let listed = card(pair(ID).into());
        let told = |name: &str| {
            let card = json!({
                "name": name, "bytes": null, "sha256": null, "complete": false, "created_ms": 1,
            });
            fs::write(folder.join(CARD), card.to_string()).unwrap();
            name_again(scratch.path(), &listed)
        };
        for name in [
            "../../keys/a.csv",
            "/tmp/a.csv",
            "card.json",
            "a",
            "a.key",
            ".csv",
        ] {
            let refused = told(name).unwrap_err();
            assert!(refused.contains("nobody brings"), "{name}: {refused}");
        }
        assert!(folder.join(BYTES).exists());
        assert_eq!(told("reviews.csv"), Ok(()));
        assert!(folder.join("reviews.csv").exists() && !folder.join(BYTES).exists());
        fs::write(folder.join(CARD), " ".repeat(5000)).unwrap();
        assert!(name_again(scratch.path(), &listed).is_err());
    }
}
