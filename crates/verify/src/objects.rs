//! Artifacts as they lie in a home, hashed anew.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_evidence::manifest::{Manifest, ManifestFile};

use crate::store::Material;

/// The most files an artifact may have.
const FILES_MAX: usize = 100_000;

/// The most bytes of one file that are handed over at once.
const FILE_BYTES_MAX: u64 = 1 << 30;

/// How deep folders of an artifact may nest.
const DEPTH_MAX: usize = 16;

/// The artifacts of a home. What was hashed once is not hashed again.
pub struct Objects {
    folder: PathBuf,
    /// Manifests as the store has them, by what they claim to be.
    stored: BTreeMap<Digest, String>,
    found: RefCell<BTreeMap<Digest, Result<Manifest, String>>>,
}

impl Objects {
    /// Those of the home at `home`.
    pub fn new(home: &Path, material: &Material) -> Self {
        let stored = material
            .artifacts
            .iter()
            .filter_map(|(digest, manifest)| Some((digest.parse().ok()?, manifest.clone())))
            .collect();
        Self {
            folder: home.join("objects"),
            stored,
            found: RefCell::default(),
        }
    }

    /// The artifacts that the store names.
    pub fn stored(&self) -> impl Iterator<Item = Digest> + '_ {
        self.stored.keys().copied()
    }

    /// The manifest of an artifact as it lies there now.
    ///
    /// # Errors
    /// It is not there or cannot be read.
    pub fn manifest(&self, artifact: Digest) -> Result<Manifest, String> {
        if let Some(known) = self.found.borrow().get(&artifact) {
            return known.clone();
        }
        let folder = self.folder.join(artifact.to_string());
        let found = hash(&folder);
        self.found.borrow_mut().insert(artifact, found.clone());
        found
    }

    /// A file of an artifact.
    ///
    /// # Errors
    /// No plain path, or it cannot be opened.
    pub fn open(&self, artifact: Digest, path: &str) -> Result<File, String> {
        let plain = Path::new(path)
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if !plain {
            return Err(format!("{path:?} is no path inside an artifact"));
        }
        let full = self.folder.join(artifact.to_string()).join(path);
        File::open(&full).map_err(|error| format!("objects/{artifact}/{path}: {error}"))
    }

    /// A file of an artifact, whole.
    ///
    /// # Errors
    /// As [`Objects::open`]; it has too many bytes, or cannot be read.
    pub fn file(&self, artifact: Digest, path: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut file = self.open(artifact, path)?.take(FILE_BYTES_MAX + 1);
        match file.read_to_end(&mut bytes) {
            Ok(read) if read as u64 <= FILE_BYTES_MAX => Ok(bytes),
            Ok(_) => Err(format!(
                "objects/{artifact}/{path} has more than {FILE_BYTES_MAX} bytes"
            )),
            Err(error) => Err(format!("objects/{artifact}/{path}: {error}")),
        }
    }

    /// How the artifact is not what its name says: by file where the store knows its manifest.
    pub fn differences(&self, artifact: Digest) -> Vec<String> {
        let found = match self.manifest(artifact) {
            Ok(found) if found.digest() == artifact => return Vec::new(),
            Ok(found) => found,
            Err(why) => return vec![why],
        };
        let Some(expected) = self.expected(artifact) else {
            let whole = format!("its files make {}, not what it is named", found.digest());
            return vec![whole];
        };
        by_file(&expected, &found)
    }

    /// The manifest that the store has, if it is the one that the name is the digest of.
    fn expected(&self, artifact: Digest) -> Option<Manifest> {
        let manifest: Manifest = serde_json::from_str(self.stored.get(&artifact)?).ok()?;
        (manifest.digest() == artifact).then_some(manifest)
    }
}

fn by_file(expected: &Manifest, found: &Manifest) -> Vec<String> {
    let index = |manifest: &Manifest| -> BTreeMap<String, ManifestFile> {
        let files = manifest.files().iter();
        files
            .map(|file| (file.path.clone(), file.clone()))
            .collect()
    };
    let (expected, mut found) = (index(expected), index(found));
    let mut differences = Vec::new();
    for (path, file) in &expected {
        match found.remove(path) {
            None => differences.push(format!("{path} is missing")),
            Some(other) if other != *file => differences.push(format!(
                "{path} was changed: {} bytes with SHA-256 {} instead of {} bytes with {}",
                other.size, other.sha256, file.size, file.sha256
            )),
            Some(_) => {}
        }
    }
    differences.extend(found.keys().map(|path| format!("{path} was added")));
    differences
}

fn hash(folder: &Path) -> Result<Manifest, String> {
    let mut files = Vec::new();
    collect(folder, "", 0, &mut files)?;
    Manifest::new(files).map_err(|error| error.to_string())
}

fn collect(
    folder: &Path,
    inside: &str,
    depth: usize,
    files: &mut Vec<ManifestFile>,
) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    if depth > DEPTH_MAX {
        return Err(format!("{}: folders nest too deep", folder.display()));
    }
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let path = if inside.is_empty() {
            name.into_owned()
        } else {
            format!("{inside}/{name}")
        };
        let kind = entry.file_type().map_err(failed)?;
        if kind.is_dir() {
            collect(&entry.path(), &path, depth + 1, files)?;
        } else if kind.is_file() {
            if files.len() == FILES_MAX {
                return Err(format!("it has more than {FILES_MAX} files"));
            }
            let (size, sha256) = hash_file(&entry.path()).map_err(failed)?;
            files.push(ManifestFile { path, size, sha256 });
        } else {
            return Err(format!("{path} is neither a file nor a folder"));
        }
    }
    Ok(())
}

fn hash_file(path: &Path) -> std::io::Result<(u64, Digest)> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            return Ok((size, hasher.finish()));
        }
        hasher.update(&buffer[..count]);
        size += count as u64;
    }
}
