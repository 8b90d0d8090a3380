//! Writes small GGUF files for tests.

#![allow(dead_code, reason = "every test binary uses its own part")]

/// A GGUF file under construction: version 3, little-endian.
#[derive(Default, Clone)]
pub struct GgufWriter {
    metadata: Vec<u8>,
    entries: u64,
    table: Vec<u8>,
    tensors: u64,
    data: Vec<u8>,
}

const ALIGNMENT: usize = 32;

impl GgufWriter {
    pub fn string(mut self, key: &str, value: &str) -> Self {
        self.key(key, 8);
        push_string(&mut self.metadata, value);
        self
    }

    pub fn unsigned(mut self, key: &str, value: u32) -> Self {
        self.key(key, 4);
        self.metadata.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn float(mut self, key: &str, value: f32) -> Self {
        self.key(key, 6);
        self.metadata.extend_from_slice(&value.to_le_bytes());
        self
    }

    pub fn strings<'a>(mut self, key: &str, values: impl IntoIterator<Item = &'a str>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        self.key(key, 9);
        self.metadata.extend_from_slice(&8u32.to_le_bytes());
        self.metadata
            .extend_from_slice(&(values.len() as u64).to_le_bytes());
        for value in values {
            push_string(&mut self.metadata, value);
        }
        self
    }

    pub fn boolean(mut self, key: &str, value: bool) -> Self {
        self.key(key, 7);
        self.metadata.push(u8::from(value));
        self
    }

    pub fn floats(mut self, key: &str, values: impl IntoIterator<Item = f32>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        self.key(key, 9);
        self.metadata.extend_from_slice(&6u32.to_le_bytes());
        self.metadata
            .extend_from_slice(&(values.len() as u64).to_le_bytes());
        for value in values {
            self.metadata.extend_from_slice(&value.to_le_bytes());
        }
        self
    }

    pub fn signed(mut self, key: &str, values: impl IntoIterator<Item = i32>) -> Self {
        let values: Vec<_> = values.into_iter().collect();
        self.key(key, 9);
        self.metadata.extend_from_slice(&5u32.to_le_bytes());
        self.metadata
            .extend_from_slice(&(values.len() as u64).to_le_bytes());
        for value in values {
            self.metadata.extend_from_slice(&value.to_le_bytes());
        }
        self
    }

    /// A tensor whose `shape` is outermost first and whose type has this number.
    pub fn tensor(mut self, name: &str, shape: &[u64], kind: u32, data: &[u8]) -> Self {
        push_string(&mut self.table, name);
        self.table
            .extend_from_slice(&(shape.len() as u32).to_le_bytes());
        for size in shape.iter().rev() {
            self.table.extend_from_slice(&size.to_le_bytes());
        }
        self.table.extend_from_slice(&kind.to_le_bytes());
        self.table
            .extend_from_slice(&(self.data.len() as u64).to_le_bytes());
        self.data.extend_from_slice(data);
        self.data
            .resize(self.data.len().next_multiple_of(ALIGNMENT), 0);
        self.tensors += 1;
        self
    }

    pub fn finish(self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend_from_slice(&3u32.to_le_bytes());
        file.extend_from_slice(&self.tensors.to_le_bytes());
        file.extend_from_slice(&self.entries.to_le_bytes());
        file.extend_from_slice(&self.metadata);
        file.extend_from_slice(&self.table);
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend_from_slice(&self.data);
        file
    }

    fn key(&mut self, key: &str, kind: u32) {
        push_string(&mut self.metadata, key);
        self.metadata.extend_from_slice(&kind.to_le_bytes());
        self.entries += 1;
    }
}

fn push_string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as u64).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
}
