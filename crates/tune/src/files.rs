//! Writing files so that a killed process leaves either the old or the new, never half of one.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use crate::TuneError;

/// Writes `bytes` to `path` and waits until the disk has them.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), TuneError> {
    let mut file = File::create(path).map_err(TuneError::file("create", path))?;
    file.write_all(bytes)
        .map_err(TuneError::file("write", path))?;
    file.sync_all().map_err(TuneError::file("write", path))
}

/// Gives the finished folder `from` its final name and waits until the disk knows it.
pub(crate) fn rename_durably(from: &Path, to: &Path) -> Result<(), TuneError> {
    sync_folder(from)?;
    fs::rename(from, to).map_err(TuneError::file("rename", from))?;
    to.parent().map_or(Ok(()), sync_folder)
}

/// Removes a folder that may not be there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), TuneError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TuneError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), TuneError> {
    let folder = File::open(path).map_err(TuneError::file("open", path))?;
    folder.sync_all().map_err(TuneError::file("write", path))
}
