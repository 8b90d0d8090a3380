//! Packing into the memory of a packing that is there, as weights that learn need after every step.
//!
//! [`PackedMatrix::pack`] and its sibling are the readable reference; here the same words are written
//! by vectors and in parallel, panel by panel. Numbers too small for a normal bfloat16 become zero on
//! processors whose conversion does so, which their products do to them anyway.

use std::marker::PhantomData;

use super::micro::{FloatUnit, PairUnit, Unit};
use super::{PackedMatrix, Precision};
use crate::Pool;
use crate::buffer::area;
use crate::parallel::SharedMut;
use crate::simd::{self, Kernel, Simd, vector_at};

/// Words of the depth that a task of [`PackedMatrix::repack_transposed`] writes, in every panel.
const TASK_UNITS: usize = 32;
/// Columns of a panel, and words of a column laid out flat at a time, at most.
const TILE: usize = 32;

impl PackedMatrix {
    /// Takes up new values as [`PackedMatrix::pack`] would.
    ///
    /// # Panics
    /// If `w` does not have as many values as before.
    pub fn repack(&mut self, pool: &Pool, w: &[f32]) {
        match self.precision {
            Precision::Bf16 => self.repack_columns::<PairUnit>(pool, w),
            Precision::F32 => self.repack_columns::<FloatUnit>(pool, w),
        }
    }

    /// Takes up new values as [`PackedMatrix::pack_transposed`] would.
    ///
    /// # Panics
    /// If `w` does not have as many values as before.
    pub fn repack_transposed(&mut self, pool: &Pool, w: &[f32]) {
        match self.precision {
            Precision::Bf16 => self.repack_rows::<PairUnit>(pool, w),
            Precision::F32 => self.repack_rows::<FloatUnit>(pool, w),
        }
    }

    fn repack_columns<U: Unit>(&mut self, pool: &Pool, w: &[f32]) {
        let (n, depth, isa) = (self.columns, self.depth, self.isa);
        assert_eq!(
            w.len(),
            area(n, depth),
            "a matrix [{n}, {depth}] was expected"
        );
        let (width, panel_words) = (self.panel_columns(), self.panel_words());
        let words = SharedMut::new(&mut self.words[..]);
        pool.run(n.div_ceil(width), &|panel| {
            let rows = panel * width..((panel + 1) * width).min(n);
            let task = Panel::<U> {
                from: &w[rows.start * depth..rows.end * depth],
                // SAFETY: tasks write different panels.
                to: unsafe { words.slice(panel * panel_words..(panel + 1) * panel_words) },
                depth,
                width,
                unit: PhantomData,
            };
            simd::vectorize(isa, task);
        });
    }

    fn repack_rows<U: Unit>(&mut self, pool: &Pool, w: &[f32]) {
        let (n, columns, isa) = (self.depth, self.columns, self.isa);
        assert_eq!(
            w.len(),
            area(n, columns),
            "a matrix [{n}, {columns}] was expected"
        );
        let (units, width, panel_words) = (self.units(), self.panel_columns(), self.panel_words());
        let words = SharedMut::new(&mut self.words[..]);
        pool.run(units.div_ceil(TASK_UNITS), &|task| {
            let first = task * TASK_UNITS;
            let rows = first * U::DEPTH..((first + TASK_UNITS) * U::DEPTH).min(n);
            let task = Strips::<U> {
                from: &w[rows.start * columns..rows.end * columns],
                columns,
                words,
                first,
                width,
                panel_words,
                unit: PhantomData,
            };
            simd::vectorize(isa, task);
        });
    }
}

/// One panel whose columns are the rows of `from`.
struct Panel<'a, U> {
    from: &'a [f32],
    to: &'a mut [u32],
    depth: usize,
    width: usize,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for Panel<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let Panel {
            from, depth, width, ..
        } = self;
        let step = 2 * S::LANES;
        let words = step / U::DEPTH;
        assert!(
            width <= TILE && words <= TILE,
            "a tile has room for a panel"
        );
        // A row of the tile is one column; those past the last stay zero.
        let mut tile = [0; TILE * TILE];
        let mut turned = [0; TILE * TILE];
        let parts = self.to.chunks_mut(words * width);
        for (start, to) in (0..depth).step_by(step).zip(parts) {
            for (row, tile) in from.chunks_exact(depth).zip(tile.chunks_exact_mut(TILE)) {
                let low = vector_at(s, row, start);
                let high = vector_at(s, row, start + S::LANES);
                // SAFETY: a row of the tile holds the words of two vectors.
                unsafe { U::store(s, tile.as_mut_ptr(), low, high) };
            }
            let whole = to.len() == words * width;
            let target = if whole { &mut *to } else { &mut turned[..] };
            assert!(target.len() >= words * width, "there is room for all words");
            for column in (0..width).step_by(S::LANES) {
                for unit in (0..words).step_by(S::LANES) {
                    // SAFETY: the tile has `width` rows of `words`, the target `words` of `width`.
                    unsafe {
                        let from = tile.as_ptr().add(column * TILE + unit);
                        let to = target.as_mut_ptr().add(unit * width + column);
                        s.transpose_words((from, TILE), (to, width));
                    }
                }
            }
            if !whole {
                to.copy_from_slice(&turned[..to.len()]);
            }
        }
    }
}

/// Some words of the depth of every panel, whose columns are the columns of `from`.
struct Strips<'a, U> {
    from: &'a [f32],
    columns: usize,
    words: SharedMut<'a, u32>,
    /// The first word of the depth.
    first: usize,
    width: usize,
    panel_words: usize,
    unit: PhantomData<U>,
}

impl<U: Unit> Kernel for Strips<'_, U> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        if self.columns == 0 {
            return;
        }
        for (unit, rows) in self.from.chunks(U::DEPTH * self.columns).enumerate() {
            let (first, second) = rows.split_at(self.columns);
            for panel in 0..self.columns.div_ceil(self.width) {
                let start = panel * self.panel_words + (self.first + unit) * self.width;
                // SAFETY: tasks write different words of the depth.
                let to = unsafe { self.words.slice(start..start + self.width) };
                for (vector, to) in to.chunks_exact_mut(S::LANES).enumerate() {
                    let at = panel * self.width + vector * S::LANES;
                    let (first, second) = (vector_at(s, first, at), vector_at(s, second, at));
                    // SAFETY: a whole vector of words.
                    unsafe { s.store_words(to.as_mut_ptr(), U::combine(s, first, second)) };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{assert_thread_count_is_invisible, for_each_isa, random, shapes};

    const SHAPES: [(usize, usize); 9] = [
        (0, 3),
        (3, 0),
        (1, 1),
        (5, 7),
        (16, 33),
        (33, 16),
        (70, 131),
        (64, 64),
        (129, 90),
    ];

    #[test]
    fn words_are_those_of_a_fresh_packing() {
        for_each_isa(|pool| {
            for (n, k) in shapes(&SHAPES, 13, 12, [150, 150]) {
                let (before, w) = (random(1, n * k), random(2, n * k));
                for precision in [Precision::Bf16, Precision::F32] {
                    let what = format!("{} {precision:?} {n}x{k}", pool.isa());
                    for (pack, repack) in [
                        (
                            PackedMatrix::pack as fn(_, _, &[f32], _, _) -> _,
                            PackedMatrix::repack as fn(&mut _, _, &_),
                        ),
                        (
                            PackedMatrix::pack_transposed,
                            PackedMatrix::repack_transposed,
                        ),
                    ] {
                        let mut packed: PackedMatrix = pack(pool.isa(), precision, &before, n, k);
                        repack(&mut packed, pool, &w);
                        let fresh: PackedMatrix = pack(pool.isa(), precision, &w, n, k);
                        assert!(packed.words[..] == fresh.words[..], "{what}");
                    }
                }
            }
        });
    }

    #[test]
    fn thread_count_is_invisible() {
        let (n, k) = (300, 290);
        let w = random(2, n * k);
        for precision in [Precision::Bf16, Precision::F32] {
            assert_thread_count_is_invisible(|pool| {
                let (isa, blank) = (pool.isa(), vec![0.0; n * k]);
                let mut forward = PackedMatrix::pack(isa, precision, &blank, n, k);
                let mut back = PackedMatrix::pack_transposed(isa, precision, &blank, n, k);
                forward.repack(pool, &w);
                back.repack_transposed(pool, &w);
                // By halves: a word of both may be no number.
                let words = forward.words.iter().chain(back.words.iter());
                let halves = words.flat_map(|word| [word & 0xffff, word >> 16]);
                halves.map(|half| half as f32).collect()
            });
        }
    }
}
