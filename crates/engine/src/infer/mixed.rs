//! Sequences of several adapters over one base, and of the base alone, in one pass.
//!
//! The base's weights are read once for all rows, and each adapter's small matrices for its own
//! (`linear/mixed.rs`); attention, norms and the output matrix know of no adapter. For a few rows of
//! each, reading weights is nearly all of the time, so that a pass of five adapters takes little longer
//! than one of one. A row's result is the same bits as in a pass of its own adapter.

use super::{Chunk, Scratch, forward, through};
use crate::block::AdapterRows;
use crate::model::Model;
use crate::packed_adapter::PackedAdapter;
use lathe_kernel::Pool;

/// How many of the chunks, one after another, go through which adapter, or through none.
#[derive(Clone, Copy)]
pub struct AdapterRun<'a> {
    /// The adapter.
    pub adapter: Option<&'a PackedAdapter>,
    /// How many chunks go through it.
    pub chunks: usize,
}

/// [`forward`] of chunks that go through adapters of their own: the first run's chunks come first, then
/// the second's. One run alone is [`forward`].
///
/// # Panics
/// If the runs are not of as many chunks as there are, or [`Chunk::check`] would refuse a chunk.
pub fn forward_mixed(
    model: &Model,
    pool: &Pool,
    runs: &[AdapterRun<'_>],
    chunks: &mut [Chunk<'_>],
    scratch: &mut Scratch,
) -> Vec<f32> {
    let of_runs: usize = runs.iter().map(|run| run.chunks).sum();
    assert_eq!(of_runs, chunks.len(), "a chunk goes through no run");
    match runs {
        [] => forward(model, pool, None, chunks, scratch),
        [run] => forward(model, pool, run.adapter, chunks, scratch),
        _ => through((model, pool, Adapters::Runs(runs)), chunks, scratch),
    }
}

/// What the rows of a pass go through.
#[derive(Clone, Copy)]
pub(super) enum Adapters<'a> {
    /// All of them through the same.
    One(Option<&'a PackedAdapter>),
    /// Those of each run through its own.
    Runs(&'a [AdapterRun<'a>]),
}

impl<'a> Adapters<'a> {
    /// The adapter of all rows.
    pub(super) fn one(self) -> Option<&'a PackedAdapter> {
        match self {
            Adapters::One(adapter) => adapter,
            Adapters::Runs(_) => None,
        }
    }

    /// The adapters of the rows where they differ, `count` of each chunk; else nothing.
    pub(super) fn rows(
        self,
        chunks: &[Chunk<'_>],
        count: impl Fn(&Chunk<'_>) -> usize,
    ) -> Vec<AdapterRows<'a>> {
        let Adapters::Runs(runs) = self else {
            return Vec::new();
        };
        let mut rest = chunks;
        let rows = runs.iter().map(|run| {
            let (own, after) = rest.split_at(run.chunks);
            rest = after;
            AdapterRows {
                adapter: run.adapter,
                rows: own.iter().map(&count).sum(),
            }
        });
        rows.collect()
    }
}
