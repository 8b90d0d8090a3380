//! The home folder of a workshop.

use std::path::{Path, PathBuf};

/// A home folder.
#[derive(Debug, Clone)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }
}
