//! The inner loop: tiles of sums held in registers.
//!
//! The sums of one output element run over the blocks in order, in one register lane, whatever the
//! size of the tile it is part of.

use super::input::{BLOCK_WORDS, Input};
use super::pack::{Bits, QuantisedMatrix, VECTORS};
use crate::simd::{Kernel, Simd};

/// How far ahead of its use a weight is asked for, in words: with few rows, weights come from memory,
/// and what the processor fetches by itself stops at every panel.
const AHEAD_WORDS: usize = 2 * 1024;
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
}

impl Kernel for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.weights.bits, self.weights.zero.is_none()) {
            (Bits::Four, false) => self.panels::<S, 4, false>(s),
            (Bits::Four, true) => self.panels::<S, 4, true>(s),
            (Bits::Eight, false) => self.panels::<S, 8, false>(s),
            (Bits::Eight, true) => self.panels::<S, 8, true>(s),
        }
    }
}

impl Rows<'_> {
    /// `WORDS` is a block's of one column: 4 with codes of 4 bits, 8 with codes of 8.
    #[inline(always)]
    fn panels<S: Simd, const WORDS: usize, const OFFSETS: bool>(&self, s: S) {
        let (w, width) = (self.weights, VECTORS * S::LANES);
        ask_for(
            s,
            w.words[self.panel * w.panel_words()..].as_ptr(),
            AHEAD_WORDS,
        );
        for panel in 0..self.columns.div_ceil(width) {
            let mut row = 0;
            while row < self.rows {
                let at = (self.first + row) * self.input.blocks;
                let tile = Tile {
                    codes: self.input.codes[at * BLOCK_WORDS..].as_ptr(),
                    scales: self.input.scales[at..].as_ptr(),
                    sums: self.input.sums[at..].as_ptr(),
                    scaled_sums: self.input.scaled_sums[at..].as_ptr(),
                    blocks: self.input.blocks,
                    w: w.words[(self.panel + panel) * w.panel_words()..].as_ptr(),
                    zero: i32::from(w.zero.unwrap_or(0)),
                    out: self.out.wrapping_add(row * w.columns + panel * width),
                    out_stride: w.columns,
                    columns: width.min(self.columns - panel * width),
                    accumulate: self.accumulate,
                    ahead: if row == 0 { AHEAD_WORDS } else { 0 },
                };
                // SAFETY: the input has the rows, the weights the panel, and nobody else writes to
                // these rows and columns.
                row += unsafe { some_rows::<S, WORDS, OFFSETS>(s, &tile, self.rows - row) };
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
unsafe fn some_rows<S: Simd, const WORDS: usize, const OFFSETS: bool>(
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
                    unsafe { tile.run::<S, WORDS, OFFSETS, $size>(s) };
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
    unsafe fn run<S: Simd, const WORDS: usize, const OFFSETS: bool, const ROWS: usize>(
        &self,
        s: S,
    ) {
        let width = VECTORS * S::LANES;
        let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
        let mut w = self.w;
        for block in 0..self.blocks {
            let record = WORDS * width + width / 2 * (1 + usize::from(OFFSETS));
            if self.ahead > 0 {
                ask_for(s, w.wrapping_add(self.ahead), record);
            }
            // SAFETY: the block is inside the panel and the rows.
            unsafe {
                let products = self.block::<S, WORDS, OFFSETS, ROWS>(s, block, w);
                let scales = w.add(WORDS * width).cast::<u16>();
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
                w = w.add(WORDS * width + width / 2 * (1 + usize::from(OFFSETS)));
            }
        }
        // SAFETY: passed on.
        unsafe { self.write(s, &sums) };
    }

    /// The integer sums of one block, the zero point's part taken off.
    ///
    /// # Safety
    /// As [`Tile::run`]; `w` is the block's record.
    #[inline(always)]
    unsafe fn block<S: Simd, const WORDS: usize, const OFFSETS: bool, const ROWS: usize>(
        &self,
        s: S,
        block: usize,
        w: *const u32,
    ) -> [[S::U; VECTORS]; ROWS] {
        let mut products = [[s.splat_words(0); VECTORS]; ROWS];
        if !OFFSETS {
            for (row, products) in products.iter_mut().enumerate() {
                // SAFETY: the row has the block.
                let sum = unsafe { *self.sums.add(row * self.blocks + block) } as i32;
                // At most 255 · 32 · 127.
                *products = [s.splat_words(-(sum * self.zero) as u32); VECTORS];
            }
        }
        for word in 0..WORDS {
            for vector in 0..VECTORS {
                // SAFETY: the words of the block.
                let codes = unsafe { s.load_words(w.add((word * VECTORS + vector) * S::LANES)) };
                for (row, products) in products.iter_mut().enumerate() {
                    // SAFETY: the row's words of the block.
                    let x = unsafe { self.codes.add((row * self.blocks + block) * BLOCK_WORDS) };
                    let sum = &mut products[vector];
                    // SAFETY: as above.
                    *sum = unsafe {
                        if WORDS == BLOCK_WORDS {
                            s.dot_bytes(*sum, codes, s.splat_words(*x.add(word)))
                        } else {
                            let low = s.splat_words(*x.add(2 * word));
                            let high = s.splat_words(*x.add(2 * word + 1));
                            let sum = s.dot_bytes(*sum, s.low_nibbles(codes), low);
                            s.dot_bytes(sum, s.high_nibbles(codes), high)
                        }
                    };
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
