//! Neighbouring items for the threads of a pool, in spans that shrink towards the end.
//!
//! Items that are read from memory want long spans; threads that shall end together want short ones. So a
//! thread takes half of what is left of its own run of items, again and again, and when nothing is left
//! of that, single items from the far end of another's run (guided self-scheduling, Polychronopoulos and
//! Kuck 1987, within a run for each thread).

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Pool;
use crate::pool::LANES_MAX;

/// Calls `f` with spans of `0..items` that make it up, each item once, in parallel. A thread usually
/// begins with the same items in every call of as many.
///
/// # Panics
/// As [`Pool::run`]; for more items than 32 bits count.
pub(crate) fn for_each_span(pool: &Pool, items: usize, f: impl Fn(Range<usize>) + Sync) {
    let threads = pool.threads().min(items);
    if threads <= 1 {
        if items > 0 {
            f(0..items);
        }
        return;
    }
    let count = u32::try_from(items).expect("items are counted in 32 bits");
    let lanes = pool.lanes().min(items);
    let part = |lane: usize| (u64::from(count) * lane as u64 / lanes as u64) as u32;
    // All of them, though few have items: no memory is asked for, hundreds of times for a token.
    let runs: [Run; LANES_MAX] = std::array::from_fn(|lane| match lane < lanes {
        true => Run::new(part(lane), part(lane + 1)),
        false => Run::new(0, 0),
    });
    pool.run(threads, &|thread| {
        let home = thread * lanes / threads;
        while let Some(span) = runs[home].take_half() {
            f(span);
        }
        for other in (home + 1..lanes).chain(0..home) {
            while let Some(item) = runs[other].take_last() {
                f(item);
            }
        }
    });
}

/// What is left of a run of items: the first in the upper half, the end in the lower. Two cache lines of
/// its own, as processors fetch them in pairs.
#[repr(align(128))]
struct Run(AtomicU64);

impl Run {
    fn new(start: u32, end: u32) -> Run {
        Run(AtomicU64::new(u64::from(start) << 32 | u64::from(end)))
    }

    /// The first half of what is left, at least an item.
    fn take_half(&self) -> Option<Range<usize>> {
        self.take(|start, end| {
            let middle = start + (end - start).div_ceil(2);
            (start..middle, middle..end)
        })
    }

    /// The last item that is left.
    fn take_last(&self) -> Option<Range<usize>> {
        self.take(|start, end| (end - 1..end, start..end - 1))
    }

    /// `split` says what is taken of what is left, and what stays.
    fn take(&self, split: impl Fn(u32, u32) -> (Range<u32>, Range<u32>)) -> Option<Range<usize>> {
        let mut left = self.0.load(Ordering::Relaxed);
        loop {
            let (start, end) = ((left >> 32) as u32, left as u32);
            if start >= end {
                return None;
            }
            let (taken, stays) = split(start, end);
            let stays = u64::from(stays.start) << 32 | u64::from(stays.end);
            // What is computed is handed over by the pool's end of the call; here only places are claimed.
            let swapped =
                self.0
                    .compare_exchange_weak(left, stays, Ordering::Relaxed, Ordering::Relaxed);
            match swapped {
                Ok(_) => return Some(taken.start as usize..taken.end as usize),
                Err(now) => left = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn every_item_is_handed_out_once() {
        for threads in [1, 2, 3, 8, 11] {
            let pool = Pool::new(threads);
            for items in [0, 1, 2, 7, 18, 300] {
                let counts: Vec<_> = (0..items).map(|_| AtomicUsize::new(0)).collect();
                for_each_span(&pool, items, |span| {
                    assert!(!span.is_empty());
                    for item in span {
                        counts[item].fetch_add(1, Ordering::Relaxed);
                    }
                });
                let each = counts.iter().map(|it| it.load(Ordering::Relaxed));
                assert!(each.eq(std::iter::repeat_n(1, items)), "{threads} {items}");
            }
        }
    }

    #[test]
    fn spans_shrink_and_the_end_is_shared() {
        let run = Run::new(10, 20);
        assert_eq!(run.take_half(), Some(10..15));
        assert_eq!(run.take_last(), Some(19..20));
        assert_eq!(run.take_half(), Some(15..17));
        assert_eq!(run.take_half(), Some(17..18));
        assert_eq!(run.take_last(), Some(18..19));
        assert_eq!((run.take_half(), run.take_last()), (None, None));
    }

    #[test]
    fn a_thread_that_is_late_is_helped() {
        let pool = Pool::new(2);
        // Whoever begins the second half waits until all others are done.
        let (done, waited) = (AtomicUsize::new(0), Mutex::new(0..0));
        for_each_span(&pool, 40, |span| {
            if span.start == 20 {
                let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
                while done.load(Ordering::SeqCst) + span.len() < 40 {
                    assert!(std::time::Instant::now() < deadline, "nobody helps");
                    std::thread::yield_now();
                }
                *waited.lock().unwrap() = span;
            } else {
                done.fetch_add(span.len(), Ordering::SeqCst);
            }
        });
        assert_eq!(waited.lock().unwrap().start, 20);
    }
}
