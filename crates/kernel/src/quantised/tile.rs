//! The inner loop: tiles of sums held in registers.
//!
//! The sums of one output element run over the blocks in order, in one register lane, whatever the
//! size of the tile it is part of.

use super::READING_ROWS_MAX;
use super::codes::{Codes, EightBits, FourBits, SplitBits, UpperHalves};
use super::input::Input;
use super::pack::{BLOCK, Bits, QuantisedMatrix, VECTORS, WIDE_BLOCK};
use crate::simd::{Kernel, Simd};

/// How far ahead of its use a weight is asked for, in words.
///
/// Where the arithmetic of a block takes longer than reading it, what the processor fetches by itself comes
/// too late and stops at every panel. Where nothing but reading is to be done, it fetches faster when left
/// alone: asking for every line takes places in the queue of misses that are wanted (a sixth of an answer's
/// time on Zen 4).
const AHEAD_WORDS: usize = 2 * 1024;
/// Asked for before the first block of a part that is read so, until the processor knows the way.
const FIRST_WORDS: usize = 256;
/// Words of a line of the cache.
const LINE_WORDS: usize = 16;

/// Some rows times some panels.
pub(super) struct Rows<'a> {
    pub(super) input: &'a Input,
    pub(super) first: usize,
    pub(super) rows: usize,
    pub(super) weights: &'a QuantisedMatrix,
    pub(super) panel: usize,
    pub(super) columns: usize,
    /// The first output element; rows are `weights.columns` apart.
    pub(super) out: *mut f32,
    pub(super) accumulate: bool,
    /// Reads no more than the upper halves of split codes.
    pub(super) first_look: bool,
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let w = self.weights;
        match (w.bits, w.zero.is_none(), &w.lower) {
            (Bits::Four, false, None) => self.panels::<S, FourBits, false>(s),
            (Bits::Four, true, _) => self.panels::<S, FourBits, true>(s),
            (Bits::Eight, false, _) if w.block == WIDE_BLOCK => {
                self.panels::<S, EightBits<WIDE_BLOCK>, false>(s);
            }
            (Bits::Eight, false, _) => self.panels::<S, EightBits<BLOCK>, false>(s),
            (Bits::Eight, true, _) => self.panels::<S, EightBits<BLOCK>, true>(s),
            (Bits::Four, false, Some(_)) if self.first_look => {
                self.panels::<S, UpperHalves, false>(s);
            }
            (Bits::Four, false, Some(_)) => self.panels::<S, SplitBits, false>(s),
        }
    }
}

impl Rows<'_> {
    #[inline(always)]
    fn panels<S: Simd, C: Codes, const OFFSETS: bool>(&self, s: S) {
        let (w, width) = (self.weights, VECTORS * S::LANES);
        let zero = i32::from(w.zero.unwrap_or(0)) - C::ABOVE;
        let lower = w.lower.as_ref().map_or(&[][..], |lower| &lower.words);
        let lower_words = self.input.blocks * C::LOWER_WORDS * width;
        let (first, ahead) = match self.rows > READING_ROWS_MAX {
            true => (AHEAD_WORDS, AHEAD_WORDS),
            false => (FIRST_WORDS, 0),
        };
        let words = &w.words[self.panel * w.panel_words()..];
        ask_for(s, words.as_ptr(), first);
        for panel in 0..self.columns.div_ceil(width) {
            let mut row = 0;
            while row < self.rows {
                let at = (self.first + row) * self.input.blocks;
                let tile = Tile {
                    codes: self.input.codes()[at * C::DEPTHS / 4..].as_ptr(),
                    scales: self.input.scales()[at..].as_ptr(),
                    sums: self.input.sums()[at..].as_ptr(),
                    scaled_sums: self.input.scaled_sums()[at..].as_ptr(),
                    blocks: self.input.blocks,
                    w: w.words[(self.panel + panel) * w.panel_words()..].as_ptr(),
                    lower: lower[(self.panel + panel) * lower_words..].as_ptr(),
                    zero,
                    out: self.out.wrapping_add(row * w.columns + panel * width),
                    out_stride: w.columns,
                    columns: width.min(self.columns - panel * width),
                    accumulate: self.accumulate,
                    ahead: if row == 0 { ahead } else { 0 },
                };
                // SAFETY: the input has the rows, the weights the panel, and nobody else writes to
                // these rows and columns.
                row += unsafe { some_rows::<S, C, OFFSETS>(s, &tile, self.rows - row) };
            }
        }
    }
}

/// Asks for the `words` words from `at` on.
#[inline(always)]
fn ask_for<S: Simd>(s: S, at: *const u32, words: usize) {
    for word in (0..words).step_by(LINE_WORDS) {
        s.prefetch(at.wrapping_add(word).cast());
    }
}

/// A tile by pointers; its input rows are `blocks` blocks apart.
struct Tile {
    codes: *const u32,
    scales: *const f32,
    sums: *const u32,
    scaled_sums: *const f32,
    blocks: usize,
    w: *const u32,
    /// Where [`Codes::LOWER_WORDS`] says so.
    lower: *const u32,
    zero: i32,
    out: *mut f32,
    out_stride: usize,
    columns: usize,
    accumulate: bool,
    /// How far ahead weights are asked for, in words; 0 for not at all.
    ahead: usize,
}

/// Computes as many of `rows` rows as one tile takes and returns their number.
///
/// # Safety
/// The tile's pointers must be good for its blocks, columns and as many rows.
#[inline(always)]
unsafe fn some_rows<S: Simd, C: Codes, const OFFSETS: bool>(
    s: S,
    tile: &Tile,
    rows: usize,
) -> usize {
    macro_rules! largest_tile {
        ($($size:literal),*) => {
            $(
                // Half of a float product's rows: there are two sums for each element.
                if rows >= $size && S::TILE_ROWS >= 2 * $size {
                    // SAFETY: passed on.
                    unsafe { tile.run::<S, C, OFFSETS, $size>(s) };
                    return $size;
                }
            )*
        };
    }
    largest_tile!(6, 4, 3, 2, 1);
    unreachable!("a tile of one row fits every instruction set")
}

impl Tile {
    /// # Safety
    /// As [`some_rows`], for `ROWS` rows.
    #[inline(always)]
    unsafe fn run<S: Simd, C: Codes, const OFFSETS: bool, const ROWS: usize>(&self, s: S) {
        let width = VECTORS * S::LANES;
        let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
        let (mut w, mut lower) = (self.w, self.lower);
        let record = C::WORDS * width + width / 2 * (1 + usize::from(OFFSETS));
        for block in 0..self.blocks {
            if self.ahead > 0 {
                ask_for(s, w.wrapping_add(self.ahead), record);
            }
            // SAFETY: the block is inside the panel and the rows.
            unsafe {
                let products = self.block::<S, C, OFFSETS, ROWS>(s, block, (w, lower));
                let scales = w.add(C::WORDS * width).cast::<u16>();
                let mut columns = [s.splat(0.0); VECTORS];
                let mut offsets = [s.splat(0.0); VECTORS];
                for vector in 0..VECTORS {
                    columns[vector] = s.load_halves(scales.add(vector * S::LANES));
                    if OFFSETS {
                        offsets[vector] = s.load_halves(scales.add(width + vector * S::LANES));
                    }
                }
                for row in 0..ROWS {
                    let at = row * self.blocks + block;
                    let scale = *self.scales.add(at);
                    let code_sum = s.splat(*self.scaled_sums.add(at));
                    for vector in 0..VECTORS {
                        let both = s.mul(columns[vector], s.splat(scale));
                        let product = s.integers_as_floats(products[row][vector]);
                        let mut sum = s.fma(product, both, sums[row][vector]);
                        if OFFSETS {
                            sum = s.fma(offsets[vector], code_sum, sum);
                        }
                        sums[row][vector] = sum;
                    }
                }
                w = w.add(record);
                lower = lower.add(C::LOWER_WORDS * width);
            }
        }
        // SAFETY: passed on.
        unsafe { self.write(s, &sums) };
    }

    /// The integer sums of one block, the zero point's part taken off.
    ///
    /// # Safety
    /// As [`Tile::run`]; `w` and what follows it are the block's records.
    #[inline(always)]
    unsafe fn block<S: Simd, C: Codes, const OFFSETS: bool, const ROWS: usize>(
        &self,
        s: S,
        block: usize,
        (w, lower): (*const u32, *const u32),
    ) -> [[S::U; VECTORS]; ROWS] {
        let mut products = [[s.splat_words(0); VECTORS]; ROWS];
        if !OFFSETS {
            for (row, products) in products.iter_mut().enumerate() {
                // SAFETY: the row has the block.
                let sum = unsafe { *self.sums.add(row * self.blocks + block) } as i32;
                // At most 255 · 64 · 127.
                *products = [s.splat_words(-(sum * self.zero) as u32); VECTORS];
            }
        }
        for pair in 0..C::DEPTHS / 8 {
            for vector in 0..VECTORS {
                // SAFETY: the records are the block's.
                let codes = unsafe { C::pair(s, (w, lower), pair, vector) };
                for (row, products) in products.iter_mut().enumerate() {
                    // SAFETY: the row's words of the block.
                    let x = unsafe {
                        let words = (row * self.blocks + block) * C::DEPTHS / 4;
                        self.codes.add(words + 2 * pair)
                    };
                    let sum = &mut products[vector];
                    // SAFETY: as above.
                    let (first, second) = unsafe { (*x, *x.add(1)) };
                    *sum = s.dot_bytes(*sum, codes[0], s.splat_words(first));
                    *sum = s.dot_bytes(*sum, codes[1], s.splat_words(second));
                }
            }
        }
        products
    }

    /// # Safety
    /// As [`Tile::run`].
    #[inline(always)]
    unsafe fn write<S: Simd, const ROWS: usize>(&self, s: S, sums: &[[S::F; VECTORS]; ROWS]) {
        for (row, sums) in sums.iter().enumerate() {
            for (vector, &sum) in sums.iter().enumerate() {
                let lanes = self.columns.saturating_sub(vector * S::LANES).min(S::LANES);
                let out = self
                    .out
                    .wrapping_add(row * self.out_stride + vector * S::LANES);
                // SAFETY: the first `lanes` elements are ours.
                unsafe {
                    let before = if self.accumulate {
                        s.load_first(out, lanes)
                    } else {
                        s.splat(0.0)
                    };
                    s.store_first(out, s.add(before, sum), lanes);
                }
            }
        }
    }
}
