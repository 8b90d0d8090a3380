//! What tells a file that was written to, or replaced, from the one that was read before, without reading it again.
//!
//! Nobody who writes into a file or puts another in its place leaves all of it as it was. Where a clock stands still
//! meanwhile, or is set back, it may.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// Where a file lies, how large it is, and when it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    pub(crate) size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    pub(crate) fn of(file: &File) -> io::Result<Identity> {
        let data = file.metadata()?;
        Ok(Identity {
            device: data.dev(),
            inode: data.ino(),
            size: data.size(),
            modified: (data.mtime(), data.mtime_nsec()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }
}
