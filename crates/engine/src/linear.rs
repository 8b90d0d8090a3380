//! One linear layer: a frozen matrix packed for the machine and its LoRA term.
//!
//! ```text
//! forward    low = x·Aᵀ          y  = x·Wᵀ + low·(s·B)ᵀ        s = alpha / rank
//! backward   dlow = dy·(s·B)     dx = dy·W + dlow·A
//!            dA = dlowᵀ·x        dB = s·dyᵀ·low
//! ```
//! W is frozen: there is no dW, here or elsewhere. `low` is kept from the forward
//! pass, `x` is whatever the block kept or computes again.

use crate::adapter::{Adapter, AdapterTensor};
use crate::rows::Rows;
use lathe_kernel::{Isa, LowRank, PackedMatrix, Pool, Precision, Product, matmul, matmul_tn};

/// How matrices are packed: for which instructions, in which precision, and
/// whether the transposed form that the backward pass reads is made too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) trainable: bool,
}

impl Packing {
    /// Packs a row-major `w` `[out, in]` for `x·Wᵀ`.
    pub(crate) fn forward(&self, w: &[f32], out: usize, depth: usize) -> PackedMatrix {
        PackedMatrix::pack(self.isa, self.precision, w, out, depth)
    }

    /// Packs the same `w` for `dy·W`.
    pub(crate) fn transposed(&self, w: &[f32], out: usize, depth: usize) -> PackedMatrix {
        PackedMatrix::pack_transposed(self.isa, self.precision, w, out, depth)
    }
}

/// A frozen weight matrix `[out, in]`.
pub(crate) struct Linear {
    forward: PackedMatrix,
    transposed: Option<PackedMatrix>,
}

impl Linear {
    pub(crate) fn pack(packing: Packing, w: &[f32], out: usize, depth: usize) -> Self {
        Self {
            forward: packing.forward(w, out, depth),
            transposed: packing.trainable.then(|| packing.transposed(w, out, depth)),
        }
    }

    /// y (+)= x·Wᵀ.
    pub(crate) fn product<'a>(&'a self, y: &'a mut [f32], add: bool) -> Product<'a> {
        Product {
            weights: &self.forward,
            out: y,
            accumulate: add,
        }
    }

    /// dx (+)= dy·W.
    ///
    /// # Panics
    /// If the model was not loaded as trainable.
    pub(crate) fn product_back<'a>(&'a self, dx: &'a mut [f32], add: bool) -> Product<'a> {
        let weights = self
            .transposed
            .as_ref()
            .expect("gradients need a model loaded with LoadOptions::trainable");
        Product {
            weights,
            out: dx,
            accumulate: add,
        }
    }
}

/// The low-rank term of one linear layer, packed like the weights.
pub(crate) struct Lora {
    rank: usize,
    scale: f32,
    /// A `[rank, in]`.
    a: PackedMatrix,
    /// s·B `[out, rank]`.
    b: PackedMatrix,
    backward: Option<LoraBackward>,
}

struct LoraBackward {
    a: PackedMatrix,
    b: PackedMatrix,
    /// Where dA and dB lie in the flat gradient.
    a_offset: usize,
    b_offset: usize,
}

impl Lora {
    /// Packs one pair of matrices of `adapter`.
    pub(crate) fn pack(
        packing: Packing,
        adapter: &Adapter,
        a: &AdapterTensor,
        b: &AdapterTensor,
    ) -> Self {
        let values = |tensor: &AdapterTensor| {
            &adapter.values[tensor.offset..tensor.offset + tensor.rows * tensor.cols]
        };
        let scale = adapter.spec.alpha / adapter.spec.rank as f32;
        let a_values = values(a);
        let b_values: Vec<f32> = values(b).iter().map(|&value| value * scale).collect();
        Self {
            rank: a.rows,
            scale,
            a: packing.forward(a_values, a.rows, a.cols),
            b: packing.forward(&b_values, b.rows, b.cols),
            backward: packing.trainable.then(|| LoraBackward {
                a: packing.transposed(a_values, a.rows, a.cols),
                b: packing.transposed(&b_values, b.rows, b.cols),
                a_offset: a.offset,
                b_offset: b.offset,
            }),
        }
    }

    /// low = x·Aᵀ, and low·(s·B)ᵀ for the product it is added to.
    pub(crate) fn low_rank<'a>(&'a self, rows: usize, low: &'a mut Rows) -> LowRank<'a> {
        LowRank {
            down: &self.a,
            up: &self.b,
            low: low.fit(rows, self.rank),
        }
    }

    /// dlow = dy·(s·B), and dlow·A for the product it is added to.
    pub(crate) fn low_rank_back<'a>(&'a self, rows: usize, dlow: &'a mut Rows) -> LowRank<'a> {
        let back = self.backward();
        LowRank {
            down: &back.b,
            up: &back.a,
            low: dlow.fit(rows, self.rank),
        }
    }

    /// dlow = dy·(s·B) alone.
    pub(crate) fn lower_back(&self, pool: &Pool, dy: &[f32], rows: usize, dlow: &mut Rows) {
        let dlow = dlow.fit(rows, self.rank);
        matmul(pool, dy, rows, &self.backward().b, dlow, false);
    }

    /// Adds dA = dlowᵀ·x and dB = s·dyᵀ·low to the flat `gradients`.
    pub(crate) fn gradients(
        &self,
        pool: &Pool,
        (x, low): (&[f32], &[f32]),
        (dy, dlow): (&[f32], &[f32]),
        gradients: &mut [f32],
    ) {
        let back = self.backward();
        let (rank, depth, out) = (self.rank, self.a.depth(), self.b.rows_out());
        let rows = low.len() / rank;
        let da = &mut gradients[back.a_offset..][..rank * depth];
        matmul_tn(pool, dlow, x, rows, rank, depth, da, 1.0, true);
        let db = &mut gradients[back.b_offset..][..out * rank];
        matmul_tn(pool, dy, low, rows, out, rank, db, self.scale, true);
    }

    fn backward(&self) -> &LoraBackward {
        self.backward
            .as_ref()
            .expect("the trainer packs adapters with their transposed form")
    }
}
