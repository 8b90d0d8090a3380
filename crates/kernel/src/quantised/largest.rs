//! The largest of many outputs, without reading all bits of all weights.
//!
//! Greedy answers ask a wide matrix for its largest output only. With split codes of 8 bits a first
//! look reads the upper halves and takes 8 for the lower, but for a few depths ([`super::heavy`]); what
//! that leaves out of output j is
//!
//! ```text
//! e[j] = Σ_d s[j, b] · (l[j, d] − 8) · x[d],     σ[j]² = g[j]² · Σ_d v[d] · x[d]²
//! ```
//! v, the variance over j of what is left out of a weight, and g, how far the scales of a column
//! exceed the usual, are kept with the weights; what is left out of all outputs alike changes no
//! order. A second look computes with all bits the panels that seemed the best, and then those in which
//! an output may be larger than the largest of these: its error would have to be six times its standard
//! deviation for it to be missed. Where a sample of the panels shows that too many would be looked at
//! twice, all are computed with all bits at once.

use std::ops::Range;

use super::heavy::{Addition, Heavy};
use super::input::Input;
use super::pack::{Lower, QuantisedMatrix};
use super::{QuantisedProduct, Rows, matmul_quantised, parts};
use crate::Pool;
use crate::buffer::area;
use crate::parallel::SharedMut;
use crate::simd;

/// Standard deviations that the error of an output may make up.
const DEVIATIONS: f32 = 6.0;
/// Panels that are computed with all bits before it is asked which others may have the largest output.
const BEST_PANELS: usize = 4;
/// Panels that a task computes anew, at most: each some 30 KB of weights.
const TASK_PANELS: usize = 2;
/// The sample is one panel of so many, from the first on.
const SAMPLED_PART: usize = 16;
/// A first look is worth it where the second looks of all rows would take in at most so many times the
/// sample: measured against the largest output of all, instead of the sample's, they take in a third of
/// that. With many rows it is arithmetic that takes the time, and a second look is more of it.
const AGAIN_MAX: f32 = 0.75;

/// `out = x · wᵀ` where an output may be the largest of its row, with the bits that
/// [`matmul_quantised`] gives it; the others are near theirs, how near depends on the other rows. All
/// are the same as there where the codes are not split ([`QuantisedMatrix::pack_split`]).
///
/// # Panics
/// If `x` or `out` does not have `m` rows of the width that the weights ask for.
pub fn largest_quantised(
    pool: &Pool,
    x: &[f32],
    m: usize,
    weights: &QuantisedMatrix,
    out: &mut [f32],
) {
    let Some(lower) = &weights.lower else {
        let product = QuantisedProduct {
            weights,
            out,
            accumulate: false,
        };
        return matmul_quantised(pool, x, m, &mut [product]);
    };
    let (depth, columns) = (weights.depth(), weights.rows_out());
    let (wanted, given) = ((area(m, depth), area(m, columns)), (x.len(), out.len()));
    assert_eq!(given, wanted, "{m} rows of {depth} in, {columns} out");
    if m == 0 {
        return;
    }
    let input = Input::new(pool, x, (m, depth), weights.block, weights.isa);
    let rows = x.chunks_exact(depth);
    let heavy: Vec<Heavy> = rows.map(|x| Heavy::of(x, lower)).collect();
    let panels = weights.panels();
    let sample = 0..panels.div_ceil(SAMPLED_PART);
    let look = |rows, panels, heavy, out: &mut [f32]| {
        Look {
            weights,
            input: &input,
            rows,
            panels,
            heavy,
        }
        .run(pool, out);
    };
    look(0..m, sample.clone(), Some(&heavy[..]), out);
    let again = |row: usize| {
        let out = &out[row * columns..][..columns];
        let tops = tops(pool, weights, sample.clone(), out);
        let best = tops.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        candidates(&tops, lower, heavy[row].deviation, best).len()
    };
    let again: usize = (0..m).map(again).sum();
    if again as f32 > AGAIN_MAX * sample.len() as f32 {
        return look(0..m, 0..panels, None, out);
    }
    look(0..m, sample.end..panels, Some(&heavy[..]), out);
    for row in 0..m {
        let mut tops = tops(pool, weights, 0..panels, &out[row * columns..][..columns]);
        let seen = best_panels(&tops);
        second_look(pool, &input, weights, row, &seen, out);
        let mut largest = f32::NEG_INFINITY;
        for panel in seen {
            let outputs = panel * weights.panel_columns()..columns;
            let outputs = outputs.take(weights.panel_columns());
            largest = outputs.fold(largest, |top, j| top.max(out[row * columns + j]));
            tops[panel] = f32::NEG_INFINITY;
        }
        let again = candidates(&tops, lower, heavy[row].deviation, largest);
        second_look(pool, &input, weights, row, &again, out);
    }
}

/// The panels that seem to have the largest outputs, the best of all among them.
fn best_panels(tops: &[f32]) -> Vec<usize> {
    let mut panels: Vec<usize> = (0..tops.len()).collect();
    let count = BEST_PANELS.min(panels.len());
    panels.select_nth_unstable_by(count - 1, |&a, &b| tops[b].total_cmp(&tops[a]));
    panels.truncate(count);
    panels
}

/// The largest output of each of some panels.
fn tops(pool: &Pool, weights: &QuantisedMatrix, panels: Range<usize>, out: &[f32]) -> Vec<f32> {
    let width = weights.panel_columns();
    let out = &out[panels.start * width..(panels.end * width).min(out.len())];
    let mut tops = vec![f32::NEG_INFINITY; panels.len()];
    let shared = SharedMut::new(&mut tops);
    let per_task = panels.len().div_ceil(pool.threads());
    pool.run(panels.len().div_ceil(per_task), &|task| {
        let panels = task * per_task..((task + 1) * per_task).min(panels.len());
        // SAFETY: tasks write different panels.
        let tops = unsafe { shared.slice(panels.clone()) };
        for (top, columns) in tops
            .iter_mut()
            .zip(out[panels.start * width..].chunks(width))
        {
            *top = columns.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        }
    });
    tops
}

/// The panels, of the first ones whose largest outputs are given, in which one may exceed `largest`.
fn candidates(tops: &[f32], lower: &Lower, deviation: f32, largest: f32) -> Vec<usize> {
    let may_win = |&panel: &usize| {
        let error = DEVIATIONS * lower.spreads[panel] * deviation;
        // What is not a number does not lose.
        let loses = tops[panel] + error < largest;
        !loses
    };
    (0..tops.len()).filter(may_win).collect()
}

/// Some rows times neighbouring panels.
struct Look<'a> {
    weights: &'a QuantisedMatrix,
    input: &'a Input,
    rows: Range<usize>,
    panels: Range<usize>,
    /// By row of the input, for a first look.
    heavy: Option<&'a [Heavy]>,
}

impl Look<'_> {
    fn run(&self, pool: &Pool, out: &mut [f32]) {
        if self.rows.is_empty() || self.panels.is_empty() {
            return;
        }
        let out = SharedMut::new(out);
        let size = (self.rows.len(), self.panels.len());
        parts(pool, size, self.weights.panel_words(), |rows, panels| {
            let rows = self.rows.start + rows.start..self.rows.start + rows.end;
            let panels = self.panels.start + panels.start..self.panels.start + panels.end;
            self.part(rows, panels, &out);
        });
    }

    fn part(&self, rows: Range<usize>, panels: Range<usize>, out: &SharedMut<'_, f32>) {
        let (width, columns) = (self.weights.panel_columns(), self.weights.rows_out());
        let column = panels.start * width;
        let part = Rows {
            input: self.input,
            first: rows.start,
            rows: rows.len(),
            weights: self.weights,
            panel: panels.start,
            columns: (panels.len() * width).min(columns - column),
            out: out.address(rows.start * columns + column),
            accumulate: false,
            first_look: self.heavy.is_some(),
        };
        simd::vectorize(self.weights.isa, part);
        let (Some(heavy), Some(lower)) = (self.heavy, &self.weights.lower) else {
            return;
        };
        for row in rows {
            let addition = Addition {
                heavy: &heavy[row],
                input: self.input,
                row,
                weights: self.weights,
                lower,
                panels: panels.clone(),
                out,
            };
            simd::vectorize(self.weights.isa, addition);
        }
    }
}

/// Computes the named panels of a row with all bits.
fn second_look(
    pool: &Pool,
    input: &Input,
    weights: &QuantisedMatrix,
    row: usize,
    again: &[usize],
    out: &mut [f32],
) {
    let look = Look {
        weights,
        input,
        rows: row..row + 1,
        panels: 0..weights.panels(),
        heavy: None,
    };
    let out = SharedMut::new(out);
    pool.run(again.len().div_ceil(TASK_PANELS), &|task| {
        let end = ((task + 1) * TASK_PANELS).min(again.len());
        for &panel in &again[task * TASK_PANELS..end] {
            look.part(row..row + 1, panel..panel + 1, &out);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::Bits;
    use super::super::tests::{Stored, product, rounded, shapes};
    use super::*;
    use crate::testing::{
        assert_close, assert_same_bits, assert_thread_count_is_invisible, for_each_isa, random,
    };

    fn largest(pool: &Pool, x: &[f32], m: usize, weights: &QuantisedMatrix) -> Vec<f32> {
        let mut out = vec![f32::NAN; m * weights.rows_out()];
        largest_quantised(pool, x, m, weights, &mut out);
        out
    }

    fn place(row: &[f32]) -> usize {
        let by_value = |&a: &usize, &b: &usize| row[a].total_cmp(&row[b]);
        (0..row.len()).max_by(by_value).expect("there are outputs")
    }

    #[test]
    fn split_codes_give_the_bits_of_whole_ones() {
        for_each_isa(|pool| {
            for (m, n, k) in shapes(15) {
                for (bits, offsets) in [
                    (Bits::Eight, false),
                    (Bits::Eight, true),
                    (Bits::Four, false),
                ] {
                    let (x, w) = (random(1, m * k), Stored::random(7, bits, offsets, n, k));
                    let (whole, split) = (w.packed(pool.isa()), w.split(pool.isa()));
                    let what = format!("{} {bits:?} {offsets} {m}x{n}x{k}", pool.isa());
                    let (whole, split) =
                        (product(pool, &x, m, &whole), product(pool, &x, m, &split));
                    assert_same_bits(&split, &whole, &what);
                }
            }
        });
    }

    #[test]
    fn a_first_look_agrees_with_the_reference() {
        for_each_isa(|pool| {
            for (m, n, k) in shapes(33).filter(|&(m, n, k)| m > 0 && n > 0 && k > 0) {
                let mut x = random(1, m * k);
                // A heavy depth in most rows.
                x.chunks_mut(k).skip(1).for_each(|x| x[k / 3] *= 40.0);
                let w = Stored::random(7, Bits::Eight, false, n, k);
                let split = w.split(pool.isa());
                let lower = split.lower.as_ref().expect("8 bits are split");
                let heavy: Vec<Heavy> = x.chunks(k).map(|x| Heavy::of(x, lower)).collect();
                let input = Input::new(pool, &x, (m, k), split.block, split.isa);
                let look = Look {
                    weights: &split,
                    input: &input,
                    rows: 0..m,
                    panels: 0..split.panels(),
                    heavy: Some(&heavy),
                };
                let mut out = vec![f32::NAN; m * n];
                look.run(pool, &mut out);
                let x = rounded(&x);
                let element = |(i, j): (usize, usize)| {
                    let value = |d: usize| match heavy[i].depths.contains(&d) {
                        true => w.value(j, d),
                        false => w.value_at_first(j, d),
                    };
                    (0..k).map(|d| x[i * k + d] * value(d)).sum::<f64>() as f32
                };
                let places = (0..m * n).map(|at| (at / n, at % n));
                let expected: Vec<f32> = places.map(element).collect();
                let what = format!("{} {m}x{n}x{k}", pool.isa());
                assert_close(&out, &expected, 5e-6, &what);
                let depths = heavy.iter().map(|it| it.depths.len());
                assert!(m == 1 || depths.sum::<usize>() > 0, "{what}: none is heavy");
            }
        });
    }

    #[test]
    fn the_largest_is_where_all_bits_put_it() {
        for_each_isa(|pool| {
            let (m, n, k) = (40, 3000, 128);
            let mut x = random(3, m * k);
            let w = Stored::random(5, Bits::Eight, false, n, k);
            // Half of the rows resemble one column, as a model's do that is sure.
            for row in (0..m).step_by(2) {
                let of_column = |d| (w.value(70 * row, d) * 40.0) as f32;
                (0..k).for_each(|d| x[row * k + d] += of_column(d));
            }
            let (whole, split) = (w.packed(pool.isa()), w.split(pool.isa()));
            let exact = product(pool, &x, m, &whole);
            let mut near = 0;
            for (x, exact) in x.chunks(k).zip(exact.chunks(n)) {
                let found = largest(pool, x, 1, &split);
                let top = place(exact);
                assert_eq!(place(&found), top);
                assert_eq!(found[top].to_bits(), exact[top].to_bits());
                near += found.iter().zip(exact).filter(|(a, b)| *a != *b).count();
            }
            assert!(near > m * n / 4, "the second look spared {near} outputs");
            assert!(near < m * n, "it computed some");
        });
    }

    #[test]
    fn what_is_not_a_number_does_not_hide() {
        let pool = Pool::new(1);
        let split = Stored::random(5, Bits::Eight, false, 100, 32).split(pool.isa());
        let mut out = vec![0.0; 100];
        largest_quantised(&pool, &[f32::NAN; 32], 1, &split, &mut out);
        assert!(out.iter().all(|it| it.is_nan()), "{out:?}");
    }

    /// The largest outputs of rows that each resemble a column, after a check that they are what all bits give
    /// and that most of the others were looked at once only.
    fn of_sure_rows(pool: &Pool, w: &Stored, m: usize, (n, k): (usize, usize)) -> Vec<f32> {
        let sure = |at: usize| (w.value(60 * (at / k) + 50, at % k) * 400.0) as f32;
        let x: Vec<f32> = (0..m * k).map(sure).collect();
        let (whole, split) = (w.packed(pool.isa()), w.split(pool.isa()));
        let (exact, found) = (product(pool, &x, m, &whole), largest(pool, &x, m, &split));
        for (row, (exact, found)) in exact.chunks(n).zip(found.chunks(n)).enumerate() {
            let top = place(exact);
            assert_eq!(place(found), top);
            assert_eq!(found[top].to_bits(), exact[top].to_bits());
            let one = largest(pool, &x[row * k..][..k], 1, &split);
            assert_eq!(
                (place(&one), one[top].to_bits()),
                (top, exact[top].to_bits())
            );
        }
        let near = found.iter().zip(&exact).filter(|(a, b)| a != b).count();
        assert!(near > m * n / 2, "the second look spared {near} of {n}");
        found
    }

    #[test]
    fn neither_threads_nor_other_rows_change_the_largest() {
        let (n, k) = (8000, 256);
        let w = Stored::random(11, Bits::Eight, false, n, k);
        assert_thread_count_is_invisible(|pool| {
            let rows = [1, 6].map(|m| of_sure_rows(pool, &w, m, (n, k)));
            rows.concat()
        });
    }

    #[test]
    fn a_few_large_inputs_do_not_make_the_first_look_useless() {
        for_each_isa(|pool| {
            let (n, k) = (8000, 256);
            let w = Stored::random(5, Bits::Eight, false, n, k);
            let (whole, split) = (w.packed(pool.isa()), w.split(pool.isa()));
            for depth in [3, 38, 255] {
                // Beside a column that stands out there is a value that would drown it.
                let mut x: Vec<f32> = (0..k).map(|d| (w.value(777, d) * 400.0) as f32).collect();
                x[depth] = 60.0;
                let (exact, found) = (product(pool, &x, 1, &whole), largest(pool, &x, 1, &split));
                let top = place(&exact);
                assert_eq!(
                    (place(&found), found[top].to_bits()),
                    (top, exact[top].to_bits())
                );
                let near = found.iter().zip(&exact).filter(|(a, b)| a != b).count();
                assert!(
                    near > n / 2,
                    "{}: the second look spared {near} of {n}",
                    pool.isa()
                );
            }
        });
    }
}
