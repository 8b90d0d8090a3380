//! Digests of files of this machine, so that a model of two gibibytes is hashed for the first plan and not for every
//! one: what was found is told again while the file stays as it was, by its [`Identity`].
//!
//! Files are hashed by one at a time: whoever wants the same meanwhile waits and finds it. Nothing is kept on disk, and
//! nothing rests on it but estimates: what is used is hashed by its step.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use lathe_evidence::Digest;

use crate::error::WorkshopError;
use crate::home::io_error;
use crate::identity::Identity;
use crate::objects;

/// Files of which the digest is kept; with one more, all are forgotten.
const FILES_MAX: usize = 1_000;

/// What was hashed.
#[derive(Debug, Default)]
pub(crate) struct Hashed {
    /// Held while files are hashed.
    files: Mutex<HashMap<PathBuf, (Identity, Digest)>>,
}

impl Hashed {
    /// Size and digest of each of these files. It may read all of them.
    ///
    /// # Errors
    /// `home-io` where one cannot be read.
    pub(super) fn of(&self, files: &[PathBuf]) -> Result<Vec<(u64, Digest)>, WorkshopError> {
        // A panic elsewhere leaves it usable: each write is one insertion.
        let mut known = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let each = files
            .iter()
            .map(|path| file(&mut known, path).map_err(|error| io_error("read", path, &error)));
        each.collect()
    }
}

fn file(
    known: &mut HashMap<PathBuf, (Identity, Digest)>,
    path: &Path,
) -> io::Result<(u64, Digest)> {
    let mut opened = File::open(path)?;
    let identity = Identity::of(&opened)?;
    match known.get(path) {
        Some((of, digest)) if *of == identity => return Ok((identity.size, *digest)),
        _ => {}
    }
    // One that grows meanwhile is cut, and then has another size.
    let mut bounded = (&mut opened).take(identity.size.saturating_add(1));
    let (size, digest) = objects::copy_hashed(&mut bounded, &mut io::sink())?;
    if Identity::of(&opened)? == identity && size == identity.size {
        if known.len() >= FILES_MAX {
            known.clear();
        }
        known.insert(path.to_owned(), (identity, digest));
    }
    Ok((size, digest))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_hashed_once_and_again_when_it_was_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights");
        fs::write(&path, "eight by").unwrap();
        let (hashed, files) = (Hashed::default(), [path.clone()]);
        let found = hashed.of(&files).unwrap();
        assert_eq!(found, [(8, Digest::of(b"eight by"))]);
        // What was kept is told, not what would be read.
        let mark = Digest::of(b"kept");
        hashed.files.lock().unwrap().get_mut(&path).unwrap().1 = mark;
        assert_eq!(hashed.of(&files).unwrap(), [(8, mark)]);
        // As long as before, and another file.
        let other = folder.path().join("other");
        fs::write(&other, "eight bY").unwrap();
        fs::rename(&other, &path).unwrap();
        let found = hashed.of(&files).unwrap();
        assert_eq!(found, [(8, Digest::of(b"eight bY"))]);
        let gone = [path, folder.path().join("gone")];
        assert_eq!(hashed.of(&gone).unwrap_err().code(), "home-io");
    }

    #[test]
    fn of_no_more_files_than_stated_is_a_digest_kept() {
        let folder = tempfile::tempdir().unwrap();
        let file = |at: usize| folder.path().join(at.to_string());
        let files: Vec<PathBuf> = (0..=FILES_MAX).map(file).collect();
        for path in &files {
            fs::write(path, "").unwrap();
        }
        let hashed = Hashed::default();
        assert_eq!(hashed.of(&files).unwrap().len(), files.len());
        assert_eq!(hashed.files.lock().unwrap().len(), 1);
    }
}
