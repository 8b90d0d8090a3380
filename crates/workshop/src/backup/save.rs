//! Writing a backup.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_evidence::manifest::{Manifest, ManifestFile};
use lathe_ledger::SigningKey;
use lathe_ledger::history::Trust;

use super::card::{Card, KEYS, NAME, OBJECTS, Place, SEED, STORE, VERSION};
use super::{OnBytes, Saved, own, seal};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::{Home, io_error};
use crate::store::Store;
use crate::{ledger, objects};

/// How hard zstd tries: weights do not shrink, and everything else does at once.
const ZSTD_LEVEL: i32 = 3;
/// Bytes written at a time.
const BUFFER_BYTES: usize = 1 << 18;

/// Writes the home into a new file, which only this user may read. Whoever serves the home goes on.
///
/// # Errors
/// `backup-nothing` where the home has no store; `backup-exists`; `backup-altered`, naming an artifact
/// that is not what the store knows; the store's and the file system's.
pub fn save(
    home: &Home,
    to: &Path,
    with_keys: bool,
    on: OnBytes<'_>,
) -> Result<Saved, WorkshopError> {
    if !home.store().is_file() {
        return Err(WorkshopError::new(
            "backup-nothing",
            format!("nothing was ever stored in {}", home.root().display()),
            "name the home with --home FOLDER",
        ));
    }
    if to.exists() {
        return Err(WorkshopError::new(
            "backup-exists",
            format!("{} is there already", to.display()),
            "name a file that is not there yet",
        ));
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let beside = tempfile::tempdir_in(folder)
        .map_err(|error| io_error("make a folder in", folder, &error))?;
    let copy = beside.path().join(STORE);
    let Snapshot {
        manifests,
        checkpoint,
        key,
    } = snapshot(home, &copy)?;
    let sources = sources(home, &copy, &manifests, with_keys)?;
    let signed_by = key.as_ref().map(SigningKey::id);
    let card = card(&sources, with_keys, signed_by)?;
    let draft = beside.path().join("draft");
    write(&Head::of(&card, key.as_ref())?, &sources, to, &draft, on)?;
    let file_bytes = put(&draft, to, folder)?;
    Ok(Saved {
        file: to.to_owned(),
        file_bytes,
        bytes: card.content.bytes(),
        artifacts: manifests.len(),
        with_keys,
        checkpoint,
        signed_by,
    })
}

/// Artifacts by their digests.
type Manifests = Vec<(Digest, Manifest)>;

/// What the list is made from.
struct Snapshot {
    manifests: Manifests,
    /// The newest.
    checkpoint: Option<String>,
    /// The key that continues its ledger, where the home has it.
    key: Option<SigningKey>,
}

/// The store as one transaction sees it, in a file of its own.
fn snapshot(home: &Home, to: &Path) -> Result<Snapshot, WorkshopError> {
    let from = home.store();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| io_error("begin to read", &from, &error))?;
    runtime.block_on(async {
        Store::copy(&from, to).await?;
        let store = Store::open_read_only(to).await?;
        let read = async {
            Ok(Snapshot {
                manifests: store.manifests().await?,
                checkpoint: store.checkpoint().await?,
                key: signing_key(&store, home).await?,
            })
        };
        let read = read.await;
        store.close().await;
        read
    })
}

/// None where the ledger has not begun or does not hold, or its key is not here: such a home is worth a
/// backup all the more.
async fn signing_key(store: &Store, home: &Home) -> Result<Option<SigningKey>, WorkshopError> {
    Ok(match store.verify_ledger(&Trust::default()).await? {
        Some(Ok(history)) => ledger::signing_key(&history, home).ok(),
        None | Some(Err(_)) => None,
    })
}

/// What stands before the files.
struct Head {
    list: Vec<u8>,
    seal: Option<Vec<u8>>,
    bytes: u64,
}

impl Head {
    fn of(card: &Card, key: Option<&SigningKey>) -> Result<Head, WorkshopError> {
        let list = serde_json::to_vec_pretty(card).expect("a list is plain JSON");
        let seal = key.map(|key| seal::seal(&list, key)).transpose();
        let seal = seal.map_err(|why| {
            WorkshopError::new(
                "statement",
                format!("cannot sign the list of the backup: {why}"),
                "this is a mistake in Lathe; please report it",
            )
        })?;
        Ok(Head {
            list,
            seal,
            bytes: card.content.bytes(),
        })
    }
}

/// A file and what the list says of it.
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) lies: Lies,
    pub(super) listed: ManifestFile,
}

/// Where the bytes of a file lie.
pub(super) enum Lies {
    /// At its path.
    There,
    /// In this file, which was at its path.
    Open(File),
    /// Here.
    Here(Vec<u8>),
}

impl Source {
    /// Its bytes, from the beginning.
    fn open(&self) -> io::Result<Box<dyn Read + '_>> {
        let bytes: Box<dyn Read + '_> = match &self.lies {
            Lies::There => Box::new(File::open(&self.path)?),
            Lies::Open(file) => {
                let mut file: &File = file;
                file.rewind()?;
                Box::new(file)
            }
            Lies::Here(bytes) => Box::new(&bytes[..]),
        };
        Ok(bytes)
    }
}

/// All files of the backup, by their paths in it.
fn sources(
    home: &Home,
    store: &Path,
    manifests: &Manifests,
    with_keys: bool,
) -> Result<Vec<Source>, WorkshopError> {
    let mut sources = vec![hashed(store, STORE.to_owned())?];
    for (digest, manifest) in manifests {
        let folder = objects::path(home, &digest.to_string());
        sources.extend(manifest.files().iter().map(|file| Source {
            path: folder.join(&file.path),
            lies: Lies::There,
            listed: ManifestFile {
                path: format!("{OBJECTS}/{digest}/{}", file.path),
                ..file.clone()
            },
        }));
    }
    sources.extend(own::sources(home)?);
    if with_keys {
        sources.extend(secrets(home)?);
    }
    sources.sort_by(|a, b| a.listed.path.cmp(&b.listed.path));
    Ok(sources)
}

fn secrets(home: &Home) -> Result<Vec<Source>, WorkshopError> {
    let mut secrets = Vec::new();
    let seed = home.root().join(SEED);
    if seed.is_file() {
        secrets.push(hashed(&seed, SEED.to_owned())?);
    }
    if !home.keys().is_dir() {
        return Ok(secrets);
    }
    for path in objects::entries(&home.keys())? {
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name.filter(|name| name.ends_with(".key")) {
            secrets.push(hashed(&path, format!("{KEYS}/{name}"))?);
        }
    }
    Ok(secrets)
}

pub(super) fn hashed(path: &Path, name: String) -> Result<Source, WorkshopError> {
    let (size, sha256) = objects::hash_file(path)?;
    Ok(Source {
        path: path.to_owned(),
        lies: Lies::There,
        listed: ManifestFile {
            path: name,
            size,
            sha256,
        },
    })
}

fn card(
    sources: &[Source],
    with_keys: bool,
    signer: Option<Digest>,
) -> Result<Card, WorkshopError> {
    let files = sources.iter().map(|source| source.listed.clone()).collect();
    let content = Manifest::new(files).map_err(|error| {
        WorkshopError::new(
            "object-name",
            format!("cannot list the home: {error}"),
            "rename the file",
        )
    })?;
    Ok(Card {
        version: VERSION,
        lathe: env!("CARGO_PKG_VERSION").to_owned(),
        made_ms: now_ms(),
        with_keys,
        signer,
        content,
    })
}

/// Writes the archive into `draft`, compressed if `to` is named so.
fn write(
    head: &Head,
    sources: &[Source],
    to: &Path,
    draft: &Path,
    on: OnBytes<'_>,
) -> Result<(), WorkshopError> {
    let fail = |error: io::Error| io_error("write", draft, &error);
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600).open(draft);
    let file = BufWriter::with_capacity(BUFFER_BYTES, file.map_err(fail)?);
    let file = if to.extension().is_some_and(|ending| ending == "zst") {
        let mut packed = zstd::stream::write::Encoder::new(file, ZSTD_LEVEL).map_err(fail)?;
        packed.include_checksum(true).map_err(fail)?;
        let packed = archive(head, sources, packed, draft, on)?;
        packed.finish().map_err(fail)?
    } else {
        archive(head, sources, file, draft, on)?
    };
    let file = file
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    file.sync_all().map_err(fail)
}

fn archive<W: Write>(
    head: &Head,
    sources: &[Source],
    out: W,
    draft: &Path,
    on: OnBytes<'_>,
) -> Result<W, WorkshopError> {
    let fail = |error: io::Error| io_error("write", draft, &error);
    let mut tar = tar::Builder::new(out);
    let seal = head.seal.as_deref().map(|bytes| (seal::NAME, bytes));
    for (name, bytes) in std::iter::once((NAME, &head.list[..])).chain(seal) {
        let header = header(name, bytes.len() as u64)?;
        tar.append(&header, bytes).map_err(fail)?;
    }
    let total = head.bytes;
    let mut done = 0;
    for source in sources {
        let header = self::header(&source.listed.path, source.listed.size)?;
        let file = source.open();
        let file = file.map_err(|error| altered(source, &error.to_string()))?;
        let mut reader = Hashing {
            from: file.take(source.listed.size),
            hasher: Hasher::new(),
            size: 0,
        };
        tar.append(&header, &mut reader).map_err(fail)?;
        if reader.size != source.listed.size || reader.hasher.finish() != source.listed.sha256 {
            return Err(altered(source, "its bytes are other ones"));
        }
        done += source.listed.size;
        on(done, total);
    }
    tar.into_inner().map_err(fail)
}

/// A file that may be read by its user alone, at no time: what does not depend on this machine.
fn header(path: &str, size: u64) -> Result<tar::Header, WorkshopError> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).map_err(|error| {
        WorkshopError::new(
            "object-name",
            format!("cannot name {path} in an archive: {error}"),
            "rename the file",
        )
    })?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_mtime(0);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

fn altered(source: &Source, reason: &str) -> WorkshopError {
    if matches!(Place::of(&source.listed.path), Some(Place::Pack(_))) {
        return own::changed(&source.path, reason);
    }
    WorkshopError::new(
        "backup-altered",
        format!(
            "{} is not what the store knows: {reason}",
            source.path.display()
        ),
        "look at the home with `lathe verify`; put the file back, or run its order again",
    )
}

/// What is read is hashed and counted.
struct Hashing<R> {
    from: R,
    hasher: Hasher,
    size: u64,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.size += read as u64;
        Ok(read)
    }
}

/// Puts the draft into its place, over nothing; gives its size.
fn put(draft: &Path, to: &Path, folder: &Path) -> Result<u64, WorkshopError> {
    let fail = |error: io::Error| io_error("write", to, &error);
    let size = fs::metadata(draft).map_err(fail)?.len();
    // A link, unlike a renaming, never replaces what came there meanwhile.
    match fs::hard_link(draft, to) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(fail(error)),
        Err(_) => fs::rename(draft, to).map_err(fail)?,
    }
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(fail)?;
    Ok(size)
}
