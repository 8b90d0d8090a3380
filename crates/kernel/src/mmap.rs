//! Read-only file maps.

use std::fs::File;
use std::io;
use std::ops::Deref;

/// A file mapped into memory, read-only. The file must not be shortened while mapped: reading past
/// the new end would raise SIGBUS, so map only files that are replaced by renaming.
#[derive(Debug)]
pub struct Mmap {}

impl Mmap {
    /// Maps the whole of `file`. An empty file gives an empty map.
    ///
    /// # Errors
    /// What the system says when the file cannot be read or mapped.
    pub fn map(_file: &File) -> io::Result<Mmap> {
        todo!()
    }
}

impl Deref for Mmap {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        todo!()
    }
}
