//! The manifest of a folder of files: the identity of a model or a dataset as an artifact.
//!
//! Paths are relative, with `/` between their parts; times, owners and modes are left out, so that
//! a copied folder keeps its digest. Listing and hashing the files is the caller's work.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::Digest;
use crate::canonical;

/// One file of a [`Manifest`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// The path inside the folder, with `/` between its parts.
    pub path: String,
    /// The size in bytes.
    pub size: u64,
    /// The digest of the content.
    pub sha256: Digest,
}

/// The files of a folder, sorted by path, each path once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Manifest {
    files: Vec<ManifestFile>,
}

/// A manifest as it was read, before its paths are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unchecked {
    files: Vec<ManifestFile>,
}

/// Why files do not make a manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A path that is empty, absolute, or climbs.
    #[error(
        "the manifest names `{0}`, which is not a plain relative path; use parts joined by `/`, none of them empty, `.` or `..`"
    )]
    Path(String),
    /// A path that stands twice.
    #[error("the manifest names `{0}` twice; name each file once")]
    Twice(String),
    /// A size that JSON cannot hold exactly.
    #[error("the manifest gives `{0}` a size beyond 2^53 - 1 bytes; no such file exists")]
    Size(String),
}

impl Manifest {
    /// The manifest of `files`, in whatever order they come.
    ///
    /// # Errors
    /// A path that is not plain and relative, a path given twice, a size beyond 2⁵³ − 1.
    pub fn new(mut files: Vec<ManifestFile>) -> Result<Self, ManifestError> {
        files.sort();
        let mut seen = BTreeSet::new();
        for file in &files {
            if !is_plain(&file.path) {
                return Err(ManifestError::Path(file.path.clone()));
            }
            if i64::try_from(file.size).map_or(true, |size| size > canonical::WHOLE_MAX) {
                return Err(ManifestError::Size(file.path.clone()));
            }
            if !seen.insert(file.path.as_str()) {
                return Err(ManifestError::Twice(file.path.clone()));
            }
        }
        Ok(Self { files })
    }

    /// The files, sorted by path.
    pub fn files(&self) -> &[ManifestFile] {
        &self.files
    }

    /// The sum of the sizes in bytes.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .fold(0, |sum, file| sum.saturating_add(file.size))
    }

    /// The digest of the manifest's canonical JSON: the artifact's identity.
    pub fn digest(&self) -> Digest {
        let value = serde_json::to_value(self).expect("a manifest is texts and whole numbers");
        let bytes = canonical::to_bytes(&value).expect("sizes were checked when it was made");
        Digest::of(&bytes)
    }
}

impl TryFrom<Unchecked> for Manifest {
    type Error = ManifestError;

    fn try_from(unchecked: Unchecked) -> Result<Self, ManifestError> {
        Self::new(unchecked.files)
    }
}

/// Whether `path` is relative, with neither empty parts nor `.` or `..`, and means the same on
/// every system.
fn is_plain(path: &str) -> bool {
    !path.contains(['\\', '\0', ':'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> ManifestFile {
        ManifestFile {
            path: path.to_owned(),
            size: content.len() as u64,
            sha256: Digest::of(content),
        }
    }

    #[test]
    fn the_digest_is_of_the_sorted_canonical_json() {
        let files = vec![file("b/c.txt", b"two"), file("a.txt", b"one")];
        let manifest = Manifest::new(files.clone()).unwrap();
        let json = format!(
            r#"{{"files":[{{"path":"a.txt","sha256":"{}","size":3}},{{"path":"b/c.txt","sha256":"{}","size":3}}]}}"#,
            Digest::of(b"one"),
            Digest::of(b"two")
        );
        assert_eq!(manifest.digest(), Digest::of(json.as_bytes()));
        let reversed = Manifest::new(files.into_iter().rev().collect()).unwrap();
        assert_eq!(reversed, manifest);
        assert_eq!(manifest.bytes(), 6);
    }

    #[test]
    fn path_size_and_content_count() {
        let digest = |path, content| Manifest::new(vec![file(path, content)]).unwrap().digest();
        assert_ne!(digest("a", b"x"), digest("b", b"x"));
        assert_ne!(digest("a", b"x"), digest("a", b"y"));
    }

    #[test]
    fn odd_paths_and_sizes_are_refused_when_made_and_when_read() {
        for path in [
            "",
            "/etc/passwd",
            "../a",
            "a//b",
            "a/./b",
            "a\\b",
            "C:/a",
            "a/",
        ] {
            let error = Manifest::new(vec![file(path, b"")]).unwrap_err();
            assert_eq!(error, ManifestError::Path(path.to_owned()));
            let json = format!(
                r#"{{"files":[{{"path":{},"size":0,"sha256":"{}"}}]}}"#,
                serde_json::Value::from(path),
                Digest::of(b"")
            );
            assert!(serde_json::from_str::<Manifest>(&json).is_err(), "{path}");
        }
        let twice = Manifest::new(vec![file("a", b"1"), file("a", b"2")]);
        assert_eq!(twice, Err(ManifestError::Twice("a".to_owned())));
        let mut huge = file("a", b"");
        huge.size = u64::MAX;
        assert_eq!(
            Manifest::new(vec![huge]),
            Err(ManifestError::Size("a".to_owned()))
        );
    }
}
