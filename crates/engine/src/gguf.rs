//! The GGUF container: header, metadata and tensor table.
//!
//! Parses versions 2 and 3, little-endian, as described by
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>. The parser
//! borrows from the bytes it is given; arrays are checked but stay where they
//! are. Every count is held against the bytes that remain before anything is
//! allocated for it, and tensors may not overlap, so that no file can describe
//! more data than it holds.
//!
//! It does not know models: what the metadata mean is the business of
//! [`crate::config`] and [`crate::tokenizer`].

pub mod blocks;
pub mod codes;
mod cursor;
pub mod feedback;
pub mod quantise;
mod value;
pub mod weighted;
pub mod write;

use crate::error::EngineError;
use blocks::BlockType;
use cursor::Cursor;
use std::collections::BTreeMap;
use std::ops::Range;
pub use value::{Array, Value};

/// The file's first four bytes.
const MAGIC: &[u8; 4] = b"GGUF";
/// Most dimensions a tensor may have.
const DIMENSIONS_MAX: u32 = 4;
/// Fewest bytes a metadata entry takes: key length, type, one-byte value.
const ENTRY_BYTES_MIN: u64 = 8 + 4 + 1;
/// Fewest bytes a tensor's entry takes: name length, dimension count, type, offset.
const TENSOR_BYTES_MIN: u64 = 8 + 4 + 4 + 8;
/// Alignment where the metadata name none.
const ALIGNMENT_BYTES_DEFAULT: u32 = 32;
/// Largest alignment believed.
const ALIGNMENT_BYTES_MAX: u32 = 1 << 20;

/// One entry of the tensor table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorInfo {
    /// How the numbers are stored.
    pub block_type: BlockType,
    /// Row-major shape, outermost dimension first (GGUF stores it reversed).
    pub shape: Vec<usize>,
    /// Where the tensor's bytes lie in the file.
    pub bytes: Range<usize>,
}

impl TensorInfo {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no values; never true for a parsed file.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A parsed file: metadata that borrow from it, and the tensor table.
#[derive(Debug)]
pub struct Gguf<'a> {
    metadata: BTreeMap<&'a str, Value<'a>>,
    tensors: BTreeMap<&'a str, TensorInfo>,
}

impl<'a> Gguf<'a> {
    /// Parses a whole file.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] where the bytes contradict the format,
    /// [`EngineError::Unsupported`] for another version or tensor type.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, EngineError> {
        let mut cursor = Cursor::new(bytes);
        let (tensor_count, entry_count) = header(&mut cursor)?;
        let metadata = metadata(&mut cursor, entry_count)?;
        let alignment = alignment(&metadata)?;
        let raw = tensor_table(&mut cursor, tensor_count)?;
        let data_start = cursor.position().next_multiple_of(alignment);
        let mut tensors = BTreeMap::new();
        for (name, entry) in raw {
            let info = entry.place(name, data_start, alignment, bytes.len())?;
            if tensors.insert(name, info).is_some() {
                return Err(damaged(format!("tensor {name:?} occurs twice")));
            }
        }
        refuse_overlaps(&tensors)?;
        Ok(Self { metadata, tensors })
    }

    /// A metadata value.
    pub fn get(&self, key: &str) -> Option<&Value<'a>> {
        self.metadata.get(key)
    }

    /// The keys and values, in the order of the keys.
    pub fn metadata(&self) -> impl Iterator<Item = (&'a str, &Value<'a>)> {
        self.metadata.iter().map(|(key, value)| (*key, value))
    }

    /// The tensors, in the order of their names.
    pub fn tensors(&self) -> impl Iterator<Item = (&'a str, &TensorInfo)> {
        self.tensors.iter().map(|(name, info)| (*name, info))
    }

    /// The tensor of exactly this GGUF name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    /// A string that may be absent.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the key holds something else.
    pub fn string(&self, key: &str) -> Result<Option<&'a str>, EngineError> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(*text),
            _ => None,
        })
    }

    /// A non-negative integer of any width that may be absent.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the key holds something else.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>, EngineError> {
        self.typed(key, "a non-negative integer", Value::as_unsigned)
    }

    /// A number that may be absent.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the key holds something else.
    pub fn float(&self, key: &str) -> Result<Option<f64>, EngineError> {
        self.typed(key, "a number", Value::as_float)
    }

    /// An array that may be absent.
    ///
    /// # Errors
    /// [`EngineError::Damaged`] when the key holds something else.
    pub fn array(&self, key: &str) -> Result<Option<Array<'a>>, EngineError> {
        self.typed(key, "an array", |value| match value {
            Value::Array(array) => Some(*array),
            _ => None,
        })
    }

    fn typed<T>(
        &self,
        key: &str,
        expected: &str,
        read: impl Fn(&Value<'a>) -> Option<T>,
    ) -> Result<Option<T>, EngineError> {
        let Some(value) = self.metadata.get(key) else {
            return Ok(None);
        };
        read(value)
            .map(Some)
            .ok_or_else(|| damaged(format!("metadata {key:?} should be {expected}")))
    }
}

/// Reads magic, version and the two counts.
fn header(cursor: &mut Cursor) -> Result<(u64, u64), EngineError> {
    if cursor.take(4)? != MAGIC {
        return Err(damaged("it does not begin with GGUF".to_owned()));
    }
    let version = cursor.u32()?;
    if version != 2 && version != 3 {
        return Err(EngineError::Unsupported {
            what: "GGUF version",
            name: version.to_string(),
            supported: "2 and 3, little-endian".to_owned(),
        });
    }
    let tensor_count = cursor.u64()?;
    let entry_count = cursor.u64()?;
    Ok((tensor_count, entry_count))
}

fn metadata<'a>(
    cursor: &mut Cursor<'a>,
    count: u64,
) -> Result<BTreeMap<&'a str, Value<'a>>, EngineError> {
    cursor.expect_room(count, ENTRY_BYTES_MIN, "metadata entries")?;
    let mut metadata = BTreeMap::new();
    for _ in 0..count {
        let key = cursor.string()?;
        let value = Value::read(cursor)?;
        if metadata.insert(key, value).is_some() {
            return Err(damaged(format!("metadata {key:?} occurs twice")));
        }
    }
    Ok(metadata)
}

fn alignment(metadata: &BTreeMap<&str, Value>) -> Result<usize, EngineError> {
    let alignment = match metadata.get("general.alignment") {
        None => ALIGNMENT_BYTES_DEFAULT,
        Some(Value::U32(alignment)) => *alignment,
        Some(_) => return Err(damaged("general.alignment should be a u32".to_owned())),
    };
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_BYTES_MAX {
        return Err(damaged(format!("general.alignment is {alignment}")));
    }
    Ok(alignment as usize)
}

/// A tensor's entry as it stands in the file.
struct RawTensor {
    block_type: BlockType,
    shape: Vec<usize>,
    offset: u64,
}

fn tensor_table<'a>(
    cursor: &mut Cursor<'a>,
    count: u64,
) -> Result<Vec<(&'a str, RawTensor)>, EngineError> {
    cursor.expect_room(count, TENSOR_BYTES_MIN, "tensors")?;
    let mut table = Vec::new();
    for _ in 0..count {
        let name = cursor.string()?;
        table.push((name, RawTensor::read(cursor, name)?));
    }
    Ok(table)
}

impl RawTensor {
    fn read(cursor: &mut Cursor, name: &str) -> Result<Self, EngineError> {
        let dimensions = cursor.u32()?;
        if dimensions == 0 || dimensions > DIMENSIONS_MAX {
            return Err(damaged(format!(
                "tensor {name:?} has {dimensions} dimensions"
            )));
        }
        let mut shape = Vec::with_capacity(dimensions as usize);
        for _ in 0..dimensions {
            let size = usize::try_from(cursor.u64()?).unwrap_or(usize::MAX);
            if size == 0 {
                return Err(damaged(format!(
                    "tensor {name:?} has a dimension of size 0"
                )));
            }
            shape.push(size);
        }
        shape.reverse();
        let block_type = BlockType::from_id(cursor.u32()?, name)?;
        let offset = cursor.u64()?;
        Ok(Self {
            block_type,
            shape,
            offset,
        })
    }

    /// Turns the entry's relative offset into a range of the file that exists.
    fn place(
        self,
        name: &str,
        data_start: usize,
        alignment: usize,
        file_bytes: usize,
    ) -> Result<TensorInfo, EngineError> {
        let range = self
            .byte_range(data_start)
            .filter(|range| range.end <= file_bytes);
        let Some(bytes) = range else {
            return Err(damaged(format!(
                "tensor {name:?} with shape {:?} as {} does not lie within the file's {file_bytes} bytes",
                self.shape, self.block_type
            )));
        };
        if !(bytes.start - data_start).is_multiple_of(alignment) {
            return Err(damaged(format!(
                "tensor {name:?} is not aligned to {alignment} bytes"
            )));
        }
        Ok(TensorInfo {
            block_type: self.block_type,
            shape: self.shape,
            bytes,
        })
    }

    fn byte_range(&self, data_start: usize) -> Option<Range<usize>> {
        let (row, rows) = self.shape.split_last()?;
        let rows = rows
            .iter()
            .try_fold(1usize, |product, size| product.checked_mul(*size))?;
        let values = rows.checked_mul(*row)?;
        // f32 values of the whole must be addressable too.
        values.checked_mul(4)?;
        let length = self.block_type.row_bytes(*row)?.checked_mul(rows)?;
        let start = data_start.checked_add(usize::try_from(self.offset).ok()?)?;
        Some(start..start.checked_add(length)?)
    }
}

/// Without this, one megabyte could be claimed by a thousand tensors.
fn refuse_overlaps(tensors: &BTreeMap<&str, TensorInfo>) -> Result<(), EngineError> {
    let mut ranges: Vec<_> = tensors
        .iter()
        .map(|(name, info)| (&info.bytes, *name))
        .collect();
    ranges.sort_by_key(|(range, _)| (range.start, range.end));
    for pair in ranges.windows(2) {
        if pair[0].0.end > pair[1].0.start {
            return Err(damaged(format!(
                "tensors {:?} and {:?} overlap",
                pair[0].1, pair[1].1
            )));
        }
    }
    Ok(())
}

fn damaged(reason: String) -> EngineError {
    EngineError::damaged("the GGUF file", reason)
}
