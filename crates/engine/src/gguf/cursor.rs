//! A bounded little-endian reader over the bytes of a GGUF file.

use crate::error::EngineError;

/// Reads forward; every read past the end is an error, never a panic.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], EngineError> {
        if count > self.remaining() {
            return Err(ends_early(self.position, count, self.remaining()));
        }
        let taken = &self.bytes[self.position..self.position + count];
        self.position += count;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], EngineError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> Result<u8, EngineError> {
        Ok(self.array::<1>()?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, EngineError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, EngineError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, EngineError> {
        self.array().map(u64::from_le_bytes)
    }

    /// A string behind its length; must be UTF-8.
    pub(super) fn string(&mut self) -> Result<&'a str, EngineError> {
        let start = self.position;
        let length = self.u64()?;
        self.expect_room(length, 1, "bytes of a string")?;
        let bytes = self.take(length as usize)?;
        std::str::from_utf8(bytes).map_err(|_| {
            EngineError::damaged(
                "the GGUF file",
                format!("the string at byte {start} is not UTF-8"),
            )
        })
    }

    /// Refuses a count whose items, at `bytes_each` or more, could not fit in what remains.
    pub(super) fn expect_room(
        &self,
        count: u64,
        bytes_each: u64,
        what: &str,
    ) -> Result<(), EngineError> {
        let room = self.remaining() as u64 / bytes_each;
        if count > room {
            return Err(EngineError::damaged(
                "the GGUF file",
                format!(
                    "it announces {count} {what}, but only {} bytes remain",
                    self.remaining()
                ),
            ));
        }
        Ok(())
    }
}

fn ends_early(position: usize, wanted: usize, remaining: usize) -> EngineError {
    EngineError::damaged(
        "the GGUF file",
        format!("it ends early: {wanted} bytes expected at byte {position}, {remaining} present"),
    )
}
