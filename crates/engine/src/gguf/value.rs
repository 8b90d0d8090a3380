//! Metadata values of a GGUF file.

use super::cursor::Cursor;
use crate::error::EngineError;

/// A metadata value; strings and arrays borrow from the file.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs, reason = "each variant is the type of its name")]
pub enum Value<'a> {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(&'a str),
    Array(Array<'a>),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl<'a> Value<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, EngineError> {
        let kind = cursor.u32()?;
        Self::read_kind(cursor, kind)
    }

    fn read_kind(cursor: &mut Cursor<'a>, kind: u32) -> Result<Self, EngineError> {
        Ok(match kind {
            0 => Self::U8(cursor.u8()?),
            1 => Self::I8(cursor.u8()? as i8),
            2 => Self::U16(cursor.u16()?),
            3 => Self::I16(cursor.u16()? as i16),
            4 => Self::U32(cursor.u32()?),
            5 => Self::I32(cursor.u32()? as i32),
            6 => Self::F32(f32::from_bits(cursor.u32()?)),
            7 => Self::Bool(boolean(cursor.u8()?)?),
            8 => Self::String(cursor.string()?),
            ARRAY => Self::Array(Array::read(cursor)?),
            10 => Self::U64(cursor.u64()?),
            11 => Self::I64(cursor.u64()? as i64),
            12 => Self::F64(f64::from_bits(cursor.u64()?)),
            other => return Err(unknown_kind(other)),
        })
    }

    /// The value as an unsigned integer, if it is a non-negative one.
    pub fn as_unsigned(&self) -> Option<u64> {
        match *self {
            Self::U8(value) => Some(value.into()),
            Self::U16(value) => Some(value.into()),
            Self::U32(value) => Some(value.into()),
            Self::U64(value) => Some(value),
            Self::I8(value) => value.try_into().ok(),
            Self::I16(value) => value.try_into().ok(),
            Self::I32(value) => value.try_into().ok(),
            Self::I64(value) => value.try_into().ok(),
            _ => None,
        }
    }

    /// The value as a number, if it is a float.
    pub fn as_float(&self) -> Option<f64> {
        match *self {
            Self::F32(value) => Some(value.into()),
            Self::F64(value) => Some(value),
            _ => None,
        }
    }
}

/// The type number of an array.
pub(super) const ARRAY: u32 = 9;

/// An array that was checked while parsing and is read again when asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Array<'a> {
    pub(super) kind: u32,
    len: usize,
    pub(super) bytes: &'a [u8],
}

impl<'a> Array<'a> {
    /// Checks all elements. Arrays of arrays, which no model uses, are refused.
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, EngineError> {
        let kind = cursor.u32()?;
        let len = cursor.u64()?;
        let bytes_each = bytes_min(kind)?;
        cursor.expect_room(len, bytes_each, "array elements")?;
        let before = cursor.clone();
        for _ in 0..len {
            Value::read_kind(cursor, kind)?;
        }
        let bytes = before.clone().take(cursor.position() - before.position())?;
        Ok(Self {
            kind,
            len: len as usize,
            bytes,
        })
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The elements.
    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        let kind = self.kind;
        (0..self.len).map_while(move |_| Value::read_kind(&mut cursor, kind).ok())
    }

    /// The elements as strings, or `None` for an array of another type.
    pub fn strings(&self) -> Option<impl Iterator<Item = &'a str> + use<'a>> {
        (self.kind == 8).then(|| {
            self.iter().filter_map(|value| match value {
                Value::String(text) => Some(text),
                _ => None,
            })
        })
    }
}

/// Fewest bytes one array element of this type takes.
fn bytes_min(kind: u32) -> Result<u64, EngineError> {
    match kind {
        0 | 1 | 7 => Ok(1),
        2 | 3 => Ok(2),
        4..=6 => Ok(4),
        8 | 10..=12 => Ok(8),
        ARRAY => Err(EngineError::Unsupported {
            what: "GGUF metadata type",
            name: "array of arrays".to_owned(),
            supported: "arrays of numbers, booleans or strings".to_owned(),
        }),
        other => Err(unknown_kind(other)),
    }
}

fn boolean(byte: u8) -> Result<bool, EngineError> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(EngineError::damaged(
            "the GGUF file",
            format!("a boolean is {other}"),
        )),
    }
}

fn unknown_kind(kind: u32) -> EngineError {
    EngineError::damaged(
        "the GGUF file",
        format!("metadata type {kind} does not exist"),
    )
}
