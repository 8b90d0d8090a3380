//! Artifacts as the chain reads them: folders named by digest, wherever they lie.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use lathe_evidence::Digest;
use lathe_register::chain::Pieces;

use crate::objects;

/// Largest file of an artifact that is read as a whole: a dataset of some million records.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// The artifacts under one folder.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    root: PathBuf,
}

impl Folders {
    /// Those that lie under `root`.
    pub(crate) fn new(root: PathBuf) -> Folders {
        Folders { root }
    }
}

impl Pieces for Folders {
    fn manifest(&self, artifact: Digest) -> Result<Digest, String> {
        let folder = self.root.join(artifact.to_string());
        let manifest = objects::manifest_of(&folder).map_err(|error| error.to_string())?;
        Ok(manifest.digest())
    }

    fn file(&self, artifact: Digest, path: &str) -> Result<Vec<u8>, String> {
        let path = self.root.join(artifact.to_string()).join(path);
        let file = File::open(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut bytes = Vec::new();
        let read = file
            .take(FILE_BYTES_MAX + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| format!("{}: {error}", path.display()))?;
        if read as u64 > FILE_BYTES_MAX {
            return Err(format!(
                "{} has more than {FILE_BYTES_MAX} bytes",
                path.display()
            ));
        }
        Ok(bytes)
    }
}
