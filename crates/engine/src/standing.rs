//! Where rows stand in their sequences, and what that turns their queries and keys by.

use crate::model::Model;
use lathe_kernel::Pool;
use lathe_kernel::rope::Turns;

/// The position of every row in its own sequence, and the turns that all blocks take from there.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    positions: Vec<u32>,
    /// In layers without a window and with one, which may have frequencies of their own.
    everywhere: Turns,
    in_windows: Turns,
}

impl Standing {
    /// Takes up rows at these positions.
    pub(crate) fn set(&mut self, model: &Model, pool: &Pool, positions: impl Iterator<Item = u32>) {
        self.positions.clear();
        self.positions.extend(positions);
        let frequencies = model.frequencies();
        self.everywhere
            .set(pool, &self.positions, &frequencies.everywhere);
        self.in_windows
            .set(pool, &self.positions, &frequencies.in_windows);
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> usize {
        self.positions.len()
    }

    /// Their positions.
    pub(crate) fn positions(&self) -> &[u32] {
        &self.positions
    }

    /// What a layer turns them by.
    pub(crate) fn turns(&self, model: &Model, layer: usize) -> &Turns {
        match model.has_window(layer) {
            true => &self.in_windows,
            false => &self.everywhere,
        }
    }
}
