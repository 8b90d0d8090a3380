//! Read-only file maps. Nothing is written through them and nothing is locked.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::{Deref, Range};
use std::ptr::NonNull;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap, munmap};

/// A file mapped into memory, read-only. The file must not be shortened or written to while it is
/// mapped (reading past a new end raises SIGBUS): map only files that are replaced by renaming.
///
/// No type can hold other programs to that, and callers could not vouch for it in an `unsafe` block:
/// code outside of this crate may not use `unsafe`. So [`Mmap::map`] is safe to call, and this is the one
/// promise about memory that the compiler does not check. It is kept by what writes the files: beside
/// their names, and then renamed.
#[derive(Debug)]
pub struct Mmap {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the map is only ever read.
unsafe impl Send for Mmap {}
// SAFETY: the map is only ever read.
unsafe impl Sync for Mmap {}

impl Mmap {
    /// Maps the whole of `file`. An empty file gives an empty map.
    ///
    /// # Errors
    /// What the system says when the file cannot be read or mapped.
    pub fn map(file: &File) -> io::Result<Mmap> {
        let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        if len == 0 {
            return Ok(Mmap {
                start: NonNull::dangling(),
                len,
            });
        }
        // SAFETY: a new private map at an address of the system's choice touches no existing memory.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ,
                MapFlags::PRIVATE,
                file,
                0,
            )?
        };
        let start = NonNull::new(start.cast())
            .ok_or_else(|| io::Error::other("the system mapped the file at zero"))?;
        Ok(Mmap { start, len })
    }

    /// Gives the memory of the whole pages in `range` back to the system; reading them again brings
    /// them back from the file.
    ///
    /// # Panics
    /// If `range` is not inside the map.
    pub fn let_go(&self, range: Range<usize>) {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} is outside of 0..{}",
            self.len
        );
        let page = rustix::param::page_size();
        let start = range.start.next_multiple_of(page);
        let end = range.end / page * page;
        if start < end {
            // SAFETY: whole pages of this map, which is private and never written: what comes back
            // after this is the file's content, as before. A failure only leaves the pages where
            // they are.
            let _advised = unsafe {
                let address = self.start.as_ptr().add(start).cast::<c_void>();
                madvise(address, end - start, Advice::LinuxDontNeed)
            };
        }
    }
}

impl Deref for Mmap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `len` readable bytes begin at `start` for as long as `self` lives, or `len` is zero.
        // That nobody changes them is what the type's documentation asks of the file.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Mmap {
    fn drop(&mut self) {
        if self.len > 0 {
            // SAFETY: exactly what `map` mapped, and no borrow of it is left. A failure would leak it.
            let _unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_with(name: &str, content: &[u8]) -> (std::path::PathBuf, File) {
        let path =
            std::env::temp_dir().join(format!("lathe-kernel-mmap-{}-{name}", std::process::id()));
        File::create(&path)
            .and_then(|mut file| file.write_all(content))
            .expect("the temporary folder is writable");
        let file = File::open(&path).expect("just written");
        (path, file)
    }

    #[test]
    fn a_map_reads_as_the_file_does_even_after_it_is_removed() {
        let content: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        let (path, file) = file_with("some", &content);
        let map = Mmap::map(&file).expect("a plain file");
        drop(file);
        std::fs::remove_file(path).expect("still there");
        assert_eq!(&*map, &content[..]);
    }

    #[test]
    fn what_was_let_go_is_read_again() {
        let content: Vec<u8> = (0..50_000_u32).map(|i| (i % 239) as u8).collect();
        let (path, file) = file_with("let-go", &content);
        let map = Mmap::map(&file).expect("a plain file");
        for range in [0..0, 5..9_000, 0..50_000, 49_999..50_000, 50_000..50_000] {
            assert_eq!(&*map, &content[..]);
            map.let_go(range);
        }
        assert_eq!(&*map, &content[..]);
        std::fs::remove_file(path).expect("still there");
    }

    #[test]
    fn an_empty_file_gives_an_empty_map() {
        let (path, file) = file_with("empty", &[]);
        assert!(Mmap::map(&file).expect("a plain file").is_empty());
        std::fs::remove_file(path).expect("still there");
    }

    #[test]
    fn what_is_no_file_is_an_error() {
        let folder = File::open(std::env::temp_dir()).expect("a folder opens");
        assert!(Mmap::map(&folder).is_err());
    }
}
