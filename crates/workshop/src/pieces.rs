//! Artifacts as the chain reads them: folders named by digest, wherever they lie.

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use lathe_evidence::Digest;
use lathe_register::chain::Pieces;

use crate::objects;

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

    fn open(&self, artifact: Digest, path: &str) -> Result<Box<dyn Read + '_>, String> {
        let path = self.root.join(artifact.to_string()).join(path);
        match File::open(&path) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(format!("{}: {error}", path.display())),
        }
    }
}
