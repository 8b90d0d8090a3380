//! Weights arranged in panels.
//!
//! A panel holds `VECTORS` vectors of columns, depth after depth, so that the innermost loop reads
//! memory strictly forward. The last panel and the last word of the depth are padded with zeros.

use std::fmt;

use super::Precision;
use crate::Isa;
use crate::bf16::to_bf16;
use crate::buffer::area;
use crate::slab::Storage;

/// Weights arranged in panels for the micro-kernels of one instruction set.
#[derive(Clone)]
pub struct PackedMatrix {
    pub(super) isa: Isa,
    pub(super) precision: Precision,
    pub(super) columns: usize,
    pub(super) depth: usize,
    /// Vectors of columns in a panel: 1 for matrices narrow enough, else 2.
    pub(super) vectors: usize,
    pub(super) words: Storage,
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PackedMatrix {
            isa,
            precision,
            columns,
            depth,
            ..
        } = self;
        write!(
            f,
            "PackedMatrix({depth} -> {columns}, {precision:?}, {isa})"
        )
    }
}

impl PackedMatrix {
    /// Packs `w`, row-major `[n, k]`, for `y[m, n] = x[m, k] · wᵀ`.
    ///
    /// # Panics
    /// If `w` does not have `n · k` elements.
    pub fn pack(isa: Isa, precision: Precision, w: &[f32], n: usize, k: usize) -> Self {
        PackedMatrix::zeroed(isa, precision, n, k, Storage::own).filled(w)
    }

    /// [`PackedMatrix::pack`] to where weights lie that are read again and again: in large pages,
    /// beside others of the model. Not for what is packed anew every step.
    ///
    /// # Panics
    /// As [`PackedMatrix::pack`].
    pub fn pack_weights(isa: Isa, precision: Precision, w: &[f32], n: usize, k: usize) -> Self {
        PackedMatrix::zeroed(isa, precision, n, k, Storage::cut).filled(w)
    }

    /// Packs the same `w`, row-major `[n, k]`, for the other direction `dx[m, k] = dy[m, n] · w`.
    ///
    /// # Panics
    /// If `w` does not have `n · k` elements.
    pub fn pack_transposed(isa: Isa, precision: Precision, w: &[f32], n: usize, k: usize) -> Self {
        PackedMatrix::zeroed(isa, precision, k, n, Storage::own).filled_transposed(w)
    }

    /// [`PackedMatrix::pack_transposed`] to where [`PackedMatrix::pack_weights`] packs.
    ///
    /// # Panics
    /// As [`PackedMatrix::pack_transposed`].
    pub fn pack_weights_transposed(
        isa: Isa,
        precision: Precision,
        w: &[f32],
        n: usize,
        k: usize,
    ) -> Self {
        PackedMatrix::zeroed(isa, precision, k, n, Storage::cut).filled_transposed(w)
    }

    fn filled(mut self, w: &[f32]) -> Self {
        let (n, k) = (self.columns, self.depth);
        assert_eq!(w.len(), area(n, k), "a matrix [{n}, {k}] was expected");
        if k > 0 {
            for (column, row) in w.chunks_exact(k).enumerate() {
                self.set_column(column, row);
            }
        }
        self
    }

    fn filled_transposed(mut self, w: &[f32]) -> Self {
        let (n, k) = (self.depth, self.columns);
        assert_eq!(w.len(), area(n, k), "a matrix [{n}, {k}] was expected");
        if k > 0 {
            let per_word = self.precision.unit_depth();
            for (unit, rows) in w.chunks(k * per_word).enumerate() {
                self.set_unit(unit, rows);
            }
        }
        self
    }

    fn zeroed(
        isa: Isa,
        precision: Precision,
        columns: usize,
        depth: usize,
        storage: fn(usize) -> Storage,
    ) -> Self {
        let lanes = lanes(isa);
        let vectors = if columns <= lanes { 1 } else { 2 };
        let units = depth.div_ceil(precision.unit_depth());
        let words = storage(area(
            columns.div_ceil(vectors * lanes),
            area(vectors * lanes, units),
        ));
        PackedMatrix {
            isa,
            precision,
            columns,
            depth,
            vectors,
            words,
        }
    }

    /// Writes a column, given whole.
    fn set_column(&mut self, column: usize, values: &[f32]) {
        let width = self.panel_columns();
        let start = column / width * self.panel_words() + column % width;
        let places = self.words[start..].iter_mut().step_by(width);
        match self.precision {
            Precision::F32 => places
                .zip(values)
                .for_each(|(place, value)| *place = value.to_bits()),
            Precision::Bf16 => {
                places.zip(values.chunks(2)).for_each(|(place, pair)| {
                    *place = pair_word(pair[0], pair.get(1).copied().unwrap_or(0.0));
                });
            }
        }
    }

    /// Writes one word of the depth of all columns, given the one or two rows it is made of.
    fn set_unit(&mut self, unit: usize, rows: &[f32]) {
        let (width, panel_words) = (self.panel_columns(), self.panel_words());
        let (first, second) = rows.split_at(self.columns);
        for (panel, first) in first.chunks(width).enumerate() {
            let start = panel * panel_words + unit * width;
            let places = &mut self.words[start..start + first.len()];
            match self.precision {
                Precision::F32 => places
                    .iter_mut()
                    .zip(first)
                    .for_each(|(place, value)| *place = value.to_bits()),
                Precision::Bf16 => {
                    let second = second.get(panel * width..).unwrap_or(&[]).iter().copied();
                    let pairs = first.iter().zip(second.chain(std::iter::repeat(0.0)));
                    places
                        .iter_mut()
                        .zip(pairs)
                        .for_each(|(place, (&first, second))| *place = pair_word(first, second));
                }
            }
        }
    }

    /// Columns of the product: the width of an output row.
    pub fn rows_out(&self) -> usize {
        self.columns
    }

    /// Length of the sums: the width of an input row.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// How the values are held.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Bytes of memory the packed form takes.
    pub fn bytes(&self) -> usize {
        size_of_val(&self.words[..])
    }

    pub(super) fn panel_columns(&self) -> usize {
        self.vectors * lanes(self.isa)
    }

    pub(super) fn units(&self) -> usize {
        self.depth.div_ceil(self.precision.unit_depth())
    }

    pub(super) fn panel_words(&self) -> usize {
        self.panel_columns() * self.units()
    }
}

impl Precision {
    /// Elements along the depth in one word.
    pub(super) fn unit_depth(self) -> usize {
        match self {
            Precision::Bf16 => 2,
            Precision::F32 => 1,
        }
    }
}

/// Floats in a vector.
pub(crate) fn lanes(isa: Isa) -> usize {
    match isa {
        Isa::Avx512Bf16 => 16,
        Isa::Avx2 | Isa::Portable => 8,
    }
}

#[inline(always)]
pub(super) fn pair_word(first: f32, second: f32) -> u32 {
    u32::from(to_bf16(first)) | (u32::from(to_bf16(second)) << 16)
}
