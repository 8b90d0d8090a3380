//! A prepared dataset as a folder: records.jsonl, salts.jsonl, dataset.json.

use std::path::Path;

use crate::prepare::Prepared;
use crate::{DataError, DataSpec};

/// A prepared dataset with its terms, as the folder holds it.
#[derive(Debug, Clone, PartialEq)]
pub struct Dataset {
    /// The section of the pack it was prepared by.
    pub spec: DataSpec,
    /// The digest of the file it was read from.
    pub file: lathe_evidence::Digest,
    /// The encoding the file was in.
    pub encoding: String,
    /// The records and what was left out.
    pub prepared: Prepared,
}

impl Dataset {
    /// Writes the dataset's files into `folder`, which must exist; neither time nor path enters.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn save(&self, _folder: &Path) -> Result<(), DataError> {
        todo!()
    }

    /// Reads a dataset back, and checks every leaf and the root.
    ///
    /// # Errors
    /// Those of the file system; files that disagree.
    pub fn load(_folder: &Path) -> Result<Self, DataError> {
        todo!()
    }
}
