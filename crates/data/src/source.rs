//! Where bytes come from, as a pack writes it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::DataError;

/// A source: an origin and the way through archives inside archives to one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Source {
    /// Where the outermost file comes from.
    pub origin: Origin,
    /// The path of the wanted file inside the archive, then inside that, and so on; empty when the
    /// outermost file is wanted itself.
    pub inner: Vec<String>,
}

/// Where the outermost file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Origin {
    /// `pypi:NAME==VERSION`: a file of that version in the package index pip is configured with.
    Pypi {
        /// The package's name, normalised.
        name: String,
        /// The version as written.
        version: String,
    },
    /// `file:PATH`, relative to the pack; a file, or a folder taken whole.
    File {
        /// The path as written.
        path: String,
    },
    /// `http:` or `https:`.
    Http {
        /// The whole address without its fragment.
        url: String,
    },
    /// `hf:OWNER/NAME@REVISION#PATH`, a file of a Hugging Face repository; without PATH its model
    /// files as a folder. `hf:datasets/OWNER/NAME@REVISION#PATH` for a dataset repository.
    Hf {
        /// Whether it is a dataset repository.
        dataset: bool,
        /// OWNER/NAME.
        repository: String,
        /// Branch, tag or commit.
        revision: String,
        /// The path in the repository.
        path: Option<String>,
    },
}

impl FromStr for Source {
    type Err = DataError;

    fn from_str(_text: &str) -> Result<Self, DataError> {
        todo!()
    }
}

impl fmt::Display for Source {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        todo!()
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
