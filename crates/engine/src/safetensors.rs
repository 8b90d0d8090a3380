//! Safetensors weights: one file, or shards behind an index.
//!
//! The header is read by the `safetensors` crate, which also checks that the
//! tensors fill the data without gaps or overlaps; whether the data are there
//! is checked here, without arithmetic that a header could overflow. Types are
//! BF16, F16 and F32; others are refused when they are asked for.

pub(crate) mod write;

use crate::error::EngineError;
use crate::gguf::blocks::BlockType;
use safetensors::Dtype;
use safetensors::tensor::Metadata;
use std::collections::BTreeMap;
use std::ops::Range;

/// Bytes of the length before the header.
const LENGTH_BYTES: usize = 8;
/// Longest header believed.
const HEADER_BYTES_MAX: usize = 100 << 20;

/// One tensor of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// How the numbers are stored.
    pub dtype: Dtype,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Where the tensor's bytes lie in the file.
    pub bytes: Range<usize>,
}

/// The tensors of one file by name.
///
/// # Errors
/// [`EngineError::Damaged`] where the bytes contradict the format.
pub fn parse(bytes: &[u8]) -> Result<BTreeMap<String, Entry>, EngineError> {
    let header = header(bytes)?;
    let metadata: Metadata =
        serde_json::from_slice(header).map_err(|error| damaged(error.to_string()))?;
    let data_start = LENGTH_BYTES + header.len();
    let present = bytes.len() - data_start;
    if metadata.data_len() != present {
        return Err(damaged(format!(
            "its header describes {} bytes of data, but {present} are there",
            metadata.data_len()
        )));
    }
    let entries = metadata.tensors().into_iter().map(|(name, info)| {
        let (start, end) = info.data_offsets;
        let bytes = data_start + start..data_start + end;
        (
            name,
            Entry {
                dtype: info.dtype,
                shape: info.shape.clone(),
                bytes,
            },
        )
    });
    Ok(entries.collect())
}

impl Entry {
    /// The tensor's values, from the file that the entry describes.
    ///
    /// # Errors
    /// [`EngineError::Unsupported`] for a type other than BF16, F16 and F32.
    pub fn values(&self, file: &[u8], name: &str) -> Result<Vec<f32>, EngineError> {
        let rows = self.shape.first().copied().unwrap_or(1);
        Ok(self.rows(file, name, 0..rows)?.0)
    }

    /// The values of some rows, and the part of the file they lie in.
    ///
    /// # Errors
    /// As [`Entry::values`].
    ///
    /// # Panics
    /// If the tensor does not have these rows.
    pub fn rows(
        &self,
        file: &[u8],
        name: &str,
        rows: Range<usize>,
    ) -> Result<(Vec<f32>, Range<usize>), EngineError> {
        let format = match self.dtype {
            Dtype::F32 => BlockType::F32,
            Dtype::F16 => BlockType::F16,
            Dtype::BF16 => BlockType::BF16,
            other => {
                return Err(EngineError::Unsupported {
                    what: "safetensors type",
                    name: format!("{other:?} of {name}"),
                    supported: "BF16, F16, F32".to_owned(),
                });
            }
        };
        let all = self.shape.first().copied().unwrap_or(1);
        assert!(rows.end <= all, "rows {rows:?} of {all} were asked for");
        let row_bytes = self.bytes.len() / all.max(1);
        let start = self.bytes.start;
        let part = start + rows.start * row_bytes..start + rows.end * row_bytes;
        let bytes = file.get(part.clone());
        let bytes = bytes.ok_or_else(|| damaged(format!("{name} is cut off")))?;
        Ok((format.dequantize(bytes)?, part))
    }
}

/// The file's shards by tensor name, from the bytes of a `model.safetensors.index.json`.
///
/// # Errors
/// [`EngineError::Damaged`] for what is no index, and for a shard outside the folder.
pub fn parse_index(bytes: &[u8]) -> Result<BTreeMap<String, String>, EngineError> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let index: Index = serde_json::from_slice(bytes)
        .map_err(|error| EngineError::damaged("the safetensors index", error.to_string()))?;
    for file in index.weight_map.values() {
        if !file.ends_with(".safetensors") || file.contains(['/', '\\', ':', '\0']) {
            return Err(EngineError::damaged(
                "the safetensors index",
                format!("{file:?} is no shard in the same folder"),
            ));
        }
    }
    Ok(index.weight_map)
}

fn header(bytes: &[u8]) -> Result<&[u8], EngineError> {
    let (length, rest) = bytes
        .split_first_chunk::<LENGTH_BYTES>()
        .ok_or_else(|| damaged("it is shorter than its length field".to_owned()))?;
    let length = usize::try_from(u64::from_le_bytes(*length)).unwrap_or(usize::MAX);
    if length > HEADER_BYTES_MAX {
        return Err(damaged(format!("its header would have {length} bytes")));
    }
    rest.get(..length)
        .ok_or_else(|| damaged("it ends inside its header".to_owned()))
}

fn damaged(reason: String) -> EngineError {
    EngineError::damaged("the safetensors file", reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(header: &str, data_bytes: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data_bytes, 1);
        file
    }

    fn refused(file: &[u8], reason: &str) {
        let error = parse(file).expect_err("is refused").to_string();
        assert!(error.contains(reason), "{error}");
    }

    #[test]
    fn a_tensor_lies_where_the_header_says() {
        let file = file(
            r#"{"a":{"dtype":"F16","shape":[3],"data_offsets":[0,6]}}"#,
            6,
        );
        let entries = parse(&file).expect("parses");
        assert_eq!(entries["a"].shape, [3]);
        assert_eq!(entries["a"].bytes, file.len() - 6..file.len());
        assert_eq!(entries["a"].values(&file, "a").expect("reads").len(), 3);
    }

    #[test]
    fn a_header_that_overflows_is_refused() {
        let huge = r#"{"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,18446744073709551615]}}"#;
        refused(&file(huge, 0), "overflow");
        let wraps = r#"{"a":{"dtype":"U8","shape":[2305843009213693951],"data_offsets":[0,2305843009213693951]}}"#;
        refused(&file(wraps, 3), "describes 2305843009213693951 bytes");
    }

    #[test]
    fn a_file_that_is_cut_off_is_refused() {
        let whole = file(
            r#"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#,
            4,
        );
        for length in 0..whole.len() {
            assert!(parse(&whole[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn integers_are_refused_by_name() {
        let file = file(
            r#"{"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}}"#,
            4,
        );
        let entries = parse(&file).expect("parses");
        let error = entries["a"].values(&file, "a").expect_err("is refused");
        assert!(error.to_string().contains("I8 of a"), "{error}");
    }

    #[test]
    fn an_index_cannot_lead_out_of_its_folder() {
        assert!(parse_index(br#"{"weight_map":{"a":"m-1.safetensors"}}"#).is_ok());
        for file in [
            "../m.safetensors",
            "/m.safetensors",
            "a\\\\m.safetensors",
            "m.bin",
        ] {
            let index = format!(r#"{{"weight_map":{{"a":"{file}"}}}}"#);
            assert!(parse_index(index.as_bytes()).is_err(), "{file}");
        }
    }
}
