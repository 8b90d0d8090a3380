//! Quantised weights arranged in panels.
//!
//! A panel is two vectors of columns. For every block of 32 along the depth it holds the codes, word
//! after word (four consecutive depths of a column; with 4 bits eight, the first four in the lower
//! halves of the bytes), then the scales of its columns and their offsets, if there are any. So a
//! product reads memory strictly forward.
//!
//! Codes of 8 bits may be split: the panels then hold their upper halves, as codes of 4 bits would be
//! held, and the lower halves lie in panels of their own, which a first look need not read.

use std::fmt;

use crate::Isa;
use crate::buffer::area;
use crate::f16::from_f16;
use crate::gemm::lanes;
use crate::slab::Piece;

/// Values along the depth that share a scale.
pub const BLOCK: usize = 32;
/// The same for weights that learn.
pub const WIDE_BLOCK: usize = 64;

/// One column of so many is looked at for what the lower halves are worth.
const SAMPLED_COLUMN: usize = 16;

/// Vectors of columns in a panel.
pub(super) const VECTORS: usize = 2;

/// Bits of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bits {
    /// Codes from 0 to 15.
    Four,
    /// Codes from 0 to 255.
    Eight,
}

impl Bits {
    /// Words that a block of one column takes.
    pub(super) const fn block_words(self) -> usize {
        match self {
            Bits::Four => 4,
            Bits::Eight => 8,
        }
    }
}

/// Where a code's zero lies.
#[derive(Clone, Copy, Debug)]
pub enum Offsets<'a> {
    /// A value is `scale · (code − zero)`.
    Zero(u8),
    /// A value is `scale · code + offset`, the offset in half precision, `[n, k / 32]`.
    PerBlock(&'a [u16]),
}

/// Weights `[n, k]` in blocks, as files hold them but one code a byte.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// Bits of a code.
    pub bits: Bits,
    /// `[n, k]`.
    pub codes: &'a [u8],
    /// In half precision, `[n, k / 32]`.
    pub scales: &'a [u16],
    /// Where a code's zero lies.
    pub offsets: Offsets<'a>,
}

/// Quantised weights arranged for the micro-kernels of one instruction set.
#[derive(Clone)]
pub struct QuantisedMatrix {
    pub(super) isa: Isa,
    pub(super) bits: Bits,
    pub(super) columns: usize,
    pub(super) depth: usize,
    /// Values along the depth that share a scale: [`BLOCK`] or, with 8 bits and one zero, [`WIDE_BLOCK`].
    pub(super) block: usize,
    /// The code of zero; `None` where every block has an offset.
    pub(super) zero: Option<u8>,
    pub(super) words: Piece,
    pub(super) lower: Option<Lower>,
}

/// The lower halves of split codes, and what they are worth.
#[derive(Clone)]
pub(super) struct Lower {
    /// Four words for every block of a column, in panels.
    pub(super) words: Piece,
    /// `[k]`: the variance, over columns, of what the upper halves leave out of a weight.
    pub(super) variances: Vec<f32>,
    /// By panel: how much larger than usual the scales of a column are.
    pub(super) spreads: Vec<f32>,
}

impl fmt::Debug for QuantisedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            isa,
            bits,
            columns,
            depth,
            ..
        } = self;
        write!(
            f,
            "QuantisedMatrix({depth} -> {columns}, {bits:?} bits, {isa})"
        )
    }
}

impl QuantisedMatrix {
    /// Arranges `w`, row-major `[n, k]`, for `y[m, n] = x[m, k] · wᵀ`.
    ///
    /// # Panics
    /// If `k` is no multiple of [`BLOCK`], or a part of `w` does not have the size that `n` and `k`
    /// ask for, or a code has more than its bits.
    pub fn pack(isa: Isa, w: &Blocks<'_>, n: usize, k: usize) -> Self {
        let mut packed = Self::empty(isa, w, n, k);
        packed.words = Piece::zeroed(area(packed.panels(), packed.panel_words()));
        for column in 0..n {
            for block in 0..k / BLOCK {
                let codes = &w.codes[column * k + block * BLOCK..][..BLOCK];
                packed.set_block(w, (column, block), codes);
            }
        }
        packed
    }

    /// The same for products that look twice ([`super::largest_quantised`]); where the codes do not have 8 bits
    /// and one zero for all, or there are none, as [`QuantisedMatrix::pack`] arranges them.
    ///
    /// # Panics
    /// As [`QuantisedMatrix::pack`].
    pub fn pack_split(isa: Isa, w: &Blocks<'_>, n: usize, k: usize) -> Self {
        let zero = match w.offsets {
            // Of nothing there is no half, and no variance.
            Offsets::Zero(zero) if w.bits == Bits::Eight && n > 0 && k > 0 => zero,
            _ => return Self::pack(isa, w, n, k),
        };
        let mut packed = Self::empty(isa, w, n, k);
        packed.bits = Bits::Four;
        packed.words = Piece::zeroed(area(packed.panels(), packed.panel_words()));
        let (width, blocks) = (packed.panel_columns(), k / BLOCK);
        let block_words = Bits::Four.block_words();
        let mut words = Piece::zeroed(area(packed.panels(), blocks * block_words * width));
        for column in 0..n {
            let (panel, within) = (column / width, column % width);
            for block in 0..blocks {
                let codes = &w.codes[column * k + block * BLOCK..][..BLOCK];
                let upper: [u8; BLOCK] = std::array::from_fn(|depth| codes[depth] >> 4);
                let lower: [u8; BLOCK] = std::array::from_fn(|depth| codes[depth] & 15);
                packed.set_block(w, (column, block), &upper);
                let record = (panel * blocks + block) * block_words * width + within;
                for (word, value) in self::block_words(Bits::Four, &lower).enumerate() {
                    words[record + word * width] = value;
                }
            }
        }
        packed.zero = Some(zero);
        packed.lower = Some(Lower {
            words,
            variances: left_out_variances(w, n, k),
            spreads: spreads(w, n, k, width),
        });
        packed
    }

    /// A matrix whose words are still to come.
    fn empty(isa: Isa, w: &Blocks<'_>, n: usize, k: usize) -> Self {
        assert!(
            k.is_multiple_of(BLOCK),
            "a depth of whole blocks of {BLOCK}, not {k}, was expected"
        );
        assert_eq!(w.codes.len(), area(n, k), "codes [{n}, {k}] were expected");
        assert_eq!(
            w.scales.len(),
            n * k / BLOCK,
            "a scale for each block was expected"
        );
        if let Offsets::PerBlock(offsets) = w.offsets {
            assert_eq!(
                offsets.len(),
                w.scales.len(),
                "an offset for each block was expected"
            );
        }
        QuantisedMatrix {
            isa,
            bits: w.bits,
            columns: n,
            depth: k,
            block: BLOCK,
            zero: match w.offsets {
                Offsets::Zero(zero) => Some(zero),
                Offsets::PerBlock(_) => None,
            },
            words: Piece::default(),
            lower: None,
        }
    }

    /// Outputs: the rows of the matrix as it was given.
    pub fn rows_out(&self) -> usize {
        self.columns
    }

    /// Inputs.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Bytes of memory held.
    pub fn bytes(&self) -> usize {
        let lower = self.lower.as_ref().map_or(0, |lower| lower.words.len());
        (self.words.len() + lower) * 4
    }

    pub(super) fn panel_columns(&self) -> usize {
        VECTORS * lanes(self.isa)
    }

    pub(super) fn panels(&self) -> usize {
        self.columns.div_ceil(self.panel_columns())
    }

    /// Words of one block of a panel: codes, scales, offsets.
    pub(super) fn record_words(&self) -> usize {
        let halves = if self.zero.is_some() { 1 } else { 2 };
        let codes = self.bits.block_words() * self.block / BLOCK;
        self.panel_columns() * codes + halves * self.panel_columns() / 2
    }

    pub(super) fn panel_words(&self) -> usize {
        self.depth / self.block * self.record_words()
    }

    /// Sets codes, and scale and offset as `w` has them.
    fn set_block(&mut self, w: &Blocks<'_>, (column, block): (usize, usize), codes: &[u8]) {
        let (width, blocks) = (self.panel_columns(), self.depth / BLOCK);
        let record = column / width * self.panel_words() + block * self.record_words();
        let within = column % width;
        for (at, word) in block_words(self.bits, codes).enumerate() {
            self.words[record + at * width + within] = word;
        }
        let halves = record + self.bits.block_words() * width;
        self.set_half(halves, within, w.scales[column * blocks + block]);
        if let Offsets::PerBlock(offsets) = w.offsets {
            self.set_half(halves + width / 2, within, offsets[column * blocks + block]);
        }
    }

    /// Sets the `at`-th half-precision number from word `start` on.
    fn set_half(&mut self, start: usize, at: usize, half: u16) {
        self.words[start + at / 2] |= u32::from(half) << (16 * (at % 2));
    }
}

/// The variance of scale · (lower half − 8) at every depth, over a sample of columns.
fn left_out_variances(w: &Blocks<'_>, n: usize, k: usize) -> Vec<f32> {
    let (mut sums, mut squares) = (vec![0.0_f32; k], vec![0.0_f32; k]);
    let sample = (0..n).step_by(SAMPLED_COLUMN);
    let count = sample.len() as f32;
    for column in sample {
        let scales = &w.scales[column * k / BLOCK..];
        for (depth, &code) in w.codes[column * k..][..k].iter().enumerate() {
            let left_out = from_f16(scales[depth / BLOCK]) * (f32::from(code & 15) - 8.0);
            sums[depth] += left_out;
            squares[depth] += left_out * left_out;
        }
    }
    let variance = |(sum, square): (f32, f32)| (square - sum * sum / count) / count;
    sums.into_iter().zip(squares).map(variance).collect()
}

/// By panel: the largest root mean square of a column's scales, over that of all scales.
fn spreads(w: &Blocks<'_>, n: usize, k: usize, width: usize) -> Vec<f32> {
    let square = |&half: &u16| from_f16(half).powi(2);
    let all = w.scales.iter().map(square).sum::<f32>() / n as f32;
    let columns: Vec<f32> = w
        .scales
        .chunks_exact(k / BLOCK)
        .map(|scales| scales.iter().map(square).sum())
        .collect();
    let largest = |panel: &[f32]| panel.iter().copied().fold(0.0, f32::max);
    columns
        .chunks(width)
        .map(|panel| (largest(panel) / all).sqrt())
        .collect()
}

/// The words of a block of one column.
fn block_words(bits: Bits, codes: &[u8]) -> impl Iterator<Item = u32> {
    let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let depths = BLOCK / bits.block_words();
    codes.chunks_exact(depths).map(move |codes| match bits {
        Bits::Eight => word(codes),
        Bits::Four => {
            assert!(
                codes.iter().all(|&code| code < 16),
                "a code has more than 4 bits"
            );
            word(&codes[..4]) | (word(&codes[4..]) << 4)
        }
    })
}
