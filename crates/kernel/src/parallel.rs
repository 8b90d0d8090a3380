//! Disjoint pieces of mutable slices for the tasks of a pool.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Pool;

/// Floats a task of a row-wise operation should handle: a few microseconds of work.
const TASK_FLOATS: usize = 16 * 1024;

/// A mutable slice that several tasks write to in different places.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    borrow: PhantomData<&'a mut [T]>,
}

// SAFETY: access goes through `slice`, whose callers vouch that concurrent pieces are disjoint.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    pub(crate) fn new(slice: &'a mut [T]) -> SharedMut<'a, T> {
        SharedMut {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            borrow: PhantomData,
        }
    }

    /// The elements in `range`.
    ///
    /// # Safety
    /// No element may be in two pieces that live at the same time.
    ///
    /// # Panics
    /// If `range` is not inside the slice.
    #[expect(
        clippy::mut_from_ref,
        reason = "that is its purpose; the safety section says when"
    )]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} is outside of 0..{}",
            self.len
        );
        // SAFETY: in bounds, and the caller vouches that it is the only living piece with these elements.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }

    /// The address of element `at`, for writes that skip parts of rows.
    ///
    /// # Panics
    /// If `at` is past the end.
    pub(crate) fn address(&self, at: usize) -> *mut T {
        assert!(at <= self.len, "{at} is outside of 0..={}", self.len);
        // SAFETY: in bounds.
        unsafe { self.start.add(at) }
    }
}

/// Cuts `outputs`, each a matrix of `rows` rows with its own width, into runs of rows and calls
/// `f(rows of the run, its piece of every output)` for each run, in parallel.
///
/// # Panics
/// If an output does not have `rows` rows.
pub(crate) fn for_each_rows<const N: usize>(
    pool: &Pool,
    rows: usize,
    outputs: [(&mut [f32], usize); N],
    f: impl Fn(Range<usize>, [&mut [f32]; N]) + Sync,
) {
    let widest = outputs
        .iter()
        .map(|(_, width)| *width)
        .max()
        .unwrap_or(0)
        .max(1);
    let per_task = (TASK_FLOATS / widest).max(1);
    let outputs = outputs.map(|(output, width)| {
        assert_eq!(
            output.len(),
            rows * width,
            "an output is not {rows} rows of {width}"
        );
        (SharedMut::new(output), width)
    });
    pool.run(rows.div_ceil(per_task), &|task| {
        let run = task * per_task..((task + 1) * per_task).min(rows);
        let pieces = outputs.each_ref().map(|(output, width)| {
            // SAFETY: runs of different tasks do not overlap.
            unsafe { output.slice(run.start * width..run.end * width) }
        });
        f(run.clone(), pieces);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_handed_out_once_with_its_number() {
        let pool = Pool::new(3);
        for (rows, width) in [(0, 5), (1, 5), (7, 3), (40, TASK_FLOATS / 4), (3, 0)] {
            let mut wide = vec![0.0; rows * width];
            let mut narrow = vec![0.0; rows];
            for_each_rows(
                &pool,
                rows,
                [(&mut wide, width), (&mut narrow, 1)],
                |run, [wide, narrow]| {
                    assert_eq!(wide.len(), run.len() * width);
                    for (row, value) in run.zip(narrow) {
                        *value += row as f32;
                    }
                    wide.iter_mut().for_each(|value| *value += 1.0);
                },
            );
            assert!(wide.iter().all(|&value| value == 1.0));
            assert!(
                narrow
                    .iter()
                    .enumerate()
                    .all(|(row, &value)| value == row as f32)
            );
        }
    }
}
