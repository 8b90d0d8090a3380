//! One linear layer: a frozen matrix packed for the machine, its bias and its LoRA term.
//!
//! ```text
//! forward    low = x·Aᵀ          y  = b + x·Wᵀ + low·(s·B)ᵀ    s = alpha / rank
//! backward   dlow = dy·(s·B)     dx = dy·W + dlow·A
//!            dA = dlowᵀ·x        dB = s·dyᵀ·low
//! ```
//! With DoRA ([`crate::adapter`]) the sum of both products, z, is scaled by the row of W it comes
//! from: y = b + g ∘ z with g = m / ‖W + s·B·A‖. Backward reads dz = g ∘ dy in place of dy, and
//! dm = Σ dy ∘ z / ‖W + s·B·A‖ over the rows, for which z is computed again.
//!
//! Beside a LoRA term W and b are frozen; in full tuning ([`crate::full`]) there is none, and
//! dW = dyᵀ·x and db = Σ dy. `low` is kept from the forward
//! pass, `x` is whatever the block kept or computes again. W is rounded to the
//! packing's precision, kept in the blocks of 4 or 8 bits it is stored in, or, where
//! products multiply bytes, rounded to 8 bits in blocks: along the depth of each
//! product, so that backward reads another rounding of W than forward, and gradients
//! are taken as if neither rounded (straight through). The LoRA term has the packing's
//! precision in all.

use crate::adapter::{Adapter, AdapterTensor};
use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use crate::gguf::codes::Codes;
use crate::rows::Rows;
use crate::weights::RawModel;
use lathe_kernel::quantised::WIDE_BLOCK;
use lathe_kernel::{
    AdaptedProduct, Isa, LowRank, PackedMatrix, Pool, Precision, Product, QuantisedMatrix,
    QuantisedProduct, bias, gain, largest_quantised, matmul, matmul_adapted, matmul_low_rank,
    matmul_quantised, matmul_tn, matmul_tn_bf16,
};
use std::sync::OnceLock;

mod mixed;

pub(crate) use mixed::MixedProduct;

/// How matrices are packed: for which instructions, in which precision, and
/// whether the transposed form that the backward pass reads is made too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packing {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) trainable: bool,
    /// Whether weights stored in blocks of 4 or 8 bits stay in them.
    pub(crate) as_stored: bool,
    /// What the other matrices of blocks are rounded to, if not to the precision.
    pub(crate) quantise: Option<BlockType>,
    /// Which products of a step of tuning multiply bytes.
    pub(crate) bytes: ByteProducts,
}

/// Which products of a step of tuning multiply bytes instead of bf16: weights, and what they are multiplied by, rounded
/// to 8 bits in blocks of 64. Gradients of weights never do.
///
/// Only where the machine multiplies bytes faster, and only for matrices of whole blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ByteProducts {
    /// None.
    #[default]
    None,
    /// Those that give gradients of inputs.
    Gradients,
    /// These, and those of the forward pass by weights that are not kept as stored: for weights that learn.
    All,
}

/// What a matrix is asked for most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All outputs.
    Whole,
    /// The largest output of a row.
    Largest,
}

impl Packing {
    /// Packs a row-major `w` `[out, in]` that stays for `x·Wᵀ`.
    fn weights(&self, w: &[f32], out: usize, depth: usize) -> PackedMatrix {
        PackedMatrix::pack_weights(self.isa, self.precision, w, out, depth)
    }

    /// Packs the same `w` for `dy·W`.
    fn weights_transposed(&self, w: &[f32], out: usize, depth: usize) -> PackedMatrix {
        PackedMatrix::pack_weights_transposed(self.isa, self.precision, w, out, depth)
    }

    /// Whether a matrix of this depth is multiplied as bytes.
    fn in_bytes(&self, depth: usize, least: ByteProducts) -> bool {
        let wanted = match self.bytes {
            ByteProducts::None => false,
            ByteProducts::Gradients => least == ByteProducts::Gradients,
            ByteProducts::All => true,
        };
        let exact = self.precision == Precision::F32;
        wanted && !exact && self.isa == Isa::Avx512Bf16 && depth.is_multiple_of(WIDE_BLOCK)
    }

    /// `w` `[out, in]` for the forward pass.
    fn rounded(&self, pool: &Pool, w: &[f32], out: usize, depth: usize) -> Frozen {
        if self.trainable && self.in_bytes(depth, ByteProducts::All) {
            let mut weights = QuantisedMatrix::blank(self.isa, out, depth);
            weights.round(pool, w);
            return Frozen::Quantised(weights);
        }
        Frozen::Rounded(self.weights(w, out, depth))
    }

    /// The same `w` for the backward pass.
    fn rounded_transposed(&self, pool: &Pool, w: &[f32], out: usize, depth: usize) -> Frozen {
        if self.in_bytes(out, ByteProducts::Gradients) {
            let mut weights = QuantisedMatrix::blank(self.isa, depth, out);
            weights.round_transposed(pool, w);
            return Frozen::Quantised(weights);
        }
        Frozen::Rounded(self.weights_transposed(w, out, depth))
    }

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
    forward: Frozen,
    transposed: Option<Frozen>,
    /// Of what is not in blocks, and of the operands of gradients.
    precision: Precision,
    /// `[out]`, where the architecture has one.
    bias: Option<Vec<f32>>,
    /// The squares of the lengths of W's rows, `[out]`; found when somebody asks.
    squares: OnceLock<Vec<f32>>,
}

/// The product that gives gradients of weights, the operands rounded as the weights are.
fn weight_gradient(precision: Precision) -> WeightGradient {
    match precision {
        Precision::Bf16 => matmul_tn_bf16,
        Precision::F32 => matmul_tn,
    }
}

/// [`matmul_tn`]'s arguments.
type WeightGradient = fn(&Pool, &[f32], &[f32], usize, usize, usize, &mut [f32], f32, bool);

/// The form that W is multiplied in.
enum Frozen {
    Rounded(PackedMatrix),
    Quantised(QuantisedMatrix),
}

impl Frozen {
    /// out (+)= x·Wᵀ + the LoRA term, W being whichever way this form holds it.
    fn multiply(
        &self,
        pool: &Pool,
        (x, rows): (&[f32], usize),
        low_rank: Option<LowRank<'_>>,
        (out, accumulate): (&mut [f32], bool),
    ) {
        match self {
            Frozen::Rounded(weights) => {
                let product = Product {
                    weights,
                    out,
                    accumulate,
                };
                let product = AdaptedProduct { product, low_rank };
                matmul_adapted(pool, x, rows, &mut [product]);
            }
            Frozen::Quantised(weights) => {
                let product = QuantisedProduct {
                    weights,
                    out: &mut *out,
                    accumulate,
                };
                matmul_quantised(pool, x, rows, &mut [product]);
                if let Some(term) = low_rank {
                    matmul_low_rank(pool, x, rows, &mut [(term, out)]);
                }
            }
        }
    }
}

/// y (+)= b + x·Wᵀ + the LoRA term, for one layer of several that read the same x.
pub(crate) struct LinearProduct<'a> {
    pub(crate) linear: &'a Linear,
    pub(crate) low_rank: Option<LowRank<'a>>,
    /// What both products are scaled by, `[out]`.
    pub(crate) gain: Option<&'a [f32]>,
    pub(crate) y: &'a mut [f32],
    pub(crate) add: bool,
}

impl Linear {
    /// Packs the matrix `<name>.weight` and, where there is one, `<name>.bias`.
    ///
    /// # Errors
    /// What reading it reports.
    pub(crate) fn load(
        packing: Packing,
        raw: &RawModel,
        name: &str,
        (out, depth): (usize, usize),
        asked: Asked,
    ) -> Result<Self, EngineError> {
        let bias = match format!("{name}.bias") {
            bias if raw.has_tensor(&bias) => Some(raw.tensor_f32(&bias)?.1),
            _ => None,
        };
        let name = &format!("{name}.weight");
        let stored = if packing.as_stored {
            raw.codes(name)?
        } else {
            None
        };
        // The output matrix keeps its values: it is read for every answer, and rounding it costs most.
        let rounds = asked == Asked::Whole && stored.is_none();
        let quantise = packing.quantise.filter(|_| rounds);
        let (codes, rounded) = match quantise.filter(|to| depth.is_multiple_of(to.block_values())) {
            None => (stored, None),
            Some(to) => {
                let mut bytes = Vec::new();
                to.quantize(&raw.tensor_f32(name)?.1, &mut bytes)?;
                let values = to.dequantize(&bytes).expect("whole blocks were made");
                (Codes::of(to, &bytes), Some(values))
            }
        };
        // Matrices are loaded side by side.
        let pool = Pool::new(1);
        let arrange = match asked {
            Asked::Whole => QuantisedMatrix::pack,
            Asked::Largest => QuantisedMatrix::pack_split,
        };
        let quantised =
            codes.map(|codes| Frozen::Quantised(arrange(packing.isa, &codes.blocks(), out, depth)));
        // Dequantised only where somebody reads the values.
        let (forward, w) = match quantised {
            Some(forward) if !packing.trainable => (forward, None),
            Some(forward) => match rounded {
                Some(rounded) => (forward, Some(rounded)),
                None => (forward, Some(raw.tensor_f32(name)?.1)),
            },
            None => {
                let (_, w) = raw.tensor_f32(name)?;
                (packing.rounded(&pool, &w, out, depth), Some(w))
            }
        };
        let transposed = w
            .filter(|_| packing.trainable)
            .map(|w| packing.rounded_transposed(&pool, &w, out, depth));
        Ok(Self {
            forward,
            transposed,
            precision: packing.precision,
            bias,
            squares: OnceLock::new(),
        })
    }

    /// Whether the weights are kept in the blocks they are stored in.
    pub(crate) fn is_quantised(&self) -> bool {
        matches!(self.forward, Frozen::Quantised(_))
    }

    /// How many values it puts out and takes in.
    pub(crate) fn shape(&self) -> (usize, usize) {
        match &self.forward {
            Frozen::Rounded(weights) => (weights.rows_out(), weights.depth()),
            Frozen::Quantised(weights) => (weights.rows_out(), weights.depth()),
        }
    }

    /// Takes up new values `[out, in]`, in the memory of the old.
    ///
    /// # Panics
    /// If the weights are kept in the blocks they are stored in.
    pub(crate) fn repack(&mut self, pool: &Pool, w: &[f32]) {
        self.squares.take();
        match &mut self.forward {
            Frozen::Rounded(weights) => weights.repack(pool, w),
            Frozen::Quantised(weights) => weights.round(pool, w),
        }
        match &mut self.transposed {
            Some(Frozen::Rounded(weights)) => weights.repack_transposed(pool, w),
            Some(Frozen::Quantised(weights)) => weights.round_transposed(pool, w),
            None => {}
        }
    }

    /// Takes up a new bias.
    ///
    /// # Panics
    /// If the layer has none.
    pub(crate) fn set_bias(&mut self, new: &[f32]) {
        let bias = self
            .bias
            .as_mut()
            .expect("only a bias that is there has a place");
        bias.copy_from_slice(new);
    }

    /// dW (+)= dyᵀ·x, the operands in the packing's precision.
    pub(crate) fn gradient(
        &self,
        pool: &Pool,
        (x, dy): (&[f32], &[f32]),
        dw: &mut [f32],
        add: bool,
    ) {
        let (out, depth) = self.shape();
        let rows = x.len() / depth;
        let product = weight_gradient(self.precision);
        product(pool, dy, x, rows, out, depth, dw, 1.0, add);
    }

    /// Computes the products of one `x` `[rows, in]`.
    pub(crate) fn multiply(pool: &Pool, x: &[f32], rows: usize, products: Vec<LinearProduct<'_>>) {
        let (mut rounded, mut quantised, mut terms) = (Vec::new(), Vec::new(), Vec::new());
        let unscaled = |it: &LinearProduct<'_>| it.gain.map(|_| vec![0.0f32; it.y.len()]);
        let mut unscaled: Vec<_> = products.iter().map(unscaled).collect();
        let mut scaled = Vec::new();
        for (product, z) in products.into_iter().zip(&mut unscaled) {
            let LinearProduct {
                linear,
                low_rank,
                gain,
                y,
                mut add,
            } = product;
            if let Some(bias) = &linear.bias {
                bias::apply(pool, bias, y, add);
                add = true;
            }
            let (out, accumulate) = match (gain, z) {
                (Some(gain), Some(z)) => {
                    scaled.push((gain, y, add));
                    (&mut z[..], false)
                }
                _ => (y, add),
            };
            match &linear.forward {
                Frozen::Rounded(weights) => rounded.push(AdaptedProduct {
                    product: Product {
                        weights,
                        out,
                        accumulate,
                    },
                    low_rank,
                }),
                Frozen::Quantised(weights) => {
                    quantised.push(QuantisedProduct {
                        weights,
                        out,
                        accumulate,
                    });
                    terms.push(low_rank);
                }
            }
        }
        matmul_adapted(pool, x, rows, &mut rounded);
        matmul_quantised(pool, x, rows, &mut quantised);
        let terms = terms.into_iter().zip(quantised);
        let mut terms: Vec<_> = terms
            .filter_map(|(term, product)| Some((term?, product.out)))
            .collect();
        matmul_low_rank(pool, x, rows, &mut terms);
        for ((gain, y, add), z) in scaled.into_iter().zip(unscaled.iter().flatten()) {
            gain::apply(pool, gain, z, y, add);
        }
    }

    /// z = x·Wᵀ + the LoRA term, without the bias.
    pub(crate) fn product(
        &self,
        pool: &Pool,
        (x, rows): (&[f32], usize),
        low_rank: Option<LowRank<'_>>,
        z: &mut [f32],
    ) {
        self.forward.multiply(pool, (x, rows), low_rank, (z, false));
    }

    /// The squares of the lengths of W's rows, `[out]`, of the values that are multiplied.
    ///
    /// They are read by products with unit vectors, which is as many operations as a prompt of `in`
    /// tokens, once.
    pub(crate) fn row_squares(&self, pool: &Pool) -> &[f32] {
        /// Unit vectors at once.
        const ROWS: usize = 64;
        self.squares.get_or_init(|| {
            let (out, depth) = self.shape();
            let mut sums = vec![0.0f32; out];
            let mut columns = vec![0.0; ROWS * out];
            for start in (0..depth).step_by(ROWS) {
                let rows = ROWS.min(depth - start);
                let mut units = vec![0.0; rows * depth];
                for row in 0..rows {
                    units[row * depth + start + row] = 1.0;
                }
                let columns = &mut columns[..rows * out];
                self.product(pool, (&units, rows), None, columns);
                for column in columns.chunks_exact(out) {
                    let both = sums.iter_mut().zip(column);
                    both.for_each(|(sum, value)| *sum += value * value);
                }
            }
            sums
        })
    }

    /// y = b + x·Wᵀ where an output may be the largest of its row, and near that elsewhere.
    pub(crate) fn largest(&self, pool: &Pool, x: &[f32], rows: usize, y: &mut [f32]) {
        match &self.forward {
            Frozen::Quantised(weights) if self.bias.is_none() => {
                largest_quantised(pool, x, rows, weights, y);
            }
            _ => {
                let product = LinearProduct {
                    linear: self,
                    low_rank: None,
                    gain: None,
                    y,
                    add: false,
                };
                Self::multiply(pool, x, rows, vec![product]);
            }
        }
    }

    /// dx (+)= dy·W + the LoRA term; `dy` has `rows` rows, `dx` comes with whether to add to it.
    ///
    /// # Panics
    /// If the model was not loaded as trainable.
    pub(crate) fn multiply_back(
        &self,
        pool: &Pool,
        (dy, rows): (&[f32], usize),
        low_rank: Option<LowRank<'_>>,
        (dx, accumulate): (&mut [f32], bool),
    ) {
        let weights = self
            .transposed
            .as_ref()
            .expect("gradients need a model loaded with LoadOptions::trainable");
        weights.multiply(pool, (dy, rows), low_rank, (dx, accumulate));
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
    dora: Option<Dora>,
}

/// What DoRA scales by.
struct Dora {
    /// g = m / ‖W + s·B·A‖ `[out]`.
    gain: Vec<f32>,
    /// ‖W + s·B·A‖ `[out]`.
    lengths: Vec<f32>,
    /// Where dm lies in the flat gradient.
    offset: usize,
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
        let scale = adapter.scale();
        let a_values = adapter.values_of(a);
        let b_values = adapter.values_of(b).iter().map(|&value| value * scale);
        let b_values: Vec<f32> = b_values.collect();
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
            dora: None,
        }
    }

    /// Takes up the magnitudes of DoRA for the layer that the term stands beside.
    ///
    /// ‖w + s·bA‖² = ‖w‖² + 2·s·b·(A·w) + s²·b·(A·Aᵀ)·b for every row w of W and b of B, so that
    /// nothing of W's size is made.
    pub(crate) fn set_magnitude(
        &mut self,
        pool: &Pool,
        linear: &Linear,
        adapter: &Adapter,
        [a, b, magnitude]: [&AdapterTensor; 3],
    ) {
        let (rank, out, scale) = (self.rank, b.rows, self.scale);
        let (a, b) = (adapter.values_of(a), adapter.values_of(b));
        let mut by_rows = vec![0.0; rank * out];
        linear.product(pool, (a, rank), None, &mut by_rows);
        let mut gram = vec![0.0; rank * rank];
        matmul(pool, a, rank, &self.a, &mut gram, false);
        let length = |(row, b): (usize, &[f32])| {
            let along = |i: usize| -> f32 {
                let bent = gram[i * rank..][..rank].iter().zip(b);
                let bent: f32 = bent.map(|(it, b)| it * b).sum();
                b[i] * (2.0 * scale * by_rows[i * out + row] + scale * scale * bent)
            };
            (0..rank).map(along).sum::<f32>()
        };
        let changes = b.chunks_exact(rank).enumerate().map(length);
        let squares = linear.row_squares(pool).iter().zip(changes);
        let lengths: Vec<f32> = squares.map(|(w, change)| (w + change).sqrt()).collect();
        let magnitudes = adapter.values_of(magnitude).iter();
        self.dora = Some(Dora {
            gain: magnitudes.zip(&lengths).map(|(m, l)| m / l).collect(),
            lengths,
            offset: magnitude.offset,
        });
    }

    /// What both products are scaled by, where DoRA is.
    pub(crate) fn gain(&self) -> Option<&[f32]> {
        self.dora.as_ref().map(|dora| &dora.gain[..])
    }

    /// Adds dm to the flat `gradients`, and returns dz = g ∘ dy; `low` is room for x·Aᵀ.
    pub(crate) fn unscale(
        &self,
        pool: &Pool,
        linear: &Linear,
        (x, dy): (&[f32], &[f32]),
        low: &mut Rows,
        gradients: &mut [f32],
    ) -> Option<Vec<f32>> {
        let dora = self.dora.as_ref()?;
        let out = dora.gain.len();
        let rows = dy.len() / out;
        let mut z = vec![0.0; dy.len()];
        linear.product(pool, (x, rows), Some(self.low_rank(rows, low)), &mut z);
        let mut dgain = vec![0.0; out];
        gain::gradient(pool, &z, dy, &mut dgain);
        let places = &mut gradients[dora.offset..][..out];
        for ((to, dgain), length) in places.iter_mut().zip(&dgain).zip(&dora.lengths) {
            *to += dgain / length;
        }
        gain::apply(pool, &dora.gain, dy, &mut z, false);
        Some(z)
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
        let product = weight_gradient(self.a.precision());
        let da = &mut gradients[back.a_offset..][..rank * depth];
        product(pool, dlow, x, rows, rank, depth, da, 1.0, true);
        let db = &mut gradients[back.b_offset..][..out * rank];
        product(pool, dy, low, rows, out, rank, db, self.scale, true);
    }

    fn backward(&self) -> &LoraBackward {
        self.backward
            .as_ref()
            .expect("the trainer packs adapters with their transposed form")
    }
}
