//! Values to the block formats that Lathe writes: F32, F16, BF16, Q8_0, Q4_0 and Q4_1.
//!
//! The formulas are ggml's reference (`ggml-quants.c`), to the bit; `tests/gguf_blocks.rs` holds them
//! against the `gguf` Python package, and the unit tests against the dequantiser beside them.
//! - Q8_0: d = max|x| / 127, q = x / d rounded away from zero at halves.
//! - Q4_0: d = m / −8 where m is the value of largest magnitude with its sign, q = ⌊x / d + 8.5⌋ in
//!   0..=15. The value of largest magnitude is kept exactly but for d's rounding to 16 bits; the
//!   other end of the scale reaches 7 / 8 of it.
//! - Q4_1: m = min x, d = (max x − m) / 15, q = ⌊(x − m) / d + ½⌋: both ends are kept.
//!
//! No K format, and nothing of what values matter for: that is [`super::weighted`]. What is written in
//! 4 bits is measured before it is handed on, and 8 bits are the default.

use super::blocks::BlockType;
use crate::error::EngineError;
use lathe_kernel::bf16::to_bf16;
use lathe_kernel::f16::to_f16;

/// Values in a block of Q8_0, Q4_0 and Q4_1.
const BLOCK: usize = 32;

impl BlockType {
    /// The formats that can be written.
    pub const WRITTEN: [Self; 6] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
    ];

    /// Its number in a GGUF file.
    pub(crate) fn id(self) -> u32 {
        let at = super::blocks::NAMES
            .iter()
            .position(|name| *name == self.name());
        at.expect("every type has a number") as u32
    }

    /// Appends whole blocks of `values` to `out`.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a format that is only read.
    ///
    /// # Panics
    /// If the values do not fill whole blocks.
    pub fn quantize(self, values: &[f32], out: &mut Vec<u8>) -> Result<(), EngineError> {
        assert!(
            values.len().is_multiple_of(self.block_values()),
            "{} values are no whole blocks of {self}",
            values.len()
        );
        match self {
            Self::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F16 => out.extend(values.iter().flat_map(|it| to_f16(*it).to_le_bytes())),
            Self::BF16 => out.extend(values.iter().flat_map(|it| to_bf16(*it).to_le_bytes())),
            Self::Q8_0 => values.chunks_exact(BLOCK).for_each(|it| q8_0(it, out)),
            Self::Q4_0 => values.chunks_exact(BLOCK).for_each(|it| q4_0(it, out)),
            Self::Q4_1 => values.chunks_exact(BLOCK).for_each(|it| q4_1(it, out)),
            Self::Q5_0 | Self::Q4_K | Self::Q5_K | Self::Q6_K => {
                return Err(EngineError::Unsupported {
                    what: "GGUF tensor type to write",
                    name: self.name().to_owned(),
                    supported: Self::WRITTEN.map(Self::name).join(", "),
                });
            }
        }
        Ok(())
    }
}

/// 1 / d, or 0 where all values are.
fn inverse(d: f32) -> f32 {
    if d == 0.0 { 0.0 } else { 1.0 / d }
}

fn q8_0(values: &[f32], out: &mut Vec<u8>) {
    let largest = values.iter().fold(0.0f32, |most, it| most.max(it.abs()));
    let d = largest / 127.0;
    let inverse = inverse(d);
    out.extend(to_f16(d).to_le_bytes());
    out.extend(values.iter().map(|it| (it * inverse).round() as i8 as u8));
}

fn q4_0(values: &[f32], out: &mut Vec<u8>) {
    // The first of several of one magnitude, as the reference.
    let further = |most: f32, it: &f32| if it.abs() > most.abs() { *it } else { most };
    let d = values.iter().fold(0.0f32, further) / -8.0;
    let inverse = inverse(d);
    out.extend(to_f16(d).to_le_bytes());
    let code = |value: f32| ((value * inverse + 8.5) as u8).min(15);
    nibbles(values, code, out);
}

fn q4_1(values: &[f32], out: &mut Vec<u8>) {
    let least = values.iter().copied().fold(f32::MAX, f32::min);
    let most = values.iter().copied().fold(f32::MIN, f32::max);
    let d = (most - least) / 15.0;
    let inverse = inverse(d);
    out.extend(to_f16(d).to_le_bytes());
    out.extend(to_f16(least).to_le_bytes());
    let code = |value: f32| (((value - least) * inverse + 0.5) as u8).min(15);
    nibbles(values, code, out);
}

/// Two codes a byte, the first half of the block in the low bits.
fn nibbles(values: &[f32], code: impl Fn(f32) -> u8, out: &mut Vec<u8>) {
    let (low, high) = values.split_at(BLOCK / 2);
    let pairs = low.iter().zip(high);
    out.extend(pairs.map(|(low, high)| code(*low) | code(*high) << 4));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    fn values(len: usize, spread: f32) -> Vec<f32> {
        let mut random = Random::new(len as u64);
        let draw = || (random.next_f32() - 0.5) * spread;
        std::iter::repeat_with(draw).take(len).collect()
    }

    fn round_trip(format: BlockType, values: &[f32]) -> Vec<f32> {
        let mut bytes = Vec::new();
        format.quantize(values, &mut bytes).expect("is written");
        assert_eq!(Some(bytes.len()), format.row_bytes(values.len()));
        format.dequantize(&bytes).expect("whole blocks")
    }

    /// No value moves by more than half a step and what rounding the step to 16 bits adds.
    #[test]
    fn no_value_moves_further_than_its_step_allows() {
        for (format, steps, worst) in [
            (BlockType::Q8_0, 127.0, 0.5),
            (BlockType::Q4_0, 8.0, 1.0),
            (BlockType::Q4_1, 15.0, 1.0),
        ] {
            for spread in [1e-3, 1.0, 300.0] {
                let values = values(64 * BLOCK, spread);
                let found = round_trip(format, &values);
                for (block, found) in values.chunks(BLOCK).zip(found.chunks(BLOCK)) {
                    let largest = block.iter().fold(0.0f32, |most, it| most.max(it.abs()));
                    // Half a step, the rounding of step and offset to 11 bits, and to 2⁻²⁴ where it is tiny.
                    let rounding = 2e-3 * largest + steps * 2f32.powi(-25);
                    let bound = worst * largest / steps + rounding;
                    for (value, found) in block.iter().zip(found) {
                        let moved = (value - found).abs();
                        assert!(moved <= bound, "{format} {value} {found}");
                    }
                }
            }
        }
    }

    #[test]
    fn what_a_format_holds_is_written_again_to_the_bit() {
        for format in BlockType::WRITTEN {
            let once = round_trip(format, &values(8 * BLOCK, 4.0));
            assert_eq!(round_trip(format, &once), once, "{format}");
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        for format in BlockType::WRITTEN {
            assert_eq!(round_trip(format, &[0.0; BLOCK]), [0.0; BLOCK], "{format}");
        }
    }

    #[test]
    fn a_format_that_is_only_read_is_refused_by_name() {
        let error = BlockType::Q6_K.quantize(&[0.0; 256], &mut Vec::new());
        let error = error.expect_err("is refused").to_string();
        assert!(error.contains("Q6_K") && error.contains("Q8_0"), "{error}");
    }

    #[test]
    fn numbers_of_types_are_the_readers() {
        for format in BlockType::ALL {
            assert_eq!(BlockType::from_id(format.id(), "t").expect("known"), format);
        }
    }
}
