//! The home folder: where everything of a workshop lies, and who may write it.
//!
//! | in the home | is | written by |
//! |---|---|---|
//! | `lock` | pid and URL of the daemon; the file lock says whether it lives | this module |
//! | `workers.lock` | held shared by every worker, so that a new daemon waits for old ones | this module |
//! | `salt.seed` | the secret the leaves' salts are worked out from | this module |
//! | `upstreams/*.secret` | keys that upstreams are asked with, for this user alone; in no backup | `upstream` |
//! | `keys/*.key` | the workshop's private keys, for this user alone | `keyring` |
//! | `sign-in.yaml` | how people sign in beside passwords of the workshop; in no backup | the operator |
//! | `store.sqlite` | orders, steps, effects, artifacts, datasets, models, deployments | `store` |
//! | `store-schema-N.sqlite` | the store as it was before an upgrade | `store::upgrade` |
//! | `objects/DIGEST/` | finished artifacts, read-only | `objects` |
//! | `packs/NAME/` | packs made here of files that somebody brought | `bring` |
//! | `brought/ID/` | files that are being brought, until something is made of them | `bring` |
//! | `cache/` | downloads, by digest | `lathe-data` |
//! | `work/STEP-KEY/` | checkpoints of a step until it is finished | `steps` |
//! | `tmp/` | artifacts being built; emptied when a daemon starts | `objects`, `executor` |
//!
//! One process per home writes. Nothing here knows what the files mean.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::WorkshopError;

/// How long a new daemon waits for the workers of a dead one; they end within
/// milliseconds of their parent.
const WORKERS_WAIT_MAX: Duration = Duration::from_secs(20);

/// Longest `lock` file that is read.
const LOCK_BYTES_MAX: u64 = 4096;

/// A home folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

/// Who holds a home.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// Where it answers; `None` while it starts, or when it is a command that does not listen.
    pub url: Option<String>,
}

/// The right to write a home, as long as it lives.
#[derive(Debug)]
pub struct HomeLock {
    file: File,
    path: PathBuf,
}

/// The outcome of asking for the lock.
#[derive(Debug)]
pub enum Locked {
    /// This process holds the home now.
    Mine(HomeLock),
    /// Another process does.
    Other(Holder),
}

impl Home {
    /// The home at `path`, else at `$LATHE_HOME`, else `~/.lathe`. Touches no file.
    ///
    /// # Errors
    /// `home-unknown` when none of the three is set.
    pub fn locate(path: Option<PathBuf>) -> Result<Home, WorkshopError> {
        let from_env = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let root = path
            .or_else(|| from_env("LATHE_HOME").map(PathBuf::from))
            .or_else(|| from_env("HOME").map(|home| PathBuf::from(home).join(".lathe")))
            .ok_or_else(|| {
                WorkshopError::new(
                    "home-unknown",
                    "cannot tell where the workshop lives: neither LATHE_HOME nor HOME is set",
                    "set LATHE_HOME or pass --home FOLDER",
                )
            })?;
        let root = std::path::absolute(&root)
            .map_err(|error| io_error("resolve the path of the home", &root, &error))?;
        Ok(Home { root })
    }

    /// Makes the folders that are missing.
    ///
    /// # Errors
    /// `read-only`, `disk-full` or `home-io`.
    pub fn create(&self) -> Result<(), WorkshopError> {
        for folder in [
            self.root.clone(),
            self.objects(),
            self.cache(),
            self.work(),
            self.tmp(),
        ] {
            fs::create_dir_all(&folder)
                .map_err(|error| io_error("create the folder", &folder, &error))?;
        }
        Ok(())
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The database.
    pub fn store(&self) -> PathBuf {
        self.root.join("store.sqlite")
    }

    /// `folder` as the home may keep it: relative to the home, so that no path of this machine is
    /// written into it.
    pub fn from_here(&self, folder: &Path) -> String {
        let (mut own, mut other) = (self.root.components(), folder.components());
        let mut common = 0;
        while let (Some(a), Some(b)) = (own.next(), other.next())
            && a == b
        {
            common += 1;
        }
        let up = self.root.components().skip(common);
        let up = up.map(|_| OsString::from(".."));
        let down = folder.components().skip(common);
        let path: PathBuf = up
            .chain(down.map(|part| part.as_os_str().to_owned()))
            .collect();
        path.to_string_lossy().into_owned()
    }

    /// The folder that [`Home::from_here`] wrote, from where the home lies now.
    pub fn away(&self, kept: &str) -> PathBuf {
        let mut path = self.root.clone();
        for part in Path::new(kept).components() {
            match part {
                Component::ParentDir => drop(path.pop()),
                other => path.push(other),
            }
        }
        path
    }

    /// Finished artifacts.
    pub fn objects(&self) -> PathBuf {
        self.root.join("objects")
    }

    /// Packs that were made here of files that somebody brought.
    pub fn packs(&self) -> PathBuf {
        self.root.join("packs")
    }

    /// The sample that the program carries, where it had to be written.
    pub fn sample(&self) -> PathBuf {
        self.root.join("sample/customer-care")
    }

    /// Files that are being brought, and those that nothing was made of yet.
    pub fn brought(&self) -> PathBuf {
        self.root.join("brought")
    }

    /// Downloads.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Checkpoints of unfinished steps.
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Artifacts being built.
    pub fn tmp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// The secret that salts are worked out from; made from the system's randomness on first use.
    ///
    /// # Errors
    /// When it can be neither read nor made.
    pub fn salt_seed(&self) -> Result<[u8; 32], WorkshopError> {
        let path = self.root.join("salt.seed");
        let mut seed = [0; 32];
        match File::open(&path).and_then(|mut file| file.read_exact(&mut seed)) {
            Ok(()) => return Ok(seed),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path, &error)),
        }
        let seed = random_bytes()?;
        self.write_secret(&path, &seed)?;
        Ok(seed)
    }

    /// The workshop's private keys.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }

    /// Writes a file that only this user may read, whole or not at all.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write_secret(&self, path: &Path, bytes: &[u8]) -> Result<(), WorkshopError> {
        // Written beside and renamed: one cut short would otherwise be there for good.
        let draft = self.tmp().join("secret");
        let write = || -> io::Result<()> {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&draft, path)?;
            let folder = path.parent().unwrap_or(&self.root);
            File::open(folder)?.sync_all()
        };
        write().map_err(|error| io_error("write", path, &error))?;
        crate::pause::written();
        Ok(())
    }

    /// Asks for the right to write; does not wait.
    ///
    /// # Errors
    /// When the lock file cannot be opened: `read-only` and its kin.
    pub fn lock(&self) -> Result<Locked, WorkshopError> {
        let path = self.root.join("lock");
        let mut file = open_lock(&path)?;
        match file.try_lock() {
            Ok(()) => {
                let mut lock = HomeLock { file, path };
                lock.announce(None)?;
                Ok(Locked::Mine(lock))
            }
            Err(TryLockError::WouldBlock) => Ok(Locked::Other(read_holder(&mut file, &path)?)),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path, &error)),
        }
    }

    /// Who holds the home now. Nothing is written, and nothing is held afterwards.
    ///
    /// # Errors
    /// When the lock file cannot be read.
    pub fn holder(&self) -> Result<Option<Holder>, WorkshopError> {
        let path = self.root.join("lock");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path, &error)),
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => Ok(Some(read_holder(&mut file, &path)?)),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path, &error)),
        }
    }

    /// Held by a worker as long as it lives.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub fn lock_as_worker(&self) -> Result<File, WorkshopError> {
        let path = self.root.join("workers.lock");
        let file = open_lock(&path)?;
        file.lock_shared()
            .map_err(|error| io_error("lock", &path, &error))?;
        Ok(file)
    }

    /// Returns once no worker of an earlier daemon lives.
    ///
    /// # Errors
    /// `workers-alive` when one is still there after 20 seconds.
    pub fn wait_for_workers(&self) -> Result<(), WorkshopError> {
        let path = self.root.join("workers.lock");
        let file = open_lock(&path)?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if begun.elapsed() < WORKERS_WAIT_MAX => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(TryLockError::WouldBlock) => return Err(workers_alive(&self.root)),
                Err(TryLockError::Error(error)) => return Err(io_error("lock", &path, &error)),
            }
        }
    }
}

impl HomeLock {
    /// Writes who holds the home and where it answers.
    ///
    /// # Errors
    /// When the lock file cannot be written.
    pub fn announce(&mut self, url: Option<&str>) -> Result<(), WorkshopError> {
        let holder = Holder {
            pid: std::process::id(),
            url: url.map(str::to_owned),
        };
        let text = serde_json::to_string(&holder).expect("a pid and a string are always JSON");
        let write = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(text.as_bytes())
        };
        write(&mut self.file).map_err(|error| io_error("write", &self.path, &error))
    }
}

impl Drop for HomeLock {
    fn drop(&mut self) {
        // Emptied so that nobody reads a URL that no longer answers; the lock itself
        // ends with the file, so a failure here changes nothing.
        let _ = self.file.set_len(0);
    }
}

/// 32 bytes of the system's randomness.
///
/// # Errors
/// When the system gives none.
pub fn random_bytes() -> Result<[u8; 32], WorkshopError> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; 32];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|error| io_error("read", source, &error))?;
    Ok(bytes)
}

fn open_lock(path: &Path) -> Result<File, WorkshopError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| io_error("open", path, &error))
}

fn read_holder(file: &mut File, path: &Path) -> Result<Holder, WorkshopError> {
    let mut text = String::new();
    file.rewind()
        .and_then(|()| file.take(LOCK_BYTES_MAX).read_to_string(&mut text))
        .map_err(|error| io_error("read", path, &error))?;
    // Empty for a moment while the holder starts or ends.
    Ok(serde_json::from_str(&text).unwrap_or(Holder { pid: 0, url: None }))
}

fn workers_alive(root: &Path) -> WorkshopError {
    WorkshopError::new(
        "workers-alive",
        format!(
            "a worker of an earlier daemon still runs in {} after {} s",
            root.display(),
            WORKERS_WAIT_MAX.as_secs()
        ),
        "look for a process called `lathe worker`, end it, and run the command again",
    )
}

/// Turns an IO error into one that says what was being done, to what, and what to do next.
/// A full disk and a read-only home have codes of their own.
pub fn io_error(action: &str, path: &Path, error: &io::Error) -> WorkshopError {
    let shown = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => WorkshopError::new(
            "disk-full",
            format!("cannot {action} {shown}: the disk is full"),
            "make room or point LATHE_HOME at a larger disk, then run the same command: it resumes",
        ),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => WorkshopError::new(
            "read-only",
            format!("cannot {action} {shown}: {error}"),
            "the workshop writes into its home: make it writable or pass --home FOLDER",
        ),
        _ => WorkshopError::new(
            "home-io",
            format!("cannot {action} {shown}: {error}"),
            "check the path and the disk, then run the same command: it resumes",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::locate(Some(folder.path().join("home"))).unwrap();
        home.create().unwrap();
        (folder, home)
    }

    #[test]
    fn the_second_asker_learns_who_holds_the_home() {
        let (_folder, home) = home();
        let Locked::Mine(mut lock) = home.lock().unwrap() else {
            panic!("a fresh home is free");
        };
        lock.announce(Some("http://127.0.0.1:7878")).unwrap();
        let Locked::Other(holder) = home.lock().unwrap() else {
            panic!("a held home is not free");
        };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.url.as_deref(), Some("http://127.0.0.1:7878"));
        assert_eq!(home.holder().unwrap(), Some(holder));
        drop(lock);
        assert_eq!(home.holder().unwrap(), None);
        assert!(matches!(home.lock().unwrap(), Locked::Mine(_)));
    }

    #[test]
    fn a_new_daemon_waits_until_the_last_worker_is_gone() {
        let (_folder, home) = home();
        let worker = home.lock_as_worker().unwrap();
        let begun = Instant::now();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(80));
            drop(worker);
        });
        home.wait_for_workers().unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(70));
    }

    #[test]
    fn a_folder_is_kept_relative_and_found_again() {
        let home = Home::locate(Some("/srv/lathe/own".into())).unwrap();
        for (folder, kept) in [
            ("/srv/packs/care", "../../packs/care"),
            ("/srv/lathe/own/packs", "packs"),
            ("/srv/lathe", ".."),
            ("/else", "../../../else"),
        ] {
            assert_eq!(home.from_here(Path::new(folder)), kept);
            assert_eq!(home.away(kept), Path::new(folder));
        }
        // As homes of earlier versions have it.
        assert_eq!(home.away("/packs/care"), Path::new("/packs/care"));
    }

    #[test]
    fn the_salt_seed_is_made_once() {
        let (_folder, home) = home();
        let first = home.salt_seed().unwrap();
        assert_ne!(first, [0; 32]);
        assert_eq!(home.salt_seed().unwrap(), first);
    }

    #[test]
    fn full_disk_and_read_only_home_are_said_plainly() {
        let path = Path::new("/srv/x");
        let full = io_error("write", path, &io::ErrorKind::StorageFull.into());
        assert_eq!(full.code(), "disk-full");
        assert!(full.to_string().contains("the disk is full"));
        let read_only = io_error("write", path, &io::ErrorKind::ReadOnlyFilesystem.into());
        assert_eq!(read_only.code(), "read-only");
        assert!(read_only.next().contains("--home"));
    }
}
