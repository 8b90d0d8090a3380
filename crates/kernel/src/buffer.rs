//! Memory aligned to cache lines, and scratch memory that is reused from call to call.
//!
//! Fresh memory is slow: the system zeroes every page at its first touch. So the scratch of an
//! operation goes back to a list of its thread and is handed out again.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

use crate::slab;

/// `rows` times `width`, as the length of something in memory. Lengths that are compared with it are the only bounds of
/// much that is not checked again: a product that wrapped around would let nonsense pass.
///
/// # Panics
/// If nothing in memory is that long.
#[inline(always)]
pub(crate) fn area(rows: usize, width: usize) -> usize {
    match rows.checked_mul(width) {
        Some(area) if area <= isize::MAX as usize => area,
        _ => panic!("{rows} rows of {width} are more than any memory holds"),
    }
}

/// Words in a cache line.
const LINE_WORDS: usize = 16;
/// Free buffers a thread keeps at most.
const FREE_BUFFERS_MAX: usize = 16;

#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; LINE_WORDS]);

/// A vector of 32-bit words that begins on a cache line; they start as zeros.
#[derive(Clone, Debug, Default)]
pub(crate) struct Words {
    lines: Vec<Line>,
    len: usize,
}

impl Words {
    pub(crate) fn zeroed(len: usize) -> Words {
        Words {
            lines: vec![Line([0; LINE_WORDS]); len.div_ceil(LINE_WORDS)],
            len,
        }
    }

    /// Changes the length, keeping the memory; what it holds is arbitrary afterwards.
    fn reshape(&mut self, len: usize) {
        let lines = len.div_ceil(LINE_WORDS);
        if lines > self.lines.len() {
            // Dropping the old content first spares the copy.
            self.lines = Vec::new();
            self.lines = slab::room(lines);
            self.lines.resize(lines, Line([0; LINE_WORDS]));
        }
        self.len = len;
    }
}

impl Deref for Words {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        // SAFETY: `lines` holds at least `len` initialised words, one after the other.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }
}

impl DerefMut for Words {
    fn deref_mut(&mut self) -> &mut [u32] {
        // SAFETY: as in `deref`, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

thread_local! {
    static FREE: RefCell<Vec<Words>> = const { RefCell::new(Vec::new()) };
}

/// Words for the length of a call, with arbitrary content. Dropping it gives the memory back to the
/// thread's list.
#[derive(Debug)]
pub(crate) struct Scratch(Words);

impl Scratch {
    pub(crate) fn words(len: usize) -> Scratch {
        let mut words = FREE
            .with_borrow_mut(|free| take_best(free, len))
            .unwrap_or_default();
        words.reshape(len);
        Scratch(words)
    }

    /// `len` floats of arbitrary content.
    pub(crate) fn floats(len: usize) -> FloatScratch {
        FloatScratch(Scratch::words(len))
    }
}

/// The smallest free buffer that is large enough, else the largest.
fn take_best(free: &mut Vec<Words>, len: usize) -> Option<Words> {
    let lines = len.div_ceil(LINE_WORDS);
    let fit = |words: &Words| (words.lines.len() < lines, words.lines.len().abs_diff(lines));
    let best = (0..free.len()).min_by_key(|&i| fit(&free[i]))?;
    Some(free.swap_remove(best))
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let words = std::mem::take(&mut self.0);
        // When the thread is ending its list may be gone; then the memory is simply freed.
        let _ended = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < FREE_BUFFERS_MAX {
                free.push(words);
            }
        });
    }
}

impl Deref for Scratch {
    type Target = [u32];
    fn deref(&self) -> &[u32] {
        &self.0
    }
}

impl DerefMut for Scratch {
    fn deref_mut(&mut self) -> &mut [u32] {
        &mut self.0
    }
}

/// [`Scratch`] seen as floats.
#[derive(Debug)]
pub(crate) struct FloatScratch(Scratch);

impl Deref for FloatScratch {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        // SAFETY: words and floats have one size, and every pattern of bits is a float.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }
}

impl DerefMut for FloatScratch {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `deref`, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_area_is_a_length() {
        assert_eq!([area(0, usize::MAX), area(3, 5)], [0, 15]);
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn an_area_does_not_wrap_around() {
        area(1 << 63, 2);
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn an_area_is_no_longer_than_a_slice_can_be() {
        area(1 << 62, 3);
    }

    #[test]
    fn memory_is_aligned_and_comes_back() {
        let first = Scratch::words(1000);
        let address = first.as_ptr();
        assert_eq!(address.addr() % 64, 0);
        assert_eq!(first.len(), 1000);
        drop(first);
        let again = Scratch::floats(900);
        assert_eq!(again.as_ptr().cast(), address);
        assert_eq!(again.len(), 900);
    }

    #[test]
    fn buffers_in_use_are_apart_and_no_length_is_too_small() {
        let mut one = Scratch::words(33);
        let mut two = Scratch::words(33);
        one.fill(1);
        two.fill(2);
        assert!(one.iter().all(|&word| word == 1));
        assert!(Scratch::words(0).is_empty());
    }
}
