//! A bundle as one file, for whoever fetches it and names no folder of the workshop's machine.
//!
//! A bundle carries records and the whole ledger: whoever fetches one may read both. Not here: the right to hand a
//! deployment on, which is `operate` in its project (the guard of `lathe_web`).

use std::fs::File;
use std::io::{self, BufWriter, Seek as _};
use std::path::Path;

use super::ExportRequest;
use super::export::stumbled;
use crate::error::WorkshopError;
use crate::home::io_error;
use crate::people::{Right, reach};
use crate::workshop::Workshop;

/// The folder that the archive holds.
const FOLDER: &str = "bundle";

impl Workshop {
    /// The bundle of what is deployed under a name, as a tar archive in a file without a name: it is gone with its
    /// last reader.
    ///
    /// # Errors
    /// `right-denied` for whoever may not read all of it; those of [`Workshop::export_bundle`].
    pub async fn bundle_archive(&self, name: &str) -> Result<File, WorkshopError> {
        readable(name)?;
        let tmp = self.home().tmp();
        let folder = tempfile::tempdir_in(&tmp)
            .map_err(|error| io_error("create a folder in", &tmp, &error))?;
        let request = ExportRequest {
            name: name.to_owned(),
            folder: folder.path().join(FOLDER),
        };
        self.export_bundle(&request).await?;
        // The folder goes when it is in the archive.
        let written = reach::spawn_blocking(move || archive(&folder.path().join(FOLDER), &tmp));
        written.await.map_err(stumbled)?
    }
}

/// Refuses whoever may not read the records and the whole ledger.
fn readable(name: &str) -> Result<(), WorkshopError> {
    let reads_all =
        |it: &reach::Reach| it.may_here(Right::Look) && it.may_name(Right::Records, name);
    match reach::now().as_ref().is_none_or(reads_all) {
        true => Ok(()),
        false => Err(WorkshopError::new(
            "right-denied",
            "a bundle holds the data and the whole ledger, and your roles do not let you read both",
            "ask an administrator of the workshop for a role that does, or somebody who has one",
        )),
    }
}

fn archive(bundle: &Path, tmp: &Path) -> Result<File, WorkshopError> {
    let fail = |error: io::Error| io_error("write an archive in", tmp, &error);
    let file = tempfile::tempfile_in(tmp).map_err(fail)?;
    let mut tar = tar::Builder::new(BufWriter::new(file));
    // Nothing of this machine: neither owners nor times.
    tar.mode(tar::HeaderMode::Deterministic);
    tar.append_dir_all(FOLDER, bundle).map_err(fail)?;
    let written = tar.into_inner().map_err(fail)?;
    let mut file = written
        .into_inner()
        .map_err(|error| fail(error.into_error()))?;
    file.rewind().map_err(fail)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn the_archive_holds_the_folder_and_nothing_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let bundle = folder.path().join("b");
        fs::create_dir_all(bundle.join("objects/a")).unwrap();
        fs::write(bundle.join("bundle.json"), "{}").unwrap();
        fs::write(bundle.join("objects/a/weights"), [7; 3000]).unwrap();
        let file = archive(&bundle, folder.path()).unwrap();
        let mut found = Vec::new();
        for entry in tar::Archive::new(file).entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().uid().unwrap(), 0);
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            if entry.header().entry_type().is_file() {
                found.push((path, bytes.len()));
            }
        }
        found.sort();
        let expected = [
            ("bundle/bundle.json".to_owned(), 2),
            ("bundle/objects/a/weights".to_owned(), 3000),
        ];
        assert_eq!(found, expected);
        // Beside the bundle nothing is left that has a name.
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
