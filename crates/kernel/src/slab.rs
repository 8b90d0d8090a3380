//! Memory in large pages, for what is read or written from end to end.
//!
//! Every step of an answer reads all weights once. In pages of 4 KiB that is a miss of the
//! translation cache every 64 lines, which costs about a tenth of the bandwidth; so matrices are cut
//! from slabs for which the system is asked for large pages. A slab goes back to the system when its
//! last matrix does. Long vectors of floats ask for them by themselves ([`room`]).

use std::ffi::c_void;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

use crate::buffer::{Words, area};

/// Bytes of a slab, if no matrix needs more. A page that nothing was written to takes no memory.
const SLAB_BYTES: usize = 32 << 20;
/// A page of the larger kind.
const LARGE_PAGE: usize = 2 << 20;
/// Pieces begin on cache lines.
const ALIGNMENT: usize = 64;

/// An empty vector with room for `len` elements, in large pages where it is long.
pub fn room<T>(len: usize) -> Vec<T> {
    let mut vector = Vec::with_capacity(len);
    let room = vector.spare_capacity_mut();
    let address = room.as_mut_ptr().cast::<u8>();
    let before = address.align_offset(LARGE_PAGE);
    let pages = size_of_val(room).saturating_sub(before) / LARGE_PAGE;
    if pages > 0 {
        // SAFETY: whole pages inside the vector's memory; advice changes nothing of their content.
        // Refused, it only is slower.
        let _advised = unsafe {
            let first = address.add(before).cast::<c_void>();
            madvise(first, pages * LARGE_PAGE, Advice::LinuxHugepage)
        };
    }
    vector
}

/// `len` zeros, in large pages where they are many.
pub fn zeros(len: usize) -> Vec<f32> {
    let mut floats = room(len);
    floats.resize(len, 0.0);
    floats
}

/// The slab that is being cut, and how much of it is taken.
static CURRENT: Mutex<(Weak<Slab>, usize)> = Mutex::new((Weak::new(), 0));

#[derive(Debug)]
struct Slab {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: a slab is only an address and a length; its memory is reached through pieces.
unsafe impl Send for Slab {}
// SAFETY: as above.
unsafe impl Sync for Slab {}

impl Slab {
    /// Zeroed memory of at least `bytes`.
    ///
    /// # Panics
    /// If the system has no more memory, as any allocation does.
    fn new(bytes: usize) -> Slab {
        let len = bytes.next_multiple_of(LARGE_PAGE);
        // SAFETY: a new private map at an address of the system's choice touches no existing memory.
        let start = unsafe {
            mmap_anonymous(
                std::ptr::null_mut(),
                len,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE,
            )
        };
        let start = start.unwrap_or_else(|error| panic!("no memory for {len} bytes: {error}"));
        // SAFETY: the map just made. Without large pages it only is slower.
        let _advised = unsafe { madvise(start, len, Advice::LinuxHugepage) };
        Slab {
            start: NonNull::new(start.cast()).expect("the system maps nothing at zero"),
            len,
        }
    }
}

impl Drop for Slab {
    fn drop(&mut self) {
        // SAFETY: exactly what `new` mapped; every piece holds the slab, so none is left.
        let _unmapped = unsafe { munmap(self.start.as_ptr().cast::<c_void>(), self.len) };
    }
}

/// Words of a matrix; they start as zeros.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// None for no words.
    slab: Option<Arc<Slab>>,
    /// Bytes from the slab's start.
    at: usize,
    words: usize,
}

impl Piece {
    pub(crate) fn zeroed(words: usize) -> Piece {
        if words == 0 {
            return Piece::default();
        }
        let bytes = area(words, size_of::<u32>()).next_multiple_of(ALIGNMENT);
        let mut current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner);
        let (slab, taken) = &mut *current;
        let fitting = slab.upgrade().filter(|slab| slab.len - *taken >= bytes);
        let found = fitting.unwrap_or_else(|| {
            let new = Arc::new(Slab::new(bytes.max(SLAB_BYTES)));
            (*slab, *taken) = (Arc::downgrade(&new), 0);
            new
        });
        let at = *taken;
        *taken += bytes;
        Piece {
            slab: Some(found),
            at,
            words,
        }
    }

    fn start(&self) -> NonNull<u32> {
        self.slab.as_ref().map_or(NonNull::dangling(), |slab| {
            // SAFETY: the slab is longer than where its pieces begin.
            unsafe { slab.start.add(self.at) }.cast()
        })
    }
}

/// Words of a matrix in memory of their own, or cut from a slab.
#[derive(Clone, Debug)]
pub(crate) enum Storage {
    Own(Words),
    Cut(Piece),
}

impl Storage {
    /// Zeros in memory of their own, as what is soon dropped again should have it.
    pub(crate) fn own(words: usize) -> Storage {
        Storage::Own(Words::zeroed(words))
    }

    /// Zeros cut from a slab.
    pub(crate) fn cut(words: usize) -> Storage {
        Storage::Cut(Piece::zeroed(words))
    }
}

impl Deref for Storage {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        match self {
            Storage::Own(words) => words,
            Storage::Cut(piece) => piece,
        }
    }
}

impl DerefMut for Storage {
    fn deref_mut(&mut self) -> &mut [u32] {
        match self {
            Storage::Own(words) => words,
            Storage::Cut(piece) => piece,
        }
    }
}

impl Clone for Piece {
    fn clone(&self) -> Piece {
        let mut copy = Piece::zeroed(self.words);
        copy.copy_from_slice(self);
        copy
    }
}

impl Deref for Piece {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        // SAFETY: `words` words of the slab are this piece's alone; the system zeroed them.
        unsafe { std::slice::from_raw_parts(self.start().as_ptr(), self.words) }
    }
}

impl DerefMut for Piece {
    fn deref_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `deref`, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.start().as_ptr(), self.words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_zeroed_aligned_and_apart() {
        let sizes = [1, 15, 16, 17, 0, 100_000, SLAB_BYTES / 4 + 1, 5];
        let mut pieces: Vec<Piece> = sizes.into_iter().map(Piece::zeroed).collect();
        for (index, piece) in pieces.iter_mut().enumerate() {
            assert_eq!(piece.len(), sizes[index]);
            assert!(piece.iter().all(|&word| word == 0));
            assert_eq!(
                piece.as_ptr() as usize % if piece.is_empty() { 1 } else { 64 },
                0
            );
            piece.fill(index as u32 + 1);
        }
        for (index, piece) in pieces.iter().enumerate() {
            assert!(piece.iter().all(|&word| word == index as u32 + 1));
            let copy = piece.clone();
            assert_eq!(copy[..], piece[..]);
        }
    }

    #[test]
    fn a_slab_outlives_the_piece_that_began_it() {
        let mut second = {
            let _first = Piece::zeroed(64);
            Piece::zeroed(64)
        };
        second.fill(7);
        let third = Piece::zeroed(64);
        assert!(second.iter().all(|&word| word == 7));
        assert!(third.iter().all(|&word| word == 0));
    }

    #[test]
    fn threads_get_different_pieces() {
        let pieces: Vec<Piece> = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=4_u32)
                .map(|value| {
                    scope.spawn(move || {
                        let mut pieces: Vec<Piece> = (0..50).map(|_| Piece::zeroed(999)).collect();
                        pieces.iter_mut().for_each(|piece| piece.fill(value));
                        pieces
                    })
                })
                .collect();
            let all = threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap());
            all.collect()
        });
        for piece in pieces {
            assert!(piece.iter().all(|&word| word == piece[0] && word > 0));
        }
    }
}
