//! The bytes of a weight file, and bounded reading of the small files beside it.

use crate::error::EngineError;
use lathe_kernel::mmap::Mmap;
use std::fs::File;
use std::io::Read;
use std::ops::{Deref, Range};
use std::path::Path;

/// Longest file read into memory, in bytes; the largest published `tokenizer.json` is 33 MB.
const TEXT_BYTES_MAX: u64 = 128 << 20;

/// Bytes that stay where they are.
pub(crate) enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl Bytes {
    pub(crate) fn map(path: &Path) -> Result<Self, EngineError> {
        let file = File::open(path).map_err(|error| EngineError::io("open", path, error))?;
        let map = Mmap::map(&file).map_err(|error| EngineError::io("map", path, error))?;
        Ok(Self::Mapped(map))
    }

    /// Gives the memory of what was read back, if it is only mapped: a model's file need not be
    /// held beside its packed form. Reading it again is possible.
    pub(crate) fn let_go(&self, range: Range<usize>) {
        if let Self::Mapped(map) = self {
            map.let_go(range);
        }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Owned(bytes) => bytes,
        }
    }
}

/// Reads a small file; `None` where there is none.
pub(crate) fn read_text(path: &Path) -> Result<Option<Vec<u8>>, EngineError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(EngineError::io("open", path, error)),
    };
    let mut bytes = Vec::new();
    file.take(TEXT_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| EngineError::io("read", path, error))?;
    if bytes.len() as u64 > TEXT_BYTES_MAX {
        return Err(EngineError::TooLarge {
            what: format!("the size of {} in bytes", path.display()),
            found: bytes.len() as u64,
            limit: TEXT_BYTES_MAX,
        });
    }
    Ok(Some(bytes))
}
