//! The inner loops of all matrix products: tiles of sums held in registers.
//!
//! The sums of one output element run over the depth in order, in one register lane, whatever the
//! size of the tile it is part of. That is why a row's result does not depend on the other rows.

use crate::simd::{Kernel, Simd};

/// What one word of an operand holds and how a product of two words is added.
pub(crate) trait Unit: Copy + Send + Sync + 'static {
    /// Elements along the depth in one word.
    const DEPTH: usize;
    /// `acc + x · w` over the elements of each word.
    fn step<S: Simd>(s: S, acc: S::F, x: S::U, w: S::U) -> S::F;
    /// Words whose element 0 is from `first` and, if there is an element 1, it is from `second`.
    fn combine<S: Simd>(s: S, first: S::F, second: S::F) -> S::U;
    /// Writes two vectors of consecutive elements, in `2 · LANES / DEPTH` words.
    ///
    /// # Safety
    /// The words must be writable.
    unsafe fn store<S: Simd>(s: S, to: *mut u32, low: S::F, high: S::F);
}

/// Two bfloat16, the first in the lower half.
#[derive(Clone, Copy)]
pub(crate) struct PairUnit;

/// The bits of one `f32`.
#[derive(Clone, Copy)]
pub(crate) struct FloatUnit;

impl Unit for PairUnit {
    const DEPTH: usize = 2;
    #[inline(always)]
    fn step<S: Simd>(s: S, acc: S::F, x: S::U, w: S::U) -> S::F {
        s.dot_pairs(acc, x, w)
    }
    #[inline(always)]
    fn combine<S: Simd>(s: S, first: S::F, second: S::F) -> S::U {
        s.interleave(first, second)
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut u32, low: S::F, high: S::F) {
        // SAFETY: passed on.
        unsafe { s.store_words(to, s.narrow(low, high)) }
    }
}

impl Unit for FloatUnit {
    const DEPTH: usize = 1;
    #[inline(always)]
    fn step<S: Simd>(s: S, acc: S::F, x: S::U, w: S::U) -> S::F {
        s.fma(s.words_as_floats(x), s.words_as_floats(w), acc)
    }
    #[inline(always)]
    fn combine<S: Simd>(s: S, first: S::F, _second: S::F) -> S::U {
        s.floats_as_words(first)
    }
    #[inline(always)]
    unsafe fn store<S: Simd>(s: S, to: *mut u32, low: S::F, high: S::F) {
        // SAFETY: passed on.
        unsafe {
            s.store_words(to, s.floats_as_words(low));
            s.store_words(to.add(S::LANES), s.floats_as_words(high));
        }
    }
}

/// One factor pair of a [`TileProduct`] by pointers: `x` word `u` of row `r` lies at
/// `r · x_row_stride + u · x_unit_stride`; `w` is panels of `VECTORS` vectors of columns, word `u`
/// of column `c` at `u · panel width + c`, each panel `w_panel_stride` after the one before.
#[derive(Clone, Copy)]
pub(crate) struct Term {
    pub x: *const u32,
    pub x_row_stride: usize,
    pub x_unit_stride: usize,
    pub w: *const u32,
    pub w_panel_stride: usize,
    pub units: usize,
}

impl Term {
    /// Adds nothing.
    pub(crate) const NONE: Term = Term {
        x: std::ptr::null(),
        x_row_stride: 0,
        x_unit_stride: 0,
        w: std::ptr::null(),
        w_panel_stride: 0,
        units: 0,
    };
}

/// `out[rows, columns] (+)= x₁ · w₁ + x₂ · w₂`: the sums run through the first term, then the second.
#[derive(Clone, Copy)]
pub(crate) struct TileProduct {
    pub terms: [Term; 2],
    pub out: *mut f32,
    pub out_stride: usize,
    pub rows: usize,
    pub columns: usize,
    pub accumulate: bool,
}

impl TileProduct {
    /// Computes the product.
    ///
    /// # Safety
    /// For both terms all words of `x` and of the whole panels that hold the `columns` must be
    /// readable, the output elements must be writable and nobody else may use them meanwhile.
    pub(crate) unsafe fn run<S: Simd, U: Unit, const VECTORS: usize>(self, s: S) {
        s.vectorize(TileKernel::<U, VECTORS> {
            product: self,
            unit: std::marker::PhantomData,
        });
    }

    /// The part from `row` and `panel` on, for at most the columns of one panel.
    #[inline(always)]
    fn part(&self, row: usize, panel: usize, panel_columns: usize) -> TileProduct {
        let mut part = *self;
        for term in &mut part.terms {
            term.x = term.x.wrapping_add(row * term.x_row_stride);
            term.w = term.w.wrapping_add(panel * term.w_panel_stride);
        }
        let column = panel * panel_columns;
        part.out = self.out.wrapping_add(row * self.out_stride + column);
        part.columns = panel_columns.min(self.columns - column);
        part.rows = self.rows - row;
        part
    }
}

struct TileKernel<U, const VECTORS: usize> {
    product: TileProduct,
    unit: std::marker::PhantomData<U>,
}

impl<U: Unit, const VECTORS: usize> Kernel for TileKernel<U, VECTORS> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let panel_columns = VECTORS * S::LANES;
        for panel in 0..self.product.columns.div_ceil(panel_columns) {
            let mut row = 0;
            while row < self.product.rows {
                let part = self.product.part(row, panel, panel_columns);
                // SAFETY: the creator of the product vouches for its rows and columns.
                row += unsafe { some_rows::<S, U, VECTORS>(s, &part) };
            }
        }
    }
}

/// Computes as many rows as one tile takes and returns their number.
///
/// # Safety
/// As [`TileProduct::run`], for one panel.
#[inline(always)]
unsafe fn some_rows<S: Simd, U: Unit, const VECTORS: usize>(s: S, p: &TileProduct) -> usize {
    macro_rules! largest_tile {
        ($($tile:literal),*) => {
            $(
                if p.rows >= $tile && S::TILE_ROWS >= $tile {
                    // SAFETY: passed on.
                    unsafe { tile::<S, U, VECTORS, $tile>(s, p) };
                    return $tile;
                }
            )*
        };
    }
    largest_tile!(12, 8, 6, 4, 3, 2, 1);
    0
}

/// One tile of `ROWS` rows by `VECTORS` vectors of columns.
///
/// # Safety
/// As [`TileProduct::run`], for one panel and `ROWS` rows.
#[inline(always)]
unsafe fn tile<S: Simd, U: Unit, const VECTORS: usize, const ROWS: usize>(s: S, p: &TileProduct) {
    let mut sums = [[s.splat(0.0); VECTORS]; ROWS];
    let out =
        |row: usize, vector: usize| p.out.wrapping_add(row * p.out_stride + vector * S::LANES);
    let whole = p.columns == VECTORS * S::LANES;
    let lanes = |vector: usize| p.columns.saturating_sub(vector * S::LANES).min(S::LANES);
    if p.accumulate {
        for (row, sums) in sums.iter_mut().enumerate() {
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the output elements are ours.
                *sum = unsafe {
                    if whole {
                        s.load(out(row, vector))
                    } else {
                        s.load_first(out(row, vector), lanes(vector))
                    }
                };
            }
        }
    }
    for term in &p.terms {
        let rows: [*const u32; ROWS] =
            std::array::from_fn(|row| term.x.wrapping_add(row * term.x_row_stride));
        for unit in 0..term.units {
            // SAFETY: unit `unit` of the panel and of the rows is readable.
            unsafe {
                let w = term.w.add(unit * VECTORS * S::LANES);
                let w: [S::U; VECTORS] =
                    std::array::from_fn(|vector| s.load_words(w.add(vector * S::LANES)));
                for (row, sums) in rows.iter().zip(&mut sums) {
                    let x = s.splat_words(*row.add(unit * term.x_unit_stride));
                    for (sum, w) in sums.iter_mut().zip(w) {
                        *sum = U::step(s, *sum, x, w);
                    }
                }
            }
        }
    }
    for (row, sums) in sums.iter().enumerate() {
        for (vector, sum) in sums.iter().enumerate() {
            // SAFETY: the output elements are ours.
            unsafe {
                if whole {
                    s.store(out(row, vector), *sum);
                } else {
                    s.store_first(out(row, vector), *sum, lanes(vector));
                }
            }
        }
    }
}
