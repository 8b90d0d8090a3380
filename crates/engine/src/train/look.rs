//! A forward pass that somebody looks into: what the linear layers read, and the logits at the targets.
//!
//! Nothing of it is kept by a pass that nobody looks into, and nothing is learnt by one that somebody does.

use super::{Block, Head, Trainer};
use crate::batch::Batch;
use crate::block::{Activations, Projection, Work};
use crate::packed_adapter::PackedAdapter;

/// Sees the index of a block, linear layers of it, and the `[rows, in]` that they read.
pub(crate) type See<'s> = dyn FnMut(usize, &[Projection], &[f32]) + 's;

impl Trainer<'_> {
    /// Runs the blocks on a batch and shows what their linear layers read.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse the batch.
    pub(crate) fn inputs(
        &mut self,
        adapter: Option<&PackedAdapter>,
        batch: &Batch,
        see: &mut See<'_>,
    ) {
        self.run_blocks(adapter, batch, false, Some(see));
    }

    /// The logits `[targets, vocab]` at every target's row.
    ///
    /// # Panics
    /// If [`Batch::check`] would refuse the batch.
    pub(crate) fn logits(&mut self, adapter: Option<&PackedAdapter>, batch: &Batch) -> Vec<f32> {
        self.run_blocks(adapter, batch, false, None);
        let rows = batch.targets.iter().map(|it| (it.row as usize, false));
        let rows: Vec<(usize, bool)> = rows.collect();
        let (model, pool) = (self.model, self.pool);
        let stream = &self.buffers.streams[model.layers.len() % 2];
        Head { model, pool }.logits(stream, &rows, &mut self.buffers.head)
    }
}

/// Shows one block's.
pub(super) fn show(
    see: &mut See<'_>,
    (block, layer): (&Block<'_>, usize),
    passed: (&[f32], &Activations),
    work: &mut Work,
) {
    block.show_inputs(passed, work, &mut |group, x| see(layer, group, x));
}
