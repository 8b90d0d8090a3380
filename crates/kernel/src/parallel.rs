//! Disjoint pieces of mutable slices for the tasks of a pool.

use std::marker::PhantomData;
use std::ops::Range;

use crate::Pool;
use crate::buffer::{Scratch, area};

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
            area(rows, width),
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

/// Adds a sum over `rows` rows to `to`: `add` adds its rows to the sums it is given. The rows of a piece are
/// added in order, and then the sums of the pieces, so the bits are the same at any number of threads.
pub(crate) fn sum_rows(
    pool: &Pool,
    rows: usize,
    to: &mut [f32],
    add: impl Fn(Range<usize>, &mut [f32]) + Sync,
) {
    /// Rows that are summed in one piece.
    const BLOCK_ROWS: usize = 32;
    let (blocks, width) = (rows.div_ceil(BLOCK_ROWS), to.len());
    let mut partial = Scratch::floats(area(blocks, width));
    for_each_rows(pool, blocks, [(&mut partial[..], width)], |run, [sums]| {
        sums.fill(0.0);
        for (block, sums) in run.zip(sums.chunks_exact_mut(width.max(1))) {
            add(
                block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows),
                sums,
            );
        }
    });
    for sums in partial.chunks_exact(width.max(1)) {
        to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
    }
}

/// Tasks of a product: runs of rows times cuts of the weights, in an order in which each lane of the
/// pool has rows of its own, as it has in the operations on rows before and after.
#[derive(Clone, Copy)]
pub(crate) struct Grid {
    runs: usize,
    cuts: usize,
    lanes: usize,
}

impl Grid {
    pub(crate) fn new(pool: &Pool, runs: usize, cuts: usize) -> Grid {
        let lanes = pool.lanes().min(runs).max(1);
        Grid { runs, cuts, lanes }
    }

    pub(crate) fn tasks(self) -> usize {
        self.runs * self.cuts
    }

    /// The run and the cut of a task. Within a lane, neighbours share the cut: its weights are read
    /// from memory once, and it is the narrow input that is read again, from the cache.
    pub(crate) fn at(self, task: usize) -> (usize, usize) {
        let Grid { runs, cuts, lanes } = self;
        let first_run = |lane: usize| lane * runs / lanes;
        let lane = ((task / cuts + 1) * lanes).div_ceil(runs) - 1;
        let (start, end) = (first_run(lane), first_run(lane + 1));
        let within = task - start * cuts;
        (start + within % (end - start), within / (end - start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grid_has_every_task_once_and_its_lanes_have_rows_of_their_own() {
        for (threads, runs, cuts) in [
            (1, 3, 2),
            (2, 5, 8),
            (3, 2, 4),
            (3, 7, 5),
            (8, 11, 3),
            (2, 1, 8),
        ] {
            let grid = Grid::new(&Pool::new(threads), runs, cuts);
            let all: Vec<_> = (0..grid.tasks()).map(|task| grid.at(task)).collect();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            let each = (0..runs).flat_map(|run| (0..cuts).map(move |cut| (run, cut)));
            assert_eq!(sorted, each.collect::<Vec<_>>(), "{threads} {runs} {cuts}");
            let lanes = threads.min(runs);
            for lane in 0..lanes {
                let rows = lane * runs / lanes..(lane + 1) * runs / lanes;
                let tasks = &all[rows.start * cuts..rows.end * cuts];
                assert!(tasks.iter().all(|(run, _)| rows.contains(run)));
                assert!(tasks.is_sorted_by_key(|(_, cut)| cut));
            }
        }
    }

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
