//! Blocks whose scale is chosen by how much their values matter.
//!
//! A block of 32 values x is written as d·q + m of small integers q. The reference rounding (beside
//! this file) takes d from the value of largest magnitude alone. Here d, and m where the format has
//! one, are those that make
//! ```text
//! Σ hᵢ·(xᵢ − d·qᵢ − m)²
//! ```
//! smallest among: the reference's own, and scales over a grid that also clips the largest values,
//! each followed by the least squares solution for the integers that it gives, twice. The integers are
//! rounded with the scale as it is stored, in 16 bits. What is written is never worse than the
//! reference by that sum; h is [`crate::importance`]'s. The layout of blocks is not touched.
//!
//! After llama.cpp's `make_qx_quants` and `make_qkx3_quants`, with two differences: the sum is weighted by
//! h alone, and both signs of d are tried.

use super::blocks::BlockType;
use crate::error::EngineError;
use lathe_kernel::f16::{from_f16, to_f16};

/// Values in a block.
pub(super) const BLOCK: usize = 32;
/// Sums that are added up side by side.
const LANES: usize = 8;
/// Added and taken away again it leaves an integer, ties to even: so far from zero there are no fractions.
const WHOLE: f32 = 12_582_912.0;
/// How often integers are rounded anew after a scale was fitted to them.
const FITS: usize = 2;
/// What d is multiplied by in turn, the scale that takes the largest value to the end of the grid being 1.
const FEW_BITS: Grid = Grid {
    least: 0.46,
    step: 0.045,
    count: 18,
};
/// With 8 bits clipping never pays: around the full scale only.
const MANY_BITS: Grid = Grid {
    least: 0.988,
    step: 0.004,
    count: 6,
};

/// Factors of a scale.
struct Grid {
    least: f32,
    step: f32,
    count: usize,
}

impl Grid {
    fn factors(&self) -> impl Iterator<Item = f32> + '_ {
        (0..self.count).map(|at| self.least + self.step * at as f32)
    }
}

/// What integers a format has, and whether its blocks have an offset.
#[derive(Clone, Copy)]
pub(super) struct Codes {
    least: f32,
    most: f32,
    offset: bool,
}

/// Scale and offset as they are stored.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) d: f32,
    pub(super) m: f32,
}

impl Step {
    /// Rounded to 16 bits; `None` where nothing is left of it.
    pub(super) fn stored(d: f32, m: f32) -> Option<Self> {
        let [d, m] = [d, m].map(|it| from_f16(to_f16(it)));
        (d != 0.0 && d.is_finite() && m.is_finite()).then_some(Self { d, m })
    }
}

impl BlockType {
    /// The formats whose blocks can be chosen by weights.
    pub const WEIGHTED: [Self; 3] = [Self::Q8_0, Self::Q4_0, Self::Q4_1];

    /// As [`BlockType::quantize`], rows of as many values as there are `weights`, each value counting as
    /// its column's weight says. Formats that are none of [`BlockType::WEIGHTED`] know no weights.
    ///
    /// # Errors
    /// As [`BlockType::quantize`].
    ///
    /// # Panics
    /// If the values are no whole rows, or rows no whole blocks.
    pub fn quantize_weighted(
        self,
        values: &[f32],
        weights: &[f32],
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let Some(codes) = self.codes() else {
            return self.quantize(values, out);
        };
        let row = weights.len();
        assert!(
            row > 0 && values.len().is_multiple_of(row) && row.is_multiple_of(BLOCK),
            "{} values are no whole rows of {row} that are whole blocks",
            values.len()
        );
        for row in values.chunks_exact(row) {
            let blocks = row.as_chunks::<BLOCK>().0.iter();
            for (x, h) in blocks.zip(weights.as_chunks::<BLOCK>().0) {
                self.best(codes, x, h, out)?;
            }
        }
        Ok(())
    }

    pub(super) fn codes(self) -> Option<Codes> {
        let codes = |least, most, offset| Codes {
            least,
            most,
            offset,
        };
        match self {
            Self::Q8_0 => Some(codes(-127.0, 127.0, false)),
            Self::Q4_0 => Some(codes(-8.0, 7.0, false)),
            Self::Q4_1 => Some(codes(0.0, 15.0, true)),
            _ => None,
        }
    }

    /// The scale and offset that a written block has; `None` where all its values are one, or none.
    pub(super) fn step_of(self, block: &[u8]) -> Option<Step> {
        let half = |at: usize| from_f16(u16::from_le_bytes([block[at], block[at + 1]]));
        let m = if self == Self::Q4_1 { half(2) } else { 0.0 };
        Step::stored(half(0), m)
    }

    /// Appends the best of a block that is found.
    fn best(
        self,
        codes: Codes,
        x: &[f32; BLOCK],
        h: &[f32; BLOCK],
        out: &mut Vec<u8>,
    ) -> Result<(), EngineError> {
        let start = out.len();
        self.quantize(x, out)?;
        let plain = self.dequantize(&out[start..])?;
        let plain = plain.as_chunks::<BLOCK>().0[0];
        if let Some((step, q)) = codes.better(x, h, &plain) {
            out.truncate(start);
            self.put(step, &q, out);
        }
        Ok(())
    }

    /// Appends a block.
    pub(super) fn put(self, step: Step, q: &[f32; BLOCK], out: &mut Vec<u8>) {
        out.extend(to_f16(step.d).to_le_bytes());
        if self == Self::Q8_0 {
            return out.extend(q.iter().map(|&q| q as i8 as u8));
        }
        let zero = if self == Self::Q4_0 { 8.0 } else { 0.0 };
        if self == Self::Q4_1 {
            out.extend(to_f16(step.m).to_le_bytes());
        }
        let (low, high) = q.split_at(BLOCK / 2);
        let pairs = low.iter().zip(high);
        out.extend(pairs.map(|(low, high)| (low + zero) as u8 | ((high + zero) as u8) << 4));
    }
}

impl Codes {
    /// A scale with its integers whose error is below that of `plain`, and below that of all others tried.
    pub(super) fn better(
        self,
        x: &[f32; BLOCK],
        h: &[f32; BLOCK],
        plain: &[f32; BLOCK],
    ) -> Option<(Step, [f32; BLOCK])> {
        let (mut least, mut found) = (error(x, h, plain), None);
        for first in self.starts(x) {
            let mut step = first;
            for fit in 0..=FITS {
                let q = self.round(x, step);
                let cost = error(x, h, &q.map(|q| step.d * q + step.m));
                // Nothing is less than a NaN: such a block stays as the reference has it.
                if cost < least {
                    (least, found) = (cost, Some((step, q)));
                }
                match self.fit(x, h, &q) {
                    Some(next) if fit < FITS && next != step => step = next,
                    _ => break,
                }
            }
        }
        found
    }

    /// Scales to begin from.
    fn starts(self, x: &[f32; BLOCK]) -> Vec<Step> {
        let (least, most) = x
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(least, most), &it| {
                (least.min(it), most.max(it))
            });
        let mut starts = Vec::new();
        if self.offset {
            // What is clipped lies at the top, at both ends, or at the bottom.
            let range = most - least;
            for factor in FEW_BITS.factors() {
                for share in [0.0, 0.5, 1.0] {
                    let m = least + (1.0 - factor) * range * share;
                    starts.extend(Step::stored(factor * range / self.most, m));
                }
            }
            return starts;
        }
        let largest = most.max(-least);
        let (grid, signs) = if self.most > 100.0 {
            (&MANY_BITS, &[1.0][..])
        } else {
            (&FEW_BITS, &[1.0, -1.0][..])
        };
        for factor in grid.factors() {
            for sign in signs {
                starts.extend(Step::stored(sign * factor * largest / self.most, 0.0));
            }
        }
        starts
    }

    /// The nearest integer.
    pub(super) fn nearest(self, x: f32, step: Step) -> f32 {
        self.round_by(x, step, 1.0 / step.d)
    }

    fn round_by(self, x: f32, step: Step, inverse: f32) -> f32 {
        let q = ((x - step.m) * inverse).max(self.least).min(self.most);
        (q + WHOLE) - WHOLE
    }

    /// The nearest integers.
    fn round(self, x: &[f32; BLOCK], step: Step) -> [f32; BLOCK] {
        let inverse = 1.0 / step.d;
        x.map(|x| self.round_by(x, step, inverse))
    }

    /// The scale, and the offset where there is one, that fit these integers best.
    fn fit(self, x: &[f32; BLOCK], h: &[f32; BLOCK], q: &[f32; BLOCK]) -> Option<Step> {
        let hqq = sum(|at| h[at] * q[at] * q[at]);
        let hqx = sum(|at| h[at] * q[at] * x[at]);
        if !self.offset {
            return Step::stored(hqx / hqq, 0.0);
        }
        let (hs, hq, hx) = (
            sum(|at| h[at]),
            sum(|at| h[at] * q[at]),
            sum(|at| h[at] * x[at]),
        );
        let d = (hs * hqx - hq * hx) / (hs * hqq - hq * hq);
        // Where the scale lies once it is rounded, the offset makes up for that.
        let d = from_f16(to_f16(d));
        Step::stored(d, (hx - d * hq) / hs)
    }
}

/// Σ h·(x − y)².
fn error(x: &[f32; BLOCK], h: &[f32; BLOCK], y: &[f32; BLOCK]) -> f32 {
    sum(|at| {
        let off = x[at] - y[at];
        h[at] * off * off
    })
}

/// The sum of a block's terms, in lanes that a machine adds side by side.
fn sum(term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for start in (0..BLOCK).step_by(LANES) {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
    }
    lanes.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// Rows of `width` with a few large values, as weights have them, and weights over some powers of ten.
    fn rows(seed: u64, rows: usize, width: usize) -> (Vec<f32>, Vec<f32>) {
        let mut random = Random::new(seed);
        let values = (0..rows * width).map(|_| {
            let bell: f32 = (0..4).map(|_| random.next_f32() - 0.5).sum();
            let spread = if random.below(40) == 0 { 4.0 } else { 1.0 };
            0.05 * spread * bell
        });
        let values = values.collect();
        let weights = (0..width).map(|_| 10f32.powf(2.0 * random.next_f32() - 1.5));
        (values, weights.collect())
    }

    fn both(format: BlockType, values: &[f32], weights: &[f32]) -> [Vec<f32>; 2] {
        let (mut plain, mut weighted) = (Vec::new(), Vec::new());
        format.quantize(values, &mut plain).expect("is written");
        let written = format.quantize_weighted(values, weights, &mut weighted);
        written.expect("is written");
        assert_eq!(weighted.len(), plain.len(), "{format}: one layout");
        [plain, weighted].map(|bytes| format.dequantize(&bytes).expect("whole blocks"))
    }

    /// The weighted error in f64, block by block.
    fn errors(values: &[f32], weights: &[f32], found: &[f32]) -> Vec<f64> {
        let columns = weights.iter().cycle();
        let terms = values.iter().zip(found).zip(columns).map(|((x, y), h)| {
            let off = f64::from(*x) - f64::from(*y);
            f64::from(*h) * off * off
        });
        let terms: Vec<f64> = terms.collect();
        terms.chunks(BLOCK).map(|it| it.iter().sum()).collect()
    }

    #[test]
    fn no_block_is_worse_than_the_reference_and_most_in_few_bits_are_better() {
        for (format, gain) in [
            (BlockType::Q8_0, 0.999),
            (BlockType::Q4_0, 0.8),
            (BlockType::Q4_1, 0.85),
        ] {
            let (mut before, mut after) = (0.0, 0.0);
            for seed in 0..8 {
                let (values, weights) = rows(seed, 16, 96);
                let [plain, weighted] = both(format, &values, &weights);
                let plain = errors(&values, &weights, &plain);
                let weighted = errors(&values, &weights, &weighted);
                for (plain, weighted) in plain.iter().zip(&weighted) {
                    // The choice is made in f32.
                    assert!(
                        *weighted <= plain * (1.0 + 1e-5),
                        "{format}: {weighted} {plain}"
                    );
                    before += plain;
                    after += weighted;
                }
            }
            assert!(after < gain * before, "{format}: {after} of {before}");
        }
    }

    /// Against a search so fine that nothing slips through it, over scales and offsets as stored.
    #[test]
    fn little_is_left_that_an_exhaustive_search_would_find() {
        let (values, weights) = rows(11, 4, 32);
        let h = weights.as_chunks::<BLOCK>().0[0];
        let (mut best, mut found) = (0.0, 0.0);
        let codes = BlockType::Q4_0.codes().expect("has some");
        let weighted = &both(BlockType::Q4_0, &values, &weights)[1];
        for (x, y) in values
            .as_chunks::<BLOCK>()
            .0
            .iter()
            .zip(weighted.as_chunks::<BLOCK>().0)
        {
            let every = (0..=u16::MAX).filter_map(|bits| Step::stored(from_f16(bits), 0.0));
            let cost = |step: Step| error(x, &h, &codes.round(x, step).map(|q| step.d * q));
            best += every.map(cost).fold(f32::INFINITY, f32::min);
            found += error(x, &h, y);
        }
        assert!(
            found >= best * 0.9999,
            "{found} {best}: the search is exhaustive"
        );
        assert!(found < 1.05 * best, "{found} {best}");
    }

    #[test]
    fn what_matters_is_kept_and_what_does_not_gives_way() {
        let mut values = [0.011f32; BLOCK];
        (values[3], values[20]) = (0.9, 0.3);
        let mut weights = [1.0f32; BLOCK];
        weights[3] = 1e-6;
        for format in [BlockType::Q4_0, BlockType::Q4_1] {
            let [plain, weighted] = both(format, &values, &weights);
            let off = |found: &[f32]| (found[20] - 0.3).abs() + (found[0] - 0.011).abs();
            assert!(
                off(&weighted) < 0.5 * off(&plain),
                "{format}: {weighted:?} {plain:?}"
            );
        }
    }

    #[test]
    fn what_a_format_holds_stays_and_odd_blocks_are_the_reference_s() {
        for format in BlockType::WEIGHTED {
            let (values, weights) = rows(3, 4, 64);
            let held = &both(format, &values, &weights)[1];
            let again = both(format, held, &weights);
            let energy = errors(held, &weights, &vec![0.0; held.len()]);
            let lost = errors(held, &weights, &again[1]);
            let [energy, lost] = [energy, lost].map(|it| it.iter().sum::<f64>());
            // In 8 bits the scale that was found before need not be among those that are tried.
            let most = if format == BlockType::Q8_0 {
                1e-5
            } else {
                1e-10
            };
            assert!(lost <= most * energy, "{format}: {lost} of {energy}");
            for odd in [0.0, f32::NAN, 1e-9, 1e30] {
                let mut block = [odd; BLOCK];
                block[0] = 0.0;
                let [plain, weighted] = both(format, &block, &[1.0; BLOCK]);
                let bits = |it: &[f32]| it.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&plain), bits(&weighted), "{format} {odd}");
            }
        }
    }

    #[test]
    fn other_formats_know_no_weights() {
        let (values, weights) = rows(5, 2, 32);
        for format in [BlockType::F32, BlockType::F16, BlockType::BF16] {
            let [plain, weighted] = both(format, &values, &weights);
            assert_eq!(plain, weighted, "{format}");
        }
        let refused = BlockType::Q6_K.quantize_weighted(&[0.0; 256], &weights, &mut Vec::new());
        assert!(
            refused
                .expect_err("is only read")
                .to_string()
                .contains("Q6_K")
        );
    }
}
