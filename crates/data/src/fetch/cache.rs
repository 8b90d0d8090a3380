//! The cache on disk: files by content, and an index from what was asked for to what it gave.
//!
//! | path | holds |
//! |---|---|
//! | objects/SHA256/NAME | a file under its own name, in a folder named by its digest |
//! | index/KEY.json | what a source gave: digest, name, size; KEY is the digest of the source |
//! | folders/SHA256/… | the files of a folder source, by the manifest's digest |
//! | parts/KEY.part, .json | a download that is under way, and what it takes to resume it |
//! | tmp/ | files being unpacked; there only while a fetch runs |
//! | lock | held while a fetch writes |
//!
//! Everything becomes visible by a rename. What is found is hashed again before it is used.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use serde::{Deserialize, Serialize};

use crate::DataError;

/// The cache's folder.
pub(super) struct Cache {
    root: PathBuf,
}

/// What a source gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// What was asked for.
    pub key: String,
    /// The file's digest.
    pub sha256: Digest,
    /// The file's name.
    pub name: String,
    /// The file's size in bytes.
    pub bytes: u64,
}

/// The cache while this process alone may write to it.
pub(super) struct Locked<'a> {
    cache: &'a Cache,
    _lock: File,
}

impl Cache {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
        }
    }

    /// What `key` gave earlier, if its file is still whole.
    pub(super) fn find(&self, key: &str) -> Option<Entry> {
        let text = fs::read_to_string(self.index_path(key)).ok()?;
        let entry: Entry = serde_json::from_str(&text).ok()?;
        let whole = entry.key == key && is_file_name(&entry.name) && self.is_whole(&entry);
        whole.then_some(entry)
    }

    /// What `key` gave earlier as a folder; whether that is still whole is for the caller to see.
    pub(super) fn find_folder(&self, key: &str) -> Option<Entry> {
        let text = fs::read_to_string(self.index_path(key)).ok()?;
        let entry: Entry = serde_json::from_str(&text).ok()?;
        (entry.key == key).then_some(entry)
    }

    /// A whole file with the digest, whoever asked for it.
    pub(super) fn find_object(&self, sha256: &Digest) -> Option<Entry> {
        let folder = self.root.join("objects").join(sha256.to_string());
        let file = fs::read_dir(folder).ok()?.next()?.ok()?;
        let entry = Entry {
            key: String::new(),
            sha256: *sha256,
            name: file.file_name().into_string().ok()?,
            bytes: file.metadata().ok()?.len(),
        };
        self.is_whole(&entry).then_some(entry)
    }

    /// Where an entry's file lies.
    pub(super) fn path(&self, entry: &Entry) -> PathBuf {
        let folder = self.root.join("objects").join(entry.sha256.to_string());
        folder.join(&entry.name)
    }

    /// Where the files of a folder source lie.
    pub(super) fn folder_path(&self, manifest: &Digest) -> PathBuf {
        self.root.join("folders").join(manifest.to_string())
    }

    /// Waits until no other process writes to the cache, and clears what a killed one left.
    pub(super) fn lock(&self) -> Result<Locked<'_>, DataError> {
        for folder in ["objects", "index", "folders", "parts"] {
            make_folder(&self.root.join(folder))?;
        }
        let path = self.root.join("lock");
        let lock = File::create(&path).map_err(|error| DataError::file("write", &path, error))?;
        lock.lock()
            .map_err(|error| DataError::file("lock", &path, error))?;
        let tmp = self.root.join("tmp");
        if tmp.exists() {
            fs::remove_dir_all(&tmp).map_err(|error| DataError::file("clear", &tmp, error))?;
        }
        make_folder(&tmp)?;
        Ok(Locked {
            cache: self,
            _lock: lock,
        })
    }

    fn is_whole(&self, entry: &Entry) -> bool {
        hash_file(&self.path(entry)).is_ok_and(|(sha256, _)| sha256 == entry.sha256)
    }

    fn index_path(&self, key: &str) -> PathBuf {
        let name = format!("{}.json", Digest::of(key.as_bytes()));
        self.root.join("index").join(name)
    }
}

impl Drop for Locked<'_> {
    /// Removes what a refused archive left half-unpacked. Where that fails, the next lock tries
    /// again and says why.
    fn drop(&mut self) {
        let _cleared_by_the_next_lock_otherwise = fs::remove_dir_all(self.cache.root.join("tmp"));
    }
}

impl Locked<'_> {
    /// Where the download that `key` names is kept while it is under way.
    pub(super) fn part_path(&self, key: &str) -> PathBuf {
        let name = format!("{}.part", Digest::of(key.as_bytes()));
        self.cache.root.join("parts").join(name)
    }

    /// A path for a file being unpacked.
    pub(super) fn tmp_path(&self, name: &str) -> PathBuf {
        self.cache.root.join("tmp").join(name)
    }

    /// Moves the file at `from`, whose digest is known, into its place under `name`.
    pub(super) fn keep(&self, from: &Path, sha256: Digest, name: &str) -> Result<Entry, DataError> {
        let name = if is_file_name(name) { name } else { "file" };
        let bytes = fs::metadata(from)
            .map_err(|error| DataError::file("read", from, error))?
            .len();
        let entry = Entry {
            key: String::new(),
            sha256,
            name: name.to_owned(),
            bytes,
        };
        let path = self.cache.path(&entry);
        make_folder(path.parent().unwrap_or(&self.cache.root))?;
        fs::rename(from, &path).map_err(|error| DataError::file("write", &path, error))?;
        Ok(entry)
    }

    /// Remembers that `key` gave `entry`.
    pub(super) fn remember(&self, key: &str, entry: &Entry) -> Result<(), DataError> {
        let entry = Entry {
            key: key.to_owned(),
            ..entry.clone()
        };
        let text = serde_json::to_string(&entry).expect("an entry is plain texts");
        let path = self.cache.index_path(key);
        let tmp = self.tmp_path("index.json");
        fs::write(&tmp, text).map_err(|error| DataError::file("write", &tmp, error))?;
        fs::rename(&tmp, &path).map_err(|error| DataError::file("write", &path, error))
    }
}

/// The digest and the size of the file at `path`.
pub(super) fn hash_file(path: &Path) -> std::io::Result<(Digest, u64)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((hasher.finish(), bytes)),
            count => {
                hasher.update(&buffer[..count]);
                bytes += count as u64;
            }
        }
    }
}

pub(super) fn make_folder(path: &Path) -> Result<(), DataError> {
    fs::create_dir_all(path).map_err(|error| DataError::file("make", path, error))
}

/// Whether `name` is a file's name and nothing more.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_by_what_was_asked_for_until_it_is_changed() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path());
        assert_eq!(cache.find("key"), None);
        let locked = cache.lock().unwrap();
        let tmp = locked.tmp_path("x");
        fs::write(&tmp, b"content").unwrap();
        let sha256 = Digest::of(b"content");
        let entry = locked.keep(&tmp, sha256, "name.txt").unwrap();
        locked.remember("key", &entry).unwrap();
        let found = cache.find("key").unwrap();
        assert_eq!(
            (found.sha256, found.bytes, found.name.as_str()),
            (sha256, 7, "name.txt")
        );
        assert_eq!(fs::read(cache.path(&found)).unwrap(), b"content");
        assert_eq!(cache.find_object(&sha256).unwrap().name, "name.txt");
        fs::write(cache.path(&found), b"changed").unwrap();
        assert_eq!(cache.find("key"), None);
        assert_eq!(cache.find_object(&sha256), None);
    }

    #[test]
    fn names_never_lead_out_of_the_cache() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path());
        let locked = cache.lock().unwrap();
        for name in ["../out", "..", "", "a/b"] {
            let tmp = locked.tmp_path("x");
            fs::write(&tmp, b"x").unwrap();
            assert_eq!(
                locked.keep(&tmp, Digest::of(b"x"), name).unwrap().name,
                "file"
            );
        }
    }

    #[test]
    fn what_a_killed_process_left_is_cleared() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::new(root.path());
        let left = root.path().join("tmp/left");
        fs::create_dir(root.path().join("tmp")).unwrap();
        fs::write(&left, b"half").unwrap();
        let locked = cache.lock().unwrap();
        assert!(!left.exists());
        fs::write(locked.tmp_path("own"), b"half").unwrap();
        drop(locked);
        assert!(!root.path().join("tmp").exists());
    }
}
