//! Turning a data file into records.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::DataError;

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma separated values, RFC 4180.
    Csv,
    /// Tab separated values.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects.
    Json,
    /// An Excel workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text.
    Text,
    /// A finite number.
    Number,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
}

/// Whether fields may be quoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quote {
    /// By double quotes, a doubled one standing for itself.
    #[default]
    Double,
    /// Never: a quote is a character like any other.
    None,
}

/// How a file is read; every key may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderSpec {
    /// The format; by the file's extension if absent.
    pub format: Option<Format>,
    /// The character between fields, for csv and tsv.
    pub delimiter: Option<char>,
    /// Quoting, for csv and tsv.
    pub quote: Quote,
    /// Whether the first row names the columns (csv, tsv, xlsx); true unless `columns` are given.
    pub header: Option<bool>,
    /// The columns' names in order; with a header, new names in place of its own.
    pub columns: Vec<String>,
    /// What columns hold; text for csv and tsv, as it is for the other formats.
    pub types: BTreeMap<String, FieldType>,
    /// The encoding; recognised (byte order mark, UTF-8, GB18030) if absent.
    pub encoding: Option<String>,
    /// The sheet, for xlsx; the first if absent.
    pub sheet: Option<String>,
    /// Where the array lies, as a JSON pointer, for json.
    pub pointer: Option<String>,
    /// The column that names the record; the line number if absent.
    pub id: Option<String>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its name inside the dataset, unique.
    pub id: String,
    /// What must not be torn apart by a split; the id where nothing else was said.
    pub group: String,
    /// The line or row it came from, counted from 1.
    pub line: u64,
    /// Its fields in the file's order.
    pub fields: Map<String, Value>,
}

/// A row that was kept out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Broken {
    /// The line or row, counted from 1.
    pub line: u64,
    /// Why it was kept out.
    pub reason: String,
}

/// What a file gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Read {
    /// The whole records in the file's order.
    pub records: Vec<Record>,
    /// The rows kept out.
    pub broken: Vec<Broken>,
    /// The encoding the text was in, by its WHATWG name.
    pub encoding: String,
}

/// Reads the file at `path`.
///
/// # Errors
/// A file that cannot be opened, is beyond the bound, or is not of its format at all.
pub fn read(_path: &Path, _spec: &ReaderSpec) -> Result<Read, DataError> {
    todo!()
}
