//! A block for rows of several adapters: only what its linear layers add differs from row to row.

use super::{Block, LayerLoras, PROJECTIONS, Projection};
use crate::linear::{Linear, MixedProduct};
use crate::packed_adapter::PackedAdapter;
use crate::rows::Rows;

/// How many rows, one after another, go through which adapter, or through none.
#[derive(Clone, Copy)]
pub(crate) struct AdapterRows<'a> {
    pub(crate) adapter: Option<&'a PackedAdapter>,
    pub(crate) rows: usize,
}

/// The same in one block.
pub(super) type LoraRows<'a> = (usize, Option<&'a LayerLoras>);

impl<'a> Block<'a> {
    /// The same for rows that go through `adapters`, all of them, and through no other; with none there
    /// nothing changes.
    pub(crate) fn mixed(self, adapters: &[AdapterRows<'a>], layer: usize) -> Self {
        let loras = |it: &AdapterRows<'a>| (it.rows, it.adapter.map(|it| &it.layers[layer]));
        let mixed = adapters.iter().map(loras).collect();
        Self { mixed, ..self }
    }

    /// As [`Block::project`], every row with its own terms.
    pub(super) fn project_mixed<const N: usize>(
        &self,
        projections: [Projection; N],
        x: &[f32],
        low: &mut [Rows; PROJECTIONS],
        outputs: [&mut [f32]; N],
        add: bool,
    ) {
        let lows = low
            .get_disjoint_mut(projections.map(|projection| projection as usize))
            .expect("a group names different projections");
        let products = projections.into_iter().zip(lows).zip(outputs);
        let products = products.map(|((projection, low), y)| {
            let lora = |loras: &'a LayerLoras| loras[projection as usize].as_ref();
            let runs = self.mixed.iter();
            MixedProduct {
                linear: self.linear(projection),
                runs: runs
                    .map(|(rows, loras)| (*rows, loras.and_then(lora)))
                    .collect(),
                low,
                y,
                add,
            }
        });
        let rows = self.rows;
        Linear::multiply_mixed(self.pool, x, rows, products.collect());
    }
}
