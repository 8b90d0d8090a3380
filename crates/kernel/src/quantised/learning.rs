//! Weights that learn, rounded to 8 bits after every step.
//!
//! ```text
//! s[j, b] = max |w[j, d]| of the block / 127, in half precision      c[j, d] = round(w[j, d] / s[j, b]) + 128
//! ```
//! A block has 64 values along the depth of a product: half as many scales as the blocks that files hold cost half as
//! much beside the sums of bytes, and nothing has to agree with a file. The weights themselves stay with the optimizer in
//! `f32`; what is rounded is what a pass over the model reads (as in SwitchBack, Wortsman et al. 2023, but by blocks).
//!
//! One block of a panel at a time: its values are laid out with their columns side by side, whichever way they come, and
//! rounded by vectors of columns.

use super::pack::{Bits, QuantisedMatrix, VECTORS, WIDE_BLOCK};
use crate::buffer::area;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, vector_at};
use crate::slab::Piece;
use crate::{Isa, Pool};

/// The code of zero.
const ZERO: u8 = 128;
/// Columns of a panel, at most.
const COLUMNS_MAX: usize = 32;
/// Words of the codes of a block of one column.
const CODE_WORDS: usize = WIDE_BLOCK / 4;

impl QuantisedMatrix {
    /// Room for weights that learn, all of them zero: `columns` outputs of `depth` inputs.
    ///
    /// # Panics
    /// If `depth` is no multiple of [`WIDE_BLOCK`].
    pub fn blank(isa: Isa, columns: usize, depth: usize) -> Self {
        assert!(
            depth.is_multiple_of(WIDE_BLOCK),
            "a depth of whole blocks of {WIDE_BLOCK}, not {depth}, was expected"
        );
        let mut blank = Self {
            isa,
            bits: Bits::Eight,
            columns,
            depth,
            block: WIDE_BLOCK,
            zero: Some(ZERO),
            words: Piece::default(),
            lower: None,
        };
        // Scales of zero: whatever the codes say.
        blank.words = Piece::zeroed(area(blank.panels(), blank.panel_words()));
        blank
    }

    /// Takes up new values, row-major `[columns, depth]`, for `y = x · wᵀ`.
    ///
    /// # Panics
    /// If there are not as many values as before, or the matrix was not made by [`QuantisedMatrix::blank`].
    pub fn round(&mut self, pool: &Pool, w: &[f32]) {
        self.assert_learns(w);
        let (n, depth, isa) = (self.columns, self.depth, self.isa);
        let (width, record_words) = (self.panel_columns(), self.record_words());
        let panel_words = self.panel_words();
        let words = SharedMut::new(&mut self.words[..]);
        pool.run(n.div_ceil(width), &|panel| {
            let rows = panel * width..((panel + 1) * width).min(n);
            let task = Panel {
                from: &w[rows.start * depth..rows.end * depth],
                // SAFETY: tasks write different panels.
                to: unsafe { words.slice(panel * panel_words..(panel + 1) * panel_words) },
                depth,
                record_words,
            };
            simd::vectorize(isa, task);
        });
    }

    /// Takes up new values, row-major `[depth, columns]`, for `dx = dy · w`.
    ///
    /// # Panics
    /// As [`QuantisedMatrix::round`].
    pub fn round_transposed(&mut self, pool: &Pool, w: &[f32]) {
        self.assert_learns(w);
        let (columns, isa) = (self.columns, self.isa);
        let (panel_words, record_words) = (self.panel_words(), self.record_words());
        let (panels, blocks) = (self.panels(), self.depth / WIDE_BLOCK);
        let words = SharedMut::new(&mut self.words[..]);
        pool.run(blocks, &|block| {
            let rows = block * WIDE_BLOCK..(block + 1) * WIDE_BLOCK;
            let task = Strip {
                from: &w[rows.start * columns..rows.end * columns],
                columns,
                words: &words,
                first: block * record_words,
                panels,
                panel_words,
                record_words,
            };
            simd::vectorize(isa, task);
        });
    }

    fn assert_learns(&self, w: &[f32]) {
        assert_eq!(self.block, WIDE_BLOCK, "weights that learn were expected");
        let (n, depth) = (self.columns, self.depth);
        assert_eq!(
            w.len(),
            area(n, depth),
            "a matrix of {n} by {depth} was expected"
        );
    }
}

/// The values of a block of a panel: `WIDE_BLOCK` rows of columns.
type Tile = [[f32; COLUMNS_MAX]; WIDE_BLOCK];

/// One panel whose columns are the rows of `from`.
struct Panel<'a> {
    from: &'a [f32],
    to: &'a mut [u32],
    depth: usize,
    record_words: usize,
}

impl Kernel for Panel<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut tile: Tile = [[0.0; COLUMNS_MAX]; WIDE_BLOCK];
        // Columns past the last stay zero.
        let mut rows = [0.0; COLUMNS_MAX * WIDE_BLOCK];
        let columns = self.from.len() / self.depth.max(1);
        for (block, to) in self.to.chunks_exact_mut(self.record_words).enumerate() {
            for column in 0..columns {
                let from = &self.from[column * self.depth + block * WIDE_BLOCK..][..WIDE_BLOCK];
                rows[column * WIDE_BLOCK..][..WIDE_BLOCK].copy_from_slice(from);
            }
            for column in (0..VECTORS * S::LANES).step_by(S::LANES) {
                for depth in (0..WIDE_BLOCK).step_by(S::LANES) {
                    // SAFETY: as many rows of as many values are there on both sides.
                    unsafe {
                        let from = rows.as_ptr().add(column * WIDE_BLOCK + depth).cast();
                        let to = tile.as_flattened_mut().as_mut_ptr();
                        let to = to.add(depth * COLUMNS_MAX + column).cast();
                        s.transpose_words((from, WIDE_BLOCK), (to, COLUMNS_MAX));
                    }
                }
            }
            round_block(s, &tile, to);
        }
    }
}

/// One block of every panel, whose columns are the columns of `from`.
struct Strip<'a> {
    from: &'a [f32],
    columns: usize,
    words: &'a SharedMut<'a, u32>,
    /// Where the block of the first panel lies.
    first: usize,
    panels: usize,
    panel_words: usize,
    record_words: usize,
}

impl Kernel for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let mut tile: Tile = [[0.0; COLUMNS_MAX]; WIDE_BLOCK];
        for panel in 0..self.panels {
            let rows = self.from.chunks_exact(self.columns);
            for (row, tile) in rows.zip(&mut tile) {
                for vector in 0..VECTORS {
                    let at = panel * VECTORS * S::LANES + vector * S::LANES;
                    let values = vector_at(s, row, at);
                    // SAFETY: a row of the tile holds two vectors.
                    unsafe { s.store(tile.as_mut_ptr().add(vector * S::LANES), values) };
                }
            }
            let start = panel * self.panel_words + self.first;
            // SAFETY: tasks write different blocks.
            let to = unsafe { self.words.slice(start..start + self.record_words) };
            round_block(s, &tile, to);
        }
    }
}

/// Writes the record of a block: its codes, word after word, and its scales.
#[inline(always)]
fn round_block<S: Simd>(s: S, tile: &Tile, to: &mut [u32]) {
    let width = VECTORS * S::LANES;
    assert!(
        width <= COLUMNS_MAX && to.len() == width * CODE_WORDS + width / 2,
        "the record of a block was expected"
    );
    for vector in 0..VECTORS {
        let first = vector * S::LANES;
        // `nothing` stays zero unless a value is no number: then the scale is none either.
        let (mut top, mut nothing) = (s.splat(0.0), s.splat(0.0));
        for row in tile {
            let value = vector_at(s, row, first);
            top = s.max(top, s.max(value, s.sub(s.splat(0.0), value)));
            nothing = s.add(nothing, s.sub(value, value));
        }
        top = s.add(top, nothing);
        // SAFETY: the scales of a vector's columns lie behind the codes of all.
        let scales = unsafe {
            let scales = to.as_mut_ptr().add(width * CODE_WORDS).cast::<u16>();
            let scales = scales.add(first);
            s.store_halves(scales, s.div(top, s.splat(127.0)));
            s.load_halves(scales)
        };
        let zero = s.splat(0.0);
        // What is too small for a scale is zero.
        let inverse = s.select_less(zero, scales, s.div(s.splat(1.0), scales), zero);
        let (least, largest) = (s.splat(-127.0), s.splat(127.0));
        for word in 0..CODE_WORDS {
            let mut codes = [zero; 4];
            for (code, row) in codes.iter_mut().zip(&tile[4 * word..]) {
                let rounded = s.round(s.mul(vector_at(s, row, first), inverse));
                // A scale that was rounded down lets the largest value be more than 127 of it.
                let bounded = s.max(least, s.min(largest, rounded));
                *code = s.add(bounded, s.splat(f32::from(ZERO)));
            }
            let word = word * width + first;
            // SAFETY: a whole vector of the record's words.
            unsafe { s.store_words(to.as_mut_ptr().add(word), s.bytes_side_by_side(codes)) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::f16::{from_f16, to_f16};
    use crate::quantised::tests::product;
    use crate::testing::{
        assert_close, assert_same_bits, assert_thread_count_is_invisible, drawn, for_each_isa,
        random,
    };

    /// Values as their blocks of 64 hold them, scales in half precision or as they are.
    fn rounded(values: &[f32], halves: bool) -> Vec<f64> {
        let block = |block: &[f32]| {
            let top = block.iter().fold(0.0_f32, |top, v| top.max(v.abs()));
            let exact = top / 127.0;
            let scale = if halves {
                from_f16(to_f16(exact))
            } else {
                exact
            };
            let code = move |v: &f32| {
                let code = if scale > 0.0 { v / scale } else { 0.0 };
                f64::from(code.round_ties_even().clamp(-127.0, 127.0)) * f64::from(scale)
            };
            block.iter().map(code).collect::<Vec<f64>>()
        };
        values.chunks(WIDE_BLOCK).flat_map(block).collect()
    }

    /// `x[m, k] · wᵀ` of the rounded values, as one would write it down.
    fn reference(x: &[f32], w: &[f32], k: usize) -> Vec<f32> {
        let (x, w) = (rounded(x, false), rounded(w, true));
        let row = |x: &[f64]| {
            let element = |w: &[f64]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f64>() as f32;
            w.chunks_exact(k).map(element).collect::<Vec<_>>()
        };
        x.chunks_exact(k).flat_map(row).collect()
    }

    fn transposed(w: &[f32], k: usize) -> Vec<f32> {
        let column = |d: usize| w.chunks_exact(k).map(move |row| row[d]);
        (0..k).flat_map(column).collect()
    }

    const SHAPES: [(usize, usize, usize); 6] = [
        (0, 3, 64),
        (1, 1, 64),
        (3, 70, 128),
        (7, 33, 192),
        (26, 64, 64),
        (5, 131, 320),
    ];

    #[test]
    fn both_ways_of_rounding_agree_with_the_reference() {
        for_each_isa(|pool| {
            let drawn = drawn(16, 12, [40, 90, 5]).into_iter();
            let drawn = drawn.map(|[m, n, blocks]| (m, n, WIDE_BLOCK * blocks));
            for (m, n, k) in SHAPES.into_iter().chain(drawn) {
                let (x, mut w) = (random(1, m * k), random(2, n * k));
                // A block of zeros, and one that is too small for a scale.
                w[..WIDE_BLOCK].fill(0.0);
                w[(n - 1) * k..][..WIDE_BLOCK].fill(1e-7);
                let what = format!("{} {m}x{n}x{k}", pool.isa());
                let mut weights = QuantisedMatrix::blank(pool.isa(), n, k);
                weights.round(pool, &random(3, n * k));
                weights.round(pool, &w);
                let expected = reference(&x, &w, k);
                assert_close(&product(pool, &x, m, &weights), &expected, 5e-6, &what);
                let mut other = QuantisedMatrix::blank(pool.isa(), n, k);
                other.round_transposed(pool, &transposed(&w, k));
                assert!(other.words[..] == weights.words[..], "{what}");
            }
        });
    }

    #[test]
    fn a_row_does_not_depend_on_the_others() {
        for_each_isa(|pool| {
            let (rows, n, k) = (110, 75, 128);
            let x = random(1, rows * k);
            let mut weights = QuantisedMatrix::blank(pool.isa(), n, k);
            weights.round(pool, &random(2, n * k));
            let whole = product(pool, &x, rows, &weights);
            for m in (1..=14).chain([47, 48, 49, 97]) {
                let start = rows - m;
                let part = product(pool, &x[start * k..], m, &weights);
                assert_same_bits(&part, &whole[start * n..], &format!("{m} rows"));
            }
        });
    }

    #[test]
    fn a_weight_that_is_not_a_number_reaches_its_outputs_and_no_others() {
        for_each_isa(|pool| {
            let (n, k) = (40, 128);
            for at in (0..n * k).step_by(61) {
                let mut w = random(2, n * k);
                w[at] = f32::NAN;
                let mut weights = QuantisedMatrix::blank(pool.isa(), n, k);
                weights.round(pool, &w);
                let out = product(pool, &random(1, k), 1, &weights);
                for (column, out) in out.into_iter().enumerate() {
                    assert_eq!(out.is_nan(), column == at / k, "{at}: {out}");
                }
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let (m, n, k) = (150, 300, 192);
        let (x, w) = (random(1, m * k), random(2, n * k));
        assert_thread_count_is_invisible(|pool| {
            let mut forward = QuantisedMatrix::blank(pool.isa(), n, k);
            forward.round(pool, &w);
            let mut back = QuantisedMatrix::blank(pool.isa(), k, n - n % WIDE_BLOCK);
            back.round_transposed(pool, &w[..back.depth() * k]);
            let y = product(pool, &x, m, &forward);
            let dy: Vec<f32> = y.iter().copied().take(m * back.depth()).collect();
            [product(pool, &dy, m, &back), y].concat()
        });
    }

    #[test]
    #[should_panic(expected = "whole blocks of 64")]
    fn a_depth_of_half_a_block_is_refused() {
        QuantisedMatrix::blank(Isa::Portable, 3, 96);
    }

    #[test]
    #[should_panic(expected = "more than any memory holds")]
    fn a_matrix_whose_size_wraps_around_is_refused() {
        QuantisedMatrix::blank(Isa::Portable, 1 << 33, 1 << 31);
    }
}
