//! Finished artifacts: folders named by the digest of their manifest.
//!
//! An artifact is built in `tmp/`, its files are made durable and read-only,
//! and one rename puts it at `objects/DIGEST/`. So an object is whole or not
//! there. Which objects are wanted is the store's business; what the store
//! does not know is swept when a daemon starts.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::digest::Hasher;
use lathe_evidence::manifest::{Manifest, ManifestFile};

use crate::error::WorkshopError;
use crate::home::{Home, io_error};

/// An artifact that has been put into its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Digest of the manifest; the folder's name.
    pub digest: Digest,
    /// The files.
    pub manifest: Manifest,
    /// Sum of the files' sizes.
    pub bytes: u64,
}

/// Where the object with this digest lies, whether or not it is there.
pub fn path(home: &Home, digest: &str) -> PathBuf {
    home.objects().join(digest)
}

/// Hashes the folder `built` (which lies in `tmp/`), makes it durable and moves it to its place.
/// A folder with the same content that is already there stays.
///
/// # Errors
/// `disk-full`, `read-only` or `home-io`.
pub fn seal(home: &Home, built: &Path) -> Result<Sealed, WorkshopError> {
    place(home, built, manifest_of(built)?)
}

/// Like [`seal`], for a folder that this process filled and hashed while it did.
///
/// # Errors
/// As [`seal`].
pub(crate) fn place(
    home: &Home,
    built: &Path,
    manifest: Manifest,
) -> Result<Sealed, WorkshopError> {
    let digest = manifest.digest();
    let bytes = manifest.bytes();
    let place = path(home, &digest.to_string());
    if place.is_dir() {
        remove(built)?;
    } else {
        freeze(built)?;
        fs::rename(built, &place).map_err(|error| io_error("move into place", &place, &error))?;
        sync_folder(&home.objects())?;
        crate::pause::written();
    }
    Ok(Sealed {
        digest,
        manifest,
        bytes,
    })
}

/// The manifest of all files under `folder`, paths relative to it with `/` between their parts.
///
/// # Errors
/// When a file cannot be read.
pub fn manifest_of(folder: &Path) -> Result<Manifest, WorkshopError> {
    let mut files = Vec::new();
    for path in files_under(folder)? {
        let (size, sha256) = hash_file(&path)?;
        let relative = path.strip_prefix(folder).expect("files_under stays inside");
        let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
        files.push(ManifestFile {
            path: parts.join("/"),
            size,
            sha256,
        });
    }
    Manifest::new(files).map_err(|error| {
        WorkshopError::new(
            "object-name",
            format!(
                "cannot describe {} as an artifact: {error}",
                folder.display()
            ),
            "rename the file",
        )
    })
}

/// Removes everything in `tmp/`, and every object whose digest is not `wanted`.
/// Only the holder of the home may call this, once no worker lives.
///
/// # Errors
/// When something cannot be read or removed.
pub fn sweep(home: &Home, wanted: &dyn Fn(&str) -> bool) -> Result<usize, WorkshopError> {
    let mut removed = 0;
    for entry in entries(&home.tmp())? {
        remove(&entry)?;
        removed += 1;
    }
    for entry in entries(&home.objects())? {
        let known = entry
            .file_name()
            .is_some_and(|name| wanted(&name.to_string_lossy()));
        if !known {
            remove(&entry)?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Removes the checkpoint folders whose name is not `wanted`; same conditions as [`sweep`].
///
/// # Errors
/// When something cannot be read or removed.
pub fn sweep_work(home: &Home, wanted: &dyn Fn(&str) -> bool) -> Result<(), WorkshopError> {
    for entry in entries(&home.work())? {
        let known = entry
            .file_name()
            .is_some_and(|name| wanted(&name.to_string_lossy()));
        if !known {
            remove(&entry)?;
        }
    }
    Ok(())
}

/// Removes a file, or a folder with all in it, read-only or not. Nothing there is no error.
///
/// # Errors
/// When something cannot be removed.
pub fn remove(path: &Path) -> Result<(), WorkshopError> {
    let fail = |error: io::Error| io_error("remove", path, &error);
    let Ok(data) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !data.is_dir() {
        return fs::remove_file(path).map_err(fail);
    }
    // Whoever made it read-only, it is ours to remove.
    fs::set_permissions(path, Permissions::from_mode(0o755)).map_err(fail)?;
    for entry in entries(path)? {
        remove(&entry)?;
    }
    fs::remove_dir(path).map_err(fail)
}

/// What lies directly in a folder, sorted.
///
/// # Errors
/// When it cannot be listed.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, WorkshopError> {
    let list = || -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(folder)? {
            paths.push(entry?.path());
        }
        paths.sort();
        Ok(paths)
    };
    list().map_err(|error| io_error("list", folder, &error))
}

/// Every file below `folder`. A link is an error: an artifact holds bytes, not pointers.
pub(crate) fn files_under(folder: &Path) -> Result<Vec<PathBuf>, WorkshopError> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in entries(&next)? {
            let data = fs::symlink_metadata(&entry)
                .map_err(|error| io_error("look at", &entry, &error))?;
            if data.is_dir() {
                folders.push(entry);
            } else if data.is_file() {
                files.push(entry);
            } else {
                return Err(WorkshopError::new(
                    "object-not-a-file",
                    format!("{} is neither a file nor a folder", entry.display()),
                    "replace links and devices by plain files",
                ));
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Size and SHA-256 of a file, read in pieces.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn hash_file(path: &Path) -> Result<(u64, Digest), WorkshopError> {
    let hash = || copy_hashed(&mut File::open(path)?, &mut io::sink());
    hash().map_err(|error| io_error("read", path, &error))
}

/// Copies in pieces; gives size and SHA-256 of what was copied.
///
/// # Errors
/// When it can be neither read nor written.
pub(crate) fn copy_hashed(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<(u64, Digest)> {
    let mut hasher = Hasher::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finish()));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}

/// Makes all files durable and read-only, then the folders that name them.
fn freeze(folder: &Path) -> Result<(), WorkshopError> {
    let mut folders = BTreeSet::from([folder.to_path_buf()]);
    for path in files_under(folder)? {
        let fail = |error: io::Error| io_error("make durable", &path, &error);
        File::open(&path)
            .and_then(|file| file.sync_all())
            .map_err(fail)?;
        fs::set_permissions(&path, Permissions::from_mode(0o444)).map_err(fail)?;
        let above = path.ancestors().skip(1);
        folders.extend(
            above
                .take_while(|above| above.starts_with(folder))
                .map(Path::to_path_buf),
        );
    }
    folders.iter().try_for_each(|folder| sync_folder(folder))
}

fn sync_folder(folder: &Path) -> Result<(), WorkshopError> {
    File::open(folder)
        .and_then(|file| file.sync_all())
        .map_err(|error| io_error("make durable", folder, &error))
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

    fn build(home: &Home, name: &str) -> PathBuf {
        let built = home.tmp().join(name);
        fs::create_dir_all(built.join("b")).unwrap();
        fs::write(built.join("b/two"), "2").unwrap();
        fs::write(built.join("one"), "1").unwrap();
        built
    }

    #[test]
    fn equal_content_is_one_read_only_object() {
        let (_folder, home) = home();
        let first = seal(&home, &build(&home, "x")).unwrap();
        let second = seal(&home, &build(&home, "y")).unwrap();
        assert_eq!(first, second);
        assert_eq!(first.bytes, 2);
        assert_eq!(entries(&home.tmp()).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(entries(&home.objects()).unwrap().len(), 1);
        let place = path(&home, &first.digest.to_string());
        let mode = fs::metadata(place.join("one")).unwrap().permissions();
        assert!(mode.readonly());
        assert_eq!(manifest_of(&place).unwrap(), first.manifest);
    }

    #[test]
    fn what_the_store_does_not_know_is_swept() {
        let (_folder, home) = home();
        let kept = seal(&home, &build(&home, "x")).unwrap().digest.to_string();
        let lost = build(&home, "y");
        fs::write(lost.join("three"), "3").unwrap();
        let lost = seal(&home, &lost).unwrap().digest.to_string();
        build(&home, "half-built");
        assert_eq!(sweep(&home, &|digest| digest == kept).unwrap(), 2);
        assert!(path(&home, &kept).is_dir());
        assert!(!path(&home, &lost).exists());
    }

    #[test]
    fn a_link_is_no_artifact() {
        let (_folder, home) = home();
        let built = build(&home, "x");
        std::os::unix::fs::symlink("/etc/passwd", built.join("link")).unwrap();
        assert_eq!(seal(&home, &built).unwrap_err().code(), "object-not-a-file");
    }
}
