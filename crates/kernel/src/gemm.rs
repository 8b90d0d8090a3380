//! Matrix products with weights packed for the machine.

use crate::{Isa, Pool};

/// How the operands of a product are held. Sums are always `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Both operands rounded to bfloat16. Where the machine has no bfloat16 arithmetic the same
    /// rounding is applied and the products are computed in `f32`.
    Bf16,
    /// Both operands as they are.
    F32,
}

/// Weights arranged in panels for the micro-kernels of one instruction set.
#[derive(Clone, Debug)]
pub struct PackedMatrix {}

impl PackedMatrix {
    /// Packs `w`, row-major `[n, k]`, for `y[m, n] = x[m, k] · wᵀ`.
    pub fn pack(_isa: Isa, _precision: Precision, _w: &[f32], _n: usize, _k: usize) -> Self {
        todo!()
    }

    /// Packs the same `w`, row-major `[n, k]`, for the other direction `dx[m, k] = dy[m, n] · w`.
    pub fn pack_transposed(
        _isa: Isa,
        _precision: Precision,
        _w: &[f32],
        _n: usize,
        _k: usize,
    ) -> Self {
        todo!()
    }

    /// Columns of the product: the width of an output row.
    pub fn rows_out(&self) -> usize {
        todo!()
    }

    /// Length of the sums: the width of an input row.
    pub fn depth(&self) -> usize {
        todo!()
    }

    /// Bytes of memory the packed form takes.
    pub fn bytes(&self) -> usize {
        todo!()
    }
}

/// One product of a [`matmul_group`]: where the weights are and where the result goes.
#[derive(Debug)]
pub struct Product<'a> {
    /// The weights; their depth is the width of the shared input.
    pub weights: &'a PackedMatrix,
    /// `[m, weights.rows_out()]`.
    pub out: &'a mut [f32],
    /// Add to `out` instead of overwriting it.
    pub accumulate: bool,
}

/// `out[m, rows_out] (+)= x[m, depth] · w`. A row's result is the same bits for every `m`, whatever
/// the other rows hold and however many threads work.
pub fn matmul(
    pool: &Pool,
    x: &[f32],
    m: usize,
    w: &PackedMatrix,
    out: &mut [f32],
    accumulate: bool,
) {
    matmul_group(
        pool,
        x,
        m,
        &mut [Product {
            weights: w,
            out,
            accumulate,
        }],
    );
}

/// Several products of the same input, as Q, K and V or gate and up are: the input is converted once
/// and the pool is entered once. Each gives the same bits as [`matmul`] alone.
pub fn matmul_group(_pool: &Pool, _x: &[f32], _m: usize, _products: &mut [Product<'_>]) {
    todo!()
}

/// `out[p, q] = scale · a[m, p]ᵀ · b[m, q]`, added to `out` if `accumulate`; all `f32`. For the
/// gradients of weights. The same bits at any number of threads.
#[expect(
    clippy::too_many_arguments,
    reason = "a BLAS-like signature reads best flat"
)]
pub fn matmul_tn(
    _pool: &Pool,
    _a: &[f32],
    _b: &[f32],
    _m: usize,
    _p: usize,
    _q: usize,
    _out: &mut [f32],
    _scale: f32,
    _accumulate: bool,
) {
    todo!()
}
