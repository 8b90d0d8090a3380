//! How the codes of a block come out of the words they are held in.

use super::pack::{BLOCK, VECTORS};
use crate::simd::Simd;

/// One way of holding codes.
pub(super) trait Codes {
    /// Values along the depth that share a scale.
    const DEPTHS: usize = BLOCK;
    /// Words of a block of one column.
    const WORDS: usize;
    /// Words of the same in the panels of lower halves.
    const LOWER_WORDS: usize = 0;
    /// What is taken for a code above what is read of it.
    const ABOVE: i32 = 0;

    /// Bytes of the codes at depths 8 · `pair` to 8 · `pair` + 3 and of the four that follow, for a
    /// vector of columns.
    ///
    /// # Safety
    /// The records must have their words.
    unsafe fn pair<S: Simd>(
        s: S,
        records: (*const u32, *const u32),
        pair: usize,
        vector: usize,
    ) -> [S::U; 2];
}

/// Where the words of a vector are.
#[inline(always)]
fn place<S: Simd>(record: *const u32, word: usize, vector: usize) -> *const u32 {
    record.wrapping_add((word * VECTORS + vector) * S::LANES)
}

/// Two codes a byte.
pub(super) struct FourBits;

impl Codes for FourBits {
    const WORDS: usize = 4;

    #[inline(always)]
    unsafe fn pair<S: Simd>(
        s: S,
        (w, _): (*const u32, *const u32),
        pair: usize,
        vector: usize,
    ) -> [S::U; 2] {
        // SAFETY: passed on.
        let codes = unsafe { s.load_words(place::<S>(w, pair, vector)) };
        [s.low_nibbles(codes), s.high_nibbles(codes)]
    }
}

/// A code a byte, `DEPTHS` of a block.
pub(super) struct EightBits<const DEPTHS: usize>;

impl<const DEPTHS: usize> Codes for EightBits<DEPTHS> {
    const DEPTHS: usize = DEPTHS;
    const WORDS: usize = DEPTHS / 4;

    #[inline(always)]
    unsafe fn pair<S: Simd>(
        s: S,
        (w, _): (*const u32, *const u32),
        pair: usize,
        vector: usize,
    ) -> [S::U; 2] {
        // SAFETY: passed on.
        unsafe {
            [
                s.load_words(place::<S>(w, 2 * pair, vector)),
                s.load_words(place::<S>(w, 2 * pair + 1, vector)),
            ]
        }
    }
}

/// The upper halves of codes of 8 bits; the lower are taken for 8.
pub(super) struct UpperHalves;

impl Codes for UpperHalves {
    const WORDS: usize = 4;
    const ABOVE: i32 = 8;

    #[inline(always)]
    unsafe fn pair<S: Simd>(
        s: S,
        (w, _): (*const u32, *const u32),
        pair: usize,
        vector: usize,
    ) -> [S::U; 2] {
        // SAFETY: passed on.
        let upper = unsafe { s.load_words(place::<S>(w, pair, vector)) };
        [s.low_nibbles_above(upper), s.high_nibbles_above(upper)]
    }
}

/// Codes of 8 bits whose halves lie apart.
pub(super) struct SplitBits;

impl Codes for SplitBits {
    const WORDS: usize = 4;
    const LOWER_WORDS: usize = 4;

    #[inline(always)]
    unsafe fn pair<S: Simd>(
        s: S,
        (w, lower): (*const u32, *const u32),
        pair: usize,
        vector: usize,
    ) -> [S::U; 2] {
        // SAFETY: passed on.
        let (upper, lower) = unsafe {
            (
                s.load_words(place::<S>(w, pair, vector)),
                s.load_words(place::<S>(lower, pair, vector)),
            )
        };
        [
            s.or(s.low_nibbles_above(upper), s.low_nibbles(lower)),
            s.or(s.high_nibbles_above(upper), s.high_nibbles(lower)),
        ]
    }
}
