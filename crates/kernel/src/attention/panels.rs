//! How keys, values and queries are laid out for the products of attention.
//!
//! Keys go in blocks of [`KEYS`] rows. A block is kept as weights in one or both of two ways: by
//! *columns* (each row is a column of the product, its width the depth: for scores) or by *depth*
//! (each row is one element of the depth, its width the columns: for weighted sums of rows). Both
//! are panels as the micro-kernels of the matrix products read them.

use std::marker::PhantomData;

use crate::gemm::{Term, TileProduct, Unit};
use crate::simd::{Simd, vector_at};

/// Rows in a block.
pub(super) const KEYS: usize = 64;
/// Vectors of columns in a panel.
pub(super) const VECTORS: usize = 2;

/// Sizes of a block of rows of `head_dim`, in words of kind `U` for the vectors of `S`.
#[derive(Clone, Copy)]
pub(super) struct Panels<S, U> {
    pub(super) simd: S,
    pub(super) head_dim: usize,
    unit: PhantomData<U>,
}

impl<S: Simd, U: Unit> Panels<S, U> {
    const PANEL: usize = VECTORS * S::LANES;

    #[inline(always)]
    pub(super) fn new(simd: S, head_dim: usize) -> Self {
        Panels {
            simd,
            head_dim,
            unit: PhantomData,
        }
    }

    /// Words of one row laid out flat.
    #[inline(always)]
    pub(super) fn row_words(&self) -> usize {
        row_words(self.head_dim, U::DEPTH)
    }

    /// Words of a block by columns.
    #[inline(always)]
    pub(super) fn by_columns_words(&self) -> usize {
        by_columns_words(self.head_dim, U::DEPTH)
    }

    /// Words of a block by depth.
    #[inline(always)]
    pub(super) fn by_depth_words(&self) -> usize {
        by_depth_words(self.head_dim, U::DEPTH, Self::PANEL)
    }

    /// Writes a row flat, as the left side of a product.
    #[inline(always)]
    pub(super) fn write_flat(&self, to: &mut [u32], row: &[f32]) {
        let s = self.simd;
        assert!(
            to.len() == self.row_words() && row.len() == self.head_dim,
            "a row has a fixed width"
        );
        let step = 2 * S::LANES;
        let mut at = 0;
        while at < row.len() {
            let (low, high) = two_vectors(s, &row[at..]);
            let words = &mut to[at / U::DEPTH..];
            if row.len() - at >= step {
                // SAFETY: two whole vectors of elements are left, and as many words.
                unsafe { U::store(s, words.as_mut_ptr(), low, high) };
            } else {
                words.copy_from_slice(&self.words(low, high)[..words.len()]);
            }
            at += step;
        }
    }

    /// Writes a row into slot `slot` of a block by columns.
    #[inline(always)]
    pub(super) fn write_column(&self, block: &mut [u32], slot: usize, row: &[f32]) {
        assert!(
            block.len() == self.by_columns_words() && slot < KEYS && row.len() == self.head_dim,
            "a block is whole"
        );
        let units = self.row_words();
        let start = slot / Self::PANEL * Self::PANEL * units + slot % Self::PANEL;
        let step = 2 * S::LANES;
        let mut at = 0;
        while at < row.len() {
            let (low, high) = two_vectors(self.simd, &row[at..]);
            let words = self.words(low, high);
            let unit = at / U::DEPTH;
            let places = block[start + unit * Self::PANEL..]
                .iter_mut()
                .step_by(Self::PANEL);
            places
                .zip(&words[..(units - unit).min(step / U::DEPTH)])
                .for_each(|(place, word)| *place = *word);
            at += step;
        }
    }

    /// Writes `U::DEPTH` rows, from slot `unit · U::DEPTH` on, into a block by depth. `second` is
    /// ignored where a word holds one row.
    #[inline(always)]
    pub(super) fn write_depth(
        &self,
        block: &mut [u32],
        unit: usize,
        first: &[f32],
        second: &[f32],
    ) {
        let s = self.simd;
        let units = KEYS / U::DEPTH;
        assert!(
            block.len() == self.by_depth_words() && unit < units,
            "a block is whole"
        );
        assert!(
            first.len() == self.head_dim && second.len() == self.head_dim,
            "a row has a fixed width"
        );
        for column in (0..self.head_dim).step_by(S::LANES) {
            let at = (column / Self::PANEL * units + unit) * Self::PANEL + column % Self::PANEL;
            let count = (self.head_dim - column).min(S::LANES);
            let to = block[at..at + S::LANES].as_mut_ptr();
            // SAFETY: `count` elements of both rows and a vector of words are there.
            unsafe {
                let first = s.load_first(first.as_ptr().add(column), count);
                let second = s.load_first(second.as_ptr().add(column), count);
                s.store_words(to, U::combine(s, first, second));
            }
        }
    }

    /// Two vectors of elements as words, of which `2 · LANES / DEPTH` count.
    #[inline(always)]
    fn words(&self, low: S::F, high: S::F) -> [u32; 32] {
        const { assert!(2 * S::LANES <= 32, "the array holds two vectors") };
        let mut words = [0; 32];
        // SAFETY: the array holds two vectors of words.
        unsafe { U::store(self.simd, words.as_mut_ptr(), low, high) };
        words
    }

    /// `scores[rows, columns] = x · blockᵀ` for `columns` rows of a block by columns; `x` is flat
    /// rows, `scores` has rows of [`KEYS`].
    #[inline(always)]
    pub(super) fn scores(
        &self,
        x: &[u32],
        rows: usize,
        block: &[u32],
        columns: usize,
        scores: &mut [f32],
    ) {
        let units = self.row_words();
        assert!(
            x.len() >= rows * units && block.len() == self.by_columns_words(),
            "operands are whole"
        );
        assert!(
            columns <= KEYS && scores.len() >= rows * KEYS,
            "scores have room"
        );
        let term = Term {
            x: x.as_ptr(),
            x_row_stride: units,
            x_unit_stride: 1,
            w: block.as_ptr(),
            w_panel_stride: Self::PANEL * units,
            units,
        };
        let product = TileProduct {
            terms: [term, Term::NONE],
            out: scores.as_mut_ptr(),
            out_stride: KEYS,
            rows,
            columns,
            accumulate: false,
        };
        // SAFETY: the lengths are checked above.
        unsafe { product.run::<S, U, VECTORS>(self.simd) }
    }

    /// `sums[rows, head_dim] += x · block` over the first `depth` rows of a block by depth.
    #[inline(always)]
    pub(super) fn weighted_sums(
        &self,
        x: Factors<'_>,
        rows: usize,
        block: &[u32],
        depth: usize,
        sums: &mut [f32],
    ) {
        let units = depth.div_ceil(U::DEPTH);
        assert!(
            depth <= KEYS && block.len() == self.by_depth_words(),
            "a block is whole"
        );
        assert!(sums.len() >= rows * self.head_dim, "sums have room");
        if rows == 0 || units == 0 {
            return;
        }
        assert!(
            x.words.len() > (rows - 1) * x.row_stride + (units - 1) * x.unit_stride,
            "factors are whole"
        );
        let term = Term {
            x: x.words.as_ptr(),
            x_row_stride: x.row_stride,
            x_unit_stride: x.unit_stride,
            w: block.as_ptr(),
            w_panel_stride: Self::PANEL * (KEYS / U::DEPTH),
            units,
        };
        let product = TileProduct {
            terms: [term, Term::NONE],
            out: sums.as_mut_ptr(),
            out_stride: self.head_dim,
            rows,
            columns: self.head_dim,
            accumulate: true,
        };
        // SAFETY: the lengths are checked above.
        unsafe { product.run::<S, U, VECTORS>(self.simd) }
    }
}

/// The left side of a weighted sum: word `u` of row `r` at `r · row_stride + u · unit_stride`.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) words: &'a [u32],
    pub(super) row_stride: usize,
    pub(super) unit_stride: usize,
}

/// Words of one row laid out flat, with `unit_depth` elements in a word.
pub(super) fn row_words(head_dim: usize, unit_depth: usize) -> usize {
    head_dim.div_ceil(unit_depth)
}

/// Words of a block by columns.
pub(super) fn by_columns_words(head_dim: usize, unit_depth: usize) -> usize {
    KEYS * row_words(head_dim, unit_depth)
}

/// Words of a block by depth with panels of `panel` columns.
pub(super) fn by_depth_words(head_dim: usize, unit_depth: usize, panel: usize) -> usize {
    head_dim.next_multiple_of(panel) * (KEYS / unit_depth)
}

/// The vector `value` of columns from `column` on, and `hidden` in the place of those that are not
/// below `seen`.
#[inline(always)]
pub(super) fn seen_or<S: Simd>(s: S, column: usize, seen: S::F, value: S::F, hidden: S::F) -> S::F {
    let columns = s.add(s.lane_numbers(), s.splat(column as f32));
    s.select_less(columns, seen, value, hidden)
}

/// The first two vectors of `row`, padded with zeros.
#[inline(always)]
fn two_vectors<S: Simd>(s: S, row: &[f32]) -> (S::F, S::F) {
    (vector_at(s, row, 0), vector_at(s, row, S::LANES))
}
