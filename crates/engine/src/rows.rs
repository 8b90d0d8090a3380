//! Buffers that are filled again and again.
//!
//! A [`Rows`] grows to the largest batch it has seen and keeps its memory: after
//! the first steps nothing is allocated, zeroed or paged in. Its contents after
//! [`Rows::fit`] are whatever the last user left; every user writes before it reads.

use lathe_kernel::slab;
use std::ops::{Deref, DerefMut};

/// A row-major matrix of f32 whose memory outlives its contents.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    values: Vec<f32>,
    len: usize,
}

impl Rows {
    /// Makes room for `rows * width` values; what they hold is unspecified.
    pub(crate) fn fit(&mut self, rows: usize, width: usize) -> &mut [f32] {
        self.len = rows * width;
        if self.values.len() < self.len {
            // The old content is of no use, and a copy of it would be the only one to pay for it.
            self.values = Vec::new();
            self.values = slab::zeros(self.len);
        }
        self
    }
}

impl Deref for Rows {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values[..self.len]
    }
}

impl DerefMut for Rows {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[..self.len]
    }
}

/// Two different elements of a slice, the first to read, the second to write.
///
/// # Panics
/// If both indices are the same or out of bounds.
pub(crate) fn read_and_write(items: &mut [Rows], read: usize, write: usize) -> (&Rows, &mut Rows) {
    let [read, write] = items
        .get_disjoint_mut([read, write])
        .expect("the caller names two different buffers");
    (read, write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_the_memory() {
        let mut rows = Rows::default();
        rows.fit(4, 3).fill(1.0);
        let address = rows.as_ptr();
        assert_eq!(rows.fit(2, 3).len(), 6);
        assert_eq!(rows.fit(4, 3).len(), 12);
        assert_eq!(rows.as_ptr(), address);
        assert!(rows.iter().all(|&value| value == 1.0));
    }
}
