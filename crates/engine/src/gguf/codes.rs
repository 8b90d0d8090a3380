//! Blocks of 32 values taken apart into codes, scales and offsets, as integer products want them.
//!
//! Only the formats whose scales are half-precision numbers of their own: Q4_0, Q4_1, Q5_0, Q8_0.
//! What a code stands for is said in [`super::blocks`], whose dequantisation the tests compare with.

use super::blocks::BlockType;
use lathe_kernel::quantised::{BLOCK, Bits, Blocks, Offsets};

/// A quantised matrix, one code a byte, row-major.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codes {
    bits: Bits,
    codes: Vec<u8>,
    scales: Vec<u16>,
    /// The code of zero, or an offset for every block.
    zero: Result<u8, Vec<u16>>,
}

impl Codes {
    /// Bytes that `values` values of this format take once they are packed; `None` as in [`Codes::of`].
    pub fn packed_bytes(block_type: BlockType, values: u64) -> Option<u64> {
        let block_bytes = match block_type {
            BlockType::Q4_0 => 2 + 16,
            BlockType::Q4_1 => 2 + 2 + 16,
            BlockType::Q5_0 | BlockType::Q8_0 => 2 + 32,
            _ => return None,
        };
        Some(values / BLOCK as u64 * block_bytes)
    }

    /// Takes whole blocks apart; `None` for formats that have no such parts.
    pub fn of(block_type: BlockType, bytes: &[u8]) -> Option<Self> {
        let (bits, zero) = match block_type {
            BlockType::Q4_0 => (Bits::Four, Ok(8)),
            BlockType::Q4_1 => (Bits::Four, Err(Vec::new())),
            BlockType::Q5_0 => (Bits::Eight, Ok(16)),
            BlockType::Q8_0 => (Bits::Eight, Ok(128)),
            _ => return None,
        };
        let blocks = bytes.chunks_exact(block_type.block_bytes());
        let mut codes = Self {
            bits,
            codes: vec![0; blocks.len() * BLOCK],
            scales: Vec::with_capacity(blocks.len()),
            zero,
        };
        let half = |block: &[u8], at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        for (block, out) in blocks.zip(codes.codes.chunks_exact_mut(BLOCK)) {
            codes.scales.push(half(block, 0));
            if let Err(offsets) = &mut codes.zero {
                offsets.push(half(block, 2));
            }
            match block_type {
                BlockType::Q8_0 => signed(&block[2..], out),
                BlockType::Q5_0 => {
                    nibbles(&block[6..], out);
                    fifth_bits(&block[2..6], out);
                }
                BlockType::Q4_1 => nibbles(&block[4..], out),
                _ => nibbles(&block[2..], out),
            }
        }
        Some(codes)
    }

    /// The same rows of `width` values in another order: row `i` becomes the one at `order[i]`.
    pub fn with_rows(&self, order: &[usize], width: usize) -> Self {
        fn pick<T: Copy>(values: &[T], order: &[usize], width: usize) -> Vec<T> {
            let rows = order.iter().flat_map(|row| &values[row * width..][..width]);
            rows.copied().collect()
        }
        let blocks = width / BLOCK;
        Self {
            bits: self.bits,
            codes: pick(&self.codes, order, width),
            scales: pick(&self.scales, order, blocks),
            zero: match &self.zero {
                Ok(zero) => Ok(*zero),
                Err(offsets) => Err(pick(offsets, order, blocks)),
            },
        }
    }

    /// As the kernel takes them.
    pub fn blocks(&self) -> Blocks<'_> {
        Blocks {
            bits: self.bits,
            codes: &self.codes,
            scales: &self.scales,
            offsets: match &self.zero {
                Ok(zero) => Offsets::Zero(*zero),
                Err(offsets) => Offsets::PerBlock(offsets),
            },
        }
    }
}

/// Low nibbles are values 0..16, high nibbles 16..32.
fn nibbles(bytes: &[u8], out: &mut [u8]) {
    let (low, high) = out.split_at_mut(BLOCK / 2);
    for ((byte, low), high) in bytes.iter().zip(low).zip(high) {
        (*low, *high) = (byte & 15, byte >> 4);
    }
}

fn fifth_bits(bytes: &[u8], out: &mut [u8]) {
    for (i, code) in out.iter_mut().enumerate() {
        *code |= ((bytes[i / 8] >> (i % 8)) & 1) << 4;
    }
}

/// Signed bytes, shifted so that zero is 128.
fn signed(bytes: &[u8], out: &mut [u8]) {
    for (byte, code) in bytes.iter().zip(out) {
        *code = byte ^ 0x80;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lathe_kernel::f16::from_f16;

    fn value(blocks: &Blocks<'_>, at: usize) -> f32 {
        let scale = from_f16(blocks.scales[at / BLOCK]);
        match blocks.offsets {
            Offsets::Zero(zero) => scale * (f32::from(blocks.codes[at]) - f32::from(zero)),
            Offsets::PerBlock(offsets) => {
                scale * f32::from(blocks.codes[at]) + from_f16(offsets[at / BLOCK])
            }
        }
    }

    #[test]
    fn the_parts_make_the_values_of_the_format() {
        let mut taken_apart = 0;
        for block_type in BlockType::ALL {
            // Scales and offsets of any sign and size but no infinities.
            let bytes: Vec<u8> = (0..3 * block_type.block_bytes())
                .map(|i| (i * 37 % 91 + 7 * (i / 5)) as u8 & 0x7b)
                .collect();
            let Some(codes) = Codes::of(block_type, &bytes) else {
                continue;
            };
            taken_apart += 1;
            let expected = block_type.dequantize(&bytes).expect("whole blocks");
            let blocks = codes.blocks();
            for (at, expected) in expected.iter().enumerate() {
                assert_eq!(value(&blocks, at), *expected, "{block_type}, value {at}");
            }
        }
        assert_eq!(taken_apart, 4);
    }

    #[test]
    fn rows_change_places_with_their_scales() {
        let bytes: Vec<u8> = (0..4 * BlockType::Q4_1.block_bytes())
            .map(|i| (i * 7) as u8)
            .collect();
        let codes = Codes::of(BlockType::Q4_1, &bytes).expect("it has parts");
        let swapped = codes.with_rows(&[1, 0], 2 * BLOCK);
        assert_ne!(swapped, codes);
        for at in 0..4 * BLOCK {
            let from = (at + 2 * BLOCK) % (4 * BLOCK);
            assert_eq!(swapped.codes[at], codes.codes[from]);
            assert_eq!(swapped.scales[at / BLOCK], codes.scales[from / BLOCK]);
        }
        assert_eq!(swapped.with_rows(&[1, 0], 2 * BLOCK), codes);
    }
}
