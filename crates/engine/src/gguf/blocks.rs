//! Dequantisation of GGUF block formats to f32.
//!
//! A quantised tensor is a sequence of blocks, each with its own scale d (and
//! offset m): a value is d·(q − z) or d·q + m of a small integer q. The K
//! formats gather 256 values in a block whose sub-blocks have 6-bit or 8-bit
//! scales of their own. Layouts after ggml's `ggml-common.h`; results are
//! compared bit for bit with the `gguf` Python package in
//! `tests/gguf_blocks.rs`.
//!
//! Only dequantisation: weights are packed again for the machine by
//! [`crate::model`]; the way back is [`super::quantise`].

use crate::error::EngineError;
use lathe_kernel::bf16::from_bf16;
use lathe_kernel::f16::from_f16;
use std::fmt;

/// How the values of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of the format")]
#[allow(non_camel_case_types, reason = "the names are those of the format")]
pub enum BlockType {
    F32,
    F16,
    BF16,
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q4_K,
    Q5_K,
    Q6_K,
}

/// Names by type number, to refuse what is known by its name.
pub(super) const NAMES: [&str; 31] = [
    "F32", "F16", "Q4_0", "Q4_1", "Q4_2", "Q4_3", "Q5_0", "Q5_1", "Q8_0", "Q8_1", "Q2_K", "Q3_K",
    "Q4_K", "Q5_K", "Q6_K", "Q8_K", "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S",
    "IQ2_S", "IQ4_XS", "I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16",
];

impl BlockType {
    /// All types this engine reads.
    pub const ALL: [Self; 10] = [
        Self::F32,
        Self::F16,
        Self::BF16,
        Self::Q8_0,
        Self::Q4_0,
        Self::Q4_1,
        Self::Q5_0,
        Self::Q4_K,
        Self::Q5_K,
        Self::Q6_K,
    ];

    /// The type of this number in a GGUF file; `tensor` is named in the refusal.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for every other number.
    pub fn from_id(id: u32, tensor: &str) -> Result<Self, EngineError> {
        let name = NAMES.get(id as usize).copied();
        Self::ALL
            .into_iter()
            .find(|block| name == Some(block.name()))
            .ok_or_else(|| EngineError::Unsupported {
                what: "GGUF tensor type",
                name: format!("{} of {tensor}", name.unwrap_or(&format!("number {id}"))),
                supported: Self::ALL.map(Self::name).join(", "),
            })
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q8_0 => "Q8_0",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q4_K => "Q4_K",
            Self::Q5_K => "Q5_K",
            Self::Q6_K => "Q6_K",
        }
    }

    /// Values in one block.
    pub fn block_values(self) -> usize {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q8_0 | Self::Q4_0 | Self::Q4_1 | Self::Q5_0 => 32,
            Self::Q4_K | Self::Q5_K | Self::Q6_K => 256,
        }
    }

    /// Bytes of one block.
    pub fn block_bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q8_0 => 2 + 32,
            Self::Q4_0 => 2 + 16,
            Self::Q4_1 => 2 + 2 + 16,
            Self::Q5_0 => 2 + 4 + 16,
            Self::Q4_K => 2 + 2 + 12 + 128,
            Self::Q5_K => 2 + 2 + 12 + 32 + 128,
            Self::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Bytes of a row of `values`; `None` where that is no whole number of blocks.
    pub fn row_bytes(self, values: usize) -> Option<usize> {
        if !values.is_multiple_of(self.block_values()) {
            return None;
        }
        (values / self.block_values()).checked_mul(self.block_bytes())
    }

    /// The values of a run of whole blocks.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the bytes end inside a block.
    pub fn dequantize(self, bytes: &[u8]) -> Result<Vec<f32>, EngineError> {
        let blocks = bytes.chunks_exact(self.block_bytes());
        if !blocks.remainder().is_empty() {
            return Err(EngineError::damaged(
                format!("a {self} tensor"),
                format!(
                    "its {} bytes are not whole blocks of {}",
                    bytes.len(),
                    self.block_bytes()
                ),
            ));
        }
        let mut values = vec![0.0; blocks.len() * self.block_values()];
        for (block, out) in blocks.zip(values.chunks_exact_mut(self.block_values())) {
            self.dequantize_block(block, out);
        }
        Ok(values)
    }

    fn dequantize_block(self, block: &[u8], out: &mut [f32]) {
        match self {
            Self::F32 => out[0] = f32::from_le_bytes([block[0], block[1], block[2], block[3]]),
            Self::F16 => out[0] = f16_at(block, 0),
            Self::BF16 => out[0] = from_bf16(u16::from_le_bytes([block[0], block[1]])),
            Self::Q8_0 => q8_0(block, out),
            Self::Q4_0 => q4_0(block, out),
            Self::Q4_1 => q4_1(block, out),
            Self::Q5_0 => q5_0(block, out),
            Self::Q4_K => q4_k(block, out),
            Self::Q5_K => q5_k(block, out),
            Self::Q6_K => q6_k(block, out),
        }
    }
}

impl fmt::Display for BlockType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// d; 32 signed bytes. x = d·q.
fn q8_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    for (x, q) in out.iter_mut().zip(&block[2..]) {
        *x = d * f32::from(*q as i8);
    }
}

/// d; 16 bytes whose low nibbles are values 0..16 and high nibbles 16..32. x = d·(q − 8).
fn q4_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let (low, high) = out.split_at_mut(16);
    for ((byte, x0), x1) in block[2..].iter().zip(low).zip(high) {
        *x0 = d * (f32::from(byte & 15) - 8.0);
        *x1 = d * (f32::from(byte >> 4) - 8.0);
    }
}

/// d; m; nibbles as in Q4_0. x = d·q + m.
fn q4_1(block: &[u8], out: &mut [f32]) {
    let (d, m) = (f16_at(block, 0), f16_at(block, 2));
    let (low, high) = out.split_at_mut(16);
    for ((byte, x0), x1) in block[4..].iter().zip(low).zip(high) {
        *x0 = d * f32::from(byte & 15) + m;
        *x1 = d * f32::from(byte >> 4) + m;
    }
}

/// d; 32 fifth bits; nibbles as in Q4_0. x = d·(q − 16).
fn q5_0(block: &[u8], out: &mut [f32]) {
    let d = f16_at(block, 0);
    let fifth = u32::from_le_bytes([block[2], block[3], block[4], block[5]]);
    let (low, high) = out.split_at_mut(16);
    for (i, ((byte, x0), x1)) in block[6..].iter().zip(low).zip(high).enumerate() {
        let bit0 = ((fifth >> i) & 1) as u8;
        let bit1 = ((fifth >> (i + 16)) & 1) as u8;
        *x0 = d * (f32::from((byte & 15) | (bit0 << 4)) - 16.0);
        *x1 = d * (f32::from((byte >> 4) | (bit1 << 4)) - 16.0);
    }
}

/// d; dmin; 8 pairs of 6-bit scale s and offset o; nibbles. x = (d·s)·q − dmin·o.
///
/// Each run of 32 bytes holds one sub-block in its low and the next in its high nibbles.
fn q4_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, nibbles) = block[4..].split_at(12);
    for (pair, (bytes, out)) in nibbles.chunks(32).zip(out.chunks_mut(64)).enumerate() {
        let (s0, o0) = q4_k_scale(scales, 2 * pair);
        let (s1, o1) = q4_k_scale(scales, 2 * pair + 1);
        let (low, high) = out.split_at_mut(32);
        for ((byte, x0), x1) in bytes.iter().zip(low).zip(high) {
            *x0 = d * s0 * f32::from(byte & 15) - dmin * o0;
            *x1 = d * s1 * f32::from(byte >> 4) - dmin * o1;
        }
    }
}

/// As Q4_K, with 32 bytes of fifth bits before the nibbles: bit j of byte i is that of value i of
/// sub-block j.
fn q5_k(block: &[u8], out: &mut [f32]) {
    let (d, dmin) = (f16_at(block, 0), f16_at(block, 2));
    let (scales, rest) = block[4..].split_at(12);
    let (fifth, nibbles) = rest.split_at(32);
    for (pair, (bytes, out)) in nibbles.chunks(32).zip(out.chunks_mut(64)).enumerate() {
        let (s0, o0) = q4_k_scale(scales, 2 * pair);
        let (s1, o1) = q4_k_scale(scales, 2 * pair + 1);
        let (low, high) = out.split_at_mut(32);
        for (((byte, fifth), x0), x1) in bytes.iter().zip(fifth).zip(low).zip(high) {
            let [bit0, bit1] = [2 * pair, 2 * pair + 1].map(|at| ((fifth >> at) & 1) << 4);
            *x0 = d * s0 * f32::from((byte & 15) | bit0) - dmin * o0;
            *x1 = d * s1 * f32::from((byte >> 4) | bit1) - dmin * o1;
        }
    }
}

/// Scale and offset of sub-block `j`: the first four have their six bits in one byte, the last four
/// four bits in the third group of bytes and two in the spare top bits of the first groups.
fn q4_k_scale(scales: &[u8], j: usize) -> (f32, f32) {
    let (scale, offset) = if j < 4 {
        (scales[j] & 63, scales[j + 4] & 63)
    } else {
        (
            (scales[j + 4] & 15) | ((scales[j - 4] >> 6) << 4),
            (scales[j + 4] >> 4) | ((scales[j] >> 6) << 4),
        )
    };
    (f32::from(scale), f32::from(offset))
}

/// 128 bytes of low nibbles; 64 bytes of top bit pairs; 16 signed scales s; d. x = (d·s)·(q − 32).
///
/// Each half of 128 values takes 64 and 32 of these bytes, in four runs of 32 values.
fn q6_k(block: &[u8], out: &mut [f32]) {
    let (low, rest) = block.split_at(128);
    let (top, rest) = rest.split_at(64);
    let (scales, d) = (&rest[..16], f16_at(rest, 16));
    for (half, out) in out.chunks_mut(128).enumerate() {
        let low = &low[64 * half..][..64];
        let top = &top[32 * half..][..32];
        let scales = &scales[8 * half..][..8];
        for (i, x) in out.iter_mut().enumerate() {
            let (run, l) = (i / 32, i % 32);
            let byte = low[l + 32 * (run % 2)];
            let nibble = if run < 2 { byte & 15 } else { byte >> 4 };
            let q = nibble | (((top[l] >> (2 * run)) & 3) << 4);
            let scale = f32::from(scales[2 * run + l / 16] as i8);
            *x = d * scale * (f32::from(q) - 32.0);
        }
    }
}

fn f16_at(bytes: &[u8], at: usize) -> f32 {
    from_f16(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}
