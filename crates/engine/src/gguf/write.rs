//! Writes a GGUF file: version 3, little-endian, tensors one after another.
//!
//! The caller gives metadata entry by entry and the tensors' values when they are asked for, so that
//! no more than one tensor is held. What the metadata should say is not known here.

use super::blocks::BlockType;
use super::value::ARRAY;
use super::{ALIGNMENT_BYTES_DEFAULT, MAGIC, Value};
use std::io::{self, Write};

/// The version written.
const VERSION: u32 = 3;
/// Type numbers of what is written anew.
const U32: u32 = 4;
const I32: u32 = 5;
const F32: u32 = 6;
const BOOL: u32 = 7;
const STRING: u32 = 8;

/// Metadata under construction, in the order they are given.
#[derive(Debug, Default, Clone)]
pub struct Metadata {
    bytes: Vec<u8>,
    entries: u64,
}

impl Metadata {
    /// A value as it was read, to the bit.
    pub fn value(&mut self, key: &str, value: &Value<'_>) {
        let bytes = match value {
            Value::U8(it) => (0, it.to_le_bytes().to_vec()),
            Value::I8(it) => (1, it.to_le_bytes().to_vec()),
            Value::U16(it) => (2, it.to_le_bytes().to_vec()),
            Value::I16(it) => (3, it.to_le_bytes().to_vec()),
            Value::U32(it) => (U32, it.to_le_bytes().to_vec()),
            Value::I32(it) => (I32, it.to_le_bytes().to_vec()),
            Value::F32(it) => (F32, it.to_le_bytes().to_vec()),
            Value::Bool(it) => (BOOL, vec![u8::from(*it)]),
            Value::String(it) => return self.string(key, it),
            Value::U64(it) => (10, it.to_le_bytes().to_vec()),
            Value::I64(it) => (11, it.to_le_bytes().to_vec()),
            Value::F64(it) => (12, it.to_le_bytes().to_vec()),
            Value::Array(it) => {
                self.array(key, it.kind, it.len());
                return self.bytes.extend_from_slice(it.bytes);
            }
        };
        self.scalar(key, bytes.0, &bytes.1);
    }

    /// A string.
    pub fn string(&mut self, key: &str, value: &str) {
        self.key(key, STRING);
        push_string(&mut self.bytes, value);
    }

    /// A size or a token.
    pub fn unsigned(&mut self, key: &str, value: u32) {
        self.scalar(key, U32, &value.to_le_bytes());
    }

    /// A number.
    pub fn float(&mut self, key: &str, value: f32) {
        self.scalar(key, F32, &value.to_le_bytes());
    }

    /// A truth.
    pub fn boolean(&mut self, key: &str, value: bool) {
        self.scalar(key, BOOL, &[u8::from(value)]);
    }

    /// Strings.
    pub fn strings(&mut self, key: &str, values: &[String]) {
        self.array(key, STRING, values.len());
        values
            .iter()
            .for_each(|value| push_string(&mut self.bytes, value));
    }

    /// Small numbers.
    pub fn integers(&mut self, key: &str, values: &[i32]) {
        self.array(key, I32, values.len());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.bytes.extend(bytes);
    }

    /// Numbers.
    pub fn floats(&mut self, key: &str, values: &[f32]) {
        self.array(key, F32, values.len());
        let bytes = values.iter().flat_map(|value| value.to_le_bytes());
        self.bytes.extend(bytes);
    }

    fn scalar(&mut self, key: &str, kind: u32, bytes: &[u8]) {
        self.key(key, kind);
        self.bytes.extend_from_slice(bytes);
    }

    fn array(&mut self, key: &str, kind: u32, len: usize) {
        self.key(key, ARRAY);
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.bytes.extend_from_slice(&(len as u64).to_le_bytes());
    }

    fn key(&mut self, key: &str, kind: u32) {
        push_string(&mut self.bytes, key);
        self.bytes.extend_from_slice(&kind.to_le_bytes());
        self.entries += 1;
    }
}

/// A tensor to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// llama.cpp's name.
    pub name: String,
    /// Row-major shape, outermost dimension first.
    pub shape: Vec<usize>,
    /// How its values are stored; a row is a whole number of its blocks.
    pub block_type: BlockType,
}

impl Entry {
    fn bytes(&self) -> usize {
        let row = self.shape.last().copied().unwrap_or(1);
        let rows = self.shape.iter().product::<usize>() / row.max(1);
        let row = self.block_type.row_bytes(row);
        rows * row.expect("the caller chose a format that rows fill")
    }
}

/// Writes a file. `data` writes the bytes of one tensor, of which there must be as many as its entry
/// implies.
///
/// # Errors
/// What `out` and `data` report, and [`io::ErrorKind::InvalidData`] where `data` wrote too much or
/// too little.
pub fn write<W: Write>(
    out: &mut W,
    metadata: &Metadata,
    tensors: &[Entry],
    data: &mut dyn FnMut(&Entry, &mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut head = MAGIC.to_vec();
    head.extend(VERSION.to_le_bytes());
    head.extend((tensors.len() as u64).to_le_bytes());
    head.extend(metadata.entries.to_le_bytes());
    head.extend_from_slice(&metadata.bytes);
    let alignment = ALIGNMENT_BYTES_DEFAULT as usize;
    let mut offset = 0u64;
    for tensor in tensors {
        push_string(&mut head, &tensor.name);
        head.extend((tensor.shape.len() as u32).to_le_bytes());
        for size in tensor.shape.iter().rev() {
            head.extend((*size as u64).to_le_bytes());
        }
        head.extend(tensor.block_type.id().to_le_bytes());
        head.extend(offset.to_le_bytes());
        offset += tensor.bytes().next_multiple_of(alignment) as u64;
    }
    head.resize(head.len().next_multiple_of(alignment), 0);
    out.write_all(&head)?;
    for tensor in tensors {
        let (mut counted, expected) = (Counted { out, bytes: 0 }, tensor.bytes());
        data(tensor, &mut counted)?;
        if counted.bytes != expected {
            let text = format!(
                "{} has {} bytes, not {expected}",
                tensor.name, counted.bytes
            );
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let padding = expected.next_multiple_of(alignment) - expected;
        out.write_all(&vec![0; padding])?;
    }
    Ok(())
}

/// Counts what goes through.
struct Counted<'a, W> {
    out: &'a mut W,
    bytes: usize,
}

impl<W: Write> Write for Counted<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.bytes += written;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::Gguf;

    fn metadata() -> Metadata {
        let mut metadata = Metadata::default();
        metadata.string("a.string", "你好\n");
        metadata.unsigned("a.size", 7);
        metadata.float("a.number", 0.1);
        metadata.boolean("a.truth", true);
        metadata.strings("some.strings", &["".to_owned(), "x".to_owned()]);
        metadata.integers("some.integers", &[-1, 2]);
        metadata.floats("some.floats", &[0.5, -2.0]);
        for (key, value) in [
            ("u8", Value::U8(255)),
            ("i8", Value::I8(-1)),
            ("u16", Value::U16(65535)),
            ("i16", Value::I16(-2)),
            ("i32", Value::I32(-3)),
            ("u64", Value::U64(u64::MAX)),
            ("i64", Value::I64(i64::MIN)),
            ("f64", Value::F64(1e300)),
        ] {
            metadata.value(key, &value);
        }
        metadata
    }

    fn file(metadata: &Metadata) -> Vec<u8> {
        let entry = |name: &str, shape: &[usize], block_type| Entry {
            name: name.to_owned(),
            shape: shape.to_vec(),
            block_type,
        };
        let tensors = [
            entry("norm", &[3], BlockType::F32),
            entry("matrix", &[2, 64], BlockType::Q8_0),
        ];
        let mut out = Vec::new();
        let mut data = |entry: &Entry, out: &mut dyn Write| {
            let len = entry.shape.iter().product::<usize>();
            let values: Vec<f32> = (0..len).map(|it| it as f32).collect();
            let mut bytes = Vec::new();
            let written = entry.block_type.quantize(&values, &mut bytes);
            written.expect("can be written");
            out.write_all(&bytes)
        };
        write(&mut out, metadata, &tensors, &mut data).expect("memory takes everything");
        out
    }

    #[test]
    fn what_is_written_is_read() {
        let file = file(&metadata());
        let gguf = Gguf::parse(&file).expect("the reader takes it");
        assert_eq!(gguf.metadata().count(), 15);
        assert_eq!(gguf.string("a.string").expect("reads"), Some("你好\n"));
        assert_eq!(gguf.get("u64"), Some(&Value::U64(u64::MAX)));
        let strings = gguf
            .array("some.strings")
            .expect("reads")
            .expect("is there");
        let strings: Vec<_> = strings.strings().expect("strings").collect();
        assert_eq!(strings, ["", "x"]);
        let matrix = gguf.tensor("matrix").expect("is there");
        assert_eq!(matrix.shape, [2, 64]);
        let values = matrix.block_type.dequantize(&file[matrix.bytes.clone()]);
        let values = values.expect("whole blocks");
        assert!((values[127] - 127.0).abs() < 0.1, "{}", values[127]);
        let norm = gguf.tensor("norm").expect("is there");
        let norm = norm.block_type.dequantize(&file[norm.bytes.clone()]);
        assert_eq!(norm.expect("whole"), [0.0, 1.0, 2.0]);
    }

    #[test]
    fn what_was_read_is_written_as_it_was() {
        let first = file(&metadata());
        let read = Gguf::parse(&first).expect("the reader takes it");
        let mut again = Metadata::default();
        read.metadata().for_each(|(key, it)| again.value(key, it));
        let second = file(&again);
        let again = Gguf::parse(&second).expect("the reader takes it");
        assert!(read.metadata().eq(again.metadata()));
    }

    #[test]
    fn a_tensor_that_is_too_short_is_noticed() {
        let entry = Entry {
            name: "t".to_owned(),
            shape: vec![4],
            block_type: BlockType::F32,
        };
        let short = &mut |_: &Entry, out: &mut dyn Write| out.write_all(&[0; 12]);
        let error = write(&mut Vec::new(), &Metadata::default(), &[entry], short);
        assert!(error.expect_err("is noticed").to_string().contains("12"));
    }
}
