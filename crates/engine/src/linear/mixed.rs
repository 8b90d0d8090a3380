//! One linear layer for rows of several adapters, and of none, in one pass.
//!
//! ```text
//! y[r]  = b + x[r]·Wᵀ                       for every row: W is read once
//! y[r] += (x[r]·Aᵀ)·(s·B)ᵀ                  for the rows of an adapter, with its A and B
//! y[r]  = b + g ∘ (x[r]·Wᵀ + …)             where that is DoRA, with its g
//! ```
//! Rows of one adapter lie side by side; the terms of all of them are computed together
//! ([`matmul_low_rank_parts`]). Every row has the bits that [`Linear::multiply`] gives it among rows of
//! its own adapter: a term goes on from its product's sums whether they were written in between or not,
//! and a product added to zeros is one that is written, which is what DoRA's rows need where others start
//! from a bias or from what is there.

use super::{Frozen, Linear, Lora};
use crate::rows::Rows;
use lathe_kernel::{
    LowRank, PartialLowRank, Pool, Product, QuantisedProduct, bias, gain, matmul_group,
    matmul_low_rank_parts, matmul_quantised,
};
use std::ops::Range;

/// y (+)= b + x·Wᵀ + the rows' own terms, for one layer of several that read the same x.
pub(crate) struct MixedProduct<'a> {
    pub(crate) linear: &'a Linear,
    /// How many rows, one after another, go with which term, or with none; all rows in all.
    pub(crate) runs: Vec<(usize, Option<&'a Lora>)>,
    /// Room for the rows' x·Aᵀ.
    pub(crate) low: &'a mut Rows,
    pub(crate) y: &'a mut [f32],
    pub(crate) add: bool,
}

impl Linear {
    /// Computes the products of one `x` `[rows, in]` whose rows have terms of their own.
    pub(crate) fn multiply_mixed(
        pool: &Pool,
        x: &[f32],
        rows: usize,
        mut products: Vec<MixedProduct<'_>>,
    ) {
        for product in &mut products {
            product.begin(pool);
        }
        let set_aside = products.iter_mut().map(MixedProduct::set_aside);
        let set_aside: Vec<Vec<f32>> = set_aside.collect();
        multiply_bases(pool, x, rows, &mut products);
        let mut terms: Vec<_> = products.iter_mut().flat_map(MixedProduct::terms).collect();
        matmul_low_rank_parts(pool, x, rows, &mut terms);
        for (product, before) in products.iter_mut().zip(set_aside) {
            product.scale(pool, before);
        }
    }
}

/// y (+)= x·Wᵀ for all rows.
fn multiply_bases(pool: &Pool, x: &[f32], rows: usize, products: &mut [MixedProduct<'_>]) {
    let (mut rounded, mut quantised) = (Vec::new(), Vec::new());
    for product in products {
        let (out, accumulate) = (&mut *product.y, product.add);
        match &product.linear.forward {
            Frozen::Rounded(weights) => rounded.push(Product {
                weights,
                out,
                accumulate,
            }),
            Frozen::Quantised(weights) => quantised.push(QuantisedProduct {
                weights,
                out,
                accumulate,
            }),
        }
    }
    matmul_group(pool, x, rows, &mut rounded);
    matmul_quantised(pool, x, rows, &mut quantised);
}

impl<'a> MixedProduct<'a> {
    /// Starts from the bias.
    fn begin(&mut self, pool: &Pool) {
        if let Some(bias) = &self.linear.bias {
            bias::apply(pool, bias, self.y, self.add);
            self.add = true;
        }
    }

    /// Takes what the rows of DoRA start from out of the way of the product, and leaves zeros.
    fn set_aside(&mut self) -> Vec<f32> {
        let mut before = Vec::new();
        for (_, y) in self.scaled() {
            before.extend_from_slice(y);
            y.fill(0.0);
        }
        before
    }

    /// Scales the rows of DoRA and puts them to what they start from.
    fn scale(&mut self, pool: &Pool, mut before: Vec<f32>) {
        let (mut rest, add) = (&mut before[..], self.add);
        for (gains, y) in self.scaled() {
            let (z, after) = std::mem::take(&mut rest).split_at_mut(y.len());
            rest = after;
            y.swap_with_slice(z);
            gain::apply(pool, gains, z, y, add);
        }
    }

    /// The gains and the outputs of those rows that have gains.
    fn scaled(&mut self) -> impl Iterator<Item = (&'a [f32], &mut [f32])> {
        let parts = adapted(&self.runs, self.linear.shape().0, self.y);
        parts
            .into_iter()
            .filter_map(|(_, lora, y)| Some((lora.gain()?, y)))
    }

    /// The terms of those rows that have one.
    fn terms(&mut self) -> Vec<PartialLowRank<'_>> {
        let parts = adapted(&self.runs, self.linear.shape().0, self.y);
        let values = parts.iter().map(|(rows, lora, _)| rows.len() * lora.rank);
        let mut room = self.low.fit(1, values.sum());
        let mut terms = Vec::with_capacity(parts.len());
        for (rows, lora, out) in parts {
            let (low, after) = room.split_at_mut(rows.len() * lora.rank);
            room = after;
            let (down, up) = (&lora.a, &lora.b);
            let term = LowRank { down, up, low };
            terms.push(PartialLowRank { rows, term, out });
        }
        terms
    }
}

/// Which rows have a term, and their part of `y`, which is `width` wide.
fn adapted<'y, 'a>(
    runs: &[(usize, Option<&'a Lora>)],
    width: usize,
    y: &'y mut [f32],
) -> Vec<(Range<usize>, &'a Lora, &'y mut [f32])> {
    let (mut start, mut rest) = (0, y);
    let mut parts = Vec::with_capacity(runs.len());
    for &(rows, lora) in runs {
        let (own, after) = rest.split_at_mut(rows * width);
        rest = after;
        if let Some(lora) = lora {
            parts.push((start..start + rows, lora, own));
        }
        start += rows;
    }
    parts
}
