//! Quantised weights arranged in panels.
//!
//! A panel is two vectors of columns. For every block of 32 along the depth it holds the codes, word
//! after word (four consecutive depths of a column; with 4 bits eight, the first four in the lower
//! halves of the bytes), then the scales of its columns and their offsets, if there are any. So a
//! product reads memory strictly forward.

use std::fmt;

use crate::Isa;
use crate::gemm::lanes;
use crate::slab::Piece;

/// Values along the depth that share a scale.
pub const BLOCK: usize = 32;

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
    /// The code of zero; `None` where every block has an offset.
    pub(super) zero: Option<u8>,
    pub(super) words: Piece,
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
        assert!(
            k.is_multiple_of(BLOCK),
            "a depth of whole blocks of {BLOCK}, not {k}, was expected"
        );
        assert_eq!(w.codes.len(), n * k, "codes [{n}, {k}] were expected");
        assert_eq!(
            w.scales.len(),
            n * k / BLOCK,
            "a scale for each block was expected"
        );
        let mut packed = QuantisedMatrix {
            isa,
            bits: w.bits,
            columns: n,
            depth: k,
            zero: match w.offsets {
                Offsets::Zero(zero) => Some(zero),
                Offsets::PerBlock(_) => None,
            },
            words: Piece::default(),
        };
        packed.words = Piece::zeroed(packed.panels() * packed.panel_words());
        for column in 0..n {
            for block in 0..k / BLOCK {
                packed.set_block(w, column, block);
            }
        }
        packed
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
        self.words.len() * 4
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
        self.panel_columns() * self.bits.block_words() + halves * self.panel_columns() / 2
    }

    pub(super) fn panel_words(&self) -> usize {
        self.depth / BLOCK * self.record_words()
    }

    fn set_block(&mut self, w: &Blocks<'_>, column: usize, block: usize) {
        let (width, blocks) = (self.panel_columns(), self.depth / BLOCK);
        let record = column / width * self.panel_words() + block * self.record_words();
        let within = column % width;
        let codes = &w.codes[column * self.depth + block * BLOCK..][..BLOCK];
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
