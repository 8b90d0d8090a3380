//! Which format a file of samples is in.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::DataError;

/// The formats of files of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// JSON objects: in one list, one a line, or one after another.
    Json,
    /// Comma separated values.
    Csv,
    /// Tab separated values.
    Tsv,
    /// Apache Parquet.
    Parquet,
}

impl FileFormat {
    /// The format of the file at `path`: by its extension, else by its first bytes.
    ///
    /// # Errors
    /// A file that cannot be opened, or of none of the formats.
    pub fn of(path: &Path) -> Result<Self, DataError> {
        let extension = path.extension().map(|text| text.to_string_lossy());
        let extension = extension.unwrap_or_default().to_lowercase();
        match extension.as_str() {
            "json" | "jsonl" | "ndjson" => return Ok(Self::Json),
            "csv" => return Ok(Self::Csv),
            "tsv" | "tab" => return Ok(Self::Tsv),
            "parquet" => return Ok(Self::Parquet),
            _ => {}
        }
        match first_bytes(path)?.trim_ascii_start() {
            [b'P', b'A', b'R', b'1', ..] => Ok(Self::Parquet),
            [b'{' | b'[', ..] => Ok(Self::Json),
            _ => Err(DataError::Layout {
                path: path.to_owned(),
                reason: "neither its extension nor its beginning says what it is; save it as json, jsonl, csv, tsv or parquet, with that extension".to_owned(),
            }),
        }
    }

    /// The format's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Parquet => "parquet",
        }
    }
}

fn first_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    /// Enough for white space before the first bracket.
    const SEEN_BYTES: u64 = 1024;
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(SEEN_BYTES).read_to_end(&mut bytes))
        .map_err(|error| DataError::file("read", path, error))?;
    Ok(bytes)
}
