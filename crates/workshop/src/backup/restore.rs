//! Making a home of a backup.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use lathe_evidence::Digest;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_ledger::Envelope;

use super::card::{CARD_BYTES_MAX, Card, NAME, OBJECTS, Place, STORE, ZSTD_MAGIC};
use super::{OnBytes, PutBack, own, seal};
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::objects;

/// Largest secret: a key in PEM, or the seed.
const SECRET_BYTES_MAX: u64 = 4096;
/// What the largest window of zstd takes, as a power of two: 128 MiB, zstd's own bound.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What a home holds that nothing depends on.
const PASSING: [&str; 6] = ["lock", "workers.lock", "tmp", "work", "cache", "lost+found"];

/// Puts a backup into an empty home, whose lock the caller holds. One of `keys`, where there are any, has
/// to stand behind its ledger, by which its list is then signed.
///
/// # Errors
/// `restore-not-empty`; `backup-damaged`, naming what is wrong; `disk-full` before anything is written;
/// the file system's. The home is as empty after an error as before it, unless the disk itself fails.
pub fn restore(
    home: &Home,
    from: &Path,
    keys: &[Digest],
    on: OnBytes<'_>,
) -> Result<PutBack, WorkshopError> {
    empty(home)?;
    let scratch = home
        .tmp()
        .join(format!("restore-{}", uuid::Uuid::now_v7().simple()));
    fs::create_dir_all(&scratch)
        .map_err(|error| io_error("create the folder", &scratch, &error))?;
    let done = unpack(home, from, &scratch, on).and_then(|unpacked| {
        let Unpacked {
            card,
            objects,
            envelope,
        } = unpacked;
        seal::verify(&scratch, &card, envelope.as_ref(), keys)?
            .map_err(|reason| damaged(from, &reason))?;
        own::name_again(&scratch, &card).map_err(|reason| damaged(from, &reason))?;
        put(home, &scratch, &card, &objects)?;
        Ok(PutBack {
            bytes: card.content.bytes(),
            artifacts: objects.len(),
            with_keys: card.with_keys,
            lathe: card.lathe,
            made_ms: card.made_ms,
            signed_by: card.signer,
        })
    });
    // What is left of it is swept by the next daemon at the latest.
    let _ = objects::remove(&scratch);
    done
}

/// Holds that the home has nothing that would be lost or mixed up.
fn empty(home: &Home) -> Result<(), WorkshopError> {
    for entry in objects::entries(home.root())? {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let is_empty_folder =
            || entry.is_dir() && fs::read_dir(&entry).is_ok_and(|mut it| it.next().is_none());
        if !PASSING.contains(&name.as_ref()) && !is_empty_folder() {
            return Err(WorkshopError::new(
                "restore-not-empty",
                format!("{} is in the way", entry.display()),
                "name a home that is not there yet with --home FOLDER, or move this one aside",
            ));
        }
    }
    Ok(())
}

/// The archive, compressed or not.
fn open(from: &Path) -> Result<Box<dyn Read>, WorkshopError> {
    let fail = |error: io::Error| io_error("read", from, &error);
    let mut file = File::open(from).map_err(fail)?;
    let mut first = Vec::new();
    let head = ZSTD_MAGIC.len() as u64;
    file.by_ref()
        .take(head)
        .read_to_end(&mut first)
        .map_err(fail)?;
    file.rewind().map_err(fail)?;
    if first != ZSTD_MAGIC {
        return Ok(Box::new(BufReader::new(file)));
    }
    let mut unpacked = zstd::stream::read::Decoder::new(file).map_err(fail)?;
    unpacked.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(fail)?;
    Ok(Box::new(unpacked))
}

type Objects = BTreeMap<Digest, Manifest>;

/// What was laid out.
struct Unpacked {
    card: Card,
    objects: Objects,
    /// The signature over the list; not yet verified.
    envelope: Option<Envelope>,
}

/// Lays the files out in `scratch`, each held against the list.
fn unpack(
    home: &Home,
    from: &Path,
    scratch: &Path,
    on: OnBytes<'_>,
) -> Result<Unpacked, WorkshopError> {
    let refuse = |reason: String| damaged(from, &reason);
    let mut archive = tar::Archive::new(open(from)?);
    // Raw: names and sizes that extend other entries would be read before they are known.
    let entries = archive
        .entries()
        .map_err(|error| refuse(error.to_string()))?;
    let mut entries = entries.raw(true);
    let list = head(entries.next(), NAME, CARD_BYTES_MAX).map_err(refuse)?;
    let card: Card =
        serde_json::from_slice(&list).map_err(|error| refuse(format!("{NAME}: {error}")))?;
    let envelope = if card.signer.is_some() {
        let bytes = head(entries.next(), seal::NAME, seal::BYTES_MAX).map_err(refuse)?;
        Some(seal::read(&bytes, &list).map_err(refuse)?)
    } else {
        None
    };
    let objects = card.check().map_err(refuse)?;
    room(home, card.content.bytes())?;
    let (total, mut done) = (card.content.bytes(), 0);
    for file in card.content.files() {
        let entry = entry(entries.next(), &file.path).map_err(refuse)?;
        if entry.size() != file.size {
            let reason = format!(
                "{} has {} bytes, listed {}",
                file.path,
                entry.size(),
                file.size
            );
            return Err(refuse(reason));
        }
        take(entry, file, &scratch.join(&file.path), from)?;
        done += file.size;
        on(done, total);
    }
    match entries.next() {
        None => Ok(Unpacked {
            card,
            objects,
            envelope,
        }),
        Some(_) => Err(refuse("it goes on after its last file".to_owned())),
    }
}

type Entry<'a> = tar::Entry<'a, Box<dyn Read>>;

/// The next entry, which has to be the plain file `path`.
fn entry<'a>(next: Option<io::Result<Entry<'a>>>, path: &str) -> Result<Entry<'a>, String> {
    let entry = match next {
        Some(Ok(entry)) => entry,
        Some(Err(error)) => return Err(format!("{path} cannot be read: {error}")),
        None => return Err(format!("it ends before {path}")),
    };
    let found = entry.path_bytes();
    if found != path.as_bytes() {
        let found = String::from_utf8_lossy(&found);
        return Err(format!(
            "{} stands where {path} is listed",
            found.escape_debug()
        ));
    }
    if entry.header().entry_type() != tar::EntryType::Regular {
        return Err(format!("{path} is no plain file in it"));
    }
    Ok(entry)
}

/// What stands before the files, whole.
fn head(
    next: Option<io::Result<Entry<'_>>>,
    name: &str,
    bytes_max: u64,
) -> Result<Vec<u8>, String> {
    let entry = entry(next, name)?;
    if entry.size() > bytes_max {
        return Err(format!("{name} has more than {bytes_max} bytes"));
    }
    let mut text = Vec::new();
    entry
        .take(bytes_max)
        .read_to_end(&mut text)
        .map_err(|error| format!("{name} cannot be read: {error}"))?;
    Ok(text)
}

/// Writes a file of the archive and holds its digest.
fn take(
    mut entry: Entry<'_>,
    file: &ManifestFile,
    to: &Path,
    from: &Path,
) -> Result<(), WorkshopError> {
    let fail = |error: io::Error| io_error("write", to, &error);
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(fail)?;
    let mut target = File::create_new(to).map_err(fail)?;
    let mut broken = None;
    let mut source = Failing {
        from: &mut entry,
        broken: &mut broken,
    };
    let copied = objects::copy_hashed(&mut source, &mut target);
    if let Some(error) = broken {
        return Err(damaged(
            from,
            &format!("{} cannot be read: {error}", file.path),
        ));
    }
    let (size, sha256) = copied.map_err(fail)?;
    if size != file.size || sha256 != file.sha256 {
        let reason = format!("{} has other bytes than listed", file.path);
        return Err(damaged(from, &reason));
    }
    target.sync_all().map_err(fail)
}

/// Remembers what went wrong with reading, so that it is not taken for trouble with writing.
struct Failing<'a, R> {
    from: &'a mut R,
    broken: &'a mut Option<String>,
}

impl<R: Read> Read for Failing<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.from.read(buffer).inspect_err(|error| {
            *self.broken = Some(error.to_string());
        })
    }
}

/// Holds that the disk has room for all of it.
fn room(home: &Home, bytes: u64) -> Result<(), WorkshopError> {
    let disk = rustix::fs::statvfs(home.root())
        .map_err(|error| io_error("measure the disk of", home.root(), &error.into()))?;
    if disk.f_bavail.saturating_mul(disk.f_frsize) < bytes {
        let full = io::ErrorKind::StorageFull.into();
        return Err(io_error("unpack the backup into", home.root(), &full));
    }
    Ok(())
}

/// Puts everything into its place: the store last, since a home without it is empty.
fn put(home: &Home, scratch: &Path, card: &Card, objects: &Objects) -> Result<(), WorkshopError> {
    for (digest, manifest) in objects {
        let built = scratch.join(OBJECTS).join(digest.to_string());
        objects::place(home, &built, manifest.clone())?;
    }
    own::put(home, scratch)?;
    for file in card.content.files() {
        let place = match Place::of(&file.path) {
            Some(Place::Key(name)) => home.keys().join(name),
            Some(Place::Seed) => home.root().join(super::card::SEED),
            _ => continue,
        };
        secret(home, &scratch.join(&file.path), &place)?;
    }
    let store = home.store();
    let moved =
        fs::rename(scratch.join(STORE), &store).and_then(|()| File::open(home.root())?.sync_all());
    moved.map_err(|error| io_error("move into place", &store, &error))
}

fn secret(home: &Home, from: &Path, to: &Path) -> Result<(), WorkshopError> {
    let fail = |error: io::Error| io_error("read", from, &error);
    let mut bytes = Vec::new();
    let file = File::open(from).map_err(fail)?;
    file.take(SECRET_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    let folder = to.parent().unwrap_or(to);
    fs::create_dir_all(folder).map_err(|error| io_error("create the folder", folder, &error))?;
    home.write_secret(to, &bytes)
}

fn damaged(from: &Path, reason: &str) -> WorkshopError {
    WorkshopError::new(
        "backup-damaged",
        format!("{} is no sound backup: {reason}", from.display()),
        "take another backup; nothing of this one was put into the home",
    )
}
