//! Rows rounded so that later weights make up for what earlier ones have lost.
//!
//! With H = E[x·xᵀ] of a layer's inputs, a row w that is written as v changes its output by (w − v)·x,
//! in the mean square by (w − v)·H·(w − v)ᵀ. H = (I + U)·D·(I + U)ᵀ with U strictly upper triangular and
//! D diagonal turns that into
//! ```text
//! Σ Dₖ·(tₖ − vₖ)²,   tₖ = wₖ + Σ (wⱼ − vⱼ)·Uⱼₖ over j < k
//! ```
//! so that columns are rounded one after another, each to what is nearest to t. This is LDLQ (Chee et al.
//! 2023, arXiv 2307.13304), which gives what GPTQ gives (Frantar et al. 2022, arXiv 2210.17323) without
//! inverting H. A block's scale is that of [`super::weighted`] for the t that are known before the block,
//! weighted by D. A row for which the sum is not below that of the reference rounding is written by the
//! reference.
//!
//! Columns see each other inside a window of [`WINDOW_MAX`] at most: H of a wide layer would not fit.

use super::blocks::BlockType;
use super::weighted::{BLOCK, Codes};
use crate::error::EngineError;
use std::ops::Range;

/// Most columns that see each other.
pub const WINDOW_MAX: usize = 1024;
/// What every input counts at least, as a share of the middle one: text that was not seen may use it. (GPTQ
/// takes a share of the mean, which a few huge inputs of some models' layers would make meaningless.)
pub(crate) const DAMPING: f64 = 0.01;
/// Products that are added up side by side.
const LANES: usize = 8;

/// The columns of a matrix, cut into windows of nearly one width, each of whole blocks. None where columns
/// are no whole blocks.
pub fn windows(columns: usize) -> Vec<Range<usize>> {
    if !columns.is_multiple_of(BLOCK) {
        return Vec::new();
    }
    let blocks = columns / BLOCK;
    let count = columns.div_ceil(WINDOW_MAX);
    let bound = |at: usize| at * blocks / count.max(1) * BLOCK;
    (0..count).map(|at| bound(at)..bound(at + 1)).collect()
}

/// U and D of one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Feedback {
    /// Dₖ.
    rests: Vec<f32>,
    /// Uⱼₖ for j < k, k after k.
    factors: Vec<f32>,
}

impl Feedback {
    /// Takes H apart, `[width, width]` and symmetric, up to a factor; damped, and brought to a diagonal
    /// around 1. `None` where that is no such matrix of numbers.
    ///
    /// # Panics
    /// If `h` is no square of `width`.
    pub fn of(h: &[f32], width: usize) -> Option<Self> {
        assert_eq!(h.len(), width * width, "a square of {width}");
        let diagonal = (0..width).map(|k| f64::from(h[k * width + k]));
        let middle = middle(diagonal)?;
        // The lower triangle, row after row, of which the last row comes out first.
        let mut rest: Vec<f64> = Vec::with_capacity(start_of(width));
        for k in 0..width {
            rest.extend(
                h[k * width..][..=k]
                    .iter()
                    .map(|&it| f64::from(it) / middle),
            );
            *rest.last_mut().expect("a row ends in its diagonal") += DAMPING;
        }
        let row = |k: usize| start_of(k)..start_of(k + 1);
        let (mut rests, mut factors) = (vec![0.0; width], vec![0.0; strictly(width)]);
        let mut u = Vec::with_capacity(width);
        for k in (0..width).rev() {
            let (above, last) = rest[..start_of(k + 1)].split_at_mut(start_of(k));
            let d = last[k];
            if !(d > 0.0 && d.is_finite()) {
                return None;
            }
            u.clear();
            u.extend(last[..k].iter().map(|it| it / d));
            for (i, &factor) in last[..k].iter().enumerate() {
                let to = above[row(i)].iter_mut().zip(&u);
                to.for_each(|(to, u)| *to -= factor * u);
            }
            rests[k] = d as f32;
            let to = factors[strictly(k)..][..k].iter_mut().zip(&u);
            to.for_each(|(to, u)| *to = *u as f32);
        }
        Some(Self { rests, factors })
    }

    /// How many columns.
    pub fn width(&self) -> usize {
        self.rests.len()
    }

    /// Uⱼₖ for j < k.
    fn factors(&self, k: usize) -> &[f32] {
        &self.factors[strictly(k)..][..k]
    }

    /// The mean square by which an output changes where a row is off by `errors`.
    fn cost(&self, errors: &[f32]) -> f64 {
        let term = |k: usize| {
            let off = f64::from(errors[k] + dot(&errors[..k], self.factors(k)));
            f64::from(self.rests[k]) * off * off
        };
        (0..self.width()).map(term).sum()
    }

    /// Appends a row of the window's columns in a format.
    fn put(
        &self,
        format: BlockType,
        codes: Codes,
        row: &[f32],
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let start = out.len();
        format.quantize(row, out)?;
        let plain = self.cost(&errors(row, &format.dequantize(&out[start..])?));
        let mut better = Vec::with_capacity(out.len() - start);
        let mut pass = Pass {
            feedback: self,
            errors: vec![0.0; row.len()],
            cost: 0.0,
        };
        for (at, block) in row.as_chunks::<BLOCK>().0.iter().enumerate() {
            pass.block(format, codes, (at * BLOCK, block), &mut better)?;
        }
        // Nothing is less than a NaN.
        if pass.cost < plain {
            out.truncate(start);
            out.append(&mut better);
        }
        Ok(())
    }
}

/// One row on its way.
struct Pass<'a> {
    feedback: &'a Feedback,
    /// By how much each column is off, 0 for those to come.
    errors: Vec<f32>,
    cost: f64,
}

impl Pass<'_> {
    fn block(
        &mut self,
        format: BlockType,
        codes: Codes,
        (start, row): (usize, &[f32; BLOCK]),
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let Feedback { rests, .. } = self.feedback;
        let mut known = *row;
        for (at, t) in known.iter_mut().enumerate() {
            *t += dot(
                &self.errors[..start],
                &self.feedback.factors(start + at)[..start],
            );
        }
        let rests = &rests[start..].as_chunks::<BLOCK>().0[0];
        let first = out.len();
        format.quantize(&known, out)?;
        let plain = format.dequantize(&out[first..])?.as_chunks::<BLOCK>().0[0];
        let step = match codes.better(&known, rests, &plain) {
            Some((step, _)) => Some(step),
            None => format.step_of(&out[first..]),
        };
        let (mut q, mut written) = ([0.0; BLOCK], plain);
        for at in 0..BLOCK {
            let inside = &self.feedback.factors(start + at)[start..];
            let target = known[at] + dot(&self.errors[start..start + at], inside);
            if let Some(step) = step {
                q[at] = codes.nearest(target, step);
                written[at] = step.d * q[at] + step.m;
            }
            self.errors[start + at] = row[at] - written[at];
            let off = f64::from(target - written[at]);
            self.cost += f64::from(rests[at]) * off * off;
        }
        if let Some(step) = step {
            out.truncate(first);
            format.put(step, &q, out);
        }
        Ok(())
    }
}

impl BlockType {
    /// As [`BlockType::quantize`], rows of as many values as `windows` have columns together, those of
    /// a window making up for each other. Formats that are none of [`BlockType::WEIGHTED`] round every value
    /// by itself.
    ///
    /// # Errors
    /// As [`BlockType::quantize`].
    ///
    /// # Panics
    /// If the values are no whole rows, or a window no whole blocks.
    pub fn quantize_with_feedback(
        self,
        values: &[f32],
        windows: &[Feedback],
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let Some(codes) = self.codes() else {
            return self.quantize(values, out);
        };
        let width = windows.iter().map(Feedback::width).sum::<usize>();
        assert!(
            width > 0 && values.len().is_multiple_of(width),
            "{} values are no whole rows of {width}",
            values.len()
        );
        for mut row in values.chunks_exact(width) {
            for window in windows {
                let part;
                (part, row) = row.split_at(window.width());
                window.put(self, codes, part, out)?;
            }
        }
        Ok(())
    }
}

/// The middle one of some squares, or their mean where most are 0; `None` where one is no number or all
/// are 0.
pub(crate) fn middle(squares: impl Iterator<Item = f64>) -> Option<f64> {
    let mut squares: Vec<f64> = squares.collect();
    let mean = squares.iter().sum::<f64>() / squares.len().max(1) as f64;
    if !(mean > 0.0 && mean.is_finite()) {
        return None;
    }
    squares.sort_unstable_by(f64::total_cmp);
    let middle = squares[squares.len() / 2];
    Some(if middle > 0.0 { middle } else { mean })
}

/// Where row `k` of a lower triangle begins.
fn start_of(k: usize) -> usize {
    k * (k + 1) / 2
}

/// The same without the diagonal.
fn strictly(k: usize) -> usize {
    k * k.saturating_sub(1) / 2
}

fn errors(row: &[f32], written: &[f32]) -> Vec<f32> {
    row.iter().zip(written).map(|(x, y)| x - y).collect()
}

/// Σ a·b in lanes that a machine adds side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0.0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn bell(random: &mut Random) -> f32 {
        (0..6).map(|_| random.next_f32() - 0.5).sum()
    }

    /// Inputs that go together: a few directions of their own size, and noise.
    fn inputs(seed: u64, rows: usize, width: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        let directions: Vec<f32> = (0..4 * width).map(|_| bell(&mut random)).collect();
        let mut x = Vec::new();
        for _ in 0..rows {
            let parts: Vec<f32> = (0..4).map(|_| 2.0 * bell(&mut random)).collect();
            for column in 0..width {
                let along = parts.iter().enumerate();
                let along: f32 = along
                    .map(|(at, it)| it * directions[at * width + column])
                    .sum();
                x.push(along + 0.3 * bell(&mut random));
            }
        }
        x
    }

    fn gram(x: &[f32], width: usize) -> Vec<f32> {
        let mut h = vec![0.0f64; width * width];
        for row in x.chunks_exact(width) {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate() {
                    h[i * width + j] += f64::from(*a) * f64::from(*b);
                }
            }
        }
        h.iter().map(|it| *it as f32).collect()
    }

    /// The mean square of E·x over inputs, straight from the definition.
    fn loss(x: &[f32], width: usize, rows: &[f32], written: &[f32]) -> f64 {
        let off = errors(rows, written);
        let mut sum = 0.0;
        for x in x.chunks_exact(width) {
            for off in off.chunks_exact(width) {
                let terms = off.iter().zip(x);
                let out: f64 = terms.map(|(e, x)| f64::from(*e) * f64::from(*x)).sum();
                sum += out * out;
            }
        }
        sum / (x.len() / width) as f64
    }

    fn rows(seed: u64, count: usize, width: usize) -> Vec<f32> {
        let mut random = Random::new(seed);
        (0..count * width)
            .map(|_| 0.05 * bell(&mut random))
            .collect()
    }

    #[test]
    fn what_is_taken_apart_is_the_matrix() {
        let width = 64;
        let h = gram(&inputs(1, 500, width), width);
        let found = Feedback::of(&h, width).expect("is positive");
        let middle = middle((0..width).map(|k| f64::from(h[k * width + k])));
        let middle = middle.expect("there are inputs");
        let u = |j: usize, k: usize| match j.cmp(&k) {
            std::cmp::Ordering::Less => f64::from(found.factors(k)[j]),
            std::cmp::Ordering::Equal => 1.0,
            std::cmp::Ordering::Greater => 0.0,
        };
        for i in 0..width {
            for j in 0..width {
                let terms = (0..width).map(|k| u(i, k) * f64::from(found.rests[k]) * u(j, k));
                let damping = if i == j { DAMPING } else { 0.0 };
                let expected = f64::from(h[i * width + j]) / middle + damping;
                let sum: f64 = terms.sum();
                assert!((sum - expected).abs() < 1e-5, "{i} {j}: {sum} {expected}");
            }
        }
        assert_eq!(Feedback::of(&[0.0; 4], 2), None);
        assert_eq!(Feedback::of(&[f32::NAN; 4], 2), None);
        assert_eq!(
            Feedback::of(&[1.0, 5.0, 5.0, 1.0], 2),
            None,
            "it is not positive"
        );
    }

    #[test]
    fn outputs_change_less_than_by_the_reference_and_by_weights_alone() {
        for (format, gain) in [
            (BlockType::Q8_0, 0.9),
            (BlockType::Q4_0, 0.6),
            (BlockType::Q4_1, 0.6),
        ] {
            let width = 96;
            let x = inputs(2, 600, width);
            let h = gram(&x, width);
            let feedback = [Feedback::of(&h, width).expect("is positive")];
            let weights: Vec<f32> = (0..width).map(|k| h[k * width + k]).collect();
            let rows = rows(3, 24, width);
            let [mut plain, mut weighted, mut fed] = [const { Vec::new() }; 3];
            format.quantize(&rows, &mut plain).expect("writes");
            format
                .quantize_weighted(&rows, &weights, &mut weighted)
                .expect("writes");
            format
                .quantize_with_feedback(&rows, &feedback, &mut fed)
                .expect("writes");
            assert_eq!(fed.len(), plain.len(), "{format}: one layout");
            // Other inputs of the same kind.
            let other = &inputs(2, 1200, width)[600 * width..];
            let [plain, weighted, fed] = [plain, weighted, fed].map(|bytes| {
                let written = format.dequantize(&bytes).expect("whole blocks");
                loss(other, width, &rows, &written)
            });
            assert!(fed < gain * plain, "{format}: {fed} {plain}");
            assert!(fed < gain * weighted, "{format}: {fed} {weighted}");
        }
    }

    /// By the sum that is minimised no row is worse than by the reference.
    #[test]
    fn no_row_is_worse_than_by_the_reference() {
        let (width, format) = (64, BlockType::Q4_0);
        let feedback = Feedback::of(&gram(&inputs(4, 40, width), width), width);
        let feedback = feedback.expect("damping makes it positive");
        for row in rows(5, 200, width).chunks_exact(width) {
            let (mut plain, mut fed) = (Vec::new(), Vec::new());
            format.quantize(row, &mut plain).expect("writes");
            let windows = std::slice::from_ref(&feedback);
            format
                .quantize_with_feedback(row, windows, &mut fed)
                .expect("writes");
            let [plain, fed] = [plain, fed].map(|bytes| {
                let written = format.dequantize(&bytes).expect("whole blocks");
                feedback.cost(&errors(row, &written))
            });
            assert!(fed <= plain * (1.0 + 1e-4), "{fed} {plain}");
        }
    }

    #[test]
    fn inputs_of_one_weight_that_do_not_go_together_are_rounded_by_themselves() {
        let width = 64;
        let h: Vec<f32> = (0..width * width)
            .map(|at| if at % (width + 1) == 0 { 2.0 } else { 0.0 })
            .collect();
        let feedback = [Feedback::of(&h, width).expect("is positive")];
        let rows = rows(6, 8, width);
        for format in BlockType::WEIGHTED {
            let (mut weighted, mut fed) = (Vec::new(), Vec::new());
            let weights = vec![1.01; width];
            format
                .quantize_weighted(&rows, &weights, &mut weighted)
                .expect("writes");
            format
                .quantize_with_feedback(&rows, &feedback, &mut fed)
                .expect("writes");
            let [weighted, fed] = [weighted, fed].map(|bytes| {
                let written = format.dequantize(&bytes).expect("whole blocks");
                let off = errors(&rows, &written);
                let rows = off.chunks_exact(width).map(|off| feedback[0].cost(off));
                rows.sum::<f64>()
            });
            assert!(
                (fed - weighted).abs() < 1e-2 * weighted,
                "{format}: {fed} {weighted}"
            );
        }
    }

    #[test]
    fn zeros_and_what_is_no_number_are_the_reference_s() {
        let width = 64;
        let feedback =
            [Feedback::of(&gram(&inputs(7, 90, width), width), width).expect("is positive")];
        for odd in [0.0, f32::NAN, f32::INFINITY] {
            for format in BlockType::WEIGHTED {
                let mut row = rows(8, 1, width);
                row[..40].fill(odd);
                let (mut plain, mut fed) = (Vec::new(), Vec::new());
                format.quantize(&row, &mut plain).expect("writes");
                format
                    .quantize_with_feedback(&row, &feedback, &mut fed)
                    .expect("writes");
                assert_eq!(fed.len(), plain.len());
                if odd != 0.0 {
                    assert_eq!(fed, plain, "{format}");
                }
            }
        }
    }

    #[test]
    fn windows_cover_all_columns_in_whole_blocks() {
        for columns in [32, 576, 1024, 1056, 1536, 4864, 8192] {
            let found = windows(columns);
            assert_eq!(found.first().expect("one").start, 0);
            assert_eq!(found.last().expect("one").end, columns);
            assert!(found.windows(2).all(|it| it[0].end == it[1].start));
            for window in &found {
                assert!(window.len() <= WINDOW_MAX && window.len().is_multiple_of(BLOCK));
                assert!(!window.is_empty());
            }
        }
        assert_eq!(windows(1536), [0..768, 768..1536]);
        assert!(windows(48).is_empty());
    }
}
